/* Reader and writer over TLS do what they do over TCP: data both ways, watermarks, pausing, records
 * that lie across reads, forwarding. Both ends are weir's, joined by a socketpair, in one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_peer.h"

TestSuite(tls_streams, .timeout = 60);

enum { MUCH = TINY ? 60 * 1000 : 1000 * 1000 };

/* Each test with records sealed in place (if libipsec-mb is there), and made by wolfSSL. */
#define BothTests(name)                                                                            \
    static int name(struct tls_both *both);                                                        \
    TlsTest(tls_streams, name)                                                                     \
    {                                                                                              \
        return with_both(name, false);                                                             \
    }                                                                                              \
    TlsTest(tls_streams, name##_in_software)                                                       \
    {                                                                                              \
        return with_both(name, true);                                                              \
    }                                                                                              \
    static int name(struct tls_both *both)

static int with_both(int (*test)(struct tls_both *both), bool software)
{
    struct weir_tls_options options = { .no_hardware_aes = software };
    struct tls_both both = { 0 };
    both_open(&both, &options, &options);
    int rc = test(&both);
    both_close(&both);
    return rc;
}

/* ---- What is told -----------------------------------------------------------------------------*/

static const char *info(const struct weir_writer *writer, const char *name)
{
    const char *value = weir_get_extra_info(writer, name);
    return value != NULL ? value : "(none)";
}

BothTests(extra_info)
{
    cr_assert(eq(str, (char *)info(both->writer, "version"), "TLSv1.3"));
    cr_assert(eq(str, (char *)info(both->server_writer, "version"), "TLSv1.3"));
    cr_assert(
        eq(str, (char *)info(both->writer, "cipher"), (char *)info(both->server_writer, "cipher")));
    cr_assert(eq(str, (char *)info(both->writer, "resumed"), "false"));
    cr_assert(eq(str, (char *)info(both->server_writer, "resumed"), "false"));
    cr_assert(eq(str, (char *)info(both->writer, "record_path"),
                 (char *)info(both->server_writer, "record_path")));
    cr_assert(eq(str, (char *)info(both->server_writer, "server_hostname"), "localhost"));
    cr_assert(eq(str, (char *)info(both->writer, "peername"), "")); /* the socketpair's */
    cr_assert(eq(str, (char *)info(both->writer, "nonsense"), "(none)"));
    cr_assert(ge(int, weir_fileno(both->writer), 0));
    return 0;
}

TlsTest(tls_streams, no_hardware_aes_is_software)
{
    struct weir_tls_options options = { .no_hardware_aes = true };
    struct tls_both both = { 0 };
    both_open(&both, &options, &options);
    cr_assert(eq(str, (char *)info(both.writer, "record_path"), "software"));
    both_close(&both);
    return 0;
}

BothTests(metrics)
{
    struct weir_metrics before = metrics_now();
    struct weir_slice data;
    cr_assert(eq(u64, before.tls_handshakes, 2));
    cr_assert(eq(u64, before.tls_failures, 0));
    expect_result(weir_write(both->writer, "1234567890", 10), 0);
    expect_result(weir_readexactly(both->server_reader, 10, &data), 10);
    struct weir_metrics after = metrics_now();
    cr_assert(ge(u64, after.bytes_written, before.bytes_written + 10));
    cr_assert(ge(u64, after.bytes_read, before.bytes_read + 10));
    return 0;
}

/* ---- Data -------------------------------------------------------------------------------------*/

struct flow {
    struct weir_reader *reader;
    struct weir_writer *writer;
    size_t size, piece;
    int result;
};

/* Writes the pattern in pieces, with a drain behind each. */
static int send_task(void *argument)
{
    struct flow *flow = argument;
    char *data = malloc(flow->piece);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < flow->size; at += flow->piece) {
        size_t left = flow->size - at, size = left < flow->piece ? left : flow->piece;
        pattern_fill(data, at, size);
        rc = weir_write(flow->writer, data, size);
        rc = rc == 0 ? weir_drain(flow->writer) : rc;
    }
    free(data);
    return rc;
}

static int receive_task(void *argument)
{
    struct flow *flow = argument;
    struct weir_slice data;
    for (size_t at = 0; at < flow->size;) {
        size_t left = flow->size - at, size = left < flow->piece ? left : flow->piece;
        expect_result(weir_readexactly(flow->reader, size, &data), (ssize_t)size);
        expect_pattern(data.data, at, size);
        at += size;
    }
    return 0;
}

