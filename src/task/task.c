#include "task/task.h"

#include <errno.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "task/loop.h"
#include "task/stack.h"

/* The record at the top of a task's stack. */
struct record {
    struct stack stack;
    struct weir_task task;
};

/* ---- Start and end --------------------------------------------------------------------------- */

static void end_owned(struct weir_task *task)
{
    struct list_node *node;
    while ((node = list_take_first(&task->owned)) != NULL) {
        struct task_owned *owned = container_of(node, struct task_owned, node);
        owned->end(owned);
    }
}

static void task_main(void *argument)
{
    struct weir_task *task = argument;
    context_entered(&task->loop->context);
    int result = task->run(task->argument);
    end_owned(task);
    timer_stop(&task->loop->timers, &task->alarm);
    if (task->ended != NULL)
        task->ended(task, result);
    task->done = true;
    context_leave(&task->context, &task->loop->context);
}

struct weir_task *task_start(struct weir_loop *loop, weir_task_fn *run, void *argument)
{
    size_t extra = sizeof(struct record) - sizeof(struct stack);
    struct record *record = (struct record *)(void *)stack_take(&loop->stacks, extra);
    if (record == NULL)
        return NULL;
    struct weir_task *task = &record->task;
    *task = (struct weir_task){
        .loop = loop, .run = run, .argument = argument, .budget = LIMIT_BUDGET
    };
    context_open(&task->context, record->stack.bottom, record->stack.size);
    context_prepare(&task->context, record, task_main, task);
    list_append(&loop->ready, &task->node);
    loop->tasks++;
    metrics.tasks_started++;
    metrics.tasks_open++;
    return task;
}

static void trim(struct timer *timer);

static void start_trimming(struct weir_loop *loop, int64_t milliseconds)
{
    int64_t deadline = loop_deadline(loop, milliseconds * WEIR_MILLISECOND);
    timer_start(&loop->timers, &loop->trim, deadline, trim);
}

static void trim(struct timer *timer)
{
    struct weir_loop *loop = container_of(timer, struct weir_loop, trim);
    bool more = stacks_trim(&loop->stacks);
    if (stacks_are_many(&loop->stacks))
        start_trimming(loop, more ? LIMIT_TRIM_PAUSE : LIMIT_TRIM_IDLE);
}

void task_resume(struct weir_task *task)
{
    struct weir_loop *loop = task->loop;
    metrics.switches++;
    task->budget = LIMIT_BUDGET;
    loop->current = task;
    context_switch(&loop->context, &task->context);
    loop->current = NULL;
    if (task->done) {
        loop->tasks--;
        metrics.tasks_open--;
        context_close(&task->context);
        stack_give_back(&loop->stacks, &container_of(task, struct record, task)->stack);
        if (unlikely(stacks_are_many(&loop->stacks)) && !timer_is_running(&loop->trim))
            start_trimming(loop, LIMIT_TRIM_IDLE);
    }
}

struct weir_task *task_current(void)
{
    struct weir_loop *loop = loop_this();
    return loop != NULL ? loop->current : NULL;
}

void task_own(struct weir_task *task, struct task_owned *owned,
              void (*end)(struct task_owned *owned))
{
    owned->end = end;
    list_append(&task->owned, &owned->node);
}

void task_disown(struct task_owned *owned)
{
    list_remove(&owned->node);
}

/* ---- Interruption ---------------------------------------------------------------------------- */

int task_interrupted(const struct weir_task *task)
{
    if (task->cancelled)
        return -ECANCELED;
    for (const struct weir_timeout *scope = task->timeout; scope != NULL; scope = scope->outer_) {
        if (scope->fired_)
            return -ETIMEDOUT;
    }
    return 0;
}

void task_interrupt(struct weir_task *task)
{
    if (task->wait != NULL && task->wait->cancel != NULL)
        task->wait->cancel(task->wait);
}

void task_cancel(struct weir_task *task)
{
    if (task->cancelled)
        return;
    task->cancelled = true;
    task_interrupt(task);
}

int task_begin(void)
{
    struct weir_task *task = task_current();
    if (unlikely(task == NULL))
        return -EPERM;
    return likely(--task->budget > 0) ? 0 : weir_yield();
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void wake_interrupted(struct wait *wait)
{
    wait_wake(wait, task_interrupted(wait->task));
}

static int suspend(struct wait *wait, struct weir_task *task)
{
    wait->task = task;
    task->wait = wait;
    context_switch(&task->context, &task->loop->context);
    return wait->result;
}

int wait_suspend(struct wait *wait, void (*cancel)(struct wait *wait))
{
    struct weir_task *task = task_current();
    int rc = task_interrupted(task);
    if (unlikely(rc < 0)) {
        list_remove(&wait->node);
        return rc;
    }
    wait->cancel = cancel != NULL ? cancel : wake_interrupted;
    return suspend(wait, task);
}

int wait_uninterrupted(struct wait *wait)
{
    wait->cancel = NULL;
    return suspend(wait, task_current());
}

void wait_wake(struct wait *wait, int result)
{
    struct weir_task *task = wait->task;
    list_remove(&wait->node);
    if (task->wait != wait) /* woken before, and not resumed yet */
        return;
    wait->result = result;
    wait->cancel = NULL;
    task->wait = NULL;
    list_append(&task->loop->ready, &task->node);
}

void wait_wake_all(struct list *waits, int result)
{
    struct list_node *node;
    while ((node = list_first(waits)) != NULL)
        wait_wake(container_of(node, struct wait, node), result);
}

struct deadline {
    struct timer timer;
    struct wait *wait;
};

static void wake_late(struct timer *timer)
{
    wait_wake(container_of(timer, struct deadline, timer)->wait, -ETIME);
}

int wait_until(struct wait *wait, int64_t deadline)
{
    struct weir_loop *loop = task_current()->loop;
    struct deadline late = { .wait = wait };
    timer_start(&loop->timers, &late.timer, deadline, wake_late);
    int rc = wait_suspend(wait, NULL);
    timer_stop(&loop->timers, &late.timer);
    return rc;
}

void task_pause(void)
{
    struct weir_task *task = task_current();
    list_append(&task->loop->ready, &task->node); /* not waiting: there is nothing to cancel */
    context_switch(&task->context, &task->loop->context);
}

PUBLIC int weir_yield(void)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    int rc = task_interrupted(task);
    if (rc < 0)
        return rc;
    task_pause();
    return task_interrupted(task);
}
