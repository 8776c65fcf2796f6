/* The writer: the StreamWriter cases of asyncio's test_streams.py and the transport cases of its
 * test_selector_events.py under their own names, the watermarks, the outcome matrix, and where
 * weir is meant to be better. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "harness.h"

#define SHORT (20 * WEIR_MILLISECOND) /* after which a call that must wait is taken to wait */

/* Far above the high mark and what the kernel holds of a narrowed pair. */
enum { BIG = 200 * 1024 };

/* ---- Helpers ----------------------------------------------------------------------------------*/

static void write_pattern(struct weir_writer *writer, size_t offset, size_t size)
{
    char *data = malloc(size);
    pattern_fill(data, offset, size);
    expect_result(weir_write(writer, data, size), 0);
    memset(data, 'x', size); /* it was copied */
    free(data);
}

static void peer_expect_pattern(struct pair *pair, size_t offset, size_t size)
{
    char *data = malloc(size);
    peer_read(pair, data, size);
    expect_pattern(data, offset, size);
    free(data);
}

/* A stream whose queue is above its high mark, as the peer does not read: BIG bytes of pattern. */
static void pair_open_paused(struct pair *pair)
{
    pair_open(pair, 0);
    pair_narrow(pair);
    write_pattern(pair->writer, 0, BIG);
}

/* As drain(), but at most SHORT. */
static int drain_shortly(struct weir_writer *writer)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, SHORT);
    return (int)weir_timeout_stop(&timeout, weir_drain(writer));
}

struct draining {
    struct weir_writer *writer;
    int result;
    bool ended;
};

static int drain_task(void *argument)
{
    struct draining *draining = argument;
    draining->result = weir_drain(draining->writer);
    draining->ended = true;
    return 0;
}

struct peer_reading {
    struct pair *pair;
    size_t size;
};

/* The peer reads that much of the pattern, from its start. */
static int peer_read_task(void *argument)
{
    struct peer_reading *reading = argument;
    peer_expect_pattern(reading->pair, 0, reading->size);
    return 0;
}

static struct weir_slice text_slice(const char *text)
{
    return (struct weir_slice){ text, strlen(text), NULL };
}

/* ---- write() ----------------------------------------------------------------------------------*/

TaskTest(writer, write)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, "data", 4), 0);
    peer_expect(&pair, "data");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_copies_the_buffer)
{
    char buffer[] = "original";
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, buffer, 8), 0);
    cr_assert(eq(str, buffer, "original")); /* and does not change it */
    strcpy(buffer, "changed!");
    peer_expect(&pair, "original");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_empty)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, "", 0), 0);
    expect_result(weir_write(pair.writer, NULL, 0), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    expect_result(weir_drain(pair.writer), 0);
    expect_result(weir_write(pair.writer, "x", 1), 0);
    peer_expect(&pair, "x");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_never_waits)
{
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    uint64_t before = metrics_now().switches;
    for (int i = 0; i < 10; i++)
        write_pattern(pair.writer, (size_t)i * BIG, BIG);
    cr_assert(eq(u64, metrics_now().switches, before), "a write suspended the task");
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 10 * BIG));
    peer_expect_pattern(&pair, 0, 10 * BIG);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_partial)
{
    struct pair pair;
    pair_open_paused(&pair);
    settle(); /* the kernel has taken a part */
    write_pattern(pair.writer, BIG, 1000);
    peer_expect_pattern(&pair, 0, BIG + 1000);
    settle();
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    pair_close(&pair);
    return 0;
}

TaskTest(writer, get_write_buffer_size)
{
    struct pair pair;
    pair_open(&pair, 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    expect_result(weir_write(pair.writer, "12345", 5), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 5));
    expect_result(weir_write(pair.writer, "678", 3), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 8));
    settle();
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    peer_expect(&pair, "12345678");
    pair_close(&pair);
    return 0;
}

/* uvloop's: a great number of writes, some drained, come in order. */
TaskTest(writer, many_small_writes)
{
    enum { WRITES = TINY ? 2000 : 20000, PIECE = 7 };
    char piece[PIECE];
    struct pair pair;
    pair_open_tcp(&pair, 0);
    struct weir_group group = { 0 };
    struct peer_reading reading = { &pair, WRITES * PIECE };
    expect_result(weir_group_start(&group, peer_read_task, &reading), 0);
    for (size_t i = 0; i < WRITES; i++) {
        pattern_fill(piece, i * PIECE, PIECE);
        expect_result(weir_write(pair.writer, piece, PIECE), 0);
        if (i % 100 == 0)
            expect_result(weir_drain(pair.writer), 0);
    }
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

/* What is written in one turn leaves as one submission, not as one system call a write. */
TaskTest(writer, writes_of_one_turn_leave_together)
{
    struct pair pair;
    pair_open(&pair, 0);
    settle();
    struct weir_metrics before = metrics_now();
    for (int i = 0; i < 10; i++) {
        expect_result(weir_write(pair.writer, "a", 1), 0);
        expect_result(weir_printf(pair.writer, "%d", i), 0);
    }
    expect_result(weir_yield(), 0);
    expect_result(weir_yield(), 0);
    struct weir_metrics after = metrics_now();
    cr_assert(le(u64, after.enters - before.enters, 3));
    cr_assert(le(u64, after.submissions - before.submissions, TINY ? 8 : 2));
    peer_expect(&pair, "a0a1a2a3a4a5a6a7a8a9");
    pair_close(&pair);
    return 0;
}

/* ---- writelines(), write_slice(), printf() ----------------------------------------------------*/

TaskTest(writer, writelines)
{
    struct pair pair;
    pair_open(&pair, 0);
    char second[] = "second ";
    struct weir_slice lines[] = { text_slice("first "), text_slice(second), text_slice("third") };
    expect_result(weir_writelines(pair.writer, lines, 3), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 18));
    memset(second, 'x', 7); /* a slice of one's own is copied */
    peer_expect(&pair, "first second third");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, writelines_empty_list)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_writelines(pair.writer, NULL, 0), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    pair_close(&pair);
    return 0;
}

