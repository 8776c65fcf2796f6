/* Tasks: groups, events, time, cancelling at every wait, threads, and what weir_run() promises. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define MS WEIR_MILLISECOND

/* ThreadSanitizer knows at most 8,128 tasks at a time, and is slow to make one. */
#ifdef __SANITIZE_THREAD__
enum { FEWER = 20 };
#else
enum { FEWER = 1 };
#endif

/* ---- Helpers ----------------------------------------------------------------------------------*/

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * WEIR_SECOND + time.tv_nsec;
}

/* What tasks did, in the order in which they did it. */
struct journal {
    char text[256];
};

static void note(struct journal *journal, char what)
{
    size_t size = strlen(journal->text);
    cr_assert(lt(sz, size + 1, sizeof journal->text));
    journal->text[size] = what;
    journal->text[size + 1] = '\0';
}

static void start(struct weir_group *group, weir_task_fn *body, void *argument)
{
    expect_result(weir_group_start(group, body, argument), 0);
}

/* Sleeps, then returns `result`. */
struct sleeper {
    int64_t duration;
    int result;
    struct journal *journal;
    char name;
    int slept; /* what the sleep returned */
};

static int sleep_task(void *argument)
{
    struct sleeper *sleeper = argument;
    sleeper->slept = weir_sleep(sleeper->duration);
    if (sleeper->journal != NULL)
        note(sleeper->journal, sleeper->name);
    return sleeper->slept < 0 ? sleeper->slept : sleeper->result;
}

static int set_flag(void *argument)
{
    *(bool *)argument = true;
    return 0;
}

static int return_argument(void *argument)
{
    return *(int *)argument;
}

/* ---- Groups -----------------------------------------------------------------------------------*/

TaskTest(task, group_wait_returns_when_the_last_has_ended)
{
    struct journal journal = { "" };
    struct sleeper sleepers[] = { { 5 * MS, 0, &journal, 'a', 1 },
                                  { 15 * MS, 0, &journal, 'b', 1 },
                                  { 0, 0, &journal, 'c', 1 } };
    struct weir_group group = { 0 };
    for (int i = 0; i < 3; i++)
        start(&group, sleep_task, &sleepers[i]);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(str, journal.text, "cab"));
    return 0;
}

TaskTest(task, group_empty)
{
    struct weir_group group = { 0 };
    expect_result(weir_group_wait(&group), 0);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

TaskTest(task, group_may_be_used_again)
{
    int error = -ENOENT, ok = 0;
    struct weir_group group = { 0 };
    start(&group, return_argument, &error);
    expect_result(weir_group_wait(&group), -ENOENT);
    start(&group, return_argument, &ok);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

TaskTest(task, group_start_runs_in_the_next_turn)
{
    bool ran = false;
    struct weir_group group = { 0 };
    start(&group, set_flag, &ran);
    cr_assert(not(ran), "it ran within weir_group_start()");
    expect_result(weir_yield(), 0);
    cr_assert(ran);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

TaskTest(task, group_first_failure_cancels_the_others)
{
    struct sleeper failing = { .duration = 2 * MS, .result = -ENOENT };
    struct sleeper one = { .duration = 10 * WEIR_SECOND }, other = one;
    struct weir_group group = { 0 };
    start(&group, sleep_task, &one);
    start(&group, sleep_task, &failing);
    start(&group, sleep_task, &other);
    int64_t began = now();
    expect_result(weir_group_wait(&group), -ENOENT);
    cr_assert(lt(i64, now() - began, WEIR_SECOND));
    expect_result(one.slept, -ECANCELED);
    expect_result(other.slept, -ECANCELED);
    return 0;
}

/* A task that is cancelled and then fails in its own way does not replace the first error. */
static int fail_when_cancelled(void *argument)
{
    int rc = weir_sleep(10 * WEIR_SECOND);
    *(int *)argument = rc;
    return -EIO;
}

TaskTest(task, group_keeps_the_first_error)
{
    int slept = 0;
    struct sleeper failing = { .result = -ENOENT };
    struct weir_group group = { 0 };
    start(&group, fail_when_cancelled, &slept);
    start(&group, sleep_task, &failing);
    expect_result(weir_group_wait(&group), -ENOENT);
    expect_result(slept, -ECANCELED);
    return 0;
}

TaskTest(task, group_cancel)
{
    struct sleeper sleepers[3] = { { .duration = WEIR_SECOND },
                                   { .duration = WEIR_SECOND },
                                   { .duration = WEIR_SECOND } };
    struct weir_group group = { 0 };
    for (int i = 0; i < 3; i++)
        start(&group, sleep_task, &sleepers[i]);
    expect_result(weir_sleep(MS), 0);
    weir_group_cancel(&group);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), -ECANCELED); /* as their tasks returned */
    for (int i = 0; i < 3; i++)
        expect_result(sleepers[i].slept, -ECANCELED);
    return 0;
}

/* Cancelled before its first turn, a task still runs, and its first wait says so. */
TaskTest(task, group_cancel_before_the_first_turn)
{
    struct sleeper sleeper = { .duration = WEIR_SECOND, .slept = 1 };
    struct weir_group group = { 0 };
    start(&group, sleep_task, &sleeper);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), -ECANCELED);
    expect_result(sleeper.slept, -ECANCELED);
    return 0;
}

/* The cancel stays: every later wait of the task returns it, too. */
static int wait_three_times(void *argument)
{
    int *results = argument;
    struct weir_event never = { 0 };
    results[0] = weir_sleep(WEIR_SECOND);
    results[1] = weir_event_wait(&never);
    results[2] = weir_yield();
    return 0;
}

TaskTest(task, cancel_stays)
{
    int results[3] = { 1, 1, 1 };
    struct weir_group group = { 0 };
    start(&group, wait_three_times, results);
    expect_result(weir_sleep(MS), 0);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < 3; i++)
        expect_result(results[i], -ECANCELED);
    return 0;
}

/* A task whose group_wait() is cancelled cancels its own tasks, and still waits for them: what they
 * point to lies on its stack. */
struct nested {
    struct sleeper inner;
    bool cleaned;
    int waited;
};

static int slow_to_end(void *argument)
{
    struct nested *nested = argument;
    nested->inner.slept = weir_sleep(10 * WEIR_SECOND);
    for (int i = 0; i < 1000; i++)
        cr_assert(eq(int, weir_yield(), -ECANCELED));
    nested->cleaned = true;
    return nested->inner.slept;
}

static int wait_for_nested(void *argument)
{
    struct nested *nested = argument;
    struct weir_group group = { 0 };
    start(&group, slow_to_end, nested);
    nested->waited = weir_group_wait(&group);
    cr_assert(nested->cleaned, "it did not wait for its task to end");
    return nested->waited;
}

TaskTest(task, group_wait_cancelled)
{
    struct nested nested = { .waited = 1 };
    struct weir_group group = { 0 };
    start(&group, wait_for_nested, &nested);
    expect_result(weir_sleep(MS), 0);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), -ECANCELED);
    expect_result(nested.waited, -ECANCELED);
    expect_result(nested.inner.slept, -ECANCELED);
    return 0;
}

