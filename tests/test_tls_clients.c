/* weir_open_connection() over TLS, on the loopback: whom it connects with, how it words what fails,
 * and that nothing is left of it; and weir_start_tls() on what it has opened. */
#include <netinet/in.h>
#include <stdio.h>

#include "tls_both.h"

TestSuite(tls_clients, .timeout = 30);

/* ---- Servers with several certificates --------------------------------------------------------*/

static int open_to(const char *file, const struct weir_connect_options *wanted)
{
    struct tls_service service = { 0 };
    struct weir_connect_options options = *wanted;
    struct pair client = { .peer = -1 };
    char certificate[64], key[64];
    snprintf(certificate, sizeof certificate, "%s.pem", file);
    snprintf(key, sizeof key, "%s-key.pem", file);
    struct weir_tls_options ours = { .certificate_file = tls_file(certificate),
                                     .key_file = tls_file(key) };
    service.options.tls = tls_context(WEIR_SERVER, &ours);
    service_open(&service);
    options.tls = service.client;
    int rc =
        weir_open_connection("localhost", service.port, &options, &client.reader, &client.writer);
    if (rc == 0) {
        expect_echo(&client);
        pair_close(&client);
    }
    service_close(&service);
    return rc;
}

#define Opens(name, file, error, ...)                                                              \
    TlsTest(tls_clients, name)                                                                     \
    {                                                                                              \
        struct weir_connect_options options = { .family = AF_INET, __VA_ARGS__ };                  \
        expect_result(open_to(file, &options), error);                                             \
        return 0;                                                                                  \
    }

Opens(by_the_hosts_name, "server", 0);
Opens(by_another_name, "sni-a", 0, .server_hostname = "a.example.test");
Opens(not_a_wrong_host, "sni-a", WEIR_TLS_HOSTNAME);
Opens(not_an_unknown_authority, "unknown-ca", WEIR_TLS_UNTRUSTED);
Opens(not_an_expired_one, "expired", WEIR_TLS_EXPIRED);
Opens(not_one_of_wrong_purpose, "wrong-purpose", WEIR_TLS_CERTIFICATE);

/* ---- Whoever listens, and does not speak TLS --------------------------------------------------*/

struct stranger {
    const char *says; /* NULL: nothing */
    bool closes;      /* at once */
};

static void stranger_handler(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    const struct stranger *stranger = argument;
    struct weir_slice data;
    if (stranger->says != NULL)
        weir_write(writer, stranger->says, strlen(stranger->says));
    while (!stranger->closes && weir_read(reader, 4096, &data) > 0)
        ;
}

struct attempt {
    struct tls_service service;
    weir_duration timeout;
    int result;
};

static int attempt_task(void *argument)
{
    struct attempt *attempt = argument;
    struct pair client;
    struct weir_connect_options options = { .tls = attempt->service.client,
                                            .tls_handshake_timeout = attempt->timeout };
    attempt->result = weir_open_connection("127.0.0.1", attempt->service.port, &options,
                                           &client.reader, &client.writer);
    return 0;
}

/* What comes of it; cancelled amid the handshake if no timeout is given to a silent one. */
static int open_stranger(struct stranger stranger, weir_duration timeout, bool cancel)
{
    struct attempt attempt = { .timeout = timeout };
    struct weir_group group = { 0 };
    struct weir_server *server;
    attempt.service.client = tls_context(WEIR_CLIENT, NULL);
    expect_result(weir_start_server(stranger_handler, &stranger, "127.0.0.1", 0, NULL, &server), 0);
    attempt.service.port = weir_server_port(server);
    expect_result(weir_group_start(&group, attempt_task, &attempt), 0);
    if (cancel) {
        settle();
        weir_group_cancel(&group);
    }
    expect_result(weir_group_wait(&group), 0);
    weir_server_close(server);
    expect_result(weir_server_wait_closed(server), 0);
    weir_tls_free(attempt.service.client);
    return attempt.result;
}

TlsTest(tls_clients, not_a_server_in_plain_text)
{
    struct stranger smtp = { .says = "220 mail.example ESMTP\r\n" };
    expect_result(open_stranger(smtp, 0, false), WEIR_TLS_PLAINTEXT);
    return 0;
}