/* gh-155888: an empty piece must neither stop the queue nor the close. */
TaskTest(writer, writelines_empty_piece_then_close)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct weir_slice lines[] = { text_slice(""), text_slice("a"), text_slice(""), text_slice("b"),
                                  text_slice("") };
    expect_result(weir_writelines(pair.writer, lines, 5), 0);
    expect_result(weir_writelines(pair.writer, lines, 1), 0);
    weir_close(pair.writer);
    peer_expect(&pair, "ab");
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

/* CVE-2024-12254: writelines must pause at the high mark as write does; gh-103462: and the rest of
 * a list, the kernel having taken a part, must follow. */
TaskTest(writer, writelines_pauses_and_sends_the_rest)
{
    enum { PIECES = 200, PIECE = 1024 };
    static char data[PIECES * PIECE];
    struct weir_slice lines[PIECES];
    pattern_fill(data, 0, sizeof data);
    for (size_t i = 0; i < PIECES; i++)
        lines[i] = (struct weir_slice){ data + i * PIECE, PIECE, NULL };
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_writelines(pair.writer, lines, PIECES), 0);
    expect_result(drain_shortly(pair.writer), -ETIMEDOUT);
    peer_expect_pattern(&pair, 0, sizeof data);
    expect_result(weir_drain(pair.writer), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_slice_of_own_bytes_is_copied)
{
    char own[] = "own bytes";
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write_slice(pair.writer, text_slice(own)), 0);
    memset(own, 'x', sizeof own);
    peer_expect(&pair, "own bytes");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, printf)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_printf(pair.writer, "%s %d%%\r\n", "HTTP", 100), 0);
    expect_result(weir_printf(pair.writer, "%s", ""), 0);
    peer_expect(&pair, "HTTP 100%\r\n");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, printf_of_any_length)
{
    enum { WIDTH = 30000 };
    char *got = malloc(WIDTH + 1);
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_printf(pair.writer, "%*d!", WIDTH, 7), 0);
    peer_read(&pair, got, WIDTH + 1);
    cr_assert(eq(chr, got[0], ' '));
    cr_assert(eq(chr, got[WIDTH - 1], '7'));
    cr_assert(eq(chr, got[WIDTH], '!'));
    free(got);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, all_forms_keep_their_order)
{
    struct pair pair;
    struct weir_slice received;
    pair_open(&pair, 0);
    feed(&pair, "[lent]");
    expect_result(weir_readexactly(pair.reader, 6, &received), 6);
    struct weir_slice lines[] = { text_slice("c"), received, text_slice("d") };
    expect_result(weir_write(pair.writer, "a", 1), 0);
    expect_result(weir_write_slice(pair.writer, received), 0);
    expect_result(weir_printf(pair.writer, "%c", 'b'), 0);
    expect_result(weir_writelines(pair.writer, lines, 3), 0);
    expect_result(weir_write_all(pair.writer, "e", 1), 0);
    expect_result(weir_write(pair.writer, "f", 1), 0);
    peer_expect(&pair, "a[lent]bc[lent]def");
    pair_close(&pair);
    return 0;
}

/* ---- write_all() ------------------------------------------------------------------------------*/

TaskTest(writer, write_all)
{
    char *data = malloc(BIG);
    pattern_fill(data, 0, BIG);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    struct weir_group group = { 0 };
    struct peer_reading reading = { &pair, BIG + 10 };
    expect_result(weir_group_start(&group, peer_read_task, &reading), 0);
    uint64_t before = metrics_now().bytes_copied;
    expect_result(weir_write_all(pair.writer, data, BIG), 0);
    cr_assert(eq(u64, metrics_now().bytes_copied, before), "it is sent from where it lies");
    memset(data, 'x', BIG); /* the caller's again */
    free(data);
    write_pattern(pair.writer, BIG, 10);
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_all_waits)
{
    char *data = malloc(BIG);
    pattern_fill(data, 0, BIG);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, SHORT);
    ssize_t n = weir_timeout_stop(&timeout, weir_write_all(pair.writer, data, BIG));
    expect_result(n, -ETIMEDOUT);
    memset(data, 'x', BIG); /* what had not left was copied */
    free(data);
    write_pattern(pair.writer, BIG, 10);
    peer_expect_pattern(&pair, 0, BIG + 10);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_all_empty)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write_all(pair.writer, "", 0), 0);
    expect_result(weir_write(pair.writer, "x", 1), 0);
    peer_expect(&pair, "x");
    pair_close(&pair);
    return 0;
}

struct writing_all {
    struct weir_writer *writer;
    const char *data;
    int result;
};

static int write_all_task(void *argument)
{
    struct writing_all *writing = argument;
    writing->result = weir_write_all(writing->writer, writing->data, BIG);
    return 0;
}