TaskTest(task, group_wait_past_a_deadline)
{
    struct sleeper sleeper = { .duration = 10 * WEIR_SECOND };
    struct weir_group group = { 0 };
    start(&group, sleep_task, &sleeper);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 2 * MS);
    expect_result(weir_timeout_stop(&timeout, weir_group_wait(&group)), -ETIMEDOUT);
    expect_result(sleeper.slept, -ECANCELED); /* the timeout is the waiter's, not the task's */
    expect_result(weir_sleep(MS), 0);
    return 0;
}

/* Woken by its tasks' end and by the cancel in the same turn, it is woken once. */
static int end_when_told(void *argument)
{
    return weir_event_wait(argument);
}

static int wait_for_one(void *argument)
{
    struct weir_group group = { 0 };
    start(&group, end_when_told, argument);
    return weir_group_wait(&group);
}

TaskTest(task, group_wait_cancelled_as_its_last_task_ends)
{
    for (int i = 0; i < 2; i++) {
        struct weir_event end = { 0 };
        struct weir_group group = { 0 };
        start(&group, wait_for_one, &end);
        settle();
        if (i == 0)
            weir_event_set(&end); /* the task ends in the next turn, with the waiter cancelled */
        weir_group_cancel(&group);
        if (i == 1)
            weir_event_set(&end);
        int rc = weir_group_wait(&group);
        cr_assert(rc == 0 || rc == -ECANCELED, "%d", rc);
    }
    return 0;
}

static int hold_the_loop(void *unused)
{
    (void)unused;
    usleep(40 * 1000);
    return 0;
}

/* Seen late: both are over, and the one that ends first counts, whatever alarm was left behind. */
TaskTest(task, late_turn_keeps_the_order_of_ends)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 5 * MS);
    weir_timeout_stop(&timeout, 0);
    weir_timeout_start(&timeout, 25 * MS);
    struct weir_group group = { 0 };
    start(&group, hold_the_loop, NULL);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(10 * MS)), 0);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

/* ---- Events -----------------------------------------------------------------------------------*/

struct event_waiter {
    struct weir_event *event;
    int result;
    bool ended;
};

static int wait_event(void *argument)
{
    struct event_waiter *waiter = argument;
    waiter->result = weir_event_wait(waiter->event);
    waiter->ended = true;
    return waiter->result;
}

TaskTest(task, event_set_wakes_all)
{
    struct weir_event event = { 0 };
    struct event_waiter waiters[5];
    struct weir_group group = { 0 };
    for (int i = 0; i < 5; i++) {
        waiters[i] = (struct event_waiter){ .event = &event };
        start(&group, wait_event, &waiters[i]);
    }
    settle();
    for (int i = 0; i < 5; i++)
        cr_assert(not(waiters[i].ended));
    weir_event_set(&event);
    weir_event_set(&event);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

/* As in an array that grows: an event that nobody waits for is nothing but its members. */
TaskTest(task, event_moves_while_nobody_waits)
{
    struct weir_event events[2] = { 0 };
    struct weir_group group = { 0 };
    for (int i = 0; i < 2; i++) {
        struct event_waiter waiter = { .event = &events[i] };
        expect_result(weir_group_start(&group, wait_event, &waiter), 0);
        settle();
        weir_event_set(&events[i]);
        expect_result(weir_group_wait(&group), 0);
        expect_result(waiter.result, 0);
        weir_event_clear(&events[i]);
        events[1] = events[0];
    }
    return 0;
}

TaskTest(task, event_that_is_set_does_not_wait)
{
    struct weir_event event = { 0 };
    weir_event_set(&event);
    expect_result(weir_event_wait(&event), 0);
    expect_result(weir_event_wait(&event), 0);
    weir_event_clear(&event);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 2 * MS);
    expect_result(weir_timeout_stop(&timeout, weir_event_wait(&event)), -ETIMEDOUT);
    return 0;
}

/* As in asyncio: who was woken stays woken, even if the event is cleared before it runs. */
TaskTest(task, event_set_and_cleared_at_once)
{
    struct weir_event event = { 0 };
    struct event_waiter waiter = { .event = &event };
    struct weir_group group = { 0 };
    start(&group, wait_event, &waiter);
    settle();
    weir_event_set(&event);
    weir_event_clear(&event);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

TaskTest(task, event_cancelled_waiter_leaves_the_others)
{
    struct weir_event event = { 0 };
    struct event_waiter one = { .event = &event }, other = { .event = &event };
    struct weir_group group_one = { 0 }, group_other = { 0 };
    start(&group_one, wait_event, &one);
    start(&group_other, wait_event, &other);
    settle();
    weir_group_cancel(&group_one);
    expect_result(weir_group_wait(&group_one), -ECANCELED);
    cr_assert(not(other.ended));
    weir_event_set(&event);
    expect_result(weir_group_wait(&group_other), 0);
    return 0;
}

/* ---- Time -------------------------------------------------------------------------------------*/

struct turns {
    struct journal *journal;
    char name;
};

static int yield_three_times(void *argument)
{
    struct turns *turns = argument;
    for (int i = 0; i < 3; i++) {
        note(turns->journal, turns->name);
        expect_result(weir_yield(), 0);
    }
    return 0;
}

TaskTest(task, yield_takes_turns)
{
    struct journal journal = { "" };
    struct turns a = { &journal, 'a' }, b = { &journal, 'b' }, c = { &journal, 'c' };
    struct weir_group group = { 0 };
    start(&group, yield_three_times, &a);
    start(&group, yield_three_times, &b);
    start(&group, yield_three_times, &c);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(str, journal.text, "abcabcabc"));
    return 0;
}

TaskTest(task, sleep_order)
{
    static const int durations[] = { 30, 10, 20, 0, 25, 5, -1 };
    struct journal journal = { "" };
    struct sleeper sleepers[7];
    struct weir_group group = { 0 };
    for (int i = 0; i < 7; i++) {
        sleepers[i] = (struct sleeper){ durations[i] * MS, 0, &journal, (char)('a' + i), 1 };
        start(&group, sleep_task, &sleepers[i]);
    }
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(str, journal.text, "dgfbcea"));
    return 0;
}

TaskTest(task, sleep_takes_its_time)
{
    int64_t began = now();
    expect_result(weir_sleep(20 * MS), 0);
    int64_t took = now() - began;
    cr_assert(ge(i64, took, 20 * MS));
    cr_assert(lt(i64, took, WEIR_SECOND));
    return 0;
}

/* Far more timers than fit any small table, in no order: they fire in the order of their time. */
struct timer_check {
    int64_t *last;
    int64_t deadline;
};

static int check_order(void *argument)
{
    struct timer_check *check = argument;
    expect_result(weir_sleep(check->deadline), 0);
    cr_assert(ge(i64, check->deadline, *check->last), "a later one fired first");
    *check->last = check->deadline;
    return 0;
}

TaskTest(task, sleep_order_of_many)
{
    enum { COUNT = 2000 };
    static struct timer_check checks[COUNT];
    int64_t last = 0;
    struct weir_group group = { 0 };
    for (int i = 0; i < COUNT; i++) {
        checks[i] = (struct timer_check){ &last, ((i * 7919) % COUNT) * (MS / 20) + 1 };
        start(&group, check_order, &checks[i]);
    }
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, last, (COUNT - 1) * (MS / 20) + 1));
    return 0;
}

