/* What the loops of one weir_run() share: the n-th server started on each is the same server,
 * so the port that the kernel chose for the first loop's is every loop's, and so is a Unix
 * listener. */
#ifndef WEIR_ENDPOINT_SHARED_H
#define WEIR_ENDPOINT_SHARED_H

#include <stdint.h>

struct shared;

/* For `loops` of them; NULL without memory. */
struct shared *shared_new(unsigned loops);
void shared_free(struct shared *shared);
unsigned shared_loops(const struct shared *shared);

/* One listening address of one server. */
struct shared_listener {
    struct shared_listener *next;
    unsigned server, index;
    uint16_t port; /* 0: not chosen yet */
    int fd;        /* of a Unix listener, for others to duplicate; -1: none yet */
    unsigned taken;
};

/* Finds or makes it, and holds the lock until shared_unlock(): who comes first binds, the
 * others see what was bound. NULL without memory, and then there is no lock. */
struct shared_listener *shared_lock(struct shared *shared, unsigned server, unsigned index);
void shared_unlock(struct shared *shared);

#endif
