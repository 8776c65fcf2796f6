/* The server (asyncio.Server): its life, and its clients. */
#include "endpoint/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "endpoint/shared.h"
#include "kernel/sys.h"
#include "transport/engine.h"

/* ---- Clients --------------------------------------------------------------------------------- */

static bool is_gone(const struct weir_server *server)
{
    if (!server->closed || server->open > 0)
        return false;
    for (unsigned i = 0; i < server->listener_count; i++) {
        if (server->listeners[i].fd >= 0)
            return false;
    }
    return true;
}

static void look_if_gone(struct weir_server *server)
{
    if (!is_gone(server))
        return;
    wait_wake_all(&server->closers, 0);
    if (server->released && server->inside == 0)
        server_free(server);
}

static void client_gone(struct stream *stream);

/* Several listeners accept up to the same cap at a time: who comes in too many waits here. */
static void hold_back(struct weir_server *server, int fd)
{
    size_t size = (server->held_count + 1) * sizeof *server->held;
    int *grown = realloc(server->held, size);
    if (grown == NULL) {
        sys_close(fd);
        return;
    }
    server->held = grown;
    server->held[server->held_count++] = fd;
}

static void close_held(struct weir_server *server)
{
    for (unsigned i = 0; i < server->held_count; i++)
        sys_close(server->held[i]);
    server->held_count = 0;
}

/* While nobody owns it, it goes when it is closed. */
static void secure_client(struct client *client)
{
    struct secure_options wishes = server_secure_options(&client->server->options);
    client->stream.start = client->server->options.start_parked ? PARK_SECURED : START_SECURED;
    int rc = stream_secure(&client->stream, &wishes);
    if (rc < 0)
        stream_fail(&client->stream, rc);
}

static void start_client(struct weir_server *server, int fd)
{
    struct client *client = (struct client *)stream_new(server->loop, fd, server->options.limit,
                                                        sizeof *client, &server->clients);
    if (client == NULL) {
        sys_close(fd);
        return;
    }
    client->server = server;
    client->stream.gone = client_gone;
    client->stream.handler = server->client_connected;
    client->stream.argument = server->argument;
    server->open++;
    client->stream.released = true;
    if (server->options.tls != NULL)
        secure_client(client);
    else if (server->options.start_parked)
        stream_park(&client->stream);
    else
        stream_start_handler(&client->stream);
}

void server_let_in(struct weir_server *server, int fd)
{
    metrics.connections_accepted++;
    if (!server->serving)
        sys_close(fd);
    else if (server->open >= server->options.max_connections)
        hold_back(server, fd);
    else
        start_client(server, fd);
}

/* As many as there is room for: who cannot be served, for want of memory, takes none. */
static void let_held_in(struct weir_server *server)
{
    while (server->serving && server->held_count > 0 &&
           server->open < server->options.max_connections) {
        int first = server->held[0];
        memmove(server->held, server->held + 1, --server->held_count * sizeof first);
        start_client(server, first);
    }
}

static void client_gone(struct stream *stream)
{
    struct client *client = container_of(stream, struct client, stream);
    struct weir_server *server = client->server;
    server->open--;
    let_held_in(server);
    for (unsigned i = 0; i < server->listener_count && server->serving; i++) {
        listener_retry(&server->listeners[i]);
        listener_move(&server->listeners[i]);
    }
    look_if_gone(server);
}

/* ---- Life ------------------------------------------------------------------------------------ */

struct secure_options server_secure_options(const struct weir_server_options *options)
{
    static const struct weir_server_options none;
    if (options == NULL)
        options = &none;
    return (struct secure_options){
        .tls = options->tls,
        .handshake_timeout = options->tls_handshake_timeout,
        .shutdown_timeout = options->tls_shutdown_timeout,
    };
}

struct weir_server *server_new(weir_client_connected_fn *client_connected, void *argument,
                               const struct weir_server_options *options)
{
    struct weir_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    server->loop = loop_this();
    server->client_connected = client_connected;
    server->argument = argument;
    server->spare_fd = -1;
    if (options != NULL)
        server->options = *options;
    if (server->options.tls != NULL)
        server->options.tls->hold(server->options.tls);
    if (server->options.backlog == 0)
        server->options.backlog = LIMIT_BACKLOG;
    if (server->options.max_connections == 0) {
        struct shared *shared = server->loop->shared;
        size_t limit = sys_fd_limit() / (shared != NULL ? shared_loops(shared) : 1);
        size_t most = limit > 2 * LIMIT_FDS_SPARED ? limit - LIMIT_FDS_SPARED : limit / 2;
        server->options.max_connections = (unsigned)min_size(most, UINT32_MAX);
    }
    return server;
}

void server_free(struct weir_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++)
        listener_free(&server->listeners[i]);
    if (server->spare_fd >= 0)
        sys_close(server->spare_fd);
    list_remove(&server->lingering.node);
    if (server->options.tls != NULL)
        server->options.tls->drop(server->options.tls);
    free(server->held);
    free(server->listeners);
    free(server);
}

void server_listener_closed(struct weir_server *server)
{
    look_if_gone(server);
}

static void release(struct weir_server *server)
{
    task_disown(&server->owned);
    server->released = true;
    server->inside++; /* closing may find it gone already */
    weir_server_close(server);
    server->inside--;
    look_if_gone(server);
}

static void end_owned(struct task_owned *owned)
{
    release(container_of(owned, struct weir_server, owned));
}

