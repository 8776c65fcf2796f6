/* Waiting for signals. A signal is caught for as long as some task of the process waits for it; the
 * handler rings every waiter's bell, an eventfd that its loop polls. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weir.h>

#include "base/macros.h"
#include "kernel/sys.h"
#include "task/loop.h"

enum { SIGNALS = 65, BELLS = 1024 };

/* What the handler touches: lock-free. A bell is an fd plus one, or 0. */
static _Atomic int bells[BELLS];
static _Atomic unsigned caught[SIGNALS]; /* how often, since the program began */
static _Atomic unsigned handling;        /* handlers that run now */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static unsigned waiters[SIGNALS];
static struct sigaction former[SIGNALS];

static void handler(int signal)
{
    handling++;
    caught[signal]++;
    for (int i = 0; i < BELLS; i++) {
        int bell = bells[i];
        if (bell > 0)
            sys_event_signal(bell - 1);
    }
    handling--;
}

static int start_catching(int signal)
{
    int rc = 0;
    pthread_mutex_lock(&lock);
    if (signal != 0 && waiters[signal] == 0)
        rc = sys_signal_catch(signal, handler, &former[signal]);
    if (rc == 0)
        waiters[signal]++;
    pthread_mutex_unlock(&lock);
    return rc;
}

static void stop_catching(int signal)
{
    pthread_mutex_lock(&lock);
    if (--waiters[signal] == 0 && signal != 0)
        sys_signal_restore(signal, &former[signal]);
    pthread_mutex_unlock(&lock);
}

/* ---- One wait -------------------------------------------------------------------------------- */

struct bell {
    struct op op;
    struct ring_waiter parked;
    struct weir_loop *loop;
    struct wait *waiter;
    int fd;
    int slot;
    bool armed;
};

static void rung(struct op *op, int result, unsigned flags)
{
    struct bell *bell = container_of(op, struct bell, op);
    (void)result, (void)flags;
    bell->armed = false;
    if (bell->waiter != NULL)
        wait_wake(bell->waiter, 0);
}

static void arm(struct ring_waiter *waiter)
{
    struct bell *bell = container_of(waiter, struct bell, parked);
    struct io_uring_sqe *sqe = ring_sqe(&bell->loop->ring, &bell->op);
    if (sqe == NULL) {
        ring_park(&bell->loop->ring, waiter);
        return;
    }
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = bell->fd;
    sqe->poll32_events = POLLIN;
    bell->armed = true;
}

static int bell_open(struct bell *bell)
{
    *bell = (struct bell){ .op = { rung }, .parked = { .retry = arm }, .loop = loop_this() };
    bell->fd = sys_event_fd();
    if (bell->fd < 0)
        return bell->fd;
    for (bell->slot = 0; bell->slot < BELLS; bell->slot++) {
        int empty = 0;
        if (atomic_compare_exchange_strong(&bells[bell->slot], &empty, bell->fd + 1))
            break;
    }
    if (bell->slot == BELLS) {
        sys_close(bell->fd);
        return -EAGAIN;
    }
    arm(&bell->parked);
    return 0;
}

/* The poll in flight must end before the memory goes; ringing our own bell ends it. */
static void bell_close(struct bell *bell)
{
    bells[bell->slot] = 0;
    while (handling > 0)
        continue; /* on another thread: it may be about to ring this bell */
    sys_event_signal(bell->fd);
    list_remove(&bell->parked.node);
    while (bell->armed) {
        struct wait wait = { 0 };
        bell->waiter = &wait;
        wait_uninterrupted(&wait);
    }
    sys_close(bell->fd);
}

/* What is waited for, and how often each had been caught before. */
struct signals {
    int first, second;
    unsigned seen_first, seen_second;
};

static int which(const struct signals *signals)
{
    if (signals->first != 0 && caught[signals->first] != signals->seen_first)
        return signals->first;
    if (signals->second != 0 && caught[signals->second] != signals->seen_second)
        return signals->second;
    return 0;
}

/* The bell's memory is the kernel's until its poll has ended, so it does not lie on this stack. */
static int wait_with_bell(const struct signals *signals)
{
    struct bell *bell = malloc(sizeof *bell);
    if (bell == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0) { /* a bell also rings for signals that other tasks wait for */
        rc = bell_open(bell);
        if (rc < 0)
            break;
        rc = which(signals);
        if (rc == 0) {
            struct wait wait = { 0 };
            bell->waiter = &wait;
            rc = wait_suspend(&wait, NULL);
            bell->waiter = NULL;
        }
        bell_close(bell);
        if (rc == 0)
            rc = which(signals);
    }
    free(bell);
    return rc;
}

PUBLIC int weir_wait_signal(int first, int second)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    if (first < 0 || first >= SIGNALS || second < 0 || second >= SIGNALS || first + second == 0)
        return -EINVAL;
    struct signals signals = { first, second, caught[first], caught[second] };
    int rc = start_catching(first);
    if (rc < 0)
        return rc;
    rc = start_catching(second);
    if (rc == 0) {
        rc = wait_with_bell(&signals);
        stop_catching(second);
    }
    stop_catching(first);
    int came = which(&signals); /* also while the wait was given up: nobody else is told of it */
    return came > 0 ? came : rc;
}
