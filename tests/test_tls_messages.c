/* After the handshake: messages of the handshake that come late, KeyUpdates, and floods of records
 * that bring no data. */
#include <sys/socket.h>

#include "tls_misbehave.h"

TestSuite(tls_messages, .timeout = 30);

#define Case(name, call)                                                                           \
    TlsTest(tls_messages, name)                                                                    \
    {                                                                                              \
        return call;                                                                               \
    }

/* As in RFC 8446, 4. */
enum {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    NEW_SESSION_TICKET = 4,
    CERTIFICATE_REQUEST = 13,
    FINISHED = 20,
    KEY_UPDATE = 24,
};

/* Records in a row that bring no data: so many are borne. */
enum { IDLE_MOST = 32 };

/* ---- Handshake messages that come late --------------------------------------------------------*/

static void empty_handshake(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "", 0, 0);
}
RefusedApart(empty_handshake, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, NO_ALERT);

static void second_finished(struct tls_pair *tls)
{
    static char message[4 + 32] = { FINISHED, 0, 0, 32 };
    tls_peer_craft(tls, HANDSHAKE, message, sizeof message, 0);
}
Refused(second_finished, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(second_finished, WEIR_TLS_RECORD, NO_ALERT);

static void second_hello(struct tls_pair *tls)
{
    static char message[4 + 64] = { 0, 0, 0, 64, 3, 3 };
    message[0] = tls->setup.role == WEIR_SERVER ? CLIENT_HELLO : SERVER_HELLO;
    tls_peer_craft(tls, HANDSHAKE, message, sizeof message, 0);
}
Refused(second_hello, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

/* By it a client would begin a renegotiation. */
Case(renegotiation_by_client_1_2, misbehave_refused(SERVER_1_2, second_hello, WEIR_TLS_RECORD,
                                                    UNEXPECTED_MESSAGE, UNEXPECTED_MESSAGE));

/* By it a server asks for one: a client may ignore it (RFC 5246, 7.4.1.1). */
static void hello_request(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\0\0\0\0", 4, 0);
}
Case(renegotiation_by_server_1_2, misbehave_borne(CLIENT_1_2, hello_request));

/* No extension has allowed it (RFC 8446, 4.6.2). */
static void certificate_request(struct tls_pair *tls)
{
    static const char message[] = "\x0d\0\0\x0d\2id\0\x08\0\x0d\0\4\0\2\4\3";
    tls_peer_craft(tls, HANDSHAKE, message, sizeof message - 1, 0);
}
RefusedByServer(certificate_request, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Case(certificate_request_in_software,
     misbehave_refused(SOFTWARE_1_3, certificate_request, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE,
                       UNEXPECTED_MESSAGE));
RefusedInPlace(certificate_request, server, CLIENT_1_3, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

static void ticket(struct tls_pair *tls)
{
    static const char message[] = "\4\0\0\x14\0\0\1\0\1\2\3\4\1\1\0\6ticket\0\0";
    tls_peer_craft(tls, HANDSHAKE, message, sizeof message - 1, 0);
}
RefusedByServer(ticket, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Case(ticket_from_server, misbehave_borne(CLIENT_1_3, ticket));

static void broken_ticket(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\4\0\0\3\1\2\3", 7, 0);
}
RefusedByClient(broken_ticket, WEIR_TLS_RECORD, DECODE_ERROR);

static void ticket_in_pieces(struct tls_pair *tls)
{
    static const char message[] = "\4\0\0\x14\0\0\1\0\1\2\3\4\1\1\0\6ticket\0\0";
    tls_peer_craft(tls, HANDSHAKE, message, 7, 0);
    tls_peer_craft(tls, HANDSHAKE, message + 7, sizeof message - 1 - 7, 0);
}
Case(ticket_in_pieces_from_server, misbehave_borne(CLIENT_1_3, ticket_in_pieces));

/* A message may not be interrupted by another type of record (RFC 8446, 5.1). */
static void ticket_interrupted(struct tls_pair *tls)
{
    static const char message[] = "\4\0\0\x14\0\0\1\0\1\2\3\4\1\1\0\6ticket\0\0";
    tls_peer_craft(tls, HANDSHAKE, message, 7, 0);
    tls_peer_craft(tls, APPLICATION_DATA, "", 0, 0);
    tls_peer_craft(tls, HANDSHAKE, message + 7, sizeof message - 1 - 7, 0);
}
RefusedInPlace(ticket_interrupted, server, CLIENT_1_3, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

/* ---- KeyUpdate --------------------------------------------------------------------------------*/

static void key_update_of_bad_value(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\1\2", 5, 0);
}
Refused(key_update_of_bad_value, WEIR_TLS_RECORD, ILLEGAL_PARAMETER);

static void key_update_too_short(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\0", 4, 0);
}
RefusedApart(key_update_too_short, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, NO_ALERT);

static void key_update_too_long(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\2\0\0", 6, 0);
}
RefusedApart(key_update_too_long, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, NO_ALERT);

/* What is behind it in its record would be of the old key. */
static void two_key_updates_at_once(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\1\0\x18\0\0\1\0", 10, 0);
}
RefusedInPlace(two_key_updates_at_once, client, SERVER_1_3, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
RefusedInPlace(two_key_updates_at_once, server, CLIENT_1_3, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

static void old_key_after_key_update(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\1\0", 5, 0);
    tls_peer_craft(tls, APPLICATION_DATA, "with the old key", 16, 0);
}
Refused(old_key_after_key_update, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void key_update(struct tls_pair *tls)
{
    tls_peer_craft(tls, HANDSHAKE, "\x18\0\0\1\0", 5, 0);
}
Refused12(key_update, WEIR_TLS_RECORD, NO_ALERT);

/* wolfSSL's own, which asks for one in return: data goes on, and its answer has come. */
static int key_updates(const struct tls_setup *setup, int times)
{
    struct tls_pair tls;
    int awaited = 0;
    tls_pair_open(&tls, setup);
    for (int time = 0; time < times; time++) {
        cr_assert(eq(int, wolfSSL_update_keys(tls.ssl), WOLFSSL_SUCCESS));
        tls_peer_send(&tls);
        tls_peer_feed(&tls, "new key");
        expect_next(tls.pair.reader, "new key");
        expect_result(weir_write(tls.pair.writer, "also", 4), 0);
        tls_peer_expect(&tls, "also");
        wolfSSL_key_update_response(tls.ssl, &awaited);
        cr_assert(eq(int, awaited, 0), "no KeyUpdate came in return");
    }
    tls_pair_close(&tls);
    return 0;
}
Case(key_updates_by_client, key_updates(SERVER_1_3, 100));
Case(key_updates_by_server, key_updates(CLIENT_1_3, 100));
Case(key_updates_in_software, key_updates(SOFTWARE_1_3, 100));

/* Weir's own, after so many records: in the tiny build soon, else not in a test's time. */
static int own_key_update(const struct tls_setup *setup)
{
    struct tls_pair tls;
    enum { LINES = 200 };
    unsigned char before[16];
    tls_pair_open(&tls, setup);
    bool client = setup->role == WEIR_CLIENT;
    const unsigned char *key =
        client ? wolfSSL_GetClientWriteKey(tls.ssl) : wolfSSL_GetServerWriteKey(tls.ssl);
    memcpy(before, key, sizeof before);
    for (int line = 0; line < LINES; line++) {
        expect_result(weir_write(tls.pair.writer, "a record, ", 10), 0);
        tls_peer_expect(&tls, "a record, ");
    }
    cr_assert(eq(int, memcmp(before, key, sizeof before) != 0, TINY));
    tls_pair_close(&tls);
    return 0;
}
Case(own_key_update_as_server, own_key_update(SERVER_1_3));
Case(own_key_update_as_client, own_key_update(CLIENT_1_3));

/* ---- Floods: records in a row that bring no data ----------------------------------------------*/

static void many(struct tls_pair *tls, int type, const char *data, size_t size, int times)
{
    for (int time = 0; time < times; time++)
        tls_peer_craft(tls, type, data, size, 0);
}

static void some_empty(struct tls_pair *tls)
{
    many(tls, APPLICATION_DATA, "", 0, IDLE_MOST);
}
Borne(some_empty);
Borne12(some_empty);

static void many_empty(struct tls_pair *tls)
{
    many(tls, APPLICATION_DATA, "", 0, IDLE_MOST + 1);
}
RefusedApart(many_empty, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, BAD_RECORD_MAC);
Refused12(many_empty, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void many_padded(struct tls_pair *tls)
{
    for (int time = 0; time < IDLE_MOST + 1; time++)
        tls_peer_craft(tls, APPLICATION_DATA, "", 0, 1000);
}
RefusedApart(many_padded, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, BAD_RECORD_MAC);

static void many_warnings(struct tls_pair *tls)
{
    many(tls, ALERT, "\1\132", 2, IDLE_MOST + 1);
}
Refused(many_warnings, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(many_warnings, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

static void many_key_updates(struct tls_pair *tls)
{
    for (int time = 0; time < IDLE_MOST + 1; time++)
        cr_assert(eq(int, wolfSSL_update_keys(tls->ssl), WOLFSSL_SUCCESS));
}
RefusedApart(many_key_updates, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, BAD_RECORD_MAC);

static void many_tickets(struct tls_pair *tls)
{
    for (int time = 0; time < IDLE_MOST + 1; time++)
        ticket(tls);
}
Case(many_tickets_from_server, misbehave_refused(CLIENT_1_3, many_tickets, WEIR_TLS_RECORD,
                                                 UNEXPECTED_MESSAGE, BAD_RECORD_MAC));

struct taking {
    struct tls_pair *tls;
    bool stop;
};

static int take_task(void *argument)
{
    struct taking *taking = argument;
    while (!taking->stop) {
        tls_peer_receive(taking->tls);
        weir_sleep(WEIR_MILLISECOND);
    }
    return 0;
}

/* To each second one wolfSSL wants one in return: what waits for a peer that does not read stays
 * bounded all the same. When it reads, all goes on. */
TlsTest(tls_messages, key_updates_of_a_peer_that_does_not_read)
{
    enum { UPDATES = 6 * 1000, MOST = 60 * 1000 }; /* bounded or not: 27 bytes each */
    struct tls_pair tls;
    struct weir_slice data;
    struct weir_group group = { 0 };
    struct taking taking = { .tls = &tls };
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .narrow = true });
    for (int time = 0; time < UPDATES; time++) {
        cr_assert(eq(int, wolfSSL_update_keys(tls.ssl), WOLFSSL_SUCCESS));
        cr_assert(eq(int, wolfSSL_write(tls.ssl, "x", 1), 1));
    }
    size_t sent = 0;
    for (int silent = 0; silent < 100 && sent < tls.out.size; silent++) {
        ssize_t n = send(tls.pair.peer, tls.out.data + sent, tls.out.size - sent, MSG_DONTWAIT);
        silent = n > 0 ? 0 : silent;
        sent += n > 0 ? (size_t)n : 0;
        expect_result(weir_sleep(WEIR_MILLISECOND), 0);
    }
    size_t queued = weir_get_write_buffer_size(tls.pair.writer);
    cr_assert(lt(sz, queued, MOST), "of %zu bytes", tls.out.size);
    expect_result(weir_group_start(&group, take_task, &taking), 0);
    bytes_remove(&tls.out, 0, sent);
    tls_peer_send(&tls);
    expect_result(weir_readexactly(tls.pair.reader, UPDATES, &data), UPDATES);
    taking.stop = true;
    expect_result(weir_group_wait(&group), 0);
    tls_pair_close(&tls);
    return 0;
}
