/* A connection that sends to an echo server as fast as it takes it, and compares what comes back:
 * to see what one full-duplex stream does to the others.
 *
 * It works in steps, each one send or one receive, so that whoever drives it decides when: a step
 * holds the generator for tens of microseconds, in which no other block leaves. */
#ifndef BENCH_FIREHOSE_H
#define BENCH_FIREHOSE_H

#include "load_common.h"
#include "pattern.h"

enum {
    FIREHOSE_PIECE = 64 * 1024,
    FIREHOSE_PERIOD = 65521, /* of what it sends: a prime, so that no piece passes for another */
    FIREHOSE_COST_MOST = 100000, /* ns: a step that took longer was interrupted */
    FIREHOSE_WAIT_MOST = 1000000 /* ns without a step, from which on one is taken anyway */
};

struct firehose {
    int fd;                     /* -1 if there is none, or it failed */
    bool can_send, can_receive; /* as far as is known: what an event says, and a full socket ends */
    bool sent_last;
    uint64_t sent, received, measured; /* bytes; the last: received in the window */
    int64_t last, cost;                /* ns: when the last step ended; what one takes */
    unsigned char *pattern;            /* a period, and a piece more: from any place of it */
    unsigned char buffer[FIREHOSE_PIECE];
};

/* Returns false, with errno, if it cannot connect. The receive buffer is small, since over loopback
 * a receive that makes room sends what the server has waiting, too: 60 to 130 us with the buffer
 * that the kernel would choose, now 30 to 50. */
static inline bool firehose_connect(struct firehose *firehose, const struct address *address)
{
    firehose->pattern = bench_pattern(FIREHOSE_PERIOD + FIREHOSE_PIECE);
    for (size_t i = FIREHOSE_PERIOD; i < FIREHOSE_PERIOD + FIREHOSE_PIECE; i++)
        firehose->pattern[i] = firehose->pattern[i - FIREHOSE_PERIOD];
    firehose->fd = connect_one(address);
    if (firehose->fd < 0)
        return false;
    int room = FIREHOSE_PIECE;
    setsockopt(firehose->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return true;
}

static inline void firehose_fail(struct firehose *firehose, enum failure failure)
{
    count_failure(failure);
    close(firehose->fd);
    firehose->fd = -1;
}

static inline bool firehose_can_go_on(const struct firehose *firehose)
{
    return firehose->fd >= 0 && (firehose->can_send || firehose->can_receive);
}

static inline void firehose_send(struct firehose *firehose)
{
    ssize_t n = send(firehose->fd, firehose->pattern + firehose->sent % FIREHOSE_PERIOD,
                     FIREHOSE_PIECE, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        firehose_fail(firehose, FAILED_SEND);
    else if (n < FIREHOSE_PIECE)
        firehose->can_send = n < 0 && errno == EINTR;
    firehose->sent += n > 0 ? (uint64_t)n : 0;
}

static inline void firehose_receive(struct firehose *firehose, bool measuring)
{
    ssize_t n = recv(firehose->fd, firehose->buffer, FIREHOSE_PIECE, 0);
    if (n < 0) {
        if (errno == EAGAIN)
            firehose->can_receive = false;
        else if (errno != EINTR)
            firehose_fail(firehose, FAILED_RECEIVE);
        return;
    }
    const unsigned char *wanted = firehose->pattern + firehose->received % FIREHOSE_PERIOD;
    if (n == 0) {
        firehose_fail(firehose, CLOSED_EARLY);
    } else if ((uint64_t)n > firehose->sent - firehose->received ||
               memcmp(firehose->buffer, wanted, (size_t)n) != 0) {
        firehose_fail(firehose, MISMATCH);
    } else {
        firehose->received += (uint64_t)n;
        firehose->measured += measuring ? (uint64_t)n : 0;
    }
}

/* A step if there is one to take. `room` is the time until the generator has something else to do:
 * the step is put off if it would not be done by then, but not for ever. */
static inline void firehose_step(struct firehose *firehose, int64_t room, bool measuring)
{
    int64_t begun = now_ns();
    if (!firehose_can_go_on(firehose) ||
        (room < firehose->cost && begun - firehose->last < FIREHOSE_WAIT_MOST))
        return;
    firehose->sent_last = firehose->can_send && !(firehose->sent_last && firehose->can_receive);
    if (firehose->sent_last)
        firehose_send(firehose);
    else
        firehose_receive(firehose, measuring);
    firehose->last = now_ns();
    int64_t took = firehose->last - begun, cost = firehose->cost - firehose->cost / 16;
    cost = took > cost ? took : cost;
    firehose->cost = cost < FIREHOSE_COST_MOST ? cost : FIREHOSE_COST_MOST;
}

#endif
