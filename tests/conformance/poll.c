/* Polls of eventfds, which are never read: each signal completes a poll. */
#include <errno.h>
#include <poll.h>

#include "conformance.h"

static void one(void)
{
    int event = keep(sys_event_fd());
    poll_one('p', event);
    submit();
    none();
    sys_event_signal(event);
    show(1);
    sys_event_signal(event);
    none();
}

static void signalled_before(void)
{
    int event = keep(sys_event_fd());
    sys_event_signal(event);
    for (int i = 0; i < 2; i++) {
        poll_one('p', event);
        submit_and_show(1);
    }
}

static void several(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    none();
    for (int i = 0; i < 3; i++) {
        sys_event_signal(event);
        show(1);
        none();
    }
}

static void two_signals_at_once(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    sys_event_signal(event);
    sys_event_signal(event);
    show(1);
    none();
}

static void many_signals_at_once(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    for (int i = 0; i < 20; i++)
        sys_event_signal(event);
    show(1);
    none();
    sys_event_signal(event);
    show(1);
}

static void multi_signalled_before(void)
{
    int event = keep(sys_event_fd());
    sys_event_signal(event);
    poll_multi('p', event);
    submit_and_show(1);
    none();
    sys_event_signal(event);
    show(1);
}

static void two_polls(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    poll_one('q', event);
    submit();
    sys_event_signal(event);
    show(2);
    sys_event_signal(event);
    show(1);
}

static void cancelled_then_again(void)
{
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    cancel('c', 'p');
    submit_and_show(2);
    sys_event_signal(event);
    none();
    poll_multi('p', event);
    submit_and_show(1);
}

static void signalled_unseen_at_cancel(void)
{
    int event = keep(sys_event_fd());
    poll_one('p', event);
    submit();
    sys_event_signal(event);
    settle();
    flush_cq();
    cancel('c', 'p');
    submit_and_show(2);
}

static void closed_in_flight(void)
{
    int event = keep(sys_event_fd());
    poll_one('p', event);
    submit();
    say("close: %s", outcome(drop(event)));
    none();
    cancel('c', 'p');
    submit_and_show(2);
}

static void bad_fd(void)
{
    poll_one('p', 999);
    poll_multi('q', 999);
    submit_and_show(2);
}

static void bad_fields(void)
{
    int event = keep(sys_event_fd());
    poll_one('p', event)->len = 1U << 30;
    submit_and_show(1);
}

/* One that finds the CQ full has ended. */
static void overflow(void)
{
    ring_reopen(2, 2);
    int event = keep(sys_event_fd());
    poll_multi('p', event);
    submit();
    nop('n');
    nop('n');
    submit();
    settle();
    flush_cq();
    sys_event_signal(event);
    settle();
    flush_cq();
    show_in_order(3);
    sys_event_signal(event);
    none();
}

const struct vector poll_vectors[] = {
    { "poll/one", one },
    { "poll/signalled-before", signalled_before },
    { "poll/several", several },
    { "poll/two-signals-at-once", two_signals_at_once },
    { "poll/many-signals-at-once", many_signals_at_once },
    { "poll/multi-signalled-before", multi_signalled_before },
    { "poll/two-polls", two_polls },
    { "poll/cancelled-then-again", cancelled_then_again },
    { "poll/signalled-unseen-at-cancel", signalled_unseen_at_cancel },
    { "poll/closed-in-flight", closed_in_flight },
    { "poll/bad-fd", bad_fd },
    { "poll/bad-fields", bad_fields },
    { "poll/overflow", overflow },
    { 0 },
};
