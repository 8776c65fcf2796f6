/* Session tickets: the second connection of a client to the same server is resumed, and where
 * it must not be. */
#include "tls_peer.h"

TestSuite(tls_resumption, .timeout = 30);

static bool is_resumed(const struct weir_writer *writer)
{
    const char *resumed = weir_get_extra_info(writer, "resumed");
    cr_assert(ne(ptr, (void *)resumed, NULL));
    return strcmp(resumed, "true") == 0;
}

/* Opens, says something (and so takes the tickets in), and ends. True: it was resumed. */
static bool talk(struct tls_both *contexts, const struct weir_tls_options *client,
                 const struct weir_tls_options *server)
{
    struct tls_both both = { .client = contexts->client, .server = contexts->server };
    both_open(&both, client, server);
    contexts->client = both.client;
    contexts->server = both.server;
    expect_result(weir_write(both.server_writer, "ticket", 6), 0);
    expect_next(both.reader, "ticket");
    expect_result(weir_write(both.writer, "thanks", 6), 0);
    expect_next(both.server_reader, "thanks");
    bool resumed = is_resumed(both.writer);
    cr_assert(eq(int, is_resumed(both.server_writer), resumed));
    both.client = both.server = NULL;
    both_close(&both);
    return resumed;
}

static void free_contexts(struct tls_both *contexts)
{
    weir_tls_free(contexts->client);
    weir_tls_free(contexts->server);
}

static const struct weir_tls_options none;

TlsTest(tls_resumption, second_connection)
{
    struct tls_both contexts = { 0 };
    cr_assert(not(talk(&contexts, &none, &none)));
    cr_assert(eq(u64, metrics_now().tls_resumed, 0));
    cr_assert(talk(&contexts, &none, &none));
    cr_assert(eq(u64, metrics_now().tls_resumed, 2)); /* each of the two ends */
    cr_assert(talk(&contexts, &none, &none));
    cr_assert(eq(u64, metrics_now().tls_handshakes, 6));
    free_contexts(&contexts);
    return 0;
}

TlsTest(tls_resumption, in_software)
{
    struct weir_tls_options software = { .no_hardware_aes = true };
    struct tls_both contexts = { 0 };
    cr_assert(not(talk(&contexts, &software, &software)));
    cr_assert(talk(&contexts, &software, &software));
    free_contexts(&contexts);
    return 0;
}

TlsTest(tls_resumption, not_without_tickets)
{
    struct weir_tls_options without = { .no_session_tickets = true };
    struct tls_both server = { 0 }, client = { 0 };
    for (int time = 0; time < 2; time++)
        cr_assert(not(talk(&server, &none, &without)));
    for (int time = 0; time < 2; time++)
        cr_assert(not(talk(&client, &without, &none)));
    free_contexts(&server);
    free_contexts(&client);
    return 0;
}

/* The client would be known, but not seen. */
TlsTest(tls_resumption, not_where_client_certificates_are_asked_for)
{
    struct weir_tls_options client = { .certificate_file = tls_file("client.pem"),
                                       .key_file = tls_file("client-key.pem") };
    struct weir_tls_options servers[] = { { .require_client_certificate = true },
                                          { .request_client_certificate = true } };
    for (int i = 0; i < 2; i++) {
        struct tls_both contexts = { 0 };
        servers[i].ca_file = tls_file("ca.pem");
        for (int time = 0; time < 3; time++)
            cr_assert(not(talk(&contexts, &client, &servers[i])));
        free_contexts(&contexts);
    }
    return 0;
}

TlsTest(tls_resumption, not_with_another_server)
{
    struct tls_both contexts = { 0 };
    cr_assert(not(talk(&contexts, &none, &none)));
    weir_tls_free(contexts.server);
    contexts.server = NULL;
    cr_assert(not(talk(&contexts, &none, &none)));
    cr_assert(talk(&contexts, &none, &none));
    free_contexts(&contexts);
    return 0;
}

TlsTest(tls_resumption, not_with_another_client)
{
    struct tls_both contexts = { 0 };
    cr_assert(not(talk(&contexts, &none, &none)));
    weir_tls_free(contexts.client);
    contexts.client = NULL;
    cr_assert(not(talk(&contexts, &none, &none)));
    free_contexts(&contexts);
    return 0;
}

TlsTest(tls_resumption, not_over_a_reload)
{
    struct tls_both contexts = { 0 };
    cr_assert(not(talk(&contexts, &none, &none)));
    expect_result(weir_tls_reload(contexts.server), 0);
    cr_assert(not(talk(&contexts, &none, &none)));
    cr_assert(talk(&contexts, &none, &none));
    expect_result(weir_tls_reload(contexts.client), 0);
    cr_assert(not(talk(&contexts, &none, &none)));
    free_contexts(&contexts);
    return 0;
}

