#include "kernel/chain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"

/* ---- Pieces: kept for reuse, so that a message costs no malloc ------------------------------- */

static _Thread_local struct piece *spare;
static _Thread_local unsigned spare_count;

static struct piece *piece_new(struct weir_segment *segment, const char *data, size_t size)
{
    struct piece *piece = spare;
    if (likely(piece != NULL)) {
        spare = piece->next;
        spare_count--;
    } else {
        piece = malloc(sizeof *piece);
        if (piece == NULL)
            return NULL;
    }
    *piece = (struct piece){ NULL, data, size, segment };
    return piece;
}

static void piece_free(struct piece *piece)
{
    if (spare_count >= 16 * LIMIT_SPARE) {
        free(piece);
        return;
    }
    piece->next = spare;
    spare = piece;
    spare_count++;
}

void chain_free_spare(void)
{
    while (spare != NULL) {
        struct piece *next = spare->next;
        free(spare);
        spare = next;
    }
    spare_count = 0;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static void link_piece(struct chain *chain, struct piece *piece)
{
    piece->next = NULL;
    if (chain->last != NULL)
        chain->last->next = piece;
    else
        chain->first = piece;
    chain->last = piece;
    chain->size += piece->size;
}

static struct piece *unlink_first(struct chain *chain)
{
    struct piece *piece = chain->first;
    chain->first = piece->next;
    if (chain->first == NULL)
        chain->last = NULL;
    chain->size -= piece->size;
    return piece;
}

int chain_append(struct chain *chain, struct weir_segment *segment, const char *data, size_t size)
{
    struct piece *piece = piece_new(segment, data, size);
    if (piece == NULL)
        return -ENOMEM;
    link_piece(chain, piece);
    return 0;
}

/* How many bytes could be written behind the last piece: only where it ends what its segment holds,
 * for then nobody else sees those bytes. */
static size_t room_behind(const struct piece *piece)
{
    if (piece == NULL)
        return 0;
    const struct weir_segment *segment = piece->segment;
    if (piece->data + piece->size != segment->data + segment->used)
        return 0;
    return segment->capacity - segment->used;
}

static void write_behind(struct chain *chain, const char *data, size_t size)
{
    struct piece *piece = chain->last;
    memcpy(piece->segment->data + piece->segment->used, data, size);
    piece->segment->used += size;
    piece->size += size;
    chain->size += size;
}

char *chain_extend(struct chain *chain, size_t size, size_t more)
{
    struct piece *piece = chain->last;
    if (room_behind(piece) < size) {
        struct weir_segment *segment = segment_new(size + more);
        if (segment == NULL)
            return NULL;
        piece = piece_new(segment, segment->data, 0);
        if (piece == NULL) {
            segment_drop(segment);
            return NULL;
        }
        link_piece(chain, piece);
    }
    char *room = piece->segment->data + piece->segment->used;
    piece->segment->used += size;
    piece->size += size;
    chain->size += size;
    return room;
}

int chain_copy(struct chain *chain, const void *data, size_t size)
{
    size_t packed = min_size(size, room_behind(chain->last));
    if (packed < size) {
        struct weir_segment *segment = segment_new(size - packed);
        if (segment == NULL)
            return -ENOMEM;
        struct piece *piece = piece_new(segment, segment->data, size - packed);
        if (piece == NULL) {
            segment_drop(segment);
            return -ENOMEM;
        }
        memcpy(segment->data, (const char *)data + packed, size - packed);
        segment->used = size - packed;
        if (packed > 0)
            write_behind(chain, data, packed);
        link_piece(chain, piece);
    } else if (packed > 0) {
        write_behind(chain, data, packed);
    }
    return 0;
}

int chain_receive(struct chain *chain, struct weir_segment *segment, const char *data, size_t size)
{
    if (chain->last == NULL || size > LIMIT_PACKED)
        return chain_append(chain, segment, data, size);
    int rc = chain_copy(chain, data, size);
    if (rc < 0)
        return rc;
    metrics.bytes_copied += size;
    segment_drop(segment);
    return 0;
}

int chain_move(struct chain *to, struct chain *from, size_t n)
{
    while (n > 0 && from->first != NULL) {
        struct piece *piece = from->first;
        if (piece->size <= n) {
            n -= piece->size;
            link_piece(to, unlink_first(from));
            continue;
        }
        if (chain_append(to, piece->segment, piece->data, n) < 0)
            return -ENOMEM;
        segment_hold(piece->segment);
        piece->data += n;
        piece->size -= n;
        from->size -= n;
        n = 0;
    }
    return 0;
}

/* ---- Taking ---------------------------------------------------------------------------------- */

struct weir_slice chain_take(struct chain *chain, size_t n)
{
    struct piece *piece = chain->first;
    struct weir_slice slice = { piece->data, n, piece->segment };
    if (n == piece->size) {
        piece_free(unlink_first(chain));
    } else {
        segment_hold(piece->segment);
        piece->data += n;
        piece->size -= n;
        chain->size -= n;
    }
    return slice;
}

void chain_drop(struct chain *chain, size_t n)
{
    while (n > 0) {
        struct piece *piece = chain->first;
        if (n < piece->size) {
            piece->data += n;
            piece->size -= n;
            chain->size -= n;
            return;
        }
        n -= piece->size;
        segment_drop(piece->segment);
        piece_free(unlink_first(chain));
    }
}

void chain_clear(struct chain *chain)
{
    chain_drop(chain, chain->size);
}

void chain_peek(const struct chain *chain, void *buffer, size_t n)
{
    char *to = buffer;
    for (const struct piece *piece = chain->first; n > 0; piece = piece->next) {
        size_t part = min_size(n, piece->size);
        memcpy(to, piece->data, part);
        to += part;
        n -= part;
    }
}

unsigned chain_vector(const struct chain *chain, size_t skip, size_t size, struct iovec *vector,
                      unsigned most)
{
    unsigned count = 0;
    for (const struct piece *piece = chain->first; size > 0; piece = piece->next) {
        if (skip >= piece->size) {
            skip -= piece->size;
            continue;
        }
        if (count == most)
            return 0;
        size_t part = min_size(size, piece->size - skip);
        vector[count++] = (struct iovec){ (char *)(uintptr_t)piece->data + skip, part };
        size -= part;
        skip = 0;
    }
    return count;
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* The first piece, if it is ours alone and has room to grow to `capacity`. */
static bool first_can_grow(const struct chain *chain, size_t capacity)
{
    const struct piece *piece = chain->first;
    size_t start = (size_t)(piece->data - piece->segment->data);
    return piece->segment->references == 1 && room_behind(piece) > 0 &&
           piece->segment->capacity - start >= capacity;
}

int chain_gather(struct chain *chain, size_t n, size_t capacity)
{
    n = min_size(n, chain->size);
    capacity = max_size(n, capacity);
    if (n == 0 || (chain->first->size >= n && capacity == n))
        return 0;

    struct chain rest = *chain;
    struct chain joined = { 0 };
    if (first_can_grow(chain, capacity)) {
        link_piece(&joined, unlink_first(&rest));
    } else {
        struct weir_segment *segment = segment_new(capacity);
        if (segment == NULL)
            return -ENOMEM;
        struct piece *piece = piece_new(segment, segment->data, 0);
        if (piece == NULL) {
            segment_drop(segment);
            return -ENOMEM;
        }
        link_piece(&joined, piece);
    }
    while (joined.size < n) {
        size_t part = min_size(rest.first->size, n - joined.size);
        write_behind(&joined, rest.first->data, part);
        metrics.bytes_copied += part;
        chain_drop(&rest, part);
    }
    joined.first->next = rest.first;
    joined.last = rest.last != NULL ? rest.last : joined.first;
    joined.size += rest.size;
    *chain = joined;
    return 0;
}

int chain_disown(struct chain *chain, const struct weir_segment *segment)
{
    for (struct piece *piece = chain->first; piece != NULL; piece = piece->next) {
        if (piece->segment != segment)
            continue;
        struct weir_segment *copy = segment_new(piece->size);
        if (copy == NULL)
            return -ENOMEM;
        memcpy(copy->data, piece->data, piece->size);
        metrics.bytes_copied += piece->size;
        copy->used = piece->size;
        piece->data = copy->data;
        segment_drop(piece->segment);
        piece->segment = copy;
    }
    return 0;
}

/* ---- Searching ------------------------------------------------------------------------------- */

static bool equals_at(const struct chain *chain, size_t offset, const char *bytes, size_t length)
{
    for (const struct piece *piece = chain->first; length > 0; piece = piece->next) {
        if (offset >= piece->size) {
            offset -= piece->size;
            continue;
        }
        size_t part = min_size(length, piece->size - offset);
        if (memcmp(piece->data + offset, bytes, part) != 0)
            return false;
        bytes += part;
        length -= part;
        offset = 0;
    }
    return true;
}

ssize_t chain_find(const struct chain *chain, size_t from, size_t until, const char *needle,
                   size_t length)
{
    size_t start = max_size(from, length - 1); /* where the needle's last byte can first be */
    size_t base = 0;
    for (const struct piece *piece = chain->first; piece != NULL && base < until;
         base += piece->size, piece = piece->next) {
        size_t at = start > base ? start - base : 0;
        size_t end = min_size(piece->size, until - base);
        while (at < end) {
            const char *hit = memchr(piece->data + at, needle[length - 1], end - at);
            if (hit == NULL)
                break;
            at = (size_t)(hit - piece->data) + 1;
            bool within = at >= length;
            const char *begin = hit + 1 - length; /* if within */
            if (within ? *begin == *needle && memcmp(begin, needle, length) == 0
                       : equals_at(chain, base + at - length, needle, length))
                return (ssize_t)(base + at);
        }
    }
    return -1;
}

void chain_check(const struct chain *chain)
{
    size_t size = 0;
    for (const struct piece *piece = chain->first; piece != NULL; piece = piece->next) {
        assert(piece->size > 0 && piece->segment->references > 0);
        assert(piece->data >= piece->segment->data);
        assert(piece->data + piece->size <= piece->segment->data + piece->segment->capacity);
        assert(piece->next != NULL || piece == chain->last);
        size += piece->size;
    }
    assert(size == chain->size);
    (void)size;
}
