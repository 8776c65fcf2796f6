/* The suite on the simulated kernel. A vector waits by itself, so it is a thread of its own, beside
 * a loop that has nothing to do. In the world of seed 0 chance decides nothing; with
 * CONFORMANCE_SEED it decides orders, sizes and delays, of which not every vector is free. */
#include <errno.h>
#include <stdlib.h>
#include <weir-sim.h>

#include "conformance.h"

size_t bulk_size = 1 << 20;
int64_t settle_time = 50 * MILLISECOND, quiet_time = 60 * MILLISECOND;

static void (*program)(void);

static void run_program(void *unused)
{
    (void)unused;
    weir_sim_route("192.0.2.1", -EHOSTUNREACH); /* all others are this machine's */
    program();
}

static int start(void *unused)
{
    (void)unused;
    return weir_sim_thread(run_program, NULL);
}

static int in_world(void (*run)(void))
{
    static const struct weir_sim_options options = { .kernel = "6.18", .calm = true };
    const char *seed = getenv("CONFORMANCE_SEED");
    program = run;
    return weir_sim_run(seed != NULL ? strtoull(seed, NULL, 0) : 0, start, NULL, &options);
}

int main(int argc, char **argv)
{
    return conformance_main(argc, argv, in_world);
}
