#include "endpoint/shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernel/sys.h"

struct shared {
    pthread_mutex_t lock;
    struct shared_listener *listeners;
    unsigned loops;
};

struct shared *shared_new(unsigned loops)
{
    struct shared *shared = calloc(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    pthread_mutex_init(&shared->lock, NULL);
    shared->loops = loops;
    return shared;
}

void shared_free(struct shared *shared)
{
    while (shared->listeners != NULL) {
        struct shared_listener *listener = shared->listeners;
        shared->listeners = listener->next;
        if (listener->fd >= 0)
            sys_close(listener->fd);
        free(listener);
    }
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

unsigned shared_loops(const struct shared *shared)
{
    return shared->loops;
}

struct shared_listener *shared_lock(struct shared *shared, unsigned server, unsigned index)
{
    pthread_mutex_lock(&shared->lock);
    for (struct shared_listener *old = shared->listeners; old != NULL; old = old->next) {
        if (old->server == server && old->index == index)
            return old;
    }
    struct shared_listener *listener = malloc(sizeof *listener);
    if (listener == NULL) {
        pthread_mutex_unlock(&shared->lock);
        return NULL;
    }
    *listener = (struct shared_listener){
        .next = shared->listeners, .server = server, .index = index, .fd = -1
    };
    shared->listeners = listener;
    return listener;
}

void shared_unlock(struct shared *shared)
{
    pthread_mutex_unlock(&shared->lock);
}
