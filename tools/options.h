/* The options of weir's command-line servers. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "cli.h"
#include "metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_ADDRESSES = 16, MAX_THREADS = 1024 };

struct address {
    const char *text; /* as it was given, for messages */
    const char *path; /* a Unix socket's; NULL for TCP */
    char host[256];
    uint16_t port;
};

/* Shared by all threads, which only read it but for the atomics and what a lock is named for. */
struct settings {
    const struct cli_tool *tool;
    struct address addresses[MAX_ADDRESSES];
    size_t address_count;
    unsigned threads;
    weir_duration grace;
    bool metrics; /* to be printed at the end */
    struct weir_tls_options tls_options;
    struct weir_tls *tls; /* NULL: plain */
    atomic_uint threads_waiting;
    bool failure_told; /* under the lock of stderr */

    /* Of the threads that have ended, under the lock of stdout. */
    unsigned threads_ended;
    union metrics sum;
    uint64_t accepted[MAX_THREADS]; /* connections, by thread */
};

/* Obeys the arguments. Returns -1 to go on, or the status to exit with. */
int options_parse(struct settings *settings, char **argv, int argc);

#endif
