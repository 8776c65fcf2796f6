/* See tls_both.h. */
#include "tls_both.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* wolfSSL's handshake needs some 50 KB. */
const struct weir_run_options tls_run_options = { .stack_size = 256 * 1024 };

/* ---- Contexts ---------------------------------------------------------------------------------*/

const char *tls_file(const char *name)
{
    static _Thread_local char paths[16][512];
    static _Thread_local unsigned next;
    const char *directory = getenv("WEIR_TEST_CERTS");
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", directory != NULL ? directory : "build/certs-test",
             name);
    return path;
}

struct weir_tls *tls_context(enum tls_role role, const struct weir_tls_options *wanted)
{
    struct weir_tls_options options = { 0 };
    struct weir_tls *tls = NULL;
    if (wanted != NULL)
        options = *wanted;
    if (role == WEIR_SERVER && options.certificate_file == NULL) {
        options.certificate_file = tls_file("server.pem");
        options.key_file = tls_file("server-key.pem");
    }
    if (role == WEIR_CLIENT && options.ca_file == NULL && !options.insecure_skip_verification)
        options.ca_file = tls_file("ca.pem");
    int rc =
        role == WEIR_SERVER ? weir_tls_server(&options, &tls) : weir_tls_client(&options, &tls);
    expect_result(rc, 0);
    return tls;
}

/* ---- Two streams ------------------------------------------------------------------------------*/

struct both_end {
    struct weir_writer *writer;
    struct weir_tls *tls;
};

static int upgrade(void *argument)
{
    struct both_end *end = argument;
    struct weir_start_tls_options options = { .server_hostname = "localhost" };
    return weir_start_tls(end->writer, end->tls, &options);
}

void both_upgrade(struct tls_both *both)
{
    struct weir_group group = { 0 };
    struct both_end ends[] = { { both->writer, both->client },
                               { both->server_writer, both->server } };
    expect_result(weir_group_start(&group, upgrade, &ends[0]), 0);
    expect_result(weir_group_start(&group, upgrade, &ends[1]), 0);
    expect_result(weir_group_wait(&group), 0);
}

void both_open(struct tls_both *both, const struct weir_tls_options *client,
               const struct weir_tls_options *server)
{
    int fds[2];
    if (both->client == NULL)
        both->client = tls_context(WEIR_CLIENT, client);
    if (both->server == NULL)
        both->server = tls_context(WEIR_SERVER, server);
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    expect_result(weir_open_socket(fds[0], NULL, &both->reader, &both->writer), 0);
    expect_result(weir_open_socket(fds[1], NULL, &both->server_reader, &both->server_writer), 0);
    both_upgrade(both);
}

void both_close(struct tls_both *both)
{
    weir_close(both->writer);
    weir_close(both->server_writer);
    expect_result(weir_wait_closed(both->writer), 0);
    expect_result(weir_wait_closed(both->server_writer), 0);
    weir_tls_free(both->client);
    weir_tls_free(both->server);
}

/* ---- A server and its clients -----------------------------------------------------------------*/

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct tls_service *service = argument;
    struct weir_slice data;
    service->handlers++;
    while (weir_read(reader, 4096, &data) > 0) {
        weir_write_slice(writer, data);
        weir_drain(writer);
    }
    service->handlers--;
}

void service_open(struct tls_service *service)
{
    if (service->client == NULL)
        service->client = tls_context(WEIR_CLIENT, NULL);
    if (service->options.tls == NULL)
        service->options.tls = tls_context(WEIR_SERVER, NULL);
    expect_result(weir_start_server(service->handler != NULL ? service->handler : echo, service,
                                    "127.0.0.1", 0, &service->options, &service->server),
                  0);
    service->port = weir_server_port(service->server);
}

void service_free(struct tls_service *service)
{
    weir_tls_free(service->client);
    weir_tls_free(service->options.tls);
}

void service_close(struct tls_service *service)
{
    weir_server_close(service->server);
    expect_result(weir_server_wait_closed(service->server), 0);
    service_free(service);
}

int service_connect(const struct tls_service *service, struct pair *client)
{
    struct weir_connect_options options = { .tls = service->client };
    *client = (struct pair){ .peer = -1 };
    return weir_open_connection("127.0.0.1", service->port, &options, &client->reader,
                                &client->writer);
}

void expect_echo(struct pair *client)
{
    expect_result(weir_write(client->writer, "hello", 5), 0);
    expect_next(client->reader, "hello");
}
