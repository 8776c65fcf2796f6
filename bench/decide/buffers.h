/* Receiving, in each of the ways that the kernel offers: once or for ever, into buffers that the
 * kernel chooses from a ring of them, or into one that is the connection's own. */
#ifndef DECIDE_BUFFERS_H
#define DECIDE_BUFFERS_H

#include "ring.h"

#include <sys/mman.h>

enum receive_way { RECEIVE_MULTISHOT, RECEIVE_ONE_SHOT, RECEIVE_OWN };

static struct {
    unsigned way; /* enum receive_way */
    unsigned bundle, incremental, poll_first;
    unsigned count, size; /* of buffers */
} receiving = { .count = 256, .size = 4096 };

static const struct choice receive_choices[] = {
    { "receive", &receiving.way, 0, 0, { "multishot", "one-shot", "own" }, "or into own buffers" },
    { "bundle", &receiving.bundle, .what = "a completion may be of several buffers" },
    { "incremental", &receiving.incremental, .what = "buffers are used up bit by bit" },
    { "poll-first", &receiving.poll_first, .what = "a receive does not try before it waits" },
    { "buffers", &receiving.count, 1, 32768, .what = "how many, a power of two" },
    { "size", &receiving.size, 64, 1 << 20, .what = "of a buffer, in bytes" },
    { .name = NULL },
};

enum { BUFFER_GROUP = 0, OWN_BUFFER = 0xffff, LINE = 64 };

struct buffer {
    uint32_t filled; /* incremental: so many of its bytes have been handed out */
    uint16_t place;  /* in the ring, where it was last added */
    uint32_t users;  /* runs of its bytes that are not yet released */
    bool taken;      /* the kernel does not have it */
};

/* `held` buffers are ours; `added` are in the ring again, but not yet published. */
struct buffers {
    struct io_uring_buf_ring *ring;
    unsigned char *bytes;
    struct buffer *all;
    unsigned held;
    int added;
};

/* A run of received bytes. */
struct received {
    unsigned char *bytes;
    uint32_t size;
    uint16_t buffer;
};

/* Beginnings that are a line further each, so that they share no cache set. */
static inline unsigned char *buffer_bytes(const struct buffers *buffers, unsigned id)
{
    return buffers->bytes + (size_t)id * (receiving.size + LINE);
}

static inline void buffers_add(struct buffers *buffers, unsigned id)
{
    unsigned mask = receiving.count - 1;
    struct buffer *buffer = &buffers->all[id];
    buffer->place = (uint16_t)((buffers->ring->tail + (unsigned)buffers->added) & mask);
    buffer->filled = 0;
    buffer->taken = false;
    io_uring_buf_ring_add(buffers->ring, buffer_bytes(buffers, id), receiving.size,
                          (unsigned short)id, (int)mask, buffers->added++);
    buffers->held--;
}

static inline void buffers_publish(struct buffers *buffers)
{
    io_uring_buf_ring_advance(buffers->ring, buffers->added);
    buffers->added = 0;
}

static inline void buffers_register(struct buffers *buffers, const struct ring *ring,
                                    const char *program)
{
    struct decide_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers->ring,
        .ring_entries = receiving.count,
        .group = BUFFER_GROUP,
        .flags = receiving.incremental ? DECIDE_PBUF_RING_INC : 0,
    };
    if (syscall(__NR_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_PBUF_RING,
                &registration, 1) == 0)
        return;
    if (errno == EINVAL && receiving.incremental)
        die_unsupported(program, "incremental buffers (6.12)");
    die(program, EXIT_FAILED, "registering %u buffers: %s", receiving.count, strerror(errno));
}

static inline void buffers_open(struct buffers *buffers, const struct ring *ring,
                                const char *program)
{
    int protection = PROT_READ | PROT_WRITE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE; /* page faults are not the question */
    if (receiving.bundle)
        ring_require(ring, program, IORING_FEAT_RECVSEND_BUNDLE, "bundles (6.10)");
    if (receiving.way == RECEIVE_OWN && (receiving.bundle || receiving.incremental))
        die(program, EXIT_USAGE, "--bundle and --incremental are for buffers from a ring");
    if (receiving.count & (receiving.count - 1))
        die(program, EXIT_USAGE, "--buffers takes a power of two");
    buffers->bytes =
        mmap(NULL, (size_t)receiving.count * (receiving.size + LINE), protection, flags, -1, 0);
    buffers->ring =
        mmap(NULL, receiving.count * sizeof(struct io_uring_buf), protection, flags, -1, 0);
    buffers->all = calloc(receiving.count, sizeof *buffers->all);
    if (buffers->bytes == MAP_FAILED || buffers->ring == MAP_FAILED || !buffers->all)
        die(program, EXIT_FAILED, "out of memory");
    buffers_register(buffers, ring, program);
    buffers->held = receiving.count;
    for (unsigned id = 0; id < receiving.count; id++)
        buffers_add(buffers, id);
    buffers_publish(buffers);
}

/* Takes the next run of the bytes of a completed receive. `left` of them begin in buffer `*id`; the
 * buffers of a bundle are those that follow in the ring. */
static inline struct received buffers_take(struct buffers *buffers, uint32_t left, unsigned flags,
                                           unsigned *id)
{
    struct buffer *buffer = &buffers->all[*id];
    uint32_t room = receiving.size - buffer->filled, size = left < room ? left : room;
    struct received received = {
        .bytes = buffer_bytes(buffers, *id) + buffer->filled,
        .size = size,
        .buffer = (uint16_t)*id,
    };
    buffer->users++;
    if (receiving.incremental)
        buffer->filled += size;
    if (size < left || !(flags & IORING_CQE_F_BUF_MORE)) {
        buffer->taken = true;
        buffers->held++;
    }
    if (size < left)
        *id = buffers->ring->bufs[(buffer->place + 1U) & (receiving.count - 1)].bid;
    return received;
}

static inline void buffers_release(struct buffers *buffers, unsigned id)
{
    struct buffer *buffer = &buffers->all[id];
    if (--buffer->users == 0 && buffer->taken)
        buffers_add(buffers, id);
}

/* `own` is where to, if the buffer is the connection's. */
static inline void prepare_receive(struct io_uring_sqe *sqe, int fd, void *own)
{
    if (receiving.way == RECEIVE_MULTISHOT)
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, fd, receiving.way == RECEIVE_OWN ? own : NULL, receiving.size, 0);
    if (receiving.way == RECEIVE_ONE_SHOT && receiving.bundle)
        sqe->len = 0; /* as much as there is, not what fits one buffer */
    if (receiving.way != RECEIVE_OWN) {
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
    }
    sqe->ioprio |= (uint16_t)((receiving.poll_first ? IORING_RECVSEND_POLL_FIRST : 0) |
                              (receiving.bundle ? IORING_RECVSEND_BUNDLE : 0));
}

#endif
