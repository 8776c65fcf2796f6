#include "sim/ring.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "kernel/sys.h"
#include "sim/choice.h"
#include "sim/thread.h"
#include "sim/world.h"
#include "task/loop.h"

/* ---- Posting --------------------------------------------------------------------------------- */

static bool has_room(const struct sim_ring *ring)
{
    unsigned head = __atomic_load_n(ring->cq_head, __ATOMIC_ACQUIRE);
    return *ring->cq_tail - head < ring->cq_entries && list_is_empty(&ring->overflow);
}

static void write_cqe(struct sim_ring *ring, const struct done *done)
{
    unsigned tail = *ring->cq_tail;
    ring->cqes[tail & (ring->cq_entries - 1)] = (struct io_uring_cqe){ .user_data = done->user_data,
                                                                       .res = done->result,
                                                                       .flags = done->flags };
    __atomic_store_n(ring->cq_tail, tail + 1, __ATOMIC_RELEASE);
    ring->posted++;
}

/* Into the CQ, or, if it is full, behind what waits for room. */
static void post(struct sim_ring *ring, struct done *done)
{
    bool full = !has_room(ring) || fault(FAULT_CQ_OVERFLOW, "a completion");
    if (!full) {
        write_cqe(ring, done);
        free(done);
        return;
    }
    trace("the CQ is full");
    list_append(&ring->overflow, &done->node);
    *ring->sq_flags |= IORING_SQ_CQ_OVERFLOW;
}

static void flush_overflow(struct sim_ring *ring)
{
    unsigned head = __atomic_load_n(ring->cq_head, __ATOMIC_ACQUIRE);
    while (!list_is_empty(&ring->overflow) && *ring->cq_tail - head < ring->cq_entries) {
        struct done *done = container_of(list_take_first(&ring->overflow), struct done, node);
        write_cqe(ring, done);
        free(done);
    }
    if (list_is_empty(&ring->overflow))
        *ring->sq_flags &= ~IORING_SQ_CQ_OVERFLOW;
}

/* False: a multishot that finds no room in the CQ, which must end. What its owner has not been told
 * of counts, too. */
bool ring_post(struct sim_ring *ring, uint64_t user_data, int result, uint32_t flags)
{
    unsigned waiting = 0;
    bool behind = false; /* one operation's completions keep their order */
    for (struct list_node *node = list_first(&ring->work); node != NULL;
         node = list_next(&ring->work, node)) {
        waiting++;
        behind |= container_of(node, struct done, node)->user_data == user_data;
    }
    unsigned head = __atomic_load_n(ring->cq_head, __ATOMIC_ACQUIRE);
    bool full =
        !list_is_empty(&ring->overflow) || *ring->cq_tail - head + waiting >= ring->cq_entries;
    if (full && flags & IORING_CQE_F_MORE && !(flags & IORING_CQE_F_NOTIF))
        return false;
    struct done *done = calloc(1, sizeof *done);
    if (done == NULL)
        abort();
    *done = (struct done){ .user_data = user_data, .result = result, .flags = flags };
    if (ring->submitting && !behind) {
        post(ring, done);
        return true;
    }
    list_append(&ring->work, &done->node);
    if (ring->flags & IORING_SETUP_TASKRUN_FLAG)
        *ring->sq_flags |= IORING_SQ_TASKRUN;
    if (ring->sleeper != NULL)
        thread_wake(ring->sleeper);
    return true;
}

/* What has been done reaches the CQ when its owner enters: all, or at least one. */
static void run_work(struct sim_ring *ring)
{
    flush_overflow(ring);
    while (!list_is_empty(&ring->turns))
        request_go(container_of(list_first(&ring->turns), struct request, turn));
    bool some = fault(FAULT_LATE_WAKE, "the ring's work");
    while (!list_is_empty(&ring->work)) {
        post(ring, container_of(list_take_first(&ring->work), struct done, node));
        if (some && choose(2, "more of the work") == 0)
            break;
    }
    if (list_is_empty(&ring->work) && list_is_empty(&ring->turns))
        *ring->sq_flags &= ~IORING_SQ_TASKRUN;
}

