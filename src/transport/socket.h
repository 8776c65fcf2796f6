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

struct socket {
    struct transport transport;
    struct weir_loop *loop;
    int fd;
    enum socket_state state;
    int error; /* why it is lost */
    bool told_lost;

    struct op receive;
    struct pool_waiter starved;
    struct buffers *buffers; /* that the receive in flight fills */
    bool receiving;          /* a receive is in flight */
    bool cancelling;         /* and is being cancelled */
    bool ended;              /* nothing more comes */
    bool large;              /* it fills the small buffers: give it large ones */
    uint8_t streak;          /* completions in a row that speak for the other size */

    struct op send;
    struct deferred flush;
    uint32_t link_sizes[LIMIT_LINKS]; /* of the sends in flight, first to last */
    uint8_t links, links_done;
    int send_error;
    bool recall;           /* what is in flight is to come back, to be sent again or dropped */
    bool recalled;         /* and its cancelling is queued */
    bool finish, finished; /* our direction: to be ended, has been */

    struct op close;
    bool close_linked; /* to the sends in flight */
    bool abandoned;    /* those are to be given up */

    struct ring_waiter parked;      /* for a slot */
    struct ring_waiter parked_send; /* for a slot to send */
    struct name peer_name, own_name;
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

/* receive.c */
void receive_open(struct socket *socket);
void receive_move(struct socket *socket);

/* send.c */
void send_open(struct socket *socket);
void send_move(struct socket *socket);
bool send_recall(struct socket *socket);

/* socket.c, for send.c: queues the close; linked behind the send before it, if that is in
 * flight. */
bool socket_submit_close(struct socket *socket);

#endif
