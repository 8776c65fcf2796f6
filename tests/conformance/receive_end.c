/* Receives of one message each: how they end without one. */
#include "conformance.h"

static void end(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    sys_shutdown(pair.b, SHUT_WR);
    settle();
    receive('r', pair.a, 0);
    submit_and_show(1);
    receive('s', pair.a, 0); /* again and again */
    submit_and_show(1);
}

static void end_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    sys_shutdown(pair.b, SHUT_WR);
    show(1);
}

static void end_by_close(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    drop(pair.b);
    show(1);
}

static void end_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    drop(pair.b);
    show(1);
}

/* A receive that ends without data gives its buffer back. */
static void end_takes_no_buffer(void)
{
    struct pair ended = pair_tcp(), pair = pair_tcp();
    buffers(2);
    receive('r', ended.a, 0);
    submit();
    drop(ended.b);
    show(1);
    put(pair.b, "hello");
    receive('s', pair.a, 0);
    submit_and_show(1);
}

static void data_then_end(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    put(pair.b, "hello");
    drop(pair.b);
    settle();
    for (int i = 0; i < 2; i++) {
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

static void shut_before(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    sys_shutdown(pair.a, SHUT_RD);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void shut_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RD);
    show(1);
}

static void shut_both_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RDWR);
    show(1);
}

static void shut_both_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(2);
    receive('r', pair.a, 0);
    receive('s', pair.b, 0);
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RDWR);
    show(2);
}

static void shut_with_data(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    put(pair.b, "hello");
    sys_shutdown(pair.a, SHUT_RD);
    for (int i = 0; i < 2; i++) {
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

/* Only our direction: the peer's goes on. */
static void shut_write_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    sys_shutdown(pair.a, SHUT_WR);
    none();
    put(pair.b, "hello");
    show(1);
}

static void not_connected(void)
{
    buffers(2);
    receive('r', keep(sys_socket(AF_INET, 0)), 0);
    submit_and_show(1);
    receive('u', keep(sys_socket(AF_UNIX, 0)), 0);
    submit_and_show(1);
}

static void of_a_listener(void)
{
    struct place place = loopback(0);
    buffers(2);
    receive('r', listener(&place, 1), 0);
    submit_and_show(1);
}

static void bad_fd(void)
{
    buffers(2);
    receive('r', 999, 0);
    receive('s', -1, 0);
    submit_and_show(2);
}

static void no_socket(void)
{
    buffers(2);
    receive('r', keep(sys_event_fd()), 0);
    submit_and_show(1);
}

/* The number is free, but the operation holds the socket: nobody hears of the close. */
static void closed_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    say("close: %s", outcome(drop(pair.a)));
    none();
    put(pair.b, "hello");
    show(1);
    settle();
    peer_reads(pair.b, 1);
}

static void bad_fields(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0)->ioprio = 1 << 14;
    receive('s', pair.a, 0)->file_index = 1;
    receive('t', pair.a, 0)->flags |= 1 << 7;
    submit_and_show(3);
}

const struct vector receive_end_vectors[] = {
    { "receive/end", end },
    { "receive/end-in-flight", end_in_flight },
    { "receive/end-by-close", end_by_close },
    { "receive/end-on-unix", end_on_unix },
    { "receive/end-takes-no-buffer", end_takes_no_buffer },
    { "receive/data-then-end", data_then_end },
    { "receive/shut-before", shut_before },
    { "receive/shut-in-flight", shut_in_flight },
    { "receive/shut-both-in-flight", shut_both_in_flight },
    { "receive/shut-both-on-unix", shut_both_on_unix },
    { "receive/shut-with-data", shut_with_data },
    { "receive/shut-write-in-flight", shut_write_in_flight },
    { "receive/not-connected", not_connected },
    { "receive/of-a-listener", of_a_listener },
    { "receive/bad-fd", bad_fd },
    { "receive/no-socket", no_socket },
    { "receive/closed-in-flight", closed_in_flight },
    { "receive/bad-fields", bad_fields },
    { 0 },
};