TaskTest(writer, write_all_ends_with_the_loss)
{
    char *data = calloc(1, BIG);
    struct pair pair;
    pair_open_tcp(&pair, 0);
    pair_narrow(&pair);
    struct writing_all writing = { pair.writer, data, 0 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, write_all_task, &writing), 0);
    settle();
    feed_reset(&pair);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(writing.result == -ECONNRESET || writing.result == -EPIPE, "%d", writing.result);
    free(data);
    pair_close_with(&pair, writing.result);
    return 0;
}

/* All of it leaves and arrives, and then the stream ends in order: that is no failure. */
TaskTest(writer, write_all_beside_an_orderly_close)
{
    char *data = malloc(BIG), *got = malloc(BIG);
    struct pair pair;
    pair_open(&pair, 0);
    pattern_fill(data, 0, BIG);
    struct writing_all writing = { pair.writer, data, 1 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, write_all_task, &writing), 0);
    weir_yield(); /* it has been queued now, and nothing has left */
    weir_close(pair.writer);
    cr_assert(eq(sz, peer_read_to_end(&pair, got, BIG), BIG));
    expect_pattern(got, 0, BIG);
    expect_result(weir_group_wait(&group), 0);
    expect_result(writing.result, 0);
    free(data);
    free(got);
    pair_close(&pair);
    return 0;
}

/* Two loans of one writer are taken back together: what has left is a prefix of the first and the
 * second, and the rest follows. */
TaskTest(writer, write_all_by_two_tasks_cancelled)
{
    char *data = malloc(BIG), *got = malloc(2 * BIG);
    struct pair pair;
    pair_open(&pair, 0);
    pattern_fill(data, 0, BIG);
    struct writing_all writings[2] = { { pair.writer, data, 0 }, { pair.writer, data, 0 } };
    struct weir_group group = { 0 };
    for (int i = 0; i < 2; i++)
        expect_result(weir_group_start(&group, write_all_task, &writings[i]), 0);
    settle();
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < 2; i++)
        expect_result(writings[i].result, -ECANCELED);
    memset(data, '!', BIG); /* it is ours again */
    weir_close(pair.writer);
    cr_assert(eq(sz, peer_read_to_end(&pair, got, 2 * BIG), 2 * BIG));
    expect_pattern(got, 0, BIG);
    expect_pattern(got + BIG, 0, BIG);
    free(data);
    free(got);
    pair_close(&pair);
    return 0;
}

/* What ends a stream leaves with its last bytes, if they are many: one chain. */
TaskTest(writer, close_is_linked_to_the_last_send)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    settle();
    struct weir_metrics before = metrics_now();
    char words[LIMIT_SMALL + 100];
    memset(words, 'w', sizeof words);
    words[sizeof words - 1] = '\0';
    expect_result(weir_write(pair.writer, words, sizeof words - 1), 0);
    weir_close(pair.writer);
    peer_expect(&pair, words);
    peer_expect_eof(&pair);
    uint64_t links = metrics_now().links - before.links;
    cr_assert(TINY || links == 1, "%lu links", (unsigned long)links); /* TINY may lack the slot */
    pair_close(&pair);
    return 0;
}

/* The close finds bytes that nobody has read, and resets the connection: but not before the last
 * ones have left, which go with our FIN. */
TaskTest(writer, last_bytes_are_not_lost_with_a_reset)
{
    struct pair pair;
    struct weir_slice head;
    pair_open_tcp(&pair, 0);
    feed(&pair, "head");
    expect_result(weir_readexactly(pair.reader, 4, &head), 4);
    cr_assert(eq(int, (int)send(pair.peer, "body", 4, 0), 4)); /* the loop does not run meanwhile */
    expect_result(weir_write(pair.writer, "413", 3), 0);
    weir_close(pair.writer);
    peer_expect(&pair, "413");
    pair_close(&pair);
    return 0;
}

/* A lone write meets it before the loop does. */
TaskTest(writer, reset_found_by_a_write_is_a_reset)
{
    struct pair pair;
    struct weir_slice data;
    struct linger at_once = { .l_onoff = 1 };
    pair_open_tcp(&pair, 0);
    feed(&pair, "x");
    expect_result(weir_readexactly(pair.reader, 1, &data), 1);
    settle();
    setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(pair.peer);
    pair.peer = -1;
    expect_result(weir_write(pair.writer, "y", 1), 0);
    expect_result(weir_read(pair.reader, 10, &data), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

/* The send fails, which cancels the close behind it: the stream still ends, with the error. */
TaskTest(writer, close_linked_to_a_failing_send)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    settle();
    struct linger at_once = { .l_onoff = 1 };
    cr_assert(eq(int, setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0));
    close(pair.peer); /* the loop does not know yet */
    pair.peer = -1;
    expect_result(weir_write(pair.writer, "nobody hears", 12), 0);
    weir_close(pair.writer);
    int rc = weir_wait_closed(pair.writer);
    cr_assert(rc == -ECONNRESET || rc == -EPIPE, "%d", rc);
    return 0;
}

TaskTest(writer, write_all_ends_with_abort)
{
    char *data = calloc(1, BIG);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    struct writing_all writing = { pair.writer, data, 0 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, write_all_task, &writing), 0);
    settle();
    weir_abort(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(writing.result, -ECONNABORTED);
    free(data);
    pair_close(&pair); /* our own wish is not a failure */
    return 0;
}

/* ---- drain() and the watermarks ---------------------------------------------------------------*/

TaskTest(writer, drain_of_little_does_not_wait)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_drain(pair.writer), 0);
    expect_result(weir_write(pair.writer, "data", 4), 0);
    uint64_t before = metrics_now().drains_waited;
    expect_result(weir_drain(pair.writer), 0);
    cr_assert(eq(u64, metrics_now().drains_waited, before));
    peer_expect(&pair, "data");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, drain_waits_above_the_high_mark)
{
    struct pair pair;
    pair_open_paused(&pair);
    uint64_t before = metrics_now().drains_waited;
    expect_result(drain_shortly(pair.writer), -ETIMEDOUT);
    cr_assert(gt(u64, metrics_now().drains_waited, before));
    peer_expect_pattern(&pair, 0, BIG);
    expect_result(weir_drain(pair.writer), 0);
    cr_assert(le(sz, weir_get_write_buffer_size(pair.writer), 16 * 1024));
    pair_close(&pair);
    return 0;
}

