/* A chain is a queue of bytes: pieces, each a view of a segment it holds. What came from the
 * kernel moves from chain to chain without being copied; bytes are copied only by the functions
 * that say so.
 *
 * Invariant: `size` is the sum of the pieces' sizes, and no piece is empty. */
#ifndef WEIR_KERNEL_CHAIN_H
#define WEIR_KERNEL_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <weir.h>

#include "kernel/segment.h"

struct piece {
    struct piece *next;
    const char *data;
    size_t size;
    struct weir_segment *segment;
};

struct chain {
    struct piece *first, *last;
    size_t size;
};

/* Appends a view, taking over one reference to `segment`. Without memory: -ENOMEM, and the
 * reference stays with the caller. */
int chain_append(struct chain *chain, struct weir_segment *segment, const char *data, size_t size);

/* The same for what has been received: a small piece behind others is copied to where there is room
 * behind the last, for else a peer that sends byte by byte takes a whole buffer for each. */
int chain_receive(struct chain *chain, struct weir_segment *segment, const char *data, size_t size);

/* Appends copies: packed behind the last piece while its segment has room. -ENOMEM: nothing
 * added. */
int chain_copy(struct chain *chain, const void *data, size_t size);

/* Appends `size` bytes that lie together, for the caller to fill in at once. With `more` to come
 * soon, there is room for that, too. NULL without memory. */
char *chain_extend(struct chain *chain, size_t size, size_t more);

/* Moves the first `n` bytes, or all if there are fewer, to the end of `to`. -ENOMEM: a part has
 * moved, in order. */
int chain_move(struct chain *to, struct chain *from, size_t n);

/* Takes the first `n` bytes, which lie in the first piece, out as a slice that holds its
 * segment. */
struct weir_slice chain_take(struct chain *chain, size_t n);

void chain_drop(struct chain *chain, size_t n); /* drops the first `n` bytes */
void chain_clear(struct chain *chain);

/* Makes the first `n` bytes, or all if there are fewer, lie together in a segment that has room for
 * `capacity` in all. Copies what does not. -ENOMEM: nothing has changed. */
int chain_gather(struct chain *chain, size_t n, size_t capacity);

/* Copies the first `n` bytes, which are there, to `buffer`; they stay. */
void chain_peek(const struct chain *chain, void *buffer, size_t n);

/* Where the `size` bytes behind the first `skip` lie, which are there: fills `vector`, returns the
 * count; 0 if they lie in more than `most` pieces. */
unsigned chain_vector(const struct chain *chain, size_t skip, size_t size, struct iovec *vector,
                      unsigned most);

/* Replaces every view of `segment` by a copy. -ENOMEM: some are left. */
int chain_disown(struct chain *chain, const struct weir_segment *segment);

/* The offset behind the first occurrence of `needle` that ends behind `from` and not behind
 * `until`, or -1. So a search resumes where the last one stopped: `from` is the size it then
 * saw. */
ssize_t chain_find(const struct chain *chain, size_t from, size_t until, const char *needle,
                   size_t length);

void chain_check(const struct chain *chain); /* asserts the invariant */

/* Frees what is kept for reuse. */
void chain_free_spare(void);

#endif
