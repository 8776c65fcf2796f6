/* Sends, by the ring and by a call. */
#include <errno.h>

#include "conformance.h"

static void small(void)
{
    struct pair pair = pair_tcp();
    transmit('s', pair.a, "hello");
    submit_and_show(1);
    peer_reads(pair.b, 5);
}

static void small_on_unix(void)
{
    struct pair pair = pair_unix();
    transmit('s', pair.a, "hello");
    submit_and_show(1);
    peer_reads(pair.b, 5);
}

static void of_nothing(void)
{
    struct pair pair = pair_tcp();
    transmit('s', pair.a, "");
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "", 0, 0)));
}

static void all_of_bulk(void)
{
    struct pair pair = pair_tcp();
    transmit_bulk('s', pair.a);
    submit();
    none();
    drain(pair.b, bulk_size);
    show(1);
}

static void all_of_bulk_on_unix(void)
{
    struct pair pair = pair_unix();
    transmit_bulk('s', pair.a);
    submit();
    none();
    drain(pair.b, bulk_size);
    show(1);
}

/* Who does not ask for all gets what there is room for. */
static void part_of_bulk(void)
{
    struct pair pair = pair_tcp();
    transmit_bulk('s', pair.a)->msg_flags = MSG_NOSIGNAL;
    submit_and_show(1);
}

static void to_the_full(void)
{
    struct pair pair = pair_full(false);
    transmit('s', pair.a, "x");
    submit();
    none();
    drain(pair.b, filled());
    show(1);
}

static void to_the_full_unix(void)
{
    struct pair pair = pair_full(true);
    transmit('s', pair.a, "x");
    submit();
    none();
    drain(pair.b, filled());
    show(1);
}

static struct io_uring_sqe *transmit_message(char name, int fd, struct msghdr *message)
{
    struct io_uring_sqe *sqe = transmit(name, fd, "");
    sqe->opcode = IORING_OP_SENDMSG;
    sqe->addr = (uint64_t)(uintptr_t)message;
    sqe->len = 1;
    return sqe;
}

static void vector(void)
{
    struct pair pair = pair_tcp();
    struct iovec parts[] = { { "one ", 4 }, { "", 0 }, { "two ", 4 }, { "three", 5 } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 4 };
    transmit_message('s', pair.a, &message);
    submit_and_show(1);
    peer_reads(pair.b, 13);
}

/* The kernel has copied the vector when it has taken the slot. */
static void vector_is_copied(void)
{
    struct pair pair = pair_tcp();
    static char text[] = "behind";
    struct iovec parts[] = { { (void *)bulk(), bulk_size - 6 }, { text, 6 } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    struct io_uring_sqe *sqe = transmit_bulk('s', pair.a);
    sqe->opcode = IORING_OP_SENDMSG;
    sqe->addr = (uint64_t)(uintptr_t)&message;
    sqe->len = 1;
    submit();
    none();
    parts[0] = parts[1] = (struct iovec){ NULL, 0 };
    message.msg_iovlen = 0;
    drain(pair.b, bulk_size - 6);
    peer_reads(pair.b, 6);
    show(1);
}

static void after_shutdown(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_WR);
    transmit('s', pair.a, "hello");
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

static void after_shutdown_on_unix(void)
{
    struct pair pair = pair_unix();
    sys_shutdown(pair.a, SHUT_WR);
    transmit('s', pair.a, "hello");
    submit_and_show(1);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

static void not_connected(void)
{
    int tcp = keep(sys_socket(AF_INET, 0)), un = keep(sys_socket(AF_UNIX, 0));
    transmit('s', tcp, "x");
    transmit('u', un, "x");
    submit_and_show(2);
    say("send: %s, on Unix: %s", outcome(sys_send(tcp, "x", 1, 0)),
        outcome(sys_send(un, "x", 1, 0)));
}

static void to_no_socket(void)
{
    int event = keep(sys_event_fd());
    transmit('e', event, "x");
    transmit('f', 999, "x");
    submit_and_show(2);
    say("send: %s, to a bad fd: %s", outcome(sys_send(event, "x", 1, 0)),
        outcome(sys_send(999, "x", 1, 0)));
}

static void to_a_listener(void)
{
    struct place place = loopback(0);
    transmit('s', listener(&place, 1), "x");
    submit_and_show(1);
}

static void to_who_has_closed_on_unix(void)
{
    struct pair pair = pair_unix();
    drop(pair.b);
    transmit('s', pair.a, "x");
    submit_and_show(1);
}

static void blocked_then_shutdown(void)
{
    struct pair pair = pair_tcp();
    transmit_bulk('s', pair.a);
    submit();
    none();
    say("shutdown: %s", outcome(sys_shutdown(pair.a, SHUT_RDWR)));
    show(1);
}

static void blocked_then_reset(void)
{
    struct pair pair = pair_tcp();
    transmit_bulk('s', pair.a);
    submit();
    none();
    drop(pair.b);
    show(1);
    say("SO_ERROR: %s", outcome(-sys_get_option(pair.a, SOL_SOCKET, SO_ERROR)));
}

static void blocked_then_closed_unix(void)
{
    struct pair pair = pair_unix();
    transmit_bulk('s', pair.a);
    submit();
    none();
    drop(pair.b);
    show(1);
    say("SO_ERROR: %s", outcome(-sys_get_option(pair.a, SOL_SOCKET, SO_ERROR)));
}

static void full_then_shutdown(void)
{
    struct pair pair = pair_full(false);
    transmit('s', pair.a, "x");
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RDWR);
    show(1);
}

static void full_then_shutdown_on_unix(void)
{
    struct pair pair = pair_full(true);
    transmit('s', pair.a, "x");
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RDWR);
    show(1);
}

