#include "task/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <weir.h>

#include "base/limits.h"
#include "base/macros.h"
#include "kernel/sys.h"
#include "task/loop.h"
#include "task/mailbox.h"

/* The next job, or NULL when there was none for a while. The lock is held. */
static struct job *next_job(struct workers *workers)
{
    int64_t deadline = sys_now() + LIMIT_WORKER_IDLE * WEIR_SECOND;
    struct timespec until = { deadline / WEIR_SECOND, deadline % WEIR_SECOND };
    while (workers->first == NULL) {
        workers->idle++;
        int rc = pthread_cond_clockwait(&workers->wanted, &workers->lock, CLOCK_MONOTONIC, &until);
        workers->idle--;
        if (rc == ETIMEDOUT && workers->first == NULL)
            return NULL;
    }
    struct job *job = workers->first;
    workers->first = job->next;
    if (workers->first == NULL)
        workers->last = NULL;
    return job;
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    struct job *job;
    pthread_mutex_lock(&workers->lock);
    while ((job = next_job(workers)) != NULL) {
        pthread_mutex_unlock(&workers->lock);
        job->work(job);
        pthread_mutex_lock(&workers->lock);
    }
    workers->threads--;
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* With all signals blocked: they are for the program's own threads. */
static int start_thread(struct workers *workers)
{
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, worker_main, workers);
    if (rc == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return -rc;
}

int workers_run(struct workers *workers, struct job *job)
{
    int rc = 0;
    pthread_mutex_lock(&workers->lock);
    unsigned waiting = 1;
    for (const struct job *other = workers->first; other != NULL; other = other->next)
        waiting++;
    if (waiting > workers->idle && workers->threads < workers->most) {
        rc = start_thread(workers);
        if (rc == 0)
            workers->threads++;
        else if (workers->threads > 0)
            rc = 0; /* those that are there will come to it */
    }
    if (rc == 0) {
        job->next = NULL;
        if (workers->last != NULL)
            workers->last->next = job;
        else
            workers->first = job;
        workers->last = job;
        pthread_cond_signal(&workers->wanted);
    }
    pthread_mutex_unlock(&workers->lock);
    return rc;
}

/* ---- to_thread ------------------------------------------------------------------------------- */

static struct workers blocking = WORKERS(4 * LIMIT_WORKERS);

struct call {
    struct job job;
    struct message message;
    struct mailbox *mailbox;
    struct wait wait;
    weir_task_fn *run;
    void *argument;
    int result;
};

static void returned(struct message *message)
{
    struct call *call = container_of(message, struct call, message);
    wait_wake(&call->wait, call->result);
}

static void work(struct job *job)
{
    struct call *call = container_of(job, struct call, job);
    call->result = call->run(call->argument);
    mailbox_post(call->mailbox, &call->message);
}

PUBLIC int weir_to_thread(weir_task_fn *run, void *argument)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    int rc = task_interrupted(task);
    if (rc < 0)
        return rc;
    struct call call = {
        .job = { .work = work },
        .message = { .deliver = returned },
        .run = run,
        .argument = argument,
    };
    rc = mailbox_hold(task->loop, &call.mailbox);
    if (rc < 0)
        return rc;
    rc = workers_run(&blocking, &call.job);
    if (rc == 0)
        rc = wait_uninterrupted(&call.wait);
    mailbox_drop(call.mailbox);
    return rc;
}
