/* Running (asyncio.run): the options, the loops, and their threads. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <weir.h>

#include "base/limits.h"
#include "base/macros.h"
#include "endpoint/shared.h"
#include "kernel/sys.h"
#include "task/loop.h"

/* Where the threads meet once each has opened its loop, or could not: all go on, or none. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned missing;
    int error; /* the first */
};

struct runner {
    pthread_t thread;
    struct weir_run_options options;
    struct shared *shared; /* NULL, as the gate, for a loop by itself */
    struct gate *gate;
    weir_task_fn *main;
    void *argument;
    unsigned index;
    int result;
};

static void arrive(struct gate *gate, unsigned count, int error)
{
    pthread_mutex_lock(&gate->lock);
    gate->missing -= count;
    if (gate->error == 0)
        gate->error = error;
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static int pass(struct gate *gate, int error)
{
    if (gate == NULL)
        return error;
    arrive(gate, 1, error);
    pthread_mutex_lock(&gate->lock);
    while (gate->missing > 0)
        pthread_cond_wait(&gate->moved, &gate->lock);
    error = gate->error;
    pthread_mutex_unlock(&gate->lock);
    return error;
}

static int open_loop(struct weir_loop *loop, const struct runner *runner)
{
    if (loop == NULL)
        return -ENOMEM;
    int rc = runner->options.pin ? sys_pin_thread(runner->index) : 0;
    return rc == 0 ? loop_open(loop, &runner->options) : rc;
}

static int run_loop(struct runner *runner)
{
    struct weir_loop *loop = malloc(sizeof *loop);
    int opened = open_loop(loop, runner);
    int rc = pass(runner->gate, opened);
    if (rc == 0) {
        loop->shared = runner->shared;
        rc = loop_run(loop, runner->main, runner->argument);
    }
    if (opened == 0)
        loop_close(loop);
    free(loop);
    return rc;
}

static void *thread_main(void *argument)
{
    struct runner *runner = argument;
    runner->result = run_loop(runner);
    return NULL;
}

/* The ring belongs to the thread that makes it, so every loop is opened on its own. */
static int run_threads(const struct runner *common)
{
    unsigned count = common->options.threads, started = 0;
    struct runner *runners = calloc(count, sizeof *runners);
    int rc = runners != NULL ? 0 : -ENOMEM;
    while (rc == 0 && started < count) {
        runners[started] = *common;
        runners[started].index = started;
        rc = -pthread_create(&runners[started].thread, NULL, thread_main, &runners[started]);
        started += rc == 0;
    }
    if (rc < 0)
        arrive(common->gate, count - started, rc);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(runners[i].thread, NULL);
        if (rc == 0)
            rc = runners[i].result;
    }
    free(runners);
    return rc;
}

static int set_defaults(struct weir_run_options *options)
{
    if (options->ring_entries == 0)
        options->ring_entries = LIMIT_RING;
    if (options->receive_memory == 0)
        options->receive_memory = LIMIT_RECEIVE;
    else if (options->receive_memory < LIMIT_RECEIVE_MIN)
        return -EINVAL;
    if (options->stack_size == 0)
        options->stack_size = LIMIT_STACK;
    if (options->linger == 0)
        options->linger = LIMIT_LINGER * WEIR_SECOND;
    bool sane = options->ring_entries <= LIMIT_RING_MAX && options->threads <= 4096 &&
                options->stack_size >= LIMIT_STACK_MIN && options->stack_size <= 1 << 30 &&
                options->receive_memory <= (size_t)1 << 36 && options->linger >= 0;
    return sane ? 0 : -EINVAL;
}

PUBLIC int weir_run(weir_task_fn *main, void *argument, const struct weir_run_options *options)
{
    struct runner runner = { .main = main, .argument = argument };
    if (loop_this() != NULL)
        return -EBUSY;
    if (options != NULL)
        runner.options = *options;
    int rc = main != NULL ? set_defaults(&runner.options) : -EINVAL;
    if (rc < 0)
        return rc;
    if (runner.options.threads <= 1)
        return run_loop(&runner);

    struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
                         .moved = PTHREAD_COND_INITIALIZER,
                         .missing = runner.options.threads };
    runner.gate = &gate;
    runner.shared = shared_new(runner.options.threads);
    if (runner.shared == NULL)
        return -ENOMEM;
    rc = run_threads(&runner);
    shared_free(runner.shared);
    return rc;
}
