/* What a simulated socket consists of: for socket.c (its life and its names), listen.c (connecting
 * and accepting), address.c and path.c (who has which), stream.c (the bytes, as its program sees
 * them) and wire.c (the bytes between). */
#ifndef WEIR_SIM_SOCKET_STATE_H
#define WEIR_SIM_SOCKET_STATE_H

#include <netinet/in.h>
#include <sys/un.h>

#include "base/list.h"
#include "sim/event.h"
#include "sim/socket.h"

/* A growing queue of bytes. */
struct bytes {
    char *data;
    size_t begin, size, room;
};

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

enum socket_state { STATE_NEW, STATE_LISTENING, STATE_CONNECTING, STATE_CONNECTED, STATE_DEAD };

/* What comes to a socket: from the other end, over the wire. */
struct inflow {
    struct event deliver, reset, broken;
    struct bytes wire, arrived;
    size_t wire_most, arrived_most;
    size_t held;        /* of the wire's last bytes, kept back for more (MSG_MORE) */
    bool fin_sent, fin; /* the end is on the wire; has arrived */
    size_t lost;        /* dropped from the wire, as the sender does not know yet */
    bool corked;        /* `deliver` waits for more than is held */
    bool stalled;       /* until the event, or until the world is calm */
    bool breaks;        /* after so many bytes, */
    uint64_t breaks_after;
    int fate;        /* what of enum fault that is */
    int breaks_with; /* with this error; EPIPE: once the sender has been told of the end */
    uint64_t total;
    char tail[64]; /* the last bytes, to look for what is forbidden */
    size_t tail_size;
};

struct socket {
    struct file file;
    struct list_node node;    /* among all */
    struct list_node pending; /* in its listener's queue */
    enum socket_state state;
    int family;
    unsigned number; /* of the connection, for the trace */
    union address own, remote;
    socklen_t own_length, remote_length;
    bool bound, reuse_address, reuse_port, v6only;
    bool keeps_port; /* it is bound by bind(), and not for a connection only */
    int options[3];  /* TCP_NODELAY, SO_KEEPALIVE: kept only */
    int error;       /* sk_err: the next to look takes it */
    bool shut_read, shut_write, reset_seen;
    bool ends_first; /* it ended its direction before the other's end came */

    /* A listener's. */
    struct list queue; /* connected clients that wait, by `pending` */
    unsigned queued;
    int backlog;
    struct socket *listener; /* in whose queue it is */

    /* Connecting. */
    struct event handshake;
    struct socket *knocks_at; /* a Unix listener that had no room */
    bool connecting;          /* and its program has not been told how it went */
    int64_t retry;
    int outcome;  /* what is decided about it: an error, or 0 */
    bool decided; /* without asking a listener */

    struct socket *peer; /* NULL: it has gone */
    struct inflow in;
};

extern struct list sockets;

struct socket *socket_of(struct file *file);
struct socket *socket_make(int family);

/* address.c */
void addresses_open(void);
void addresses_close(void);
uint16_t address_port_of(const union address *address);
void address_set_port(union address *address, uint16_t port);
bool address_is_any(const union address *address);
union address address_as(const union address *address, int family); /* IPv4 within IPv6, or not */
void address_linger(const struct socket *socket);                   /* TIME_WAIT */
bool address_is_taken(const struct socket *socket);
int socket_bind_any(struct socket *socket, const union address *to); /* a port of its own */
int route_of(const union address *to);
struct socket *socket_listening_at(const union address *to);

/* path.c */
void paths_open(void);
void paths_leave(const struct socket *socket); /* its path stays */
int socket_bind_path(struct socket *socket, const union address *address, socklen_t length);
struct socket *socket_at_path(const struct sockaddr_un *path, socklen_t length, int *ret_error);

/* listen.c */
void listeners_open(void);
void listener_shut(struct socket *listener);
void listener_end(struct socket *listener);
void handshake_stop(struct socket *socket);
void handshake_calm(struct socket *socket);

/* stream.c */
short stream_poll(struct socket *socket);
void streams_open(void);
void stream_accepted(void);
bool stream_is_connected(const struct socket *socket);

/* wire.c */
void bytes_add(struct bytes *bytes, const char *data, size_t size);
void bytes_drop(struct bytes *bytes, size_t size);
void stream_begin(struct socket *client, struct socket *server);
void stream_end(struct socket *socket); /* its last reference has gone */
void stream_finish(struct socket *socket, struct socket *peer);
void stream_reset(struct socket *socket, int error); /* this end learns of a reset */
void stream_reset_peer(struct socket *socket);       /* the other end will */
void streams_calm(struct socket *socket);            /* it goes on, and is not broken any more */
void wire_look(struct socket *to, const char *data, size_t size); /* for what is forbidden */
void wire_schedule(struct socket *to); /* something may arrive, now or a little later */
size_t wire_room(const struct socket *peer);

#endif
