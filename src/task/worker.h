/* Helper threads, for what blocks: a name's resolution, a program's own blocking code. They are
 * started when there is work and none is idle, and end when idle for a while. */
#ifndef WEIR_TASK_WORKER_H
#define WEIR_TASK_WORKER_H

#include <pthread.h>

struct job {
    struct job *next;
    void (*work)(struct job *job); /* on a helper thread; tells by a mailbox when it is done */
};

/* Threads of one purpose: so that slow names never hold up a program's own work. */
struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct job *first, *last;
    unsigned threads, idle, most;
};

#define WORKERS(limit)                                                                             \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER, .most = (limit)     \
    }

int workers_run(struct workers *workers, struct job *job); /* -EAGAIN: no thread can be had */

#endif
