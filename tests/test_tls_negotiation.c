/* What the two ends of TLS agree on, and refuse to: versions, suites, application protocols (ALPN),
 * names (SNI); a server that chooses what was not offered, early data, resumption. */
#include <stdio.h>
#include <stdlib.h>

#include "tls_peer.h"

TestSuite(tls_negotiation, .timeout = 30);

/* A handshake that must fail so; weir's alert reaches the peer. */
static int refused(const struct tls_setup *setup, int error, int alert)
{
    struct tls_pair tls;
    uint64_t failures = metrics_now().tls_failures;
    tls_pair_prepare(&tls, setup);
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), error);
    cr_assert(eq(u64, metrics_now().tls_failures, failures + 1));
    if (alert == NO_ALERT)
        tls_peer_expect_no_alert(&tls);
    else
        tls_peer_expect_alert(&tls, alert);
    tls_pair_end(&tls, error);
    return 0;
}

#define Refused(name, error, alert, ...)                                                           \
    TlsTest(tls_negotiation, name)                                                                 \
    {                                                                                              \
        return refused(&(struct tls_setup){ __VA_ARGS__ }, error, alert);                          \
    }

/* A handshake that must succeed, with this version and suite, and data goes both ways. */
static int agreed(const struct tls_setup *setup, const char *version, const char *cipher)
{
    struct tls_pair tls;
    tls_pair_open(&tls, setup);
    cr_assert(eq(str, (char *)weir_get_extra_info(tls.pair.writer, "version"), (char *)version));
    cr_assert(eq(str, (char *)weir_get_extra_info(tls.pair.writer, "cipher"), (char *)cipher));
    tls_peer_feed(&tls, "to weir");
    expect_next(tls.pair.reader, "to weir");
    expect_result(weir_write(tls.pair.writer, "from weir", 9), 0);
    tls_peer_expect(&tls, "from weir");
    tls_pair_close(&tls);
    return 0;
}

#define Agreed(name, version, cipher, ...)                                                         \
    TlsTest(tls_negotiation, name)                                                                 \
    {                                                                                              \
        return agreed(&(struct tls_setup){ __VA_ARGS__ }, version, cipher);                        \
    }

/* ---- Versions ---------------------------------------------------------------------------------*/

Refused(client_of_tls_1_1, WEIR_TLS_HANDSHAKE, PROTOCOL_VERSION, .role = WEIR_SERVER,
        .version = TLS_1_1);
Refused(server_of_tls_1_1, WEIR_TLS_ALERT, NO_ALERT, .role = WEIR_CLIENT, .version = TLS_1_1);
Refused(client_below_the_minimum, WEIR_TLS_HANDSHAKE, PROTOCOL_VERSION, .role = WEIR_SERVER,
        .version = WEIR_TLS_1_2, .weir.minimum_version = WEIR_TLS_1_3);
Refused(server_below_the_minimum, WEIR_TLS_HANDSHAKE, PROTOCOL_VERSION, .role = WEIR_CLIENT,
        .version = WEIR_TLS_1_2, .weir.minimum_version = WEIR_TLS_1_3);
Agreed(client_at_the_minimum, "TLSv1.3", "TLS_AES_128_GCM_SHA256", .role = WEIR_SERVER,
       .weir.minimum_version = WEIR_TLS_1_3);
Agreed(server_at_the_minimum, "TLSv1.3", "TLS_AES_128_GCM_SHA256", .role = WEIR_CLIENT,
       .weir.minimum_version = WEIR_TLS_1_3);

/* ---- Suites -----------------------------------------------------------------------------------*/

#define Suite(name, peer_version, weir_name, suite, peer_certificate)                              \
    Agreed(name##_as_client, peer_version == WEIR_TLS_1_2 ? "TLSv1.2" : "TLSv1.3", weir_name,      \
           .role = WEIR_CLIENT, .version = peer_version, .ciphers = suite,                         \
           .certificate = peer_certificate);                                                       \
    Agreed(name##_as_server, peer_version == WEIR_TLS_1_2 ? "TLSv1.2" : "TLSv1.3", weir_name,      \
           .role = WEIR_SERVER, .version = peer_version, .ciphers = suite,                         \
           .weir.certificate_file = tls_file(peer_certificate ".pem"),                             \
           .weir.key_file = tls_file(peer_certificate "-key.pem"))

