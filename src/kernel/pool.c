#include "kernel/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/compat.h"
#include "kernel/ring.h"
#include "kernel/sys.h"

static unsigned round_up_to_power(unsigned n)
{
    unsigned power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static void release_to_pool(struct weir_segment *segment)
{
    struct buffer *buffer = container_of(segment, struct buffer, segment);
    struct buffers *buffers = buffer->owner;
    buffers->free[buffers->free_count++] = (uint32_t)(buffer - buffers->all);
    buffers->held--;
    metrics.segments_open--;
}

static int register_shared(struct buffers *buffers, struct ring *ring)
{
    unsigned entries = round_up_to_power(buffers->count);
    buffers->shared_size = entries * sizeof(struct io_uring_buf);
    buffers->shared = sys_map(buffers->shared_size);
    if (buffers->shared == NULL)
        return -ENOMEM;
    buffers->mask = entries - 1;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers->shared,
        .ring_entries = entries,
        .bgid = buffers->group,
    };
    return sys_ring_register(ring->uring.ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1);
}

static int buffers_open(struct buffers *buffers, struct ring *ring, unsigned count)
{
    buffers->count = count;
    buffers->all = calloc(count, sizeof *buffers->all);
    buffers->free = calloc(count, sizeof *buffers->free);
    buffers->memory = sys_map(count * buffers->size);
    if (buffers->all == NULL || buffers->free == NULL || buffers->memory == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        buffers->all[i].owner = buffers;
        buffers->all[i].segment = (struct weir_segment){
            .data = buffers->memory + i * buffers->size,
            .capacity = buffers->size,
            .release = release_to_pool,
        };
        buffers->free[count - 1 - i] = i;
    }
    buffers->free_count = count;
    return register_shared(buffers, ring);
}

/* The ring is closed by now, and with it the kernel's use of the memory. */
static void buffers_close(struct buffers *buffers)
{
    if (buffers->memory != NULL)
        sys_unmap(buffers->memory, buffers->count * buffers->size);
    if (buffers->shared != NULL)
        sys_unmap(buffers->shared, buffers->shared_size);
    free(buffers->all);
    free(buffers->free);
    *buffers = (struct buffers){ 0 };
}

/* Three eighths of the memory are for bulk streams, in large buffers, if that makes two or more. */
int pool_open(struct pool *pool, struct ring *ring, size_t memory)
{
    size_t large = memory * 3 / 8 / LIMIT_LARGE;
    if (large < 2)
        large = 0;
    size_t small = (memory - large * LIMIT_LARGE) / LIMIT_SMALL;
    *pool = (struct pool){
        .ring = ring,
        .small = { .size = LIMIT_SMALL, .target = LIMIT_SMALL_SHOWN, .group = 0 },
        .large = { .size = LIMIT_LARGE, .target = LIMIT_LARGE_SHOWN, .group = 1 },
    };
    int rc = buffers_open(&pool->small, ring, (unsigned)min_size(small, LIMIT_RING_MAX));
    if (rc == 0 && large > 0)
        rc = buffers_open(&pool->large, ring, (unsigned)min_size(large, LIMIT_RING_MAX));
    return rc;
}

void pool_close(struct pool *pool)
{
    buffers_close(&pool->small);
    buffers_close(&pool->large);
}

struct buffers *pool_buffers(struct pool *pool, bool large)
{
    return large && pool->large.count > 0 ? &pool->large : &pool->small;
}

struct weir_segment *buffers_filled(struct buffers *buffers, unsigned flags, size_t size)
{
    uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
    struct weir_segment *segment = &buffers->all[id].segment;
    metrics.buffers_received++;
    metrics.segments_open++;
    segment->references = 1;
    segment->used = size;
    buffers->published--;
    buffers->held++;
    if (likely(buffers->held <= buffers->count / 4 * 3))
        return segment;

    struct weir_segment *copy = segment_new(size);
    if (copy != NULL) {
        memcpy(copy->data, segment->data, size);
        copy->used = size;
        metrics.bytes_copied += size;
    }
    segment_drop(segment);
    return copy;
}

void buffers_starve(struct buffers *buffers, struct pool_waiter *waiter)
{
    metrics.buffers_missed++;
    if (list_is_empty(&buffers->starved) && buffers->published == 0)
        buffers->target = (unsigned)min_size(2 * buffers->target, buffers->count);
    if (!list_holds(&waiter->node))
        list_append(&buffers->starved, &waiter->node);
}

static void publish(struct buffers *buffers)
{
    unsigned added = 0;
    while (buffers->published + added < buffers->target && buffers->free_count > 0) {
        uint32_t id = buffers->free[--buffers->free_count];
        struct io_uring_buf *slot = &buffers->shared->bufs[(buffers->tail + added) & buffers->mask];
        slot->addr = (uint64_t)(uintptr_t)buffers->all[id].segment.data;
        slot->len = (uint32_t)buffers->size;
        slot->bid = (uint16_t)id;
        added++;
    }
    if (added == 0)
        return;
    buffers->published += added;
    buffers->tail += added;
    __atomic_store_n(&buffers->shared->tail, (uint16_t)buffers->tail, __ATOMIC_RELEASE);
}

/* As many of the starved as there are buffers, for more would only starve again. But they may have
 * nothing to receive, and leave the buffers to those behind them: true if there are any. */
static bool feed(struct buffers *buffers)
{
    unsigned portions = buffers->published;
    struct list_node *node;
    while (portions-- > 0 && (node = list_take_first(&buffers->starved)) != NULL) {
        struct pool_waiter *waiter = container_of(node, struct pool_waiter, node);
        waiter->retry(waiter);
    }
    return buffers->published > 0 && !list_is_empty(&buffers->starved);
}

bool pool_publish(struct pool *pool)
{
    bool more = false;
    publish(&pool->small);
    publish(&pool->large);
    if (unlikely(!list_is_empty(&pool->small.starved)))
        more |= feed(&pool->small);
    if (unlikely(!list_is_empty(&pool->large.starved)))
        more |= feed(&pool->large);
    return more;
}
