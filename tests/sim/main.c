/* The scenarios that run in the simulated kernel, as a program: --help tells how. */
#include <weir-sim.h>

#include "scenarios.h"

static const struct weir_run_options tiny_ring = { .ring_entries = 4,
                                                   .receive_memory = 64 * 1024,
                                                   .stack_size = 128 * 1024 };
static const struct weir_run_options small_ring = { .ring_entries = 8,
                                                    .receive_memory = 64 * 1024 };
static const struct weir_run_options two_loops = { .threads = 2 }, three_loops = { .threads = 3 };
static unsigned two = 2, three = 3;
static bool timed = true; /* time is measured, in worlds in which it does not jump */

/* Where there is no io_uring, nothing runs, and weir_run() says why. */
static int scenario_never(void *unused)
{
    (void)unused;
    weir_sim_fail("it runs without a ring");
}

static const struct weir_sim_scenario scenarios[] = {
    { .name = "echo", .main = scenario_echo },
    { .name = "requests", .main = scenario_requests },
    { .name = "bulk", .main = scenario_bulk },
    { .name = "bulk-small", .main = scenario_bulk, .options = { .run = &small_ring } },
    { .name = "half-close", .main = scenario_half_close },
    { .name = "proxy", .main = scenario_proxy },
    { .name = "proxy-small", .main = scenario_proxy, .options = { .run = &small_ring } },
    { .name = "broadcast", .main = scenario_broadcast },
    { .name = "eyeballs", .main = scenario_eyeballs },
    { .name = "eyeballs-timed",
      .main = scenario_eyeballs,
      .options = { .calm = true },
      .argument = &timed },
    { .name = "slow-names", .main = scenario_slow_names },
    { .name = "shutdown", .main = scenario_shutdown },
    { .name = "shutdown-timed",
      .main = scenario_shutdown,
      .options = { .calm = true },
      .argument = &timed },
    { .name = "many", .main = scenario_many, .options = { .run = &tiny_ring } },
    { .name = "many-8", .main = scenario_many, .options = { .run = &small_ring } },
    { .name = "crowd", .main = scenario_crowd },
    { .name = "crowd-calm", .main = scenario_crowd, .options = { .calm = true } },
    { .name = "fds-12", .main = scenario_fds, .options = { .fds = 12 } },
    { .name = "fds-16", .main = scenario_fds, .options = { .fds = 16 } },
    { .name = "fds-20", .main = scenario_fds, .options = { .fds = 20 } },
    { .name = "parked", .main = scenario_parked },
    { .name = "interrupts", .main = scenario_interrupts },
    { .name = "interrupts-tiny", .main = scenario_interrupts, .options = { .run = &tiny_ring } },
    { .name = "timeouts", .main = scenario_timeouts },
    { .name = "timeouts-timed",
      .main = scenario_timeouts,
      .options = { .calm = true },
      .argument = &timed },
    { .name = "storm", .main = scenario_storm },
    { .name = "storm-tiny", .main = scenario_storm, .options = { .run = &tiny_ring } },
    { .name = "threads-2",
      .main = scenario_threads,
      .options = { .run = &two_loops },
      .argument = &two },
    { .name = "threads-3",
      .main = scenario_threads,
      .options = { .run = &three_loops },
      .argument = &three },
    { .name = "unix", .main = scenario_unix },
    { .name = "unix-calm", .main = scenario_unix, .options = { .calm = true } },
    { .name = "strangers", .main = scenario_strangers },
    { .name = "unread", .main = scenario_unread, .options = { .run = &small_ring } },
    { .name = "tls", .main = scenario_tls },
    { .name = "tls-corrupted", .main = scenario_tls_corrupted },
    { .name = "start-tls", .main = scenario_start_tls },
    { .name = "metrics", .main = scenario_metrics, .options = { .calm = true } },
    { .name = "tls-heap", .main = scenario_tls_heap },
    { .name = "tls-cut", .main = scenario_tls_cut },
    { .name = "tls-silent", .main = scenario_tls_silent },
    { .name = "signals", .main = scenario_signals },
    { .name = "attempts", .main = scenario_attempts, .options = { .calm = true } },
    { .name = "answers", .main = scenario_answers },
    { .name = "answers-8", .main = scenario_answers, .options = { .run = &small_ring } },
    { .name = "unheard", .main = scenario_unheard },
    { .name = "unheard-8", .main = scenario_unheard, .options = { .run = &small_ring } },
    { .name = "departures", .main = scenario_departures, .options = { .calm = true } },
    { .name = "full-house", .main = scenario_full_house },
    { .name = "adopted", .main = scenario_adopted },
    { .name = "shared-2",
      .main = scenario_shared,
      .options = { .run = &two_loops },
      .argument = &two },
    { .name = "shared-3",
      .main = scenario_shared,
      .options = { .run = &three_loops },
      .argument = &three },
    { .name = "tls-given-up", .main = scenario_tls_given_up },
    { .name = "tls-given-up-calm", .main = scenario_tls_given_up, .options = { .calm = true } },
    { .name = "framing", .main = scenario_framing },
    { .name = "groups", .main = scenario_groups },
    { .name = "events", .main = scenario_events },
    { .name = "drains", .main = scenario_drains },
    { .name = "leaving", .main = scenario_leaving },
    { .name = "restless", .main = scenario_restless, .options = { .calm = true } },
    { .name = "resets", .main = scenario_resets },
    { .name = "last-words", .main = scenario_last_words, .options = { .calm = true } },
    { .name = "aborts", .main = scenario_aborts, .options = { .calm = true } },
    { .name = "restart", .main = scenario_restart, .options = { .fds = 16 } },
    { .name = "turns", .main = scenario_turns },
    { .name = "overfed",
      .main = scenario_overfed,
      .options = { .run = &small_ring, .calm = true } },
    { .name = "no-ring-filtered",
      .main = scenario_never,
      .options = { .kernel = "EPERM" },
      .result = WEIR_RING_BLOCKED },
    { .name = "no-ring-disabled",
      .main = scenario_never,
      .options = { .kernel = "disabled" },
      .result = WEIR_RING_DISABLED },
    { .name = "no-ring-old",
      .main = scenario_never,
      .options = { .kernel = "ENOSYS" },
      .result = WEIR_RING_MISSING },
    { 0 },
};

int main(int argc, char **argv)
{
    return weir_sim_main(argc, argv, scenarios);
}
