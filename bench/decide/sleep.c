/* How late a wait ends whose time is up: the time-out that io_uring_enter takes, a timer among the
 * ring's operations, and nanosleep(2), to know the machine by. Nothing else happens in the ring. */
#include "figures.h"
#include "ring.h"

#define PROGRAM "sleep"

enum way { ENTER, OPERATION, NANOSLEEP };
enum { COUNT_MOST = 100000, NS_IN_US = 1000 };

static struct {
    unsigned way, us, count;
    struct ring ring;
    int64_t overruns[COUNT_MOST];
} sleeper = { .us = 1000, .count = 200 };

static void sleep_by_enter(void)
{
    int error = ring_enter(&sleeper.ring, true);
    if (error != -ETIME)
        die(PROGRAM, EXIT_FAILED, "the wait ended with %d, not with ETIME", error);
}

static void sleep_by_operation(void)
{
    struct __kernel_timespec time = { .tv_nsec = (long long)sleeper.us * NS_IN_US };
    io_uring_prep_timeout(ring_sqe(&sleeper.ring), &time, 0, 0);
    int result = ring_next(&sleeper.ring, PROGRAM).result;
    if (result != -ETIME)
        die(PROGRAM, EXIT_FAILED, "the timer ended with %d, not with ETIME", result);
}

static void sleep_by_nanosleep(void)
{
    struct timespec time = { .tv_nsec = (long)sleeper.us * NS_IN_US };
    nanosleep(&time, NULL);
}

static void print_figures(double cpu_us)
{
    const int64_t *sorted = sleeper.overruns;
    unsigned count = sleeper.count;
    printf("{\"late_p50_us\": %.2f, \"late_p99_us\": %.2f, \"late_most_us\": %.2f, "
           "\"early\": %u, \"cpu_us\": %.3f}\n",
           percentile_us(sorted, count, 50), percentile_us(sorted, count, 99),
           percentile_us(sorted, count, 100), sorted[0] < 0, cpu_us / count);
}

static const struct choice choices[] = {
    { "way", &sleeper.way, 0, 0, { "enter", "operation", "nanosleep" }, "to sleep" },
    { "us", &sleeper.us, 1, 999999, .what = "how long" },
    { "count", &sleeper.count, 1, COUNT_MOST, .what = "how often" },
    { .name = NULL },
};

int main(int argc, char **argv)
{
    static const struct choices_program program = {
        .name = PROGRAM,
        .what = "sleeps, and tells how much too long",
        .tables = { choices },
    };
    static void (*const ways[])(void) = { sleep_by_enter, sleep_by_operation, sleep_by_nanosleep };
    parse_choices(&program, argc, argv, NULL);
    ring_open(&sleeper.ring, PROGRAM, &(struct ring_choices){ .timeout = sleeper.way == ENTER });
    sleeper.ring.timeout =
        (struct __kernel_timespec){ .tv_nsec = (long long)sleeper.us * NS_IN_US };
    double cpu_us = thread_cpu_us();
    for (unsigned i = 0; i < sleeper.count; i++) {
        int64_t begun = now_ns();
        ways[sleeper.way]();
        sleeper.overruns[i] = now_ns() - begun - (int64_t)sleeper.us * NS_IN_US;
    }
    cpu_us = thread_cpu_us() - cpu_us;
    sort_ns(sleeper.overruns, sleeper.count);
    print_figures(cpu_us);
    return EXIT_OK;
}