/* The pattern from one end to the other, or both ways at once. */
static int transfer(struct tls_both *both, size_t size, size_t send_piece, size_t receive_piece)
{
    struct flow there = { .writer = both->writer, .size = size, .piece = send_piece };
    struct flow arrival = { .reader = both->server_reader, .size = size, .piece = receive_piece };
    struct flow back = { .writer = both->server_writer, .size = size, .piece = send_piece };
    struct flow return_ = { .reader = both->reader, .size = size, .piece = receive_piece };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, send_task, &there), 0);
    expect_result(weir_group_start(&group, receive_task, &arrival), 0);
    expect_result(weir_group_start(&group, send_task, &back), 0);
    expect_result(weir_group_start(&group, receive_task, &return_), 0);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

BothTests(large_writes_small_reads)
{
    return transfer(both, MUCH, 100 * 1000, 7);
}

BothTests(small_writes_large_reads)
{
    return transfer(both, MUCH / 4, 11, 50 * 1000);
}

BothTests(records_of_each_size)
{
    for (size_t size = 1; size < 300; size += 7)
        transfer(both, size, size, size);
    for (size_t size = 16380; size < 16390; size++)
        transfer(both, size, size, size);
    return 0;
}

/* More at once than the limit of the reader, and of a queue. */
BothTests(writes_of_a_megabyte)
{
    return transfer(both, MUCH, MUCH, MUCH);
}

BothTests(writelines_and_slices)
{
    struct weir_slice lines[] = { { "one\n", 4, NULL },
                                  { "two\n", 4, NULL },
                                  { "three\n", 6, NULL } };
    struct weir_slice line, kept;
    expect_result(weir_writelines(both->writer, lines, 3), 0);
    expect_slice(weir_readline(both->server_reader, &line), line, "one\n");
    expect_slice(weir_readline(both->server_reader, &line), line, "two\n");
    kept = weir_slice_keep(line);
    expect_slice(weir_readline(both->server_reader, &line), line, "three\n");
    expect_result(weir_write_slice(both->server_writer, kept), 0);
    weir_slice_drop(kept);
    expect_result(weir_printf(both->server_writer, "%s %d\n", "four", 5), 0);
    expect_slice(weir_readline(both->reader, &line), line, "two\n");
    expect_slice(weir_readline(both->reader, &line), line, "four 5\n");
    return 0;
}

/* Slices that are kept stay as they are, whatever comes behind them. */
BothTests(kept_slices)
{
    enum { SLICES = 200 };
    struct weir_slice kept[SLICES];
    char text[16];
    for (int i = 0; i < SLICES; i++) {
        snprintf(text, sizeof text, "number %3d", i);
        expect_result(weir_write(both->writer, text, 10), 0);
        if (i % 3 == 0)
            expect_result(weir_yield(), 0); /* some records hold one, some several */
    }
    for (int i = 0; i < SLICES; i++) {
        expect_result(weir_readexactly(both->server_reader, 10, &kept[i]), 10);
        kept[i] = weir_slice_keep(kept[i]);
    }
    for (int i = 0; i < SLICES; i++) {
        snprintf(text, sizeof text, "number %3d", i);
        expect_slice(10, kept[i], text);
        weir_slice_drop(kept[i]);
    }
    return 0;
}

/* A line that lies in several records, and several lines in one. */
BothTests(lines_across_records)
{
    struct weir_slice line;
    const char *parts[] = { "be", "ginning and", " en", "d\nnext\n", "la", "st|" };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        expect_result(weir_write(both->writer, parts[i], strlen(parts[i])), 0);
        settle();
    }
    expect_slice(weir_readline(both->server_reader, &line), line, "beginning and end\n");
    expect_slice(weir_readline(both->server_reader, &line), line, "next\n");
    expect_slice(weir_readuntil(both->server_reader, "|", &line), line, "last|");
    return 0;
}

BothTests(read_until_eof)
{
    struct weir_slice all;
    expect_result(weir_write(both->writer, "all ", 4), 0);
    expect_result(weir_write(both->writer, "of it", 5), 0);
    expect_result(weir_write_eof(both->writer), 0);
    expect_slice(weir_read(both->server_reader, WEIR_UNTIL_EOF, &all), all, "all of it");
    return 0;
}

