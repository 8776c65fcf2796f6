#include "task/loop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/chain.h"
#include "kernel/segment.h"
#include "kernel/sys.h"
#include "task/mailbox.h"

_Thread_local struct weir_loop *loop_running;

int loop_open(struct weir_loop *loop, const struct weir_run_options *options)
{
    *loop = (struct weir_loop){ .linger = options->linger };
    int rc = ring_open(&loop->ring, options->ring_entries);
    if (rc < 0)
        return rc;
    rc = pool_open(&loop->pool, &loop->ring, options->receive_memory);
    if (rc < 0) {
        ring_close(&loop->ring);
        pool_close(&loop->pool);
        return rc;
    }
    stacks_open(&loop->stacks, options->stack_size);
    return 0;
}

void loop_close(struct weir_loop *loop)
{
    mailbox_close(loop);
    ring_close(&loop->ring);
    pool_close(&loop->pool);
    stacks_close(&loop->stacks);
    free(loop->owned_fds);
    segment_free_spare();
    chain_free_spare();
}

int64_t loop_now(struct weir_loop *loop)
{
    if (loop->now == 0)
        loop->now = sys_now();
    return loop->now;
}

int64_t loop_deadline(struct weir_loop *loop, weir_duration duration)
{
    int64_t deadline;
    if (duration < 0)
        duration = 0;
    return __builtin_add_overflow(loop_now(loop), duration, &deadline) ? INT64_MAX : deadline;
}

/* How long the ring may wait: 0 while anything is ready, -1 for ever. */
static int64_t patience(struct weir_loop *loop)
{
    if (!list_is_empty(&loop->ready) || !list_is_empty(&loop->deferred))
        return 0;
    if (loop->timers.first == NULL)
        return -1;
    int64_t left = loop->timers.first->deadline - sys_now(); /* the tasks have taken time */
    return left > 0 ? left : 0;
}

static void run_ready(struct weir_loop *loop)
{
    struct list_node *last = list_last(&loop->ready); /* who becomes ready now, has the next turn */
    for (struct list_node *node = NULL; node != last;) {
        node = list_take_first(&loop->ready);
        struct list_node *next = list_first(&loop->ready);
        if (next != NULL) { /* with a thousand tasks its stack is in no near cache */
            const char *top = container_of(next, struct weir_task, node)->context.stack_pointer;
            prefetch(top);
            prefetch(top + 64);
            prefetch(top + 128);
        }
        task_resume(container_of(node, struct weir_task, node));
    }
}

/* Also what is put off meanwhile: TLS seals, and then its socket sends. */
static void run_deferred(struct weir_loop *loop)
{
    struct list_node *node;
    while ((node = list_take_first(&loop->deferred)) != NULL) {
        struct deferred *deferred = container_of(node, struct deferred, node);
        deferred->run(deferred);
    }
}

static int turn(struct weir_loop *loop)
{
    bool some_starve = pool_publish(&loop->pool);
    int64_t most = some_starve ? 0 : patience(loop);
    loop->now = 0; /* what completes after the wait may set a timer */
    int rc = ring_turn(&loop->ring, most);
    if (unlikely(rc < 0))
        return rc;
    if (loop->timers.first != NULL)
        timers_fire(&loop->timers, loop_now(loop));
    run_ready(loop);
    run_deferred(loop);
    return 0;
}

static void give_up_all(struct timer *timer)
{
    struct weir_loop *loop = loop_this();
    struct list_node *next;
    for (struct list_node *node = list_first(&loop->lingering); node != NULL; node = next) {
        next = list_next(&loop->lingering, node);
        struct lingering *lingering = container_of(node, struct lingering, node);
        lingering->give_up(lingering);
    }
}

static bool is_busy(struct weir_loop *loop)
{
    return loop->tasks > 0 || mailbox_deliver(loop);
}

/* The time runs while there is no task, from the beginning again if another one came in between. */
static void limit_lingering(struct weir_loop *loop, struct timer *limit)
{
    if (loop->tasks > 0) {
        timer_stop(&loop->timers, limit);
        *limit = (struct timer){ 0 };
    } else if (limit->fire == NULL) {
        timer_start(&loop->timers, limit, loop_deadline(loop, loop->linger), give_up_all);
    }
}

static void keep_result(struct weir_task *task, int result)
{
    task->loop->result = result < 0 ? result : 0;
}

int loop_run(struct weir_loop *loop, weir_task_fn *main, void *argument)
{
    loop_running = loop;
    struct weir_task *task = task_start(loop, main, argument);
    int rc = task != NULL ? 0 : -ENOMEM;
    if (task != NULL)
        task->ended = keep_result;
    struct timer limit = { 0 };
    while (rc == 0 && (is_busy(loop) || !list_is_empty(&loop->lingering))) {
        limit_lingering(loop, &limit);
        rc = turn(loop);
    }
    timer_stop(&loop->timers, &limit);
    loop_running = NULL;
    return rc < 0 ? rc : loop->result;
}

PUBLIC struct weir_loop *weir_this_loop(void)
{
    struct weir_loop *loop = loop_this();
    return loop != NULL && mailbox_open(loop) == 0 ? loop : NULL;
}
