/* Whose certificate is accepted, and whose is not: for a client that wants a name or an address,
 * and for a server that asks its clients for one. Each refusal is worded by its error, and told to
 * the peer by the alert that RFC 8446, 6.2 has for it. */
#include <stdio.h>

#include "tls_peer.h"

TestSuite(tls_certificates, .timeout = 30);

/* ---- As a client ------------------------------------------------------------------------------*/

static int accepted(const struct tls_setup *setup, int version)
{
    struct tls_setup with_version = *setup;
    with_version.version = version;
    struct tls_pair tls;
    tls_pair_open(&tls, &with_version);
    tls_peer_feed(&tls, "trusted");
    expect_next(tls.pair.reader, "trusted");
    tls_pair_close(&tls);
    return 0;
}

/* Weir's error, and the alert that the peer hears: in TLS 1.3 a client has ended its handshake by
 * then. */
static int refused(const struct tls_setup *setup, int version, int error, int alert)
{
    struct tls_setup with_version = *setup;
    with_version.version = version;
    struct tls_pair tls;
    uint64_t failures = metrics_now().tls_failures;
    tls_pair_prepare(&tls, &with_version);
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), error);
    cr_assert(eq(u64, metrics_now().tls_failures, failures + 1));
    tls_peer_expect_alert(&tls, alert);
    tls_pair_end(&tls, error);
    return 0;
}

