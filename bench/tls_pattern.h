/* The bytes that are carried in bulk: both ends know what belongs where. bench-tls writes the same
 * to the file that servers send. */
#ifndef BENCH_TLS_PATTERN_H
#define BENCH_TLS_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* It repeats after a prime, so that no piece of a power of two passes for another. */
enum { PATTERN_PERIOD = 65521, PATTERN_PIECE = 64 * 1024 };

/* A period, and so much more that a piece may start at any place of it. */
static unsigned char pattern[PATTERN_PERIOD + PATTERN_PIECE];

static inline void pattern_fill(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (unsigned char)(i % PATTERN_PERIOD * 151 + (i % PATTERN_PERIOD >> 8));
}

/* PATTERN_PIECE bytes of it from place `from` on. */
static inline const unsigned char *pattern_at(uint64_t from)
{
    return pattern + from % PATTERN_PERIOD;
}

#endif
