/* The timers against a model of them: they fire in the order of their deadlines, and stopped ones
 * never do. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "task/timer.h"

enum { TIMERS = 2000, ROUNDS = 50 };

static struct timer all[TIMERS];
static int64_t last_fired;
static int fired;

static void fire(struct timer *timer)
{
    cr_assert(ge(i64, timer->deadline, last_fired));
    last_fired = timer->deadline;
    fired++;
}

static unsigned roll(unsigned sides)
{
    static unsigned random = 7;
    random = random * 1103515245 + 12345;
    return (random >> 16) % sides;
}

Test(timer, fires_in_order, .timeout = 20)
{
    struct timers timers = { 0 };
    for (int round = 0; round < ROUNDS; round++) {
        bool running[TIMERS] = { false };
        int started = 0, stopped = 0;
        fired = 0;
        last_fired = 0;
        for (int step = 0; step < 2 * TIMERS; step++) {
            unsigned i = roll(TIMERS);
            if (running[i]) {
                timer_stop(&timers, &all[i]);
                timer_stop(&timers, &all[i]); /* the second time does nothing */
                stopped++;
            } else {
                timer_start(&timers, &all[i], 1 + roll(1000), fire);
                started++;
            }
            running[i] = !running[i];
        }
        timers_fire(&timers, 500);
        cr_assert(le(i64, last_fired, 500));
        cr_assert(timers.first == NULL || timers.first->deadline > 500);
        timers_fire(&timers, 1000);
        cr_assert(eq(int, fired, started - stopped));
        cr_assert(eq(ptr, timers.first, NULL));
    }
}
