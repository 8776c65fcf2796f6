/* Multishot receives. */
#include <errno.h>

#include "conformance.h"

static const char forty[] = "0123456789abcdef0123456789abcdef01234567";

static struct pair armed(unsigned count)
{
    struct pair pair = pair_tcp();
    buffers(count);
    receive_multi('r', pair.a, 0);
    submit();
    return pair;
}

static void data(void)
{
    struct pair pair = armed(4);
    none();
    put(pair.b, "hello");
    show(1);
    none();
}

static void several(void)
{
    struct pair pair = armed(4);
    put(pair.b, "one");
    show(1);
    put(pair.b, "two");
    show(1);
    put(pair.b, "three");
    show(1);
}

static void several_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(4);
    receive_multi('r', pair.a, 0);
    submit();
    put(pair.b, "one");
    show(1);
    put(pair.b, "two");
    show(1);
    drop(pair.b);
    show(1);
}

static void data_is_there(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "hello");
    receive_multi('r', pair.a, 0);
    submit_and_show(1);
    put(pair.b, "again");
    show(1);
}

static void end(void)
{
    struct pair pair = armed(4);
    sys_shutdown(pair.b, SHUT_WR);
    show(1);
}

static void data_then_end(void)
{
    struct pair pair = armed(4);
    put(pair.b, "hello");
    show(1);
    drop(pair.b);
    show(1);
}

static void data_and_end_are_there(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "hello");
    drop(pair.b);
    settle();
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(2);
}

/* Both come while it waits, and before the ring is entered again. */
static void data_and_end_at_once(void)
{
    struct pair pair = armed(4);
    put(pair.b, "hello");
    drop(pair.b);
    settle();
    show_in_order(2);
}

static void longer_than_buffers(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, forty);
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(3);
    none();
}

static void buffers_run_out(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    put(pair.b, forty);
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(3);
    group_give(0, 7);
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(1);
}

/* What came has filled the last buffer: nothing more is there. */
static void last_buffer_full(void)
{
    struct pair pair = pair_tcp();
    buffers(1);
    put(pair.b, "0123456789abcdef");
    receive_multi('r', pair.a, 0);
    submit_and_show(1);
    none();
    put(pair.b, "more");
    none();
}

static void last_buffer_part(void)
{
    struct pair pair = armed(1);
    put(pair.b, "hello");
    show(1);
    none();
    put(pair.b, "more");
    none();
}

static void last_buffer_then_end(void)
{
    struct pair pair = armed(1);
    put(pair.b, "hello");
    show(1);
    drop(pair.b);
    show(1);
}

static void given_in_time(void)
{
    struct pair pair = armed(1);
    put(pair.b, "hello");
    show(1);
    group_give(0, 5);
    put(pair.b, "more");
    show(1);
}

static void no_buffers(void)
{
    armed(0);
    show(1);
}

static void no_buffers_with_data(void)
{
    struct pair pair = pair_tcp();
    buffers(0);
    put(pair.b, "hello");
    receive_multi('r', pair.a, 0);
    submit_and_show(1);
    group_give(0, 1);
    receive_multi('r', pair.a, 0);
    submit_and_show(1);
}

static void two_groups(void)
{
    struct pair first = pair_tcp(), second = pair_tcp();
    buffers(2);
    group_open(1, 4, 64);
    group_give_some(1, 2, 2);
    receive_multi('r', first.a, 0);
    receive_multi('s', second.a, 1);
    submit();
    put(first.b, forty);
    put(second.b, forty);
    show(4);
}

static void one_group_for_two(void)
{
    struct pair first = pair_tcp(), second = pair_tcp();
    buffers(4);
    receive_multi('r', first.a, 0);
    receive_multi('s', second.a, 0);
    submit();
    put(second.b, "a");
    show(1);
    put(first.b, "b");
    show(1);
    put(second.b, "c");
    show(1);
}

static void many_buffers(void)
{
    struct pair pair = pair_tcp();
    static char text[16 * 40 + 1];
    for (int i = 0; i < 16 * 40; i++)
        text[i] = (char)('a' + i / 16 % 26);
    group_open(0, 64, 16);
    group_give_some(0, 0, 64);
    put(pair.b, text);
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(40);
}

/* The CQ has two places: what does not fit ends the multishot, and waits outside. */
static void overflow(void)
{
    ring_reopen(2, 2);
    struct pair pair = pair_tcp();
    buffers(6);
    put(pair.b, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    receive_multi('r', pair.a, 0);
    submit();
    settle();
    flush_cq();
    say("ready: %u, overflow: %s", lane_ready(&mine),
        *mine.uring.sq.kflags & IORING_SQ_CQ_OVERFLOW ? "yes" : "no");
    show_in_order(2);
    flush_cq();
    show_in_order(1);
    say("overflow: %s", *mine.uring.sq.kflags & IORING_SQ_CQ_OVERFLOW ? "yes" : "no");
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(1);
}

/* The last place was another's. */
static void overflow_by_others(void)
{
    ring_reopen(2, 2);
    struct pair pair = pair_tcp();
    buffers(6);
    receive_multi('r', pair.a, 0);
    submit();
    nop('n');
    nop('n');
    submit();
    settle();
    flush_cq();
    put(pair.b, "hello");
    flush_cq();
    show_in_order(3);
    put(pair.b, "again");
    receive_multi('s', pair.a, 0);
    submit();
    show_in_order(1);
}

const struct vector multishot_vectors[] = {
    { "multishot/data", data },
    { "multishot/several", several },
    { "multishot/several-on-unix", several_on_unix },
    { "multishot/data-is-there", data_is_there },
    { "multishot/end", end },
    { "multishot/data-then-end", data_then_end },
    { "multishot/data-and-end-are-there", data_and_end_are_there },
    { "multishot/data-and-end-at-once", data_and_end_at_once },
    { "multishot/longer-than-buffers", longer_than_buffers },
    { "multishot/buffers-run-out", buffers_run_out },
    { "multishot/last-buffer-full", last_buffer_full },
    { "multishot/last-buffer-part", last_buffer_part },
    { "multishot/last-buffer-then-end", last_buffer_then_end },
    { "multishot/given-in-time", given_in_time },
    { "multishot/no-buffers", no_buffers },
    { "multishot/no-buffers-with-data", no_buffers_with_data },
    { "multishot/two-groups", two_groups },
    { "multishot/one-group-for-two", one_group_for_two },
    { "multishot/many-buffers", many_buffers },
    { "multishot/overflow", overflow },
    { "multishot/overflow-by-others", overflow_by_others },
    { 0 },
};
