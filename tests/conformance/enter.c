/* Entering the ring: what it returns, and what its flags say. */
#include <errno.h>

#include "conformance.h"

static int enter(unsigned count, unsigned wait, int64_t timeout)
{
    __atomic_store_n(mine.uring.sq.ktail, mine.tail, __ATOMIC_RELEASE);
    return sys_ring_enter(mine.fd, count, wait, IORING_ENTER_GETEVENTS, timeout);
}

static void tell_flags(void)
{
    unsigned flags = __atomic_load_n(mine.uring.sq.kflags, __ATOMIC_RELAXED);
    say("ready: %u%s%s", lane_ready(&mine), flags & IORING_SQ_TASKRUN ? ", TASKRUN" : "",
        flags & IORING_SQ_CQ_OVERFLOW ? ", CQ_OVERFLOW" : "");
}

static void with_nothing(void)
{
    say("enter: %s", outcome(enter(0, 0, 0)));
    say("enter: %s", outcome(enter(0, 0, MILLISECOND)));
}

static void times_out(void)
{
    int64_t begin = sys_now();
    say("enter: %s", outcome(enter(0, 1, 20 * MILLISECOND)));
    say("in time: %s", sys_now() - begin >= 20 * MILLISECOND ? "yes" : "no");
    say("enter: %s", outcome(enter(0, 1, 0)));
}

static void counts(void)
{
    nop('m');
    nop('n');
    say("enter: %s", outcome(enter(2, 0, 0)));
    show(2);
}

static void more_than_there_are(void)
{
    nop('n');
    say("enter: %s", outcome(enter(5, 0, 0)));
    show(1);
}

static void fewer_than_there_are(void)
{
    nop('m');
    nop('n');
    nop('o');
    say("enter: %s", outcome(enter(1, 0, 0)));
    show(1);
    none();
    say("enter: %s", outcome(enter(2, 0, 0)));
    show(2);
}

static void a_full_ring(void)
{
    for (int i = 0; i < 16; i++)
        nop('n');
    say("enter: %s", outcome(enter(16, 0, 0)));
    show(16);
}

/* What has been submitted is told of, not the time-out. */
static void submits_and_times_out(void)
{
    poll_one('p', keep(sys_event_fd()));
    say("enter: %s", outcome(enter(1, 1, 10 * MILLISECOND)));
    tell_flags();
}

static void submits_and_is_done(void)
{
    nop('n');
    say("enter: %s", outcome(enter(1, 1, 500 * MILLISECOND)));
    show(1);
}

static void does_not_wait_when_ready(void)
{
    nop('n');
    say("enter: %s", outcome(enter(1, 1, 500 * MILLISECOND)));
    int64_t begin = sys_now();
    say("enter: %s", outcome(enter(0, 1, 500 * MILLISECOND)));
    say("at once: %s", sys_now() - begin < 250 * MILLISECOND ? "yes" : "no");
    show(1);
}

static void waits_for_two(void)
{
    nop('n');
    say("enter: %s", outcome(enter(1, 2, 10 * MILLISECOND)));
    say("enter: %s", outcome(enter(0, 2, 10 * MILLISECOND)));
    nop('n');
    say("enter: %s", outcome(enter(1, 2, 500 * MILLISECOND)));
    tell_flags();
    show(2);
}

static void wakes_for_data(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    put(pair.b, "hello");
    tell_flags(); /* the work is for the next enter */
    say("enter: %s", outcome(enter(0, 1, 500 * MILLISECOND)));
    tell_flags();
    show(1);
}

static void taskrun_of_a_signal(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    tell_flags();
    sys_event_signal(event);
    settle();
    tell_flags();
    say("enter: %s", outcome(enter(0, 0, 0)));
    tell_flags();
    show(1);
}

static void taskrun_is_not_for_submits(void)
{
    nop('n');
    enter(1, 1, 500 * MILLISECOND);
    tell_flags();
    show(1);
}

static void bad_fd(void)
{
    say("enter: %s", outcome(sys_ring_enter(999, 0, 0, IORING_ENTER_GETEVENTS, 0)));
    int event = keep(sys_event_fd());
    say("enter: %s", outcome(sys_ring_enter(event, 0, 0, IORING_ENTER_GETEVENTS, 0)));
}

