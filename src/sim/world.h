/* The one world: its beginning, its end, and what is told of it. */
#ifndef WEIR_SIM_WORLD_H
#define WEIR_SIM_WORLD_H

#include <weir-sim.h>

#include "sim/choice.h"

/* How a world is to be made, beyond what a user may say. */
struct world_plan {
    struct choice_source source;
    struct choice_record *record;
    const struct weir_sim_options *options;
};

/* As weir_sim_run(). */
int world_run(const struct world_plan *plan, weir_task_fn *main, void *argument);

/* Called instead of abort() after a violation has been told; for who runs many worlds. */
extern void (*world_violated)(const char *what);

/* One line of the trace, if it is wanted: who, when, what. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern bool trace_is_on;

/* A breach of the rules: told with the seed, and the end. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* `what` is done by the world's own threads only: anywhere else it is a violation. */
void world_expect(const char *what);

/* Kernel features of the profile. */
struct profile {
    const char *name;
    int setup_error;    /* 0, or that of io_uring_setup */
    int disabled;       /* kernel.io_uring_disabled */
    bool no_sqarray;    /* 6.6 */
    bool no_iowait;     /* 6.15 */
    bool defer_taskrun; /* 6.1 */
    unsigned version;   /* 601, 606, 612, 618 */
};
const struct profile *world_profile(void);

#endif
