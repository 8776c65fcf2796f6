/* Listening, connecting and accepting. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/socket_state.h"
#include "sim/world.h"

enum { PATIENCE = 127 }; /* s without an answer, until connecting has failed */

static unsigned connections; /* made in this world */

void listeners_open(void)
{
    connections = 0;
}

/* ---- Listening ------------------------------------------------------------------------------- */

int socket_listen(struct file *file, int backlog)
{
    struct socket *socket = socket_of(file);
    if (socket->state != STATE_NEW && socket->state != STATE_LISTENING)
        return -EINVAL;
    if (!socket->bound) {
        union address any = { 0 };
        if (socket->family == AF_UNIX)
            return -EINVAL;
        any.any.sa_family = (sa_family_t)socket->family;
        int rc = socket_bind_any(socket, &any);
        if (rc < 0)
            return rc;
    }
    if (socket->family != AF_UNIX && socket->state == STATE_NEW && address_is_taken(socket))
        return -EADDRINUSE;
    socket->state = STATE_LISTENING;
    socket->shut_read = false;
    socket->backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : backlog;
    return 0;
}

/* Those who found no room try again, or are told. */
static void call_knockers(struct socket *listener)
{
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        if (socket->knocks_at == listener) {
            socket->knocks_at = NULL;
            file_changed(&socket->file);
        }
    }
}

/* Who waits in its queue is reset. */
void listener_end(struct socket *listener)
{
    struct list_node *node;
    while ((node = list_take_first(&listener->queue)) != NULL) {
        struct socket *waiting = container_of(node, struct socket, pending);
        listener->queued--;
        if (waiting->family != AF_UNIX)
            socket_reset(&waiting->file);
        file_drop(&waiting->file);
    }
    listener->state = STATE_NEW;
    call_knockers(listener);
    file_changed(&listener->file);
}

/* That of a Unix socket has its queue still, and takes no more. */
void listener_shut(struct socket *listener)
{
    if (listener->family != AF_UNIX) {
        listener_end(listener);
        return;
    }
    listener->shut_read = true;
    call_knockers(listener);
    file_changed(&listener->file);
}

static bool has_room(const struct socket *listener)
{
    return listener->queued <= (unsigned)listener->backlog && !listener->shut_read;
}

/* Both ends are there from now on; the server's waits to be accepted. */
static void establish(struct socket *client, struct socket *listener)
{
    struct socket *server = socket_make(listener->family);
    if (listener->family == AF_UNIX) {
        client->remote = server->own = listener->own;
        client->remote_length = server->own_length = listener->own_length;
        server->remote = client->own;
        server->remote_length = client->own_length;
    } else {
        server->own = address_as(&client->remote, listener->family);
        server->remote = address_as(&client->own, listener->family);
        server->own_length = server->remote_length = listener->own_length;
    }
    server->bound = true;
    server->listener = listener;
    server->reuse_address = listener->reuse_address;
    server->reuse_port = listener->reuse_port;
    server->v6only = listener->v6only;
    memcpy(server->options, listener->options, sizeof server->options);
    client->number = server->number = ++connections;
    stream_begin(client, server);
    list_append(&listener->queue, &server->pending);
    listener->queued++;
    trace("tcp %u is established", client->number);
    file_changed(&client->file);
    file_changed(&listener->file);
}

/* ---- Accepting ------------------------------------------------------------------------------- */

