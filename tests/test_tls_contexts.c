/* Contexts: what weir_tls_client() and weir_tls_server() take and refuse, reload, resumption, and
 * how long they live. Both ends are weir's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_peer.h"

TestSuite(tls_contexts, .timeout = 30);

/* ---- What is refused --------------------------------------------------------------------------*/

static void expect_client(const struct weir_tls_options *options, int error)
{
    struct weir_tls *tls = NULL;
    expect_result(weir_tls_client(options, &tls), error);
    cr_assert(eq(ptr, tls, NULL));
}

static void expect_server(const struct weir_tls_options *options, int error)
{
    struct weir_tls *tls = NULL;
    expect_result(weir_tls_server(options, &tls), error);
    cr_assert(eq(ptr, tls, NULL));
}

/* Contexts need no loop. */
#define RefusedClient(name, error, ...)                                                            \
    Test(tls_contexts, client_##name)                                                              \
    {                                                                                              \
        expect_client(&(struct weir_tls_options){ __VA_ARGS__ }, error);                           \
    }
#define RefusedServer(name, error, ...)                                                            \
    Test(tls_contexts, server_##name)                                                              \
    {                                                                                              \
        expect_server(&(struct weir_tls_options){ __VA_ARGS__ }, error);                           \
    }
#define OURS .certificate_file = tls_file("server.pem"), .key_file = tls_file("server-key.pem")
#define CA .ca_file = tls_file("ca.pem")

RefusedClient(ca_missing, -ENOENT, .ca_file = tls_file("missing.pem"));
RefusedClient(ca_expired, WEIR_TLS_EXPIRED, .ca_file = tls_file("expired.pem"));
RefusedClient(ca_garbage, WEIR_TLS_FILE, .ca_file = tls_file("garbage.pem"));
RefusedClient(ca_empty, WEIR_TLS_FILE, .ca_file = tls_file("empty.pem"));
RefusedClient(ca_is_a_key, WEIR_TLS_FILE, .ca_file = tls_file("server-key.pem"));
RefusedClient(certificate_missing, -ENOENT, CA, .certificate_file = tls_file("missing.pem"));
RefusedClient(key_mismatch, WEIR_TLS_FILE, CA, .certificate_file = tls_file("client.pem"),
              .key_file = tls_file("server-key.pem"));
RefusedClient(key_alone, -EINVAL, CA, .key_file = tls_file("client-key.pem"));
RefusedClient(version_unknown, -EINVAL, CA, .minimum_version = 1);
RefusedClient(version_above, -EINVAL, CA, .minimum_version = 4);
RefusedClient(requests_a_client_certificate, -EINVAL, CA, .request_client_certificate = true);
RefusedClient(requires_a_client_certificate, -EINVAL, CA, .require_client_certificate = true);
RefusedClient(more_certificates, -EINVAL, CA,
              .more_certificates = (struct weir_tls_certificate[]){
                  { tls_file("sni-a.pem"), tls_file("sni-a-key.pem") }, { NULL, NULL } });
RefusedClient(alpn_empty_name, -EINVAL, CA, .alpn = (const char *const[]){ "h2", "", NULL });

Test(tls_contexts, client_alpn_long_name)
{
    char name[257];
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    expect_client(&(struct weir_tls_options){ CA, .alpn = (const char *const[]){ name, NULL } },
                  -EINVAL);
}

RefusedServer(without_options, -EINVAL, 0);
RefusedServer(certificate_missing, -ENOENT, .certificate_file = tls_file("missing.pem"),
              .key_file = tls_file("server-key.pem"));
RefusedServer(key_missing, -ENOENT, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("missing.pem"));
RefusedServer(key_in_no_file, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"));
RefusedServer(certificate_garbage, WEIR_TLS_FILE, .certificate_file = tls_file("garbage.pem"),
              .key_file = tls_file("server-key.pem"));
RefusedServer(certificate_empty, WEIR_TLS_FILE, .certificate_file = tls_file("empty.pem"),
              .key_file = tls_file("server-key.pem"));
RefusedServer(key_garbage, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("garbage-key.pem"));
RefusedServer(key_empty, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("empty.pem"));
RefusedServer(key_mismatch, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("sni-a-key.pem"));
RefusedServer(key_of_another_kind, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("rsa-key.pem"));
RefusedServer(key_encrypted, WEIR_TLS_FILE, .certificate_file = tls_file("server.pem"),
              .key_file = tls_file("encrypted-key.pem"));
RefusedServer(more_missing, -ENOENT, OURS,
              .more_certificates = (struct weir_tls_certificate[]){
                  { tls_file("missing.pem"), tls_file("missing.pem") }, { NULL, NULL } });
RefusedServer(more_mismatch, WEIR_TLS_FILE, OURS,
              .more_certificates = (struct weir_tls_certificate[]){
                  { tls_file("sni-a.pem"), tls_file("sni-b-key.pem") }, { NULL, NULL } });
RefusedServer(more_of_ed25519, -EINVAL, OURS,
              .more_certificates = (struct weir_tls_certificate[]){
                  { tls_file("ed25519.pem"), tls_file("ed25519-key.pem") }, { NULL, NULL } });
RefusedServer(requests_without_a_ca, -EINVAL, OURS, .request_client_certificate = true);
RefusedServer(requires_without_a_ca, -EINVAL, OURS, .require_client_certificate = true);
RefusedServer(ca_without_a_request, -EINVAL, OURS, CA);
RefusedServer(ca_missing, -ENOENT, OURS, .require_client_certificate = true,
              .ca_file = tls_file("missing.pem"));
RefusedServer(skips_verification, -EINVAL, OURS, .insecure_skip_verification = true);
RefusedServer(skips_names, -EINVAL, OURS, .insecure_skip_hostname = true);
RefusedServer(version_unknown, -EINVAL, OURS, .minimum_version = 1);

/* ---- Files that are replaced ------------------------------------------------------------------*/

static char directory[32], certificate[64], key[64];

static void copy_file(const char *name, const char *path)
{
    char buffer[4096];
    FILE *from = fopen(tls_file(name), "r"), *to = fopen(path, "w");
    cr_assert(ne(ptr, from, NULL));
    cr_assert(ne(ptr, to, NULL));
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, from)) > 0;)
        cr_assert(eq(sz, fwrite(buffer, 1, n, to), n));
    fclose(from);
    cr_assert(eq(int, fclose(to), 0));
}

