/* A socket on the ring: the transport that all others end in.
 *
 * socket.c holds the life of it, receive.c and send.c the two directions. All that is in flight
 * points into this struct, which therefore lives until `closed`. */
#ifndef WEIR_TRANSPORT_SOCKET_H
#define WEIR_TRANSPORT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "task/loop.h"
#include "transport/address.h"
#include "transport/transport.h"

/* Moved on by socket_move() alone, and only downwards. */
enum socket_state {
    SOCKET_OPEN,
    SOCKET_FLUSHING, /* to be closed when `out` has left */
    SOCKET_ENDING,   /* lost; waits until nothing is in flight */
    SOCKET_CLOSING,  /* the close is in flight */
    SOCKET_CLOSED,
};

/* What every message touches comes first, and lies together. */
struct socket {
    struct transport transport;
    struct weir_loop *loop;
    int fd;
    int error; /* why it is lost */

    struct op receive, send;
    enum socket_state state : 8;
    uint8_t streak;     /* completions in a row that speak for the other size of buffers */
    bool large;         /* it fills the small buffers: give it large ones */
    bool filling_large; /* the receive in flight fills them */
    bool receiving;     /* a receive is in flight */
    bool ended;         /* nothing more comes */
    bool told_lost;
    uint8_t links; /* sends in flight */
    uint8_t links_done;
    bool recall;       /* what is in flight is to come back, to be sent again or dropped */
    bool finish;       /* our direction is to be ended */
    bool finished;     /* and has been */
    bool close_linked; /* to the sends in flight */
    bool abandoned;    /* those are to be given up */
    int send_error;
    struct deferred flush;            /* what is to be done at the turn's end */
    uint32_t link_sizes[LIMIT_LINKS]; /* of the sends in flight, first to last */
    struct ring_waiter parked_send;   /* for a slot to send */

    struct ring_waiter parked; /* for a slot */
    struct pool_waiter starved;
    struct op close;
    struct cancel cancel_receive, cancel_send;
    struct names names;
};

/* `fd` is a connected stream socket, blocking, and owned from here on. Nothing is received
 * until asked for. The struct is the caller's: what free() frees is what it points to. */
void socket_open(struct socket *socket, struct weir_loop *loop, int fd);

/* Whether a socket of this loop has that fd. */
bool socket_owns(const struct weir_loop *loop, int fd);

/* It is lost, to an error or (0) by our own wish; socket_move() must follow. */
void socket_fail(struct socket *socket, int error);

/* Does what state and wishes ask for. The socket may be gone afterwards. */
void socket_move(struct socket *socket);

static inline bool socket_is_sending(const struct socket *socket)
{
    return socket->links > socket->links_done;
}

/* receive.c */
void receive_open(struct socket *socket);
void receive_move(struct socket *socket);
bool receive_is_over(const struct socket *socket); /* nothing of it is in flight */

/* send.c */
void send_open(struct socket *socket);
void send_move(struct socket *socket);
bool send_recall(struct socket *socket);
bool send_is_over(const struct socket *socket); /* nothing of it is in flight */

/* socket.c, for send.c: queues the close; linked behind the send before it, if that is in
 * flight. */
bool socket_submit_close(struct socket *socket);

#endif
