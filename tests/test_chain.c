/* The chain against a model of it: a plain array of the same bytes. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "kernel/chain.h"

enum { MOST = 4096, STEPS = 20000 };

struct model {
    struct chain chain;
    char bytes[2 * MOST];
    size_t size;
    unsigned random;
};

static unsigned roll(struct model *model, unsigned sides)
{
    model->random = model->random * 1103515245 + 12345;
    return (model->random >> 16) % sides;
}

static void expect_same(const struct model *model)
{
    char bytes[2 * MOST];
    chain_check(&model->chain);
    cr_assert(eq(sz, model->chain.size, model->size));
    chain_peek(&model->chain, bytes, model->size);
    cr_assert(memcmp(bytes, model->bytes, model->size) == 0);
}

static void add(struct model *model)
{
    char data[100];
    size_t size = 1 + roll(model, sizeof data - 1);
    if (model->size + size > MOST)
        return;
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + roll(model, 3));
    unsigned way = roll(model, 3);
    if (way == 0) {
        cr_assert(eq(int, chain_copy(&model->chain, data, size), 0));
    } else if (way == 1) {
        memcpy(chain_extend(&model->chain, size, roll(model, 200)), data, size);
    } else { /* a view into the middle of a segment */
        struct weir_segment *segment = segment_new(size + 7);
        memcpy(segment->data + 3, data, size);
        segment->used = size + 7;
        cr_assert(eq(int, chain_append(&model->chain, segment, segment->data + 3, size), 0));
    }
    memcpy(model->bytes + model->size, data, size);
    model->size += size;
}

static void forget(struct model *model, size_t n)
{
    memmove(model->bytes, model->bytes + n, model->size - n);
    model->size -= n;
}

static void take(struct model *model)
{
    if (model->size == 0)
        return;
    size_t n = 1 + roll(model, (unsigned)model->chain.first->size);
    struct weir_slice slice = chain_take(&model->chain, n);
    cr_assert(eq(sz, slice.size, n));
    cr_assert(memcmp(slice.data, model->bytes, n) == 0);
    segment_drop(slice.segment_);
    forget(model, n);
}

static void drop(struct model *model)
{
    size_t n = roll(model, (unsigned)model->size + 1);
    chain_drop(&model->chain, n);
    forget(model, n);
}

static void gather(struct model *model)
{
    size_t n = roll(model, (unsigned)model->size + 1), room = roll(model, MOST);
    cr_assert(eq(int, chain_gather(&model->chain, n, room), 0));
    if (n > 0)
        cr_assert(ge(sz, model->chain.first->size, n));
}

/* Away and back again, in two parts. */
static void move(struct model *model)
{
    struct chain other = { 0 };
    size_t n = roll(model, (unsigned)model->size + 1);
    cr_assert(eq(int, chain_move(&other, &model->chain, n), 0));
    chain_check(&other);
    cr_assert(eq(sz, other.size, n));
    cr_assert(eq(int, chain_move(&other, &model->chain, MOST), 0));
    cr_assert(eq(sz, model->chain.size, 0));
    model->chain = other;
}

static void disown(struct model *model)
{
    if (model->size == 0)
        return;
    struct weir_segment *segment = model->chain.last->segment;
    cr_assert(eq(int, chain_disown(&model->chain, segment_hold(segment)), 0));
    cr_assert(eq(uint, segment->references, 1));
    segment_drop(segment);
}

static void find(struct model *model)
{
    char needle[8];
    size_t length = 1 + roll(model, 4);
    for (size_t i = 0; i < length; i++)
        needle[i] = (char)('a' + roll(model, 3));
    size_t from = roll(model, (unsigned)model->size + 1);
    size_t until = from + roll(model, (unsigned)(model->size - from) + 1);
    ssize_t expected = -1;
    for (size_t end = from + 1; expected < 0 && end <= until; end++)
        if (end >= length && memcmp(model->bytes + end - length, needle, length) == 0)
            expected = (ssize_t)end;
    cr_assert(
        eq(long, (long)chain_find(&model->chain, from, until, needle, length), (long)expected));
}

static void vector(struct model *model)
{
    struct iovec parts[8];
    size_t skip = roll(model, (unsigned)model->size + 1);
    size_t size = roll(model, (unsigned)(model->size - skip) + 1);
    unsigned count = chain_vector(&model->chain, skip, size, parts, 8);
    cr_assert(le(uint, count, 8));
    size_t at = skip;
    for (unsigned i = 0; i < count; i++) {
        cr_assert(gt(sz, parts[i].iov_len, 0));
        cr_assert(memcmp(parts[i].iov_base, model->bytes + at, parts[i].iov_len) == 0);
        at += parts[i].iov_len;
    }
    if (count > 0)
        cr_assert(eq(sz, at, skip + size));
    else if (size > 0) { /* it is in more than 8 pieces, then: one of them all is enough */
        cr_assert(eq(int, chain_gather(&model->chain, model->size, 0), 0));
        cr_assert(eq(uint, chain_vector(&model->chain, skip, size, parts, 1), 1));
    }
}

Test(chain, behaves_as_an_array, .timeout = 60)
{
    static void (*const steps[])(struct model *) = { add,    add,  add,    add,  take,  drop,
                                                     gather, move, disown, find, vector };
    static struct model model = { .random = 1 };
    for (int i = 0; i < STEPS; i++) {
        steps[roll(&model, sizeof steps / sizeof *steps)](&model);
        expect_same(&model);
    }
    chain_clear(&model.chain);
    cr_assert(eq(u64, metrics.segments_open, 0));
    segment_free_spare();
    chain_free_spare();
}

/* Bytes behind a view may be written only where nobody else sees them. */
Test(chain, packs_without_touching_what_others_see, .timeout = 20)
{
    struct chain chain = { 0 };
    cr_assert(eq(int, chain_copy(&chain, "abcdef", 6), 0));
    struct weir_slice head = chain_take(&chain, 3);
    struct chain other = { 0 };
    cr_assert(eq(int, chain_append(&other, segment_hold(head.segment_), head.data, 3), 0));
    cr_assert(eq(int, chain_copy(&other, "XYZ", 3), 0)); /* not over "def" */
    cr_assert(eq(int, chain_copy(&chain, "ghi", 3), 0));
    char bytes[6];
    chain_peek(&chain, bytes, 6);
    cr_assert(memcmp(bytes, "defghi", 6) == 0);
    chain_peek(&other, bytes, 6);
    cr_assert(memcmp(bytes, "abcXYZ", 6) == 0);
    segment_drop(head.segment_);
    chain_clear(&chain);
    chain_clear(&other);
    cr_assert(eq(u64, metrics.segments_open, 0));
    segment_free_spare();
    chain_free_spare();
}