static void directory_make(void)
{
    strcpy(directory, "/tmp/weir-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(directory), NULL));
    snprintf(certificate, sizeof certificate, "%s/certificate", directory);
    snprintf(key, sizeof key, "%s/key", directory);
}

static void directory_remove(void)
{
    unlink(certificate);
    unlink(key);
    rmdir(directory);
}

static struct weir_tls *replaceable_server(const char *name, const char *key_name)
{
    struct weir_tls *tls = NULL;
    directory_make();
    copy_file(name, certificate);
    copy_file(key_name, key);
    struct weir_tls_options options = { .certificate_file = certificate, .key_file = key };
    expect_result(weir_tls_server(&options, &tls), 0);
    return tls;
}

static void expect_subject(const struct weir_writer *writer, const char *name)
{
    const char *subject = weir_get_extra_info(writer, "peercert_subject");
    cr_assert(ne(ptr, (void *)subject, NULL));
    cr_assert(ne(ptr, strstr(subject, name), NULL), "the subject is %s", subject);
}

/* Streams to a server; the client's context does not ask for a name. */
static void open_to(struct tls_both *both, struct weir_tls *client, struct weir_tls *server)
{
    *both = (struct tls_both){ .client = client, .server = server };
    both_open(both, NULL, NULL);
}

/* Without the contexts. */
static void close_streams(struct tls_both *both)
{
    both->client = both->server = NULL;
    both_close(both);
}

static struct weir_tls *any_name(void)
{
    return tls_context(WEIR_CLIENT, &(struct weir_tls_options){ .insecure_skip_hostname = true });
}

TlsTest(tls_contexts, certificate_and_key_in_one_file)
{
    struct weir_tls_options options = { .certificate_file = certificate };
    struct tls_both both = { 0 };
    directory_make();
    copy_file("server.pem", certificate);
    copy_file("server-key.pem", key);
    char text[4096];
    FILE *from = fopen(key, "r"), *to = fopen(certificate, "a");
    cr_assert(eq(sz, fwrite(text, 1, fread(text, 1, sizeof text, from), to) > 0, 1));
    fclose(from);
    fclose(to);
    both_open(&both, NULL, &options);
    both_close(&both);
    directory_remove();
    return 0;
}

TlsTest(tls_contexts, reload)
{
    struct weir_tls *client = any_name(),
                    *server = replaceable_server("sni-a.pem", "sni-a-key.pem");
    struct tls_both before, after;
    open_to(&before, client, server);
    expect_subject(before.writer, "a.example.test");
    copy_file("sni-b.pem", certificate);
    copy_file("sni-b-key.pem", key);
    expect_result(weir_tls_reload(server), 0);
    open_to(&after, client, server);
    expect_subject(after.writer, "b.example.test");
    expect_result(weir_write(before.writer, "goes on", 7), 0);
    expect_next(before.server_reader, "goes on");
    expect_subject(before.writer, "a.example.test");
    close_streams(&before);
    close_streams(&after);
    weir_tls_free(client);
    weir_tls_free(server);
    directory_remove();
    return 0;
}

static int failing_reload(const char *name, const char *key_name, int error)
{
    struct weir_tls *client = any_name(),
                    *server = replaceable_server("sni-a.pem", "sni-a-key.pem");
    struct tls_both both;
    if (name != NULL)
        copy_file(name, certificate);
    else
        unlink(certificate);
    copy_file(key_name, key);
    expect_result(weir_tls_reload(server), error);
    open_to(&both, client, server);
    expect_subject(both.writer, "a.example.test");
    close_streams(&both);
    weir_tls_free(client);
    weir_tls_free(server);
    directory_remove();
    return 0;
}

TlsTest(tls_contexts, reload_of_garbage)
{
    return failing_reload("garbage.pem", "sni-a-key.pem", WEIR_TLS_FILE);
}

TlsTest(tls_contexts, reload_of_a_mismatch)
{
    return failing_reload("sni-a.pem", "sni-b-key.pem", WEIR_TLS_FILE);
}

TlsTest(tls_contexts, reload_of_nothing)
{
    return failing_reload(NULL, "sni-a-key.pem", -ENOENT);
}

/* Whom a client trusts is read again, too. */
TlsTest(tls_contexts, reload_of_a_client)
{
    struct tls_pair tls;
    struct tls_setup setup = { .role = WEIR_CLIENT, .weir.ca_file = certificate };
    directory_make();
    copy_file("ca.pem", certificate);
    tls_pair_prepare(&tls, &setup);
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), 0);
    tls_peer_feed(&tls, "and a ticket");
    expect_next(tls.pair.reader, "and a ticket");
    tls_pair_finish(&tls);
    copy_file("other-ca.pem", certificate);
    expect_result(weir_tls_reload(tls.weir), 0);
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), WEIR_TLS_UNTRUSTED); /* nor is it resumed */
    tls_pair_end(&tls, WEIR_TLS_UNTRUSTED);
    directory_remove();
    return 0;
}

