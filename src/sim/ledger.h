/* Campaigns, written down in a Markdown file: a table of campaigns, after a line
 * `<!-- ledger -->`, and one of the faults that fired in all of them, after `<!-- faults -->`. */
#ifndef WEIR_SIM_LEDGER_H
#define WEIR_SIM_LEDGER_H

#include "sim/child.h"

struct ledger_row {
    char commit[64]; /* with a + if the tree differs from it */
    uint64_t first, seeds;
    int violations;
};

/* Before the campaign, so that a bad file is told of at once: NULL, or what is wrong. Fills in the
 * commit, as the program was made of it. */
const char *ledger_check(const char *path, struct ledger_row *ret_row);

/* Adds a row to the one table, and the faults to the other. NULL, or what is wrong. */
const char *ledger_add(const char *path, const struct ledger_row *row, const struct totals *totals);

#endif
