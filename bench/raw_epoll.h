/* What the raw servers on epoll share: watching, and sending what the socket takes at once, while
 * the rest waits in a queue. */
#ifndef BENCH_RAW_EPOLL_H
#define BENCH_RAW_EPOLL_H

#include "common.h"

#include <sys/epoll.h>

enum { EVENT_COUNT = 512 };

/* What a socket did not take yet. */
struct queue {
    unsigned char *bytes; /* NULL: nothing */
    size_t size, sent;
};

static inline void watch(const char *program, int epoll, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die(program, EXIT_FAILED, "epoll_ctl: %s", strerror(errno));
}

static inline int accept_one(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline bool is_full(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Sends, and queues what the socket does not take. Nothing is queued yet: the caller made sure.
 * False: the connection broke. */
static inline bool send_or_queue(int fd, struct queue *queue, const unsigned char *bytes,
                                 size_t size)
{
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size)
        return true;
    if (sent < 0 && !is_full(sent))
        return false;
    size_t done = sent > 0 ? (size_t)sent : 0;
    queue->bytes = malloc(size - done);
    if (!queue->bytes)
        return false;
    memcpy(queue->bytes, bytes + done, size - done);
    queue->size = size - done;
    queue->sent = 0;
    return true;
}

/* False: the connection broke. */
static inline bool send_queue(int fd, struct queue *queue)
{
    while (queue->bytes) {
        ssize_t sent =
            send(fd, queue->bytes + queue->sent, queue->size - queue->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return is_full(sent);
        queue->sent += (size_t)sent;
        if (queue->sent < queue->size)
            continue;
        free(queue->bytes);
        queue->bytes = NULL;
    }
    return true;
}

#endif
