/* How connections end, seen from both sides. */
#include "conformance.h"

static void half_close(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "question");
    say("shutdown: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    peer_reads(pair.b, 0);
    put(pair.b, "answer");
    peer_reads(pair.a, 6);
    sys_shutdown(pair.b, SHUT_WR);
    peer_reads(pair.a, 0);
    say("close: %s, %s", outcome(drop(pair.a)), outcome(drop(pair.b)));
}

static void half_close_unix(void)
{
    struct pair pair = pair_unix();
    put(pair.a, "question");
    sys_shutdown(pair.a, SHUT_WR);
    peer_reads(pair.b, 0);
    put(pair.b, "answer");
    sys_shutdown(pair.b, SHUT_WR);
    peer_reads(pair.a, 0);
}

static void both_at_once(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "a");
    put(pair.b, "b");
    sys_shutdown(pair.a, SHUT_WR);
    sys_shutdown(pair.b, SHUT_WR);
    peer_reads(pair.a, 0);
    peer_reads(pair.b, 0);
}

static void close_keeps_what_was_sent(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "hello");
    drop(pair.a);
    peer_reads(pair.b, 0);
}

/* What the socket holds is still sent, however slow the reader. */
static void close_keeps_all_that_was_sent(void)
{
    struct pair pair = pair_full(false);
    drop(pair.a);
    settle();
    drain(pair.b, filled());
    peer_reads(pair.b, 0);
}

static void close_unix_keeps_all(void)
{
    struct pair pair = pair_full(true);
    drop(pair.a);
    drain(pair.b, filled());
    peer_reads(pair.b, 0);
}

static void close_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

/* The reset overtakes nothing that has arrived. */
static void close_with_unread_after_sending(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "hello");
    put(pair.b, "unread");
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

/* As the library ends a stream: its own FIN, then the close. */
static void finish_then_close_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    put(pair.a, "hello");
    sys_shutdown(pair.a, SHUT_WR);
    settle();
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

static void finish_then_close(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "hello");
    sys_shutdown(pair.a, SHUT_WR);
    drop(pair.a);
    peer_reads(pair.b, 0);
}

static void more_finish_close_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    sys_send(pair.a, "hello", 5, MSG_MORE);
    sys_shutdown(pair.a, SHUT_WR);
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

/* With MSG_MORE the close, finding something unread, drops what was held back. */
static void more_close_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    sys_send(pair.a, "hello", 5, MSG_MORE);
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

static void data_after_close(void)
{
    struct pair pair = pair_tcp();
    drop(pair.a);
    settle();
    say("send: %s", outcome(sys_send(pair.b, "late", 4, 0)));
    settle();
    say("send: %s", outcome(sys_send(pair.b, "later", 5, 0)));
    peer_reads(pair.b, 0);
}

static void data_after_close_unix(void)
{
    struct pair pair = pair_unix();
    drop(pair.a);
    say("send: %s", outcome(sys_send(pair.b, "late", 4, 0)));
    peer_reads(pair.b, 0);
}

/* After finish and close, late data of the peer's is answered by a reset. */
static void data_after_finish_and_close(void)
{
    struct pair pair = pair_tcp();
    put(pair.a, "hello");
    sys_shutdown(pair.a, SHUT_WR);
    drop(pair.a);
    settle();
    say("send: %s", outcome(sys_send(pair.b, "late", 4, 0)));
    settle();
    say("SO_ERROR: %s", outcome(-sys_get_option(pair.b, SOL_SOCKET, SO_ERROR)));
    peer_reads(pair.b, 0); /* what had come before */
}

/* What a socket that does not read any more gets, is its own affair. */
static void data_after_shutdown_of_reading(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_RD);
    put(pair.b, "hello");
    say("send: %s", outcome(sys_send(pair.b, "more", 4, 0)));
    settle();
    peer_reads(pair.a, 0);
    peer_reads(pair.b, 0);
}

static void data_after_shutdown_of_reading_unix(void)
{
    struct pair pair = pair_unix();
    sys_shutdown(pair.a, SHUT_RD);
    say("send: %s", outcome(sys_send(pair.b, "hello", 5, 0)));
    peer_reads(pair.a, 0);
}

static void both_directions_at_once(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_RDWR);
    settle();
    peer_reads(pair.b, 0);
    say("send: %s", outcome(sys_send(pair.b, "late", 4, 0)));
    settle();
    say("send: %s", outcome(sys_send(pair.b, "late", 4, 0)));
    peer_reads(pair.a, 0);
}

static void both_directions_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    put(pair.a, "hello");
    sys_shutdown(pair.a, SHUT_RDWR);
    settle();
    peer_reads(pair.b, 0);
    drop(pair.a);
    settle();
    peer_reads(pair.b, 0);
}

static void reset_while_bulk_is_there(void)
{
    struct pair pair = pair_full(false);
    put(pair.b, "unread");
    drop(pair.a);
    settle();
    say("SO_ERROR: %s", outcome(-sys_get_option(pair.b, SOL_SOCKET, SO_ERROR)));
}

static void ping_pong(void)
{
    struct pair pair = pair_tcp();
    buffers(8);
    receive_multi('r', pair.a, 0);
    submit();
    for (int i = 0; i < 3; i++) {
        put(pair.b, "ping");
        show(1);
        transmit('s', pair.a, "pong");
        submit_and_show(1);
        peer_reads(pair.b, 4);
    }
    drop(pair.b);
    show(1);
}

static void over_ipv6(void)
{
    struct place place = loopback6(0);
    int fd = listener(&place, 1);
    place = name_of(fd);
    int peer = client(&place);
    accept_one('a', fd);
    submit_and_show(1);
    put(peer, "hello");
    drop(peer);
    peer_reads(last_accepted(), 0);
}

const struct vector stream_vectors[] = {
    { "stream/half-close", half_close },
    { "stream/half-close-unix", half_close_unix },
    { "stream/both-at-once", both_at_once },
    { "stream/close-keeps-what-was-sent", close_keeps_what_was_sent },
    { "stream/close-keeps-all-that-was-sent", close_keeps_all_that_was_sent },
    { "stream/close-unix-keeps-all", close_unix_keeps_all },
    { "stream/close-with-unread", close_with_unread },
    { "stream/close-with-unread-after-sending", close_with_unread_after_sending },
    { "stream/finish-then-close-with-unread", finish_then_close_with_unread },
    { "stream/finish-then-close", finish_then_close },
    { "stream/more-finish-close-with-unread", more_finish_close_with_unread },
    { "stream/more-close-with-unread", more_close_with_unread },
    { "stream/data-after-close", data_after_close },
    { "stream/data-after-close-unix", data_after_close_unix },
    { "stream/data-after-finish-and-close", data_after_finish_and_close },
    { "stream/data-after-shutdown-of-reading", data_after_shutdown_of_reading },
    { "stream/data-after-shutdown-of-reading-unix", data_after_shutdown_of_reading_unix },
    { "stream/both-directions-at-once", both_directions_at_once },
    { "stream/both-directions-with-unread", both_directions_with_unread },
    { "stream/reset-while-bulk-is-there", reset_while_bulk_is_there },
    { "stream/ping-pong", ping_pong },
    { "stream/over-ipv6", over_ipv6 },
    { 0 },
};
