/* How far a campaign has come, in a file: so that the next call goes on where this one stopped. */
#ifndef WEIR_SIM_RESUME_H
#define WEIR_SIM_RESUME_H

#include "sim/child.h"

/* `ret_done` seeds need not be run again; 0 if there is no file. NULL, or what is wrong. */
const char *resume_load(const struct settings *settings, uint64_t *ret_done,
                        struct totals *ret_totals);
int resume_save(const struct settings *settings, uint64_t done, const struct totals *totals);

#endif
