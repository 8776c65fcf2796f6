/* What a scenario may do within its world: other threads, choices, peers that are not weir's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir-sim.h>

#include "base/macros.h"
#include "kernel/sys.h"
#include "sim/choice.h"
#include "sim/event.h"
#include "sim/socket.h"
#include "sim/thread.h"
#include "sim/world.h"
#include "task/loop.h"

PUBLIC unsigned weir_sim_choose(unsigned n, const char *tag)
{
    world_expect("weir_sim_choose()");
    if (n == 0)
        violation("weir_sim_choose(0, \"%s\"): there is nothing to choose from", tag);
    return choose(n, tag);
}

PUBLIC int64_t weir_sim_now(void)
{
    return events_now();
}

PUBLIC uint64_t weir_sim_faults(void)
{
    return choice_visible_faults();
}

PUBLIC uint64_t weir_sim_stalls(void)
{
    return choice_stalls();
}

PUBLIC void weir_sim_calm(void)
{
    world_expect("weir_sim_calm()");
    trace("nothing fails from now on");
    choice_calm();
    sockets_calm();
}

PUBLIC void weir_sim_name(const char *host, const char *addresses)
{
    world_expect("weir_sim_name()");
    names_add(host, addresses);
}

PUBLIC void weir_sim_route(const char *address, int error)
{
    world_expect("weir_sim_route()");
    if (error > 0)
        violation("weir_sim_route(\"%s\", %d): an error is negative, as -ETIMEDOUT", address,
                  error);
    if (sockets_route(address, error) < 0)
        violation("weir_sim_route(\"%s\"): not an address written as a number", address);
}

PUBLIC void weir_sim_corrupt(bool may)
{
    world_expect("weir_sim_corrupt()");
    choice_corrupt(may);
}

PUBLIC void weir_sim_forbid(const void *bytes, size_t size)
{
    world_expect("weir_sim_forbid()");
    sockets_forbid(bytes, size);
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct program {
    void (*run)(void *argument);
    void *argument;
};

static void *program_main(void *argument)
{
    struct program program = *(struct program *)argument;
    free(argument);
    program.run(program.argument);
    return NULL;
}

PUBLIC int weir_sim_thread(void (*run)(void *argument), void *argument)
{
    world_expect("weir_sim_thread()");
    struct program *program = malloc(sizeof *program);
    if (program == NULL)
        return -ENOMEM;
    *program = (struct program){ run, argument };
    if (thread_start(program_main, program) != NULL)
        return 0;
    free(program);
    return -EAGAIN;
}

/* ---- Peers ----------------------------------------------------------------------------------- */

static void expect_no_loop(const char *function)
{
    world_expect(function);
    if (loop_this() != NULL)
        violation("%s would block a loop: call it in a thread of weir_sim_thread()", function);
}

struct waiter {
    struct watcher watcher;
    struct thread *thread;
};

static void changed(struct watcher *watcher)
{
    thread_wake(container_of(watcher, struct waiter, watcher)->thread);
}

static void wait_for(struct file *file)
{
    struct waiter waiter = { .watcher = { .changed = changed }, .thread = thread_this() };
    file_watch(file, &waiter.watcher);
    thread_says("for a peer's socket");
    thread_sleep(-1);
    file_unwatch(&waiter.watcher);
}

PUBLIC int weir_sim_connect(const char *address, uint16_t port)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
    struct addrinfo *name;
    char service[8];
    expect_no_loop("weir_sim_connect()");
    snprintf(service, sizeof service, "%u", port);
    int rc = names_resolve(address, service, &hints, &name);
    if (rc < 0)
        return rc;
    int fd = sys_socket(name->ai_family, 0);
    if (fd >= 0) {
        struct file *file = fd_file(fd);
        rc = socket_connect(file, name->ai_addr, name->ai_addrlen);
        while (rc == -EINPROGRESS || rc == -EALREADY) {
            wait_for(file);
            rc = socket_connect(file, NULL, 0);
        }
        if (rc < 0)
            fd_close(fd);
    }
    names_free(name);
    return fd < 0 ? fd : rc < 0 ? rc : fd;
}

static struct file *socket_at(int fd, const char *function)
{
    expect_no_loop(function);
    struct file *file = fd_file(fd);
    if (file == NULL || !file_is_socket(file))
        violation("%s: %d is no socket", function, fd);
    return file;
}

PUBLIC ssize_t weir_sim_send(int fd, const void *data, size_t size)
{
    struct file *file = socket_at(fd, "weir_sim_send()");
    struct iovec vector = { (void *)data, size };
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = socket_send(file, &vector, 1, sent, 0);
        if (n == -EAGAIN)
            wait_for(file);
        else if (n < 0)
            return n;
        else
            sent += (size_t)n;
    }
    return (ssize_t)size;
}

PUBLIC ssize_t weir_sim_receive(int fd, void *buffer, size_t size)
{
    struct file *file = socket_at(fd, "weir_sim_receive()");
    bool more;
    ssize_t n;
    while ((n = socket_receive(file, buffer, size, &more)) == -EAGAIN)
        wait_for(file);
    return n;
}

PUBLIC int weir_sim_shutdown(int fd)
{
    return socket_shutdown(socket_at(fd, "weir_sim_shutdown()"), SHUT_WR);
}

PUBLIC int weir_sim_close(int fd)
{
    socket_at(fd, "weir_sim_close()");
    return fd_close(fd);
}

PUBLIC int weir_sim_reset(int fd)
{
    socket_reset(socket_at(fd, "weir_sim_reset()"));
    return fd_close(fd);
}

PUBLIC void weir_sim_sleep(weir_duration duration)
{
    int64_t until = events_now() + duration;
    expect_no_loop("weir_sim_sleep()");
    do {
        thread_says("asleep");
        thread_sleep(until - events_now());
    } while (events_now() < until);
}
