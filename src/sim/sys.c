/* The seam, simulated: what src/kernel/sys.c is to the kernel. The ring's part is in ring.c. */
#include "kernel/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/event.h"
#include "sim/ring.h"
#include "sim/socket.h"
#include "sim/sys.h"
#include "sim/thread.h"
#include "sim/world.h"
#include "task/loop.h"

/* 2026-01-01 00:00:00 UTC; and the machine has been up for 17 minutes. */
enum { BEGINNING = 1767225600, UP = 1017 };

static struct {
    unsigned maps;
    uint64_t random;
    void (*handlers[65])(int signal);
} state;

void sys_open(uint64_t seed)
{
    memset(&state, 0, sizeof state);
    state.random = seed * 2 + 1;
}

unsigned sys_maps(void)
{
    return state.maps;
}

/* What is done to an fd that is not open, is done to another one's some day. */
static struct file *file_of(int fd, const char *call)
{
    struct file *file = fd_file(fd);
    events_breathe();
    if (file == NULL && loop_this() != NULL)
        violation("%s of fd %d, which is not open", call, fd);
    return file;
}

static struct file *socket_of(int fd, const char *call, int *ret_error)
{
    struct file *file = file_of(fd, call);
    *ret_error = file == NULL ? -EBADF : -ENOTSOCK;
    return file != NULL && file_is_socket(file) ? file : NULL;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

extern void __asan_unpoison_memory_region(const volatile void *, size_t) __attribute__((weak));

void *sys_map(size_t size)
{
    if (fault_call(FAULT_MAP, "mmap"))
        return NULL;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    state.maps++;
    return memory;
}

void sys_unmap(void *memory, size_t size)
{
    if (__asan_unpoison_memory_region != NULL)
        __asan_unpoison_memory_region(memory, size);
    munmap(memory, size);
    state.maps--;
}

void sys_discard(void *memory, size_t size)
{
    madvise(memory, size, MADV_DONTNEED);
}

int sys_guard(void *page, size_t size)
{
    if (fault_call(FAULT_MAP, "a guard page"))
        return -ENOMEM;
    return mprotect(page, size, PROT_NONE) == 0 ? 0 : -ENOMEM;
}

void sys_guards_gone(unsigned count)
{
    (void)count;
}

size_t sys_page_size(void)
{
    return 4096;
}

/* ---- Time and chance ------------------------------------------------------------------------- */

/* A loop that never waits asks for the time at least, and the world goes on beside it. */
int64_t sys_now(void)
{
    if (thread_this() != NULL)
        events_breathe();
    return UP * WEIR_SECOND + events_now();
}

/* wolfSSL asks the C library, and so do programs: in a world they see its time, and its chance. */
PUBLIC time_t time(time_t *ret_time)
{
    struct timespec now;
    if (thread_this() != NULL)
        now.tv_sec = BEGINNING + events_now() / WEIR_SECOND;
    else
        clock_gettime(CLOCK_REALTIME, &now);
    if (ret_time != NULL)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}

PUBLIC int gettimeofday(struct timeval *restrict ret_time, void *restrict unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &now);
    if (thread_this() != NULL)
        now =
            (struct timespec){ BEGINNING + events_now() / WEIR_SECOND, events_now() % WEIR_SECOND };
    *ret_time = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
    return 0;
}

PUBLIC ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    unsigned char *bytes = buffer;
    if (thread_this() == NULL)
        return syscall(SYS_getrandom, buffer, size, flags);
    for (size_t i = 0; i < size; i++) {
        state.random = state.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(state.random >> 56);
    }
    return (ssize_t)size;
}

/* ---- Sockets --------------------------------------------------------------------------------- */

int sys_socket(int family, int protocol)
{
    int error = 0;
    if (thread_this() == NULL)
        return -ENOSYS;
    if (fault_call(FAULT_CALL, "socket"))
        return -ENOMEM;
    struct file *file = socket_new(family, protocol, &error);
    if (file == NULL)
        return error;
    int fd = fd_install(file);
    if (fd < 0)
        file_drop(file);
    return fd;
}

int sys_socket_check(int fd, int *ret_family)
{
    struct file *file = fd_file(fd);
    if (file == NULL)
        return -EBADF;
    if (!file_is_socket(file))
        return -ENOTSOCK;
    return socket_get_option(file, SOL_SOCKET, SO_DOMAIN, ret_family);
}

int sys_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    int rc;
    struct file *file = socket_of(fd, "bind", &rc);
    return file != NULL ? socket_bind(file, address, length) : rc;
}

int sys_listen(int fd, int backlog)
{
    int rc;
    struct file *file = socket_of(fd, "listen", &rc);
    return file != NULL ? socket_listen(file, backlog) : rc;
}

