/* asyncio's "TCP echo server using streams": sends back line by line, each client in a task.
 *     echo_server [PORT]      (8888; 0: a free one) */
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct weir_slice line;
    while (weir_readline(reader, &line) > 0) {
        printf("%s: %.*s", weir_get_extra_info(writer, "peername"), (int)line.size, line.data);
        weir_write_slice(writer, line); /* uncopied */
        if (weir_drain(writer) < 0)
            break;
    }
} /* the stream is this task's, and closes with it */

static int serve(void *port)
{
    struct weir_server *server;
    int rc = weir_start_server(echo, NULL, "127.0.0.1", *(uint16_t *)port, NULL, &server);
    if (rc < 0)
        return rc;

    printf("Serving on %s\n", weir_server_sockname(server, 0));
    return weir_server_serve_forever(server);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? atoi(argv[1]) : 8888;
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also to a file */
    int rc = weir_run(serve, &port, NULL);
    if (rc < 0)
        fprintf(stderr, "echo_server: %s\n", weir_strerror(rc));
    return rc < 0;
}
