/* What is done about a failure: it is run again, shrunk, traced, and told of. */
#ifndef WEIR_SIM_FAILURE_H
#define WEIR_SIM_FAILURE_H

#include "sim/child.h"

/* `outcome` is what came of the unit. Returns 1, or 130 after Ctrl-C. */
int failure_pursue(const struct settings *settings, const struct unit *unit,
                   const struct outcome *outcome);

#endif