/* Exactly the high mark is not above it. */
TaskTest(writer, drain_does_not_wait_at_the_high_mark)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_set_write_buffer_limits(pair.writer, 1000, 10), 0);
    write_pattern(pair.writer, 0, 1000);
    uint64_t before = metrics_now().drains_waited;
    expect_result(weir_drain(pair.writer), 0);
    cr_assert(eq(u64, metrics_now().drains_waited, before));
    write_pattern(pair.writer, 1000, 1001);
    expect_result(weir_drain(pair.writer), 0);
    cr_assert(eq(u64, metrics_now().drains_waited, before + 1));
    peer_expect_pattern(&pair, 0, 2001);
    pair_close(&pair);
    return 0;
}

/* It means "at the low mark", not "all sent". */
TaskTest(writer, drain_returns_at_the_low_mark)
{
    enum { UNIT = TINY ? 8 * 1024 : 128 * 1024 };
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_set_write_buffer_limits(pair.writer, 12 * UNIT, 8 * UNIT), 0);
    write_pattern(pair.writer, 0, 16 * UNIT);
    struct draining draining = { .writer = pair.writer };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, drain_task, &draining), 0);
    peer_expect_pattern(&pair, 0, 2 * UNIT);
    settle();
    cr_assert(not(draining.ended), "14 of 16 parts are left, above the low mark");
    peer_expect_pattern(&pair, 2 * UNIT, 10 * UNIT);
    expect_result(weir_group_wait(&group), 0);
    expect_result(draining.result, 0);
    size_t left = weir_get_write_buffer_size(pair.writer);
    cr_assert(gt(sz, left, 2 * UNIT), "4 parts were not read");
    cr_assert(le(sz, left, 8 * UNIT));
    peer_expect_pattern(&pair, 12 * UNIT, 4 * UNIT);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, multiple_drain)
{
    struct pair pair;
    pair_open_paused(&pair);
    struct draining draining[10];
    struct weir_group group = { 0 };
    for (int i = 0; i < 10; i++) {
        draining[i] = (struct draining){ .writer = pair.writer, .result = 1 };
        expect_result(weir_group_start(&group, drain_task, &draining[i]), 0);
    }
    settle();
    for (int i = 0; i < 10; i++)
        cr_assert(not(draining[i].ended));
    peer_expect_pattern(&pair, 0, BIG);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < 10; i++)
        expect_result(draining[i].result, 0);
    pair_close(&pair);
    return 0;
}

/* bpo-25441: a loop of write and drain, which need not wait, must notice the loss. */
TaskTest(writer, drain_raises)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    close(pair.peer);
    pair.peer = -1;
    int rc = 0;
    for (int i = 0; i < 10 * 1000 * 1000 && rc == 0; i++) {
        rc = weir_write(pair.writer, "foo\n", 4);
        if (rc == 0)
            rc = weir_drain(pair.writer);
    }
    cr_assert(rc == -ECONNRESET || rc == -EPIPE || rc == -ECONNABORTED, "%d", rc);
    expect_result(weir_drain(pair.writer), rc); /* every time */
    pair_close_with(&pair, rc);
    return 0;
}

TaskTest(writer, drain_cancelled_leaves_the_others)
{
    struct pair pair;
    pair_open_paused(&pair);
    struct draining one = { .writer = pair.writer }, other = { .writer = pair.writer };
    struct weir_group group_one = { 0 }, group_other = { 0 };
    expect_result(weir_group_start(&group_one, drain_task, &one), 0);
    expect_result(weir_group_start(&group_other, drain_task, &other), 0);
    settle();
    weir_group_cancel(&group_one);
    expect_result(weir_group_wait(&group_one), 0);
    expect_result(one.result, -ECANCELED);
    cr_assert(not(other.ended));
    peer_expect_pattern(&pair, 0, BIG); /* the data still goes out */
    expect_result(weir_group_wait(&group_other), 0);
    expect_result(other.result, 0);
    pair_close(&pair);
    return 0;
}

/* asyncio lets a drain succeed although abort() threw the data away. */
TaskTest(writer, drain_ends_with_abort)
{
    struct pair pair;
    pair_open_paused(&pair);
    struct draining draining = { .writer = pair.writer };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, drain_task, &draining), 0);
    settle();
    weir_abort(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(draining.result, -ECONNABORTED);
    expect_result(weir_drain(pair.writer), -ECONNABORTED);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, drain_ends_with_the_loss)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    pair_narrow(&pair);
    write_pattern(pair.writer, 0, 10 * BIG);
    struct draining draining = { .writer = pair.writer };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, drain_task, &draining), 0);
    settle();
    cr_assert(not(draining.ended));
    feed_reset(&pair);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(draining.result == -ECONNRESET || draining.result == -EPIPE);
    expect_result(weir_drain(pair.writer), draining.result);
    pair_close_with(&pair, draining.result);
    return 0;
}

