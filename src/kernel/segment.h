/* A segment is a stretch of bytes in memory that slices refer to: it lives until the last of its
 * holders drops it, and then returns to where it came from (the heap, the pool, its caller). */
#ifndef WEIR_KERNEL_SEGMENT_H
#define WEIR_KERNEL_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

struct weir_segment {
    char *data;
    size_t capacity; /* bytes at `data` */
    size_t used;     /* of them, how many hold something: more may be appended behind */
    uint32_t references;
    void (*release)(struct weir_segment *segment);
};

/* From the heap, with one reference and nothing used; NULL without memory. */
struct weir_segment *segment_new(size_t capacity);

/* Frees what is kept for reuse. */
void segment_free_spare(void);

static inline struct weir_segment *segment_hold(struct weir_segment *segment)
{
    segment->references++;
    return segment;
}

static inline void segment_drop(struct weir_segment *segment)
{
    if (--segment->references == 0)
        segment->release(segment);
}

#endif
