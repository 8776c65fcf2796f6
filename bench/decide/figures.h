/* What the programs share that measure by themselves: the CPU time of a thread, and percentiles. */
#ifndef DECIDE_FIGURES_H
#define DECIDE_FIGURES_H

#include "../common.h"

static inline double thread_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static inline int compare_ns(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static inline void sort_ns(int64_t *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare_ns);
}

/* In microseconds, of sorted values. */
static inline double percentile_us(const int64_t *sorted, unsigned count, double percent)
{
    unsigned index = (unsigned)((double)count * percent / 100);
    return (double)sorted[index < count ? index : count - 1] / 1000;
}

#endif