TaskTest(task, timeout_fires)
{
    struct weir_timeout timeout;
    int64_t began = now();
    weir_timeout_start(&timeout, 5 * MS);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(10 * WEIR_SECOND)), -ETIMEDOUT);
    cr_assert(ge(i64, now() - began, 5 * MS));
    cr_assert(lt(i64, now() - began, WEIR_SECOND));
    expect_result(weir_sleep(MS), 0); /* and is over */
    return 0;
}

TaskTest(task, timeout_does_not_fire)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 5 * MS);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(MS)), 0);
    expect_result(weir_sleep(20 * MS), 0);
    return 0;
}

TaskTest(task, timeout_stop_returns_the_result)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, WEIR_SECOND);
    expect_result(weir_timeout_stop(&timeout, 1234567890123), 1234567890123);
    weir_timeout_start(&timeout, -1);
    expect_result(weir_timeout_stop(&timeout, -EIO), -EIO);
    return 0;
}

TaskTest(task, timeout_stays_fired_until_its_stop)
{
    struct weir_event never = { 0 };
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, MS);
    expect_result(weir_sleep(WEIR_SECOND), -ETIMEDOUT);
    expect_result(weir_sleep(WEIR_SECOND), -ETIMEDOUT);
    expect_result(weir_event_wait(&never), -ETIMEDOUT);
    expect_result(weir_timeout_stop(&timeout, 0), 0);
    expect_result(weir_sleep(MS), 0);
    return 0;
}

TaskTest(task, timeout_of_nothing_or_less_fires_at_the_first_wait)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 0);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(WEIR_SECOND)), -ETIMEDOUT);
    weir_timeout_start(&timeout, -WEIR_SECOND);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(WEIR_SECOND)), -ETIMEDOUT);
    return 0;
}

TaskTest(task, timeout_of_the_longest_duration)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, INT64_MAX);
    expect_result(weir_timeout_stop(&timeout, weir_sleep(MS)), 0);
    return 0;
}

TaskTest(task, timeout_inner_fires)
{
    struct weir_timeout outer, inner;
    weir_timeout_start(&outer, 10 * WEIR_SECOND);
    weir_timeout_start(&inner, 2 * MS);
    expect_result(weir_timeout_stop(&inner, weir_sleep(WEIR_SECOND)), -ETIMEDOUT);
    expect_result(weir_sleep(MS), 0); /* the outer one is untouched */
    expect_result(weir_timeout_stop(&outer, 0), 0);
    return 0;
}

TaskTest(task, timeout_outer_fires)
{
    struct weir_timeout outer, inner;
    weir_timeout_start(&outer, 2 * MS);
    weir_timeout_start(&inner, 10 * WEIR_SECOND);
    expect_result(weir_timeout_stop(&inner, weir_sleep(WEIR_SECOND)), -ETIMEDOUT);
    expect_result(weir_sleep(WEIR_SECOND), -ETIMEDOUT); /* still within the outer one */
    expect_result(weir_timeout_stop(&outer, 0), 0);
    expect_result(weir_sleep(MS), 0);
    return 0;
}

TaskTest(task, timeout_both_fire)
{
    struct weir_timeout outer, inner;
    weir_timeout_start(&outer, 3 * MS);
    weir_timeout_start(&inner, 2 * MS);
    expect_result(weir_sleep(WEIR_SECOND), -ETIMEDOUT);
    int64_t until = now() + 5 * MS;
    while (now() < until) /* the outer one passes meanwhile */
        ;
    expect_result(weir_timeout_stop(&inner, 0), 0);
    struct weir_event never = { 0 };
    expect_result(weir_event_wait(&never), -ETIMEDOUT);
    expect_result(weir_timeout_stop(&outer, 0), 0);
    expect_result(weir_sleep(MS), 0);
    return 0;
}

/* Two reasons to wake in the same turn wake once. */
TaskTest(task, timeout_and_sleep_end_together)
{
    for (int i = 0; i < 20; i++) {
        struct weir_timeout timeout;
        expect_result(weir_yield(), 0); /* both count from the turn's time */
        weir_timeout_start(&timeout, MS);
        ssize_t rc = weir_timeout_stop(&timeout, weir_sleep(MS));
        cr_assert(rc == 0 || rc == -ETIMEDOUT, "%zd", rc);
        expect_result(weir_sleep(MS), 0);
    }
    return 0;
}

struct told {
    struct weir_event event;
    int result;
};

static int wait_to_be_told(void *argument)
{
    struct told *told = argument;
    told->result = weir_event_wait(&told->event);
    return 0;
}

/* What came first counts, and comes once. */
TaskTest(task, event_set_and_cancel_together)
{
    for (int i = 0; i < 2; i++) {
        struct told told = { .result = 1 };
        struct weir_group group = { 0 };
        start(&group, wait_to_be_told, &told);
        settle();
        if (i == 0)
            weir_event_set(&told.event);
        weir_group_cancel(&group);
        if (i == 1)
            weir_event_set(&told.event);
        expect_result(weir_group_wait(&group), 0);
        expect_result(told.result, i == 0 ? 0 : -ECANCELED);
    }
    return 0;
}

TaskTest(task, timeout_started_after_another_stopped)
{
    for (int i = 0; i < 1000; i++) { /* no state is left from one to the next */
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, i % 2 ? -1 : WEIR_SECOND);
        expect_result(weir_timeout_stop(&timeout, weir_yield()), i % 2 ? -ETIMEDOUT : 0);
    }
    return 0;
}

static int sleep_in_timeout(void *argument)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 10 * WEIR_SECOND);
    *(int *)argument = (int)weir_timeout_stop(&timeout, weir_sleep(10 * WEIR_SECOND));
    return 0;
}

TaskTest(task, cancel_within_a_timeout)
{
    int slept = 0;
    struct weir_group group = { 0 };
    start(&group, sleep_in_timeout, &slept);
    expect_result(weir_sleep(MS), 0);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(slept, -ECANCELED);
    return 0;
}

TaskTest(task, wait_for)
{
    int forty_two = 42, error = -EIO;
    struct sleeper slow = { .duration = 10 * WEIR_SECOND }, quick = { .duration = MS };
    expect_result(weir_wait_for(WEIR_SECOND, return_argument, &forty_two), 42);
    expect_result(weir_wait_for(WEIR_SECOND, return_argument, &error), -EIO);
    expect_result(weir_wait_for(WEIR_SECOND, sleep_task, &quick), 0);
    expect_result(weir_wait_for(2 * MS, sleep_task, &slow), -ETIMEDOUT);
    expect_result(weir_sleep(MS), 0);
    return 0;
}

static int wait_for_inner(void *argument)
{
    struct sleeper slow = { .duration = 10 * WEIR_SECOND };
    int rc = weir_wait_for(2 * MS, sleep_task, &slow);
    *(int *)argument = rc;
    return weir_sleep(MS);
}

TaskTest(task, wait_for_nested)
{
    int inner = 0;
    expect_result(weir_wait_for(WEIR_SECOND, wait_for_inner, &inner), 0);
    expect_result(inner, -ETIMEDOUT);
    return 0;
}

/* ---- Cancelling at every wait -----------------------------------------------------------------
 * Each of these waits for good; cancelled, it returns -ECANCELED, at once, and breaks nothing. */

struct victim {
    struct pair pair;
    int (*wait)(struct victim *victim);
    int result;
    bool ended;
    char *data;
};

