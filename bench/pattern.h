/* The bytes that the benchmark's servers and loads carry in bulk, so that each knows what the other
 * has to send. The same in every language: xorshift64, of each state the byte from bit 32 on. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { PATTERN_SIZE = 1 << 20, PATTERN_ALIGNMENT = 4096 };

/* The first `size` bytes of it; what is sent and compared in bulk is its first PATTERN_SIZE. */
static inline unsigned char *bench_pattern(size_t size)
{
    size_t pages = (size + PATTERN_ALIGNMENT - 1) / PATTERN_ALIGNMENT;
    unsigned char *pattern = aligned_alloc(PATTERN_ALIGNMENT, pages * PATTERN_ALIGNMENT);
    if (!pattern)
        abort();
    uint64_t random = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < size; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        pattern[i] = (unsigned char)(random >> 32);
    }
    return pattern;
}

#endif
