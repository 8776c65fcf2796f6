/* See tls_peer.h. */
#include "tls_peer.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* As in harness.c: polls of 0.2 ms, after which what must happen has failed to, or may not come. */
enum { POLLS = 50 * 1000, POLLS_IF_EVER = 100 };
#define POLL (WEIR_MILLISECOND / 5)

/* ---- Bytes and records ------------------------------------------------------------------------*/

void bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (bytes->capacity < bytes->size + size) {
        bytes->capacity = 2 * (bytes->size + size);
        bytes->data = realloc(bytes->data, bytes->capacity);
        cr_assert(ne(ptr, bytes->data, NULL));
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void bytes_remove(struct bytes *bytes, size_t from, size_t size)
{
    bytes->size -= size;
    memmove(bytes->data + from, bytes->data + from + size, bytes->size - from);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

void record_append(struct bytes *bytes, int type, int version, const void *data, size_t size)
{
    unsigned char head[RECORD_HEAD] = { (unsigned char)type, (unsigned char)(version >> 8),
                                        (unsigned char)version, (unsigned char)(size >> 8),
                                        (unsigned char)size };
    bytes_append(bytes, head, sizeof head);
    bytes_append(bytes, data, size);
}

size_t record_offset(const struct bytes *bytes, size_t number)
{
    size_t offset = 0;
    while (number-- > 0 && offset + RECORD_HEAD <= bytes->size)
        offset += RECORD_HEAD + bytes->data[offset + 3] * 256 + bytes->data[offset + 4];
    return offset < bytes->size ? offset : bytes->size;
}

/* ---- Sending and receiving --------------------------------------------------------------------*/

static void pause_between_polls(void)
{
    expect_result(weir_sleep(POLL), 0);
}

/* How much of what the peer has sent the kernel still holds. Over TCP: not known. */
static int untaken(const struct tls_pair *tls)
{
    int size = 0;
    cr_assert(eq(int, ioctl(tls->pair.peer, SIOCOUTQ, &size), 0));
    return size;
}

static void wait_taken(struct tls_pair *tls)
{
    if (tls->setup.tcp)
        settle();
    for (int polls = 0; polls < POLLS_IF_EVER && untaken(tls) > 0; polls++) {
        if (polls < 5)
            weir_yield();
        else
            pause_between_polls();
    }
    weir_yield(); /* the loop now works on it */
    weir_yield();
}

void tls_peer_send_bytes(struct tls_pair *tls, const void *data, size_t size)
{
    const char *from = data;
    for (int polls = 0; size > 0; polls++) {
        ssize_t sent = send(tls->pair.peer, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* weir's end has refused */
        cr_assert(sent >= 0 || errno == EAGAIN, "send: %s", strerror(errno));
        cr_assert(lt(int, polls, POLLS), "weir does not receive: %zu bytes left", size);
        if (sent > 0) {
            from += sent;
            size -= (size_t)sent;
        } else {
            tls_peer_receive(tls); /* weir may wait for that */
            pause_between_polls();
        }
    }
    wait_taken(tls);
}

void tls_peer_send(struct tls_pair *tls)
{
    struct bytes out = tls->out;
    tls->out = (struct bytes){ 0 };
    tls_peer_send_bytes(tls, out.data, out.size);
    bytes_free(&out);
}

void tls_peer_receive(struct tls_pair *tls)
{
    char buffer[32 * 1024];
    ssize_t n = 1;
    while (!tls->fin && n > 0) {
        n = recv(tls->pair.peer, buffer, sizeof buffer, MSG_DONTWAIT);
        cr_assert(n >= 0 || errno == EAGAIN || errno == ECONNRESET, "recv: %s", strerror(errno));
        if (n > 0)
            bytes_append(&tls->in, buffer, (size_t)n);
        else
            tls->fin = n == 0 || errno == ECONNRESET;
    }
}

/* ---- wolfSSL ----------------------------------------------------------------------------------*/

static int give_input(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct tls_pair *tls = context;
    size_t left = tls->in.size - tls->given;
    if (left == 0)
        return tls->fin ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_WANT_READ;
    if ((size_t)size > left)
        size = (int)left;
    memcpy(buffer, tls->in.data + tls->given, (size_t)size);
    tls->given += (size_t)size;
    if (tls->given == tls->in.size)
        tls->given = tls->in.size = 0;
    return size;
}

static int take_output(WOLFSSL *ssl, char *data, int size, void *context)
{
    struct tls_pair *tls = context;
    bytes_append(&tls->out, data, (size_t)size);
    return size;
}

static WOLFSSL_METHOD *method_of(const struct tls_setup *setup)
{
    bool server = setup->role == WEIR_CLIENT;
    if (setup->version == TLS_1_1)
        return server ? wolfTLSv1_1_server_method() : wolfTLSv1_1_client_method();
    if (setup->version == WEIR_TLS_1_2)
        return server ? wolfTLSv1_2_server_method() : wolfTLSv1_2_client_method();
    return server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method();
}

static const char *ciphers_of(const struct tls_setup *setup)
{
    if (setup->ciphers != NULL)
        return setup->ciphers;
    if (setup->version == TLS_1_1)
        return "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA";
    if (setup->version == WEIR_TLS_1_2)
        return "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    return "TLS13-AES128-GCM-SHA256";
}

#define must(call) cr_assert(eq(int, call, WOLFSSL_SUCCESS))

static void context_make(struct tls_pair *tls)
{
    const struct tls_setup *setup = &tls->setup;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(method_of(setup));
    cr_assert(ne(ptr, context, NULL));
    tls->context = context;
    wolfSSL_CTX_SetIORecv(context, give_input);
    wolfSSL_CTX_SetIOSend(context, take_output);
    int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1 };
    if (setup->version == 0 || setup->version == WEIR_TLS_1_3)
        must(wolfSSL_CTX_set_groups(context, groups + setup->only_p256, 2 - setup->only_p256));
    else if (setup->role == WEIR_SERVER)
        for (int i = 0; i < 2; i++)
            must(wolfSSL_CTX_UseSupportedCurve(context, (word16)groups[i]));
    must(wolfSSL_CTX_set_cipher_list(context, ciphers_of(setup)));
    if (setup->anonymous)
        must(wolfSSL_CTX_allow_anon_cipher(context));

    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    if (setup->request != NULL) {
        char name[64];
        snprintf(name, sizeof name, "%s.pem", setup->request);
        int required = WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        wolfSSL_CTX_set_verify(context, required, NULL);
        must(wolfSSL_CTX_load_verify_locations(context, tls_file(name), NULL));
    }
    if (setup->certificate != NULL) {
        char chain[64], key[64];
        snprintf(chain, sizeof chain, "%s.pem", setup->certificate);
        snprintf(key, sizeof key, "%s-key.pem", setup->certificate);
        int pem = WOLFSSL_FILETYPE_PEM;
        must(wolfSSL_CTX_use_certificate_chain_file(context, tls_file(chain)));
        must(wolfSSL_CTX_use_PrivateKey_file(context, tls_file(key), pem));
    }
}

static void session_make(struct tls_pair *tls)
{
    struct tls_setup *setup = &tls->setup;
    tls->ssl = wolfSSL_new(tls->context);
    cr_assert(ne(ptr, tls->ssl, NULL));
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    if (setup->sni != NULL) {
        size_t size = setup->sni_size > 0 ? setup->sni_size : strlen(setup->sni);
        must(wolfSSL_UseSNI(tls->ssl, WOLFSSL_SNI_HOST_NAME, setup->sni, (unsigned short)size));
    }
    if (setup->alpn != NULL) {
        char list[256];
        snprintf(list, sizeof list, "%s", setup->alpn);
        unsigned mismatch = WOLFSSL_ALPN_FAILED_ON_MISMATCH;
        must(wolfSSL_UseALPN(tls->ssl, list, (unsigned)strlen(list), mismatch));
    }
}

bool tls_pair_negotiate(struct tls_pair *tls)
{
    if (tls->established || tls->error != 0)
        return false;
    tls_peer_receive(tls);
    int rc = wolfSSL_negotiate(tls->ssl);
    tls->established = rc == WOLFSSL_SUCCESS;
    int error = tls->established ? 0 : wolfSSL_get_error(tls->ssl, rc);
    if (error != WOLFSSL_ERROR_WANT_READ)
        tls->error = error;
    return !tls->established && tls->error == 0;
}

/* ---- The two ends -----------------------------------------------------------------------------*/

void tls_pair_prepare(struct tls_pair *tls, const struct tls_setup *setup)
{
    *tls = (struct tls_pair){ .setup = *setup };
    struct weir_start_tls_options *start = &tls->setup.start;
    if (setup->role == WEIR_CLIENT && setup->certificate == NULL && !setup->anonymous)
        tls->setup.certificate = "server";
    if (setup->role == WEIR_CLIENT && start->server_hostname == NULL)
        start->server_hostname = "localhost";
    if (start->tls_handshake_timeout == 0)
        start->tls_handshake_timeout = 10 * WEIR_SECOND;
    if (start->tls_shutdown_timeout == 0)
        start->tls_shutdown_timeout = 10 * WEIR_SECOND;
    must(wolfSSL_Init());
    context_make(tls);
    tls->weir = tls_context(setup->role, &setup->weir);
}

void tls_pair_connect(struct tls_pair *tls)
{
    if (tls->setup.tcp)
        pair_open_tcp(&tls->pair, tls->setup.limit);
    else
        pair_open(&tls->pair, tls->setup.limit);
    if (tls->setup.narrow)
        pair_narrow(&tls->pair);
    session_make(tls);
}

static void session_free(struct tls_pair *tls)
{
    wolfSSL_free(tls->ssl);
    bytes_free(&tls->in);
    bytes_free(&tls->out);
    tls->ssl = NULL;
    tls->fin = tls->established = tls->ended = false;
    tls->error = tls->flight = 0;
    tls->sequence = tls->crafted = 0;
    tls->given = 0;
}

void tls_pair_disconnect(struct tls_pair *tls, int error)
{
    if (tls->pair.peer >= 0)
        shutdown(tls->pair.peer, SHUT_WR);
    pair_close_with(&tls->pair, error);
    session_free(tls);
}

void tls_pair_free(struct tls_pair *tls)
{
    weir_tls_free(tls->weir);
    wolfSSL_CTX_free(tls->context);
    wolfSSL_Cleanup();
}

void tls_pair_end(struct tls_pair *tls, int error)
{
    tls_pair_disconnect(tls, error);
    tls_pair_free(tls);
}

static int upgrade_task(void *argument)
{
    struct tls_pair *tls = argument;
    tls->result = weir_start_tls(tls->pair.writer, tls->weir, &tls->setup.start);
    tls->ended = true;
    return 0;
}

void tls_pair_start(struct tls_pair *tls)
{
    tls->group = (struct weir_group){ 0 };
    expect_result(weir_group_start(&tls->group, upgrade_task, tls), 0);
}

int tls_pair_result(struct tls_pair *tls)
{
    expect_result(weir_group_wait(&tls->group), 0);
    return tls->result;
}

int tls_pair_handshake(struct tls_pair *tls)
{
    tls_pair_start(tls);
    bool going_on = true;
    for (int silent = 0; !tls->ended || (going_on && tls->result == 0); silent++) {
        cr_assert(lt(int, silent, POLLS), "the handshake does not end");
        going_on = tls_pair_negotiate(tls);
        if (tls->out.size == 0) {
            if (silent < 20)
                weir_yield();
            else
                pause_between_polls();
            if (silent == POLLS_IF_EVER && tls->impatient)
                shutdown(tls->pair.peer, SHUT_WR);
            continue;
        }
        silent = 0;
        if (tls->tamper != NULL && tls->error == 0)
            tls->tamper(tls);
        tls->flight++;
        tls_peer_send(tls);
        if (tls->error != 0)
            shutdown(tls->pair.peer, SHUT_WR);
    }
    return tls_pair_result(tls);
}

void tls_pair_open_plain(struct tls_pair *tls, const struct tls_setup *setup)
{
    tls_pair_prepare(tls, setup);
    tls_pair_connect(tls);
}

void tls_pair_expect_talk(struct tls_pair *tls)
{
    tls_peer_feed(tls, "secret to weir");
    expect_next(tls->pair.reader, "secret to weir");
    expect_result(weir_write(tls->pair.writer, "secret of weir", 14), 0);
    tls_peer_expect(tls, "secret of weir");
}

void tls_pair_open(struct tls_pair *tls, const struct tls_setup *setup)
{
    tls_pair_open_plain(tls, setup);
    expect_result(tls_pair_handshake(tls), 0);
    cr_assert(tls->established, "the peer's handshake ended with %d", tls->error);
}

void tls_pair_finish(struct tls_pair *tls)
{
    weir_close(tls->pair.writer);
    tls_peer_expect_end(tls);
    tls_peer_feed_end(tls);
    tls_pair_disconnect(tls, 0);
}

void tls_pair_close(struct tls_pair *tls)
{
    tls_pair_finish(tls);
    tls_pair_free(tls);
}

/* ---- What the peer does -----------------------------------------------------------------------*/

/* The next of weir's end: a count of bytes, or 0 if there is nothing yet, or it has ended: then
 * `error` says how. wolfSSL's own answers, as to a KeyUpdate, are sent. */
static size_t read_some(struct tls_pair *tls, void *buffer, size_t size)
{
    if (tls->error != 0)
        return 0;
    if (!tls->established) {
        tls_pair_negotiate(tls);
        tls_peer_send(tls);
        return 0;
    }
    tls_peer_receive(tls);
    int n = wolfSSL_read(tls->ssl, buffer, (int)size);
    int error = n > 0 ? 0 : wolfSSL_get_error(tls->ssl, n);
    if (error != WOLFSSL_ERROR_WANT_READ)
        tls->error = error;
    tls_peer_send(tls);
    return n > 0 ? (size_t)n : 0;
}

void tls_peer_read(struct tls_pair *tls, void *buffer, size_t size)
{
    int polls = 0;
    for (size_t have = 0; have < size;) {
        size_t n = read_some(tls, (char *)buffer + have, size - have);
        have += n;
        polls = n > 0 ? 0 : polls + 1;
        cr_assert(eq(int, tls->error, 0), "TLS ended after %zu of %zu bytes", have, size);
        cr_assert(lt(int, polls, POLLS), "the peer has %zu of %zu bytes", have, size);
        if (n == 0)
            pause_between_polls();
    }
}

void tls_peer_expect(struct tls_pair *tls, const char *text)
{
    size_t size = strlen(text);
    char *got = calloc(1, size + 1);
    tls_peer_read(tls, got, size);
    cr_assert(eq(str, got, (char *)text));
    free(got);
}

void tls_peer_expect_end(struct tls_pair *tls)
{
    char byte;
    for (int polls = 0; tls->error == 0; polls++) {
        cr_assert(lt(int, polls, POLLS), "no close_notify comes");
        cr_assert(eq(sz, read_some(tls, &byte, 1), 0), "data came instead of close_notify");
        if (tls->error == 0)
            pause_between_polls();
    }
    cr_assert(eq(int, tls->error, WOLFSSL_ERROR_ZERO_RETURN));
    tls->error = 0;
}

/* Reads on until weir's end has ended; what it said last is the alert. */
static WOLFSSL_ALERT last_words(struct tls_pair *tls)
{
    char passed_over[4096];
    for (int polls = 0; tls->error == 0 || !tls->fin; polls++) {
        cr_assert(lt(int, polls, POLLS), "weir's end does not end");
        if (tls->error != 0)
            tls_peer_receive(tls);
        if (read_some(tls, passed_over, sizeof passed_over) == 0)
            pause_between_polls();
    }
    WOLFSSL_ALERT_HISTORY history;
    cr_assert(eq(int, wolfSSL_get_alert_history(tls->ssl, &history), WOLFSSL_SUCCESS));
    return history.last_rx;
}

void tls_peer_expect_alert_at(const char *file, int line, struct tls_pair *tls, int alert)
{
    WOLFSSL_ALERT got = last_words(tls);
    if (got.level != alert_fatal || got.code != alert)
        cr_assert_fail_user(file, line, criterion_abort_test,
                            "alert %d of level %d came (wolfSSL: %d), not %d, fatal", got.code,
                            got.level, tls->error, alert);
}

void tls_peer_expect_no_alert(struct tls_pair *tls)
{
    WOLFSSL_ALERT got = last_words(tls);
    cr_assert(eq(int, got.code, -1), "an alert came: %d of level %d", got.code, got.level);
}

void tls_peer_expect_plain_alert(struct tls_pair *tls, int alert)
{
    for (int polls = 0; !tls->fin; polls++) {
        cr_assert(lt(int, polls, POLLS), "weir's end does not end");
        tls_peer_receive(tls);
        pause_between_polls();
    }
    enum { SIZE = RECORD_HEAD + 2 };
    unsigned char last[SIZE] = { 0 };
    if (tls->in.size >= SIZE)
        memcpy(last, tls->in.data + tls->in.size - SIZE, SIZE);
    bool alerted = last[0] == ALERT && last[1] == 3 && last[4] == 2;
    if (alert == NO_ALERT) {
        cr_assert(not(alerted), "an alert came: %d", last[6]);
        return;
    }
    cr_assert(alerted, "no alert came");
    cr_assert(eq(int, last[5], alert_fatal));
    if (alert != ANY_ALERT)
        cr_assert(eq(int, last[6], alert));
}

void tls_peer_feed_bytes(struct tls_pair *tls, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        size_t part = size < RECORD_MOST ? size : RECORD_MOST;
        if (tls->crafted > 0)
            tls_peer_craft(tls, APPLICATION_DATA, from, part, 0);
        else
            cr_assert(eq(int, wolfSSL_write(tls->ssl, from, (int)part), (int)part));
        from += part;
        size -= part;
    }
    tls_peer_send(tls);
}

void tls_peer_feed(struct tls_pair *tls, const char *text)
{
    tls_peer_feed_bytes(tls, text, strlen(text));
}

void tls_peer_feed_end(struct tls_pair *tls)
{
    if (tls->crafted > 0)
        tls_peer_craft(tls, ALERT, "\1\0", 2, 0);
    else
        wolfSSL_shutdown(tls->ssl);
    tls_peer_send(tls);
}
