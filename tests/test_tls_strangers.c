/* What is no TLS, or no beginning of it: the first bytes from a client, and from a server. */
#include "tls_peer.h"

TestSuite(tls_strangers, .timeout = 30);

static int strange(enum tls_role role, const char *bytes, size_t size, int error, int alert)
{
    struct tls_pair tls;
    uint64_t failures = metrics_now().tls_failures;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = role });
    tls_pair_connect(&tls);
    tls_pair_start(&tls);
    settle();
    tls_peer_send_bytes(&tls, bytes, size);
    expect_result(tls_pair_result(&tls), error);
    cr_assert(eq(u64, metrics_now().tls_failures, failures + 1));
    tls_peer_expect_plain_alert(&tls, alert);
    tls_pair_end(&tls, error);
    return 0;
}

/* To a server, and from one. */
#define StrangeClient(name, bytes, error, alert)                                                   \
    TlsTest(tls_strangers, client_##name)                                                          \
    {                                                                                              \
        return strange(WEIR_SERVER, bytes, sizeof bytes - 1, error, alert);                        \
    }
#define StrangeServer(name, bytes, error, alert)                                                   \
    TlsTest(tls_strangers, server_##name)                                                          \
    {                                                                                              \
        return strange(WEIR_CLIENT, bytes, sizeof bytes - 1, error, alert);                        \
    }

StrangeClient(sends_http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeClient(sends_smtp, "EHLO client.example\r\n", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeClient(sends_zeros, "\0\0\0\0\0\0\0\0\0\0", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeClient(sends_noise, "\xa7\x93\x11\xfe\x80\x00\x13\x37", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeClient(sends_sslv2, "\x80\x2e\1\0\2\0\x15\0\0\0\x10\1\0\x80\2\0\x80", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeClient(sends_a_type_unknown, "\x63\3\3\0\1\0", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeClient(sends_a_version_unknown, "\x16\4\0\0\5\1\0\0\1\0", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeClient(sends_too_long_a_record, "\x16\3\1\x41\1\1\0\0\1\0", WEIR_TLS_RECORD,
              RECORD_OVERFLOW);
StrangeClient(sends_an_empty_record, "\x16\3\1\0\0", WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeClient(sends_data_first, "\x17\3\3\0\5hello", WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeClient(sends_an_alert_first, "\x15\3\1\0\2\2\x28", WEIR_TLS_ALERT, NO_ALERT);
StrangeClient(sends_finished_first, "\x16\3\3\0\x10\x14\0\0\x0c\1\2\3\4\5\6\7\x8\x9\xa\xb\xc",
              WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeClient(sends_a_hello_of_nothing, "\x16\3\1\0\4\1\0\0\0", WEIR_TLS_HANDSHAKE, DECODE_ERROR);
StrangeClient(sends_a_hello_cut_short, "\x16\3\1\0\7\1\0\0\3\3\3\0", WEIR_TLS_HANDSHAKE,
              DECODE_ERROR);

StrangeServer(sends_http, "HTTP/1.1 400 Bad Request\r\n\r\n", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeServer(sends_smtp, "220 mail.example ESMTP\r\n", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeServer(sends_zeros, "\0\0\0\0\0\0\0\0\0\0", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeServer(sends_noise, "\xa7\x93\x11\xfe\x80\x00\x13\x37", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeServer(sends_a_type_unknown, "\x63\3\3\0\1\0", WEIR_TLS_PLAINTEXT, UNEXPECTED_MESSAGE);
StrangeServer(sends_a_version_unknown, "\x16\4\0\0\5\2\0\0\1\0", WEIR_TLS_PLAINTEXT,
              UNEXPECTED_MESSAGE);
StrangeServer(sends_too_long_a_record, "\x16\3\3\x41\1\2\0\0\1\0", WEIR_TLS_RECORD,
              RECORD_OVERFLOW);
StrangeServer(sends_an_empty_record, "\x16\3\3\0\0", WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeServer(sends_data_first, "\x17\3\3\0\5hello", WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeServer(refuses_at_once, "\x15\3\3\0\2\2\x28", WEIR_TLS_ALERT, NO_ALERT);
StrangeServer(sends_finished_first, "\x16\3\3\0\x10\x14\0\0\x0c\1\2\3\4\5\6\7\x8\x9\xa\xb\xc",
              WEIR_TLS_HANDSHAKE, UNEXPECTED_MESSAGE);
StrangeServer(sends_a_hello_of_nothing, "\x16\3\3\0\4\2\0\0\0", WEIR_TLS_HANDSHAKE, DECODE_ERROR);
/* Without renegotiation, and before anything else. */
StrangeServer(sends_a_hello_request, "\x16\3\3\0\4\0\0\0\0", WEIR_TLS_HANDSHAKE,
              UNEXPECTED_MESSAGE);

/* ---- Floods -----------------------------------------------------------------------------------*/

/* A hello that claims to be long, and comes in ever more small records. */
TlsTest(tls_strangers, client_sends_a_hello_in_crumbs)
{
    enum { CRUMB = 5, CRUMBS = 1000 };
    static const char first[CRUMB] = { 1, 0, CRUMBS * CRUMB / 256, 0, 3 }, next[CRUMB];
    struct tls_pair tls;
    struct bytes crumbs = { 0 };
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER });
    tls_pair_connect(&tls);
    tls_pair_start(&tls);
    for (int crumb = 0; crumb < CRUMBS; crumb++)
        record_append(&crumbs, HANDSHAKE, 0x0301, crumb == 0 ? first : next, CRUMB);
    tls_peer_send_bytes(&tls, crumbs.data, crumbs.size / 10 * 9); /* it is not complete yet */
    bytes_free(&crumbs);
    expect_result(tls_pair_result(&tls), WEIR_TLS_RECORD);
    tls_peer_expect_plain_alert(&tls, UNEXPECTED_MESSAGE);
    tls_pair_end(&tls, WEIR_TLS_RECORD);
    return 0;
}

/* Before the last flight of a handshake, what means nothing there, again and again. */
struct flood {
    int type;
    const char *data;
    size_t size;
};

static void put_flood_before(struct tls_pair *tls)
{
    const struct flood *flood = tls->argument;
    struct bytes flooded = { 0 };
    if (tls->flight == 0)
        return;
    for (int time = 0; time < 1000; time++)
        record_append(&flooded, flood->type, 0x0303, flood->data, flood->size);
    bytes_append(&flooded, tls->out.data, tls->out.size);
    bytes_free(&tls->out);
    tls->out = flooded;
}

static int flooded(int version, const struct flood *flood)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .version = version });
    tls_pair_connect(&tls);
    tls.tamper = put_flood_before;
    tls.argument = flood;
    tls.impatient = true;
    int rc = tls_pair_handshake(&tls);
    expect_result(rc, WEIR_TLS_HANDSHAKE);
    tls_pair_end(&tls, rc);
    return 0;
}

#define FloodTests(name, ...)                                                                      \
    TlsTest(tls_strangers, flood_of_##name##_1_3)                                                  \
    {                                                                                              \
        return flooded(WEIR_TLS_1_3, &(struct flood){ __VA_ARGS__ });                              \
    }                                                                                              \
    TlsTest(tls_strangers, flood_of_##name##_1_2)                                                  \
    {                                                                                              \
        return flooded(WEIR_TLS_1_2, &(struct flood){ __VA_ARGS__ });                              \
    }

FloodTests(change_cipher_specs, CHANGE_CIPHER_SPEC, "\1", 1);
FloodTests(warnings, ALERT, "\1\132", 2);
