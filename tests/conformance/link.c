/* Chains of linked operations. */
#include <errno.h>

#include "conformance.h"

static void all(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', pair.a, "one "));
    link_next(transmit('t', pair.a, "two "));
    transmit('u', pair.a, "three");
    submit();
    show_in_order(3);
    peer_reads(pair.b, 13);
}

static void bulk_in_order(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    link_next(transmit('t', pair.a, "one "));
    transmit('u', pair.a, "two");
    submit();
    none();
    drain(pair.b, bulk_size);
    peer_reads(pair.b, 7);
    show_in_order(3);
}

static void first_fails(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_WR);
    link_next(transmit('s', pair.a, "one "));
    link_next(transmit('t', pair.a, "two "));
    transmit('u', pair.a, "three");
    submit();
    show_in_order(3);
}

static void middle_fails(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', pair.a, "one "));
    link_next(transmit('t', 999, "two "));
    transmit('u', pair.a, "three");
    submit();
    show_in_order(3);
    peer_reads(pair.b, 0);
}

/* Without MSG_WAITALL a short send is none that has failed: the chain goes on. */
static void short_without_waitall(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a))->msg_flags = MSG_NOSIGNAL;
    nop('n');
    submit();
    show_in_order(2);
}

static void blocked_then_reset(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    link_next(transmit('t', pair.a, "one "));
    nop('u');
    submit();
    none();
    drop(pair.b);
    show_in_order(3);
}

static void blocked_then_shutdown(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    transmit('t', pair.a, "one ");
    submit();
    none();
    sys_shutdown(pair.a, SHUT_RDWR);
    show_in_order(2);
}

static void close_behind(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', pair.a, "hello"));
    close_fd('k', pair.a);
    submit();
    show_in_order(2);
    peer_reads(pair.b, 0);
    say("the fd: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
}

static void close_behind_bulk(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    close_fd('k', pair.a);
    submit();
    none();
    drain(pair.b, bulk_size);
    peer_reads(pair.b, 0);
    show_in_order(2);
}

static void close_cancelled(void)
{
    struct pair pair = pair_tcp();
    sys_shutdown(pair.a, SHUT_WR);
    link_next(transmit('s', pair.a, "hello"));
    close_fd('k', pair.a);
    submit();
    show_in_order(2);
    say("close: %s", outcome(sys_close(pair.a)));
}

static void close_cancelled_after_part(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    close_fd('k', pair.a);
    submit();
    none();
    drop(pair.b);
    show_in_order(2);
    say("close: %s", outcome(sys_close(pair.a)));
}

static void close_cancelled_by_cancel(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    close_fd('k', pair.a);
    submit();
    none();
    cancel('c', 's');
    submit_and_show(3);
    say("close: %s", outcome(sys_close(pair.a)));
}

/* A chain ends where a submission does. What is left of it goes to a worker of the kernel's, so
 * that it may end later than what follows. */
static void ends_with_the_submission(void)
{
    link_next(transmit('s', 999, "x"));
    submit();
    nop('n');
    submit_and_show(2);
}

static void last_is_linked(void)
{
    nop('m');
    link_next(nop('n'));
    submit_and_show(2);
}

/* The kernel is asked to take the first only. */
static void cut_by_the_count(void)
{
    link_next(transmit('s', 999, "x"));
    nop('n');
    __atomic_store_n(mine.uring.sq.ktail, mine.tail, __ATOMIC_RELEASE);
    say("enter: %s", outcome(sys_ring_enter(mine.fd, 1, 0, IORING_ENTER_GETEVENTS, 0)));
    show_in_order(1);
    submit();
    show_in_order(1);
}

static void two_chains(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', 999, "one "));
    transmit('t', pair.a, "two ");
    link_next(transmit('u', pair.a, "three "));
    transmit('v', pair.a, "four");
    submit_and_show(4);
    peer_reads(pair.b, 10);
}

static void bad_opcode_first(void)
{
    link_next(nop('m'))->opcode = 255;
    nop('n');
    submit();
    show_in_order(2);
}

/* What cannot even be begun fails its whole chain. */
static void bad_opcode_last(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', pair.a, "one "));
    nop('m')->opcode = 255;
    nop('n');
    submit();
    show(3);
    peer_reads(pair.b, 0);
}

static void bad_field_last(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit('s', pair.a, "one "));
    transmit('t', pair.a, "two ")->ioprio = 1 << 14;
    submit();
    show(2);
    peer_reads(pair.b, 0);
}

static void cancel_the_first(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    link_next(transmit('t', pair.a, "one "));
    transmit('u', pair.a, "two");
    submit();
    none();
    cancel('c', 's');
    submit_and_show(4);
}

/* One that has not begun is not found. */
static void cancel_the_second(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    transmit('t', pair.a, "one ");
    submit();
    none();
    cancel('c', 't');
    submit_and_show(1);
    drain(pair.b, bulk_size);
    peer_reads(pair.b, 4);
    show_in_order(2);
}

/* As the library does: all of a chain have the same user_data. */
static void cancel_by_common_name(void)
{
    struct pair pair = pair_tcp();
    link_next(transmit_bulk('s', pair.a));
    link_next(transmit_bulk('s', pair.a));
    transmit_bulk('s', pair.a);
    submit();
    none();
    cancel('c', 's');
    submit_and_show(4);
}

static void cancelled_when_full(void)
{
    struct pair pair = pair_full(false);
    link_next(transmit('s', pair.a, "x"));
    transmit('t', pair.a, "y");
    submit();
    none();
    cancel('c', 's');
    submit_and_show(3);
}

const struct vector link_vectors[] = {
    { "link/all", all },
    { "link/bulk-in-order", bulk_in_order },
    { "link/first-fails", first_fails },
    { "link/middle-fails", middle_fails },
    { "link/short-without-waitall", short_without_waitall },
    { "link/blocked-then-reset", blocked_then_reset },
    { "link/blocked-then-shutdown", blocked_then_shutdown },
    { "link/close-behind", close_behind },
    { "link/close-behind-bulk", close_behind_bulk },
    { "link/close-cancelled", close_cancelled },
    { "link/close-cancelled-after-part", close_cancelled_after_part },
    { "link/close-cancelled-by-cancel", close_cancelled_by_cancel },
    { "link/ends-with-the-submission", ends_with_the_submission },
    { "link/last-is-linked", last_is_linked },
    { "link/cut-by-the-count", cut_by_the_count },
    { "link/two-chains", two_chains },
    { "link/bad-opcode-first", bad_opcode_first },
    { "link/bad-opcode-last", bad_opcode_last },
    { "link/bad-field-last", bad_field_last },
    { "link/cancel-the-first", cancel_the_first },
    { "link/cancel-the-second", cancel_the_second },
    { "link/cancel-by-common-name", cancel_by_common_name },
    { "link/cancelled-when-full", cancelled_when_full },
    { 0 },
};
