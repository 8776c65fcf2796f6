/* The key-value server as a program, in the real kernel: a port, or 7000. */
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

static struct kv_store store;

static int serve(void *port)
{
    struct weir_server *server;
    int rc = weir_start_server(kv_serve, &store, "127.0.0.1", *(uint16_t *)port, NULL, &server);
    if (rc < 0)
        return rc;
    printf("Serving on %s\n", weir_server_sockname(server, 0));
    fflush(stdout);
    return weir_server_serve_forever(server);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)atoi(argv[1]) : 7000;
    int rc = weir_run(serve, &port, NULL);
    fprintf(stderr, "kv: %s\n", weir_strerror(rc));
    return rc < 0;
}
