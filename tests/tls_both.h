/* What tests of TLS share whose ends are both weir's: contexts, two streams that are joined, a
 * server and its clients. Certificates are what tests/certs.sh makes, in the directory that
 * WEIR_TEST_CERTS names. */
#ifndef WEIR_TESTS_TLS_BOTH_H
#define WEIR_TESTS_TLS_BOTH_H

#include "harness.h"

/* A Criterion test in a loop, as TaskTest, but with stacks that wolfSSL's handshakes fit on. */
#define TlsTest(suite, name)                                                                       \
    static int suite##_##name(void *unused);                                                       \
    Test(suite, name, .timeout = 30)                                                               \
    {                                                                                              \
        expect_result(run_with(&tls_run_options, suite##_##name, NULL), 0);                        \
    }                                                                                              \
    static int suite##_##name(void *unused)

extern const struct weir_run_options tls_run_options;

/* The file of that name among the certificates. Good until it is called sixteen times more. */
const char *tls_file(const char *name);

/* A client's ca_file is "ca.pem", a server's certificate_file "server.pem" unless set. */
enum tls_role { WEIR_CLIENT, WEIR_SERVER };
struct weir_tls *tls_context(enum tls_role role, const struct weir_tls_options *options);

/* ---- Two streams ------------------------------------------------------------------------------*/

struct tls_both {
    struct weir_reader *reader, *server_reader;
    struct weir_writer *writer, *server_writer;
    struct weir_tls *client, *server;
};

/* Joined by a socketpair and upgraded. Contexts that are there already are used. */
void both_open(struct tls_both *both, const struct weir_tls_options *client,
               const struct weir_tls_options *server);
void both_upgrade(struct tls_both *both); /* once more */
void both_close(struct tls_both *both);   /* orderly; frees the contexts, too */

/* ---- A server and its clients -----------------------------------------------------------------*/

struct tls_service {
    struct weir_tls *client;            /* its clients' context, made if there is none */
    struct weir_server_options options; /* its own is in there, and made, too */
    weir_client_connected_fn *handler;  /* gets this struct; NULL: says what it is told */
    struct weir_server *server;
    uint16_t port; /* on 127.0.0.1 */
    int handlers;  /* that run now */
};

void service_open(struct tls_service *service);
void service_close(struct tls_service *service); /* and waits for the clients to go */
void service_free(struct tls_service *service);  /* of one that has been shut down */

int service_connect(const struct tls_service *service, struct pair *client);
void expect_echo(struct pair *client);

#endif
