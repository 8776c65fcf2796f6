/* The loop: one a thread, with its ring, its buffers and its tasks. One turn is
 *
 *     enter the ring (submit, wait, time-out in one call), and take all completions;
 *     fire the timers whose time has come;
 *     run every task that was ready by then;
 *     run what was put off to the end of the turn: the flushing of writers.
 *
 * Completions are all taken before a task runs: then a task sees the whole turn's news, and
 * what all tasks of the turn write leaves in one submission. */
#ifndef WEIR_TASK_LOOP_H
#define WEIR_TASK_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <weir.h>

#include "base/list.h"
#include "kernel/pool.h"
#include "kernel/ring.h"
#include "task/context.h"
#include "task/stack.h"
#include "task/task.h"
#include "task/timer.h"

/* Work put off to the end of the turn. */
struct deferred {
    struct list_node node;
    void (*run)(struct deferred *deferred);
};

/* What lives on after its task, for a while: a closing stream or server. When the last task has
 * ended, and the linger time has passed, it is told to give up. */
struct lingering {
    struct list_node node;
    void (*give_up)(struct lingering *lingering);
};

struct mailbox;
struct shared;

struct weir_loop {
    struct ring ring;
    struct pool pool;
    struct timers timers;
    struct stacks stacks;
    struct timer trim;      /* of the stacks, while many are free */
    struct list ready;      /* weir_task */
    struct list deferred;   /* deferred */
    struct list lingering;  /* lingering */
    struct context context; /* the loop's own, while a task runs */
    struct weir_task *current;
    struct mailbox *mailbox; /* made when first needed */
    struct shared *shared;   /* with the other loops of this weir_run(), or NULL */
    unsigned servers;        /* of TCP, started on this loop so far */
    uint8_t *owned_fds;      /* a bit for each: socket.c's */
    size_t owned_fds_size;
    int64_t now; /* 0: not looked at in this turn */
    int64_t linger;
    unsigned tasks;
    int result; /* of the first task */
};

/* `options` have no zeros left. -errno or WEIR_RING_. */
int loop_open(struct weir_loop *loop, const struct weir_run_options *options);
void loop_close(struct weir_loop *loop);

/* Runs `main` and all that follows from it. Its result, or the error that broke the ring. */
int loop_run(struct weir_loop *loop, weir_task_fn *main, void *argument);

extern _Thread_local struct weir_loop *loop_running;

static inline struct weir_loop *loop_this(void)
{
    return loop_running;
}

int64_t loop_now(struct weir_loop *loop); /* CLOCK_MONOTONIC in ns, looked at once a turn */

/* `now` plus `duration`, without running over. */
int64_t loop_deadline(struct weir_loop *loop, weir_duration duration);

static inline void loop_defer(struct weir_loop *loop, struct deferred *deferred)
{
    if (!list_holds(&deferred->node))
        list_append(&loop->deferred, &deferred->node);
}

#endif
