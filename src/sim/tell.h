/* What is told of a campaign: progress while it goes on, and its figures at the end. */
#ifndef WEIR_SIM_TELL_H
#define WEIR_SIM_TELL_H

#include "sim/child.h"

struct campaign {
    const struct settings *settings;
    const char *noun; /* what it counts: "seeds" */
    uint64_t count;   /* in all */
    uint64_t before;  /* done by calls before this one */
    struct totals totals_before;
    double begun, told;  /* seconds */
    bool terminal, line; /* there is a line to be rewritten */
};

enum { TEXT = 48 };

double seconds_now(void);                                       /* real ones, monotonic */
const char *commas(char text[TEXT], uint64_t number);           /* 12,345 */
const char *time_words(char text[TEXT], uint64_t microseconds); /* "3 h 12 min" */

bool tell_on_terminal(int fd); /* one that can rewrite a line, and has colours */
struct campaign campaign_begin(const struct settings *settings, const char *noun, uint64_t count);
struct totals campaign_totals(const struct campaign *campaign, const struct crew *crew);

/* Five times a second on a terminal, else every ten seconds. True when ten have passed again. */
void campaign_progress(struct campaign *campaign, const struct crew *crew);
void campaign_clear(struct campaign *campaign); /* the line, before other text */

/* `violations`: 0 or 1. */
void campaign_summary(const struct campaign *campaign, const struct totals *totals,
                      const char *ending, int violations);
int campaign_stats(const struct campaign *campaign, const struct totals *totals, int violations);
uint64_t faults_sum(const struct totals *totals);

/* "scenario 'echo', seed 42" and, of torture, which call fails. */
void unit_words(const struct unit *unit, char *text, size_t size);

/* The heading of what went wrong, and what the process wrote. */
void tell_failure(const char *kind, const char *where, const struct outcome *outcome);

#endif
