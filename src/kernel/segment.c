#include "kernel/segment.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"

/* Segments of the usual sizes that wait for their next use, the last freed first: small writes are
 * packed into one; a record of TLS fits into one, or a few. The large ones malloc would give
 * back to the system each time. */
static const struct {
    size_t capacity;
    unsigned most; /* spare ones */
} sizes[] = {
    { LIMIT_SEGMENT, LIMIT_SPARE },
    { LIMIT_SEGMENT_RECORD, LIMIT_SPARE / 8 },
    { LIMIT_SEGMENT_BULK, LIMIT_SPARE / 16 },
};
enum { SIZES = sizeof sizes / sizeof *sizes };

static _Thread_local struct {
    struct weir_segment *first;
    unsigned count;
} spare[SIZES];

static void release_to_heap(struct weir_segment *segment)
{
    unsigned i = 0;
    metrics.segments_open--;
    while (i < SIZES && segment->capacity != sizes[i].capacity)
        i++;
    if (i == SIZES || spare[i].count >= sizes[i].most) {
        free(segment);
        return;
    }
    *(struct weir_segment **)(void *)segment->data = spare[i].first;
    spare[i].first = segment;
    spare[i].count++;
}

/* The smallest that fits, unless that would waste half of it. */
static unsigned size_for(size_t capacity)
{
    unsigned i = 0;
    while (i < SIZES && capacity > sizes[i].capacity)
        i++;
    return i > 0 && i < SIZES && capacity < sizes[i].capacity / 2 ? SIZES : i;
}

static struct weir_segment *take_spare(unsigned i)
{
    struct weir_segment *segment = spare[i].first;
    if (segment != NULL) {
        spare[i].first = *(struct weir_segment **)(void *)segment->data;
        spare[i].count--;
    }
    return segment;
}

struct weir_segment *segment_new(size_t capacity)
{
    struct weir_segment *segment = NULL;
    unsigned i = size_for(capacity);
    if (likely(i < SIZES)) {
        capacity = sizes[i].capacity;
        segment = take_spare(i);
    }
    if (segment == NULL) {
        segment = malloc(sizeof *segment + capacity);
        if (segment == NULL)
            return NULL;
        segment->data = (char *)(segment + 1);
        segment->capacity = capacity;
        segment->release = release_to_heap;
    }
    segment->used = 0;
    segment->references = 1;
    metrics.segments_open++;
    return segment;
}

void segment_free_spare(void)
{
    for (unsigned i = 0; i < SIZES; i++) {
        struct weir_segment *segment;
        while ((segment = take_spare(i)) != NULL)
            free(segment);
    }
}
