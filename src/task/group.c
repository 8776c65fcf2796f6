/* Groups (asyncio.TaskGroup) and events (asyncio.Event). */
#include <errno.h>
#include <weir.h>

#include "base/macros.h"
#include "task/loop.h"
#include "task/task.h"

static struct list *tasks_of(struct weir_group *group)
{
    return (struct list *)(void *)&group->tasks_;
}

PUBLIC void weir_group_cancel(struct weir_group *group)
{
    const struct list *tasks = tasks_of(group);
    for (struct list_node *node = list_first(tasks); node != NULL; node = list_next(tasks, node))
        task_cancel(container_of(node, struct weir_task, group_node));
}

static void member_ended(struct weir_task *task, int result)
{
    struct weir_group *group = task->group;
    list_remove(&task->group_node);
    if (result < 0 && group->error_ == 0) {
        group->error_ = result;
        weir_group_cancel(group);
    }
    if (list_is_empty(tasks_of(group)) && group->waiter_ != NULL) {
        wait_wake(group->waiter_, 0);
        group->waiter_ = NULL;
    }
}

PUBLIC int weir_group_start(struct weir_group *group, weir_task_fn *run, void *argument)
{
    struct weir_task *self = task_current();
    if (self == NULL)
        return -EPERM;
    struct weir_task *task = task_start(self->loop, run, argument);
    if (task == NULL)
        return -ENOMEM;
    task->group = group;
    task->ended = member_ended;
    list_append(tasks_of(group), &task->group_node);
    if (group->error_ < 0)
        task_cancel(task);
    return 0;
}

PUBLIC int weir_group_wait(struct weir_group *group)
{
    struct weir_task *self = task_current();
    if (self == NULL)
        return -EPERM;
    if (group->waiter_ != NULL)
        return -EBUSY;
    int interrupted = 0;
    while (!list_is_empty(tasks_of(group))) {
        struct wait wait = { 0 };
        group->waiter_ = &wait;
        if (interrupted == 0) {
            wait_suspend(&wait, NULL);
            interrupted = task_interrupted(self);
            if (interrupted < 0)
                weir_group_cancel(group);
        } else {
            wait_uninterrupted(&wait);
        }
        group->waiter_ = NULL;
    }
    int error = group->error_;
    group->error_ = 0;
    return interrupted < 0 ? interrupted : error;
}

/* ---- Events ---------------------------------------------------------------------------------- */

PUBLIC void weir_event_set(struct weir_event *event)
{
    event->set_ = true;
    wait_wake_all((struct list *)(void *)&event->waiters_, 0);
}

PUBLIC void weir_event_clear(struct weir_event *event)
{
    event->set_ = false;
}

PUBLIC int weir_event_wait(struct weir_event *event)
{
    int rc = task_begin();
    if (rc < 0 || event->set_)
        return rc;
    struct wait wait;
    list_append((struct list *)(void *)&event->waiters_, &wait.node);
    return wait_suspend(&wait, NULL);
}
