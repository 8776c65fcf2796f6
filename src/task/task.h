/* A task is a coroutine with a stack of its own; its record lies at that stack's top.
 *
 * A wait is one object on the waiter's stack: it stands in the queue of what it waits for, and it
 * knows how to be cancelled. That is the only way in which a task is suspended:
 *
 *     struct wait wait;
 *     list_append(&queue, &wait.node);
 *     int rc = wait_suspend(&wait);           ... whoever makes it true: wait_wake(wait, result)
 *
 * An interrupted task (cancelled, or past a deadline) has its wait cancelled, and later ones do not
 * begin: it goes on where it is with -ECANCELED or -ETIMEDOUT until its end or the end of the
 * timeout. A wait that was woken first keeps its result. */
#ifndef WEIR_TASK_TASK_H
#define WEIR_TASK_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <weir.h>

#include "base/list.h"
#include "task/context.h"
#include "task/timer.h"

struct weir_loop;

struct wait {
    struct list_node node;
    struct weir_task *task;
    void (*cancel)(struct wait *wait); /* wakes it, or sees to it that it will be woken soon */
    int result;
};

/* What a task must end when it returns: a stream, a server. */
struct task_owned {
    struct list_node node;
    void (*end)(struct task_owned *owned);
};

struct weir_task {
    struct context context;
    struct weir_loop *loop;
    struct list_node node;        /* among the loop's ready tasks */
    struct wait *wait;            /* what it waits for; NULL: it runs or is ready */
    struct weir_timeout *timeout; /* the innermost */
    struct timer alarm;           /* not later than the first of them that has not fired */
    struct list owned;            /* task_owned */
    weir_task_fn *run;
    void *argument;
    void (*ended)(struct weir_task *task, int result); /* whom it may concern; or NULL */
    struct weir_group *group;
    struct list_node group_node;
    int budget; /* calls that need not wait before it yields */
    bool cancelled, done;
};

/* Makes a task that first runs in the loop's next turn; NULL without memory. */
struct weir_task *task_start(struct weir_loop *loop, weir_task_fn *run, void *argument);

/* Runs `task` until it waits or ends: the loop's. */
void task_resume(struct weir_task *task);

struct weir_task *task_current(void); /* NULL outside a task */
void task_cancel(struct weir_task *task);
int task_interrupted(const struct weir_task *task); /* 0, -ECANCELED or -ETIMEDOUT */

/* Cancels the wait of a task that has just become interrupted. */
void task_interrupt(struct weir_task *task);

/* Every waiting function begins with this: 0, or -EPERM outside a task. A task whose calls all
 * find what they need yields here now and then, so that no other starves: then -ECANCELED,
 * -ETIMEDOUT. */
int task_begin(void);

/* Lets every other task that is ready run first, interrupted or not. */
void task_pause(void);

void task_own(struct weir_task *task, struct task_owned *owned,
              void (*end)(struct task_owned *owned));
void task_disown(struct task_owned *owned);

/* Suspends this task until woken, and returns the result. If the task is interrupted already, it
 * leaves the queue and returns why, without waiting. With `cancel` NULL an interruption wakes it at
 * once. */
int wait_suspend(struct wait *wait, void (*cancel)(struct wait *wait));
int wait_until(struct wait *wait, int64_t deadline); /* the same, and -ETIME at `deadline` */
int wait_uninterrupted(struct wait *wait);           /* only for what is sure to come soon */
void wait_wake(struct wait *wait, int result);       /* the first one counts */
void wait_wake_all(struct list *waits, int result);

#endif
