/* How a stream over TLS ends: in order, by close_notify of either side, in any order; cut off; and
 * when the peer does not want to. After asyncio's test_ssl (shutdown_...), and better where asyncio
 * takes a connection that was cut off for one that has ended. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_peer.h"

TestSuite(tls_ends, .timeout = 30);

#define One(name, suffix, ...)                                                                     \
    TlsTest(tls_ends, name##_##suffix)                                                             \
    {                                                                                              \
        return name((struct tls_setup){ __VA_ARGS__ });                                            \
    }

/* Of both roles and versions, and of records that wolfSSL makes. */
#define Each(name)                                                                                 \
    One(name, as_client_1_3, .role = WEIR_CLIENT);                                                 \
    One(name, as_server_1_3, .role = WEIR_SERVER);                                                 \
    One(name, as_client_1_2, .role = WEIR_CLIENT, .version = WEIR_TLS_1_2);                        \
    One(name, as_server_1_2, .role = WEIR_SERVER, .version = WEIR_TLS_1_2);                        \
    One(name, in_software, .role = WEIR_SERVER, .weir.no_hardware_aes = true)

/* The same, of TLS 1.3 alone. */
#define Each13(name)                                                                               \
    One(name, as_client, .role = WEIR_CLIENT);                                                     \
    One(name, as_server, .role = WEIR_SERVER);                                                     \
    One(name, in_software, .role = WEIR_SERVER, .weir.no_hardware_aes = true)

static void expect_read(struct tls_pair *tls, ssize_t result)
{
    struct weir_slice data;
    expect_result(weir_read(tls->pair.reader, 100, &data), result);
}

/* ---- In order ---------------------------------------------------------------------------------*/

