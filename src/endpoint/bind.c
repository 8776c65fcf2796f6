/* Starting servers: the listening sockets for hosts, a path, or a socket of the caller's. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "endpoint/resolve.h"
#include "endpoint/server.h"
#include "endpoint/shared.h"
#include "kernel/sys.h"
#include "transport/address.h"

static int check(weir_client_connected_fn *client_connected,
                 const struct weir_server_options *options)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    if (client_connected == NULL)
        return -EINVAL;
    if (options != NULL && (options->limit > SIZE_MAX / 4 || options->backlog < 0))
        return -EINVAL;
    struct secure_options wishes = server_secure_options(options);
    int rc = secure_check(&wishes, true, NULL);
    return rc < 0 ? rc : task_interrupted(task);
}

/* The server owns `fd` from here on, or, -errno, does not. */
static int add_listener(struct weir_server *server, int fd)
{
    size_t size = (server->listener_count + 1) * sizeof *server->listeners;
    struct listener *grown = realloc(server->listeners, size);
    if (grown == NULL)
        return -ENOMEM;
    server->listeners = grown;
    struct listener *listener = &grown[server->listener_count];
    listener_open(listener, server, fd);
    int rc = listener_look_up_name(listener);
    if (rc == 0)
        server->listener_count++;
    return rc;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static int set_options(int fd, int family, const struct weir_server *server)
{
    const struct weir_server_options *options = &server->options;
    int rc = 0;
    if (!options->no_reuse_address)
        rc = sys_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && (options->reuse_port || server->loop->shared != NULL))
        rc = sys_set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && options->keep_alive)
        rc = sys_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (rc == 0 && family == AF_INET6)
        rc = sys_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0)
        rc = sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    return rc;
}

