/* The options of a program of scenarios, and what --help says of them. */
#ifndef WEIR_SIM_OPTIONS_H
#define WEIR_SIM_OPTIONS_H

#include "sim/search.h"

/* Takes argv into the settings. False if it cannot: that has been told. */
bool options_take(struct settings *settings);

/* Tells what is wrong with the arguments. False, for the caller to return. */
bool options_wrong(const struct settings *settings, const char *what);

void options_help(const char *program);

#endif
