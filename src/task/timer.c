#include "task/timer.h"

#include <stddef.h>

/* Of two heaps the one with the later deadline becomes the other's first child. */
static struct timer *join(struct timer *a, struct timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->deadline < a->deadline) {
        struct timer *earlier = b;
        b = a;
        a = earlier;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->previous = b;
    b->previous = a;
    a->child = b;
    a->next = NULL;
    return a;
}

/* One heap of a list of siblings: joined in pairs, then the pairs from the last to the first. */
static struct timer *join_siblings(struct timer *timer)
{
    struct timer *pairs = NULL;
    while (timer != NULL) {
        struct timer *second = timer->next;
        struct timer *rest = second != NULL ? second->next : NULL;
        struct timer *pair = join(timer, second);
        pair->next = pairs;
        pairs = pair;
        timer = rest;
    }
    struct timer *heap = NULL;
    while (pairs != NULL) {
        struct timer *next = pairs->next;
        pairs->next = NULL;
        heap = join(heap, pairs);
        pairs = next;
    }
    return heap;
}

static void set_first(struct timers *timers, struct timer *heap)
{
    timers->first = heap;
    if (heap != NULL) {
        heap->next = NULL;
        heap->previous = heap;
    }
}

void timer_start(struct timers *timers, struct timer *timer, int64_t deadline,
                 void (*fire)(struct timer *timer))
{
    *timer = (struct timer){ .deadline = deadline, .fire = fire };
    set_first(timers, join(timers->first, timer));
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    if (timer->previous == NULL)
        return;
    struct timer *children = join_siblings(timer->child);
    if (timer == timers->first) {
        set_first(timers, children);
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->next;
        else
            timer->previous->next = timer->next;
        if (timer->next != NULL)
            timer->next->previous = timer->previous;
        set_first(timers, join(timers->first, children));
    }
    timer->previous = NULL;
}

void timers_fire(struct timers *timers, int64_t now)
{
    while (timers->first != NULL && timers->first->deadline <= now) {
        struct timer *timer = timers->first;
        timer_stop(timers, timer);
        timer->fire(timer);
    }
}
