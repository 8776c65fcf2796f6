/* The ring: one io_uring, entered once a turn, and the one rule for who may take a submission
 * slot.
 *
 * Nobody ever fails for want of a slot: who finds none parks here and is called again, first
 * come first served, as soon as the kernel has taken what was queued. Sends may not take the
 * last slots, so that cancel, close and re-arm always move. A turn submits at most the SQ's
 * size, a quarter (of a ring of 32768: half) of the CQ's: what a full turn completes at once
 * fits. */
#ifndef WEIR_KERNEL_RING_H
#define WEIR_KERNEL_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* An operation in flight. It lies in the object it works for, never on a task's stack, and that
 * object outlives its last completion (the one without IORING_CQE_F_MORE). */
struct op {
    void (*complete)(struct op *op, int result, unsigned flags);
};

/* Whoever waits for a free slot. */
struct ring_waiter {
    struct list_node node;
    void (*retry)(struct ring_waiter *waiter);
};

struct ring {
    struct io_uring uring;
    int fd; /* for enter: registered, where the kernel can */
    unsigned enter_flags;
    unsigned tail;       /* of the SQ, not yet published */
    unsigned reserve;    /* slots that sends may not take */
    struct list parked;  /* ring_waiter: control operations */
    struct list writers; /* ring_waiter: sends */
    bool retrying;       /* the head of `writers` has its turn */
    char *scratch;       /* see ring_scratch() */
    size_t scratch_size, scratch_used;
};

/* -errno or a WEIR_RING_ code. */
int ring_open(struct ring *ring, unsigned entries);
void ring_close(struct ring *ring);

/* A zeroed slot for `op` (NULL: its completion means nothing to anybody), or NULL if none is
 * left. */
struct io_uring_sqe *ring_sqe(struct ring *ring, struct op *op);
void ring_park(struct ring *ring, struct ring_waiter *waiter);

/* How many slots a send may take now: 0 means ring_park_send(), and come back when called. */
unsigned ring_send_room(const struct ring *ring);
void ring_park_send(struct ring *ring, struct ring_waiter *waiter);

/* Whether the next turn has nothing to submit. */
bool ring_is_quiet(const struct ring *ring);

/* Memory that the kernel reads when it takes the slots, valid until then. NULL if none is left:
 * treat it as having no slot. */
void *ring_scratch(struct ring *ring, size_t size);

/* Submits what is queued, waits at most `timeout` ns for a completion (-1: for ever, 0: not at
 * all), completes all there are, and lets the parked have the slots. -errno only if the ring is
 * broken. */
int ring_turn(struct ring *ring, int64_t timeout);

/* The cancelling of an operation. It lies beside that in the same object, which outlives both; its
 * complete() is the owner's.
 *
 * The kernel finds an operation only while that waits. Between two steps (the link before it has
 * just ended, or its socket has just become ready) it is missed, and goes on. So an owner follows
 * one rule, whenever anything completes: what is in flight and not wanted any more is cancelled;
 * and what is over for it is over when both have completed. */
struct cancel {
    struct op op;
    bool asked; /* it is in flight */
    bool found; /* the operation will end by it */
};

/* Queues it, once, and again when it has missed: false if there was no slot. */
bool ring_cancel(struct ring *ring, struct op *target, struct cancel *cancel);

/* For complete(): the result, and whether the target is in flight still. When the target completes
 * for the last time, `found` is to be cleared. */
void cancel_completed(struct cancel *cancel, int result, bool in_flight);

#endif