static int we_close(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    expect_result(weir_write(tls.pair.writer, "last words", 10), 0);
    weir_close(tls.pair.writer);
    tls_peer_expect(&tls, "last words");
    tls_peer_expect_end(&tls);
    tls_peer_feed_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(we_close);

static int peer_closes(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    tls_peer_feed(&tls, "last words");
    tls_peer_feed_end(&tls);
    expect_next(tls.pair.reader, "last words");
    expect_read(&tls, 0);
    cr_assert(weir_at_eof(tls.pair.reader));
    cr_assert(eq(int, weir_exception(tls.pair.reader), 0));
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(peer_closes);

static int close_at_once(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    weir_close(tls.pair.writer);
    tls_peer_feed_end(&tls);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(close_at_once);

/* The peer has our close_notify, and ends the connection without its own. */
static int peer_ends_after_ours(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(peer_ends_after_ours);

/* What is queued leaves before. asyncio's flush_before_shutdown. */
static int close_with_much_queued(struct tls_setup setup)
{
    enum { SIZE = TINY ? 100 * 1000 : 2 * 1000 * 1000 };
    struct tls_pair tls;
    char *data = malloc(SIZE);
    tls_pair_open(&tls, &setup);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    weir_close(tls.pair.writer);
    memset(data, 0, SIZE);
    tls_peer_read(&tls, data, SIZE);
    expect_pattern(data, 0, SIZE);
    free(data);
    tls_peer_expect_end(&tls);
    tls_peer_feed_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(close_with_much_queued);

static int close_with_unread_data(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    tls_peer_feed(&tls, "nobody reads this");
    tls_pair_close(&tls);
    return 0;
}
Each(close_with_unread_data);

/* What comes after our close_notify is dropped: asyncio makes an error of it. */
static int data_after_our_end(struct tls_setup setup)
{
    enum { SIZE = TINY ? 20 * 1000 : 300 * 1000 };
    struct tls_pair tls;
    char *data = calloc(1, SIZE);
    tls_pair_open(&tls, &setup);
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_peer_feed_bytes(&tls, data, SIZE);
    free(data);
    tls_peer_feed_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(data_after_our_end);

static int data_after_the_peers_end(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    tls_peer_craft(&tls, APPLICATION_DATA, "before", 6, 0);
    tls_peer_craft(&tls, ALERT, "\1\0", 2, 0);
    tls_peer_craft(&tls, APPLICATION_DATA, "behind", 6, 0);
    tls_peer_send(&tls);
    expect_next(tls.pair.reader, "before");
    expect_read(&tls, 0);
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(data_after_the_peers_end);

/* asyncio's shutdown_timeout_handler_not_set: who pauses still gets all, when he resumes. */
static int peer_closes_while_paused(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    weir_pause_reading(tls.pair.reader);
    tls_peer_feed(&tls, "held back");
    tls_peer_feed_end(&tls);
    feed_eof(&tls.pair);
    weir_resume_reading(tls.pair.reader);
    expect_next(tls.pair.reader, "held back");
    expect_read(&tls, 0);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(peer_closes_while_paused);

/* ---- One direction alone ----------------------------------------------------------------------*/

static int we_end_and_read_on(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    cr_assert(weir_can_write_eof(tls.pair.writer));
    expect_result(weir_write(tls.pair.writer, "question", 8), 0);
    expect_result(weir_write_eof(tls.pair.writer), 0);
    expect_result(weir_write(tls.pair.writer, "x", 1), -EPIPE);
    tls_peer_expect(&tls, "question");
    tls_peer_expect_end(&tls);
    tls_peer_feed(&tls, "answer");
    expect_next(tls.pair.reader, "answer");
    tls_peer_feed_end(&tls);
    expect_read(&tls, 0);
    tls_pair_end(&tls, 0);
    return 0;
}

static int peer_ends_and_reads_on(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    tls_peer_feed(&tls, "question");
    tls_peer_feed_end(&tls);
    expect_next(tls.pair.reader, "question");
    expect_read(&tls, 0);
    cr_assert(not(weir_is_closing(tls.pair.writer)));
    expect_result(weir_write(tls.pair.writer, "answer", 6), 0);
    tls_peer_expect(&tls, "answer");
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

Each13(we_end_and_read_on);
Each13(peer_ends_and_reads_on);

/* The peer may go on to read, when it has ended TCP's direction, too. */
TlsTest(tls_ends, peer_ends_tcp_and_reads_on)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_SERVER, .tcp = true });
    tls_peer_feed_end(&tls);
    cr_assert(eq(int, shutdown(tls.pair.peer, SHUT_WR), 0));
    expect_read(&tls, 0);
    expect_result(weir_write(tls.pair.writer, "still here", 10), 0);
    tls_peer_expect(&tls, "still here");
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

/* TLS 1.2 can not. */
TlsTest(tls_ends, we_can_not_end_alone_1_2)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &(struct tls_setup){ .role = WEIR_CLIENT, .version = WEIR_TLS_1_2 });
    cr_assert(not(weir_can_write_eof(tls.pair.writer)));
    expect_result(weir_write_eof(tls.pair.writer), -EOPNOTSUPP);
    expect_result(weir_write(tls.pair.writer, "goes on", 7), 0);
    tls_peer_expect(&tls, "goes on");
    tls_pair_close(&tls);
    return 0;
}

/* What had been queued by then still leaves. */
TlsTest(tls_ends, peer_can_not_end_alone_1_2)
{
    enum { SIZE = TINY ? 20 * 1000 : 200 * 1000 };
    struct tls_pair tls;
    char *data = malloc(SIZE);
    tls_pair_open(
        &tls, &(struct tls_setup){ .role = WEIR_SERVER, .version = WEIR_TLS_1_2, .narrow = true });
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    tls_peer_craft(&tls, ALERT, "\1\0", 2, 0);
    tls_peer_send(&tls);
    expect_read(&tls, 0);
    memset(data, 0, SIZE);
    tls_peer_read(&tls, data, SIZE);
    expect_pattern(data, 0, SIZE);
    free(data);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

/* ---- Cut off ----------------------------------------------------------------------------------*/

static int cut_off(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    uint64_t failures = metrics_now().tls_failures;
    tls_peer_feed(&tls, "all of it?");
    feed_eof(&tls.pair);
    expect_next(tls.pair.reader, "all of it?");
    expect_read(&tls, WEIR_TLS_TRUNCATED);
    cr_assert(eq(int, weir_exception(tls.pair.reader), WEIR_TLS_TRUNCATED));
    expect_result(weir_write(tls.pair.writer, "x", 1), WEIR_TLS_TRUNCATED);
    cr_assert(eq(u64, metrics_now().tls_failures, failures + 1));
    tls_pair_end(&tls, WEIR_TLS_TRUNCATED);
    return 0;
}
Each(cut_off);

struct waiting {
    struct tls_pair *tls;
    int read, drained;
};

static int read_waiting(void *argument)
{
    struct waiting *waiting = argument;
    struct weir_slice data;
    waiting->read = (int)weir_readexactly(waiting->tls->pair.reader, 100, &data);
    return 0;
}

static int drain_waiting(void *argument)
{
    struct waiting *waiting = argument;
    waiting->drained = weir_drain(waiting->tls->pair.writer);
    return 0;
}

/* Who waits is woken: for data, and for room in the queue. */
static int cut_off_wakes_all(struct tls_setup setup)
{
    static const char much[1000 * 1000];
    struct tls_pair tls;
    struct waiting waiting = { .tls = &tls };
    struct weir_group group = { 0 };
    setup.narrow = true;
    tls_pair_open(&tls, &setup);
    expect_result(weir_write(tls.pair.writer, much, TINY ? sizeof much / 5 : sizeof much), 0);
    expect_result(weir_group_start(&group, read_waiting, &waiting), 0);
    expect_result(weir_group_start(&group, drain_waiting, &waiting), 0);
    settle();
    feed_eof(&tls.pair);
    expect_result(weir_group_wait(&group), 0);
    expect_result(waiting.read, WEIR_TLS_TRUNCATED);
    expect_result(waiting.drained, WEIR_TLS_TRUNCATED);
    tls_pair_end(&tls, WEIR_TLS_TRUNCATED);
    return 0;
}
Each(cut_off_wakes_all);

static int cut_off_inside_a_record(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    tls_peer_feed(&tls, "whole");
    tls_peer_craft(&tls, APPLICATION_DATA, "half of it", 10, 0);
    tls.out.size -= 3;
    tls_peer_send(&tls);
    feed_eof(&tls.pair);
    expect_next(tls.pair.reader, "whole");
    expect_read(&tls, WEIR_TLS_TRUNCATED);
    tls_pair_end(&tls, WEIR_TLS_TRUNCATED);
    return 0;
}
Each(cut_off_inside_a_record);

static int cut_off_as_allowed(struct tls_setup setup)
{
    struct tls_pair tls;
    setup.weir.insecure_allow_truncation = true;
    tls_pair_open(&tls, &setup);
    tls_peer_feed(&tls, "that was it");
    feed_eof(&tls.pair);
    expect_next(tls.pair.reader, "that was it");
    expect_read(&tls, 0);
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(cut_off_as_allowed);

static int reset(struct tls_setup setup)
{
    struct tls_pair tls;
    setup.tcp = true;
    tls_pair_open(&tls, &setup);
    feed_reset(&tls.pair);
    expect_read(&tls, -ECONNRESET);
    tls_pair_end(&tls, -ECONNRESET);
    return 0;
}
Each(reset);

static int we_abort(struct tls_setup setup)
{
    struct tls_pair tls;
    tls_pair_open(&tls, &setup);
    weir_abort(tls.pair.writer);
    tls_peer_expect_no_alert(&tls);
    cr_assert(eq(int, tls.error, SOCKET_PEER_CLOSED_E), "wolfSSL: %d", tls.error);
    expect_result(weir_drain(tls.pair.writer), -ECONNABORTED);
    tls_pair_end(&tls, 0);
    return 0;
}
Each(we_abort);

/* ---- A peer that does not end -----------------------------------------------------------------*/

#define SHORT (100 * WEIR_MILLISECOND)

static int silent_peer(struct tls_setup setup)
{
    struct tls_pair tls;
    setup.start.tls_shutdown_timeout = SHORT;
    tls_pair_open(&tls, &setup);
    expect_result(weir_wait_closed(tls.pair.writer), -ETIMEDOUT);
    close(tls.pair.peer);
    wolfSSL_free(tls.ssl);
    bytes_free(&tls.in);
    bytes_free(&tls.out);
    tls_pair_free(&tls);
    return 0;
}
Each(silent_peer);

/* What is queued is more than the peer reads within the time, but it reads on. Progress is a send
 * that is complete: of a record at least, and of a few hundred KB at most. */
TlsTest(tls_ends, slow_peer)
{
    enum { SIZE = TINY ? 200 * 1000 : 2000 * 1000, PIECES = 10 };
    struct tls_setup setup = { .role = WEIR_SERVER, .narrow = true };
    struct tls_pair tls;
    char *data = malloc(SIZE);
    setup.start.tls_shutdown_timeout = 2 * SHORT;
    tls_pair_open(&tls, &setup);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    weir_close(tls.pair.writer);
    memset(data, 0, SIZE);
    for (size_t piece = 0; piece < PIECES; piece++) {
        tls_peer_read(&tls, data + piece * (SIZE / PIECES), SIZE / PIECES);
        expect_result(weir_sleep(SHORT * 2 / 5), 0);
    }
    expect_pattern(data, 0, SIZE);
    free(data);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

/* It does not: what is left is given up. */
TlsTest(tls_ends, peer_that_stops_reading)
{
    enum { SIZE = 300 * 1000 };
    struct tls_setup setup = { .role = WEIR_SERVER, .narrow = true };
    struct tls_pair tls;
    char *data = calloc(1, SIZE);
    setup.start.tls_shutdown_timeout = SHORT;
    tls_pair_open(&tls, &setup);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    free(data);
    weir_close(tls.pair.writer);
    expect_result(weir_sleep(2 * SHORT), 0);
    expect_result(weir_drain(tls.pair.writer), -ETIMEDOUT);
    tls_pair_end(&tls, -ETIMEDOUT);
    return 0;
}

struct talking {
    struct tls_pair *tls;
    bool stop;
};

/* Says something every few milliseconds, and never ends. */
static int talk_task(void *argument)
{
    struct talking *talking = argument;
    while (!talking->stop) {
        tls_peer_feed(talking->tls, "and another thing");
        weir_sleep(5 * WEIR_MILLISECOND);
    }
    return 0;
}

TlsTest(tls_ends, peer_that_talks_on)
{
    struct tls_setup setup = { .role = WEIR_SERVER };
    struct weir_group group = { 0 };
    struct tls_pair tls;
    setup.start.tls_shutdown_timeout = SHORT;
    tls_pair_open(&tls, &setup);
    struct talking talking = { .tls = &tls };
    expect_result(weir_group_start(&group, talk_task, &talking), 0);
    weir_close(tls.pair.writer);
    expect_result(weir_sleep(2 * SHORT), 0);
    talking.stop = true;
    expect_result(weir_group_wait(&group), 0);
    tls_pair_end(&tls, -ETIMEDOUT);
    return 0;
}
