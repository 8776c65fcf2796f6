/* Cancelling, and closing by the ring. */
#include <errno.h>

#include "conformance.h"

static void not_found(void)
{
    cancel('c', 'z');
    submit_and_show(1);
}

static void a_receive(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    cancel('c', 'r');
    submit_and_show(2);
}

static void a_receive_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    cancel('c', 'r');
    submit_and_show(2);
}

static void in_one_submission(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    cancel('c', 'r');
    submit_and_show(2);
}

static void takes_no_buffer(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    cancel('c', 'r');
    submit_and_show(2);
    put(pair.b, "hello");
    receive('s', pair.a, 0);
    submit_and_show(1);
}

static void one_of_two(void)
{
    struct pair first = pair_tcp(), second = pair_tcp();
    buffers(2);
    receive('r', first.a, 0);
    receive('r', second.a, 0);
    submit();
    cancel('c', 'r');
    submit_and_show(2);
    none();
    cancel('c', 'r');
    submit_and_show(2);
    cancel('c', 'r');
    submit_and_show(1);
}

static void twice(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    cancel('c', 'r');
    cancel('d', 'r');
    submit_and_show(3);
}

static void done_already(void)
{
    nop('n');
    submit_and_show(1);
    cancel('c', 'n');
    submit_and_show(1);
}

/* Its completion lies in the CQ, not taken out yet. */
static void done_unseen(void)
{
    nop('n');
    submit();
    settle();
    flush_cq();
    cancel('c', 'n');
    submit_and_show(2);
}

static void data_unseen(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    put(pair.b, "hello");
    flush_cq();
    cancel('c', 'r');
    submit_and_show(2);
}

static void end_unseen(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0);
    submit();
    drop(pair.b);
    settle();
    flush_cq();
    cancel('c', 'r');
    submit_and_show(2);
}

static void a_blocked_send(void)
{
    struct pair pair = pair_full(false);
    transmit('s', pair.a, "x");
    submit();
    cancel('c', 's');
    submit_and_show(2);
}

static void a_partly_done_send(void)
{
    struct pair pair = pair_tcp();
    transmit_bulk('s', pair.a);
    submit();
    none();
    cancel('c', 's');
    submit_and_show(2);
}

static void a_send_on_unix(void)
{
    struct pair pair = pair_full(true);
    transmit('s', pair.a, "x");
    submit();
    cancel('c', 's');
    submit_and_show(2);
}

static void an_accept(void)
{
    struct place place = loopback(0);
    accept_one('a', listener(&place, 1));
    submit();
    cancel('c', 'a');
    submit_and_show(2);
}

static void a_multishot_accept(void)
{
    struct place place = loopback(0);
    accept_multi('a', listener(&place, 1));
    submit();
    cancel('c', 'a');
    submit_and_show(2);
}

static void a_poll(void)
{
    poll_one('p', keep(sys_event_fd()));
    submit();
    cancel('c', 'p');
    submit_and_show(2);
}

static void a_multishot_poll(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    sys_event_signal(event);
    show(1);
    cancel('c', 'p');
    submit_and_show(2);
}

static void itself(void)
{
    cancel('c', 'c');
    submit_and_show(1);
}

static void bad_flags(void)
{
    cancel('c', 'z')->cancel_flags = 1U << 31;
    submit_and_show(1);
}

/* In a chain a cancel that has not found anything fails. */
static void linked(void)
{
    link_next(cancel('c', 'z'));
    nop('n');
    submit();
    show_in_order(2);
}

static void then_receives_again(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0);
    submit();
    cancel('c', 'r');
    receive_multi('s', pair.a, 0);
    submit_and_show(2);
    put(pair.b, "hello");
    show(1);
}

static void close_by_ring(void)
{
    struct pair pair = pair_tcp();
    close_fd('k', pair.a);
    submit_and_show(1);
    peer_reads(pair.b, 0);
}

static void close_of_nothing(void)
{
    close_fd('k', 999);
    submit_and_show(1);
}

static void close_twice(void)
{
    struct pair pair = pair_tcp();
    close_fd('k', pair.a);
    close_fd('l', pair.a);
    submit_and_show(2);
    say("close: %s", outcome(sys_close(pair.a)));
}

static void close_bad_fields(void)
{
    struct pair pair = pair_tcp();
    close_fd('k', pair.a)->len = 1;
    submit_and_show(1);
    say("close: %s", outcome(sys_close(pair.a)));
}

static void close_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0);
    submit();
    close_fd('k', pair.a);
    submit_and_show(1);
    receive_plain('p', pair.b, 60); /* the peer hears nothing, until the receive has gone */
    submit();
    none();
    cancel('c', 'r');
    submit_and_show(3);
}

static void close_with_unread(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "unread");
    close_fd('k', pair.a);
    submit_and_show(1);
    peer_reads(pair.b, 0);
}

static void close_of_a_listener_in_flight(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 4);
    place = name_of(fd);
    accept_multi('a', fd);
    submit();
    close_fd('k', fd);
    submit_and_show(1);
    client(&place); /* let in nevertheless */
    show(1);
    cancel('c', 'a');
    submit_and_show(2);
    connect_to('n', keep(sys_socket(AF_INET, 0)), &place);
    submit_and_show(1);
}

/* What is linked begins when the first has ended, and not before its owner has done that. */
static void between_two_links(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    link_next(nop('n'));
    receive('r', pair.a, 0);
    cancel('c', 'r');
    submit_and_show(2);
    none();
    put(pair.b, "hello");
    show(1);
}

static void after_a_link(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    link_next(nop('n'));
    receive('r', pair.a, 0);
    submit_and_show(1);
    settle();
    flush_cq();
    cancel('c', 'r');
    submit_and_show(2);
}

const struct vector cancel_vectors[] = {
    { "cancel/not-found", not_found },
    { "cancel/a-receive", a_receive },
    { "cancel/a-receive-on-unix", a_receive_on_unix },
    { "cancel/in-one-submission", in_one_submission },
    { "cancel/takes-no-buffer", takes_no_buffer },
    { "cancel/one-of-two", one_of_two },
    { "cancel/twice", twice },
    { "cancel/done-already", done_already },
    { "cancel/done-unseen", done_unseen },
    { "cancel/data-unseen", data_unseen },
    { "cancel/end-unseen", end_unseen },
    { "cancel/a-blocked-send", a_blocked_send },
    { "cancel/a-partly-done-send", a_partly_done_send },
    { "cancel/a-send-on-unix", a_send_on_unix },
    { "cancel/an-accept", an_accept },
    { "cancel/a-multishot-accept", a_multishot_accept },
    { "cancel/a-poll", a_poll },
    { "cancel/a-multishot-poll", a_multishot_poll },
    { "cancel/itself", itself },
    { "cancel/bad-flags", bad_flags },
    { "cancel/linked", linked },
    { "cancel/between-two-links", between_two_links },
    { "cancel/after-a-link", after_a_link },
    { "cancel/then-receives-again", then_receives_again },
    { "close/by-ring", close_by_ring },
    { "close/of-nothing", close_of_nothing },
    { "close/twice", close_twice },
    { "close/bad-fields", close_bad_fields },
    { "close/in-flight", close_in_flight },
    { "close/with-unread", close_with_unread },
    { "close/of-a-listener-in-flight", close_of_a_listener_in_flight },
    { 0 },
};