Suite(aes_128_gcm, WEIR_TLS_1_3, "TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "server");
Suite(aes_256_gcm, WEIR_TLS_1_3, "TLS_AES_256_GCM_SHA384", "TLS13-AES256-GCM-SHA384", "server");
Suite(chacha20, WEIR_TLS_1_3, "TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256",
      "server");
Suite(ecdsa_aes_128_gcm, WEIR_TLS_1_2, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
      "ECDHE-ECDSA-AES128-GCM-SHA256", "server");
Suite(ecdsa_aes_256_gcm, WEIR_TLS_1_2, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
      "ECDHE-ECDSA-AES256-GCM-SHA384", "server");
Suite(ecdsa_chacha20, WEIR_TLS_1_2, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
      "ECDHE-ECDSA-CHACHA20-POLY1305", "server");
Suite(rsa_aes_128_gcm, WEIR_TLS_1_2, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
      "ECDHE-RSA-AES128-GCM-SHA256", "rsa");
Suite(rsa_aes_256_gcm, WEIR_TLS_1_2, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "ECDHE-RSA-AES256-GCM-SHA384", "rsa");
Suite(rsa_chacha20, WEIR_TLS_1_2, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "ECDHE-RSA-CHACHA20-POLY1305", "rsa");
Suite(ed25519, WEIR_TLS_1_3, "TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "ed25519");

/* The key share that weir sends is for another group: by HelloRetryRequest it is told so. */
Agreed(hello_retry, "TLSv1.3", "TLS_AES_128_GCM_SHA256", .role = WEIR_CLIENT, .only_p256 = true);
Agreed(p256_as_server, "TLSv1.3", "TLS_AES_128_GCM_SHA256", .role = WEIR_SERVER, .only_p256 = true);

/* Weak ones: a client offers nothing else, a server wants nothing else. */
#define Weak(name, suite)                                                                          \
    Refused(client_offers_##name, WEIR_TLS_HANDSHAKE, HANDSHAKE_FAILURE, .role = WEIR_SERVER,      \
            .version = WEIR_TLS_1_2, .ciphers = suite,                                             \
            .weir.certificate_file = tls_file("rsa.pem"),                                          \
            .weir.key_file = tls_file("rsa-key.pem"));                                             \
    Refused(server_wants_##name, WEIR_TLS_ALERT, NO_ALERT, .role = WEIR_CLIENT,                    \
            .version = WEIR_TLS_1_2, .ciphers = suite, .certificate = "rsa")

Weak(cbc, "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA");
Weak(finite_field, "DHE-RSA-AES128-GCM-SHA256");

Refused(client_offers_anonymous, WEIR_TLS_HANDSHAKE, HANDSHAKE_FAILURE, .role = WEIR_SERVER,
        .version = WEIR_TLS_1_2, .anonymous = true, .ciphers = "ADH-AES128-SHA");
Refused(server_is_anonymous, WEIR_TLS_ALERT, NO_ALERT, .role = WEIR_CLIENT, .version = WEIR_TLS_1_2,
        .anonymous = true, .ciphers = "ADH-AES128-SHA");

/* ---- A server that chooses what was not offered -----------------------------------------------*/

/* Where these are in a flight that begins with a hello. */
enum {
    HELLO_VERSION = RECORD_HEAD + 4,
    HELLO_RANDOM_END = HELLO_VERSION + 2 + 32,
    HELLO_SESSION = HELLO_RANDOM_END
};

struct forgery {
    const char *bytes;
    size_t size, at;
    bool behind_session; /* `at` counts from the end of the session's number */
};

static void forge(struct tls_pair *tls)
{
    const struct forgery *forgery = tls->argument;
    size_t at = forgery->at;
    if (tls->flight > 0)
        return;
    if (forgery->behind_session)
        at += HELLO_SESSION + 1 + tls->out.data[HELLO_SESSION];
    memcpy(tls->out.data + at, forgery->bytes, forgery->size);
}

static int forged(enum tls_role role, int version, const struct forgery *forgery, int alert)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = role, .version = version });
    tls_pair_connect(&tls);
    tls.tamper = forge;
    tls.argument = forgery;
    expect_result(tls_pair_handshake(&tls), WEIR_TLS_HANDSHAKE);
    tls_peer_expect_plain_alert(&tls, alert);
    tls_pair_end(&tls, WEIR_TLS_HANDSHAKE);
    return 0;
}

