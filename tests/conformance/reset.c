/* Connections that are reset: who is told of it, and who comes too late. A peer that closes with
 * unread data resets. */
#include <errno.h>

#include "conformance.h"

static void tell_error(int fd)
{
    int error = sys_get_option(fd, SOL_SOCKET, SO_ERROR);
    say("SO_ERROR: %s", outcome(error > 0 ? -error : error));
}

static void received(void)
{
    struct pair pair = pair_reset();
    buffers(4);
    receive('r', pair.a, 0);
    submit_and_show(1);
    receive('s', pair.a, 0); /* the error has been taken */
    submit_and_show(1);
    tell_error(pair.a);
}

static void in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    receive('r', pair.a, 0);
    submit();
    reset_peer(&pair);
    show(1);
}

static void in_flight_multi(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    receive_multi('r', pair.a, 0);
    submit();
    put(pair.b, "hello");
    show(1);
    reset_peer(&pair);
    show(1);
}

static void data_before(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "hello");
    reset_peer(&pair);
    for (int i = 0; i < 3; i++) {
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

static void data_before_multi(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "hello");
    reset_peer(&pair);
    receive_multi('r', pair.a, 0);
    submit();
    show_in_order(2);
}

static void data_and_reset_at_once(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    receive_multi('r', pair.a, 0);
    submit();
    put(pair.b, "hello");
    reset_peer(&pair);
    show_in_order(2);
}

static void option_takes_it(void)
{
    struct pair pair = pair_reset();
    buffers(4);
    tell_error(pair.a);
    tell_error(pair.a);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void send_takes_it(void)
{
    struct pair pair = pair_reset();
    buffers(4);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void sent_by_ring(void)
{
    struct pair pair = pair_reset();
    transmit('s', pair.a, "x");
    submit_and_show(1);
    transmit('s', pair.a, "x");
    submit_and_show(1);
}

static void receive_takes_it(void)
{
    struct pair pair = pair_reset();
    buffers(4);
    receive('r', pair.a, 0);
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

/* Of a receive and a send in flight one is told, the kernel's choice (the last one, it seems); the
 * other finds a connection that is over. */
static void tell_both(void)
{
    char name;
    int result;
    for (int i = 0; i < 2; i++) {
        if (!next_completion(&name, &result))
            say("no more: %d of 2", i);
        else if (i == 0)
            say("one: %s", outcome(result));
        else
            say("the other: %s", result == (name == 's' ? -EPIPE : 0) ? "over" : outcome(result));
    }
}

static void both_in_flight(void)
{
    struct pair pair = pair_full(false);
    buffers(4);
    receive('r', pair.a, 0);
    submit();
    transmit('s', pair.a, "x");
    submit();
    none();
    drop(pair.b);
    tell_both();
    tell_error(pair.a);
}

static void send_then_receive_in_flight(void)
{
    struct pair pair = pair_full(false);
    buffers(4);
    transmit('s', pair.a, "x");
    submit();
    receive('r', pair.a, 0);
    submit();
    none();
    drop(pair.b);
    tell_both();
    tell_error(pair.a);
}

/* A call takes the error while a receive waits, which is then told of an end. */
static void call_takes_it_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    receive_multi('r', pair.a, 0);
    submit();
    reset_peer(&pair);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    transmit('s', pair.a, "x");
    submit();
    show_in_order(2);
}

/* The peer ended its direction first. */
static void after_the_end(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    sys_shutdown(pair.b, SHUT_WR);
    settle();
    reset_peer(&pair);
    receive('r', pair.a, 0);
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    tell_error(pair.a);
}

static void after_the_end_option(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.b, SHUT_WR);
    settle();
    reset_peer(&pair);
    tell_error(pair.a);
}

static void end_in_flight_then_reset(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    receive_multi('r', pair.a, 0);
    submit();
    sys_shutdown(pair.b, SHUT_WR);
    show(1);
    reset_peer(&pair);
    receive('s', pair.a, 0);
    submit_and_show(1);
}

/* The peer is gone; what we send is answered by a reset. */
static void by_late_data(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    drop(pair.b);
    settle();
    put(pair.a, "nobody reads this");
    receive('r', pair.a, 0);
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

static void by_late_data_option(void)
{
    struct pair pair = pair_tcp();
    drop(pair.b);
    settle();
    put(pair.a, "nobody reads this");
    tell_error(pair.a);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

/* We have ended our direction; the peer answers by a reset. */
static void after_our_end(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.a, "unread");
    sys_shutdown(pair.a, SHUT_WR);
    settle();
    drop(pair.b);
    settle();
    receive('r', pair.a, 0);
    submit_and_show(1);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void names_after(void)
{
    struct pair pair = pair_reset();
    struct sockaddr_storage name;
    socklen_t length;
    say("peer: %s", verdict(sys_socket_name(pair.a, true, &name, &length)));
    say("own: %s", verdict(sys_socket_name(pair.a, false, &name, &length)));
}

static void shutdown_after(void)
{
    struct pair pair = pair_reset();
    say("shutdown: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    say("shutdown: %s", outcome(sys_shutdown(pair.a, SHUT_RDWR)));
    tell_error(pair.a);
}

static void close_after(void)
{
    struct pair pair = pair_reset();
    say("close: %s", outcome(drop(pair.a)));
}

static void on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(4);
    put(pair.a, "unread");
    drop(pair.b);
    settle();
    receive('r', pair.a, 0);
    submit_and_show(1);
    receive('r', pair.a, 0);
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

static void on_unix_with_data(void)
{
    struct pair pair = pair_unix();
    buffers(4);
    put(pair.b, "hello");
    put(pair.a, "unread");
    drop(pair.b);
    settle();
    for (int i = 0; i < 3; i++) {
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

static void on_unix_in_flight(void)
{
    struct pair pair = pair_unix();
    buffers(4);
    receive('r', pair.a, 0);
    submit();
    put(pair.a, "unread");
    drop(pair.b);
    show(1);
    tell_error(pair.a);
}

static void on_unix_by_option(void)
{
    struct pair pair = pair_unix();
    put(pair.a, "unread");
    drop(pair.b);
    settle();
    tell_error(pair.a);
    tell_error(pair.a);
}

const struct vector reset_vectors[] = {
    { "reset/received", received },
    { "reset/in-flight", in_flight },
    { "reset/in-flight-multi", in_flight_multi },
    { "reset/data-before", data_before },
    { "reset/data-before-multi", data_before_multi },
    { "reset/data-and-reset-at-once", data_and_reset_at_once },
    { "reset/option-takes-it", option_takes_it },
    { "reset/send-takes-it", send_takes_it },
    { "reset/sent-by-ring", sent_by_ring },
    { "reset/receive-takes-it", receive_takes_it },
    { "reset/both-in-flight", both_in_flight },
    { "reset/send-then-receive-in-flight", send_then_receive_in_flight },
    { "reset/call-takes-it-in-flight", call_takes_it_in_flight },
    { "reset/after-the-end", after_the_end },
    { "reset/after-the-end-option", after_the_end_option },
    { "reset/end-in-flight-then-reset", end_in_flight_then_reset },
    { "reset/by-late-data", by_late_data },
    { "reset/by-late-data-option", by_late_data_option },
    { "reset/after-our-end", after_our_end },
    { "reset/names-after", names_after },
    { "reset/shutdown-after", shutdown_after },
    { "reset/close-after", close_after },
    { "reset/on-unix", on_unix },
    { "reset/on-unix-with-data", on_unix_with_data },
    { "reset/on-unix-in-flight", on_unix_in_flight },
    { "reset/on-unix-by-option", on_unix_by_option },
    { 0 },
};
