/* Latencies, counted so that percentiles can be told of any number of them. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

/* Log-linear: nanoseconds below 128 are exact, and each power of two from there on has 64 buckets,
 * whose middle is at most 0.8 % off. */
enum { EXACT_BITS = 7, STEP = 1 << (EXACT_BITS - 1), BUCKET_COUNT = (64 - EXACT_BITS + 2) * STEP };

struct histogram {
    uint64_t counts[BUCKET_COUNT];
    uint64_t total;
    int64_t most;
};

static inline void histogram_add(struct histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    unsigned bits = value ? 64 - (unsigned)__builtin_clzll(value) : 0;
    unsigned shift = bits > EXACT_BITS ? bits - EXACT_BITS : 0;
    histogram->counts[shift * STEP + (value >> shift)]++;
    histogram->total++;
    if (ns > histogram->most)
        histogram->most = ns;
}

static inline double histogram_us(const struct histogram *histogram, double percentile)
{
    double wanted = (double)histogram->total * percentile / 100, seen = 0;
    for (unsigned bucket = 0; bucket < BUCKET_COUNT && histogram->total > 0; bucket++) {
        seen += (double)histogram->counts[bucket];
        if (seen < wanted || seen == 0)
            continue;
        unsigned shift = bucket < 2 * STEP ? 0 : bucket / STEP - 1;
        uint64_t low = (uint64_t)(bucket - shift * STEP) << shift;
        double middle = (double)low + (double)(((uint64_t)1 << shift) - 1) / 2;
        return (middle < (double)histogram->most ? middle : (double)histogram->most) / 1000;
    }
    return 0;
}

/* Members of a JSON object, without the braces. */
static inline void histogram_print_json(const struct histogram *histogram)
{
    printf("\"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, "
           "\"max_us\": %.2f",
           histogram_us(histogram, 50), histogram_us(histogram, 90), histogram_us(histogram, 99),
           histogram_us(histogram, 99.9), (double)histogram->most / 1000);
}

static inline void histogram_print_text(const struct histogram *histogram)
{
    printf("p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", histogram_us(histogram, 50),
           histogram_us(histogram, 90), histogram_us(histogram, 99), histogram_us(histogram, 99.9),
           (double)histogram->most / 1000);
}

#endif
