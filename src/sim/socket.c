#include "sim/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/socket_state.h"

struct list sockets;

/* ---- A socket's life ------------------------------------------------------------------------- */

struct socket *socket_of(struct file *file)
{
    return container_of(file, struct socket, file);
}

bool file_is_socket(const struct file *file)
{
    return file->kind == FILE_SOCKET;
}

static void free_socket(struct file *file)
{
    struct socket *socket = socket_of(file);
    if (socket->state == STATE_LISTENING)
        listener_end(socket);
    event_stop(&socket->handshake);
    stream_end(socket);
    paths_leave(socket);
    list_remove(&socket->node);
    list_remove(&socket->pending);
    free(socket);
}

struct socket *socket_make(int family)
{
    struct socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        abort();
    socket->file = (struct file){ .kind = FILE_SOCKET, .references = 1, .free = free_socket };
    socket->family = family;
    socket->own.any.sa_family = (sa_family_t)family;
    list_append(&sockets, &socket->node);
    return socket;
}

struct file *socket_new(int family, int protocol, int *ret_error)
{
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        *ret_error = -EAFNOSUPPORT;
    else if (protocol != 0 && (family == AF_UNIX || protocol != IPPROTO_TCP))
        *ret_error = -EPROTONOSUPPORT;
    else
        return &socket_make(family)->file;
    return NULL;
}

void sockets_open(void)
{
    sockets = (struct list){ 0 };
    addresses_open();
    listeners_open();
    streams_open();
}

void sockets_close(void)
{
    struct list_node *node;
    while ((node = list_first(&sockets)) != NULL)
        free_socket(&container_of(node, struct socket, node)->file);
    addresses_close();
}

void sockets_calm(void)
{
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        handshake_calm(socket);
        streams_calm(socket);
    }
}

int socket_name(struct file *file, bool peer, struct sockaddr_storage *ret_name,
                socklen_t *ret_length)
{
    const struct socket *socket = socket_of(file);
    if (peer && !stream_is_connected(socket))
        return -ENOTCONN;
    const union address *name = peer ? &socket->remote : &socket->own;
    socklen_t length = peer ? socket->remote_length : socket->own_length;
    if (length == 0)
        length = socket->family == AF_UNIX   ? sizeof(sa_family_t)
                 : socket->family == AF_INET ? sizeof name->in
                                             : sizeof name->in6;
    memset(ret_name, 0, sizeof *ret_name);
    memcpy(ret_name, name, length);
    ret_name->ss_family = (sa_family_t)socket->family;
    *ret_length = length;
    return 0;
}

/* ---- Options --------------------------------------------------------------------------------- */

static bool *flag_of(struct socket *socket, int level, int name)
{
    if (level == SOL_SOCKET && name == SO_REUSEADDR)
        return &socket->reuse_address;
    if (level == SOL_SOCKET && name == SO_REUSEPORT)
        return &socket->reuse_port;
    bool six = level == IPPROTO_IPV6 && socket->family == AF_INET6;
    return six && name == IPV6_V6ONLY ? &socket->v6only : NULL;
}

static int *number_of(struct socket *socket, int level, int name)
{
    if (level == IPPROTO_TCP && name == TCP_NODELAY && socket->family != AF_UNIX)
        return &socket->options[0];
    return level == SOL_SOCKET && name == SO_KEEPALIVE ? &socket->options[1] : NULL;
}

static int unknown_option(const struct socket *socket, int level)
{
    return socket->family == AF_UNIX && level != SOL_SOCKET ? -EOPNOTSUPP : -ENOPROTOOPT;
}

int socket_set_option(struct file *file, int level, int name, int value)
{
    struct socket *socket = socket_of(file);
    bool *flag = flag_of(socket, level, name);
    int *number = number_of(socket, level, name);
    if (flag == &socket->v6only && socket->bound)
        return -EINVAL;
    if (flag != NULL)
        *flag = value != 0;
    else if (number != NULL)
        *number = value != 0;
    else
        return unknown_option(socket, level);
    return 0;
}

int socket_get_option(struct file *file, int level, int name, int *ret_value)
{
    struct socket *socket = socket_of(file);
    const bool *flag = flag_of(socket, level, name);
    const int *number = number_of(socket, level, name);
    if (level == SOL_SOCKET && name == SO_TYPE)
        *ret_value = SOCK_STREAM;
    else if (level == SOL_SOCKET && name == SO_DOMAIN)
        *ret_value = socket->family;
    else if (level == SOL_SOCKET && name == SO_ACCEPTCONN)
        *ret_value = socket->state == STATE_LISTENING;
    else if (level == SOL_SOCKET && name == SO_ERROR) {
        *ret_value = -socket->error;
        socket->error = 0;
    } else if (flag != NULL)
        *ret_value = *flag;
    else if (number != NULL)
        *ret_value = *number;
    else
        return unknown_option(socket, level);
    return 0;
}

short socket_poll(struct file *file)
{
    struct socket *socket = socket_of(file);
    switch (socket->state) {
    case STATE_LISTENING:
        return socket->shut_read ? POLLIN | POLLHUP : list_is_empty(&socket->queue) ? 0 : POLLIN;
    case STATE_CONNECTING:
        return 0;
    case STATE_CONNECTED:
        return stream_poll(socket);
    default:
        return POLLOUT | POLLHUP;
    }
}