#define Forged(name, role, version, alert, ...)                                                    \
    TlsTest(tls_negotiation, name)                                                                 \
    {                                                                                              \
        return forged(role, version, &(struct forgery){ __VA_ARGS__ }, alert);                     \
    }
#define ForgedSuite(name, version, suite)                                                          \
    Forged(server_chooses_##name, WEIR_CLIENT, version, ANY_ALERT, suite, 2, 0, true)
#define ForgedVersion(name, role, bytes)                                                           \
    Forged(name, role, WEIR_TLS_1_2, PROTOCOL_VERSION, bytes, 2, HELLO_VERSION, false)

ForgedSuite(cbc, WEIR_TLS_1_2, "\xc0\x09");
ForgedSuite(rsa_key_exchange, WEIR_TLS_1_2, "\x00\x9c");
ForgedSuite(null, WEIR_TLS_1_2, "\x00\x3b");
ForgedSuite(anonymous, WEIR_TLS_1_2, "\x00\x34");
ForgedSuite(rc4, WEIR_TLS_1_2, "\xc0\x07");
ForgedSuite(a_suite_of_1_3_in_1_2, WEIR_TLS_1_2, "\x13\x01");
ForgedSuite(ccm, WEIR_TLS_1_3, "\x13\x04");
ForgedSuite(a_suite_of_1_2_in_1_3, WEIR_TLS_1_3, "\xc0\x2b");

ForgedVersion(server_chooses_tls_1_1, WEIR_CLIENT, "\3\2");
ForgedVersion(server_chooses_tls_1_0, WEIR_CLIENT, "\3\1");
ForgedVersion(server_chooses_ssl_3, WEIR_CLIENT, "\3\0");
ForgedVersion(client_of_tls_1_0, WEIR_SERVER, "\3\1");
ForgedVersion(client_of_ssl_3, WEIR_SERVER, "\3\0");

/* By its random a server says that it could do TLS 1.3: then somebody has taken that away. */
Forged(server_was_downgraded, WEIR_CLIENT, WEIR_TLS_1_2, ILLEGAL_PARAMETER, "DOWNGRD\1", 8,
       HELLO_RANDOM_END - 8, false);

/* Hellos that offer nothing but this suite. */
static void forge_offer(struct tls_pair *tls)
{
    if (tls->flight > 0)
        return;
    unsigned char *session = tls->out.data + HELLO_SESSION, *suites = session + 1 + session[0];
    int size = suites[0] * 256 + suites[1];
    for (int at = 2; at < 2 + size; at += 2)
        memcpy(suites + at, tls->argument, 2);
}

static int offered(const char *suite)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .version = WEIR_TLS_1_2 });
    tls_pair_connect(&tls);
    tls.tamper = forge_offer;
    tls.argument = suite;
    expect_result(tls_pair_handshake(&tls), WEIR_TLS_HANDSHAKE);
    tls_peer_expect_plain_alert(&tls, HANDSHAKE_FAILURE);
    tls_pair_end(&tls, WEIR_TLS_HANDSHAKE);
    return 0;
}

