/* The pool: the buffers that the kernel fills, in two sizes, of which only a few at a time are
 * published to it, so that the same few stay in the processor's cache.
 *
 * A buffer is published, or held (by a reader, a task, a writer), or free. Held buffers are
 * counted: when three quarters are held, what arrives is copied to the heap at once and its
 * buffer goes straight back, so that nobody who keeps data can starve the others. A receive
 * that found no buffer (ENOBUFS) starves here, first come first served, until some are back;
 * that doubles how many are published from then on. */
#ifndef WEIR_KERNEL_POOL_H
#define WEIR_KERNEL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "kernel/segment.h"

struct io_uring_buf_ring;
struct ring;

struct buffers;
struct buffer {
    struct weir_segment segment;
    struct buffers *owner;
};

/* Buffers of one size; a buffer's id is its index. */
struct buffers {
    struct io_uring_buf_ring *shared; /* what the kernel takes from */
    size_t shared_size;
    struct buffer *all;
    char *memory;
    size_t size;        /* of a buffer */
    unsigned count;     /* of all */
    unsigned mask;      /* of the shared ring */
    unsigned tail;      /* of the shared ring */
    unsigned target;    /* how many to publish */
    unsigned published; /* how many are */
    unsigned held;
    uint32_t *free; /* ids, the last freed last */
    unsigned free_count;
    uint16_t group;      /* the kernel's name for it */
    struct list starved; /* pool_waiter */
};

/* A receive that waits for a buffer. */
struct pool_waiter {
    struct list_node node;
    void (*retry)(struct pool_waiter *waiter);
};

struct pool {
    struct ring *ring;
    struct buffers small, large;
};

/* -errno. `memory` is the bytes of all buffers. */
int pool_open(struct pool *pool, struct ring *ring, size_t memory);
void pool_close(struct pool *pool);

/* The buffers to receive into: the large ones for a stream that fills the small ones, if there are
 * any. */
struct buffers *pool_buffers(struct pool *pool, bool large);

/* The segment of the buffer that a completion with these flags has filled with `size` bytes, with
 * one reference; on the heap if the pool runs low. NULL without memory. */
struct weir_segment *buffers_filled(struct buffers *buffers, unsigned flags, size_t size);

/* A receive got ENOBUFS: `waiter` is called when there are buffers again. */
void buffers_starve(struct buffers *buffers, struct pool_waiter *waiter);

/* Publishes what has come back, and calls the starved. Once a turn, before the ring's, which must
 * not wait if this returns true: some starve still, and there are buffers. */
bool pool_publish(struct pool *pool);

#endif