static int victim_task(void *argument)
{
    struct victim *victim = argument;
    victim->result = victim->wait(victim);
    victim->ended = true;
    return 0;
}

static void cancel_at(struct victim *victim, int (*wait)(struct victim *victim))
{
    struct weir_group group = { 0 };
    victim->wait = wait;
    victim->result = 1;
    victim->ended = false;
    start(&group, victim_task, victim);
    settle();
    cr_assert(not(victim->ended), "it does not wait: %d", victim->result);
    weir_group_cancel(&group);
    int64_t began = now();
    expect_result(weir_group_wait(&group), 0);
    cr_assert(lt(i64, now() - began, WEIR_SECOND));
    expect_result(victim->result, -ECANCELED);
}

static int at_sleep(struct victim *victim)
{
    return weir_sleep(10 * WEIR_SECOND);
}

static int at_yield(struct victim *victim)
{
    int rc;
    while ((rc = weir_yield()) == 0)
        ;
    return rc;
}

static int at_event(struct victim *victim)
{
    struct weir_event never = { 0 };
    return weir_event_wait(&never);
}

static int at_group_wait(struct victim *victim)
{
    struct sleeper sleeper = { .duration = 10 * WEIR_SECOND };
    struct weir_group group = { 0 };
    start(&group, sleep_task, &sleeper);
    return weir_group_wait(&group);
}

static int at_wait_signal(struct victim *victim)
{
    return weir_wait_signal(SIGUSR1, SIGUSR2);
}

TaskTest(task, cancel_at_sleep)
{
    struct victim victim = { .result = 1 };
    cancel_at(&victim, at_sleep);
    return 0;
}

TaskTest(task, cancel_at_yield)
{
    struct victim victim = { .result = 1 };
    cancel_at(&victim, at_yield);
    return 0;
}

TaskTest(task, cancel_at_event)
{
    struct victim victim = { .result = 1 };
    cancel_at(&victim, at_event);
    return 0;
}

TaskTest(task, cancel_at_group_wait)
{
    struct victim victim = { .result = 1 };
    cancel_at(&victim, at_group_wait);
    return 0;
}

TaskTest(task, cancel_at_wait_signal)
{
    struct victim victim = { .result = 1 };
    cancel_at(&victim, at_wait_signal);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    cr_assert(action.sa_handler == SIG_DFL, "the signal is still caught");
    return 0;
}

static int at_read(struct victim *victim)
{
    struct weir_slice data;
    return (int)weir_read(victim->pair.reader, 10, &data);
}

static int at_read_into(struct victim *victim)
{
    char buffer[10];
    return (int)weir_read_into(victim->pair.reader, buffer, sizeof buffer);
}

static int at_readline(struct victim *victim)
{
    struct weir_slice data;
    return (int)weir_readline(victim->pair.reader, &data);
}

static int at_readexactly(struct victim *victim)
{
    struct weir_slice data;
    return (int)weir_readexactly(victim->pair.reader, 10, &data);
}

static int at_readuntil(struct victim *victim)
{
    struct weir_slice data;
    return (int)weir_readuntil(victim->pair.reader, "XYZ", &data);
}

static int at_read_all(struct victim *victim)
{
    struct weir_slice data;
    return (int)weir_read(victim->pair.reader, WEIR_UNTIL_EOF, &data);
}

/* With this much received and not enough for the call, cancels it, and expects to find all. */
static void cancel_reading(int (*wait)(struct victim *victim), const char *received)
{
    struct victim victim = { .result = 1 };
    pair_open(&victim.pair, 0);
    feed(&victim.pair, received);
    for (int i = 0; i < 3; i++) /* again and again */
        cancel_at(&victim, wait);
    feed(&victim.pair, "rest");
    expect_next(victim.pair.reader, received);
    expect_next(victim.pair.reader, "rest");
    pair_close(&victim.pair);
}

TaskTest(task, cancel_at_read)
{
    cancel_reading(at_read, "");
    return 0;
}

TaskTest(task, cancel_at_read_into)
{
    cancel_reading(at_read_into, "");
    return 0;
}

TaskTest(task, cancel_at_readline)
{
    cancel_reading(at_readline, "part of a line");
    return 0;
}

TaskTest(task, cancel_at_readexactly)
{
    cancel_reading(at_readexactly, "nine byte");
    return 0;
}

TaskTest(task, cancel_at_readuntil)
{
    cancel_reading(at_readuntil, "a record and XY");
    return 0;
}

TaskTest(task, cancel_at_read_until_eof)
{
    cancel_reading(at_read_all, "some of the data");
    return 0;
}

enum { BIG = 200 * 1024 };

static void expect_sent(struct pair *pair, size_t size)
{
    char *got = malloc(size);
    peer_read(pair, got, size);
    expect_pattern(got, 0, size);
    free(got);
}

static int at_drain(struct victim *victim)
{
    return weir_drain(victim->pair.writer);
}

TaskTest(task, cancel_at_drain)
{
    struct victim victim = { .data = malloc(BIG) };
    pair_open(&victim.pair, 0);
    pair_narrow(&victim.pair);
    pattern_fill(victim.data, 0, BIG);
    expect_result(weir_write(victim.pair.writer, victim.data, BIG), 0);
    cancel_at(&victim, at_drain);
    free(victim.data);
    expect_sent(&victim.pair, BIG);
    expect_result(weir_drain(victim.pair.writer), 0);
    pair_close(&victim.pair);
    return 0;
}

static int at_write_all(struct victim *victim)
{
    return weir_write_all(victim->pair.writer, victim->data, BIG);
}

/* What had not left is copied and stays queued: whole, in order, and before what comes later. */
TaskTest(task, cancel_at_write_all)
{
    struct victim victim = { .data = malloc(BIG) };
    pair_open(&victim.pair, 0);
    pair_narrow(&victim.pair);
    pattern_fill(victim.data, 0, BIG);
    cancel_at(&victim, at_write_all);
    pattern_fill(victim.data, BIG, BIG); /* the buffer is the caller's again */
    expect_result(weir_write(victim.pair.writer, victim.data, BIG), 0);
    free(victim.data);
    expect_sent(&victim.pair, 2 * BIG);
    pair_close(&victim.pair);
    return 0;
}

static int at_wait_closed(struct victim *victim)
{
    return weir_wait_closed(victim->pair.writer);
}

TaskTest(task, cancel_at_wait_closed)
{
    struct victim victim = { .data = malloc(BIG) };
    pair_open(&victim.pair, 0);
    pair_narrow(&victim.pair);
    pattern_fill(victim.data, 0, BIG);
    expect_result(weir_write(victim.pair.writer, victim.data, BIG), 0);
    free(victim.data);
    cancel_at(&victim, at_wait_closed);
    expect_sent(&victim.pair, BIG); /* it closes behind the cancelled task */
    peer_expect_eof(&victim.pair);
    close(victim.pair.peer);
    return 0;
}

static int at_forward(struct victim *victim)
{
    return (int)weir_forward(victim->pair.reader, victim->pair.writer); /* an echo */
}

TaskTest(task, cancel_at_forward)
{
    struct victim victim = { .result = 1 };
    pair_open(&victim.pair, 0);
    cancel_at(&victim, at_forward);
    feed(&victim.pair, "data");
    expect_next(victim.pair.reader, "data");
    pair_close(&victim.pair);
    return 0;
}

