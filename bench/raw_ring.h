/* What the raw servers on io_uring share: the ring, the buffers that it receives into, submitting.
 * How the ring is set up, and why, is told in raw_ring.c. */
#ifndef BENCH_RAW_RING_H
#define BENCH_RAW_RING_H

#include "common.h"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Newer than the headers of liburing 2.3. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 8192, BUFFER_GROUP = 0 };

/* Provided buffers, all of one size. `recycled` of them are in the kernel's ring, but not yet
 * published. */
struct buffers {
    struct io_uring_buf_ring *ring;
    unsigned char *bytes;
    unsigned count, size;
    int recycled;
    int held; /* that the kernel does not have */
};

/* ---- Set-up ---------------------------------------------------------------------------------- */

/* Without the array of indices, if the kernel can. The library's own set-up is left out then: that
 * of liburing 2.3 writes the array nonetheless, over the head and tail of the ring. */
static inline int open_ring(struct io_uring *ring, struct io_uring_params params)
{
    struct io_uring_params without_array = params;
    without_array.flags |= IORING_SETUP_NO_SQARRAY;
    int fd = (int)syscall(__NR_io_uring_setup, SQ_ENTRIES, &without_array);
    if (fd >= 0) {
        int error = io_uring_queue_mmap(fd, &without_array, ring);
        ring->features = without_array.features;
        return error;
    }
    return io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
}

static inline void set_up_ring(const char *program, struct io_uring *ring)
{
    int error =
        open_ring(ring, (struct io_uring_params){
                            .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                                     IORING_SETUP_CQSIZE,
                            .cq_entries = CQ_ENTRIES,
                        });
    if (error < 0)
        die(program, EXIT_FAILED, "io_uring_setup: %s", strerror(-error));
    error = io_uring_register_ring_fd(ring);
    if (error < 0)
        die(program, EXIT_FAILED, "io_uring_register_ring_fd: %s", strerror(-error));
}

/* The buffers' beginnings are to share no cache set. */
static inline size_t buffer_stride(const struct buffers *buffers)
{
    return buffers->size + 64;
}

static inline unsigned char *buffer_at(const struct buffers *buffers, unsigned buffer)
{
    return buffers->bytes + buffer * buffer_stride(buffers);
}

static inline void recycle(struct buffers *buffers, unsigned buffer)
{
    io_uring_buf_ring_add(buffers->ring, buffer_at(buffers, buffer), buffers->size,
                          (unsigned short)buffer, (int)buffers->count - 1, buffers->recycled++);
    buffers->held--;
}

static inline void publish(struct buffers *buffers)
{
    io_uring_buf_ring_advance(buffers->ring, buffers->recycled);
    buffers->recycled = 0;
}

/* `count` is a power of two. */
static inline void set_up_buffers(const char *program, struct io_uring *ring,
                                  struct buffers *buffers, unsigned count, unsigned size)
{
    *buffers = (struct buffers){ .count = count, .size = size, .held = (int)count };
    size_t ring_size = count * sizeof(struct io_uring_buf);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    buffers->bytes = mmap(NULL, count * buffer_stride(buffers), protection, flags, -1, 0);
    buffers->ring = mmap(NULL, ring_size, protection, flags, -1, 0);
    if (buffers->bytes == MAP_FAILED || (void *)buffers->ring == MAP_FAILED)
        die(program, EXIT_FAILED, "mmap: %s", strerror(errno));
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers->ring,
        .ring_entries = count,
        .bgid = BUFFER_GROUP,
    };
    int error = io_uring_register_buf_ring(ring, &registration, 0);
    if (error < 0)
        die(program, EXIT_FAILED, "io_uring_register_buf_ring: %s", strerror(-error));
    for (unsigned buffer = 0; buffer < count; buffer++)
        recycle(buffers, buffer);
    publish(buffers);
}

/* ---- Who found no buffer --------------------------------------------------------------------- */

/* A list of fds. All of them try again when there are buffers, since which of them has bytes
 * waiting is not known. */
struct starved {
    int *next;       /* by fd */
    int first, last; /* -1: none */
};

static inline void set_up_starved(const char *program, struct starved *starved, unsigned fds)
{
    *starved = (struct starved){ .next = calloc(fds, sizeof *starved->next), .first = -1 };
    if (!starved->next)
        die(program, EXIT_FAILED, "out of memory");
}

static inline void add_starved(struct starved *starved, int fd)
{
    starved->next[fd] = -1;
    if (starved->first < 0)
        starved->first = fd;
    else
        starved->next[starved->last] = fd;
    starved->last = fd;
}

static inline int take_starved(struct starved *starved)
{
    int fd = starved->first;
    if (fd >= 0)
        starved->first = starved->next[fd];
    return fd;
}

/* ---- Submitting ------------------------------------------------------------------------------ */

static inline struct io_uring_sqe *next_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(ring)))
        io_uring_submit(ring);
    return sqe;
}

/* What a completion is told by: which of the program's operations, on which fd. */
static inline void set_purpose(struct io_uring_sqe *sqe, unsigned operation, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | (unsigned)fd);
}

static inline void submit_accept(struct io_uring *ring, int listener, unsigned operation)
{
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    set_purpose(sqe, operation, listener);
}

/* Submits everything, and waits for a completion: one call a turn of the loop. Not as for a disk,
 * if the kernel can: its idle governor would expect a short wait. The library does not know that
 * flag; with a kernel that does there is no array of indices to be filled. */
static inline void submit_and_wait(const char *program, struct io_uring *ring)
{
    int error;
    if (ring->features & IORING_FEAT_NO_IOWAIT) {
        const unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
        unsigned tail = ring->sq.sqe_head = ring->sq.sqe_tail;
        io_uring_smp_store_release(ring->sq.ktail, tail);
        error = io_uring_enter((unsigned)ring->enter_ring_fd, tail - *ring->sq.khead, 1,
                               flags | IORING_ENTER_NO_IOWAIT, NULL);
    } else {
        error = io_uring_submit_and_wait(ring, 1);
    }
    if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY)
        die(program, EXIT_FAILED, "io_uring_enter: %s", strerror(-error));
}

#endif
