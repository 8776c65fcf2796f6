/* Receives of one message each. */
#include "conformance.h"

static void data(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    put(pair.b, "hello");
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void waits(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    none();
    put(pair.b, "hello");
    show(1);
}

static void waits_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(2);
    receive('r', pair.a, 0);
    submit();
    none();
    put(pair.b, "hello");
    show(1);
}

static void longer_than_buffers(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "0123456789abcdef0123456789abcdef0123456");
    for (int i = 0; i < 3; i++) {
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

static void as_long_as_a_buffer(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "0123456789abcdef");
    receive('r', pair.a, 0);
    submit_and_show(1);
}

/* Pieces that lie there together are one message. */
static void several_pieces(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "one ");
    put(pair.b, "two ");
    put(pair.b, "three");
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void several_pieces_on_unix(void)
{
    struct pair pair = pair_unix();
    buffers(4);
    put(pair.b, "one ");
    put(pair.b, "two");
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void length_limits(void)
{
    struct pair pair = pair_tcp();
    buffers(4);
    put(pair.b, "0123456789");
    receive('r', pair.a, 0)->len = 4;
    submit_and_show(1);
    receive('s', pair.a, 0)->len = 100;
    submit_and_show(1);
}

static void no_buffers(void)
{
    struct pair pair = pair_tcp();
    buffers(0);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void no_buffers_with_data(void)
{
    struct pair pair = pair_tcp();
    buffers(0);
    put(pair.b, "hello");
    receive('r', pair.a, 0);
    submit_and_show(1);
    group_give(0, 5);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void no_buffers_at_the_end(void)
{
    struct pair pair = pair_tcp();
    buffers(0);
    drop(pair.b);
    settle();
    receive('r', pair.a, 0);
    submit_and_show(1);
}

/* Two receives wait, and there is one buffer: it is taken when there is data, not before. */
static void last_buffer_is_shared(void)
{
    struct pair first = pair_tcp(), second = pair_tcp();
    buffers(1);
    receive('r', first.a, 0);
    receive('s', second.a, 0);
    submit();
    none();
    put(second.b, "second");
    show(1);
    put(first.b, "first");
    show(1);
}

static void no_group(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "hello");
    receive('r', pair.a, 3);
    submit_and_show(1);
}

static void buffers_in_their_order(void)
{
    struct pair pair = pair_tcp();
    buffers(0);
    group_give(0, 6);
    group_give(0, 2);
    group_give(0, 4);
    for (int i = 0; i < 3; i++) {
        put(pair.b, "x");
        receive('r', pair.a, 0);
        submit_and_show(1);
    }
}

static void buffer_given_again(void)
{
    struct pair pair = pair_tcp();
    buffers(1);
    for (int i = 0; i < 10; i++) { /* more often than the ring has entries */
        put(pair.b, i % 2 == 0 ? "even" : "odd");
        receive('r', pair.a, 0);
        submit_and_show(1);
        group_give(0, 0);
    }
}

static void two_groups(void)
{
    struct pair pair = pair_tcp();
    buffers(1);
    say("group 1: %s", outcome(group_open(1, 4, 32)));
    group_give(1, 3);
    put(pair.b, "0123456789abcdef0123456789abcdef0123456789abcdef");
    receive('r', pair.a, 1);
    submit_and_show(1);
    receive('s', pair.a, 0);
    submit_and_show(1);
    receive('t', pair.a, 1);
    submit_and_show(1);
}

static void plain(void)
{
    struct pair pair = pair_tcp();
    receive_plain('r', pair.a, 60);
    submit();
    none();
    put(pair.b, "hello");
    show(1);
}

static void plain_in_parts(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "0123456789");
    for (int i = 0; i < 3; i++) {
        receive_plain('r', pair.a, 4);
        submit_and_show(1);
    }
}

static void plain_end(void)
{
    struct pair pair = pair_tcp();
    drop(pair.b);
    settle();
    receive_plain('r', pair.a, 4);
    submit_and_show(1);
}

static void plain_of_nothing(void)
{
    struct pair pair = pair_tcp();
    put(pair.b, "hello");
    receive_plain('r', pair.a, 0);
    submit_and_show(1);
}

const struct vector receive_vectors[] = {
    { "receive/data", data },
    { "receive/waits", waits },
    { "receive/waits-on-unix", waits_on_unix },
    { "receive/longer-than-buffers", longer_than_buffers },
    { "receive/as-long-as-a-buffer", as_long_as_a_buffer },
    { "receive/several-pieces", several_pieces },
    { "receive/several-pieces-on-unix", several_pieces_on_unix },
    { "receive/length-limits", length_limits },
    { "receive/no-buffers", no_buffers },
    { "receive/no-buffers-with-data", no_buffers_with_data },
    { "receive/no-buffers-at-the-end", no_buffers_at_the_end },
    { "receive/last-buffer-is-shared", last_buffer_is_shared },
    { "receive/no-group", no_group },
    { "receive/buffers-in-their-order", buffers_in_their_order },
    { "receive/buffer-given-again", buffer_given_again },
    { "receive/two-groups", two_groups },
    { "receive/plain", plain },
    { "receive/plain-in-parts", plain_in_parts },
    { "receive/plain-end", plain_end },
    { "receive/plain-of-nothing", plain_of_nothing },
    { 0 },
};