/* A cancel or deadline that races with the data loses nothing, whichever comes first. */
struct race {
    struct weir_reader *reader;
    char *got;
    size_t size;
};

static int read_one(void *argument)
{
    struct race *race = argument;
    struct weir_slice data;
    ssize_t n = weir_read(race->reader, 1, &data);
    if (n > 0)
        race->got[race->size++] = data.data[0];
    return n < 0 && n != -ECANCELED ? (int)n : 0;
}

TaskTest(task, cancel_race_loses_no_byte)
{
    enum { ROUNDS = 500 };
    char got[ROUNDS + 1] = "", sent[ROUNDS];
    struct pair pair;
    pair_open(&pair, 0);
    struct race race = { pair.reader, got, 0 };
    pattern_fill(sent, 0, ROUNDS);
    for (size_t i = 0; i < ROUNDS; i++) {
        struct weir_group group = { 0 };
        start(&group, read_one, &race);
        for (size_t k = 0; k < i % 4; k++)
            expect_result(weir_yield(), 0);
        cr_assert(eq(int, (int)send(pair.peer, sent + i, 1, 0), 1));
        for (size_t k = 0; k < i / 4 % 4; k++)
            expect_result(weir_yield(), 0);
        weir_group_cancel(&group);
        expect_result(weir_group_wait(&group), 0);
    }
    while (race.size < ROUNDS)
        expect_result(read_one(&race), 0);
    expect_pattern(got, 0, ROUNDS);
    pair_close(&pair);
    return 0;
}

struct trickle {
    int fd;
    size_t size;
};

static void *send_trickle(void *argument)
{
    struct trickle *trickle = argument;
    for (size_t i = 0; i < trickle->size; i++) {
        char byte;
        pattern_fill(&byte, i, 1);
        if (send(trickle->fd, &byte, 1, 0) != 1)
            break;
        nanosleep(&(struct timespec){ .tv_nsec = (long)(i % 7) * 20000 }, NULL);
    }
    return NULL;
}

TaskTest(task, timeout_race_loses_no_byte)
{
    enum { SIZE = 2000 };
    char got[SIZE];
    size_t size = 0;
    int timeouts = 0;
    struct pair pair;
    pair_open(&pair, 0);
    struct trickle trickle = { pair.peer, SIZE };
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, send_trickle, &trickle), 0));
    while (size < SIZE) {
        struct weir_slice data;
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, 60 * 1000); /* 60 us, as the pauses between bytes */
        ssize_t n = weir_timeout_stop(&timeout, weir_readexactly(pair.reader, 1, &data));
        if (n == 1)
            got[size++] = data.data[0];
        else
            expect_result(n, -ETIMEDOUT);
        timeouts += n == -ETIMEDOUT;
    }
    pthread_join(thread, NULL);
    cr_assert(gt(int, timeouts, 0), "no deadline passed: nothing was tested");
    expect_pattern(got, 0, SIZE);
    pair_close(&pair);
    return 0;
}

/* ---- Threads ----------------------------------------------------------------------------------*/

struct blocking_call {
    pthread_t thread;
    _Atomic bool ended;
    int64_t duration;
    int result;
};

static int block(void *argument)
{
    struct blocking_call *call = argument;
    call->thread = pthread_self();
    nanosleep(&(struct timespec){ .tv_nsec = (long)call->duration }, NULL);
    call->ended = true;
    return call->result;
}

static int count_turns(void *argument)
{
    int *turns = argument;
    while (*turns >= 0) {
        ++*turns;
        expect_result(weir_sleep(MS), 0);
    }
    return 0;
}

TaskTest(task, to_thread)
{
    struct blocking_call call = { .duration = 30 * MS, .result = -EIO };
    int turns = 0;
    struct weir_group group = { 0 };
    start(&group, count_turns, &turns);
    expect_result(weir_to_thread(block, &call), -EIO);
    cr_assert(not(pthread_equal(call.thread, pthread_self())));
    cr_assert(gt(int, turns, 5), "the loop stood still");
    turns = -1;
    expect_result(weir_group_wait(&group), 0);
    call.result = 7;
    expect_result(weir_to_thread(block, &call), 7);
    return 0;
}

static int call_to_thread(void *argument)
{
    return weir_to_thread(block, argument);
}

TaskTest(task, to_thread_in_parallel)
{
    struct blocking_call calls[4];
    struct weir_group group = { 0 };
    int64_t began = now();
    for (int i = 0; i < 4; i++) {
        calls[i] = (struct blocking_call){ .duration = 100 * MS };
        start(&group, call_to_thread, &calls[i]);
    }
    expect_result(weir_group_wait(&group), 0);
    cr_assert(lt(i64, now() - began, 300 * MS), "one after the other");
    return 0;
}

TaskTest(task, to_thread_of_many)
{
    enum { COUNT = 200 };
    static struct blocking_call calls[COUNT];
    struct weir_group group = { 0 };
    for (int i = 0; i < COUNT; i++) {
        calls[i] = (struct blocking_call){ .duration = i % 3 * (MS / 10) };
        start(&group, call_to_thread, &calls[i]);
    }
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert(calls[i].ended);
    return 0;
}

/* The function may use its task's stack, so that a cancel lets it end; the next wait tells. */
struct cancelled_call {
    int result, slept;
};

static int call_then_sleep(void *argument)
{
    struct cancelled_call *cancelled = argument;
    struct blocking_call call = { .duration = 30 * MS, .result = 5 };
    cancelled->result = weir_to_thread(block, &call);
    cr_assert(call.ended);
    cancelled->slept = weir_sleep(WEIR_SECOND);
    return 0;
}

TaskTest(task, to_thread_cancelled)
{
    struct cancelled_call cancelled = { 1, 1 };
    struct weir_group group = { 0 };
    start(&group, call_then_sleep, &cancelled);
    settle();
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(cancelled.result, 5);
    expect_result(cancelled.slept, -ECANCELED);
    return 0;
}

struct poster {
    struct weir_loop *loop;
    pthread_t home; /* the loop's thread */
    int count, rc;
    _Atomic int *ran;
    struct weir_event *all;
    int expected;
};

static int posted(void *argument)
{
    struct poster *poster = argument;
    if (!pthread_equal(poster->home, pthread_self()))
        return -EPERM;
    expect_result(weir_yield(), 0); /* it is a task: it may wait */
    if (++*poster->ran == poster->expected)
        weir_event_set(poster->all);
    return 0;
}

static void *post(void *argument)
{
    struct poster *poster = argument;
    for (int i = 0; i < poster->count && poster->rc == 0; i++)
        poster->rc = weir_call_soon_threadsafe(poster->loop, posted, poster);
    return NULL;
}

TaskTest(task, call_soon_threadsafe)
{
    enum { THREADS = 4, EACH = 2500 / FEWER };
    _Atomic int ran = 0;
    struct weir_event all = { 0 };
    struct poster posters[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){ weir_this_loop(), pthread_self(), EACH, 0, &ran, &all,
                                      THREADS * EACH };
        cr_assert(eq(int, pthread_create(&threads[i], NULL, post, &posters[i]), 0));
    }
    expect_result(weir_event_wait(&all), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        expect_result(posters[i].rc, 0);
    }
    cr_assert(eq(int, ran, THREADS *EACH));
    return 0;
}

