/* A ring that is set up and entered in whichever way is asked for. It is entered by the system call
 * itself: liburing 2.3 cannot pass all of that. */
#ifndef DECIDE_RING_H
#define DECIDE_RING_H

#include "choices.h"
#include "compat.h"

#include <sys/syscall.h>

enum ring_array { ARRAY_IF_NEEDED, ARRAY_NEVER, ARRAY_ALWAYS };
enum ring_setup { SETUP_DEFER, SETUP_COOP, SETUP_PLAIN };

/* Zeroed: as weir's ring on a new kernel, as far as these programs go. */
struct ring_choices {
    unsigned setup;    /* enum ring_setup */
    unsigned array;    /* of indices to SQEs: enum ring_array */
    unsigned plain_fd; /* entered by its fd, not as a registered ring */
    unsigned iowait;   /* waiting counts as waiting for a disk */
    unsigned min_wait; /* us to wait for `min_count` completions, then for one */
    unsigned min_count;
    unsigned timeout; /* each wait is given one: of a minute, unless changed */
};

enum { RING_SQES = 1024, RING_CQES = 8192 };

struct ring {
    struct io_uring uring;
    struct ring_choices choices;
    unsigned enter_flags;
    struct decide_getevents_arg wait; /* passed if any of it is chosen */
    struct __kernel_timespec timeout; /* that it points to */
};

static inline unsigned ring_setup_flags(const struct ring_choices *choices)
{
    static const unsigned flags[] = {
        [SETUP_DEFER] =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        [SETUP_COOP] = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        [SETUP_PLAIN] = 0,
    };
    return flags[choices->setup] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
}

static inline void ring_require(const struct ring *ring, const char *program, unsigned feature,
                                const char *what)
{
    if (!(ring->uring.features & feature))
        die_unsupported(program, what);
}

static inline void ring_choose_waiting(struct ring *ring, const char *program)
{
    const struct ring_choices *choices = &ring->choices;
    if (choices->min_wait > 0)
        ring_require(ring, program, IORING_FEAT_MIN_TIMEOUT, "min_wait_usec (6.12)");
    if (choices->iowait)
        ring_require(ring, program, IORING_FEAT_NO_IOWAIT, "a choice of I/O wait (6.15)");
    else if (ring->uring.features & IORING_FEAT_NO_IOWAIT)
        ring->enter_flags |= IORING_ENTER_NO_IOWAIT;
    ring->timeout.tv_sec = 60;
    ring->wait.min_wait_usec = choices->min_wait;
    if (choices->timeout)
        ring->wait.timeout = (uintptr_t)&ring->timeout;
    if (choices->timeout || choices->min_wait > 0)
        ring->enter_flags |= IORING_ENTER_EXT_ARG;
}

/* Without the array of indices, unless it is asked for or the kernel cannot do without it. */
static inline int ring_create(const char *program, const struct ring_choices *choices,
                              struct io_uring_params *ret_params)
{
    struct io_uring_params params = {
        .flags = ring_setup_flags(choices) | IORING_SETUP_NO_SQARRAY,
        .cq_entries = RING_CQES,
    };
    *ret_params = params;
    int fd = -1;
    if (choices->array != ARRAY_ALWAYS)
        fd = (int)syscall(__NR_io_uring_setup, RING_SQES, ret_params);
    if (fd < 0 && choices->array != ARRAY_NEVER) {
        *ret_params = params;
        ret_params->flags &= ~IORING_SETUP_NO_SQARRAY;
        fd = (int)syscall(__NR_io_uring_setup, RING_SQES, ret_params);
    }
    if (fd < 0 && errno == EINVAL)
        die_unsupported(program, choices->array == ARRAY_NEVER ? "NO_SQARRAY (6.6)"
                                                               : "this set-up of a ring");
    if (fd < 0)
        die(program, EXIT_FAILED, "io_uring_setup: %s", strerror(errno));
    return fd;
}

/* The library's own set-up is left out: that of liburing 2.3 writes the array of indices also where
 * there is none. */
static inline void ring_open(struct ring *ring, const char *program,
                             const struct ring_choices *choices)
{
    struct io_uring_params params;
    int fd = ring_create(program, choices, &params);
    bool array = !(params.flags & IORING_SETUP_NO_SQARRAY);
    *ring = (struct ring){ .choices = *choices, .enter_flags = IORING_ENTER_GETEVENTS };
    int error = io_uring_queue_mmap(fd, &params, &ring->uring);
    if (error < 0)
        die(program, EXIT_FAILED, "mmap of the ring: %s", strerror(-error));
    ring->uring.features = params.features;
    for (unsigned i = 0; array && i < params.sq_entries; i++)
        ring->uring.sq.array[i] = i;
    if (!choices->plain_fd) {
        if (io_uring_register_ring_fd(&ring->uring) != 1)
            die_unsupported(program, "a registered ring (5.18)");
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    ring_choose_waiting(ring, program);
}

/* Submits what is queued, and waits for one completion or in the way chosen, or not at all. */
static inline int ring_enter(struct ring *ring, bool wait)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    unsigned queued = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
    unsigned count = ring->choices.min_wait > 0 ? ring->choices.min_count : 1;
    bool extended = ring->enter_flags & IORING_ENTER_EXT_ARG;
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    long result =
        syscall(__NR_io_uring_enter, ring->uring.enter_ring_fd, queued, wait ? count : 0,
                ring->enter_flags, extended ? &ring->wait : NULL, extended ? sizeof ring->wait : 0);
    return result < 0 ? -errno : (int)result;
}

/* What stands in the way of one turn does not in the next, once completions are taken. */
static inline void ring_turn(struct ring *ring, const char *program)
{
    int error = ring_enter(ring, true);
    if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY && error != -ETIME)
        die(program, EXIT_FAILED, "io_uring_enter: %s", strerror(-error));
}

static inline struct io_uring_sqe *ring_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring->uring)))
        ring_enter(ring, false);
    return sqe;
}

/* A completion, once it is taken out of its ring. */
struct ring_event {
    uint64_t purpose;
    int result;
    unsigned flags;
};

/* For programs that do one thing at a time: the next completion, which is taken. */
static inline struct ring_event ring_next(struct ring *ring, const char *program)
{
    struct io_uring_cq *cq = &ring->uring.cq;
    while (io_uring_cq_ready(&ring->uring) == 0)
        ring_turn(ring, program);
    struct io_uring_cqe *cqe = &cq->cqes[*cq->khead & *cq->kring_mask];
    struct ring_event event = { cqe->user_data, cqe->res, cqe->flags };
    io_uring_cq_advance(&ring->uring, 1);
    return event;
}

/* The next client's socket, likewise. */
static inline int ring_accept(struct ring *ring, const char *program, int listener)
{
    int fd;
    do {
        io_uring_prep_accept(ring_sqe(ring), listener, NULL, NULL, SOCK_CLOEXEC);
        fd = ring_next(ring, program).result;
    } while (fd < 0);
    return fd;
}

#endif
