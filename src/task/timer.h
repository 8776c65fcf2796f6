/* Timers, in user space: one costs no system call, no completion and no memory but its own.
 * They form a pairing heap by deadline: starting is O(1), and so is stopping one that started
 * late, as most time-outs are; firing is O(log n). */
#ifndef WEIR_TASK_TIMER_H
#define WEIR_TASK_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t deadline; /* ns of CLOCK_MONOTONIC */
    struct timer *child, *next;
    struct timer *previous; /* sibling; of a first child its parent; itself at the top; or NULL */
    void (*fire)(struct timer *timer);
};

struct timers {
    struct timer *first;
};

static inline bool timer_is_running(const struct timer *timer)
{
    return timer->previous != NULL;
}

void timer_start(struct timers *timers, struct timer *timer, int64_t deadline,
                 void (*fire)(struct timer *timer));

/* Does nothing to one that has fired, or is zeroed. */
void timer_stop(struct timers *timers, struct timer *timer);

/* Stops and calls all whose deadline is not after `now`. */
void timers_fire(struct timers *timers, int64_t now);

#endif
