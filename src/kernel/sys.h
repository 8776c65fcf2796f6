/* The seam: every call that leaves the process. Nothing else in the library reaches the kernel, the
 * clock or the resolver, so that another implementation of this file is another kernel.
 *
 * All return -errno on failure, as the kernel itself does. */
#ifndef WEIR_KERNEL_SYS_H
#define WEIR_KERNEL_SYS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct io_uring;
struct io_uring_params;

/* The ring. Setup fills `ring` with the mapped SQ and CQ; all else happens in that memory. */
int sys_ring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params);
int sys_ring_enter(int fd, unsigned submit, unsigned wait, unsigned flags, int64_t timeout);
int sys_ring_register(int fd, unsigned operation, void *argument, unsigned count);
void sys_ring_exit(struct io_uring *ring);

/* Memory: pages that cost nothing until touched; NULL on failure. */
void *sys_map(size_t size);
void sys_unmap(void *memory, size_t size);
void sys_discard(void *memory, size_t size); /* its pages: they read as zeros when next touched */
/* Makes a page of a mapping fault. Without MADV_GUARD_INSTALL that splits the mapping in two, which
 * is done only while the process is far from vm.max_map_count: then it returns -ENOMEM. */
int sys_guard(void *page, size_t size);
void sys_guards_gone(unsigned count); /* so many were unmapped */
size_t sys_page_size(void);

int64_t sys_now(void); /* CLOCK_MONOTONIC, ns */

/* Sockets. */
int sys_socket(int family, int protocol);
int sys_socket_check(int fd, int *ret_family); /* -ENOTSOCK, -EBADF; -EINVAL unless SOCK_STREAM */
int sys_bind(int fd, const struct sockaddr *address, socklen_t length);
int sys_listen(int fd, int backlog);
int sys_connect(int fd, const struct sockaddr *address, socklen_t length); /* does not block */
int sys_accept_and_close(int fd); /* the first waiting client is let in and shown out */
int sys_set_option(int fd, int level, int name, int value);
int sys_get_option(int fd, int level, int name);
int sys_socket_name(int fd, bool peer, struct sockaddr_storage *ret_name, socklen_t *ret_length);
int sys_set_blocking(int fd);
ssize_t sys_send(int fd, const void *data, size_t size, int flags); /* does not block */
int sys_shutdown(int fd, int how);
int sys_close(int fd);
int sys_duplicate(int fd);
int sys_event_fd(void);
void sys_event_signal(int event_fd); /* async-signal-safe */

/* Names and files. */
int sys_resolve(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_addresses); /* EAI_ codes are WEIR_UNRESOLVED, or errno's */
void sys_resolve_free(struct addrinfo *addresses);
int sys_stat(const char *path, struct stat *ret_stat);
int sys_unlink(const char *path);
size_t sys_fd_limit(void);
int64_t sys_read_number(const char *path, int64_t otherwise); /* a number in /proc */

/* Signals and processors. */
struct sigaction;
int sys_signal_catch(int signal, void (*handler)(int), struct sigaction *ret_former);
void sys_signal_restore(int signal, const struct sigaction *former);
int sys_pin_thread(unsigned index); /* to the index-th of the CPUs it may run on */

#endif
