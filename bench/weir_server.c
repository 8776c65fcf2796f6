/* What the raw servers do, by weir, as its user would write it: bulk, a proxy, and HTTP with a
 * connection a request. Echo and HTTP are measured with weir-echo and weir-http; the echo here parks
 * its clients between two messages, for bench/idle. */
#include "../tools/metrics.h"
#include "common.h"
#include "pattern.h"

#include <weir.h>

#define PROGRAM "weir_server"

enum {
    READ_MOST = 1 << 20, /* more than ever lies together */
    BACKLOG = 4096,
};

/* An address, as weir takes it. */
struct place {
    char host[NI_MAXHOST];
    uint16_t port;
};

static struct {
    struct server_options options;
    struct place to;
    const unsigned char *pattern;
} program;

/* ---- What a client's task does --------------------------------------------------------------- */

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    if (weir_read(reader, READ_MOST, &data) <= 0)
        return;
    weir_write_slice(writer, data);
    if (weir_drain(writer) == 0)
        weir_park(writer, echo, unused);
}

static void answer_once(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice head;
    if (weir_readuntil(reader, "\r\n\r\n", &head) > 0)
        weir_write(writer, HTTP_ANSWER, HTTP_ANSWER_SIZE);
} /* the stream is this task's, and closes with it */

static void take(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice part;
    uint64_t received = 0;
    ssize_t size;
    while ((size = weir_read(reader, READ_MOST, &part)) > 0)
        received += (uint64_t)size;
    uint64_t count = htobe64(received);
    if (size == 0)
        weir_write(writer, &count, sizeof count);
}

static void give(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice asked;
    struct source_request request;
    if (weir_readexactly(reader, SOURCE_REQUEST_SIZE, &asked) < 0 ||
        !source_request_decode(asked.data, &request))
        return;
    for (uint64_t sent = 0; sent < request.total;) {
        size_t size = source_left(&request, sent);
        if (weir_write_all(writer, program.pattern, size) < 0)
            return;
        sent += size;
    }
}

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

static void proxy(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct direction up = { .reader = reader }, down = { .writer = writer };
    if (weir_open_connection(program.to.host, program.to.port, NULL, &down.reader, &up.writer) < 0)
        return;
    struct weir_group group = { 0 };
    weir_group_start(&group, forward, &up);
    weir_group_start(&group, forward, &down);
    weir_group_wait(&group); /* if one way breaks, the other is cancelled */
}

/* ---- Serving --------------------------------------------------------------------------------- */

static weir_client_connected_fn *served(void)
{
    switch (program.options.mode) {
    case MODE_ECHO:
        return echo;
    case MODE_SINK:
        return take;
    case MODE_SOURCE:
        return give;
    case MODE_PROXY:
        return proxy;
    default:
        return answer_once;
    }
}

static void print_metrics(void)
{
    union metrics now;
    weir_get_metrics(&now.metrics);
    metrics_print(&now);
    printf("}\n");
    fflush(stdout);
}

static struct place place_of(const struct address *address)
{
    struct place place = { .port = 0 };
    char port[NI_MAXSERV] = "";
    getnameinfo((const struct sockaddr *)&address->storage, address->size, place.host,
                sizeof place.host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    place.port = (uint16_t)atoi(port);
    return place;
}

static int start(struct weir_server **ret_server)
{
    const struct weir_server_options options = {
        .backlog = BACKLOG,
        .start_parked = program.options.mode == MODE_ECHO,
    };
    const struct address *address = &program.options.address;
    if (address->path)
        return weir_start_unix_server(served(), NULL, address->path, &options, ret_server);
    struct place place = place_of(address);
    return weir_start_server(served(), NULL, place.host, place.port, &options, ret_server);
}

static int serve(void *unused)
{
    struct weir_server *server;
    int rc = start(&server);
    if (rc < 0)
        return rc;
    if (program.options.address.path)
        printf(PROGRAM ": listening on unix:%s\n", program.options.address.path);
    else
        printf(PROGRAM ": listening on %s\n", weir_server_sockname(server, 0));
    fflush(stdout);
    weir_wait_signal(SIGINT, SIGTERM);
    weir_server_shutdown(server, 0);
    if (program.options.metrics)
        print_metrics();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct server_program self = {
        .name = PROGRAM,
        .what = "echo that parks, bulk, a proxy, HTTP with a connection a request, by weir",
        .modes = MODE_ECHO | MODE_HTTP_CLOSE | MODE_SINK | MODE_SOURCE | MODE_PROXY,
        .has_metrics = true,
    };
    program.options = parse_server_options(&self, argc, argv);
    if (program.options.mode == MODE_PROXY)
        program.to = place_of(&program.options.to);
    program.pattern = bench_pattern(PATTERN_SIZE);
    raise_descriptor_limit();
    int rc = weir_run(serve, NULL, NULL);
    if (rc < 0)
        die(PROGRAM, EXIT_FAILED, "%s", weir_strerror(rc));
    return EXIT_OK;
}
