/* asyncio's "TCP echo client using streams": sends a message, and prints what comes back.
 *     echo_client [PORT [MESSAGE]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

static int echo_client(void *argument)
{
    char **argv = argument;
    uint16_t port = argv[1] ? atoi(argv[1]) : 8888;
    const char *message = argv[1] && argv[2] ? argv[2] : "Hello World!";

    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_connection("127.0.0.1", port, NULL, &reader, &writer);
    if (rc < 0)
        return rc;

    printf("Send: %s\n", message);
    weir_printf(writer, "%s\n", message);
    weir_drain(writer);

    struct weir_slice reply;
    ssize_t n = weir_readline(reader, &reply);
    if (n > 0)
        printf("Received: %.*s", (int)reply.size, reply.data);
    else if (n == 0)
        printf("The server has closed without an answer\n");

    weir_close(writer);
    return weir_wait_closed(writer); /* the first thing that went wrong, if anything did */
}

int main(int argc, char **argv)
{
    (void)argc;
    int rc = weir_run(echo_client, argv, NULL);
    if (rc < 0)
        fprintf(stderr, "echo_client: %s\n", weir_strerror(rc));
    return rc < 0;
}