static void set_port(struct sockaddr *address, uint16_t port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

/* With several loops, the port that the kernel chose for the first is bound by all. */
static int bind_as_all_do(struct weir_server *server, int fd, struct addrinfo *address)
{
    struct shared *shared = server->loop->shared;
    if (shared == NULL || address_port(address->ai_addr) != 0)
        return sys_bind(fd, address->ai_addr, address->ai_addrlen);
    struct shared_port *common = shared_lock(shared, server->loop->servers, server->listener_count);
    if (common == NULL)
        return -ENOMEM;
    set_port(address->ai_addr, common->port);
    int rc = sys_bind(fd, address->ai_addr, address->ai_addrlen);
    if (rc == 0 && common->port == 0) {
        struct sockaddr_storage name;
        socklen_t length;
        rc = sys_socket_name(fd, false, &name, &length);
        if (rc == 0)
            common->port = (uint16_t)address_port((struct sockaddr *)&name);
    }
    shared_unlock(shared);
    set_port(address->ai_addr, 0);
    return rc;
}

/* 0 also for an address that this machine does not have: that one is passed over. */
static int listen_on(struct weir_server *server, struct addrinfo *address)
{
    int fd = sys_socket(address->ai_family, address->ai_protocol);
    if (fd < 0)
        return fd == -EAFNOSUPPORT || fd == -EPROTONOSUPPORT ? 0 : fd;
    int rc = set_options(fd, address->ai_family, server);
    if (rc == 0)
        rc = bind_as_all_do(server, fd, address);
    if (rc == 0)
        rc = add_listener(server, fd);
    if (rc < 0)
        sys_close(fd);
    return rc == -EADDRNOTAVAIL ? 0 : rc;
}

/* Whether the address stands before this place in the lists. */
static bool is_repeated(struct addrinfo *const *lists, const struct addrinfo *address)
{
    for (;; lists++) {
        for (const struct addrinfo *other = *lists; other != NULL; other = other->ai_next) {
            if (other == address)
                return false;
            if (other->ai_addrlen == address->ai_addrlen &&
                memcmp(other->ai_addr, address->ai_addr, address->ai_addrlen) == 0)
                return true;
        }
    }
}

/* A list for each host. On failure those that were made are there nevertheless. */
static int resolve_all(const char *const *hosts, uint16_t port,
                       const struct weir_server_options *options, struct addrinfo **ret_lists)
{
    struct addrinfo hints = { .ai_family = options->family,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = options->flags != 0 ? options->flags : AI_PASSIVE };
    int rc = 0;
    for (; rc == 0 && *hosts != NULL; hosts++, ret_lists++)
        rc = resolve(hosts[0][0] != '\0' ? *hosts : NULL, port, &hints, ret_lists);
    return rc;
}

static int listen_on_list(struct weir_server *server, struct addrinfo *const *lists, size_t index)
{
    int rc = 0;
    for (struct addrinfo *address = lists[index]; rc == 0 && address != NULL;
         address = address->ai_next) {
        if (!is_repeated(lists, address))
            rc = listen_on(server, address);
    }
    return rc;
}

static int listen_on_all(struct weir_server *server, const char *const *hosts, uint16_t port)
{
    size_t count = 0;
    while (hosts[count] != NULL)
        count++;
    struct addrinfo **lists = calloc(count, sizeof(struct addrinfo *));
    if (lists == NULL)
        return -ENOMEM;
    int rc = resolve_all(hosts, port, &server->options, lists);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = listen_on_list(server, lists, i);
    for (size_t i = 0; i < count; i++) {
        if (lists[i] != NULL)
            sys_resolve_free(lists[i]);
    }
    free(lists);
    return rc == 0 && server->listener_count == 0 ? -EADDRNOTAVAIL : rc;
}

PUBLIC int weir_start_server(weir_client_connected_fn *client_connected, void *argument,
                             const char *host, uint16_t port,
                             const struct weir_server_options *options,
                             struct weir_server **ret_server)
{
    int rc = check(client_connected, options);
    bool several = options != NULL && options->hosts != NULL;
    if (rc == 0 && several && (host != NULL || options->hosts[0] == NULL))
        rc = -EINVAL;
    if (rc < 0)
        return rc;
    struct weir_server *server = server_new(client_connected, argument, options);
    if (server == NULL)
        return -ENOMEM;
    const char *const one[] = { host != NULL ? host : "", NULL };
    struct weir_loop *loop = server->loop;
    rc = listen_on_all(server, several ? options->hosts : one, port);
    if (rc < 0) {
        server_free(server);
        return rc;
    }
    rc = server_launch(server, ret_server);
    loop->servers += rc == 0;
    return rc;
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

/* A socket file that nobody listens on is left from a former run; one where somebody does, is
 * his. */
static int remove_stale(const struct sockaddr_un *address, socklen_t length)
{
    struct stat file;
    if (address->sun_path[0] == '\0' || sys_stat(address->sun_path, &file) < 0)
        return 0;
    if (!S_ISSOCK(file.st_mode))
        return -EADDRINUSE;
    int fd = sys_socket(AF_UNIX, 0);
    if (fd < 0)
        return fd;
    int rc = sys_connect(fd, (const struct sockaddr *)address, length);
    sys_close(fd);
    if (rc == -ECONNREFUSED)
        sys_unlink(address->sun_path);
    return rc == 0 || rc == -EAGAIN ? -EADDRINUSE : 0;
}

static int bind_path(const struct sockaddr_un *address, socklen_t length)
{
    int rc = remove_stale(address, length);
    if (rc < 0)
        return rc;
    int fd = sys_socket(AF_UNIX, 0);
    if (fd < 0)
        return fd;
    rc = sys_bind(fd, (const struct sockaddr *)address, length);
    if (rc < 0)
        sys_close(fd);
    return rc < 0 ? rc : fd;
}

static int remember_file(struct listener *listener, const char *path)
{
    struct stat file;
    int rc = sys_stat(path, &file);
    if (rc < 0)
        return rc;
    listener->path = strdup(path);
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
    return listener->path != NULL ? 0 : -ENOMEM;
}

static int listen_with(struct weir_server *server, int fd, const struct sockaddr_un *address)
{
    int rc = add_listener(server, fd);
    if (rc < 0) {
        sys_close(fd);
        return rc;
    }
    struct listener *listener = &server->listeners[0];
    listener->shared = server->loop->shared != NULL;
    bool abstract = address->sun_path[0] == '\0';
    return abstract || server->options.keep_socket_file
               ? 0
               : remember_file(listener, address->sun_path);
}

/* With several loops, the first binds and all listen on duplicates. */
static int listen_at(struct weir_server *server, const struct sockaddr_un *address,
                     socklen_t length)
{
    struct shared *shared = server->loop->shared;
    server->member.loop = server->loop;
    int fd = shared != NULL ? shared_join(shared, &server->member, address, length, bind_path)
                            : bind_path(address, length);
    if (fd < 0)
        return fd;
    int rc = listen_with(server, fd, address);
    if (rc == 0)
        return 0;
    bool alone = shared == NULL || shared_leave(shared, &server->member);
    if (alone && address->sun_path[0] != '\0')
        sys_unlink(address->sun_path);
    return rc;
}

PUBLIC int weir_start_unix_server(weir_client_connected_fn *client_connected, void *argument,
                                  const char *path, const struct weir_server_options *options,
                                  struct weir_server **ret_server)
{
    struct sockaddr_un address;
    socklen_t length;
    int rc = check(client_connected, options);
    if (rc == 0)
        rc = address_of_path(path, &address, &length);
    if (rc < 0)
        return rc;
    struct weir_server *server = server_new(client_connected, argument, options);
    if (server == NULL)
        return -ENOMEM;
    rc = listen_at(server, &address, length);
    if (rc < 0) {
        server_free(server);
        return rc;
    }
    return server_launch(server, ret_server);
}

/* ---- A socket of the caller's ---------------------------------------------------------------- */

PUBLIC int weir_start_socket_server(weir_client_connected_fn *client_connected, void *argument,
                                    int fd, const struct weir_server_options *options,
                                    struct weir_server **ret_server)
{
    int family;
    int rc = check(client_connected, options);
    if (rc == 0)
        rc = sys_socket_check(fd, &family);
    if (rc == 0)
        rc = sys_set_blocking(fd);
    if (rc < 0)
        return rc;
    struct weir_server *server = server_new(client_connected, argument, options);
    if (server == NULL)
        return -ENOMEM;
    if (family == AF_INET || family == AF_INET6)
        sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    rc = add_listener(server, fd);
    if (rc == 0) {
        server->listeners[0].shared = true; /* who made it may have given it to others, too */
        rc = server->options.no_start_serving ? 0 : weir_server_start_serving(server);
    }
    if (rc < 0) {
        if (server->listener_count > 0)
            server->listeners[0].fd = -1; /* it stays the caller's */
        server_free(server);
        return rc;
    }
    return server_launch(server, ret_server);
}