/* The reader's error is the stream's: drain reports it, though it need not wait. */
TaskTest(writer, drain_reports_the_readers_error)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    feed_reset(&pair);
    expect_result(weir_drain(pair.writer), -ECONNRESET);
    expect_result(weir_drain(pair.writer), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

static void expect_limits(struct weir_writer *writer, size_t high, size_t low)
{
    size_t have_high, have_low;
    weir_get_write_buffer_limits(writer, &have_high, &have_low);
    cr_assert(eq(sz, have_high, high));
    cr_assert(eq(sz, have_low, low));
}

TaskTest(writer, limits)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct weir_writer *writer = pair.writer;
    expect_limits(writer, 65536, 16384);
    expect_result(weir_set_write_buffer_limits(writer, 1000, WEIR_DEFAULT), 0);
    expect_limits(writer, 1000, 250);
    expect_result(weir_set_write_buffer_limits(writer, WEIR_DEFAULT, 100), 0);
    expect_limits(writer, 400, 100);
    expect_result(weir_set_write_buffer_limits(writer, 7, 7), 0);
    expect_limits(writer, 7, 7);
    expect_result(weir_set_write_buffer_limits(writer, 0, WEIR_DEFAULT), 0);
    expect_limits(writer, 0, 0);
    expect_result(weir_set_write_buffer_limits(writer, 10, 0), 0);
    expect_limits(writer, 10, 0);
    expect_result(weir_set_write_buffer_limits(writer, WEIR_DEFAULT, 0), 0);
    expect_limits(writer, 0, 0);
    expect_result(weir_set_write_buffer_limits(writer, WEIR_DEFAULT, WEIR_DEFAULT), 0);
    expect_limits(writer, 65536, 16384);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, limits_invalid)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_set_write_buffer_limits(pair.writer, 0, 1), -EINVAL);
    expect_limits(pair.writer, 65536, 16384);
    expect_result(weir_set_write_buffer_limits(pair.writer, 999, 1000), -EINVAL);
    expect_limits(pair.writer, 65536, 16384);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, limits_high_0_waits_for_every_byte)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_set_write_buffer_limits(pair.writer, 0, WEIR_DEFAULT), 0);
    for (int i = 0; i < 3; i++) {
        expect_result(weir_write(pair.writer, "x", 1), 0);
        uint64_t before = metrics_now().drains_waited;
        expect_result(weir_drain(pair.writer), 0);
        cr_assert(eq(u64, metrics_now().drains_waited, before + 1));
        cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    }
    peer_expect(&pair, "xxx");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, limits_low_0_waits_until_empty)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_set_write_buffer_limits(pair.writer, 100, 0), 0);
    write_pattern(pair.writer, 0, 101);
    expect_result(weir_drain(pair.writer), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    peer_expect_pattern(&pair, 0, 101);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, limits_lowered_pause_at_once)
{
    enum { SIZE = 40 * 1024 };
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    write_pattern(pair.writer, 0, SIZE);
    expect_result(drain_shortly(pair.writer), 0);
    expect_result(weir_set_write_buffer_limits(pair.writer, 1024, 512), 0);
    expect_result(drain_shortly(pair.writer), -ETIMEDOUT);
    peer_expect_pattern(&pair, 0, SIZE);
    expect_result(weir_drain(pair.writer), 0);
    pair_close(&pair);
    return 0;
}

/* As in asyncio: higher limits release a waiting drain only once the queue has moved. */
TaskTest(writer, limits_raised_do_not_resume_by_themselves)
{
    struct pair pair;
    pair_open_paused(&pair);
    settle();
    expect_result(weir_set_write_buffer_limits(pair.writer, 100 * BIG, 50 * BIG), 0);
    expect_result(drain_shortly(pair.writer), -ETIMEDOUT);
    peer_expect_pattern(&pair, 0, BIG);
    expect_result(weir_drain(pair.writer), 0);
    pair_close(&pair);
    return 0;
}

/* ---- write_eof() ------------------------------------------------------------------------------*/

TaskTest(writer, write_eof)
{
    struct pair pair;
    pair_open(&pair, 0);
    cr_assert(weir_can_write_eof(pair.writer));
    expect_result(weir_write(pair.writer, "request", 7), 0);
    expect_result(weir_write_eof(pair.writer), 0);
    peer_expect(&pair, "request");
    peer_expect_eof(&pair);
    feed(&pair, "response"); /* the other direction goes on */
    expect_next(pair.reader, "response");
    cr_assert(not(weir_is_closing(pair.writer)));
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_eof_at_once)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    expect_result(weir_write_eof(pair.writer), 0);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_eof_buffer)
{
    struct pair pair;
    pair_open_paused(&pair);
    expect_result(weir_write_eof(pair.writer), 0);
    settle();
    peer_expect_pattern(&pair, 0, BIG); /* all of it, and only then the end */
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_eof_twice)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write_eof(pair.writer), 0);
    expect_result(weir_write_eof(pair.writer), 0);
    peer_expect_eof(&pair);
    expect_result(weir_write_eof(pair.writer), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_after_write_eof)
{
    struct pair pair;
    struct weir_slice line = text_slice("data");
    pair_open(&pair, 0);
    expect_result(weir_write_eof(pair.writer), 0);
    expect_result(weir_write(pair.writer, "data", 4), -EPIPE);
    expect_result(weir_write(pair.writer, "", 0), -EPIPE); /* even so, as in asyncio */
    expect_result(weir_write_slice(pair.writer, line), -EPIPE);
    expect_result(weir_writelines(pair.writer, &line, 1), -EPIPE);
    expect_result(weir_writelines(pair.writer, NULL, 0), -EPIPE);
    expect_result(weir_printf(pair.writer, "%d", 1), -EPIPE);
    expect_result(weir_write_all(pair.writer, "data", 4), -EPIPE);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    peer_expect_eof(&pair);
    pair_close(&pair); /* a refused write is not the stream's failure */
    return 0;
}

