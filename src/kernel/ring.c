#include "kernel/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/compat.h"
#include "kernel/sys.h"

/* ---- Setting up ------------------------------------------------------------------------------ */

/* Why there can be no ring, for weir_strerror() to word the remedy. */
static int explain(int error)
{
    switch (error) {
    case -EPERM:
    case -EACCES:
        return sys_read_number("/proc/sys/kernel/io_uring_disabled", 0) != 0 ? WEIR_RING_DISABLED
                                                                             : WEIR_RING_BLOCKED;
    case -ENOSYS:
    case -EINVAL:
        return WEIR_RING_MISSING;
    case -ENOMEM:
        return WEIR_RING_MEMORY;
    default:
        return error;
    }
}

/* Each kernel is asked for all it might know, then for less. Only EINVAL means "I don't know that
 * flag": EPERM is an answer about us, and asking for less would not change it. */
static int setup(struct ring *ring, unsigned entries)
{
    static const unsigned wishes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY, /* 6.6 */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,                           /* 6.1 */
        IORING_SETUP_COOP_TASKRUN, /* 5.19 */
    };
    int fd = -EINVAL;
    for (size_t i = 0; fd == -EINVAL && i < sizeof wishes / sizeof *wishes; i++) {
        struct io_uring_params params = {
            .flags = wishes[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG |
                     IORING_SETUP_CQSIZE,
            .cq_entries = entries <= LIMIT_RING_MAX / 2 ? 4 * entries : 2 * LIMIT_RING_MAX,
        };
        fd = sys_ring_setup(&ring->uring, entries, &params);
    }
    return fd;
}

/* Buffer rings and multishot receives came in 5.19 and 6.0: SEND_ZC is of the latter's age. */
static int check_age(int fd)
{
    size_t size = sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op);
    struct io_uring_probe *probe = calloc(1, size);
    if (probe == NULL)
        return -ENOMEM;
    int rc = sys_ring_register(fd, IORING_REGISTER_PROBE, probe, 256);
    if (rc == 0 && (probe->last_op < IORING_OP_SEND_ZC ||
                    !(probe->ops[IORING_OP_SEND_ZC].flags & IO_URING_OP_SUPPORTED)))
        rc = -ENOSYS;
    free(probe);
    return rc;
}

