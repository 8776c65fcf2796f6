/* Who has which address and port of the network, and routes to them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/event.h"
#include "sim/socket_state.h"
#include "sim/world.h"

enum { FIRST_PORT = 32768, LAST_PORT = 60999, ROUTES = 16 };

enum { LINGER = 60 }; /* s in TIME_WAIT */

/* What a socket has of the ports, and another may not, or what one that has gone still has. */
struct claim {
    struct list_node node; /* among those in TIME_WAIT */
    union address at;
    bool v6only, reuse_address, reuse_port, listens;
    int64_t until;
};
static struct list lingering;
static uint16_t next_port;

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

static bool is_equal(const union address *one, const union address *other)
{
    if (one->any.sa_family != other->any.sa_family)
        return false;
    return one->any.sa_family == AF_INET
               ? one->in.sin_addr.s_addr == other->in.sin_addr.s_addr
               : memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, 16) == 0;
}

bool address_is_any(const union address *address)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    return address->any.sa_family == AF_INET ? address->in.sin_addr.s_addr == 0
                                             : memcmp(&address->in6.sin6_addr, &any, 16) == 0;
}

union address address_as(const union address *address, int family)
{
    union address as = { .any.sa_family = (sa_family_t)family };
    uint32_t *words = as.in6.sin6_addr.s6_addr32;
    if (address->any.sa_family == family)
        return *address;
    if (family == AF_INET) {
        as.in.sin_addr.s_addr = address->in6.sin6_addr.s6_addr32[3];
    } else {
        words[2] = htonl(0xffff);
        words[3] = address->in.sin_addr.s_addr;
    }
    address_set_port(&as, address_port_of(address));
    return as;
}

/* As what it is known to the network: IPv4 within IPv6 is IPv4. */
static union address as_seen(const union address *address)
{
    bool mapped =
        address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr);
    return mapped ? address_as(address, AF_INET) : *address;
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
        if (is_equal(&routes[i].address, &address)) {
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
        if (is_equal(&routes[i].address, to))
            return routes[i].error;
    }
    return 0;
}

/* ---- Ports ----------------------------------------------------------------------------------- */

static struct claim claim_of(const struct socket *socket)
{
    return (struct claim){
        .at = as_seen(&socket->own),
        .v6only = socket->v6only,
        .reuse_address = socket->reuse_address,
        .reuse_port = socket->reuse_port,
        .listens = socket->state == STATE_LISTENING,
    };
}

static bool collide(const struct claim *one, const struct claim *other)
{
    if (address_port_of(&one->at) != address_port_of(&other->at))
        return false;
    if (one->at.any.sa_family != other->at.any.sa_family) { /* an IPv6 wildcard has IPv4, too */
        const struct claim *six = one->at.any.sa_family == AF_INET6 ? one : other;
        if (six->v6only || !address_is_any(&six->at))
            return false;
    } else if (!address_is_any(&one->at) && !address_is_any(&other->at) &&
               !is_equal(&one->at, &other->at)) {
        return false;
    }
    if (one->reuse_port && other->reuse_port)
        return false;
    return !one->reuse_address || !other->reuse_address || other->listens;
}

void address_linger(const struct socket *socket)
{
    struct claim *claim = malloc(sizeof *claim);
    if (claim == NULL)
        abort();
    *claim = claim_of(socket);
    claim->until = events_now() + LINGER * WEIR_SECOND;
    list_append(&lingering, &claim->node);
}

static void drop_first(void)
{
    free(container_of(list_take_first(&lingering), struct claim, node));
}

static bool is_lingering(const struct claim *claim)
{
    struct list_node *node;
    while ((node = list_first(&lingering)) != NULL &&
           container_of(node, struct claim, node)->until <= events_now())
        drop_first();
    for (; node != NULL; node = list_next(&lingering, node)) {
        if (collide(claim, container_of(node, struct claim, node)))
            return true;
    }
    return false;
}

/* Those whose connection is over, have their address no more, unless it was bound. */
static bool has_port(const struct socket *socket)
{
    bool over = socket->in.fin && socket->shut_write && !socket->ends_first;
    if (!socket->bound || socket->family == AF_UNIX)
        return false;
    switch (socket->state) {
    case STATE_LISTENING:
    case STATE_CONNECTING:
        return true;
    case STATE_CONNECTED:
        return socket->keeps_port || !(socket->reset_seen || over);
    default:
        return socket->keeps_port;
    }
}

bool address_is_taken(const struct socket *socket)
{
    struct claim claim = claim_of(socket);
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        const struct socket *other = container_of(node, const struct socket, node);
        if (other == socket || !has_port(other))
            continue;
        struct claim others = claim_of(other);
        if (collide(&claim, &others))
            return true;
    }
    return is_lingering(&claim);
}

int socket_bind_any(struct socket *socket, const union address *to)
{
    union address former = socket->own;
    uint16_t port = address_port_of(to);
    socket->own = *to;
    for (int tries = 0; port == 0 && tries < LAST_PORT - FIRST_PORT; tries++) {
        address_set_port(&socket->own, next_port);
        next_port = next_port == LAST_PORT ? FIRST_PORT : next_port + 1;
        if (!address_is_taken(socket))
            break;
    }
    if (port != 0 && address_is_taken(socket)) {
        socket->own = former;
        return -EADDRINUSE;
    }
    socket->own_length = socket->family == AF_INET ? sizeof to->in : sizeof to->in6;
    socket->bound = true;
    return 0;
}

/* Several that share a port take turns, as chance wills. */
struct socket *socket_listening_at(const union address *address)
{
    const union address to = as_seen(address);
    struct socket *found[16];
    unsigned count = 0;
    for (struct list_node *node = list_first(&sockets); node != NULL && count < 16;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        if (socket->state != STATE_LISTENING || socket->family == AF_UNIX ||
            address_port_of(&socket->own) != address_port_of(&to))
            continue;
        bool same = socket->family == to.any.sa_family;
        if (same ? address_is_any(&socket->own) || is_equal(&socket->own, &to)
                 : socket->family == AF_INET6 && !socket->v6only && address_is_any(&socket->own))
            found[count++] = socket;
    }
    return count > 0 ? found[choose(count, "which listener")] : NULL;
}

int socket_bind(struct file *file, const struct sockaddr *address, socklen_t length)
{
    struct socket *socket = socket_of(file);
    union address to = { 0 };
    if (length > sizeof to || length < sizeof(sa_family_t))
        return -EINVAL;
    memcpy(&to, address, length);
    if (socket->family == AF_UNIX)
        return socket_bind_path(socket, &to, length);
    if (length < (socket->family == AF_INET ? sizeof to.in : 24))
        return -EINVAL;
    if (to.any.sa_family != socket->family)
        return socket->family == AF_INET ? -EAFNOSUPPORT : -EINVAL;
    if (route_of(&to) != 0)
        return -EADDRNOTAVAIL;
    if (socket->bound || socket->state != STATE_NEW)
        return -EINVAL;
    int rc = socket_bind_any(socket, &to);
    socket->keeps_port = rc == 0;
    return rc;
}

/* ---- A world's ------------------------------------------------------------------------------- */

void addresses_open(void)
{
    lingering = (struct list){ 0 };
    next_port = FIRST_PORT;
    route_count = 0;
    paths_open();
}

void addresses_close(void)
{
    while (!list_is_empty(&lingering))
        drop_first();
}