BothTests(incomplete)
{
    struct weir_slice part;
    expect_result(weir_write(both->writer, "12345", 5), 0);
    expect_result(weir_write_eof(both->writer), 0);
    expect_result(weir_readexactly(both->server_reader, 10, &part), WEIR_INCOMPLETE);
    cr_assert(eq(sz, part.size, 5));
    return 0;
}

/* ---- Watermarks, pausing ----------------------------------------------------------------------*/

/* Fills what lies between the ends: then a drain waits. */
static size_t fill(struct tls_both *both)
{
    struct weir_timeout timeout;
    static char data[16 * 1024];
    size_t total = 0;
    int rc = 0;
    while (rc == 0) {
        pattern_fill(data, total, sizeof data);
        expect_result(weir_write(both->writer, data, sizeof data), 0);
        total += sizeof data;
        weir_timeout_start(&timeout, 50 * WEIR_MILLISECOND);
        rc = (int)weir_timeout_stop(&timeout, weir_drain(both->writer));
        cr_assert(lt(sz, total, 50 * 1000 * 1000), "a drain never waits");
    }
    expect_result(rc, -ETIMEDOUT);
    return total;
}

static int drain_task(void *argument)
{
    return weir_drain(argument);
}

/* Nobody reads: the queue of the writer grows above its mark, and not what the reader holds. */
BothTests(back_pressure)
{
    struct weir_group group = { 0 };
    size_t total = fill(both);
    size_t queued = weir_get_write_buffer_size(both->writer);
    cr_assert(gt(sz, queued, 16 * 1024));
    cr_assert(gt(u64, metrics_now().reads_paused, 0));
    cr_assert(lt(sz, total - queued, 1000 * 1000)); /* reader and kernel */
    expect_result(weir_group_start(&group, drain_task, both->writer), 0);
    struct flow rest = { .reader = both->server_reader, .size = total, .piece = 1000 };
    expect_result(receive_task(&rest), 0);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

BothTests(write_buffer_limits)
{
    expect_result(weir_set_write_buffer_limits(both->writer, 0, 0), 0);
    expect_result(weir_write(both->writer, "sent at once", 12), 0);
    expect_result(weir_drain(both->writer), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(both->writer), 0));
    expect_next(both->server_reader, "sent at once");
    return 0;
}

BothTests(pause_reading)
{
    struct weir_timeout timeout;
    struct weir_slice data;
    weir_pause_reading(both->server_reader);
    cr_assert(not(weir_is_reading(both->server_reader)));
    expect_result(weir_write(both->writer, "held back", 9), 0);
    weir_timeout_start(&timeout, 30 * WEIR_MILLISECOND);
    ssize_t n = weir_read(both->server_reader, 1, &data);
    expect_result(weir_timeout_stop(&timeout, n), -ETIMEDOUT);
    weir_resume_reading(both->server_reader);
    cr_assert(weir_is_reading(both->server_reader));
    expect_next(both->server_reader, "held back");
    return 0;
}

/* ---- write_all --------------------------------------------------------------------------------*/

/* More than TLS seals ahead of what the kernel takes. */
static char all[300 * 1000 + MUCH];

static int write_all_task(void *argument)
{
    return weir_write_all(argument, all, sizeof all);
}

BothTests(write_all)
{
    struct weir_group group = { 0 };
    pattern_fill(all, 0, sizeof all);
    expect_result(weir_group_start(&group, write_all_task, both->writer), 0);
    struct flow flow = { .reader = both->server_reader, .size = sizeof all, .piece = 5000 };
    expect_result(receive_task(&flow), 0);
    expect_result(weir_group_wait(&group), 0);
    return 0;
}

/* Interrupted, the rest stays queued, and is the library's own. */
BothTests(write_all_cancelled)
{
    struct weir_group group = { 0 };
    pattern_fill(all, 0, sizeof all);
    int narrow = 4096;
    setsockopt(weir_fileno(both->writer), SOL_SOCKET, SO_SNDBUF, &narrow, sizeof narrow);
    weir_pause_reading(both->server_reader);
    expect_result(weir_group_start(&group, write_all_task, both->writer), 0);
    settle();
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), -ECANCELED);
    memset(all, 0, sizeof all);
    weir_resume_reading(both->server_reader);
    struct flow flow = { .reader = both->server_reader, .size = sizeof all, .piece = 5000 };
    return receive_task(&flow);
}

