/* Decisions of a world in a file, to be run again: text, so that one can read and change it. */
#ifndef WEIR_SIM_DECISIONS_H
#define WEIR_SIM_DECISIONS_H

#include "sim/child.h"

struct decisions {
    char scenario[128], kernel[16]; /* kernel "": the decisions choose it */
    struct unit unit;               /* its scenario is for the caller to find */
    uint32_t *list;                 /* to be freed; unit's too */
};

/* 0, or -errno. */
int decisions_save(const char *path, const struct settings *settings, const struct unit *unit);

/* Returns NULL, or what is wrong, in words. */
const char *decisions_load(const char *path, struct decisions *ret_decisions);

#endif
