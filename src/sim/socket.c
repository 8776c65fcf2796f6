#include "sim/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/socket_state.h"
#include "sim/world.h"

enum { FIRST_PORT = 32768, LAST_PORT = 60999, PATHS = 64, ROUTES = 16 };

struct list sockets;
static uint16_t next_port;

static struct {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    ino_t inode;
    struct socket *socket; /* NULL: its socket has gone, and left the file */
} paths[PATHS];
static ino_t inodes;

static struct {
    union address address;
    int error;
} routes[ROUTES];
static unsigned route_count;

/* ---- Addresses ------------------------------------------------------------------------------- */

uint16_t address_port_of(const union address *address)
{
    return ntohs(address->any.sa_family == AF_INET ? address->in.sin_port : address->in6.sin6_port);
}

void address_set_port(union address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->in.sin_port = htons(port);
    else
        address->in6.sin6_port = htons(port);
}

bool address_equal(const union address *one, const union address *other, bool with_port)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    if (with_port && address_port_of(one) != address_port_of(other))
        return false;
    return one->any.sa_family == AF_INET
               ? one->in.sin_addr.s_addr == other->in.sin_addr.s_addr
               : memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, 16) == 0;
}

static bool is_any(const union address *address)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    return address->any.sa_family == AF_INET ? address->in.sin_addr.s_addr == 0
                                             : memcmp(&address->in6.sin6_addr, &any, 16) == 0;
}

int sockets_route(const char *text, int error)
{
    union address address = { 0 };
    address.any.sa_family = AF_INET;
    if (inet_pton(AF_INET, text, &address.in.sin_addr) != 1) {
        address.any.sa_family = AF_INET6;
        if (inet_pton(AF_INET6, text, &address.in6.sin6_addr) != 1)
            return -EINVAL;
    }
    for (unsigned i = 0; i < route_count; i++) {
        if (address_equal(&routes[i].address, &address, false)) {
            routes[i].error = error;
            return 0;
        }
    }
    if (route_count == ROUTES)
        violation("there is room for %d routes only", ROUTES);
    routes[route_count].address = address;
    routes[route_count++].error = error;
    return 0;
}

int route_of(const union address *to)
{
    for (unsigned i = 0; i < route_count; i++) {
        if (address_equal(&routes[i].address, to, false))
            return routes[i].error;
    }
    return 0;
}

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
    for (int i = 0; i < PATHS; i++) {
        if (paths[i].socket == socket)
            paths[i].socket = NULL;
    }
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
    next_port = FIRST_PORT;
    route_count = 0;
    inodes = 0;
    memset(paths, 0, sizeof paths);
    streams_open();
}

void sockets_close(void)
{
    struct list_node *node;
    while ((node = list_first(&sockets)) != NULL)
        free_socket(&container_of(node, struct socket, node)->file);
}

void sockets_calm(void)
{
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node))
        streams_calm(container_of(node, struct socket, node));
}

/* ---- Names ----------------------------------------------------------------------------------- */

static bool collide(const struct socket *one, const struct socket *other)
{
    bool same_family = one->family == other->family;
    if (address_port_of(&one->own) != address_port_of(&other->own))
        return false;
    if (!same_family) { /* an IPv6 wildcard has IPv4, too */
        const struct socket *six = one->family == AF_INET6 ? one : other;
        if (six->v6only || !is_any(&six->own))
            return false;
    } else if (!is_any(&one->own) && !is_any(&other->own) &&
               !address_equal(&one->own, &other->own, false)) {
        return false;
    }
    if (one->reuse_port && other->reuse_port)
        return false;
    bool reuse = one->reuse_address && other->reuse_address;
    return !reuse || one->state == STATE_LISTENING || other->state == STATE_LISTENING;
}

static bool is_taken(const struct socket *socket)
{
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        const struct socket *other = container_of(node, const struct socket, node);
        bool binds = other->state == STATE_NEW || other->state == STATE_LISTENING;
        if (other != socket && other->bound && other->family != AF_UNIX && binds &&
            collide(socket, other))
            return true;
    }
    return false;
}

int socket_bind_any(struct socket *socket, const union address *to)
{
    union address former = socket->own;
    uint16_t port = address_port_of(to);
    socket->own = *to;
    for (int tries = 0; port == 0 && tries < LAST_PORT - FIRST_PORT; tries++) {
        address_set_port(&socket->own, next_port);
        next_port = next_port == LAST_PORT ? FIRST_PORT : next_port + 1;
        if (!is_taken(socket))
            break;
    }
    if (port != 0 && is_taken(socket)) {
        socket->own = former;
        return -EADDRINUSE;
    }
    socket->own_length = socket->family == AF_INET ? sizeof to->in : sizeof to->in6;
    socket->bound = true;
    return 0;
}

