/* Passes connections on to another server, both ways at once and uncopied. In asyncio these are two
 * pumping tasks in a TaskGroup.      forward_proxy LISTEN_PORT HOST PORT */
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

struct direction {
    struct weir_reader *reader;
    struct weir_writer *writer;
};

static int forward(void *argument)
{
    struct direction *way = argument;
    int64_t moved = weir_forward(way->reader, way->writer);
    return moved < 0 ? (int)moved : 0;
}

static void proxy(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    char **argv = argument;
    struct direction up = { .reader = reader }, down = { .writer = writer };
    if (weir_open_connection(argv[2], atoi(argv[3]), NULL, &down.reader, &up.writer) < 0)
        return;

    struct weir_group group = { 0 };
    weir_group_start(&group, forward, &up);
    weir_group_start(&group, forward, &down);
    weir_group_wait(&group); /* if one way breaks, the other is cancelled */
} /* both streams are this task's, and close with it */

static int serve(void *argument)
{
    char **argv = argument;
    struct weir_server *server;
    int rc = weir_start_server(proxy, argv, "127.0.0.1", atoi(argv[1]), NULL, &server);
    if (rc == 0)
        printf("Forwarding %s\n", weir_server_sockname(server, 0));
    fflush(stdout);
    return rc < 0 ? rc : weir_server_serve_forever(server);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: forward_proxy LISTEN_PORT HOST PORT\n");
        return 2;
    }
    int rc = weir_run(serve, argv, NULL);
    if (rc < 0)
        fprintf(stderr, "forward_proxy: %s\n", weir_strerror(rc));
    return rc < 0;
}
