#include "endpoint/shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "kernel/sys.h"

struct shared_path {
    struct list_node node;
    struct list members;
    struct sockaddr_un address;
    socklen_t length;
    int fd; /* for others to duplicate */
};

struct shared {
    pthread_mutex_t lock;
    struct shared_port *ports;
    struct list paths;
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
    while (shared->ports != NULL) {
        struct shared_port *port = shared->ports;
        shared->ports = port->next;
        free(port);
    }
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

unsigned shared_loops(const struct shared *shared)
{
    return shared->loops;
}

/* ---- Ports ----------------------------------------------------------------------------------- */

struct shared_port *shared_lock(struct shared *shared, unsigned server, unsigned index)
{
    pthread_mutex_lock(&shared->lock);
    for (struct shared_port *old = shared->ports; old != NULL; old = old->next) {
        if (old->server == server && old->index == index)
            return old;
    }
    struct shared_port *port = malloc(sizeof *port);
    if (port == NULL) {
        pthread_mutex_unlock(&shared->lock);
        return NULL;
    }
    *port = (struct shared_port){ .next = shared->ports, .server = server, .index = index };
    shared->ports = port;
    return port;
}

void shared_unlock(struct shared *shared)
{
    pthread_mutex_unlock(&shared->lock);
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static struct shared_path *find(const struct shared *shared, const struct sockaddr_un *address,
                                socklen_t length)
{
    for (struct list_node *node = list_first(&shared->paths); node != NULL;
         node = list_next(&shared->paths, node)) {
        struct shared_path *path = container_of(node, struct shared_path, node);
        if (path->length == length && memcmp(&path->address, address, length) == 0)
            return path;
    }
    return NULL;
}

static void forget(struct shared_path *path)
{
    sys_close(path->fd);
    list_remove(&path->node);
    free(path);
}

static bool has_member_of(const struct shared_path *path, const struct weir_loop *loop)
{
    for (struct list_node *node = list_first(&path->members); node != NULL;
         node = list_next(&path->members, node)) {
        if (container_of(node, struct shared_member, node)->loop == loop)
            return true;
    }
    return false;
}

/* Bound, and without members yet. */
static int begin(struct shared *shared, const struct sockaddr_un *address, socklen_t length,
                 shared_bind_fn *bind, struct shared_path **ret_path)
{
    struct shared_path *path = calloc(1, sizeof *path);
    if (path == NULL)
        return -ENOMEM;
    path->address = *address;
    path->length = length;
    path->fd = bind(address, length);
    if (path->fd < 0) {
        int rc = path->fd;
        free(path);
        return rc;
    }
    list_append(&shared->paths, &path->node);
    *ret_path = path;
    return 0;
}

static int join(struct shared *shared, struct shared_member *member,
                const struct sockaddr_un *address, socklen_t length, shared_bind_fn *bind)
{
    struct shared_path *path = find(shared, address, length);
    if (path != NULL && has_member_of(path, member->loop))
        return -EADDRINUSE;
    int rc = path != NULL ? 0 : begin(shared, address, length, bind, &path);
    if (rc < 0)
        return rc;
    int fd = sys_duplicate(path->fd);
    if (fd >= 0) {
        member->path = path;
        list_append(&path->members, &member->node);
    } else if (list_is_empty(&path->members)) {
        if (address->sun_path[0] != '\0')
            sys_unlink(address->sun_path);
        forget(path);
    }
    return fd;
}

int shared_join(struct shared *shared, struct shared_member *member,
                const struct sockaddr_un *address, socklen_t length, shared_bind_fn *bind)
{
    pthread_mutex_lock(&shared->lock);
    int fd = join(shared, member, address, length, bind);
    pthread_mutex_unlock(&shared->lock);
    return fd;
}

bool shared_leave(struct shared *shared, struct shared_member *member)
{
    pthread_mutex_lock(&shared->lock);
    struct shared_path *path = member->path;
    list_remove(&member->node);
    member->path = NULL;
    bool last = list_is_empty(&path->members);
    if (last)
        forget(path);
    pthread_mutex_unlock(&shared->lock);
    return last;
}
