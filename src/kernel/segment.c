#include "kernel/segment.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"

/* Segments of the usual size that wait for their next use, the last freed first. */
static _Thread_local struct weir_segment *spare;
static _Thread_local unsigned spare_count;

static void release_to_heap(struct weir_segment *segment)
{
    metrics.segments_open--;
    if (segment->capacity == LIMIT_SEGMENT && spare_count < LIMIT_SPARE) {
        *(struct weir_segment **)(void *)segment->data = spare;
        spare = segment;
        spare_count++;
        return;
    }
    free(segment);
}

struct weir_segment *segment_new(size_t capacity)
{
    struct weir_segment *segment = NULL;
    if (capacity <= LIMIT_SEGMENT) {
        capacity = LIMIT_SEGMENT;
        segment = spare;
    }
    if (segment != NULL) {
        spare = *(struct weir_segment **)(void *)segment->data;
        spare_count--;
    } else {
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
    while (spare != NULL) {
        struct weir_segment *next = *(struct weir_segment **)(void *)spare->data;
        free(spare);
        spare = next;
    }
    spare_count = 0;
}
