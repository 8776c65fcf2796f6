#include "endpoint/race.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "kernel/sys.h"
#include "task/loop.h"

struct attempt {
    struct op op;
    struct cancel cancel;
    struct ring_waiter parked;
    struct race *race;
    const struct addrinfo *address;
    int fd; /* -1 when it has failed */
    int error;
    bool pending;
};

struct race {
    struct weir_loop *loop;
    struct wait *waiter;
    struct attempt *winner;
    const struct addrinfo *local;
    unsigned started, pending;
    bool news; /* an attempt has ended since last looked at */
    struct attempt attempts[];
};

static void wake(struct race *race)
{
    struct wait *wait = race->waiter;
    if (wait == NULL)
        return;
    race->waiter = NULL;
    wait_wake(wait, 0);
}

static void attempt_ended(struct attempt *attempt, int error)
{
    struct race *race = attempt->race;
    attempt->error = error;
    if (error == 0 && race->winner == NULL) {
        race->winner = attempt;
    } else if (attempt->fd >= 0) { /* also a second winner's */
        sys_close(attempt->fd);
        attempt->fd = -1;
    }
    if (attempt->pending)
        race->pending--;
    attempt->pending = false;
    race->news = true;
    wake(race);
}

static void connected(struct op *op, int result, unsigned flags)
{
    (void)flags;
    attempt_ended(container_of(op, struct attempt, op), result);
}

static void cancelled(struct op *op, int result, unsigned flags)
{
    struct attempt *attempt = container_of(op, struct attempt, cancel.op);
    (void)flags;
    cancel_completed(&attempt->cancel, result, attempt->pending);
    wake(attempt->race);
}

static void submit(struct attempt *attempt)
{
    struct ring *ring = &attempt->race->loop->ring;
    struct io_uring_sqe *sqe = ring_sqe(ring, &attempt->op);
    if (sqe == NULL) {
        ring_park(ring, &attempt->parked);
        return;
    }
    sqe->opcode = IORING_OP_CONNECT;
    sqe->fd = attempt->fd;
    sqe->addr = (uint64_t)(uintptr_t)attempt->address->ai_addr;
    sqe->off = attempt->address->ai_addrlen;
}

/* False if there was no slot for it. */
static bool cancel(struct attempt *attempt)
{
    if (list_holds(&attempt->parked.node)) { /* it has not begun */
        list_remove(&attempt->parked.node);
        attempt_ended(attempt, -ECANCELED);
    }
    return !attempt->pending ||
           ring_cancel(&attempt->race->loop->ring, &attempt->op, &attempt->cancel);
}

static void retry(struct ring_waiter *waiter)
{
    submit(container_of(waiter, struct attempt, parked));
}

/* The first of the local addresses that has the family and can be bound. */
static int bind_local(int fd, int family, const struct addrinfo *local)
{
    int rc = -EADDRNOTAVAIL;
    for (; local != NULL; local = local->ai_next) {
        if (local->ai_family != family)
            continue;
        rc = sys_bind(fd, local->ai_addr, local->ai_addrlen);
        if (rc == 0)
            break;
    }
    return rc;
}

static void attempt_start(struct race *race, const struct addrinfo *address)
{
    struct attempt *attempt = &race->attempts[race->started++];
    *attempt = (struct attempt){
        .op = { connected },
        .cancel = { .op = { cancelled } },
        .parked = { .retry = retry },
        .race = race,
        .address = address,
    };
    attempt->fd = sys_socket(address->ai_family, address->ai_protocol);
    int rc = attempt->fd < 0 ? attempt->fd : 0;
    if (rc == 0 && race->local != NULL)
        rc = bind_local(attempt->fd, address->ai_family, race->local);
    if (rc < 0) {
        attempt_ended(attempt, rc);
        return;
    }
    attempt->pending = true;
    race->pending++;
    submit(attempt);
}

/* Waits for an attempt's end, at most until `deadline`. */
static int wait_for_news(struct race *race, int64_t deadline)
{
    struct wait wait = { 0 };
    race->waiter = &wait;
    int rc = wait_until(&wait, deadline);
    race->waiter = NULL;
    return rc == -ETIME ? 0 : rc;
}

static int run(struct race *race, const struct addrinfo *const *addresses, unsigned count,
               weir_duration delay)
{
    int64_t next_start = 0;
    while (race->winner == NULL) {
        int64_t now = loop_now(race->loop);
        bool due = race->pending == 0 || race->news || (delay >= 0 && now >= next_start);
        if (race->started < count && due) {
            race->news = false;
            attempt_start(race, addresses[race->started]);
            next_start = loop_deadline(race->loop, delay);
            continue;
        }
        if (race->pending == 0)
            return 0;
        race->news = false;
        bool more = race->started < count && delay >= 0;
        int rc = wait_for_news(race, more ? next_start : INT64_MAX);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* No one is left behind: each attempt's operation must have ended before its memory goes. */
static void end_others(struct race *race)
{
    for (;;) {
        bool over = true, has_slots = true;
        for (unsigned i = 0; i < race->started; i++) {
            struct attempt *attempt = &race->attempts[i];
            has_slots &= cancel(attempt);
            over &= !attempt->pending && !attempt->cancel.asked;
        }
        if (over)
            return;
        struct wait wait = { 0 };
        if (has_slots) {
            race->waiter = &wait;
            wait_uninterrupted(&wait);
        } else {
            task_pause();
        }
    }
}

static int common_error(const struct race *race)
{
    int common = -ETIMEDOUT;
    unsigned most = 0;
    for (unsigned i = 0; i < race->started; i++) {
        unsigned votes = 0;
        for (unsigned j = 0; j < race->started; j++)
            votes += race->attempts[j].error == race->attempts[i].error;
        if (votes > most) {
            most = votes;
            common = race->attempts[i].error;
        }
    }
    return common;
}

int race(const struct addrinfo *const *addresses, unsigned count, const struct addrinfo *local,
         weir_duration delay)
{
    struct race *race = calloc(1, sizeof *race + count * sizeof *race->attempts);
    if (race == NULL)
        return -ENOMEM;
    race->loop = loop_this();
    race->local = local;
    int rc = run(race, addresses, count, delay);
    end_others(race);
    if (rc < 0 && race->winner != NULL)
        sys_close(race->winner->fd);
    else if (rc == 0)
        rc = race->winner != NULL ? race->winner->fd : common_error(race);
    free(race);
    return rc;
}
