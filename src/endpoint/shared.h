/* What the loops of one weir_run() share: the n-th TCP server started on each is the same server,
 * so that the port that the kernel chose for the first loop's is every loop's; and a Unix socket is
 * bound by the first loop that wants its path, for all that listen there. */
#ifndef WEIR_ENDPOINT_SHARED_H
#define WEIR_ENDPOINT_SHARED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/list.h"

struct weir_loop;
struct shared;

/* For `loops` of them; NULL without memory. By the time it is freed all have left their paths. */
struct shared *shared_new(unsigned loops);
void shared_free(struct shared *shared);
unsigned shared_loops(const struct shared *shared);

/* One listening address of one server. */
struct shared_port {
    struct shared_port *next;
    unsigned server, index;
    uint16_t port; /* 0: not chosen yet */
};

/* Finds or makes it, and holds the lock until shared_unlock(): who comes first binds, the
 * others see what was bound. NULL without memory, and then there is no lock. */
struct shared_port *shared_lock(struct shared *shared, unsigned server, unsigned index);
void shared_unlock(struct shared *shared);

/* A server among those that listen at a path. Zeroed: at none. */
struct shared_member {
    struct list_node node;
    struct shared_path *path;
    const struct weir_loop *loop;
};
typedef int shared_bind_fn(const struct sockaddr_un *address, socklen_t length); /* an fd */

/* A duplicate of the socket at this address, which the first to join binds. -EADDRINUSE: a server
 * of the same loop is there already. */
int shared_join(struct shared *shared, struct shared_member *member,
                const struct sockaddr_un *address, socklen_t length, shared_bind_fn *bind);

/* Whether it was the last: what is left of the socket is its own. */
bool shared_leave(struct shared *shared, struct shared_member *member);

#endif
