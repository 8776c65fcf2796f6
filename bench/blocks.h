/* The blocks that bench/load sends and wants back.
 *
 * A block is a stamp of connection and sequence, then bytes of the pattern from a place that both
 * determine: what belongs to another connection, block or place does not compare equal. */
#ifndef BENCH_BLOCKS_H
#define BENCH_BLOCKS_H

#include "pattern.h"

#include <stdbool.h>
#include <string.h>

enum {
    BLOCK_PLACES = 4096, /* of the pattern, where blocks begin */
    BLOCK_STAMP = 8,
};

/* Which block: of which connection, and its how manieth. */
struct block {
    uint64_t connection, sequence;
};

static inline uint64_t block_stamp(struct block block)
{
    return (block.connection + 1) << 40 ^ (block.sequence + 1);
}

static inline const unsigned char *block_pattern(const unsigned char *pattern, struct block block)
{
    return pattern + (block.connection * 131 + block.sequence * 17) % BLOCK_PLACES;
}

/* The pattern is BLOCK_PLACES longer than the block. */
static inline void block_make(struct block block, const unsigned char *pattern,
                              unsigned char *bytes, size_t size)
{
    uint64_t stamp = block_stamp(block);
    memcpy(bytes, block_pattern(pattern, block), size);
    memcpy(bytes, &stamp, size < BLOCK_STAMP ? size : BLOCK_STAMP);
}

/* Whether these `n` bytes are the block's from place `from` on. */
static inline bool block_has(struct block block, const unsigned char *pattern, size_t from,
                             const unsigned char *bytes, size_t n)
{
    uint64_t stamp = block_stamp(block);
    if (from < BLOCK_STAMP) {
        size_t part = n < BLOCK_STAMP - from ? n : BLOCK_STAMP - from;
        if (memcmp(bytes, (unsigned char *)&stamp + from, part) != 0)
            return false;
        bytes += part, from += part, n -= part;
    }
    return memcmp(bytes, block_pattern(pattern, block) + from, n) == 0;
}

#endif
