/* weir_start_tls() where it is refused, and the stream stays as it was, and where it is given up in
 * the middle, and the stream is lost. */
#include <stdlib.h>

#include "tls_peer.h"

TestSuite(tls_start_refused, .timeout = 30);

static const struct tls_setup client = { .role = WEIR_CLIENT }, server = { .role = WEIR_SERVER };

/* ---- It is refused, and the stream stays as it was --------------------------------------------*/

static void expect_plain_talk(struct tls_pair *tls)
{
    feed(&tls->pair, "plain");
    expect_next(tls->pair.reader, "plain");
    expect_result(weir_write(tls->pair.writer, "too", 3), 0);
    peer_expect(&tls->pair, "too");
}

struct reading {
    struct weir_reader *reader;
    struct weir_slice data;
    ssize_t result;
};

static int read_task(void *argument)
{
    struct reading *reading = argument;
    reading->result = weir_readexactly(reading->reader, 4, &reading->data);
    return 0;
}

TlsTest(tls_start_refused, busy_while_a_task_reads)
{
    struct tls_pair tls;
    struct weir_group group = { 0 };
    tls_pair_open_plain(&tls, &client);
    struct reading reading = { .reader = tls.pair.reader };
    expect_result(weir_group_start(&group, read_task, &reading), 0);
    settle();
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start), -EBUSY);
    feed(&tls.pair, "data");
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, 4);
    expect_plain_talk(&tls);
    expect_result(tls_pair_handshake(&tls), 0);
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

enum { MUCH = TINY ? 50 * 1000 : 500 * 1000 };

static int write_all_task(void *argument)
{
    static char data[MUCH];
    pattern_fill(data, 0, MUCH);
    return weir_write_all(argument, data, MUCH);
}

TlsTest(tls_start_refused, busy_while_a_task_writes_all)
{
    struct tls_pair tls;
    struct weir_group group = { 0 };
    char *data = malloc(MUCH);
    tls_pair_open_plain(&tls, &(struct tls_setup){ .role = WEIR_CLIENT, .narrow = true });
    expect_result(weir_group_start(&group, write_all_task, tls.pair.writer), 0);
    settle();
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start), -EBUSY);
    peer_read(&tls.pair, data, MUCH);
    expect_pattern(data, 0, MUCH);
    free(data);
    expect_result(weir_group_wait(&group), 0);
    expect_result(tls_pair_handshake(&tls), 0);
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_start_refused, without_a_context)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    expect_result(weir_start_tls(tls.pair.writer, NULL, &tls.setup.start), -EINVAL);
    expect_plain_talk(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, without_a_name)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, NULL), -EINVAL);
    struct weir_start_tls_options empty = { .server_hostname = "" };
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &empty), -EINVAL);
    expect_plain_talk(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, with_a_negative_timeout)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    struct weir_start_tls_options options = tls.setup.start;
    options.tls_handshake_timeout = -1;
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &options), -EINVAL);
    options = tls.setup.start;
    options.tls_shutdown_timeout = -1;
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &options), -EINVAL);
    expect_plain_talk(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

/* No name is needed where none is checked. */
TlsTest(tls_start_refused, without_a_name_unchecked)
{
    struct tls_setup setup = client;
    struct tls_pair tls;
    setup.weir.insecure_skip_hostname = true;
    tls_pair_open_plain(&tls, &setup);
    tls.setup.start.server_hostname = NULL;
    expect_result(tls_pair_handshake(&tls), 0);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_start_refused, on_a_closing_stream)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    weir_close(tls.pair.writer);
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start), -EPIPE);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, after_our_end)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    expect_result(weir_write_eof(tls.pair.writer), 0);
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start), -EPIPE);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, after_the_peers_end)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    feed_eof(&tls.pair);
    expect_result(weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start), -ECONNRESET);
    tls_pair_end(&tls, 0);
    return 0;
}

/* ---- It is given up in the middle -------------------------------------------------------------*/

/* The peer has said half of its hello, and the upgrade waits. */
static void stalled_open(struct tls_pair *tls, const struct tls_setup *setup)
{
    tls_pair_open_plain(tls, setup);
    tls_pair_start(tls);
    settle();
    tls_pair_negotiate(tls);
    tls->out.size /= 2;
    tls_peer_send(tls);
    cr_assert(not(tls->ended));
}

/* The stream is lost at once, and the peer sees its end. */
static void expect_lost(struct tls_pair *tls, int error)
{
    struct weir_slice data;
    expect_result(weir_read(tls->pair.reader, 1, &data), error);
    cr_assert(weir_is_closing(tls->pair.writer));
    for (int polls = 0; !tls->fin; polls++) {
        cr_assert(lt(int, polls, 5000), "the peer sees no end");
        tls_peer_receive(tls);
        expect_result(weir_sleep(WEIR_MILLISECOND), 0);
    }
}

static int cancelled(const struct tls_setup *setup)
{
    struct tls_pair tls;
    stalled_open(&tls, setup);
    weir_group_cancel(&tls.group);
    expect_result(tls_pair_result(&tls), -ECANCELED);
    expect_lost(&tls, 0);
    expect_result(weir_drain(tls.pair.writer), -ECONNABORTED);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, cancelled_as_client)
{
    return cancelled(&client);
}

TlsTest(tls_start_refused, cancelled_as_server)
{
    return cancelled(&server);
}

/* asyncio's start_tls_slow_client_cancel: by a timeout around it. */
TlsTest(tls_start_refused, timed_out_from_outside)
{
    struct weir_timeout timeout;
    struct tls_pair tls;
    tls_pair_open_plain(&tls, &client);
    weir_timeout_start(&timeout, 20 * WEIR_MILLISECOND);
    int rc = weir_start_tls(tls.pair.writer, tls.weir, &tls.setup.start);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    expect_lost(&tls, 0);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, timed_out)
{
    struct tls_setup setup = server;
    struct tls_pair tls;
    setup.start.tls_handshake_timeout = 20 * WEIR_MILLISECOND;
    stalled_open(&tls, &setup);
    expect_result(tls_pair_result(&tls), -ETIMEDOUT);
    expect_lost(&tls, -ETIMEDOUT);
    tls_pair_end(&tls, -ETIMEDOUT);
    return 0;
}

static int reset(struct tls_setup setup)
{
    struct tls_pair tls;
    setup.tcp = true;
    stalled_open(&tls, &setup);
    feed_reset(&tls.pair);
    expect_result(tls_pair_result(&tls), -ECONNRESET);
    tls_pair_end(&tls, -ECONNRESET);
    return 0;
}

TlsTest(tls_start_refused, reset_as_client)
{
    return reset(client);
}

TlsTest(tls_start_refused, reset_as_server)
{
    return reset(server);
}

/* asyncio's close_during_handshake. */
TlsTest(tls_start_refused, closed_by_another_task)
{
    struct tls_pair tls;
    stalled_open(&tls, &server);
    weir_close(tls.pair.writer);
    expect_result(tls_pair_result(&tls), -ECONNABORTED);
    expect_lost(&tls, 0);
    tls_pair_end(&tls, 0);
    return 0;
}

TlsTest(tls_start_refused, aborted_by_another_task)
{
    struct tls_pair tls;
    stalled_open(&tls, &server);
    weir_abort(tls.pair.writer);
    expect_result(tls_pair_result(&tls), -ECONNABORTED);
    expect_lost(&tls, 0);
    tls_pair_end(&tls, 0);
    return 0;
}