#define OfferedSuite(name, suite)                                                                  \
    TlsTest(tls_negotiation, client_offers_##name)                                                 \
    {                                                                                              \
        return offered(suite);                                                                     \
    }

OfferedSuite(rsa_key_exchange, "\x00\x9c");
OfferedSuite(null, "\xc0\x06");
OfferedSuite(rc4, "\xc0\x07");
OfferedSuite(triple_des, "\xc0\x08");
OfferedSuite(ccm, "\xc0\xac");
OfferedSuite(only_renegotiation_info, "\x00\xff");
OfferedSuite(a_suite_of_1_3_in_1_2, "\x13\x01");

/* ---- ALPN -------------------------------------------------------------------------------------*/

static const char *const web[] = { "h2", "http/1.1", NULL };
static const char *const mail[] = { "smtp", NULL };

static int agreed_protocol(const struct tls_setup *setup, const char *protocol)
{
    struct tls_pair tls;
    tls_pair_open(&tls, setup);
    const char *got = weir_get_extra_info(tls.pair.writer, "alpn");
    if (protocol == NULL)
        cr_assert(eq(ptr, (void *)got, NULL));
    else
        cr_assert(eq(str, (char *)got, (char *)protocol));
    tls_pair_close(&tls);
    return 0;
}

#define Alpn(name, protocol, ...)                                                                  \
    TlsTest(tls_negotiation, alpn_##name)                                                          \
    {                                                                                              \
        return agreed_protocol(&(struct tls_setup){ __VA_ARGS__ }, protocol);                      \
    }

Alpn(as_the_server_prefers_1_3, "h2", .role = WEIR_SERVER, .weir.alpn = web,
     .alpn = "spdy/3,http/1.1,h2");
Alpn(as_the_server_prefers_1_2, "h2", .role = WEIR_SERVER, .weir.alpn = web,
     .alpn = "spdy/3,http/1.1,h2", .version = WEIR_TLS_1_2);
Alpn(as_client_1_3, "http/1.1", .role = WEIR_CLIENT, .weir.alpn = web, .alpn = "http/1.1");
Alpn(as_client_1_2, "http/1.1", .role = WEIR_CLIENT, .weir.alpn = web, .alpn = "http/1.1",
     .version = WEIR_TLS_1_2);
Alpn(not_asked_for, NULL, .role = WEIR_SERVER, .weir.alpn = web);
Alpn(not_answered, NULL, .role = WEIR_CLIENT, .weir.alpn = web);
Alpn(not_wanted, NULL, .role = WEIR_SERVER, .alpn = "h2");
Refused(alpn_of_the_client_unknown_1_3, WEIR_TLS_HANDSHAKE, NO_APPLICATION_PROTOCOL,
        .role = WEIR_SERVER, .weir.alpn = web, .alpn = "imap,pop3");
Refused(alpn_of_the_client_unknown_1_2, WEIR_TLS_HANDSHAKE, NO_APPLICATION_PROTOCOL,
        .role = WEIR_SERVER, .weir.alpn = web, .alpn = "imap,pop3", .version = WEIR_TLS_1_2);
Refused(alpn_unknown_to_the_server, WEIR_TLS_ALERT, NO_ALERT, .role = WEIR_CLIENT,
        .weir.alpn = mail, .alpn = "imap,pop3");

/* ---- SNI --------------------------------------------------------------------------------------*/

static const struct weir_tls_certificate *hosts(void)
{
    static struct weir_tls_certificate certificates[3];
    certificates[0] =
        (struct weir_tls_certificate){ tls_file("sni-a.pem"), tls_file("sni-a-key.pem") };
    certificates[1] =
        (struct weir_tls_certificate){ tls_file("sni-b.pem"), tls_file("sni-b-key.pem") };
    return certificates;
}

/* The subject of the certificate that the peer gets, and what weir says was asked for. */
static int named(const void *sni, size_t size, int version, const char *subject, const char *info)
{
    struct tls_setup setup = { .role = WEIR_SERVER, .sni = sni, .sni_size = size };
    struct tls_pair tls;
    setup.version = version;
    setup.weir.more_certificates = hosts();
    tls_pair_open(&tls, &setup);
    WOLFSSL_X509 *certificate = wolfSSL_get_peer_certificate(tls.ssl);
    char *got = wolfSSL_X509_get_subjectCN(certificate);
    cr_assert(eq(str, got, (char *)subject));
    wolfSSL_X509_free(certificate);
    const char *host = weir_get_extra_info(tls.pair.writer, "server_hostname");
    if (info == NULL)
        cr_assert(eq(ptr, (void *)host, NULL));
    else
        cr_assert(eq(str, (char *)host, (char *)info));
    tls_pair_close(&tls);
    return 0;
}

#define Named(name, sni, version, subject, info)                                                   \
    TlsTest(tls_negotiation, sni_##name)                                                           \
    {                                                                                              \
        return named(sni, sizeof sni - 1, version, subject, info);                                 \
    }

Named(first_1_3, "a.example.test", WEIR_TLS_1_3, "a.example.test", "a.example.test");
Named(first_1_2, "a.example.test", WEIR_TLS_1_2, "a.example.test", "a.example.test");
Named(second_1_3, "b.example.test", WEIR_TLS_1_3, "b.example.test", "b.example.test");
Named(second_1_2, "b.example.test", WEIR_TLS_1_2, "b.example.test", "b.example.test");
Named(in_capitals, "A.Example.TEST", WEIR_TLS_1_3, "a.example.test", "A.Example.TEST");
Named(unknown, "c.example.test", WEIR_TLS_1_3, "localhost", "c.example.test");

/* To wolfSSL a name ends at a NUL: the certificate is that name's, and so is what is told. */
Named(with_nul, "a.example.test\0.evil.test", WEIR_TLS_1_3, "a.example.test", "a.example.test");

TlsTest(tls_negotiation, sni_absent)
{
    return named(NULL, 0, WEIR_TLS_1_3, "localhost", NULL);
}

/* Longer than a DNS name may be. */
TlsTest(tls_negotiation, sni_very_long)
{
    char host[3000];
    memset(host, 'a', sizeof host);
    return named(host, sizeof host, WEIR_TLS_1_3, "localhost", NULL);
}

/* ---- Early data, and resumption ---------------------------------------------------------------*/

static void add_early_data(struct tls_pair *tls)
{
    unsigned char data[40];
    pattern_fill(data, 0, sizeof data);
    if (tls->flight == 0)
        record_append(&tls->out, APPLICATION_DATA, 0x0303, data, sizeof data);
}

TlsTest(tls_negotiation, early_data_is_refused)
{
    struct tls_pair tls;
    struct weir_slice data;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER });
    tls_pair_connect(&tls);
    tls.tamper = add_early_data;
    int rc = tls_pair_handshake(&tls);
    expect_result(rc, WEIR_TLS_RECORD);
    expect_result(weir_read(tls.pair.reader, 100, &data), rc);
    tls_pair_end(&tls, rc);
    return 0;
}

/* A hello's extension of that type, or 0. */
static size_t find_extension(const struct bytes *hello, unsigned type)
{
    const unsigned char *data = hello->data;
    size_t at = HELLO_SESSION;
    at += 1 + data[at];                                /* session */
    at += 2 + (size_t)(data[at] * 256 + data[at + 1]); /* suites */
    at += 1 + data[at];                                /* compression */
    size_t end = at + 2 + (size_t)(data[at] * 256 + data[at + 1]);
    for (at += 2; at + 4 <= end && end <= hello->size;) {
        if (data[at] * 256u + data[at + 1] == type)
            return at;
        at += 4 + (size_t)(data[at + 2] * 256 + data[at + 3]);
    }
    return 0;
}

enum { EXTENSION_SUPPORTED_VERSIONS = 43, EXTENSION_PSK = 41, EXTENSION_EARLY_DATA = 42 };

/* The second time a client asks to resume, and does not ask for early data. */
TlsTest(tls_negotiation, early_data_is_not_asked_for)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    for (int time = 0; time < 2; time++) {
        tls_pair_connect(&tls);
        tls_pair_start(&tls);
        while (tls.in.size < RECORD_HEAD || record_offset(&tls.in, 1) > tls.in.size ||
               tls.in.size < RECORD_HEAD + (size_t)(tls.in.data[3] * 256 + tls.in.data[4])) {
            tls_peer_receive(&tls);
            expect_result(weir_sleep(WEIR_MILLISECOND), 0);
        }
        cr_assert(gt(sz, find_extension(&tls.in, EXTENSION_SUPPORTED_VERSIONS), 0));
        cr_assert(eq(int, find_extension(&tls.in, EXTENSION_PSK) > 0, time == 1));
        cr_assert(eq(sz, find_extension(&tls.in, EXTENSION_EARLY_DATA), 0));
        while (!tls.ended || !tls.established) {
            tls_pair_negotiate(&tls);
            tls_peer_send(&tls);
        }
        expect_result(tls_pair_result(&tls), 0);
        tls_peer_feed(&tls, "with a ticket before it");
        expect_next(tls.pair.reader, "with a ticket before it");
        tls_pair_finish(&tls);
    }
    tls_pair_free(&tls);
    return 0;
}
