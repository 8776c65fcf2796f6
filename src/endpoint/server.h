/* A server: some listeners, and the clients they have let in. server.c is the API and its life,
 * listener.c accepts, bind.c makes the listening sockets. */
#ifndef WEIR_ENDPOINT_SERVER_H
#define WEIR_ENDPOINT_SERVER_H

#include <stdbool.h>
#include <sys/types.h>
#include <weir.h>

#include "endpoint/shared.h"
#include "stream/stream.h"
#include "task/loop.h"

struct listener {
    struct weir_server *server;
    int fd; /* -1 once closed */
    struct op accept;
    struct cancel cancel;
    bool accepting; /* one is in flight */
    bool multishot; /* and it is of that kind */
    bool shared;    /* others may listen on the same socket */
    struct ring_waiter parked;
    struct timer backoff; /* while no fd can be had */
    int64_t delay;        /* of the next one, ns */
    uint16_t port;
    char *name; /* as weir_server_sockname() words it */
    char *path; /* to unlink, if it is still that file; or NULL */
    dev_t device;
    ino_t inode;
};

struct weir_server {
    struct weir_loop *loop;
    weir_client_connected_fn *client_connected;
    void *argument;
    struct weir_server_options options; /* no zeros left in limit, backlog, max_connections */
    struct listener *listeners;
    unsigned listener_count;
    struct list clients; /* stream, by its `lingering` */
    int *held;           /* fds accepted above the cap, first come first */
    unsigned held_count;
    unsigned open;       /* clients */
    struct list forever; /* wait: serve_forever */
    struct list closers; /* wait: for all to be gone */
    struct task_owned owned;
    struct lingering lingering;  /* the loop goes on until it is gone */
    struct shared_member member; /* of those at the Unix socket's path */
    int spare_fd;                /* of nothing: given up to tell a client that there is none */
    unsigned inside;             /* tasks inside a waiting function */
    bool serving, closed, released;
};

/* A stream that a server has accepted. */
struct client {
    struct stream stream;
    struct weir_server *server;
};

/* server.c */
void server_let_in(struct weir_server *server, int fd);
void server_listener_closed(struct weir_server *server);
struct weir_server *server_new(weir_client_connected_fn *client_connected, void *argument,
                               const struct weir_server_options *options);
void server_free(struct weir_server *server);
int server_spare_fd(struct weir_server *server); /* has it again, if it can */
struct secure_options server_secure_options(const struct weir_server_options *options);

/* Begins to serve, unless told not to, and hands it to the current task. -errno: it is freed. */
int server_launch(struct weir_server *server, struct weir_server **ret_server);

/* listener.c: does what the server's state asks for: accept, pause, stop, close. */
void listener_open(struct listener *listener, struct weir_server *server, int fd);
int listener_look_up_name(struct listener *listener); /* -ENOMEM, ... */
void listener_move(struct listener *listener);
void listener_retry(struct listener *listener); /* an fd has become free */
void listener_stop(struct listener *listener);  /* lets nobody in from now on */
void listener_close(struct listener *listener); /* the server has closed */
void listener_free(struct listener *listener);  /* one that does not accept */

#endif