static int path_named(const char *path)
{
    for (int i = 0; i < PATHS; i++) {
        if (paths[i].inode != 0 && strcmp(paths[i].path, path) == 0)
            return i;
    }
    return -1;
}

static int bind_unix(struct socket *socket, const union address *address, socklen_t length)
{
    const struct sockaddr_un *un = &address->un;
    if (length <= offsetof(struct sockaddr_un, sun_path))
        return -EINVAL;
    if (un->sun_path[0] != '\0') {
        int free_one = 0;
        if (path_named(un->sun_path) >= 0)
            return -EADDRINUSE;
        while (free_one < PATHS && paths[free_one].inode != 0)
            free_one++;
        if (free_one == PATHS)
            return -ENOSPC;
        strcpy(paths[free_one].path, un->sun_path);
        paths[free_one].inode = ++inodes;
        paths[free_one].socket = socket;
    } else {
        int error;
        if (socket_at_path(un, length, &error) != NULL)
            return -EADDRINUSE;
    }
    socket->own = *address;
    socket->own_length = length;
    socket->bound = true;
    return 0;
}

int socket_bind(struct file *file, const struct sockaddr *address, socklen_t length)
{
    struct socket *socket = socket_of(file);
    union address to = { 0 };
    if (length > sizeof to || length < sizeof(sa_family_t))
        return -EINVAL;
    memcpy(&to, address, length);
    if (socket->family == AF_UNIX)
        return socket->bound || to.any.sa_family != AF_UNIX ? -EINVAL
                                                            : bind_unix(socket, &to, length);
    if (length < (socket->family == AF_INET ? sizeof to.in : 24))
        return -EINVAL;
    if (to.any.sa_family != socket->family)
        return socket->family == AF_INET ? -EAFNOSUPPORT : -EINVAL;
    if (socket->bound || socket->state != STATE_NEW)
        return -EINVAL;
    if (route_of(&to) != 0)
        return -EADDRNOTAVAIL;
    return socket_bind_any(socket, &to);
}

/* Several that share a port take turns, as chance wills. */
struct socket *socket_listening_at(const union address *to)
{
    struct socket *found[16];
    unsigned count = 0;
    for (struct list_node *node = list_first(&sockets); node != NULL && count < 16;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        if (socket->state != STATE_LISTENING || socket->family == AF_UNIX || socket->shut_read ||
            address_port_of(&socket->own) != address_port_of(to))
            continue;
        bool same = socket->family == to->any.sa_family;
        if (same ? is_any(&socket->own) || address_equal(&socket->own, to, false)
                 : socket->family == AF_INET6 && !socket->v6only && is_any(&socket->own))
            found[count++] = socket;
    }
    return count > 0 ? found[choose(count, "which listener")] : NULL;
}

struct socket *socket_at_path(const struct sockaddr_un *path, socklen_t length, int *ret_error)
{
    if (path->sun_path[0] != '\0') {
        int index = path_named(path->sun_path);
        struct socket *socket = index >= 0 ? paths[index].socket : NULL;
        *ret_error = index < 0 ? -ENOENT : -ECONNREFUSED;
        return socket != NULL && socket->state == STATE_LISTENING ? socket : NULL;
    }
    *ret_error = -ECONNREFUSED;
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        if (socket->family == AF_UNIX && socket->state == STATE_LISTENING &&
            socket->own_length == length && memcmp(&socket->own.un, path, length) == 0)
            return socket;
    }
    return NULL;
}

int socket_stat(const char *path, struct stat *ret_stat)
{
    int index = path_named(path);
    if (index < 0)
        return -ENOENT;
    *ret_stat =
        (struct stat){ .st_mode = S_IFSOCK | 0755, .st_ino = paths[index].inode, .st_dev = 1 };
    return 0;
}

int socket_unlink(const char *path)
{
    int index = path_named(path);
    if (index < 0)
        return -ENOENT;
    paths[index].inode = 0;
    paths[index].socket = NULL;
    return 0;
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
    return level == IPPROTO_IPV6 && name == IPV6_V6ONLY ? &socket->v6only : NULL;
}

static int *number_of(struct socket *socket, int level, int name)
{
    if (level == IPPROTO_TCP && name == TCP_NODELAY && socket->family != AF_UNIX)
        return &socket->options[0];
    return level == SOL_SOCKET && name == SO_KEEPALIVE ? &socket->options[1] : NULL;
}

int socket_set_option(struct file *file, int level, int name, int value)
{
    struct socket *socket = socket_of(file);
    bool *flag = flag_of(socket, level, name);
    int *number = number_of(socket, level, name);
    if (flag != NULL)
        *flag = value != 0;
    else if (number != NULL)
        *number = value != 0;
    else
        return socket->family == AF_UNIX && level == IPPROTO_TCP ? -EOPNOTSUPP : -ENOPROTOOPT;
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
        return -ENOPROTOOPT;
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
