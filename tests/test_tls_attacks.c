/* What peers have tried, or might: each of these once hung a loop, took memory without bound, or
 * broke a stream. */
#include "tls_peer.h"

#include <sys/socket.h>

TestSuite(tls_attacks, .timeout = 30);

/* ---- Little by little -------------------------------------------------------------------------*/

enum { BYTES = 2000, FEW = TINY ? BYTES / 4 : 16 };

static uint64_t segments_since(uint64_t before)
{
    return metrics_now().segments_open - before;
}

static void send_byte_by_byte(struct pair *pair, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert(eq(long, (long)send(pair->peer, "x", 1, MSG_NOSIGNAL), 1));
        expect_result(weir_yield(), 0);
    }
    settle();
}

/* Without TLS: what is not read yet shares buffers. */
TlsTest(tls_attacks, bytes_without_tls)
{
    struct pair pair;
    pair_open(&pair, 0);
    uint64_t before = metrics_now().segments_open;
    send_byte_by_byte(&pair, BYTES);
    cr_assert(le(u64, segments_since(before), FEW));
    struct weir_slice data;
    expect_result(weir_readexactly(pair.reader, BYTES, &data), BYTES);
    pair_close(&pair);
    return 0;
}

/* Before anybody is known: a large record begins, and comes byte by byte. */
TlsTest(tls_attacks, bytes_of_a_large_hello)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, &(struct tls_setup){ .role = WEIR_SERVER });
    tls_pair_connect(&tls);
    tls_pair_start(&tls);
    settle();
    uint64_t before = metrics_now().segments_open;
    feed_bytes(&tls.pair, "\x16\3\1\x40\0\1\0\x3f\xfc", 9);
    send_byte_by_byte(&tls.pair, BYTES);
    cr_assert(le(u64, segments_since(before), FEW));
    shutdown(tls.pair.peer, SHUT_WR);
    expect_result(tls_pair_result(&tls), -ECONNRESET);
    tls_pair_end(&tls, -ECONNRESET);
    return 0;
}

/* Records of one byte each, which wolfSSL opens. */
TlsTest(tls_attacks, records_of_a_byte)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .weir.no_hardware_aes = true });
    uint64_t before = metrics_now().segments_open;
    for (int i = 0; i < BYTES; i++)
        tls_peer_craft(&tls, APPLICATION_DATA, "x", 1, 0);
    tls_peer_send(&tls);
    settle();
    cr_assert(le(u64, segments_since(before), FEW));
    struct weir_slice data;
    expect_result(weir_readexactly(tls.pair.reader, BYTES, &data), BYTES);
    tls_pair_close(&tls);
    return 0;
}

/* ---- After our end ----------------------------------------------------------------------------*/

/* The stream is given up; the loop goes on. */
static int after_our_end(int version, const char *record, size_t size)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .version = version });
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_peer_send_bytes(&tls, record, size);
    settle();
    tls_pair_end(&tls, WEIR_TLS_RECORD);
    return 0;
}

#define AfterOurEnd(name, record)                                                                  \
    TlsTest(tls_attacks, name##_after_our_end_1_3)                                                 \
    {                                                                                              \
        return after_our_end(WEIR_TLS_1_3, record, sizeof record - 1);                             \
    }                                                                                              \
    TlsTest(tls_attacks, name##_after_our_end_1_2)                                                 \
    {                                                                                              \
        return after_our_end(WEIR_TLS_1_2, record, sizeof record - 1);                             \
    }

AfterOurEnd(type_unknown, "\x63\3\3\0\1x");
AfterOurEnd(too_long, "\x17\3\3\xff\xff");

/* ---- TLS within TLS, and a context that goes --------------------------------------------------*/

static unsigned started;

static void upgrade_again(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct tls_service *service = argument;
    struct weir_slice data;
    started++;
    expect_result(weir_start_tls(writer, service->options.tls, NULL), 0);
    if (weir_readexactly(reader, 5, &data) == 5)
        weir_write_slice(writer, data);
}

/* The handler of a server's client begins once, also if it puts TLS over TLS. */
TlsTest(tls_attacks, handler_begins_once)
{
    struct tls_service service = { .handler = upgrade_again };
    struct pair client;
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    struct weir_start_tls_options options = { .server_hostname = "localhost" };
    expect_result(weir_start_tls(client.writer, service.client, &options), 0);
    expect_result(weir_write(client.writer, "hello", 5), 0);
    expect_next(client.reader, "hello");
    pair_close(&client);
    service_close(&service);
    cr_assert(eq(uint, started, 1));
    return 0;
}

/* A server keeps what it needs. */
TlsTest(tls_attacks, context_freed_while_a_server_serves)
{
    struct tls_service service = { 0 };
    struct pair client;
    service_open(&service);
    weir_tls_free(service.options.tls);
    service.options.tls = NULL;
    for (int time = 0; time < 2; time++) {
        expect_result(service_connect(&service, &client), 0);
        expect_echo(&client);
        pair_close(&client);
    }
    service_close(&service);
    return 0;
}