static void give_up(struct lingering *lingering)
{
    weir_server_abort_clients(container_of(lingering, struct weir_server, lingering));
}

int server_launch(struct weir_server *server, struct weir_server **ret_server)
{
    int rc = server->options.no_start_serving ? 0 : weir_server_start_serving(server);
    if (rc < 0) {
        server_free(server);
        return rc;
    }
    task_own(task_current(), &server->owned, end_owned);
    server->lingering.give_up = give_up;
    list_append(&server->loop->lingering, &server->lingering.node);
    *ret_server = server;
    return 0;
}

static void leave(struct weir_server *server)
{
    server->inside--;
    look_if_gone(server);
}

/* Waits until all have gone, at most until `deadline`. */
static int wait_until_gone(struct weir_server *server, int64_t deadline)
{
    if (is_gone(server))
        return 0;
    struct wait wait;
    list_append(&server->closers, &wait.node);
    return wait_until(&wait, deadline);
}

int server_spare_fd(struct weir_server *server)
{
    if (server->spare_fd < 0)
        server->spare_fd = sys_event_fd();
    return server->spare_fd;
}

/* All listeners listen, or none does. Without a spare fd there is none for a client either. */
static int start_listening(struct weir_server *server)
{
    int rc = server_spare_fd(server);
    unsigned done = 0;
    for (; rc >= 0 && done < server->listener_count; done++) {
        rc = sys_listen(server->listeners[done].fd, server->options.backlog);
        if (rc == 0 && server->listeners[done].port == 0)
            rc = listener_look_up_name(&server->listeners[done]);
    }
    for (unsigned i = 0; rc < 0 && i + 1 < done; i++)
        listener_stop(&server->listeners[i]);
    return rc;
}

/* ---- weir.h ---------------------------------------------------------------------------------- */

PUBLIC int weir_server_start_serving(struct weir_server *server)
{
    if (server->closed)
        return -EPIPE;
    if (server->serving)
        return 0;
    int rc = start_listening(server);
    if (rc < 0)
        return rc;
    server->serving = true;
    for (unsigned i = 0; i < server->listener_count; i++)
        listener_move(&server->listeners[i]);
    return 0;
}

PUBLIC int weir_server_serve_forever(struct weir_server *server)
{
    if (!list_is_empty(&server->forever))
        return -EBUSY;
    int rc = weir_server_start_serving(server);
    if (rc < 0)
        return rc;
    struct wait wait;
    server->inside++;
    list_append(&server->forever, &wait.node);
    rc = task_current() != NULL ? wait_suspend(&wait, NULL) : -EPERM;
    if (rc < 0)
        weir_server_close(server);
    leave(server);
    return rc;
}

PUBLIC bool weir_server_is_serving(const struct weir_server *server)
{
    return server->serving;
}

PUBLIC const char *weir_server_sockname(const struct weir_server *server, size_t index)
{
    return index < server->listener_count && !server->closed ? server->listeners[index].name : NULL;
}

PUBLIC uint16_t weir_server_port(const struct weir_server *server)
{
    return server->listener_count > 0 ? server->listeners[0].port : 0;
}

PUBLIC void weir_server_close(struct weir_server *server)
{
    if (server == NULL || server->closed)
        return;
    server->serving = false;
    server->closed = true;
    server->inside++;
    close_held(server);
    wait_wake_all(&server->forever, 0);
    for (unsigned i = 0; i < server->listener_count; i++)
        listener_close(&server->listeners[i]);
    leave(server);
}

/* Ending a stream may free it at once, and the next in the list with it: nothing does, for a stream
 * closes by completions only. */
static void for_each_client(struct weir_server *server, void (*act)(struct stream *))
{
    const struct list *clients = &server->clients;
    for (struct list_node *node = list_first(clients); node != NULL;
         node = list_next(clients, node))
        act(container_of(node, struct stream, lingering.node));
}

PUBLIC void weir_server_close_clients(struct weir_server *server)
{
    for_each_client(server, stream_close);
}

PUBLIC void weir_server_abort_clients(struct weir_server *server)
{
    for_each_client(server, stream_abort);
}

PUBLIC int weir_server_wait_closed(struct weir_server *server)
{
    if (server == NULL)
        return 0;
    server->inside++;
    task_disown(&server->owned);
    int rc = task_current() != NULL ? wait_until_gone(server, INT64_MAX) : -EPERM;
    server->released = true;
    if (rc < 0)
        weir_server_close(server);
    leave(server);
    return rc;
}

static void cancel_handler(struct stream *stream)
{
    if (stream->task != NULL)
        task_cancel(stream->task);
}

PUBLIC int weir_server_shutdown(struct weir_server *server, weir_duration grace)
{
    if (server == NULL)
        return 0;
    struct weir_loop *loop = server->loop;
    server->inside++;
    weir_server_close(server);
    for_each_client(server, stream_leave_when_parked);
    int rc = wait_until_gone(server, loop_deadline(loop, grace));
    bool late = rc == -ETIME;
    if (late) {
        for_each_client(server, cancel_handler);
        for_each_client(server, stream_close);
        rc = wait_until_gone(server, loop_deadline(loop, WEIR_SECOND));
    }
    if (rc == -ETIME) {
        for_each_client(server, stream_abort);
        rc = wait_until_gone(server, INT64_MAX);
    }
    release(server);
    leave(server);
    return rc == 0 && late ? -ETIMEDOUT : rc;
}