/* ---- Submitting ------------------------------------------------------------------------------ */

/* How many of `count` the kernel finds memory for, or why it takes none. */
static int how_many(struct sim_ring *ring, unsigned count)
{
    if (fault(FAULT_BUSY, "io_uring_enter"))
        return list_is_empty(&ring->overflow) ? -EAGAIN : -EBUSY;
    if (!fault_call(FAULT_SUBMIT_PART, "io_uring_enter"))
        return (int)count;
    unsigned part = choose(count, "how many are submitted");
    return part == 0 ? -EAGAIN : (int)part;
}

static int submit(struct sim_ring *ring, unsigned count)
{
    unsigned head = *ring->sq_head;
    unsigned there = __atomic_load_n(ring->sq_tail, __ATOMIC_ACQUIRE) - head;
    if (there > ring->entries)
        violation("the SQ has %u entries, and %u are said to be in it", ring->entries, there);
    if (count > there)
        count = there;
    if (count == 0)
        return 0;
    int taken = how_many(ring, count);
    struct request *chain = NULL;
    ring->submitting = true;
    for (int i = 0; i < taken; i++) {
        unsigned index = head & (ring->entries - 1);
        if (!(ring->flags & IORING_SETUP_NO_SQARRAY))
            index = ring->sq_array[index];
        head++;
        __atomic_store_n(ring->sq_head, head, __ATOMIC_RELEASE);
        if (index < ring->entries)
            request_submit(ring, &ring->sqes[index], &chain);
    }
    ring->submitting = false;
    if (chain != NULL)
        request_start(chain); /* it ends where the submission does, and is done by a worker */
    return taken;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static unsigned ready(const struct sim_ring *ring)
{
    return *ring->cq_tail - __atomic_load_n(ring->cq_head, __ATOMIC_ACQUIRE);
}

static int wait_for(struct sim_ring *ring, unsigned least, int64_t timeout)
{
    int64_t until = timeout < 0 ? INT64_MAX : events_now() + timeout;
    int rc = 0;
    run_work(ring);
    least = least < ring->cq_entries ? least : ring->cq_entries;
    if (fault(FAULT_INTERRUPT, "io_uring_enter"))
        return ready(ring) > 0 || least == 0 ? 0 : -EINTR;
    ring->sleeper = thread_this();
    while (rc == 0 && ready(ring) < least && list_is_empty(&ring->overflow)) {
        thread_says(timeout < 0 ? "in io_uring_enter" : "in io_uring_enter, for a time");
        if (timeout >= 0 && events_now() >= until)
            rc = -ETIME;
        else
            thread_sleep(timeout < 0 ? -1 : until - events_now());
        run_work(ring);
    }
    ring->sleeper = NULL;
    if (ready(ring) > 0) /* even if more was waited for */
        rc = 0;
    if (rc == -ETIME && fault(FAULT_LATE_WAKE, "io_uring_enter")) {
        thread_sleep((int64_t)(1 + choose(100, "how late")) * WEIR_MILLISECOND);
        run_work(ring);
    }
    return rc;
}

int sys_ring_enter(int fd, unsigned count, unsigned wait, unsigned flags, int64_t timeout)
{
    int error;
    struct sim_ring *ring =
        flags & IORING_ENTER_REGISTERED_RING ? ring_at_place(fd, &error) : ring_by_fd(fd, &error);
    if (ring == NULL)
        return error;
    if (flags & ~(IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING | IORING_ENTER_EXT_ARG |
                  IORING_ENTER_NO_IOWAIT))
        return -EINVAL;
    if (ring->flags & IORING_SETUP_SINGLE_ISSUER && ring->owner != thread_this())
        return -EEXIST;
    if (flags & IORING_ENTER_NO_IOWAIT && !world_profile()->no_iowait)
        return -EINVAL;
    ring->is_loops |= loop_this() != NULL;
    ring_check(ring);
    groups_look(ring);
    events_breathe();
    int submitted = submit(ring, count);
    if (submitted != (int)count || !(flags & IORING_ENTER_GETEVENTS))
        return submitted;
    int rc = wait_for(ring, wait, timeout);
    return submitted > 0 ? submitted : rc;
}