TaskTest(task, call_soon_threadsafe_from_the_loop_itself)
{
    _Atomic int ran = 0;
    struct weir_event all = { 0 };
    struct poster poster = { weir_this_loop(), pthread_self(), 3, 0, &ran, &all, 3 };
    post(&poster);
    expect_result(poster.rc, 0);
    cr_assert(eq(int, ran, 0));
    expect_result(weir_event_wait(&all), 0);
    cr_assert(eq(int, ran, 3));
    return 0;
}

static _Atomic int mains;
static pthread_t main_threads[4];

static int main_of_four(void *argument)
{
    int index = mains++;
    main_threads[index] = pthread_self();
    while (mains < 4) /* until all have come */
        if (weir_sleep(MS) < 0)
            return -EIO;
    struct weir_metrics mine;
    weir_get_metrics(&mine);
    return mine.tasks_open == 1 && weir_this_loop() != NULL ? 0 : -EIO;
}

Test(task, run_with_threads, .timeout = 20)
{
    struct weir_run_options options = { .threads = 4, .pin = true };
    expect_result(run_with(&options, main_of_four, NULL), 0);
    cr_assert(eq(int, mains, 4));
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            cr_assert(not(pthread_equal(main_threads[i], main_threads[k])));
}

static int fail_in_one(void *argument)
{
    int index = mains++;
    while (mains < 4) /* so that no loop has ended before another begins */
        if (weir_sleep(MS) < 0)
            return -EIO;
    return index == 2 ? -ENOENT : weir_sleep(20 * MS);
}

Test(task, run_with_threads_returns_the_error, .timeout = 20)
{
    struct weir_run_options options = { .threads = 4 };
    expect_result(run_with(&options, fail_in_one, NULL), -ENOENT);
}

/* ---- Fairness and numbers ---------------------------------------------------------------------
 * A task whose calls need not wait yields now and then: otherwise these would not end. */

static int set_flag_late(void *argument)
{
    for (int i = 0; i < 5; i++)
        expect_result(weir_yield(), 0);
    *(volatile bool *)argument = true;
    return 0;
}

enum { FOREVER = 1000 * 1000 };

