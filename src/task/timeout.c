/* Time: sleep, timeout and wait_for. */
#include <errno.h>
#include <weir.h>

#include "base/macros.h"
#include "task/loop.h"
#include "task/task.h"

PUBLIC int weir_sleep(weir_duration duration)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    if (duration <= 0)
        return weir_yield();
    struct wait wait = { 0 };
    int rc = wait_until(&wait, loop_deadline(task->loop, duration));
    return rc == -ETIME ? 0 : rc;
}

/* A timeout that is stopped leaves its task's alarm where it is, and one that starts seldom moves
 * it: those that follow each other end later and later. So most never touch the loop's timers,
 * which lie on other tasks' stacks. An alarm that nobody needs any more sounds for nothing. */
static void sound(struct timer *alarm)
{
    struct weir_task *task = container_of(alarm, struct weir_task, alarm);
    int64_t now = alarm->deadline, next = INT64_MAX; /* not later: others' timers come in between */
    bool expired = false;
    for (struct weir_timeout *scope = task->timeout; scope != NULL; scope = scope->outer_) {
        if (scope->fired_)
            continue;
        if (scope->deadline_ <= now)
            scope->fired_ = expired = true;
        else if (scope->deadline_ < next)
            next = scope->deadline_;
    }
    if (next < INT64_MAX)
        timer_start(&task->loop->timers, alarm, next, sound);
    if (expired)
        task_interrupt(task);
}

static void set_alarm(struct weir_task *task, int64_t deadline)
{
    struct timers *timers = &task->loop->timers;
    if (timer_is_running(&task->alarm) && task->alarm.deadline <= deadline)
        return;
    timer_stop(timers, &task->alarm);
    timer_start(timers, &task->alarm, deadline, sound);
}

PUBLIC void weir_timeout_start(struct weir_timeout *timeout, weir_duration after)
{
    struct weir_task *task = task_current();
    *timeout = (struct weir_timeout){ .task_ = task };
    if (task == NULL)
        return;
    timeout->outer_ = task->timeout;
    task->timeout = timeout;
    timeout->deadline_ = loop_deadline(task->loop, after);
    if (after <= 0)
        timeout->fired_ = true;
    else
        set_alarm(task, timeout->deadline_);
}

PUBLIC ssize_t weir_timeout_stop(struct weir_timeout *timeout, ssize_t result)
{
    struct weir_task *task = timeout->task_;
    if (task == NULL)
        return result;
    task->timeout = timeout->outer_;
    return result;
}

PUBLIC int weir_wait_for(weir_duration limit, weir_task_fn *run, void *argument)
{
    if (task_current() == NULL)
        return -EPERM;
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, limit);
    return (int)weir_timeout_stop(&timeout, run(argument));
}
