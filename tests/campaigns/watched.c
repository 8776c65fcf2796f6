/* watched: an echo server that prints the library's counters every second, and at once on SIGUSR1,
 * so that a campaign sees the tasks, streams and segments of a server that runs.
 *     watched [CERTIFICATE KEY] */
#include "../../tools/metrics.h"

#include <signal.h>

enum { READ_MOST = 1 << 20 };

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct weir_slice data;
    while (weir_read(reader, READ_MOST, &data) > 0) {
        if (weir_write_slice(writer, data) < 0 || weir_drain(writer) < 0)
            return;
    }
}

static void print_counters(void)
{
    union metrics now;
    weir_get_metrics(&now.metrics);
    metrics_print(&now);
    puts("}");
}

static int print_on_signal(void *unused)
{
    (void)unused;
    int number;
    while ((number = weir_wait_signal(SIGUSR1, 0)) > 0)
        print_counters();
    return number;
}

static int print_each_second(void *unused)
{
    (void)unused;
    int rc;
    while ((rc = weir_sleep(WEIR_SECOND)) == 0)
        print_counters();
    return rc;
}

static int serve(void *tls)
{
    struct weir_server_options options = { .tls = tls };
    struct weir_server *server;
    int rc = weir_start_server(echo, NULL, "127.0.0.1", 0, &options, &server);
    if (rc < 0)
        return rc;
    printf("watched: listening on %s\n", weir_server_sockname(server, 0));

    struct weir_group group = { 0 };
    rc = weir_group_start(&group, print_each_second, NULL);
    if (rc == 0)
        rc = weir_group_start(&group, print_on_signal, NULL);
    if (rc == 0)
        rc = weir_wait_signal(SIGTERM, SIGINT);
    weir_group_cancel(&group);
    weir_group_wait(&group);
    int ended = weir_server_shutdown(server, WEIR_SECOND);
    print_counters();
    return rc < 0 ? rc : ended;
}

int main(int argc, char **argv)
{
    struct weir_tls *tls = NULL;
    int rc = 0;
    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: watched [CERTIFICATE KEY]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3) {
        struct weir_tls_options options = { .certificate_file = argv[1], .key_file = argv[2] };
        rc = weir_tls_server(&options, &tls);
    }
    if (rc == 0)
        rc = weir_run(serve, tls, NULL);
    weir_tls_free(tls);
    if (rc < 0)
        fprintf(stderr, "watched: %s\n", weir_strerror(rc));
    return rc < 0;
}