/* ---- Forwarding -------------------------------------------------------------------------------*/

struct forwarding {
    struct weir_reader *from;
    struct weir_writer *to;
    int64_t moved;
};

static int forward_task(void *argument)
{
    struct forwarding *forwarding = argument;
    forwarding->moved = weir_forward(forwarding->from, forwarding->to);
    return 0;
}

struct plain {
    struct weir_reader *reader, *far_reader;
    struct weir_writer *writer, *far_writer;
};

static void plain_open(struct plain *plain)
{
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    expect_result(weir_open_socket(fds[0], NULL, &plain->reader, &plain->writer), 0);
    expect_result(weir_open_socket(fds[1], NULL, &plain->far_reader, &plain->far_writer), 0);
}

static void plain_close(struct plain *plain)
{
    expect_result(weir_wait_closed(plain->writer), 0);
    expect_result(weir_wait_closed(plain->far_writer), 0);
}

/* A terminator: what the client says over TLS arrives in plain text behind it, and the answer. */
BothTests(forward)
{
    struct plain plain;
    struct weir_group group = { 0 };
    struct weir_slice end;
    plain_open(&plain);
    struct forwarding in = { .from = both->server_reader, .to = plain.writer };
    struct forwarding out = { .from = plain.reader, .to = both->server_writer };
    struct flow there = { .writer = both->writer, .size = MUCH, .piece = 3000 };
    struct flow arrival = { .reader = plain.far_reader, .size = MUCH, .piece = 4000 };
    struct flow back = { .writer = plain.far_writer, .size = MUCH, .piece = 3000 };
    struct flow return_ = { .reader = both->reader, .size = MUCH, .piece = 4000 };
    expect_result(weir_group_start(&group, forward_task, &in), 0);
    expect_result(weir_group_start(&group, forward_task, &out), 0);
    struct weir_group flows = { 0 };
    expect_result(weir_group_start(&flows, send_task, &there), 0);
    expect_result(weir_group_start(&flows, receive_task, &arrival), 0);
    expect_result(weir_group_start(&flows, send_task, &back), 0);
    expect_result(weir_group_start(&flows, receive_task, &return_), 0);
    expect_result(weir_group_wait(&flows), 0);
    expect_result(weir_write_eof(both->writer), 0); /* either end passes through */
    expect_result(weir_read(plain.far_reader, 1, &end), 0);
    expect_result(weir_write_eof(plain.far_writer), 0);
    expect_result(weir_read(both->reader, 1, &end), 0);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, in.moved, MUCH));
    cr_assert(eq(i64, out.moved, MUCH));
    plain_close(&plain);
    return 0;
}

/* ---- With a peer of TLS 1.2, whose records wolfSSL makes --------------------------------------*/

static int transfer_1_2(struct tls_setup setup)
{
    enum { SIZE = TINY ? 20 * 1000 : 200 * 1000 };
    struct tls_pair tls;
    struct weir_slice got;
    char *data = malloc(SIZE);
    setup.version = WEIR_TLS_1_2;
    tls_pair_open(&tls, &setup);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    memset(data, 0, SIZE);
    tls_peer_read(&tls, data, SIZE);
    expect_pattern(data, 0, SIZE);
    for (size_t at = 0; at < SIZE; at += 5000) {
        tls_peer_feed_bytes(&tls, data + at, 5000);
        expect_result(weir_readexactly(tls.pair.reader, 5000, &got), 5000);
        expect_pattern(got.data, at, 5000);
    }
    free(data);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_streams, transfer_1_2_as_client)
{
    return transfer_1_2((struct tls_setup){ .role = WEIR_CLIENT });
}

TlsTest(tls_streams, transfer_1_2_as_server)
{
    return transfer_1_2((struct tls_setup){ .role = WEIR_SERVER });
}

TlsTest(tls_streams, transfer_1_2_in_software)
{
    return transfer_1_2((struct tls_setup){ .role = WEIR_SERVER, .weir.no_hardware_aes = true });
}
