/* See fuzz.h. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/segment.h"
#include "task/loop.h"

void fuzz_fail(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, condition);
    abort();
}

/* ---- The fuzzer's bytes ---------------------------------------------------------------------- */

size_t input_size(struct input *input)
{
    size_t size = input_byte(input);
    return size < 248 ? size : (size & 7) << 8 | input_byte(input);
}

const uint8_t *input_take(struct input *input, size_t size, size_t *ret_size)
{
    const uint8_t *bytes = input->at;
    *ret_size = min_size(size, input_left(input));
    input->at += *ret_size;
    return bytes;
}

/* ---- A loop ---------------------------------------------------------------------------------- */

static struct weir_loop loop;

struct weir_loop *fuzz_loop(void)
{
    if (loop_running == NULL) {
        stacks_open(&loop.stacks, LIMIT_STACK);
        loop.now = 1;
        loop_running = &loop;
    }
    return &loop;
}

void fuzz_settle(void)
{
    struct list_node *node;
    bool more = true;
    while (more) {
        more = false;
        if ((node = list_take_first(&loop.ready)) != NULL) {
            task_resume(container_of(node, struct weir_task, node));
            more = true;
        } else if ((node = list_take_first(&loop.deferred)) != NULL) {
            struct deferred *deferred = container_of(node, struct deferred, node);
            deferred->run(deferred);
            more = true;
        }
    }
}

void fuzz_pass_time(int64_t duration)
{
    loop.now += duration;
    timers_fire(&loop.timers, loop.now);
    fuzz_settle();
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static uint64_t segments;

static void release(struct weir_segment *segment)
{
    segments--;
    free(segment->data);
    free(segment);
}

struct weir_segment *fuzz_segment(const void *data, size_t size, size_t room)
{
    struct weir_segment *segment = malloc(sizeof *segment);
    *segment = (struct weir_segment){
        .data = malloc(size + room),
        .capacity = size + room,
        .used = size,
        .references = 1,
        .release = release,
    };
    memcpy(segment->data, data, size);
    segments++;
    return segment;
}

uint64_t fuzz_segments(void)
{
    return segments + metrics.segments_open;
}
