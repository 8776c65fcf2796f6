/* The program around worlds: what was asked of it, and the ways to go through many worlds. */
#ifndef WEIR_SIM_SEARCH_H
#define WEIR_SIM_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir-sim.h>

enum { TORTURE_ONCE = 1, TORTURE_ONWARD = 2 };

struct settings {
    int argc;
    char **argv;
    const struct weir_sim_scenario **scenarios; /* those asked for: seed n is of (n - 1) % count */
    size_t scenario_count;
    uint64_t first, seeds;
    uint64_t seed;         /* only this one; 0: none */
    uint64_t check_replay; /* of how many seeds; 0: no */
    uint64_t at, shallow;  /* torture: of one call only; of so many pairs only; 0: no */
    uint64_t jobs, shrink_seconds, hang_seconds;
    unsigned torture; /* TORTURE_... */
    bool onward, trace, no_shrink, calm, quiet, list, help;
    bool one_call;     /* `at` was given */
    const char *names; /* of scenarios, as given */
    const char *decisions, *stats, *ledger, *resume, *kernel;
    int shared_fd; /* of a worker that runs the program anew, which `worker` it is; -1: none */
    unsigned worker;
};

/* Each returns what main() should. */
int search_seeds(const struct settings *settings);
int search_replay(const struct settings *settings);  /* --check-replay */
int search_torture(const struct settings *settings); /* --torture */
int search_one(const struct settings *settings);     /* --seed, --decisions, --at */
int search_worker(const struct settings *settings);  /* a worker of search_replay() */

#endif