/* A registered ring fd saves a look-up an enter. */
static void register_fd(struct ring *ring)
{
    struct io_uring_rsrc_update update = { .offset = -1U, .data = (unsigned)ring->uring.ring_fd };
    if (sys_ring_register(ring->uring.ring_fd, IORING_REGISTER_RING_FDS, &update, 1) == 1) {
        ring->fd = (int)update.offset;
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
}

int ring_open(struct ring *ring, unsigned entries)
{
    *ring = (struct ring){ 0 };
    int fd = setup(ring, entries);
    if (fd < 0)
        return explain(fd);
    int rc = check_age(fd);
    if (rc < 0) {
        sys_ring_exit(&ring->uring);
        return explain(rc);
    }
    ring->fd = fd;
    ring->scratch_size = LIMIT_BATCHES * (64 + LIMIT_LINK_PIECES * sizeof(struct iovec));
    ring->scratch = malloc(ring->scratch_size);
    if (ring->scratch == NULL) {
        sys_ring_exit(&ring->uring);
        return -ENOMEM;
    }
    ring->enter_flags = IORING_ENTER_GETEVENTS;
    if (ring->uring.features &
        IORING_FEAT_NO_IOWAIT) /* else an idle server looks busy with disks */
        ring->enter_flags |= IORING_ENTER_NO_IOWAIT;
    register_fd(ring);
    unsigned slots = *ring->uring.sq.kring_entries;
    ring->reserve = slots / 4 < 16 ? slots / 4 : 16;
    ring->tail = *ring->uring.sq.ktail;
    if (!(ring->uring.flags & IORING_SETUP_NO_SQARRAY)) {
        for (unsigned i = 0; i < slots; i++) /* slots are always taken in their order */
            ring->uring.sq.array[i] = i;
    }
    return 0;
}

/* A registered ring is there, with all that is in flight, until its thread ends. */
static void unregister_fd(struct ring *ring)
{
    struct io_uring_rsrc_update update = { .offset = (unsigned)ring->fd };
    if (ring->enter_flags & IORING_ENTER_REGISTERED_RING)
        sys_ring_register(ring->uring.ring_fd, IORING_UNREGISTER_RING_FDS, &update, 1);
}

void ring_close(struct ring *ring)
{
    if (ring->scratch == NULL)
        return;
    unregister_fd(ring);
    sys_ring_exit(&ring->uring);
    free(ring->scratch);
    ring->scratch = NULL;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static unsigned free_slots(const struct ring *ring)
{
    unsigned head = __atomic_load_n(ring->uring.sq.khead, __ATOMIC_ACQUIRE);
    return *ring->uring.sq.kring_entries - (ring->tail - head);
}

static struct io_uring_sqe *slot(const struct ring *ring, unsigned index)
{
    return &ring->uring.sq.sqes[index & *ring->uring.sq.kring_mask];
}

struct io_uring_sqe *ring_sqe(struct ring *ring, struct op *op)
{
    if (unlikely(free_slots(ring) == 0))
        return NULL;
    struct io_uring_sqe *sqe = slot(ring, ring->tail++);
    memset(sqe, 0, sizeof *sqe);
    sqe->user_data = (uint64_t)(uintptr_t)op;
    metrics.submissions++;
    return sqe;
}

void ring_park(struct ring *ring, struct ring_waiter *waiter)
{
    if (!list_holds(&waiter->node)) {
        list_append(&ring->parked, &waiter->node);
        metrics.sq_pressure++;
    }
}

unsigned ring_send_room(const struct ring *ring)
{
    unsigned slots = free_slots(ring);
    if (slots <= ring->reserve)
        return 0;
    if (!list_is_empty(&ring->writers))
        return ring->retrying ? 1 : 0; /* others wait: one slot each, and in their order */
    return slots - ring->reserve;
}

void ring_park_send(struct ring *ring, struct ring_waiter *waiter)
{
    if (!list_holds(&waiter->node)) {
        list_append(&ring->writers, &waiter->node);
        metrics.sq_pressure++;
    }
}

bool ring_is_quiet(const struct ring *ring)
{
    return ring->tail == *ring->uring.sq.khead && list_is_empty(&ring->writers);
}

void *ring_scratch(struct ring *ring, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (ring->scratch_size - ring->scratch_used < size)
        return NULL;
    void *memory = ring->scratch + ring->scratch_used;
    ring->scratch_used += size;
    return memory;
}

bool ring_cancel(struct ring *ring, struct op *target, struct cancel *cancel)
{
    if (cancel->asked || cancel->found)
        return true;
    struct io_uring_sqe *sqe = ring_sqe(ring, &cancel->op);
    if (sqe == NULL)
        return false;
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = (uint64_t)(uintptr_t)target;
    cancel->asked = true;
    return true;
}

void cancel_completed(struct cancel *cancel, int result, bool in_flight)
{
    cancel->asked = false;
    cancel->found = in_flight && result != -ENOENT;
}

/* ---- The turn -------------------------------------------------------------------------------- */

static unsigned completions_ready(const struct ring *ring)
{
    return __atomic_load_n(ring->uring.cq.ktail, __ATOMIC_ACQUIRE) - *ring->uring.cq.khead;
}

/* The kernel took a part only (it had no memory for the rest), and a chain ends where a
 * submission does: what was linked would go on by itself, and its bytes might overtake those
 * before. Such sends are made to do nothing, which tells their stream that it is broken; and the
 * close that followed them is made to fail, as it would have with them. */
static void break_chains(struct ring *ring)
{
    unsigned head = __atomic_load_n(ring->uring.sq.khead, __ATOMIC_ACQUIRE);
    for (bool linked = slot(ring, head - 1)->flags & IOSQE_IO_LINK; linked && head != ring->tail;
         head++) {
        struct io_uring_sqe *sqe = slot(ring, head);
        linked = sqe->flags & IOSQE_IO_LINK;
        if (sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG)
            *sqe = (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .user_data = sqe->user_data };
        else if (sqe->opcode == IORING_OP_CLOSE)
            sqe->fd = -1;
    }
}

static int enter(struct ring *ring, int64_t timeout)
{
    unsigned queued = ring->tail - __atomic_load_n(ring->uring.sq.khead, __ATOMIC_ACQUIRE);
    __atomic_store_n(ring->uring.sq.ktail, ring->tail, __ATOMIC_RELEASE);
    unsigned pending = __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
                       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    bool parked = !list_is_empty(&ring->parked) || !list_is_empty(&ring->writers);
    if (completions_ready(ring) > 0 || parked)
        timeout = 0;
    if (timeout == 0 && queued == 0 && pending == 0)
        return 0;
    if (pending & IORING_SQ_CQ_OVERFLOW)
        metrics.cq_overflows++;

    metrics.enters++;
    int rc = sys_ring_enter(ring->fd, queued, timeout != 0, ring->enter_flags, timeout);
    if (rc == (int)queued)
        ring->scratch_used = 0;
    else if (rc > 0)
        break_chains(ring);
    if (rc >= 0)
        return 0;
    switch (rc) {
    case -ETIME: /* the time-out has passed */
    case -EINTR: /* a signal came first: the loop looks at its timers and comes back */
        if (queued == 0 || free_slots(ring) == *ring->uring.sq.kring_entries)
            ring->scratch_used = 0;
        return 0;
    case -EBUSY:  /* completions that did not fit the CQ must be taken first: now they are */
    case -EAGAIN: /* no memory for a request now: what is queued stays queued */
    case -ENOMEM:
        if (completions_ready(ring) == 0)
            sys_ring_enter(ring->fd, 0, 1, ring->enter_flags, WEIR_MILLISECOND);
        return 0;
    default: /* EBADF, EFAULT, EINVAL, ENXIO, EOPNOTSUPP: not to be mended by trying again */
        return rc;
    }
}

static void complete_all(struct ring *ring)
{
    struct io_uring_cq *cq = &ring->uring.cq;
    unsigned head = *cq->khead;
    unsigned tail = __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE);
    metrics.completions += tail - head;
    for (; head != tail; head++) {
        const struct io_uring_cqe *cqe = &cq->cqes[head & *cq->kring_mask];
        struct op *op = (struct op *)(uintptr_t)cqe->user_data;
        prefetch((void *)(uintptr_t)cq->cqes[(head + 2) & *cq->kring_mask].user_data);
        if (op != NULL)
            op->complete(op, cqe->res, cqe->flags);
    }
    __atomic_store_n(cq->khead, head, __ATOMIC_RELEASE);
}

/* Lets each that is parked try once. Who finds no slot again goes to the end of the queue; it
 * is not tried twice, so this ends. */
static void retry(struct ring *ring)
{
    struct list_node *last = list_last(&ring->parked);
    for (struct list_node *node = NULL;
         node != last && free_slots(ring) > 0 && !list_is_empty(&ring->parked);) {
        node = list_take_first(&ring->parked);
        struct ring_waiter *waiter = container_of(node, struct ring_waiter, node);
        waiter->retry(waiter);
    }
    ring->retrying = true;
    last = list_last(&ring->writers);
    for (struct list_node *node = NULL;
         node != last && ring_send_room(ring) > 0 && !list_is_empty(&ring->writers);) {
        node = list_take_first(&ring->writers);
        struct ring_waiter *waiter = container_of(node, struct ring_waiter, node);
        waiter->retry(waiter);
    }
    ring->retrying = false;
}

int ring_turn(struct ring *ring, int64_t timeout)
{
    int rc = enter(ring, timeout);
    if (unlikely(rc < 0))
        return rc;
    complete_all(ring);
    if (!list_is_empty(&ring->parked) || !list_is_empty(&ring->writers))
        retry(ring);
    return 0;
}