/* ---- close(), abort(), wait_closed() ----------------------------------------------------------*/

TaskTest(writer, wait_closed_on_close)
{
    struct pair pair;
    struct weir_slice data;
    pair_open_tcp(&pair, 0);
    feed(&pair, "response");
    feed_eof(&pair);
    expect_slice(weir_readline(pair.reader, &data), data, "response");
    cr_assert(not(weir_is_closing(pair.writer)));
    weir_close(pair.writer);
    cr_assert(weir_is_closing(pair.writer));
    expect_result(weir_wait_closed(pair.writer), 0);
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

TaskTest(writer, wait_closed_on_close_with_unread_data)
{
    struct pair pair;
    struct weir_slice line;
    pair_open_tcp(&pair, 0);
    feed(&pair, "status\nrest that nobody reads");
    expect_slice(weir_readline(pair.reader, &line), line, "status\n");
    weir_close(pair.writer);
    expect_result(weir_wait_closed(pair.writer), 0);
    close(pair.peer);
    return 0;
}

TaskTest(writer, async_writer_api)
{
    struct pair pair;
    struct weir_slice line;
    pair_open_tcp(&pair, 0);
    expect_result(weir_write(pair.writer, "GET / HTTP/1.0\r\n\r\n", 18), 0);
    peer_expect(&pair, "GET / HTTP/1.0\r\n\r\n");
    feed(&pair, "HTTP/1.0 200 OK\r\n");
    feed(&pair, "\r\nTest message");
    feed_eof(&pair);
    expect_slice(weir_readline(pair.reader, &line), line, "HTTP/1.0 200 OK\r\n");
    expect_slice(weir_read(pair.reader, WEIR_UNTIL_EOF, &line), line, "\r\nTest message");
    weir_close(pair.writer);
    expect_result(weir_wait_closed(pair.writer), 0);
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

/* asyncio drops the data and fails the next drain(); here the write itself says so. */
TaskTest(writer, async_writer_api_exception_after_close)
{
    struct pair pair;
    struct weir_slice line = text_slice("data");
    pair_open_tcp(&pair, 0);
    weir_close(pair.writer);
    expect_result(weir_write(pair.writer, "data", 4), -EPIPE);
    expect_result(weir_write_slice(pair.writer, line), -EPIPE);
    expect_result(weir_writelines(pair.writer, &line, 1), -EPIPE);
    expect_result(weir_printf(pair.writer, "%d", 1), -EPIPE);
    expect_result(weir_write_all(pair.writer, "data", 4), -EPIPE);
    settle();
    expect_result(weir_write(pair.writer, "data", 4), -EPIPE);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, eof_feed_when_closing_writer)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    weir_close(pair.writer);
    settle();
    cr_assert(weir_at_eof(pair.reader));
    expect_slice(weir_read(pair.reader, WEIR_UNTIL_EOF, &data), data, "");
    pair_close(&pair);
    return 0;
}

TaskTest(writer, close_is_idempotent)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, "last", 4), 0);
    weir_close(pair.writer);
    weir_close(pair.writer);
    settle();
    weir_close(pair.writer);
    peer_expect(&pair, "last");
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

struct closing {
    struct weir_writer *writer;
    int result;
    bool ended;
};

static int wait_closed_task(void *argument)
{
    struct closing *closing = argument;
    closing->result = weir_wait_closed(closing->writer);
    closing->ended = true;
    return 0;
}

/* Queued data still leaves, and until it has the stream is not closed. */
TaskTest(writer, close_write_buffer)
{
    struct pair pair;
    pair_open_paused(&pair);
    weir_close(pair.writer);
    cr_assert(weir_is_closing(pair.writer));
    struct closing closing = { .writer = pair.writer };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, wait_closed_task, &closing), 0);
    settle();
    cr_assert(not(closing.ended));
    peer_expect_pattern(&pair, 0, BIG);
    peer_expect_eof(&pair);
    expect_result(weir_group_wait(&group), 0);
    expect_result(closing.result, 0);
    close(pair.peer);
    return 0;
}

/* asyncio still accepts and sends what is written while the queue empties; here it is refused, and
 * what was queued before is intact. */
