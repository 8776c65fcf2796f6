/* What it costs to wake another thread that waits at its ring, as a mailbox does: an eventfd that
 * the ring polls or reads, or a message from ring to ring.
 *
 * Asleep: the target waits at an idle ring; what counts is how long the news takes. Busy: it is in
 * its loop, which never sleeps; what counts is what a wake-up adds to its CPU time, against turns
 * without wake-ups right before. As with a mailbox, there is no second wake-up before the first was
 * noticed.
 */
#include "figures.h"
#include "ring.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#define PROGRAM "wake"

enum way { EVENTFD_POLL, EVENTFD_READ, MESSAGE, MESSAGE_WITHOUT_RING };
enum purpose { TURN = 1, WAKE };
enum {
    ASLEEP_AFTER_NS =
        50000,             /* since the last wake-up was noticed: by then the target waits again */
    BUSY_PERIOD_NS = 2000, /* between two wake-ups of a busy target */
    BUSY_PARTS = 10,
    PART_TURNS = 50000,
    COUNT_MOST = 100000,
    LIMIT_SECONDS = 20,
};

static struct {
    unsigned way, busy, count, target_cpu, waker_cpu;
    struct ring ring, waker_ring;
    int event;
    uint64_t event_value; /* as the ring has read it */
    int64_t latencies[COUNT_MOST];
    int64_t call_ns; /* that the waker's calls took */
    _Alignas(64) atomic_bool waking, done;
    _Alignas(64) _Atomic uint64_t sent;
    _Atomic int64_t sent_at;
    _Alignas(64) _Atomic uint64_t noticed;
} test = { .count = 2000, .waker_cpu = 1 };

static void pin_to(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (error != 0)
        die(PROGRAM, EXIT_FAILED, "CPU %u: %s", cpu, strerror(error));
}

/* ---- The waker ------------------------------------------------------------------------------- */

static void send_message(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&test.waker_ring);
    io_uring_prep_msg_ring(sqe, test.ring.uring.ring_fd, 0, WAKE, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    int result = ring_enter(&test.waker_ring, false);
    if (result != 1 || io_uring_cq_ready(&test.waker_ring.uring) > 0)
        die(PROGRAM, EXIT_FAILED, "MSG_RING failed");
}

/* For a thread that has no ring. */
static void send_message_without_ring(void)
{
    struct io_uring_sqe sqe = { .opcode = IORING_OP_MSG_RING };
    io_uring_prep_msg_ring(&sqe, test.ring.uring.ring_fd, 0, WAKE, 0);
    if (syscall(__NR_io_uring_register, -1, DECIDE_REGISTER_SEND_MSG_RING, &sqe, 1) == 0)
        return;
    if (errno == EINVAL || errno == EBADF)
        die_unsupported(PROGRAM, "MSG_RING without a ring (6.13)");
    die(PROGRAM, EXIT_FAILED, "MSG_RING without a ring: %s", strerror(errno));
}

static void write_event(void)
{
    uint64_t one = 1;
    if (write(test.event, &one, sizeof one) != sizeof one)
        die(PROGRAM, EXIT_FAILED, "eventfd: %s", strerror(errno));
}

static void wake(void)
{
    static void (*const ways[])(void) = { write_event, write_event, send_message,
                                          send_message_without_ring };
    int64_t begun = now_ns();
    atomic_store(&test.sent_at, begun);
    atomic_fetch_add(&test.sent, 1);
    ways[test.way]();
    test.call_ns += now_ns() - begun;
}

/* Spins, on a CPU of its own: it is to be on time. */
static void *run_waker(void *unused)
{
    (void)unused;
    pin_to(test.waker_cpu);
    if (test.way == MESSAGE)
        ring_open(&test.waker_ring, PROGRAM, &(struct ring_choices){ 0 });
    int64_t pause = test.busy ? BUSY_PERIOD_NS : ASLEEP_AFTER_NS, noticed_at = now_ns();
    uint64_t noticed = 0;
    while (!atomic_load(&test.done)) {
        int64_t now = now_ns();
        if (noticed != atomic_load(&test.noticed)) {
            noticed = atomic_load(&test.noticed);
            noticed_at = now;
        }
        if (atomic_load(&test.waking) && noticed == atomic_load(&test.sent) &&
            now - noticed_at >= pause)
            wake();
    }
    return NULL;
}

/* ---- The target ------------------------------------------------------------------------------ */

static void await_event(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&test.ring);
    if (test.way == EVENTFD_POLL)
        io_uring_prep_poll_multishot(sqe, test.event, POLLIN);
    else
        io_uring_prep_read(sqe, test.event, &test.event_value, sizeof test.event_value, 0);
    io_uring_sqe_set_data64(sqe, WAKE);
}