#define Accepted(name, ...)                                                                        \
    TlsTest(tls_certificates, name##_1_3)                                                          \
    {                                                                                              \
        return accepted(&(struct tls_setup){ __VA_ARGS__ }, WEIR_TLS_1_3);                         \
    }                                                                                              \
    TlsTest(tls_certificates, name##_1_2)                                                          \
    {                                                                                              \
        return accepted(&(struct tls_setup){ __VA_ARGS__ }, WEIR_TLS_1_2);                         \
    }
#define Refused(name, error, alert, ...)                                                           \
    TlsTest(tls_certificates, name##_1_3)                                                          \
    {                                                                                              \
        return refused(&(struct tls_setup){ __VA_ARGS__ }, WEIR_TLS_1_3, error, alert);            \
    }                                                                                              \
    TlsTest(tls_certificates, name##_1_2)                                                          \
    {                                                                                              \
        return refused(&(struct tls_setup){ __VA_ARGS__ }, WEIR_TLS_1_2, error, alert);            \
    }

/* A server with that certificate, asked for that name. */
#define AcceptedFor(name, host, file)                                                              \
    Accepted(name, .certificate = file, .start.server_hostname = host)
#define RefusedFor(name, host, file)                                                               \
    Refused(name, WEIR_TLS_HOSTNAME, BAD_CERTIFICATE, .certificate = file,                         \
            .start.server_hostname = host)

AcceptedFor(ecdsa, "localhost", "server");
AcceptedFor(rsa, "localhost", "rsa");
AcceptedFor(ed25519, "localhost", "ed25519");
AcceptedFor(intermediate, "localhost", "chain");

Refused(unknown_authority, WEIR_TLS_UNTRUSTED, UNKNOWN_CA, .certificate = "unknown-ca");
Refused(self_signed, WEIR_TLS_UNTRUSTED, BAD_CERTIFICATE, .certificate = "self-signed");
Refused(missing_intermediate, WEIR_TLS_UNTRUSTED, UNKNOWN_CA,
        .certificate = "missing-intermediate");
Refused(authority_that_is_none, WEIR_TLS_UNTRUSTED, UNKNOWN_CA, .certificate = "ca-not-ca");
Refused(expired, WEIR_TLS_EXPIRED, CERTIFICATE_EXPIRED, .certificate = "expired");
Refused(not_yet_valid, WEIR_TLS_EXPIRED, CERTIFICATE_EXPIRED, .certificate = "not-yet");
Refused(wrong_purpose, WEIR_TLS_CERTIFICATE, BAD_CERTIFICATE, .certificate = "wrong-purpose");

/* ---- For whom ---------------------------------------------------------------------------------*/

RefusedFor(wrong_name, "localhost", "wrong-host");
RefusedFor(common_name_only, "localhost", "no-san");
RefusedFor(name_with_nul, "localhost", "nul-name");
RefusedFor(part_of_a_name, "local", "server");
RefusedFor(longer_name, "localhost.example", "server");
AcceptedFor(name_in_capitals, "LOCALHOST", "server");

AcceptedFor(wildcard, "a.example.test", "wildcard");
AcceptedFor(wildcard_in_capitals, "A.EXAMPLE.test", "wildcard");
RefusedFor(wildcard_two_levels_up, "a.b.example.test", "wildcard");
RefusedFor(wildcard_for_the_domain, "example.test", "wildcard");
RefusedFor(wildcard_for_an_empty_label, ".example.test", "wildcard");
RefusedFor(wildcard_of_another_domain, "a.example.com", "wildcard");

AcceptedFor(address, "127.0.0.1", "ip-only");
AcceptedFor(address_6, "::1", "ip6");
AcceptedFor(address_6_in_full, "0:0:0:0:0:0:0:1", "ip6");
AcceptedFor(one_of_several_addresses, "127.0.0.1", "server");
RefusedFor(wrong_address, "127.0.0.2", "ip-only");
RefusedFor(wrong_address_6, "::2", "ip6");
RefusedFor(address_of_the_other_family, "::1", "ip-only");
RefusedFor(address_is_no_name, "127.0.0.1", "wrong-host");
RefusedFor(name_is_no_address, "localhost", "ip-only");

/* ---- What is asked for all the same -----------------------------------------------------------*/

Accepted(unverified_unknown_authority, .weir.insecure_skip_verification = true,
         .certificate = "unknown-ca");
Accepted(unverified_self_signed, .weir.insecure_skip_verification = true,
         .certificate = "self-signed");
Accepted(unverified_expired, .weir.insecure_skip_verification = true, .certificate = "expired");
Accepted(unverified_name, .weir.insecure_skip_verification = true, .certificate = "wrong-host");
Accepted(any_name, .weir.insecure_skip_hostname = true, .certificate = "wrong-host");
Refused(any_name_by_an_unknown_authority, WEIR_TLS_UNTRUSTED, UNKNOWN_CA,
        .weir.insecure_skip_hostname = true, .certificate = "unknown-ca");
Refused(any_name_expired, WEIR_TLS_EXPIRED, CERTIFICATE_EXPIRED,
        .weir.insecure_skip_hostname = true, .certificate = "expired");

/* Another authority is trusted alone, and instead. */
Accepted(other_authority, .weir.ca_file = tls_file("other-ca.pem"), .certificate = "unknown-ca");
Refused(only_the_other_authority, WEIR_TLS_UNTRUSTED, UNKNOWN_CA,
        .weir.ca_file = tls_file("other-ca.pem"), .certificate = "server");

/* The certificate itself is trusted, as is common with self-signed ones. */
Accepted(pinned_self_signed, .weir.ca_file = tls_file("self-signed.pem"),
         .certificate = "self-signed");

/* ---- A server that asks for one ---------------------------------------------------------------*/

#define AcceptedClient(name, file)                                                                 \
    Accepted(name, .role = WEIR_SERVER, .certificate = file,                                       \
             .weir.require_client_certificate = true, .weir.ca_file = tls_file("ca.pem"))
#define RefusedClient(name, file, error, alert)                                                    \
    Refused(name##_required, error, alert, .role = WEIR_SERVER, .certificate = file,               \
            .weir.require_client_certificate = true, .weir.ca_file = tls_file("ca.pem"));          \
    Refused(name##_requested, error, alert, .role = WEIR_SERVER, .certificate = file,              \
            .weir.request_client_certificate = true, .weir.ca_file = tls_file("ca.pem"))

AcceptedClient(client, "client");
RefusedClient(client_of_unknown_authority, "other-client", WEIR_TLS_UNTRUSTED, UNKNOWN_CA);
RefusedClient(client_expired, "expired-client", WEIR_TLS_EXPIRED, CERTIFICATE_EXPIRED);
RefusedClient(client_wrong_purpose, "client-wrong-purpose", WEIR_TLS_CERTIFICATE, BAD_CERTIFICATE);

Accepted(client_without_requested, .role = WEIR_SERVER, .weir.request_client_certificate = true,
         .weir.ca_file = tls_file("ca.pem"));

#define WITHOUT_CERTIFICATE                                                                        \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_SERVER, .weir.require_client_certificate = true,                              \
        .weir.ca_file = tls_file("ca.pem")                                                         \
    }

TlsTest(tls_certificates, client_without_required_1_3)
{
    return refused(WITHOUT_CERTIFICATE, WEIR_TLS_1_3, WEIR_TLS_CERTIFICATE, CERTIFICATE_REQUIRED);
}

/* TLS 1.2 has no alert of its own for it. */
TlsTest(tls_certificates, client_without_required_1_2)
{
    return refused(WITHOUT_CERTIFICATE, WEIR_TLS_1_2, WEIR_TLS_CERTIFICATE, HANDSHAKE_FAILURE);
}

/* ---- Asked for one by a server ----------------------------------------------------------------*/

Accepted(asked_with, .request = "ca", .weir.certificate_file = tls_file("client.pem"),
         .weir.key_file = tls_file("client-key.pem"));

/* The peer refuses: in TLS 1.2 inside of the handshake, in TLS 1.3 when it is over for a client. */
static int refused_by_the_server(struct tls_setup setup)
{
    struct tls_pair tls;
    struct weir_slice data;
    setup.request = "ca";
    tls_pair_prepare(&tls, &setup);
    tls_pair_connect(&tls);
    int rc = tls_pair_handshake(&tls);
    expect_result(rc, setup.version == WEIR_TLS_1_2 ? WEIR_TLS_ALERT : 0);
    expect_result(weir_read(tls.pair.reader, 1, &data), WEIR_TLS_ALERT);
    expect_result(weir_write(tls.pair.writer, "x", 1), WEIR_TLS_ALERT);
    tls_pair_end(&tls, WEIR_TLS_ALERT);
    return 0;
}

/* Of TLS 1.2 wolfSSL as a server just ends, where it gets none. */
TlsTest(tls_certificates, asked_without_1_3)
{
    return refused_by_the_server((struct tls_setup){ .role = WEIR_CLIENT });
}

static struct tls_setup with_anothers(int version)
{
    struct tls_setup setup = { .role = WEIR_CLIENT, .version = version };
    setup.weir.certificate_file = tls_file("other-client.pem");
    setup.weir.key_file = tls_file("other-client-key.pem");
    return setup;
}

TlsTest(tls_certificates, asked_with_anothers_1_3)
{
    return refused_by_the_server(with_anothers(WEIR_TLS_1_3));
}

TlsTest(tls_certificates, asked_with_anothers_1_2)
{
    return refused_by_the_server(with_anothers(WEIR_TLS_1_2));
}

/* ---- What is told of it -----------------------------------------------------------------------*/

static void expect_info(const struct tls_pair *tls, const char *name, const char *value)
{
    const char *got = weir_get_extra_info(tls->pair.writer, name);
    if (value == NULL) {
        cr_assert(eq(ptr, (void *)got, NULL), "%s", name);
        return;
    }
    cr_assert(ne(ptr, (void *)got, NULL), "there is no %s", name);
    cr_assert(ne(ptr, strstr(got, value), NULL), "%s is \"%s\"", name, got);
}

TlsTest(tls_certificates, info_of_a_server)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    expect_info(&tls, "peercert", "-----BEGIN CERTIFICATE-----\n");
    expect_info(&tls, "peercert", "-----END CERTIFICATE-----\n");
    expect_info(&tls, "peercert_subject", "localhost");
    expect_info(&tls, "peercert_issuer", "CA");
    expect_info(&tls, "peercert_names", "DNS:localhost");
    expect_info(&tls, "peercert_names", "IP Address:127.0.0.1");
    expect_info(&tls, "peercert_names", "IP Address:::1");
    expect_info(&tls, "server_hostname", "localhost");
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_certificates, info_of_a_client)
{
    struct tls_setup setup = { .role = WEIR_SERVER, .certificate = "client" };
    struct tls_pair tls;
    setup.weir.require_client_certificate = true;
    setup.weir.ca_file = tls_file("ca.pem");
    tls_pair_open(&tls, &setup);
    expect_info(&tls, "peercert", "-----BEGIN CERTIFICATE-----\n");
    expect_info(&tls, "peercert_subject", "weir client");
    expect_info(&tls, "peercert_names", NULL);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_certificates, info_of_nobody)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_SERVER });
    expect_info(&tls, "peercert", NULL);
    expect_info(&tls, "peercert_subject", NULL);
    expect_info(&tls, "peercert_issuer", NULL);
    tls_pair_close(&tls);
    return 0;
}

/* A NUL in a name is shown, and does not end it. */
TlsTest(tls_certificates, info_of_a_name_with_nul)
{
    struct tls_setup setup = { .role = WEIR_CLIENT, .certificate = "nul-name" };
    struct tls_pair tls;
    setup.weir.insecure_skip_hostname = true;
    tls_pair_open(&tls, &setup);
    expect_info(&tls, "peercert_names", "localhost?.evil.example");
    tls_pair_close(&tls);
    return 0;
}
