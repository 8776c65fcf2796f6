/* What child.c and crew.c have in common: a process that runs worlds, from within and without. */
#ifndef WEIR_SIM_PROCESS_H
#define WEIR_SIM_PROCESS_H

#include "sim/child.h"

/* Waits until a child has ended, or for so long. False if the user wants us to stop. */
bool process_wait(int milliseconds);

int errors_open(void); /* a file in memory for a child's stderr */
void outcome_fill(struct outcome *outcome, const struct desk *from, int status, int errors_fd);

/* In the child: before its first world; the real time within which it must say so again, or end;
 * and one world. */
void process_begin(struct desk *own, int errors_fd);
void process_limit(double seconds);
void desk_run(const struct settings *settings, const struct unit *unit, bool trace);

#endif
