/* Multishot receives: how they end. */
#include "conformance.h"

static struct pair armed(unsigned count)
{
    struct pair pair = pair_tcp();
    buffers(count);
    receive_multi('r', pair.a, 0);
    submit();
    return pair;
}

static void shut_read(void)
{
    struct pair pair = armed(2);
    sys_shutdown(pair.a, SHUT_RD);
    show(1);
}

static void shut_both(void)
{
    struct pair pair = armed(2);
    sys_shutdown(pair.a, SHUT_RDWR);
    show(1);
}

static void data_then_shut(void)
{
    struct pair pair = armed(2);
    put(pair.b, "hello");
    sys_shutdown(pair.a, SHUT_RDWR);
    show_in_order(2);
}

static void cancelled(void)
{
    armed(2);
    cancel('c', 'r');
    submit_and_show(2);
}

static void cancelled_after_data(void)
{
    struct pair pair = armed(2);
    put(pair.b, "hello");
    show(1);
    cancel('c', 'r');
    submit_and_show(2);
    put(pair.b, "later");
    receive_multi('r', pair.a, 0);
    submit_and_show(1);
}

/* What waits unseen when the cancel comes is not lost: one of the two receives has it. */
static void cancelled_before_data_seen(void)
{
    struct pair pair = armed(2);
    put(pair.b, "hello");
    cancel('c', 'r');
    submit();
    collect(3);
    receive('s', pair.a, 0);
    submit();
    say("came: %s", collect(1));
}

static void closed_in_flight(void)
{
    struct pair pair = armed(2);
    say("close: %s", outcome(drop(pair.a)));
    none();
    put(pair.b, "hello");
    show(1);
    cancel('c', 'r');
    submit_and_show(2);
    settle();
    peer_reads(pair.b, 1);
}

static void end_takes_no_buffer(void)
{
    struct pair pair = pair_tcp();
    struct pair ended = armed(2);
    drop(ended.b);
    show(1);
    put(pair.b, "hello");
    receive('s', pair.a, 0);
    submit_and_show(1);
}

static void cancel_takes_no_buffer(void)
{
    struct pair pair = pair_tcp();
    armed(2);
    cancel('c', 'r');
    submit_and_show(2);
    put(pair.b, "hello");
    receive('s', pair.a, 0);
    submit_and_show(1);
}

static void reset_takes_no_buffer(void)
{
    struct pair pair = pair_tcp();
    struct pair broken = armed(2);
    reset_peer(&broken);
    show(1);
    put(pair.b, "hello");
    receive('s', pair.a, 0);
    submit_and_show(1);
}

static void wants_buffers(void)
{
    struct pair pair = pair_tcp();
    receive_plain('r', pair.a, 10)->ioprio = IORING_RECV_MULTISHOT;
    submit_and_show(1);
}

static void wants_no_waitall(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0)->msg_flags = MSG_WAITALL;
    submit_and_show(1);
}

const struct vector multishot_end_vectors[] = {
    { "multishot/shut-read", shut_read },
    { "multishot/shut-both", shut_both },
    { "multishot/data-then-shut", data_then_shut },
    { "multishot/cancelled", cancelled },
    { "multishot/cancelled-after-data", cancelled_after_data },
    { "multishot/cancelled-before-data-seen", cancelled_before_data_seen },
    { "multishot/closed-in-flight", closed_in_flight },
    { "multishot/end-takes-no-buffer", end_takes_no_buffer },
    { "multishot/cancel-takes-no-buffer", cancel_takes_no_buffer },
    { "multishot/reset-takes-no-buffer", reset_takes_no_buffer },
    { "multishot/wants-buffers", wants_buffers },
    { "multishot/wants-no-waitall", wants_no_waitall },
    { 0 },
};
