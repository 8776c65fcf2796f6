/* TLS in front of a server that does not speak it: passes what comes over TLS on in plain text.
 *     tls_terminator LISTEN_PORT HOST PORT CERTIFICATE KEY */
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

static void terminate(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    char **argv = argument;
    struct direction up = { .reader = reader }, down = { .writer = writer };
    if (weir_open_connection(argv[2], atoi(argv[3]), NULL, &down.reader, &up.writer) < 0)
        return;

    struct weir_group group = { 0 };
    weir_group_start(&group, forward, &up);
    weir_group_start(&group, forward, &down);
    int rc = weir_group_wait(&group); /* if one way breaks, the other is cancelled */
    if (rc < 0)
        weir_abort(writer); /* without close_notify: there would have been more */
} /* both streams are this task's, and close with it */

struct terminator {
    char **argv;
    struct weir_tls *tls;
};

static int serve(void *argument)
{
    struct terminator *self = argument;
    struct weir_server_options options = { .tls = self->tls };
    struct weir_server *server;
    int rc = weir_start_server(terminate, self->argv, "127.0.0.1", atoi(self->argv[1]), &options,
                               &server);
    if (rc == 0)
        printf("Terminating TLS on %s\n", weir_server_sockname(server, 0));
    fflush(stdout);
    return rc < 0 ? rc : weir_server_serve_forever(server);
}

int main(int argc, char **argv)
{
    struct terminator self = { .argv = argv };
    if (argc != 6) {
        fprintf(stderr, "usage: tls_terminator LISTEN_PORT HOST PORT CERTIFICATE KEY\n");
        return 2;
    }
    struct weir_tls_options options = { .certificate_file = argv[4], .key_file = argv[5] };
    int rc = weir_tls_server(&options, &self.tls);
    if (rc == 0)
        rc = weir_run(serve, &self, NULL);
    if (rc < 0)
        fprintf(stderr, "tls_terminator: %s\n", weir_strerror(rc));
    weir_tls_free(self.tls);
    return rc < 0;
}