TaskTest(writer, write_buffer_after_close)
{
    struct pair pair;
    pair_open_paused(&pair);
    weir_close(pair.writer);
    expect_result(weir_write(pair.writer, "late", 4), -EPIPE);
    peer_expect_pattern(&pair, 0, BIG);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, write_eof_after_close)
{
    struct pair pair;
    pair_open_paused(&pair);
    weir_close(pair.writer);
    weir_write_eof(pair.writer); /* nothing: all of the queue still leaves */
    peer_expect_pattern(&pair, 0, BIG);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, close_after_write_eof)
{
    struct pair pair;
    pair_open_paused(&pair);
    expect_result(weir_write_eof(pair.writer), 0);
    weir_close(pair.writer);
    peer_expect_pattern(&pair, 0, BIG);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, abort_drops_the_queue)
{
    struct pair pair;
    char *got = malloc(BIG);
    pair_open_paused(&pair);
    settle();
    weir_abort(pair.writer);
    cr_assert(weir_is_closing(pair.writer));
    settle(); /* what is in flight is being called back */
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    size_t size = peer_read_to_end(&pair, got, BIG);
    cr_assert(lt(sz, size, BIG), "the queue was sent nevertheless");
    expect_pattern(got, 0, size);
    free(got);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, abort_is_idempotent)
{
    struct pair pair;
    pair_open(&pair, 0);
    weir_abort(pair.writer);
    weir_abort(pair.writer);
    settle();
    weir_abort(pair.writer);
    weir_close(pair.writer);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, abort_ends_a_stuck_close)
{
    struct pair pair;
    pair_open_paused(&pair);
    weir_close(pair.writer);
    settle();
    struct closing closing = { .writer = pair.writer };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, wait_closed_task, &closing), 0);
    settle();
    cr_assert(not(closing.ended));
    weir_abort(pair.writer);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, WEIR_SECOND);
    expect_result(weir_timeout_stop(&timeout, weir_group_wait(&group)), 0);
    cr_assert(closing.ended);
    close(pair.peer);
    return 0;
}

TaskTest(writer, write_after_abort)
{
    struct pair pair;
    pair_open(&pair, 0);
    weir_abort(pair.writer);
    expect_result(weir_write(pair.writer, "data", 4), -EPIPE);
    expect_result(weir_drain(pair.writer), -ECONNABORTED);
    peer_expect_eof(&pair);
    pair_close(&pair);
    return 0;
}

TaskTest(writer, wait_closed_starts_closing)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, "last", 4), 0);
    expect_result(weir_wait_closed(pair.writer), 0);
    peer_expect(&pair, "last");
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

TaskTest(writer, wait_closed_of_nothing)
{
    expect_result(weir_wait_closed(NULL), 0);
    weir_close(NULL);
    weir_abort(NULL);
    return 0;
}

/* The stream closes behind a task that was not willing to wait: its data arrives nevertheless. */
TaskTest(writer, wait_closed_interrupted)
{
    struct pair pair;
    pair_open_paused(&pair);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, SHORT);
    expect_result(weir_timeout_stop(&timeout, weir_wait_closed(pair.writer)), -ETIMEDOUT);
    peer_expect_pattern(&pair, 0, BIG);
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

/* The two ways of a peer's leaving that the kernel tells apart. */
TaskTest(writer, write_to_reset_stream)
{
    struct pair pair;
    struct weir_slice line = text_slice("data");
    pair_open_tcp(&pair, 0);
    feed_reset(&pair);
    expect_result(weir_write(pair.writer, "data", 4), -ECONNRESET);
    expect_result(weir_write(pair.writer, "data", 4), -ECONNRESET); /* every time, and each form */
    expect_result(weir_write_slice(pair.writer, line), -ECONNRESET);
    expect_result(weir_writelines(pair.writer, &line, 1), -ECONNRESET);
    expect_result(weir_printf(pair.writer, "%d", 1), -ECONNRESET);
    expect_result(weir_write_all(pair.writer, "data", 4), -ECONNRESET);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

/* uvloop's write_to_closed_transport: the loss is first seen by the write itself. */
TaskTest(writer, write_to_closed_transport)
{
    struct pair pair;
    pair_open(&pair, 0);
    close(pair.peer);
    pair.peer = -1;
    settle();
    expect_result(weir_write(pair.writer, "data", 4), 0);
    settle();
    expect_result(weir_write(pair.writer, "data", 4), -EPIPE);
    expect_result(weir_drain(pair.writer), -EPIPE);
    expect_result(weir_exception(pair.reader), -EPIPE);
    pair_close_with(&pair, -EPIPE);
    return 0;
}

TaskTest(writer, is_closing)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    cr_assert(not(weir_is_closing(pair.writer)));
    feed_eof(&pair);
    cr_assert(not(weir_is_closing(pair.writer)));
    feed_reset(&pair); /* after the peer's end only a write notices */
    for (int i = 0; i < 1000 && weir_write(pair.writer, "x", 1) == 0; i++)
        settle();
    cr_assert(weir_is_closing(pair.writer), "a failed stream is closing");
    weir_wait_closed(pair.writer);
    return 0;
}

/* ---- get_extra_info() -------------------------------------------------------------------------*/

TaskTest(writer, get_extra_info_tcp)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    unsigned port = 0;
    char peername[64];
    snprintf(peername, sizeof peername, "%s", weir_get_extra_info(pair.writer, "peername"));
    cr_assert(eq(int, sscanf(peername, "127.0.0.1:%u", &port), 1), "%s", peername);
    cr_assert(gt(uint, port, 0));
    cr_assert(
        eq(int, sscanf(weir_get_extra_info(pair.writer, "sockname"), "127.0.0.1:%u", &port), 1));
    cr_assert(eq(ptr, (void *)weir_get_extra_info(pair.writer, "nonsense"), NULL));
    weir_close(pair.writer);
    settle();
    cr_assert(eq(str, (char *)weir_get_extra_info(pair.writer, "peername"), peername));
    pair_close(&pair);
    return 0;
}