static void full_then_reset(void)
{
    struct pair pair = pair_full(false);
    transmit('s', pair.a, "x");
    submit();
    none();
    drop(pair.b);
    show(1);
}

static void full_then_closed_unix(void)
{
    struct pair pair = pair_full(true);
    transmit('s', pair.a, "x");
    submit();
    none();
    drop(pair.b);
    show(1);
}

/* The peer stops reading, which sends nothing to us over TCP. */
static void full_then_peer_stops_reading(void)
{
    struct pair pair = pair_full(false);
    transmit('s', pair.a, "x");
    submit();
    sys_shutdown(pair.b, SHUT_RD);
    none();
}

static void full_then_peer_stops_reading_unix(void)
{
    struct pair pair = pair_full(true);
    transmit('s', pair.a, "x");
    submit();
    sys_shutdown(pair.b, SHUT_RD);
    show(1);
}

static void two_at_once(void)
{
    struct pair pair = pair_tcp();
    transmit('s', pair.a, "one ");
    transmit('t', pair.a, "two");
    submit_and_show(2); /* neither has had to wait: in their order */
    peer_reads(pair.b, 7);
}

static void call_when_full(void)
{
    struct pair pair = pair_full(false);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    drain(pair.b, filled());
    settle();
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
}

static void call_takes_a_part(void)
{
    struct pair pair = pair_tcp();
    ssize_t sent = sys_send(pair.a, bulk(), bulk_size, 0);
    say("send: %s", sent > 0 && sent < (ssize_t)bulk_size ? "a part" : outcome(sent));
}

static void call_takes_a_part_on_unix(void)
{
    struct pair pair = pair_unix();
    ssize_t sent = sys_send(pair.a, bulk(), bulk_size, 0);
    say("send: %s", sent > 0 && sent < (ssize_t)bulk_size ? "a part" : outcome(sent));
    drain(pair.b, (size_t)(sent > 0 ? sent : 0));
}

/* What is held back leaves with the FIN. */
static void more_then_shutdown(void)
{
    struct pair pair = pair_tcp();
    say("send: %s", outcome(sys_send(pair.a, "hello", 5, MSG_MORE)));
    receive_plain('r', pair.b, 60);
    submit();
    none();
    say("shutdown: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    settle();
    show(1);
    receive_plain('r', pair.b, 60);
    submit_and_show(1);
}

static void more_then_the_rest(void)
{
    struct pair pair = pair_tcp();
    receive_plain('r', pair.b, 60);
    submit();
    say("send: %s", outcome(sys_send(pair.a, "one ", 4, MSG_MORE)));
    none();
    say("send: %s", outcome(sys_send(pair.a, "two", 3, 0)));
    show(1);
}

static void more_then_close(void)
{
    struct pair pair = pair_tcp();
    sys_send(pair.a, "hello", 5, MSG_MORE);
    drop(pair.a);
    peer_reads(pair.b, 0);
}

static void zero_copy(void)
{
    struct pair pair = pair_tcp();
    transmit('s', pair.a, "hello")->opcode = IORING_OP_SEND_ZC;
    submit();
    peer_reads(pair.b, 5);
    show_in_order(2);
}

static void zero_copy_after_shutdown(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_WR);
    transmit('s', pair.a, "hello")->opcode = IORING_OP_SEND_ZC;
    submit();
    show_in_order(2);
}

static void zero_copy_on_unix(void)
{
    struct pair pair = pair_unix();
    transmit('s', pair.a, "hello")->opcode = IORING_OP_SEND_ZC;
    submit();
    show_in_order(2);
}

const struct vector send_vectors[] = {
    { "send/small", small },
    { "send/small-on-unix", small_on_unix },
    { "send/of-nothing", of_nothing },
    { "send/all-of-bulk", all_of_bulk },
    { "send/all-of-bulk-on-unix", all_of_bulk_on_unix },
    { "send/part-of-bulk", part_of_bulk },
    { "send/to-the-full", to_the_full },
    { "send/to-the-full-unix", to_the_full_unix },
    { "send/vector", vector },
    { "send/vector-is-copied", vector_is_copied },
    { "send/after-shutdown", after_shutdown },
    { "send/after-shutdown-on-unix", after_shutdown_on_unix },
    { "send/not-connected", not_connected },
    { "send/to-no-socket", to_no_socket },
    { "send/to-a-listener", to_a_listener },
    { "send/to-who-has-closed-on-unix", to_who_has_closed_on_unix },
    { "send/blocked-then-shutdown", blocked_then_shutdown },
    { "send/blocked-then-reset", blocked_then_reset },
    { "send/blocked-then-closed-unix", blocked_then_closed_unix },
    { "send/full-then-shutdown", full_then_shutdown },
    { "send/full-then-shutdown-on-unix", full_then_shutdown_on_unix },
    { "send/full-then-reset", full_then_reset },
    { "send/full-then-closed-unix", full_then_closed_unix },
    { "send/full-then-peer-stops-reading", full_then_peer_stops_reading },
    { "send/full-then-peer-stops-reading-unix", full_then_peer_stops_reading_unix },
    { "send/two-at-once", two_at_once },
    { "send/call-when-full", call_when_full },
    { "send/call-takes-a-part", call_takes_a_part },
    { "send/call-takes-a-part-on-unix", call_takes_a_part_on_unix },
    { "send/more-then-shutdown", more_then_shutdown },
    { "send/more-then-the-rest", more_then_the_rest },
    { "send/more-then-close", more_then_close },
    { "send/zero-copy", zero_copy },
    { "send/zero-copy-after-shutdown", zero_copy_after_shutdown },
    { "send/zero-copy-on-unix", zero_copy_on_unix },
    { 0 },
};
