/* The threads and locks of POSIX as the library calls them (src/sim/redirect leads here): between
 * threads of the world. A lock lies in the memory of the real one, which is zero when ready. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "base/macros.h"
#include "kernel/sys.h"
#include "sim/event.h"
#include "sim/lock.h"
#include "sim/thread.h"
#include "sim/world.h"

struct lock {
    struct list waiters; /* waiter */
    const struct thread *owner;
};

struct condition {
    struct list waiters;
};

struct waiter {
    struct list_node node;
    struct thread *thread;
};

_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "it lies in it");
_Static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "it lies in it");

/* False: the time was over. */
static bool wait_in(struct list *waiters, int64_t time, const char *what)
{
    struct waiter waiter = { .thread = thread_this() };
    list_append(waiters, &waiter.node);
    int64_t until = time < 0 ? INT64_MAX : events_now() + time;
    while (list_holds(&waiter.node) && events_now() < until) {
        thread_says(what);
        thread_sleep(time < 0 ? -1 : until - events_now());
    }
    bool in_time = !list_holds(&waiter.node);
    list_remove(&waiter.node);
    return in_time;
}

static void wake_one(struct list *waiters)
{
    struct list_node *node = list_take_first(waiters);
    if (node != NULL)
        thread_wake(container_of(node, struct waiter, node)->thread);
}

/* ---- Locks ----------------------------------------------------------------------------------- */

int sim_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *unused)
{
    (void)unused;
    *(struct lock *)(void *)mutex = (struct lock){ 0 };
    return 0;
}

int sim_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    const struct lock *lock = (const struct lock *)(const void *)mutex;
    if (lock->owner != NULL)
        violation("a lock is destroyed while it is held");
    return 0;
}

int sim_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct lock *lock = (struct lock *)(void *)mutex;
    if (thread_this() == NULL)
        return 0;
    world_expect("a lock of weir's is taken");
    thread_yield("before a lock");
    if (lock->owner == thread_this())
        violation("a thread takes a lock that it has");
    while (lock->owner != NULL)
        wait_in(&lock->waiters, -1, "for a lock");
    lock->owner = thread_this();
    return 0;
}

int sim_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct lock *lock = (struct lock *)(void *)mutex;
    if (thread_this() == NULL)
        return 0;
    if (lock->owner != thread_this())
        violation("a thread lets go of a lock that it does not have");
    lock->owner = NULL;
    wake_one(&lock->waiters);
    thread_yield("after a lock");
    return 0;
}

/* ---- Conditions ------------------------------------------------------------------------------ */

int sim_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                               const struct timespec *until)
{
    struct condition *condition = (struct condition *)(void *)cond;
    (void)clock;
    int64_t deadline = until->tv_sec * WEIR_SECOND + until->tv_nsec;
    int64_t left = deadline - sys_now();
    struct lock *lock = (struct lock *)(void *)mutex;
    lock->owner = NULL;
    wake_one(&lock->waiters);
    bool signalled =
        wait_in(&condition->waiters, left > 0 ? left : 0, "for a condition, for a time");
    sim_pthread_mutex_lock(mutex);
    return signalled ? 0 : ETIMEDOUT;
}

int sim_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    struct condition *condition = (struct condition *)(void *)cond;
    struct lock *lock = (struct lock *)(void *)mutex;
    lock->owner = NULL;
    wake_one(&lock->waiters);
    wait_in(&condition->waiters, -1, "for a condition");
    return sim_pthread_mutex_lock(mutex);
}

int sim_pthread_cond_signal(pthread_cond_t *cond)
{
    wake_one(&((struct condition *)(void *)cond)->waiters);
    return 0;
}

int sim_pthread_cond_broadcast(pthread_cond_t *cond)
{
    struct condition *condition = (struct condition *)(void *)cond;
    while (!list_is_empty(&condition->waiters))
        wake_one(&condition->waiters);
    return 0;
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* What joining one needs: it is gone itself by then. */
struct joinable {
    void *(*run)(void *argument);
    void *argument;
    struct list waiters;
    bool done, detached;
};

static void *joinable_main(void *argument)
{
    struct joinable *joinable = argument;
    joinable->run(joinable->argument);
    joinable->done = true;
    while (!list_is_empty(&joinable->waiters))
        wake_one(&joinable->waiters);
    if (joinable->detached)
        free(joinable);
    return NULL;
}

int sim_pthread_create(pthread_t *ret_thread, const pthread_attr_t *unused,
                       void *(*run)(void *argument), void *argument)
{
    (void)unused;
    struct joinable *joinable = calloc(1, sizeof *joinable);
    if (joinable == NULL)
        abort();
    joinable->run = run;
    joinable->argument = argument;
    *ret_thread = (pthread_t)(uintptr_t)joinable;
    if (thread_this() == NULL) { /* outside of a world: at once, as there are no turns to take */
        joinable_main(joinable);
        return 0;
    }
    if (thread_start(joinable_main, joinable) == NULL) {
        free(joinable);
        return EAGAIN;
    }
    return 0;
}

int sim_pthread_join(pthread_t thread, void **unused)
{
    struct joinable *joinable = (struct joinable *)(uintptr_t)thread;
    (void)unused;
    while (!joinable->done)
        wait_in(&joinable->waiters, -1, "for a thread to end");
    free(joinable);
    return 0;
}

int sim_pthread_detach(pthread_t thread)
{
    struct joinable *joinable = (struct joinable *)(uintptr_t)thread;
    joinable->detached = true;
    if (joinable->done)
        free(joinable);
    return 0;
}

int sim_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_former)
{
    (void)how, (void)set, (void)ret_former;
    return 0;
}
