/* A transport carries the bytes of one stream both ways. The stream above it puts what is to be
 * sent into `out` and is told what happens by events; a socket is one, TLS over a socket is
 * another.
 *
 * Order of events: opened, received..., ended, then lost once, then closed once and last. After
 * lost nothing is received or taken to be sent any more; after closed nothing is in flight and the
 * memory may go. */
#ifndef WEIR_TRANSPORT_TRANSPORT_H
#define WEIR_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/chain.h"

struct transport;

struct transport_events {
    void (*opened)(void *user); /* a handshake has succeeded: only of those that have one */

    /* Bytes have come; one reference to `segment` is handed over. */
    void (*received)(void *user, struct weir_segment *segment, const char *data, size_t size);
    void (*ended)(void *user); /* the peer sends no more */
    void (*sent)(void *user);  /* `out` is smaller, or `pressed` has changed */
    void (*lost)(void *user, int error);
    void (*closed)(void *user);
};

struct transport_ops {
    void (*send)(struct transport *transport);   /* `out` has grown: it leaves at the turn's end */
    void (*finish)(struct transport *transport); /* when `out` is empty, end our direction */
    void (*receive)(struct transport *transport, bool wanted); /* a new one: not wanted yet */
    void (*close)(struct transport *transport);                /* when `out` is empty */
    void (*abort)(struct transport *transport, int error);     /* at once; error 0: our own wish */

    /* Takes back what is in flight from `out`, if it can be stopped: false if nothing is. Told by
     * `sent` when that has ended; what did not leave is still in `out`, and waits for send(). */
    bool (*recall)(struct transport *transport);

    const char *(*extra_info)(struct transport *transport, const char *name);
    int (*fileno)(const struct transport *transport);
    void (*free)(struct transport *transport); /* after closed, and with all below */
};

struct transport {
    const struct transport_ops *ops;
    const struct transport_events *events;
    void *user;
    struct transport *lower; /* that this one stands on, or NULL */
    struct chain out;        /* queued and in flight */
    bool pressed;            /* it waits for a submission slot */
    bool receiving;          /* it was asked to */
    bool can_finish;
};

/* All that has been put into it and has not left the process yet. */
static inline size_t transport_queued(const struct transport *transport)
{
    size_t size = transport->out.size;
    while ((transport = transport->lower) != NULL)
        size += transport->out.size;
    return size;
}

static inline bool transport_pressed(const struct transport *transport)
{
    while (transport->lower != NULL)
        transport = transport->lower;
    return transport->pressed;
}

#endif