int sys_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    int rc;
    struct file *file = socket_of(fd, "connect", &rc);
    return file != NULL ? socket_connect(file, address, length) : rc;
}

int sys_accept_and_close(int fd)
{
    int rc;
    struct file *file = socket_of(fd, "accept", &rc);
    if (file == NULL)
        return rc;
    int wanted = fd_wanted();
    if (wanted < 0)
        return wanted;
    struct file *client = socket_accept(file, &rc);
    return client != NULL ? fd_close(fd_give(client)) : rc;
}

int sys_set_option(int fd, int level, int name, int value)
{
    int rc;
    struct file *file = socket_of(fd, "setsockopt", &rc);
    return file != NULL ? socket_set_option(file, level, name, value) : rc;
}

int sys_get_option(int fd, int level, int name)
{
    int rc, value = 0;
    struct file *file = socket_of(fd, "getsockopt", &rc);
    if (file == NULL)
        return rc;
    rc = socket_get_option(file, level, name, &value);
    return rc < 0 ? rc : value;
}

int sys_socket_name(int fd, bool peer, struct sockaddr_storage *ret_name, socklen_t *ret_length)
{
    int rc;
    struct file *file = socket_of(fd, "getsockname", &rc);
    return file != NULL ? socket_name(file, peer, ret_name, ret_length) : rc;
}

int sys_set_blocking(int fd)
{
    return file_of(fd, "fcntl") != NULL ? 0 : -EBADF;
}

ssize_t sys_send(int fd, const void *data, size_t size, int flags)
{
    int rc;
    struct iovec vector = { (void *)data, size };
    struct file *file = socket_of(fd, "send", &rc);
    if (file == NULL)
        return rc;
    if (fault_call(FAULT_CALL, "send"))
        return -ENOMEM;
    ssize_t sent = socket_send(file, &vector, 1, 0, flags & MSG_MORE);
    if (sent > 0 && loop_this() != NULL)
        ring_by_fd(loop_this()->ring.uring.ring_fd, &rc)->written += (uint64_t)sent;
    return sent;
}

int sys_shutdown(int fd, int how)
{
    int rc;
    struct file *file = socket_of(fd, "shutdown", &rc);
    return file != NULL ? socket_shutdown(file, how) : rc;
}

int sys_close(int fd)
{
    return file_of(fd, "close") != NULL ? fd_close(fd) : -EBADF;
}

int sys_duplicate(int fd)
{
    return file_of(fd, "dup") != NULL ? fd_duplicate(fd) : -EBADF;
}

static int install(struct file *file)
{
    if (file == NULL)
        return -ENOMEM;
    int fd = fd_install(file);
    if (fd < 0)
        file_drop(file);
    return fd;
}

int sys_event_fd(void)
{
    return thread_this() != NULL ? install(event_file_new()) : -ENOSYS;
}

void sys_event_signal(int fd)
{
    struct file *file = fd_file(fd);
    if (file == NULL || file->kind != FILE_EVENT)
        violation("fd %d is signalled, which is no eventfd", fd);
    event_file_signal(file);
}

/* ---- Names and files ------------------------------------------------------------------------- */

int sys_resolve(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_addresses)
{
    return names_resolve(host, service, hints, ret_addresses);
}

void sys_resolve_free(struct addrinfo *addresses)
{
    names_free(addresses);
}

int sys_stat(const char *path, struct stat *ret_stat)
{
    return socket_stat(path, ret_stat);
}

int sys_unlink(const char *path)
{
    return socket_unlink(path);
}

size_t sys_fd_limit(void)
{
    return fd_limit();
}

int64_t sys_read_number(const char *path, int64_t otherwise)
{
    if (strcmp(path, "/proc/sys/kernel/io_uring_disabled") == 0)
        return world_profile()->disabled;
    return otherwise;
}

/* ---- Signals and processors ------------------------------------------------------------------ */

int sys_signal_catch(int signal, void (*handler)(int), struct sigaction *ret_former)
{
    *ret_former = (struct sigaction){ .sa_handler = state.handlers[signal] };
    state.handlers[signal] = handler;
    return 0;
}

void sys_signal_restore(int signal, const struct sigaction *former)
{
    state.handlers[signal] = former->sa_handler;
}

PUBLIC int weir_sim_signal(int signal)
{
    world_expect("weir_sim_signal()");
    if (signal <= 0 || signal > 64 || state.handlers[signal] == NULL)
        return -ESRCH;
    state.handlers[signal](signal);
    return 0;
}

int sys_pin_thread(unsigned index)
{
    (void)index;
    return 0;
}
