/* What weir's command-line servers share: their options, one server for each address in every
 * thread, TLS, and an orderly end on SIGINT or SIGTERM. */
#ifndef CLI_H
#define CLI_H

#include <weir.h>

struct cli_tool {
    const char *name;                           /* "weir-echo": begins every message */
    const char *purpose;                        /* what it does, for --help */
    const char *listen;                         /* the address without --listen */
    const char *tls_scheme;                     /* of its URLs over TLS: "https://" */
    weir_client_connected_fn *client_connected; /* its argument is NULL */
    size_t limit;                               /* each client's reader's; 0: 64 KiB */
};

/* The whole of main(): serves until a signal. Returns the exit status: 0, 1 if it could not serve,
 * 2 for options that make no sense. */
int cli_main(const struct cli_tool *tool, int argc, char **argv);

#endif