TlsTest(tls_clients, not_a_silent_server)
{
    struct stranger silent = { 0 };
    expect_result(open_stranger(silent, 50 * WEIR_MILLISECOND, false), -ETIMEDOUT);
    return 0;
}

TlsTest(tls_clients, not_a_server_that_closes)
{
    struct stranger closing = { .closes = true };
    expect_result(open_stranger(closing, 0, false), -ECONNRESET);
    return 0;
}

TlsTest(tls_clients, cancelled_in_the_handshake)
{
    struct stranger silent = { 0 };
    expect_result(open_stranger(silent, 0, true), -ECANCELED);
    return 0;
}

/* ---- Options ----------------------------------------------------------------------------------*/

TlsTest(tls_clients, options_that_contradict)
{
    struct tls_service service = { 0 };
    struct weir_server *server;
    struct pair client;
    service_open(&service);
    struct weir_connect_options wrong[] = {
        { .server_hostname = "localhost" },
        { .tls_handshake_timeout = WEIR_SECOND },
        { .tls_shutdown_timeout = WEIR_SECOND },
        { .tls = service.options.tls },
        { .tls = service.client, .tls_handshake_timeout = -1 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int rc = weir_open_connection("127.0.0.1", service.port, &wrong[i], &client.reader,
                                      &client.writer);
        cr_assert(eq(int, rc, -EINVAL), "options %zu", i);
    }
    struct weir_server_options wrong_server[] = {
        { .tls_handshake_timeout = WEIR_SECOND },
        { .tls_shutdown_timeout = WEIR_SECOND },
        { .tls = service.client },
        { .tls = service.options.tls, .tls_shutdown_timeout = -1 },
    };
    for (size_t i = 0; i < sizeof wrong_server / sizeof wrong_server[0]; i++) {
        int rc =
            weir_start_server(stranger_handler, NULL, "127.0.0.1", 0, &wrong_server[i], &server);
        cr_assert(eq(int, rc, -EINVAL), "options %zu", i);
    }
    service_close(&service);
    return 0;
}

/* ---- start_tls: the host that was connected with is whom the certificate must name ------------*/

static void upgrade_and_echo(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice data;
    if (weir_start_tls(writer, argument, NULL) == 0)
        while (weir_read(reader, 100, &data) > 0)
            weir_write_slice(writer, data);
}

static int start_tls(const char *host, const char *file, int error)
{
    struct weir_connect_options plain = { .family = AF_INET };
    struct weir_tls *tls = tls_context(WEIR_CLIENT, NULL);
    struct weir_server *server;
    struct pair client = { .peer = -1 };
    char certificate[64], key[64];
    snprintf(certificate, sizeof certificate, "%s.pem", file);
    snprintf(key, sizeof key, "%s-key.pem", file);
    struct weir_tls_options ours = { .certificate_file = tls_file(certificate),
                                     .key_file = tls_file(key) };
    struct weir_tls *server_tls = tls_context(WEIR_SERVER, &ours);
    expect_result(weir_start_server(upgrade_and_echo, server_tls, "127.0.0.1", 0, NULL, &server),
                  0);
    expect_result(weir_open_connection(host, weir_server_port(server), &plain, &client.reader,
                                       &client.writer),
                  0);
    expect_result(weir_start_tls(client.writer, tls, NULL), error);
    if (error == 0)
        expect_echo(&client);
    pair_close_with(&client, error);
    weir_server_close(server);
    expect_result(weir_server_wait_closed(server), 0);
    weir_tls_free(tls);
    weir_tls_free(server_tls);
    return 0;
}

TlsTest(tls_clients, start_tls_checks_the_hosts_name)
{
    return start_tls("localhost", "server", 0);
}

TlsTest(tls_clients, start_tls_checks_the_hosts_address)
{
    return start_tls("127.0.0.1", "server", 0);
}

TlsTest(tls_clients, start_tls_refuses_another_host)
{
    return start_tls("localhost", "wrong-host", WEIR_TLS_HOSTNAME);
}
