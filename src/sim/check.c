/* What must be true of the library at any time, and of a loop at its end. */
#include "base/macros.h"
#include "base/metrics.h"
#include "sim/ring.h"
#include "sim/sys.h"
#include "sim/world.h"
#include "task/loop.h"

/* Buffers whose completion has not been taken yet, or is still to come. */
static unsigned on_the_way(const struct sim_ring *ring)
{
    unsigned count = 0;
    const struct list *lists[] = { &ring->work, &ring->overflow };
    for (int i = 0; i < 2; i++) {
        for (struct list_node *node = list_first(lists[i]); node != NULL;
             node = list_next(lists[i], node))
            count += (container_of(node, struct done, node)->flags & IORING_CQE_F_BUFFER) != 0;
    }
    for (unsigned head = *ring->cq_head; head != *ring->cq_tail; head++)
        count += (ring->cqes[head & (ring->cq_entries - 1)].flags & IORING_CQE_F_BUFFER) != 0;
    for (struct list_node *node = list_first(&ring->requests); node != NULL;
         node = list_next(&ring->requests, node))
        count += container_of(node, struct request, node)->pinned != NULL;
    return count;
}

static unsigned check_buffers(const struct sim_ring *ring, const struct buffers *buffers)
{
    if (buffers->count == 0 || buffers->shared == NULL)
        return 0;
    struct group *group = group_find(ring, buffers->group);
    if (buffers->published + buffers->held + buffers->free_count != buffers->count)
        violation("of %u buffers of group %u, %u are published, %u held, %u free", buffers->count,
                  buffers->group, buffers->published, buffers->held, buffers->free_count);
    unsigned kernels = group != NULL ? (uint16_t)(buffers->tail - group->head) : 0;
    if (kernels > buffers->published)
        violation("the kernel has %u buffers of group %u, and %u are said to be published", kernels,
                  buffers->group, buffers->published);
    return buffers->published - kernels;
}

void ring_check(const struct sim_ring *ring)
{
    const struct weir_loop *loop = loop_this();
    if (loop == NULL || loop->ring.uring.ring_fd != ring->fd)
        return;
    unsigned taken =
        check_buffers(ring, &loop->pool.small) + check_buffers(ring, &loop->pool.large);
    unsigned told = on_the_way(ring);
    if (taken != told)
        violation("%u buffers were filled that %u completions tell of", taken, told);
}

static void equal(uint64_t a, uint64_t b, const char *what)
{
    if (a != b)
        violation("%s: %llu and %llu", what, (unsigned long long)a, (unsigned long long)b);
}

void ring_check_end(const struct sim_ring *ring)
{
    const struct weir_metrics *before = &ring->before;
    if (!ring->is_loops)
        return;
    equal(metrics.tasks_open, before->tasks_open, "a loop has ended, and tasks are open");
    equal(metrics.streams_open, before->streams_open, "a loop has ended, and streams are open");
    equal(metrics.streams_parked, before->streams_parked, "a loop has ended, and some are parked");
    equal(metrics.segments_open, before->segments_open, "a loop has ended, and buffers are held");
    equal(metrics.completions - before->completions, ring->posted, "completions taken, posted");
    equal(metrics.bytes_read - before->bytes_read, ring->read, "bytes_read, and what there was");
    equal(metrics.bytes_written - before->bytes_written, ring->written,
          "bytes_written, and what was taken");
}