static void notice(const struct ring_event *event)
{
    if (event->result < 0)
        die(PROGRAM, EXIT_FAILED, "a wake-up failed: %s", strerror(-event->result));
    if (test.way == EVENTFD_POLL &&
        read(test.event, &test.event_value, sizeof test.event_value) < 0)
        die(PROGRAM, EXIT_FAILED, "eventfd: %s", strerror(errno));
    if (test.way == EVENTFD_READ ||
        (test.way == EVENTFD_POLL && !(event->flags & IORING_CQE_F_MORE)))
        await_event();
    uint64_t noticed = atomic_load(&test.noticed);
    if (noticed < COUNT_MOST)
        test.latencies[noticed] = now_ns() - atomic_load(&test.sent_at);
    atomic_store(&test.noticed, noticed + 1);
}

/* Returns the CPU time that it took, in microseconds. */
static double notice_all(void)
{
    double cpu_us = thread_cpu_us();
    atomic_store(&test.waking, true);
    while (atomic_load(&test.noticed) < test.count) {
        struct ring_event event = ring_next(&test.ring, PROGRAM);
        notice(&event);
    }
    return thread_cpu_us() - cpu_us;
}

/* A part of the busy loop: each turn has something to do, and so does not sleep. */
static double take_turns(bool waking)
{
    double cpu_us = thread_cpu_us();
    atomic_store(&test.waking, waking);
    for (int turn = 0; turn < PART_TURNS; turn++) {
        struct io_uring_sqe *sqe = ring_sqe(&test.ring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, TURN);
        ring_turn(&test.ring, PROGRAM);
        while (io_uring_cq_ready(&test.ring.uring) > 0) {
            struct ring_event event = ring_next(&test.ring, PROGRAM);
            if (event.purpose == WAKE)
                notice(&event);
        }
    }
    atomic_store(&test.waking, false);
    return thread_cpu_us() - cpu_us;
}

static double stay_busy(void)
{
    double added_us = 0;
    for (int part = 0; part < BUSY_PARTS; part++) {
        added_us -= take_turns(false);
        added_us += take_turns(true);
    }
    return added_us;
}

/* ---- The report, and the command line -------------------------------------------------------- */

static void print_figures(double cpu_us)
{
    uint64_t sent = atomic_load(&test.sent), noticed = atomic_load(&test.noticed);
    unsigned count = noticed < COUNT_MOST ? (unsigned)noticed : COUNT_MOST;
    if (noticed == 0 || sent - noticed > 1)
        die(PROGRAM, EXIT_FAILED, "%llu wake-ups were sent, %llu noticed", (unsigned long long)sent,
            (unsigned long long)noticed);
    sort_ns(test.latencies, count);
    printf("{\"cpu_us\": %.3f, \"call_us\": %.3f, \"latency_p50_us\": %.2f, "
           "\"latency_p99_us\": %.2f, \"wakeups\": %llu}\n",
           cpu_us / (double)noticed, (double)test.call_ns / 1000 / (double)sent,
           percentile_us(test.latencies, count, 50), percentile_us(test.latencies, count, 99),
           (unsigned long long)noticed);
}

static const struct choice choices[] = {
    { "way", &test.way, 0, 0, { "poll", "read", "message", "message-without-ring" }, "to wake" },
    { "busy", &test.busy, .what = "the target is busy, not asleep" },
    { "count", &test.count, 1, COUNT_MOST, .what = "wake-ups of one asleep" },
    { "target-cpu", &test.target_cpu, 0, 1023, .what = "where the target runs" },
    { "waker-cpu", &test.waker_cpu, 0, 1023, .what = "where the waker runs" },
    { .name = NULL },
};

int main(int argc, char **argv)
{
    static const struct choices_program program = {
        .name = PROGRAM,
        .what = "wakes a thread that waits at its ring",
        .tables = { choices },
    };
    parse_choices(&program, argc, argv, NULL);
    alarm(LIMIT_SECONDS); /* a lost wake-up must not hang */
    pin_to(test.target_cpu);
    ring_open(&test.ring, PROGRAM, &(struct ring_choices){ 0 });
    test.event = eventfd(0, EFD_CLOEXEC);
    if (test.way == EVENTFD_POLL || test.way == EVENTFD_READ)
        await_event();
    pthread_t waker;
    int error = pthread_create(&waker, NULL, run_waker, NULL);
    if (error != 0)
        die(PROGRAM, EXIT_FAILED, "pthread_create: %s", strerror(error));
    double cpu_us = test.busy ? stay_busy() : notice_all();
    atomic_store(&test.done, true);
    pthread_join(waker, NULL);
    print_figures(cpu_us);
    return EXIT_OK;
}
