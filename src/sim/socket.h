/* Simulated sockets: TCP and Unix, over a network of one machine that has every address. None of
 * these waits: -EAGAIN says that one must, and file_watch() tells when to try again. A connection
 * is two directions, each with what is on its way, cut into pieces and delayed as chance wills, and
 * what has arrived. */
#ifndef WEIR_SIM_SOCKET_H
#define WEIR_SIM_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sim/file.h"

void sockets_open(void);  /* a new world */
void sockets_close(void); /* frees what is left of it */

struct file *socket_new(int family, int protocol, int *ret_error); /* NULL: -EAFNOSUPPORT, ... */
bool file_is_socket(const struct file *file);

int socket_bind(struct file *file, const struct sockaddr *address, socklen_t length);
int socket_listen(struct file *file, int backlog);

/* Begins to connect: 0, -EINPROGRESS, or an error. Asked again, with NULL, how it went: 0,
 * -EALREADY while it has not been decided, or why not. */
int socket_connect(struct file *file, const struct sockaddr *address, socklen_t length);

/* The first client that waits: a new file, or NULL and -EAGAIN or why not. */
struct file *socket_accept(struct file *file, int *ret_error);

/* As recv(2), without waiting: bytes, 0 at the end, -EAGAIN, or the failure. `ret_more`: whether
 * there is more to be had at once (IORING_CQE_F_SOCK_NONEMPTY). */
ssize_t socket_receive(struct file *file, void *buffer, size_t size, bool *ret_more);

/* Whether a receive would not have to wait. */
bool socket_is_readable(struct file *file);

/* As sendmsg(2) without waiting, from byte `skip` of the vector on: how many it took, -EAGAIN if
 * there is no room, or the failure. `flags`: MSG_MORE. */
ssize_t socket_send(struct file *file, const struct iovec *vector, size_t count, size_t skip,
                    int flags);
int socket_shutdown(struct file *file, int how);
void socket_reset(struct file *file); /* as a close with SO_LINGER of 0: the peer gets a reset */

short socket_poll(struct file *file); /* POLLIN, POLLOUT, POLLRDHUP, POLLHUP, POLLERR */
int socket_get_option(struct file *file, int level, int name, int *ret_value);
int socket_set_option(struct file *file, int level, int name, int value);
int socket_name(struct file *file, bool peer, struct sockaddr_storage *ret_name,
                socklen_t *ret_length);

/* Socket files, which is all that a file system is needed for. */
int socket_stat(const char *path, struct stat *ret_stat);
int socket_unlink(const char *path);

/* Totals of the world, to compare with the library's metrics. */
struct socket_totals {
    uint64_t received, sent, accepted; /* bytes, bytes, connections */
};
struct socket_totals socket_totals(void);

/* Peers that stall go on; open connections are not broken any more. */
void sockets_calm(void);

/* weir_sim_forbid(), weir_sim_route() */
void sockets_forbid(const void *bytes, size_t size);
int sockets_route(const char *address, int error);

/* ---- Names (names.c) ------------------------------------------------------------------------- */

void names_reset(void);
void names_add(const char *host, const char *addresses);
int names_resolve(
    const char *host, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret_addresses); /* blocks the thread of the world; as sys_resolve */
void names_free(struct addrinfo *addresses);
unsigned names_entries(void); /* of lists that have not been freed */

#endif
