/* An echo server for many idle clients: between two lines a client has no task, and so no stack.
 * Its stream is parked, with what is known of the client as the handler's argument.
 *     parked_echo [PORT]      (8888; 0: a free one) */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

struct client {
    unsigned lines;
};

/* In a task of its own, when a line has begun, or at the end of the stream. What came with the line
 * stays in the reader: then the parked stream is resumed at once. */
static void hear(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct client *client = argument;
    struct weir_slice line;
    if (weir_readline(reader, &line) > 0) {
        client->lines++;
        weir_write_slice(writer, line); /* uncopied */
        if (weir_drain(writer) == 0 && weir_park(writer, hear, client) == 0)
            return; /* neither the stream nor the client is this task's any more */
    }
    printf("%s left, lines: %u\n", weir_get_extra_info(writer, "peername"), client->lines);
    free(client);
} /* not parked: the stream is this task's, and closes with it */

static void greet(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused, (void)reader;
    struct client *client = calloc(1, sizeof *client);
    if (client != NULL && weir_park(writer, hear, client) < 0)
        free(client);
}

static int serve(void *port)
{
    struct weir_server *server;
    int rc = weir_start_server(greet, NULL, "127.0.0.1", *(uint16_t *)port, NULL, &server);
    if (rc < 0)
        return rc;

    printf("Serving on %s\n", weir_server_sockname(server, 0));
    rc = weir_wait_signal(SIGINT, SIGTERM);
    struct weir_metrics metrics;
    weir_get_metrics(&metrics);
    printf("parked clients: %u\n", (unsigned)metrics.streams_parked);
    weir_server_shutdown(server, WEIR_SECOND); /* closes them: each is heard once more */
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? atoi(argv[1]) : 8888;
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also to a file */
    int rc = weir_run(serve, &port, NULL);
    if (rc < 0)
        fprintf(stderr, "parked_echo: %s\n", weir_strerror(rc));
    return rc < 0;
}
