/* The few words of C that every module uses. */
#ifndef WEIR_BASE_MACROS_H
#define WEIR_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The struct that `pointer`, its member, lies in. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Symbols of weir.h; all others stay inside the library. */
#define PUBLIC __attribute__((visibility("default")))

/* Has the processor fetch what will soon be read. Any address will do. */
static inline void prefetch(const void *address)
{
    __builtin_prefetch(address);
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