struct file *socket_accept(struct file *file, int *ret_error)
{
    struct socket *listener = socket_of(file);
    if (listener->state != STATE_LISTENING) {
        *ret_error = -EINVAL;
        return NULL;
    }
    struct list_node *node = list_take_first(&listener->queue);
    if (node == NULL) {
        *ret_error = listener->shut_read ? -EINVAL : -EAGAIN;
        return NULL;
    }
    struct socket *client = container_of(node, struct socket, pending);
    client->listener = NULL;
    listener->queued--;
    call_knockers(listener);
    if (client->family != AF_UNIX && fault(FAULT_DEAD_CLIENT, "an accept")) {
        stream_reset(client, -ECONNRESET);
        stream_reset_peer(client);
        if (choose(4, "whether accept tells") == 1) {
            file_drop(&client->file);
            *ret_error = -ECONNABORTED;
            return NULL;
        }
    }
    stream_accepted();
    return &client->file;
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static void decide(struct socket *socket, int outcome)
{
    trace("connecting has failed: %d", outcome);
    socket->state = STATE_DEAD;
    socket->outcome = outcome;
    socket->decided = true;
    file_changed(&socket->file);
}

void handshake_stop(struct socket *socket)
{
    event_stop(&socket->handshake);
    if (socket->state == STATE_CONNECTING)
        decide(socket, -ECONNRESET);
}

/* The first packet has arrived, or come again, or there will be no answer any more. */
static void handshake(struct event *event)
{
    struct socket *socket = container_of(event, struct socket, handshake);
    if (socket->outcome != 0) {
        decide(socket, socket->outcome);
        return;
    }
    struct socket *listener = socket_listening_at(&socket->remote);
    if (listener == NULL) {
        decide(socket, -ECONNREFUSED);
    } else if (has_room(listener)) {
        establish(socket, listener);
    } else if (socket->retry >= 64 * WEIR_SECOND) {
        decide(socket, -ETIMEDOUT);
    } else {
        socket->retry = socket->retry == 0 ? WEIR_SECOND : 2 * socket->retry;
        event_after(&socket->handshake, socket->retry);
    }
}

/* What chance has decided about it does not count any more; what was told of its route does. */
void handshake_calm(struct socket *socket)
{
    int outcome = route_of(&socket->remote);
    if (socket->state != STATE_CONNECTING || socket->outcome == outcome)
        return;
    socket->outcome = outcome;
    event_enable(&socket->handshake);
}

static void send_first_packet(struct socket *socket)
{
    static const int refusals[] = { -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH };
    int64_t wait = 0;
    socket->handshake = (struct event){ .run = handshake, .wire = true };
    socket->state = STATE_CONNECTING;
    socket->connecting = true;
    socket->outcome = route_of(&socket->remote);
    socket->retry = 0;
    if (socket->outcome == 0 && fault(FAULT_CONNECT, "a connect"))
        socket->outcome = refusals[choose(3, "how it is refused")];
    else if (socket->outcome == 0 && fault(FAULT_CONNECT_HANGS, "a connect"))
        socket->outcome = -ETIMEDOUT;
    if (socket->outcome == -ETIMEDOUT)
        wait = PATIENCE * WEIR_SECOND;
    else if (fault(FAULT_DELAY, "a connect"))
        wait = (int64_t)choose(500, "how long") * WEIR_MILLISECOND;
    if (wait > 0)
        event_after(&socket->handshake, wait);
    else
        event_enable(&socket->handshake);
}

static int connect_unix(struct socket *socket, const union address *to, socklen_t length)
{
    int error;
    if (length <= offsetof(struct sockaddr_un, sun_path) || length > sizeof to->un ||
        to->any.sa_family != AF_UNIX)
        return -EINVAL;
    if (socket->state != STATE_NEW)
        return socket->state == STATE_CONNECTED ? -EISCONN : -EINVAL;
    struct socket *listener = socket_at_path(&to->un, length, &error);
    if (listener == NULL)
        return error;
    socket->knocks_at = has_room(listener) ? NULL : listener;
    if (!has_room(listener))
        return listener->shut_read ? -ECONNREFUSED : -EAGAIN;
    establish(socket, listener);
    return 0;
}

/* Where it comes from: the address that it goes to, as all are this machine's. */
static int choose_source(struct socket *socket)
{
    union address own = socket->remote;
    if (socket->bound && !address_is_any(&socket->own))
        return 0;
    uint16_t port = socket->bound ? address_port_of(&socket->own) : 0;
    address_set_port(&own, port);
    if (port != 0) {
        socket->own = own;
        return 0;
    }
    return socket_bind_any(socket, &own);
}

static int asked_again(struct socket *socket)
{
    int outcome = socket->outcome;
    if (socket->state == STATE_CONNECTING)
        return -EALREADY;
    socket->connecting = false;
    if (socket->state == STATE_CONNECTED) { /* it may have been reset meanwhile */
        outcome = socket->error != 0 || !socket->reset_seen ? socket->error : -ECONNABORTED;
        socket->error = 0;
        return outcome;
    }
    if (!socket->decided)
        return -ECONNABORTED;
    socket->state = STATE_NEW; /* it may be tried again */
    socket->bound = socket->keeps_port;
    socket->decided = false;
    socket->outcome = 0;
    return outcome;
}

int socket_connect(struct file *file, const struct sockaddr *address, socklen_t length)
{
    struct socket *socket = socket_of(file);
    union address to = { 0 };
    if (address == NULL || socket->connecting)
        return asked_again(socket);
    if (length > sizeof to || length < sizeof(sa_family_t))
        return -EINVAL;
    memcpy(&to, address, length);
    if (socket->family == AF_UNIX)
        return connect_unix(socket, &to, length);
    if (socket->state == STATE_CONNECTED || socket->state == STATE_LISTENING)
        return -EISCONN;
    if (length < (socket->family == AF_INET ? sizeof to.in : 24))
        return -EINVAL;
    if (to.any.sa_family != socket->family)
        return -EAFNOSUPPORT;
    socket->remote = to;
    socket->remote_length = socket->family == AF_INET ? sizeof to.in : sizeof to.in6;
    if (address_is_any(&to)) {
        if (to.any.sa_family == AF_INET)
            socket->remote.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
            socket->remote.in6.sin6_addr = in6addr_loopback;
    }
    int rc = choose_source(socket);
    if (rc < 0)
        return rc;
    send_first_packet(socket);
    return -EINPROGRESS;
}