TaskTest(task, fairness_of_drain)
{
    volatile bool flag = false;
    struct pair pair;
    struct weir_group group = { 0 };
    pair_open(&pair, 0);
    start(&group, set_flag_late, (void *)&flag);
    for (int i = 0; i < FOREVER && !flag; i++)
        expect_result(weir_drain(pair.writer), 0);
    cr_assert(flag);
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(task, fairness_of_events)
{
    volatile bool flag = false;
    struct weir_event event = { 0 };
    struct weir_group group = { 0 };
    weir_event_set(&event);
    start(&group, set_flag_late, (void *)&flag);
    for (int i = 0; i < FOREVER && !flag; i++)
        expect_result(weir_event_wait(&event), 0);
    cr_assert(flag);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

static int take_turns(void *argument)
{
    int *turns = argument;
    while (*turns >= 0) {
        ++*turns;
        expect_result(weir_yield(), 0);
    }
    return 0;
}

/* Everything lies buffered, and the reader never has to wait for it. */
TaskTest(task, fairness_of_buffered_reads)
{
    enum { LINES = TINY ? 400 : 20000 };
    char *lines = malloc(2 * LINES);
    for (int i = 0; i < LINES; i++)
        memcpy(lines + 2 * i, "x\n", 2);
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed_bytes(&pair, lines, 2 * LINES);
    free(lines);
    int turns = 0;
    struct weir_group group = { 0 };
    start(&group, take_turns, &turns);
    for (int i = 0; i < LINES; i++)
        expect_slice(weir_readline(pair.reader, &line), line, "x\n");
    cr_assert(gt(int, turns, LINES / 1000), "the other task had %d turns", turns);
    turns = -1;
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

struct pinger {
    struct weir_event mine, *other;
    int *exchanges;
    const volatile bool *stop;
};

static int ping(void *argument)
{
    struct pinger *pinger = argument;
    while (!*pinger->stop) {
        expect_result(weir_event_wait(&pinger->mine), 0);
        weir_event_clear(&pinger->mine);
        ++*pinger->exchanges;
        weir_event_set(pinger->other);
    }
    return 0;
}

/* Two tasks that keep waking one another leave room for the ring: data still arrives. */
TaskTest(task, fairness_of_ping_pong)
{
    volatile bool stop = false;
    int exchanges = 0;
    struct pinger one = { .exchanges = &exchanges, .stop = &stop }, two = one;
    one.other = &two.mine;
    two.other = &one.mine;
    struct weir_group group = { 0 };
    start(&group, ping, &one);
    start(&group, ping, &two);
    weir_event_set(&one.mine);
    struct pair pair;
    pair_open(&pair, 0);
    for (int i = 0; i < 20; i++) {
        feed(&pair, "data");
        expect_next(pair.reader, "data");
    }
    expect_result(weir_sleep(5 * MS), 0);
    stop = true;
    weir_event_set(&one.mine);
    weir_event_set(&two.mine);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(gt(int, exchanges, 100));
    pair_close(&pair);
    return 0;
}

TaskTest(task, ten_thousand_at_once)
{
    enum { COUNT = 10000 / FEWER };
    struct event_waiter *waiters = calloc(COUNT, sizeof *waiters);
    struct weir_event event = { 0 };
    struct weir_group group = { 0 };
    for (int i = 0; i < COUNT; i++) {
        waiters[i].event = &event;
        start(&group, wait_event, &waiters[i]);
    }
    expect_result(weir_yield(), 0);
    expect_result(weir_yield(), 0);
    cr_assert(eq(u64, metrics_now().tasks_open, COUNT + 1));
    weir_event_set(&event);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert(waiters[i].ended);
    free(waiters);
    return 0;
}

/* More than vm.max_map_count would allow, if each stack's guard split a mapping in two. */
TaskTest(task, forty_thousand_at_once)
{
    enum { COUNT = (TINY ? 4000 : 40000) / FEWER };
    struct utsname system;
    int major = 0, minor = 0;
    uname(&system);
    sscanf(system.release, "%d.%d", &major, &minor);
    if (major * 100 + minor < 613)
        cr_skip("Linux %s has no MADV_GUARD_INSTALL (6.13)", system.release);
    struct event_waiter *waiters = calloc(COUNT, sizeof *waiters);
    struct weir_event event = { 0 };
    struct weir_group group = { 0 };
    for (int i = 0; i < COUNT; i++) {
        waiters[i].event = &event;
        start(&group, wait_event, &waiters[i]);
    }
    expect_result(weir_sleep(MS), 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    int lines = 0;
    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    cr_assert(FEWER > 1 || lines < COUNT / 2, "%d mappings", lines); /* TSan makes its own */
    weir_event_set(&event);
    expect_result(weir_group_wait(&group), 0);
    free(waiters);
    return 0;
}

TaskTest(task, hundred_thousand_in_sequence)
{
    enum { COUNT = 100 * 1000 / FEWER };
    uint64_t before = metrics_now().tasks_started;
    for (int i = 0; i < COUNT; i++) {
        bool ran = false;
        struct weir_group group = { 0 };
        if (weir_group_start(&group, set_flag, &ran) < 0 || weir_group_wait(&group) < 0 || !ran)
            cr_fatal("task %d", i);
    }
    cr_assert(eq(u64, metrics_now().tasks_started - before, COUNT));
    return 0;
}

/* ---- Stacks -----------------------------------------------------------------------------------*/

static unsigned recurse(unsigned depth)
{
    volatile unsigned char frame[1024];
    memset((void *)frame, (int)depth, sizeof frame);
    return depth == 0 ? frame[7] : recurse(depth - 1) + frame[13];
}

static int use_stack(void *argument)
{
    unsigned depth = *(unsigned *)argument, sum = 0;
    for (unsigned i = 0; i <= depth; i++)
        sum += i & 255;
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(uint, recurse(depth), sum));
        expect_result(weir_yield(), 0);
    }
    return 0;
}

TaskTest(task, deep_stack)
{
    unsigned depth = 36; /* of the default 64 KiB, with room for a sanitizer's frames */
    struct weir_group group = { 0 };
    for (int i = 0; i < 50; i++)
        start(&group, use_stack, &depth);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

Test(task, deeper_stack_by_option, .timeout = 20)
{
    unsigned depth = 600;
    struct weir_run_options options = { .stack_size = 1024 * 1024 };
    expect_result(run_with(&options, use_stack, &depth), 0);
}

/* ---- weir_run() -------------------------------------------------------------------------------*/

static int return_error(void *argument)
{
    return -ENOENT;
}

Test(task, run_returns_the_first_tasks_error, .timeout = 20)
{
    expect_result(run_with(NULL, return_error, NULL), -ENOENT);
}

Test(task, run_again_and_again, .timeout = 20)
{
    for (int i = 0; i < 20; i++) {
        bool ran = false;
        run(set_flag, &ran);
        cr_assert(ran);
    }
}

static int never_run(void *argument)
{
    cr_fatal("a task ran under invalid options");
    return 0;
}

Test(task, run_options_invalid, .timeout = 20)
{
    struct weir_run_options invalid[] = { { .ring_entries = 32769 },
                                          { .ring_entries = UINT32_MAX },
                                          { .stack_size = 1000 },
                                          { .linger = -1 },
                                          { .receive_memory = 1000 } };
    size_t count = sizeof invalid / sizeof invalid[0] - (TINY ? 1 : 0); /* TINY takes any memory */
    for (size_t i = 0; i < count; i++) {
        int rc = run_with(&invalid[i], never_run, NULL);
        cr_assert(eq(int, rc, -EINVAL), "options %zu", i);
    }
}

static int run_nested(void *argument)
{
    expect_result(weir_run(never_run, NULL, NULL), -EBUSY);
    return weir_sleep(MS); /* and this loop is not disturbed */
}

Test(task, run_nested, .timeout = 20)
{
    run(run_nested, NULL);
}

Test(task, waiting_outside_a_task, .timeout = 20)
{
    struct weir_event event = { 0 };
    struct weir_group group = { 0 };
    struct weir_reader *reader;
    struct weir_writer *writer;
    bool ran = false;
    cr_assert(eq(ptr, weir_this_loop(), NULL));
    expect_result(weir_sleep(MS), -EPERM);
    expect_result(weir_yield(), -EPERM);
    expect_result(weir_event_wait(&event), -EPERM);
    expect_result(weir_group_start(&group, set_flag, &ran), -EPERM);
    expect_result(weir_group_wait(&group), -EPERM);
    expect_result(weir_to_thread(set_flag, &ran), -EPERM);
    expect_result(weir_wait_for(MS, set_flag, &ran), -EPERM);
    expect_result(weir_wait_signal(SIGUSR1, 0), -EPERM);
    expect_result(weir_open_connection("127.0.0.1", 1, NULL, &reader, &writer), -EPERM);
    expect_result(weir_open_unix_connection("@none", NULL, &reader, &writer), -EPERM);
    cr_assert(not(ran));
}

static int start_straggler(void *argument)
{
    return weir_call_soon_threadsafe(weir_this_loop(), sleep_task, argument);
}

/* A task that comes while the last streams close is a task like others: the run goes on until it has
 * returned, though it ends the last of them at once. */
static int stuck_peer = -1; /* of a stream that can't send what it has */
static int straggler_result = 1;

static int end_the_last_stream(void *unused)
{
    (void)unused;
    close(stuck_peer);
    straggler_result = weir_sleep(50 * MS);
    return straggler_result;
}

static void *post_late(void *loop)
{
    usleep(20 * 1000);
    weir_call_soon_threadsafe(loop, end_the_last_stream, NULL);
    return NULL;
}

static int leave_a_stuck_stream(void *unused)
{
    (void)unused;
    struct pair pair;
    static const char data[400 * 1000];
    pair_open(&pair, 0);
    pair_narrow(&pair);
    stuck_peer = pair.peer;
    expect_result(weir_write(pair.writer, data, sizeof data), 0);
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, post_late, weir_this_loop()), 0));
    pthread_detach(thread);
    return 0;
}

Test(task, run_waits_for_a_task_posted_while_lingering, .timeout = 20)
{
    struct weir_run_options options = { .linger = 10 * WEIR_SECOND };
    expect_result(weir_run(leave_a_stuck_stream, NULL, &options), 0);
    expect_result(straggler_result, 0);
}

/* The time that tasks have taken does not count twice. */
TaskTest(task, sleep_beside_a_busy_task)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    struct sleeper sleeper = { .duration = 400 * MS, .slept = 1 };
    struct weir_group group = { 0 };
    start(&group, sleep_task, &sleeper);
    expect_result(weir_yield(), 0);
    usleep(300 * 1000); /* busy, in the turn after the sleep has begun */
    expect_result(weir_group_wait(&group), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    cr_assert(ge(long, ms, 399));
    cr_assert(lt(long, ms, 650)); /* not 700 */
    return 0;
}

TaskTest(task, group_start_after_a_failure_is_cancelled)
{
    struct weir_group group = { 0 };
    struct sleeper late = { .duration = 10 * WEIR_SECOND, .slept = 1 };
    struct sleeper failing = { .result = -EIO };
    start(&group, sleep_task, &failing);
    expect_result(weir_sleep(5 * MS), 0);
    start(&group, sleep_task, &late);
    expect_result(weir_group_wait(&group), -EIO);
    expect_result(late.slept, -ECANCELED);
    return 0;
}

static int yield_once_in_a_large_ring(void *unused)
{
    (void)unused;
    return weir_yield();
}

Test(task, run_with_the_largest_ring, .timeout = 20)
{
    struct weir_run_options options = { .ring_entries = 32768 };
    expect_result(run_with(&options, yield_once_in_a_large_ring, NULL), 0);
}

/* All loops run, or none: a server must not find itself with fewer threads than asked for. */
static int count_me(void *counter)
{
    atomic_fetch_add((_Atomic int *)counter, 1);
    return 0;
}

Test(task, run_with_threads_is_all_or_nothing, .timeout = 20)
{
    struct weir_run_options options = { .threads = 4 };
    struct rlimit limit;
    _Atomic int ran = 0;
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &limit), 0));
    int next = dup(0); /* the lowest free fd: one ring fits below the limit, or two */
    close(next);
    rlim_t former = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next + 2;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limit), 0));
    expect_result(weir_run(count_me, &ran, &options), -EMFILE);
    limit.rlim_cur = former;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limit), 0));
    cr_assert(eq(int, ran, 0));
}

