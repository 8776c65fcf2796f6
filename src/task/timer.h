/* Timers, in user space: one costs no system call, no completion and no memory but its own.
 * They form a pairing heap by deadline: starting is O(1), and so is stopping one that started
 * late, as most time-outs are; firing is O(log n). */
#ifndef WEIR_TASK_TIMER_H
#define WEIR_TASK_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <weir.h>

/* struct weir_timer: its deadline in ns of CLOCK_MONOTONIC; its first child; its next sibling; its
 * previous sibling, or its parent if it is the first child, or itself at the top; whom to call. */
struct timers {
    struct weir_timer *first;
};

void timer_start(struct timers *timers, struct weir_timer *timer, int64_t deadline,
                 void (*fire)(struct weir_timer *timer));

/* Does nothing to one that has fired, or is zeroed. */
void timer_stop(struct timers *timers, struct weir_timer *timer);

/* Stops and calls all whose deadline is not after `now`. */
void timers_fire(struct timers *timers, int64_t now);

#endif