/* ---- How long they live -----------------------------------------------------------------------*/

TlsTest(tls_contexts, freed_while_streams_live)
{
    struct tls_both both = { 0 };
    both_open(&both, NULL, NULL);
    weir_tls_free(both.client);
    weir_tls_free(both.server);
    both.client = both.server = NULL;
    expect_result(weir_write(both.writer, "goes on", 7), 0);
    expect_next(both.server_reader, "goes on");
    cr_assert(ne(ptr, (void *)weir_get_extra_info(both.writer, "peercert"), NULL));
    both_close(&both);
    return 0;
}

TlsTest(tls_contexts, freed_in_the_handshake)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER });
    tls_pair_connect(&tls);
    tls_pair_start(&tls);
    settle();
    weir_tls_free(tls.weir);
    tls.weir = NULL;
    weir_group_cancel(&tls.group);
    expect_result(tls_pair_result(&tls), -ECANCELED);
    tls_pair_end(&tls, 0);
    return 0;
}

Test(tls_contexts, freed_null)
{
    weir_tls_free(NULL);
}

/* The info is the stream's own, and stays when all else has gone. */
TlsTest(tls_contexts, info_stays_after_the_close)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    const char *subject = weir_get_extra_info(tls.pair.writer, "peercert_subject");
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_peer_feed_end(&tls);
    shutdown(tls.pair.peer, SHUT_WR);
    settle();
    cr_assert(
        eq(ptr, (void *)weir_get_extra_info(tls.pair.writer, "peercert_subject"), (void *)subject));
    cr_assert(eq(str, (char *)weir_get_extra_info(tls.pair.writer, "version"), "TLSv1.3"));
    tls_pair_end(&tls, 0);
    return 0;
}

/* ---- The default ------------------------------------------------------------------------------*/

Test(tls_contexts, default_is_always_the_same)
{
    cr_assert(ne(ptr, weir_tls_default(), NULL));
    cr_assert(eq(ptr, weir_tls_default(), weir_tls_default()));
    weir_tls_free(weir_tls_default());
    cr_assert(ne(ptr, weir_tls_default(), NULL));
}

/* A handshake with the default context, with this in SSL_CERT_FILE. */
static int default_with(const char *file, int error)
{
    struct tls_pair tls;
    setenv("SSL_CERT_FILE", tls_file(file), 1);
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_CLIENT });
    weir_tls_free(tls.weir);
    tls.weir = weir_tls_default();
    tls_pair_connect(&tls);
    expect_result(tls_pair_handshake(&tls), error);
    if (error == 0)
        tls_pair_finish(&tls);
    else
        tls_pair_disconnect(&tls, error == -ENOENT || error == WEIR_TLS_FILE ? 0 : error);
    tls_pair_free(&tls);
    return 0;
}

TlsTest(tls_contexts, default_trusts_the_file_that_is_named)
{
    return default_with("ca.pem", 0);
}

TlsTest(tls_contexts, default_does_not_trust_others)
{
    return default_with("other-ca.pem", WEIR_TLS_UNTRUSTED);
}

/* It says so when it is first used. */
TlsTest(tls_contexts, default_without_the_file)
{
    return default_with("missing.pem", -ENOENT);
}

TlsTest(tls_contexts, default_with_garbage)
{
    return default_with("garbage.pem", WEIR_TLS_FILE);
}