Test(task, run_waits_for_all_tasks, .timeout = 20)
{
    struct sleeper straggler = { .duration = 20 * MS, .slept = 1 };
    run(start_straggler, &straggler);
    expect_result(straggler.slept, 0);
}

/* ---- What a task still owns when it returns ---------------------------------------------------
 * asyncio's unclosed_resource_warnings: it is closed, with its data sent. */

static int write_and_leave(void *argument)
{
    int *fds = argument;
    struct weir_reader *reader;
    struct weir_writer *writer;
    expect_result(weir_open_socket(fds[0], NULL, &reader, &writer), 0);
    char *data = malloc(BIG);
    pattern_fill(data, 0, BIG);
    expect_result(weir_write(writer, data, BIG), 0);
    free(data);
    return 0;
}

TaskTest(task, stream_left_open_by_a_task_is_closed)
{
    struct pair pair = { 0 };
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    pair.peer = fds[1];
    struct weir_group group = { 0 };
    start(&group, write_and_leave, fds);
    expect_result(weir_group_wait(&group), 0);
    expect_sent(&pair, BIG);
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

/* Reads to the end, slowly, and sums up what came. */
static void *read_slowly(void *argument)
{
    struct trickle *trickle = argument;
    char buffer[8192];
    ssize_t n;
    trickle->size = 0;
    while ((n = recv(trickle->fd, buffer, sizeof buffer, 0)) > 0) {
        trickle->size += (size_t)n;
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    return NULL;
}

Test(task, stream_left_open_by_main_is_closed, .timeout = 20)
{
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    struct trickle trickle = { .fd = fds[1] };
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, read_slowly, &trickle), 0));
    cr_assert(eq(int, weir_run(write_and_leave, fds, NULL), 0));
    pthread_join(thread, NULL);
    cr_assert(eq(sz, trickle.size, BIG));
    cr_assert(eq(u64, metrics_now().streams_open, 0));
    close(fds[1]);
}

/* A peer that never reads cannot keep the program from ending. */
Test(task, run_lingers_for_so_long, .timeout = 20)
{
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    int size = 4096;
    cr_assert(eq(int, setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0));
    struct weir_run_options options = { .linger = 50 * MS };
    int64_t began = now();
    cr_assert(eq(int, weir_run(write_and_leave, fds, &options), 0));
    int64_t took = now() - began;
    cr_assert(ge(i64, took, 45 * MS));
    cr_assert(lt(i64, took, 3 * WEIR_SECOND));
    cr_assert(eq(u64, metrics_now().streams_open, 0));
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    close(fds[1]);
}

/* ---- Signals ----------------------------------------------------------------------------------*/

static volatile sig_atomic_t former_calls;

static void former_handler(int number)
{
    former_calls++;
}

static int wait_usr(void *argument)
{
    *(int *)argument = weir_wait_signal(SIGUSR1, SIGUSR2);
    return 0;
}

TaskTest(task, wait_signal)
{
    signal(SIGUSR1, former_handler);
    for (int i = 0; i < 2; i++) {
        int number = 0;
        struct weir_group group = { 0 };
        start(&group, wait_usr, &number);
        settle();
        kill(getpid(), i == 0 ? SIGUSR1 : SIGUSR2);
        expect_result(weir_group_wait(&group), 0);
        expect_result(number, i == 0 ? SIGUSR1 : SIGUSR2);
    }
    cr_assert(eq(int, former_calls, 0), "it was caught by the waiter");
    kill(getpid(), SIGUSR1);
    settle();
    cr_assert(eq(int, former_calls, 1), "afterwards it has its former effect");
    return 0;
}

static int raise_at_once(void *unused)
{
    (void)unused;
    int rc = weir_sleep(10 * WEIR_MILLISECOND);
    raise(SIGUSR1);
    return rc;
}

/* It comes when the wait's time is over, and is caught still: so it must be told. */
TaskTest(task, wait_signal_is_told_at_the_deadline)
{
    struct weir_group group = { 0 };
    struct weir_timeout timeout;
    signal(SIGUSR1, former_handler);
    weir_timeout_start(&timeout, 10 * WEIR_MILLISECOND);
    start(&group, raise_at_once, NULL);
    int rc = (int)weir_timeout_stop(&timeout, weir_wait_signal(SIGUSR1, 0));
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(int, (rc == SIGUSR1) + former_calls, 1), "%d, %d", rc, former_calls);
    return 0;
}

TaskTest(task, wait_signal_wakes_every_waiter)
{
    int numbers[3] = { 0 };
    struct weir_group group = { 0 };
    for (int i = 0; i < 3; i++)
        start(&group, wait_usr, &numbers[i]);
    settle();
    raise(SIGUSR2);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < 3; i++)
        expect_result(numbers[i], SIGUSR2);
    return 0;
}

static int wait_one_signal(void *argument)
{
    *(int *)argument = weir_wait_signal(SIGUSR1, 0);
    return 0;
}

TaskTest(task, wait_signal_of_one)
{
    int number = 0;
    struct weir_group group = { 0 };
    start(&group, wait_one_signal, &number);
    settle();
    kill(getpid(), SIGUSR1);
    expect_result(weir_group_wait(&group), 0);
    expect_result(number, SIGUSR1);
    return 0;
}

/* ---- Words ------------------------------------------------------------------------------------*/

Test(task, strerror_words_every_code)
{
    static const int codes[] = { WEIR_INCOMPLETE,    WEIR_LIMIT_OVERRUN, WEIR_UNRESOLVED,
                                 WEIR_RING_DISABLED, WEIR_RING_BLOCKED,  WEIR_RING_MISSING,
                                 WEIR_RING_MEMORY,   -ECONNRESET,        -EPIPE,
                                 -ETIMEDOUT,         -ECANCELED,         -EBUSY };
    enum { COUNT = sizeof codes / sizeof codes[0] };
    const char *unknown = weir_strerror(-123456);
    for (int i = 0; i < COUNT; i++) {
        const char *words = weir_strerror(codes[i]);
        cr_assert(ne(ptr, (void *)words, NULL));
        cr_assert(gt(sz, strlen(words), 3));
        cr_assert(ne(str, (char *)words, (char *)unknown), "code %d", codes[i]);
        for (int k = 0; k < i; k++)
            cr_assert(ne(str, (char *)words, (char *)weir_strerror(codes[k])));
    }
    cr_assert(eq(str, (char *)weir_strerror(-ECONNRESET), strerror(ECONNRESET)));
}

Test(task, strerror_of_unknown_numbers)
{
    static const ssize_t unknown[] = { -4095, -4094, -4103, -9999, INT32_MIN, SSIZE_MAX, 0, 1 };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const char *words = weir_strerror(unknown[i]);
        cr_assert(ne(ptr, (void *)words, NULL));
        cr_assert(gt(sz, strlen(words), 0));
    }
    cr_assert(ne(str, (char *)weir_strerror(0), (char *)weir_strerror(-EIO)));
}

Test(task, version)
{
    cr_assert(eq(str, (char *)weir_version(), WEIR_VERSION));
}
