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

static void expire(struct weir_timer *timer)
{
    struct weir_timeout *timeout = container_of(timer, struct weir_timeout, timer_);
    timeout->fired_ = true;
    task_interrupt(timeout->task_);
}

PUBLIC void weir_timeout_start(struct weir_timeout *timeout, weir_duration after)
{
    struct weir_task *task = task_current();
    *timeout = (struct weir_timeout){ .task_ = task };
    if (task == NULL)
        return;
    timeout->outer_ = task->timeout;
    task->timeout = timeout;
    if (after <= 0)
        timeout->fired_ = true;
    else
        timer_start(&task->loop->timers, &timeout->timer_, loop_deadline(task->loop, after),
                    expire);
}

PUBLIC ssize_t weir_timeout_stop(struct weir_timeout *timeout, ssize_t result)
{
    struct weir_task *task = timeout->task_;
    if (task == NULL)
        return result;
    timer_stop(&task->loop->timers, &timeout->timer_);
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