/* With a peer of wolfSSL's: who has asked for one name does not resume for another. */
static bool resumes(struct tls_pair *tls, const char *host)
{
    tls->setup.start.server_hostname = host;
    tls_pair_connect(tls);
    expect_result(tls_pair_handshake(tls), 0);
    bool resumed = is_resumed(tls->pair.writer);
    tls_peer_feed(tls, "ticket");
    expect_next(tls->pair.reader, "ticket");
    tls_pair_finish(tls);
    return resumed;
}

TlsTest(tls_resumption, not_for_another_name)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    cr_assert(not(resumes(&tls, "localhost")));
    cr_assert(resumes(&tls, "localhost"));
    cr_assert(not(resumes(&tls, "127.0.0.1")));
    cr_assert(resumes(&tls, "127.0.0.1"));
    tls_pair_free(&tls);
    return 0;
}

TlsTest(tls_resumption, never_as_a_client_1_2)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT, .version = WEIR_TLS_1_2 });
    for (int time = 0; time < 3; time++)
        cr_assert(not(resumes(&tls, "localhost")));
    tls_pair_free(&tls);
    return 0;
}

/* The peer's certificate is not sent again, but known from the first time. */
TlsTest(tls_resumption, peer_stays_known)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    cr_assert(not(resumes(&tls, "localhost")));
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), 0);
    cr_assert(is_resumed(tls.pair.writer));
    const char *host = weir_get_extra_info(tls.pair.writer, "server_hostname");
    cr_assert(eq(str, (char *)host, "localhost"));
    const char *subject = weir_get_extra_info(tls.pair.writer, "peercert_subject");
    cr_assert(ne(ptr, (void *)subject, NULL));
    cr_assert(ne(ptr, strstr(subject, "localhost"), NULL));
    cr_assert(ne(ptr, (void *)weir_get_extra_info(tls.pair.writer, "peercert"), NULL));
    tls_pair_finish(&tls);
    tls_pair_free(&tls);
    return 0;
}

static void hold_back_tickets(struct tls_pair *tls)
{
    if (tls->flight > 0)
        tls->out.size = 0;
}

/* Who resumes with the same ticket twice can be recognized (RFC 8446, C.4). */
TlsTest(tls_resumption, each_ticket_once)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    cr_assert(not(resumes(&tls, "localhost")));
    tls.tamper = hold_back_tickets;
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), 0);
    cr_assert(is_resumed(tls.pair.writer));
    weir_abort(tls.pair.writer);
    tls_pair_disconnect(&tls, 0);
    tls.tamper = NULL;
    cr_assert(not(resumes(&tls, "localhost")));
    tls_pair_free(&tls);
    return 0;
}

/* As a server, of a peer that keeps its session. */
static int server_resumes(const struct tls_setup *setup, bool expected)
{
    struct tls_pair tls;
    WOLFSSL_SESSION *session = NULL;
    tls_pair_prepare(&tls, setup);
    cr_assert(eq(int, wolfSSL_CTX_UseSessionTicket(tls.context), WOLFSSL_SUCCESS));
    for (int time = 0; time < 3; time++) {
        tls_pair_connect(&tls);
        if (session != NULL)
            wolfSSL_set_session(tls.ssl, session);
        expect_result(tls_pair_handshake(&tls), 0);
        cr_assert(eq(int, is_resumed(tls.pair.writer), expected &&time > 0));
        cr_assert(eq(int, wolfSSL_session_reused(tls.ssl), expected &&time > 0));
        expect_result(weir_write(tls.pair.writer, "ticket", 6), 0);
        tls_peer_expect(&tls, "ticket");
        wolfSSL_SESSION_free(session);
        session = wolfSSL_get1_session(tls.ssl);
        cr_assert(ne(ptr, session, NULL));
        tls_pair_finish(&tls);
    }
    wolfSSL_SESSION_free(session);
    tls_pair_free(&tls);
    return 0;
}

#define ServerResumes(name, expected, ...)                                                         \
    TlsTest(tls_resumption, as_server_##name)                                                      \
    {                                                                                              \
        return server_resumes(&(struct tls_setup){ .role = WEIR_SERVER, __VA_ARGS__ }, expected);  \
    }

ServerResumes(1_3, true, .version = WEIR_TLS_1_3);
ServerResumes(1_2, true, .version = WEIR_TLS_1_2);
ServerResumes(without_tickets_1_3, false, .weir.no_session_tickets = true);
ServerResumes(without_tickets_1_2, false, .weir.no_session_tickets = true, .version = WEIR_TLS_1_2);
ServerResumes(of_known_clients_1_3, false, .weir.require_client_certificate = true,
              .weir.ca_file = tls_file("ca.pem"), .certificate = "client");
ServerResumes(of_known_clients_1_2, false, .weir.require_client_certificate = true,
              .weir.ca_file = tls_file("ca.pem"), .certificate = "client", .version = WEIR_TLS_1_2);
