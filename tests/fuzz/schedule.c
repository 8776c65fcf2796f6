/* Target: the schedule itself. The first byte says which scenario of tests/sim is played, the
 * others are what the simulated world decides: who goes next, where data is split, what fails. A
 * violation of what the scenario, or the world, demands ends the process. */
#include <stdlib.h>

#include "fuzz.h"
#include "sim/scenarios.h"
#include "sim/search.h"

static const struct weir_run_options small_ring = { .ring_entries = 8, .stack_size = 128 * 1024 };

static const struct weir_sim_scenario scenarios[] = {
    { .name = "echo", .main = scenario_echo },
    { .name = "requests", .main = scenario_requests },
    { .name = "bulk", .main = scenario_bulk, .options = { .run = &small_ring } },
    { .name = "half-close", .main = scenario_half_close },
    { .name = "proxy", .main = scenario_proxy, .options = { .run = &small_ring } },
    { .name = "broadcast", .main = scenario_broadcast },
    { .name = "shutdown", .main = scenario_shutdown },
    { .name = "parked", .main = scenario_parked },
    { .name = "interrupts", .main = scenario_interrupts, .options = { .run = &small_ring } },
    { .name = "timeouts", .main = scenario_timeouts },
    { .name = "unix", .main = scenario_unix },
    { .name = "eyeballs", .main = scenario_eyeballs },
    { .name = "slow-names", .main = scenario_slow_names },
    { .name = "many", .main = scenario_many, .options = { .run = &small_ring } },
    { .name = "fds", .main = scenario_fds, .options = { .fds = 16 } },
    { .name = "storm", .main = scenario_storm, .options = { .run = &small_ring } },
    { .name = "strangers", .main = scenario_strangers },
    { .name = "unread", .main = scenario_unread, .options = { .run = &small_ring } },
    { .name = "tls", .main = scenario_tls },
    { .name = "start-tls", .main = scenario_start_tls },
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, bytes + size };
    unsigned which = input_below(&input, SCENARIOS);
    weir_sim_bytes(&scenarios[which], input.at, input_left(&input));
    return 0;
}
