/* Servers over TLS on the loopback: who is let in, and when, and how they shut down; Unix sockets,
 * threads that share a context, and the smallest stacks. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_both.h"

TestSuite(tls_servers, .timeout = 30);

static void say_again(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    while (weir_read(reader, 4096, &data) > 0)
        if (weir_write_slice(writer, data) < 0 || weir_drain(writer) < 0)
            break;
}

/* ---- Clients that are raw sockets -------------------------------------------------------------*/

static int raw_connect(const struct tls_service *service)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons(service->port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, connect(fd, (struct sockaddr *)&name, sizeof name), 0));
    settle();
    return fd;
}

/* All that still comes, to its end. */
static size_t raw_read_to_end(int fd, void *buffer, size_t size)
{
    struct pair raw = { .peer = fd };
    size_t n = peer_read_to_end(&raw, buffer, size);
    close(fd);
    return n;
}

TlsTest(tls_servers, echo)
{
    struct tls_service service = { 0 };
    struct pair client;
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    cr_assert(eq(u64, metrics_now().tls_handshakes, 2));
    const char *peer = weir_get_extra_info(client.writer, "peername");
    cr_assert(eq(str, (char *)peer, (char *)weir_server_sockname(service.server, 0)));
    pair_close(&client);
    service_close(&service);
    return 0;
}

/* asyncio's create_server_ssl_1. */
static int client_task(void *argument)
{
    enum { SIZE = TINY ? 3000 : 100 * 1000, TIMES = 3 };
    struct pair client;
    struct weir_slice data;
    char *block = malloc(SIZE);
    pattern_fill(block, 0, SIZE);
    struct weir_slice lines[] = { { block, 100, NULL }, { block + 100, SIZE - 100, NULL } };
    expect_result(service_connect(argument, &client), 0);
    for (int time = 0; time < TIMES; time++) {
        expect_result(weir_writelines(client.writer, lines, 2), 0);
        expect_result(weir_readexactly(client.reader, SIZE, &data), SIZE);
        expect_pattern(data.data, 0, SIZE);
    }
    free(block);
    pair_close(&client);
    return 0;
}

TlsTest(tls_servers, clients_in_parallel)
{
    enum { CLIENTS = 25 };
    struct tls_service service = { 0 };
    struct weir_group group = { 0 };
    service_open(&service);
    for (int i = 0; i < CLIENTS; i++)
        expect_result(weir_group_start(&group, client_task, &service), 0);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(u64, metrics_now().tls_handshakes, 2 * CLIENTS));
    service_close(&service);
    return 0;
}

/* ---- Who is let in ----------------------------------------------------------------------------*/

TlsTest(tls_servers, handler_starts_after_the_handshake)
{
    struct tls_service service = { 0 };
    struct pair client;
    service_open(&service);
    int silent = raw_connect(&service);
    cr_assert(eq(int, service.handlers, 0));
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    cr_assert(eq(int, service.handlers, 1));
    close(silent);
    pair_close(&client);
    service_close(&service);
    cr_assert(eq(int, service.handlers, 0));
    return 0;
}

/* In plain text: an alert, the end, and no handler; others are served on. */
TlsTest(tls_servers, plain_http)
{
    enum { ALERT_RECORD = 21, ALERT_SIZE = 5 + 2 };
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    unsigned char answer[100];
    struct tls_service service = { 0 };
    struct pair client;
    service_open(&service);
    int raw = raw_connect(&service);
    cr_assert(eq(sz, send(raw, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1));
    cr_assert(eq(sz, raw_read_to_end(raw, answer, sizeof answer), ALERT_SIZE));
    cr_assert(eq(int, answer[0], ALERT_RECORD));
    cr_assert(eq(u64, metrics_now().tls_failures, 1));
    cr_assert(eq(int, service.handlers, 0));
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    pair_close(&client);
    service_close(&service);
    return 0;
}

TlsTest(tls_servers, client_that_is_silent)
{
    char answer[1];
    struct tls_service service = { .options.tls_handshake_timeout = 50 * WEIR_MILLISECOND };
    service_open(&service);
    cr_assert(eq(sz, raw_read_to_end(raw_connect(&service), answer, 1), 0));
    cr_assert(eq(u64, metrics_now().tls_failures, 1));
    cr_assert(eq(int, service.handlers, 0));
    service_close(&service);
    return 0;
}

TlsTest(tls_servers, client_that_leaves_at_once)
{
    struct tls_service service = { 0 };
    service_open(&service);
    close(raw_connect(&service));
    settle();
    cr_assert(eq(int, service.handlers, 0));
    service_close(&service);
    return 0;
}

/* ---- Shutdown ---------------------------------------------------------------------------------*/

static int read_to_end(void *argument)
{
    struct pair *client = argument;
    struct weir_slice data;
    expect_result(weir_read(client->reader, 100, &data), 0);
    pair_close(client);
    return 0;
}

/* With a client in its handler, and one in its handshake. */
TlsTest(tls_servers, shutdown)
{
    struct tls_service service = { 0 };
    struct weir_group group = { 0 };
    struct pair client;
    char end[1];
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    int silent = raw_connect(&service);
    expect_result(weir_group_start(&group, read_to_end, &client), 0);
    weir_server_shutdown(service.server, 20 * WEIR_MILLISECOND);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(int, service.handlers, 0));
    cr_assert(eq(sz, raw_read_to_end(silent, end, 1), 0));
    service_free(&service);
    return 0;
}