static void bad_flags(void)
{
    say("enter: %s", outcome(sys_ring_enter(mine.fd, 0, 0, 1U << 30, 0)));
}

static void not_registered(void)
{
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
    say("enter: %s", outcome(sys_ring_enter(3, 0, 0, flags, 0)));
    say("enter: %s", outcome(sys_ring_enter(99, 0, 0, flags, 0)));
}

static void registered(void)
{
    struct io_uring_rsrc_update update = { .offset = -1U, .data = (unsigned)mine.fd };
    say("register: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    nop('n');
    __atomic_store_n(mine.uring.sq.ktail, mine.tail, __ATOMIC_RELEASE);
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
    say("enter: %s", outcome(sys_ring_enter((int)update.offset, 1, 0, flags, 0)));
    show(1);
}

/* Without GETEVENTS what is deferred stays so. */
static void without_getevents(void)
{
    int event = keep(sys_event_fd());
    poll_one('p', event);
    submit();
    sys_event_signal(event);
    settle();
    say("enter: %s", outcome(sys_ring_enter(mine.fd, 0, 0, 0, 0)));
    tell_flags();
    show(1);
}

static void bad_opcode(void)
{
    nop('n')->opcode = 255;
    nop('m');
    say("enter: %s", outcome(enter(2, 0, 0)));
    show(2);
}

/* Fills a CQ of two places and more: who comes first, is told first. */
static void fill(unsigned count)
{
    ring_reopen(2, 2);
    for (unsigned i = 0; i < count; i++) {
        nop((char)('a' + i));
        say("enter: %s", outcome(enter(1, 0, 0)));
        settle();
        flush_cq();
    }
    tell_flags();
}

/* No completion is lost, and their order stays. */
static void overflow(void)
{
    fill(3);
    show_in_order(2);
    tell_flags();
    say("enter: %s", outcome(enter(0, 0, 0)));
    tell_flags();
    show_in_order(1);
    say("dropped: %u", *mine.uring.cq.koverflow);
}

static void submits_when_overflown(void)
{
    fill(6);
    for (int i = 0; i < 3; i++) {
        show_in_order(2);
        flush_cq();
        tell_flags();
    }
}

static void waits_when_overflown(void)
{
    fill(3);
    say("enter: %s", outcome(enter(0, 1, 10 * MILLISECOND)));
    tell_flags();
    show_in_order(3);
}

/* A wait for more than the CQ holds is one for a full CQ. */
static void waits_for_too_many(void)
{
    fill(2);
    int64_t begin = sys_now();
    say("enter: %s", outcome(enter(0, 5, 500 * MILLISECOND)));
    say("at once: %s", sys_now() - begin < 250 * MILLISECOND ? "yes" : "no");
    show_in_order(2);
}

const struct vector enter_vectors[] = {
    { "enter/with-nothing", with_nothing },
    { "enter/times-out", times_out },
    { "enter/counts", counts },
    { "enter/more-than-there-are", more_than_there_are },
    { "enter/fewer-than-there-are", fewer_than_there_are },
    { "enter/a-full-ring", a_full_ring },
    { "enter/submits-and-times-out", submits_and_times_out },
    { "enter/submits-and-is-done", submits_and_is_done },
    { "enter/does-not-wait-when-ready", does_not_wait_when_ready },
    { "enter/waits-for-two", waits_for_two },
    { "enter/wakes-for-data", wakes_for_data },
    { "enter/taskrun-of-a-signal", taskrun_of_a_signal },
    { "enter/taskrun-is-not-for-submits", taskrun_is_not_for_submits },
    { "enter/bad-fd", bad_fd },
    { "enter/bad-flags", bad_flags },
    { "enter/not-registered", not_registered },
    { "enter/registered", registered },
    { "enter/without-getevents", without_getevents },
    { "enter/bad-opcode", bad_opcode },
    { "enter/overflow", overflow },
    { "enter/submits-when-overflown", submits_when_overflown },
    { "enter/waits-when-overflown", waits_when_overflown },
    { "enter/waits-for-too-many", waits_for_too_many },
    { 0 },
};
