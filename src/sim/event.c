#include "sim/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/world.h"

/* In the order in which they came: the first is what is most usual. Few at a time. */
struct queue {
    struct event **all;
    uint32_t count, room;
};

static struct queue enabled, timed;
static int64_t now, jumped;
static uint64_t steps;
static unsigned still; /* breaths in a row in which something could have happened, and did not */

static void put(struct queue *queue, struct event *event)
{
    if (queue->count == queue->room) {
        queue->room = 2 * queue->room + 64;
        queue->all = realloc(queue->all, queue->room * sizeof(struct event *));
        if (queue->all == NULL)
            abort();
    }
    queue->all[queue->count++] = event;
    event->place = queue->count;
}

static void take_out(struct queue *queue, struct event *event)
{
    uint32_t index = event->place - 1;
    queue->count--;
    for (uint32_t i = index; i < queue->count; i++) {
        queue->all[i] = queue->all[i + 1];
        queue->all[i]->place = i + 1;
    }
    event->place = 0;
}

void events_open(void)
{
    enabled.count = timed.count = 0;
    now = jumped = 0;
    still = 0;
    steps = 0;
}

void events_close(void)
{
    free(enabled.all);
    free(timed.all);
    enabled = timed = (struct queue){ 0 };
}

void event_stop(struct event *event)
{
    if (event->place != 0)
        take_out(event->timed ? &timed : &enabled, event);
    event->timed = false;
}

void event_enable(struct event *event)
{
    if (event->place != 0 && !event->timed)
        return;
    event_stop(event);
    put(&enabled, event);
}

void event_after(struct event *event, int64_t wait)
{
    event_stop(event);
    event->timed = true;
    if (__builtin_add_overflow(now, wait > 0 ? wait : 0, &event->due))
        event->due = INT64_MAX;
    put(&timed, event);
}

static void jump(int64_t how_far)
{
    now += how_far;
    jumped += how_far;
}

/* Time passes: to the first that is due, and at times further, as of a machine that slept. */
static bool move_on(void)
{
    if (timed.count == 0)
        return false;
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < timed.count; i++)
        first = timed.all[i]->due < first ? timed.all[i]->due : first;
    now = first > now ? first : now;
    if (fault(FAULT_CLOCK_JUMP, "time"))
        jump((int64_t)(1 + choose(60000, "jump")) * WEIR_MILLISECOND);
    for (uint32_t i = 0; i < timed.count;) {
        struct event *event = timed.all[i];
        if (event->due > now)
            i++;
        else
            event_enable(event);
    }
    return true;
}

static void run(struct event *event)
{
    take_out(&enabled, event);
    steps++;
    event->run(event);
}

bool events_step(void)
{
    if (enabled.count == 0 && !move_on())
        return false;
    if (enabled.count == 0)
        return true;
    run(enabled.all[choose(enabled.count, "next")]);
    return true;
}

static struct event *first_of_wire(void)
{
    for (uint32_t i = 0; i < enabled.count; i++) {
        if (enabled.all[i]->wire)
            return enabled.all[i];
    }
    return NULL;
}

/* However chance wills: who goes on without ever waiting is not alone in the world. */
enum { STANDSTILL = 64 };

void events_breathe(void)
{
    struct event *event = first_of_wire();
    unsigned left = event != NULL ? choose(4, "meanwhile") : 0;
    still = event != NULL && left == 0 ? still + 1 : 0;
    if (still == STANDSTILL) {
        still = 0;
        left = 1;
    }
    for (; left > 0 && event != NULL; left--, event = first_of_wire())
        run(event);
}

int64_t events_now(void)
{
    return now;
}

int64_t events_jumped(void)
{
    return jumped;
}

uint64_t events_steps(void)
{
    return steps;
}
