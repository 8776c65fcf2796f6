#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <weir.h>

#include "kernel/compat.h"

static int check(int result)
{
    return result < 0 ? -errno : result;
}

/* ---- The ring -------------------------------------------------------------------------------- */

/* The next ring may be mapped where the last one was, by another thread: counting them orders
 * the two for ThreadSanitizer, which does not see liburing's unmapping. */
static _Atomic unsigned rings;

int sys_ring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params)
{
    int fd = io_uring_setup(entries, params);
    if (fd < 0)
        return fd;
    int rc = io_uring_queue_mmap(fd, params, ring);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    rings++;
    ring->flags = params->flags;
    ring->features = params->features;
    return fd;
}

int sys_ring_enter(int fd, unsigned submit, unsigned wait, unsigned flags, int64_t timeout)
{
    struct __kernel_timespec limit = { .tv_sec = timeout / 1000000000,
                                       .tv_nsec = timeout % 1000000000 };
    struct io_uring_getevents_arg argument = { .sigmask_sz = _NSIG / 8 };
    if (timeout >= 0)
        argument.ts = (uint64_t)(uintptr_t)&limit;
    return io_uring_enter2((unsigned)fd, submit, wait, flags | IORING_ENTER_EXT_ARG,
                           (sigset_t *)&argument, sizeof argument);
}

int sys_ring_register(int fd, unsigned operation, void *argument, unsigned count)
{
    return io_uring_register((unsigned)fd, operation, argument, count);
}

void sys_ring_exit(struct io_uring *ring)
{
    rings--;
    io_uring_queue_exit(ring);
}

/* ---- Memory and time ------------------------------------------------------------------------- */

void *sys_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_NOHUGEPAGE);
    return memory;
}

void sys_unmap(void *memory, size_t size)
{
    munmap(memory, size);
}

void sys_discard(void *memory, size_t size)
{
    madvise(memory, size, MADV_DONTNEED);
}

/* Guards made by mprotect(), each of which costs two maps. */
static _Atomic int64_t costly_guards;

int sys_guard(void *page, size_t size)
{
    if (madvise(page, size, MADV_GUARD_INSTALL) == 0)
        return 0;
    static _Atomic int64_t most;
    if (most == 0)
        most = sys_read_number("/proc/sys/vm/max_map_count", 65530) * 7 / 16;
    if (costly_guards >= most)
        return -ENOMEM;
    int rc = check(mprotect(page, size, PROT_NONE));
    costly_guards += rc == 0;
    return rc;
}

void sys_guards_gone(unsigned count)
{
    if (costly_guards > 0)
        costly_guards -= count;
}

size_t sys_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int64_t sys_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- Sockets --------------------------------------------------------------------------------- */

int sys_socket(int family, int protocol)
{
    return check(socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol));
}

int sys_socket_check(int fd, int *ret_family)
{
    int type = sys_get_option(fd, SOL_SOCKET, SO_TYPE);
    if (type < 0)
        return type;
    if (type != SOCK_STREAM)
        return -EINVAL;
    int family = sys_get_option(fd, SOL_SOCKET, SO_DOMAIN);
    if (family < 0)
        return family;
    *ret_family = family;
    return 0;
}

int sys_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    return check(bind(fd, address, length));
}

int sys_listen(int fd, int backlog)
{
    return check(listen(fd, backlog));
}

/* io_uring polls a blocking socket, but gives up at once on a non-blocking one: so the sockets are
 * blocking, and the few direct calls say that they must not. */
int sys_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int rc = check(connect(fd, address, length));
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return rc;
}

int sys_accept_and_close(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int client = check(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    if (client >= 0)
        close(client);
    return client < 0 ? client : 0;
}

int sys_set_option(int fd, int level, int name, int value)
{
    return check(setsockopt(fd, level, name, &value, sizeof value));
}

int sys_get_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) < 0 ? -errno : value;
}

int sys_socket_name(int fd, bool peer, struct sockaddr_storage *ret_name, socklen_t *ret_length)
{
    *ret_length = sizeof *ret_name;
    struct sockaddr *name = (struct sockaddr *)ret_name;
    return check(peer ? getpeername(fd, name, ret_length) : getsockname(fd, name, ret_length));
}

int sys_set_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    return flags & O_NONBLOCK ? check(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)) : 0;
}

ssize_t sys_send(int fd, const void *data, size_t size, int flags)
{
    ssize_t sent = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
    return sent < 0 ? -errno : sent;
}

int sys_shutdown(int fd, int how)
{
    return check(shutdown(fd, how));
}

int sys_close(int fd)
{
    return check(close(fd));
}

int sys_duplicate(int fd)
{
    return check(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int sys_event_fd(void)
{
    return check(eventfd(0, EFD_CLOEXEC));
}

void sys_event_signal(int event_fd)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t ignored = write(event_fd, &one, sizeof one);
    (void)ignored;
    errno = saved;
}

/* ---- Names and files ------------------------------------------------------------------------- */

int sys_resolve(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_addresses)
{
    switch (getaddrinfo(host, service, hints, ret_addresses)) {
    case 0:
        return *ret_addresses != NULL ? 0 : WEIR_UNRESOLVED;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : WEIR_UNRESOLVED;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_BADFLAGS:
    case EAI_SOCKTYPE:
        return -EINVAL;
    case EAI_FAMILY:
        return -EAFNOSUPPORT;
    default:
        return WEIR_UNRESOLVED;
    }
}

void sys_resolve_free(struct addrinfo *addresses)
{
    freeaddrinfo(addresses);
}

int sys_stat(const char *path, struct stat *ret_stat)
{
    return check(lstat(path, ret_stat));
}

int sys_unlink(const char *path)
{
    return check(unlink(path));
}

size_t sys_fd_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur : 1024;
}

int64_t sys_read_number(const char *path, int64_t otherwise)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return otherwise;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? strtoll(text, NULL, 10) : otherwise;
}

/* ---- Signals and processors ------------------------------------------------------------------ */

int sys_signal_catch(int signal, void (*handler)(int), struct sigaction *ret_former)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    return check(sigaction(signal, &action, ret_former));
}

void sys_signal_restore(int signal, const struct sigaction *former)
{
    sigaction(signal, former, NULL);
}

int sys_pin_thread(unsigned index)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return -errno;
    index %= (unsigned)CPU_COUNT(&allowed);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && index-- == 0) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    return check(sched_setaffinity(0, sizeof one, &one));
}