TlsTest(tls_servers, close_clients)
{
    struct tls_service service = { 0 };
    struct weir_group group = { 0 };
    struct pair client;
    char end[1];
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    int silent = raw_connect(&service);
    expect_result(weir_group_start(&group, read_to_end, &client), 0);
    weir_server_close_clients(service.server);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(sz, raw_read_to_end(silent, end, 1), 0));
    service_close(&service);
    return 0;
}

/* The clients are cut off, and see it. */
TlsTest(tls_servers, abort_clients)
{
    struct tls_service service = { 0 };
    struct weir_slice data;
    struct pair client;
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    int silent = raw_connect(&service);
    weir_server_abort_clients(service.server);
    ssize_t rc = weir_read(client.reader, 1, &data);
    cr_assert(rc == WEIR_TLS_TRUNCATED || rc == -ECONNRESET, "%s", weir_strerror(rc));
    pair_close_with(&client, (int)rc);
    close(silent);
    service_close(&service);
    return 0;
}

/* ---- Unix sockets -----------------------------------------------------------------------------*/

TlsTest(tls_servers, unix_socket)
{
    char path[64];
    struct tls_service service = { 0 };
    struct weir_server *server;
    struct pair client = { .peer = -1 };
    snprintf(path, sizeof path, "@weir-test-tls-%d", getpid());
    service_open(&service);
    expect_result(weir_start_unix_server(say_again, NULL, path, &service.options, &server), 0);
    struct weir_connect_options options = { .tls = service.client };
    expect_result(weir_open_unix_connection(path, &options, &client.reader, &client.writer),
                  -EINVAL); /* whom would the certificate name? */
    options.server_hostname = "localhost";
    expect_result(weir_open_unix_connection(path, &options, &client.reader, &client.writer), 0);
    expect_echo(&client);
    cr_assert(eq(str, (char *)weir_get_extra_info(client.writer, "version"), "TLSv1.3"));
    cr_assert(eq(str, (char *)weir_get_extra_info(client.writer, "peername"), path));
    pair_close(&client);
    weir_server_close(server);
    expect_result(weir_server_wait_closed(server), 0);
    service_close(&service);
    return 0;
}

/* ---- Threads ----------------------------------------------------------------------------------*/

enum { THREADS = 3, TURNS = TINY ? 5 : 20 };

static struct weir_tls *shared_client, *shared_server;
static atomic_int talking; /* threads */

/* On its own thread it asserts nothing, but returns what fails. */
static int talk_in_thread(uint16_t port)
{
    struct weir_connect_options options = { .tls = shared_client };
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice data;
    int rc = weir_open_connection("127.0.0.1", port, &options, &reader, &writer);
    if (rc < 0)
        return rc;
    weir_write(writer, "hello", 5);
    ssize_t n = weir_readexactly(reader, 5, &data);
    weir_close(writer);
    rc = weir_wait_closed(writer);
    return n < 0 ? (int)n : rc;
}

static int thread_main(void *unused)
{
    struct weir_server_options options = { .tls = shared_server };
    struct weir_server *server;
    int rc = weir_start_server(say_again, NULL, "127.0.0.1", 0, &options, &server);
    if (rc < 0)
        return rc;
    for (int turn = 0; rc == 0 && turn < TURNS; turn++) {
        rc = talk_in_thread(weir_server_port(server));
        if (rc == 0 && turn == TURNS / 2)
            rc = weir_tls_reload(shared_client);
    }
    atomic_fetch_sub(&talking, 1);
    while (atomic_load(&talking) > 0) /* whose connections may wait at this one's listener */
        weir_sleep(WEIR_MILLISECOND);
    weir_server_close(server);
    int ended = weir_server_wait_closed(server);
    return rc < 0 ? rc : ended;
}

Test(tls_servers, threads_share_contexts)
{
    struct weir_run_options options = { .threads = THREADS };
    shared_client = tls_context(WEIR_CLIENT, NULL);
    shared_server = tls_context(WEIR_SERVER, NULL);
    atomic_store(&talking, THREADS);
    expect_result(run_with(&options, thread_main, NULL), 0);
    weir_tls_free(shared_client);
    weir_tls_free(shared_server);
}

/* ---- The smallest stacks ----------------------------------------------------------------------*/

static int in_small_stacks(void *unused)
{
    struct weir_tls_options client = { .certificate_file = tls_file("client.pem"),
                                       .key_file = tls_file("client-key.pem"),
                                       .ca_file = tls_file("ca.pem") };
    struct weir_tls_options server = { .certificate_file = tls_file("rsa.pem"),
                                       .key_file = tls_file("rsa-key.pem"),
                                       .ca_file = tls_file("ca.pem"),
                                       .require_client_certificate = true };
    struct tls_service service = { 0 };
    struct pair pair;
    service.client = tls_context(WEIR_CLIENT, &client);
    service.options.tls = tls_context(WEIR_SERVER, &server);
    service_open(&service);
    for (int time = 0; time < 2; time++) {
        expect_result(service_connect(&service, &pair), 0);
        expect_echo(&pair);
        cr_assert(ne(ptr, (void *)weir_get_extra_info(pair.writer, "peercert"), NULL));
        expect_result(weir_tls_reload(service.client), 0);
        pair_close(&pair);
    }
    service_close(&service);
    return 0;
}

Test(tls_servers, smallest_stacks)
{
    struct weir_run_options options = { .stack_size = 16 * 1024 };
    expect_result(run_with(&options, in_small_stacks, NULL), 0);
}
