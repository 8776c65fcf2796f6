/* TLS over another transport: records, states and time limits. What is inside of a record is the
 * engine's business.
 *
 * tls.c holds the life of it, tls_end.c its end, tls_records.c the two directions. Nothing here
 * runs the engine on a task's stack: what a task asks for is noted, and done by move() at the end
 * of the turn. */
#ifndef WEIR_TRANSPORT_TLS_H
#define WEIR_TRANSPORT_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "task/loop.h"
#include "transport/engine.h"
#include "transport/transport.h"

/* Only ever moves downwards. */
enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FLUSHING, /* to be closed: when `out` has left, our end follows */
    TLS_ENDING,   /* our end has left, or an alert: waits for the peer to, and drops all else */
    TLS_CLOSING,  /* the transport below is closing */
};

struct tls {
    struct transport transport;
    struct weir_loop *loop;
    struct engine *engine;
    enum tls_state state;
    bool begun, opened, told_lost;
    bool ended;            /* the peer has: by close_notify, or as allow_truncation has it */
    bool lower_ended;      /* and nothing at all comes any more */
    bool data_below;       /* data is on its way, sealed */
    bool all_left;         /* no data is any more; only our end may be */
    bool finish, finished; /* our direction: to be ended, has been */
    bool allow_truncation;
    bool out_of_memory;           /* something that was emitted is missing */
    bool looking;                 /* whether some of what is being sent has left */
    size_t left_to_send;          /* when that began */
    uint16_t idle_records;        /* in a row that brought no data */
    size_t replies;               /* bytes emitted since the queue below was empty */
    struct chain in;              /* records, not opened yet */
    struct weir_segment *packing; /* that small records are opened into, not in place */
    struct deferred deferred;
    struct timer timer; /* of the handshake, and of the end */
    weir_duration shutdown_timeout;
};

struct tls_options {
    struct weir_tls *context;
    const char *server_hostname;
    weir_duration handshake_timeout, shutdown_timeout;
};

/* Puts TLS over `lower` and takes its place: whom that told its events, TLS tells from now on. `in`
 * is what had been received and is now TLS's. The handshake begins at the end of the turn; `opened`
 * or `lost` follows. -errno or a WEIR_TLS_ code: nothing has changed. */
int tls_open(struct transport *lower, struct weir_loop *loop, const struct tls_options *options,
             struct chain *in, struct transport **ret_transport);

/* Whether so much that nobody has written waits to leave, such as replies to changes of keys, that
 * the peer is to read it first. */
bool tls_owes_replies(const struct tls *tls);

/* tls_end.c */
void tls_fail(struct tls *tls, int error);    /* it is lost; an alert is still delivered */
void tls_give_up(struct tls *tls, int error); /* the same, at once */
void tls_tell_lost(struct tls *tls, int error);
void tls_begin_to_end(struct tls *tls);  /* what is queued leaves first */
void tls_await_end(struct tls *tls);     /* our end has left */
void tls_hurry_if_over(struct tls *tls); /* nothing is missing but the peer's closing */
void tls_close_lower(struct tls *tls);
/* One limit at a time: of the handshake; until it has settled; of the end, without progress. */
void tls_set_limit(struct tls *tls, weir_duration limit);
void tls_note_sent(struct tls *tls); /* some of what was being sent has left */

/* tls_records.c */
void tls_take_records(struct tls *tls); /* opens those that are whole */
void tls_put_records(struct tls *tls);  /* seals what is in `out`, as far as there is room below */

/* tls.c, for tls_records.c: what has come. */
void tls_handshaken(struct tls *tls);
void tls_peer_ended(struct tls *tls);

#endif
