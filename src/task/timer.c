#include "task/timer.h"

#include <stddef.h>

/* Of two heaps the one with the later deadline becomes the other's first child. */
static struct weir_timer *join(struct weir_timer *a, struct weir_timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->deadline_ < a->deadline_) {
        struct weir_timer *earlier = b;
        b = a;
        a = earlier;
    }
    b->next_ = a->child_;
    if (b->next_ != NULL)
        b->next_->previous_ = b;
    b->previous_ = a;
    a->child_ = b;
    a->next_ = NULL;
    return a;
}

/* One heap of a list of siblings: joined in pairs, then the pairs from the last to the first. */
static struct weir_timer *join_siblings(struct weir_timer *timer)
{
    struct weir_timer *pairs = NULL;
    while (timer != NULL) {
        struct weir_timer *second = timer->next_;
        struct weir_timer *rest = second != NULL ? second->next_ : NULL;
        struct weir_timer *pair = join(timer, second);
        pair->next_ = pairs;
        pairs = pair;
        timer = rest;
    }
    struct weir_timer *heap = NULL;
    while (pairs != NULL) {
        struct weir_timer *next = pairs->next_;
        pairs->next_ = NULL;
        heap = join(heap, pairs);
        pairs = next;
    }
    return heap;
}

static void set_first(struct timers *timers, struct weir_timer *heap)
{
    timers->first = heap;
    if (heap != NULL) {
        heap->next_ = NULL;
        heap->previous_ = heap;
    }
}

void timer_start(struct timers *timers, struct weir_timer *timer, int64_t deadline,
                 void (*fire)(struct weir_timer *timer))
{
    *timer = (struct weir_timer){ .deadline_ = deadline, .fire_ = fire };
    set_first(timers, join(timers->first, timer));
}

void timer_stop(struct timers *timers, struct weir_timer *timer)
{
    if (timer->previous_ == NULL)
        return;
    struct weir_timer *children = join_siblings(timer->child_);
    if (timer == timers->first) {
        set_first(timers, children);
    } else {
        if (timer->previous_->child_ == timer)
            timer->previous_->child_ = timer->next_;
        else
            timer->previous_->next_ = timer->next_;
        if (timer->next_ != NULL)
            timer->next_->previous_ = timer->previous_;
        set_first(timers, join(timers->first, children));
    }
    timer->previous_ = NULL;
}

void timers_fire(struct timers *timers, int64_t now)
{
    while (timers->first != NULL && timers->first->deadline_ <= now) {
        struct weir_timer *timer = timers->first;
        timer_stop(timers, timer);
        timer->fire_(timer);
    }
}