TaskTest(writer, get_extra_info_after_loss)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    char peername[64];
    snprintf(peername, sizeof peername, "%s", weir_get_extra_info(pair.writer, "peername"));
    feed_reset(&pair);
    cr_assert(eq(str, (char *)weir_get_extra_info(pair.writer, "peername"), peername));
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(writer, get_extra_info_unnamed_unix)
{
    struct pair pair;
    pair_open(&pair, 0);
    cr_assert(eq(str, (char *)weir_get_extra_info(pair.writer, "peername"), ""));
    cr_assert(eq(str, (char *)weir_get_extra_info(pair.writer, "sockname"), ""));
    pair_close(&pair);
    return 0;
}

TaskTest(writer, fileno)
{
    struct pair pair;
    pair_open(&pair, 0);
    int type = 0;
    socklen_t size = sizeof type;
    int fd = weir_fileno(pair.writer);
    cr_assert(eq(int, getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0));
    cr_assert(eq(int, type, SOCK_STREAM));
    weir_close(pair.writer);
    cr_assert(eq(int, weir_fileno(pair.writer), -1));
    pair_close(&pair);
    return 0;
}

/* ---- The outcome matrix -----------------------------------------------------------------------
 * Rows: the calls; columns: the writer's state. */

enum state { OPEN, PAUSED, CLOSING, LOST, ENDED, STATES }; /* closing: with data left */

static void bring_to(struct pair *pair, enum state state)
{
    if (state == PAUSED || state == CLOSING)
        pair_open_paused(pair);
    else
        pair_open_tcp(pair, 0);
    if (state == CLOSING)
        weir_close(pair->writer);
    if (state == LOST)
        feed_reset(pair);
    if (state == ENDED)
        expect_result(weir_write_eof(pair->writer), 0);
    settle();
}

static void expect_in_state(enum state state, int actual, int expected)
{
    cr_assert(actual == expected, "state %d: %d (%s), not %d (%s)", state, actual,
              weir_strerror(actual), expected, weir_strerror(expected));
}

TaskTest(writer, matrix_write)
{
    static const int expected[STATES] = {
        [CLOSING] = -EPIPE, [LOST] = -ECONNRESET, [ENDED] = -EPIPE
    };
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        expect_in_state(state, weir_write(pair.writer, "data", 4), expected[state]);
        if (state == PAUSED || state == CLOSING)
            peer_expect_pattern(&pair, 0, BIG);
        if (state == OPEN || state == PAUSED)
            peer_expect(&pair, "data");
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}

TaskTest(writer, matrix_drain)
{
    static const int expected[STATES] = {
        [PAUSED] = -ETIMEDOUT, [CLOSING] = -ETIMEDOUT, [LOST] = -ECONNRESET
    };
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        expect_in_state(state, drain_shortly(pair.writer), expected[state]);
        if (state == PAUSED || state == CLOSING) {
            peer_expect_pattern(&pair, 0, BIG);
            if (state == PAUSED)
                expect_result(weir_drain(pair.writer), 0);
        }
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}

TaskTest(writer, matrix_write_eof)
{
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        int rc = weir_write_eof(pair.writer);
        if (state == OPEN || state == PAUSED || state == ENDED)
            expect_in_state(state, rc, 0);
        if (state == PAUSED || state == CLOSING)
            peer_expect_pattern(&pair, 0, BIG);
        if (state != LOST)
            peer_expect_eof(&pair);
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}

TaskTest(writer, matrix_close)
{
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        weir_close(pair.writer);
        cr_assert(weir_is_closing(pair.writer));
        if (state == PAUSED || state == CLOSING)
            peer_expect_pattern(&pair, 0, BIG);
        if (state != LOST)
            peer_expect_eof(&pair);
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}

TaskTest(writer, matrix_abort)
{
    static char got[BIG];
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        weir_abort(pair.writer);
        cr_assert(weir_is_closing(pair.writer));
        expect_in_state(state, weir_drain(pair.writer),
                        state == LOST ? -ECONNRESET : -ECONNABORTED);
        if (state != LOST)
            cr_assert(lt(sz, peer_read_to_end(&pair, got, BIG), BIG));
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}

TaskTest(writer, matrix_wait_closed)
{
    static const int expected[STATES] = {
        [PAUSED] = -ETIMEDOUT, [CLOSING] = -ETIMEDOUT, [LOST] = -ECONNRESET
    };
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, SHORT);
        int rc = (int)weir_timeout_stop(&timeout, weir_wait_closed(pair.writer));
        expect_in_state(state, rc, expected[state]);
        if (state == PAUSED || state == CLOSING)
            peer_expect_pattern(&pair, 0, BIG);
        if (state != LOST) {
            peer_expect_eof(&pair);
            close(pair.peer);
        }
    }
    return 0;
}

TaskTest(writer, matrix_is_closing_and_can_write_eof)
{
    static const bool closing[STATES] = { [CLOSING] = true, [LOST] = true };
    for (enum state state = 0; state < STATES; state++) {
        struct pair pair;
        bring_to(&pair, state);
        cr_assert(eq(int, weir_is_closing(pair.writer), closing[state]), "state %d", state);
        cr_assert(weir_can_write_eof(pair.writer));
        weir_abort(pair.writer);
        pair_close_with(&pair, state == LOST ? -ECONNRESET : 0);
    }
    return 0;
}
