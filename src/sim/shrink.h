/* Makes the decisions that lead to a failure fewer and smaller, so that a person can read what
 * matters: as many as can be are 0, which is what would usually happen. */
#ifndef WEIR_SIM_SHRINK_H
#define WEIR_SIM_SHRINK_H

#include "sim/child.h"

struct shrunk {
    uint32_t *list; /* to be freed; those past `count` are 0 */
    size_t count;
    uint64_t runs; /* worlds it took */
    bool in_time;  /* there is nothing more that it could have tried */
};

/* `unit` has the decisions as a list, and ends as `wanted` says. 0, -EINTR after Ctrl-C, with what
 * has been reached, or -ENOMEM and other failures, with an unchanged list if there is one. */
int shrink(const struct settings *settings, const struct unit *unit, const struct outcome *wanted,
           double run_limit, struct shrunk *ret_shrunk);

size_t count_chosen(const uint32_t *list, size_t count); /* those that are not 0 */

#endif
