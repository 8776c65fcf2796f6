/* What the library promises not to copy, and that what it lends stays intact all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

/* ---- Helpers ----------------------------------------------------------------------------------*/

static uint64_t copied(void)
{
    return metrics_now().bytes_copied;
}

static void start(struct weir_group *group, weir_task_fn *body, void *argument)
{
    expect_result(weir_group_start(group, body, argument), 0);
}

/* ---- Echoes -----------------------------------------------------------------------------------
 * Each record arrives on its own, and so lies in one buffer, also in the tiny build. */

TaskTest(zero_copy, echo_of_lines)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    uint64_t before = copied();
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "line %d\n", i);
        feed(&pair, text);
        expect_slice(weir_readline(pair.reader, &line), line, text);
        expect_result(weir_write_slice(pair.writer, line), 0);
        peer_expect(&pair, text);
    }
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&pair);
    return 0;
}

TaskTest(zero_copy, echo_of_reads)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    uint64_t before = copied();
    for (int i = 0; i < 100; i++) {
        feed(&pair, "some data");
        expect_slice(weir_read(pair.reader, 100, &data), data, "some data");
        expect_result(weir_write_slice(pair.writer, data), 0);
        peer_expect(&pair, "some data");
    }
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&pair);
    return 0;
}

/* Several records of one buffer, queued together and sent as one. */
TaskTest(zero_copy, echo_of_several_lines_in_a_buffer)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    uint64_t before = copied();
    feed(&pair, "a\nbc\ndef\nghi\n");
    for (int i = 0; i < 4; i++) {
        expect_result(weir_readline(pair.reader, &line), i + 2 - i / 3); /* 2, 3, 4 and 4 bytes */
        expect_result(weir_write_slice(pair.writer, line), 0);
    }
    peer_expect(&pair, "a\nbc\ndef\nghi\n");
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&pair);
    return 0;
}

TaskTest(zero_copy, writelines_of_received_slices)
{
    struct pair pair;
    struct weir_slice slices[3];
    pair_open(&pair, 0);
    uint64_t before = copied();
    for (int i = 0; i < 3; i++) {
        feed(&pair, i == 0 ? "one " : i == 1 ? "two " : "three");
        cr_assert(gt(long, (long)weir_read(pair.reader, 100, &slices[i]), 0));
        slices[i] = weir_slice_keep(slices[i]);
    }
    expect_result(weir_writelines(pair.writer, slices, 3), 0);
    for (int i = 0; i < 3; i++)
        weir_slice_drop(slices[i]);
    peer_expect(&pair, "one two three");
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&pair);
    return 0;
}

/* ---- Forwarding -------------------------------------------------------------------------------*/

struct forwarding {
    struct weir_reader *reader;
    struct weir_writer *writer;
    int64_t moved;
};

static int forward(void *argument)
{
    struct forwarding *forwarding = argument;
    forwarding->moved = weir_forward(forwarding->reader, forwarding->writer);
    return 0;
}

struct source {
    struct pair *pair;
    size_t size;
};

/* The peer sends that much of the pattern, then ends its direction. */
static int feed_pattern(void *argument)
{
    struct source *source = argument;
    char *data = malloc(source->size);
    pattern_fill(data, 0, source->size);
    feed_bytes(source->pair, data, source->size);
    feed_eof(source->pair);
    free(data);
    return 0;
}

TaskTest(zero_copy, forward)
{
    enum { SIZE = TINY ? 2000 : 4 * 1024 * 1024 };
    struct pair from, to;
    pair_open(&from, 0);
    pair_open(&to, 0);
    uint64_t before = copied();
    struct forwarding forwarding = { from.reader, to.writer, 0 };
    struct source source = { &from, SIZE };
    struct weir_group group = { 0 };
    start(&group, forward, &forwarding);
    start(&group, feed_pattern, &source);
    char *got = malloc(SIZE);
    peer_read(&to, got, SIZE);
    peer_expect_eof(&to);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, forwarding.moved, SIZE));
    expect_pattern(got, 0, SIZE);
    free(got);
    /* The tiny pool is so small that held buffers are copied out, as they must be. */
    if (!TINY)
        cr_assert(eq(u64, copied() - before, 0));
    pair_close(&from);
    pair_close(&to);
    return 0;
}

/* What a read left over goes first. */
TaskTest(zero_copy, forward_after_reads)
{
    struct pair from, to;
    struct weir_slice line;
    pair_open(&from, 0);
    pair_open(&to, 0);
    feed(&from, "head\nrest");
    feed_eof(&from);
    expect_slice(weir_readline(from.reader, &line), line, "head\n");
    cr_assert(eq(i64, weir_forward(from.reader, to.writer), 4));
    peer_expect(&to, "rest");
    peer_expect_eof(&to);
    pair_close(&from);
    pair_close(&to);
    return 0;
}

/* A slow receiver slows the sender down: little is held in between. */
TaskTest(zero_copy, forward_keeps_the_watermarks)
{
    enum { SIZE = TINY ? 128 * 1024 : 8 * 1024 * 1024, LIMIT = TINY ? 1024 : 64 * 1024 };
    struct pair from, to;
    pair_open(&from, LIMIT);
    pair_open(&to, 0);
    pair_narrow(&to);
    expect_result(weir_set_write_buffer_limits(to.writer, LIMIT, LIMIT / 4), 0);
    uint64_t before = metrics_now().bytes_read;
    struct forwarding forwarding = { from.reader, to.writer, 0 };
    struct source source = { &from, SIZE };
    struct weir_group group = { 0 };
    start(&group, forward, &forwarding);
    start(&group, feed_pattern, &source);
    expect_result(weir_sleep(50 * WEIR_MILLISECOND), 0);
    /* Twice the limit and a burst in the reader, and as much again handed to the writer. */
    cr_assert(lt(u64, metrics_now().bytes_read - before, SIZE / 2));
    cr_assert(le(sz, weir_get_write_buffer_size(to.writer), SIZE / 4));
    char *got = malloc(SIZE);
    peer_read(&to, got, SIZE);
    expect_pattern(got, 0, SIZE);
    free(got);
    peer_expect_eof(&to);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, forwarding.moved, SIZE));
    pair_close(&from);
    pair_close(&to);
    return 0;
}

TaskTest(zero_copy, forward_returns_the_readers_failure)
{
    struct pair from, to;
    pair_open_tcp(&from, 0);
    pair_open(&to, 0);
    struct forwarding forwarding = { from.reader, to.writer, 0 };
    struct weir_group group = { 0 };
    start(&group, forward, &forwarding);
    feed(&from, "data");
    peer_expect(&to, "data");
    feed_reset(&from);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, forwarding.moved, -ECONNRESET));
    pair_close_with(&from, -ECONNRESET);
    expect_result(weir_write(to.writer, "!", 1), 0); /* not ended: the data was cut off */
    peer_expect(&to, "!");
    pair_close(&to);
    return 0;
}

TaskTest(zero_copy, forward_returns_the_writers_failure)
{
    struct pair from, to;
    pair_open(&from, 0);
    pair_open_tcp(&to, 0);
    struct forwarding forwarding = { from.reader, to.writer, 0 };
    struct weir_group group = { 0 };
    start(&group, forward, &forwarding);
    feed_reset(&to);
    feed(&from, "data");
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(i64, forwarding.moved, -ECONNRESET));
    pair_close(&from);
    pair_close_with(&to, -ECONNRESET);
    return 0;
}

/* ---- Records that straddle buffers ------------------------------------------------------------*/

/* Only such a record is copied, and about once. */
TaskTest(zero_copy, straddling_record_is_contiguous)
{
    enum { SIZE = TINY ? 100 : 100 * 1000 };
    struct pair pair;
    struct weir_slice record;
    pair_open(&pair, 0);
    struct source source = { &pair, SIZE };
    uint64_t before = copied();
    struct weir_group group = { 0 };
    start(&group, feed_pattern, &source);
    expect_result(weir_readexactly(pair.reader, SIZE, &record), SIZE);
    cr_assert(eq(sz, record.size, SIZE));
    expect_pattern(record.data, 0, SIZE);
    cr_assert(gt(u64, copied() - before, 0), "it lay in one buffer: nothing was tested");
    if (!TINY)
        cr_assert(le(u64, copied() - before, 2 * SIZE));
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(zero_copy, record_after_a_straddling_one_is_not_copied)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, "strad");
    feed(&pair, "dle\nnext\n");
    expect_slice(weir_readline(pair.reader, &line), line, "straddle\n");
    uint64_t before = copied();
    expect_slice(weir_readline(pair.reader, &line), line, "next\n");
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&pair);
    return 0;
}

/* A large read into the program's own memory is one copy, counted. */
TaskTest(zero_copy, read_into_copies_once)
{
    char buffer[16];
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "0123456789");
    uint64_t before = copied();
    expect_result(weir_read_into(pair.reader, buffer, sizeof buffer), 10);
    cr_assert(eq(u64, copied() - before, 10));
    pair_close(&pair);
    return 0;
}

/* ---- Keeping slices ---------------------------------------------------------------------------*/

TaskTest(zero_copy, kept_slices_stay)
{
    enum { KEPT = 20 };
    struct pair pair;
    struct weir_slice kept[KEPT], slice;
    char text[16];
    pair_open(&pair, 0);
    for (int i = 0; i < KEPT; i++) {
        snprintf(text, sizeof text, "kept %d", i);
        feed(&pair, text);
        expect_slice(weir_read(pair.reader, 100, &slice), slice, text);
        kept[i] = weir_slice_keep(slice);
    }
    for (int i = 0; i < 200; i++) { /* the buffers go round meanwhile */
        snprintf(text, sizeof text, "more %d", i);
        feed(&pair, text);
        expect_slice(weir_read(pair.reader, 100, &slice), slice, text);
    }
    for (int i = 0; i < KEPT; i++) {
        snprintf(text, sizeof text, "kept %d", i);
        expect_slice((ssize_t)kept[i].size, kept[i], text);
        weir_slice_drop(kept[i]);
    }
    pair_close(&pair);
    return 0;
}

TaskTest(zero_copy, kept_slice_outlives_its_stream)
{
    struct pair pair;
    struct weir_slice slice;
    pair_open(&pair, 0);
    feed(&pair, "survivor");
    expect_slice(weir_read(pair.reader, 100, &slice), slice, "survivor");
    slice = weir_slice_keep(slice);
    pair_close(&pair);
    pair_open(&pair, 0);
    for (int i = 0; i < 20; i++)
        feed(&pair, "overwritten?");
    expect_slice((ssize_t)slice.size, slice, "survivor");
    weir_slice_drop(slice);
    pair_close(&pair);
    return 0;
}

TaskTest(zero_copy, slice_kept_twice)
{
    struct pair pair;
    struct weir_slice slice;
    pair_open(&pair, 0);
    feed(&pair, "twice");
    expect_slice(weir_read(pair.reader, 100, &slice), slice, "twice");
    struct weir_slice first = weir_slice_keep(slice), second = weir_slice_keep(slice);
    pair_close(&pair);
    weir_slice_drop(first);
    expect_slice((ssize_t)second.size, second, "twice");
    cr_assert(gt(u64, metrics_now().segments_open, 0));
    weir_slice_drop(second);
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    return 0;
}

/* A program's own bytes have no segment: keeping and dropping them does nothing. */
TaskTest(zero_copy, own_slice_is_kept_and_dropped)
{
    struct weir_slice own = { "own", 3, NULL }, kept = weir_slice_keep(own);
    cr_assert(eq(ptr, (void *)kept.data, (void *)own.data));
    weir_slice_drop(kept);
    weir_slice_drop(own);
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    return 0;
}

TaskTest(zero_copy, write_of_a_kept_slice)
{
    struct pair from, to;
    struct weir_slice slice;
    pair_open(&from, 0);
    pair_open(&to, 0);
    feed(&from, "kept data");
    expect_slice(weir_read(from.reader, 100, &slice), slice, "kept data");
    slice = weir_slice_keep(slice);
    pair_close(&from);
    uint64_t before = copied();
    expect_result(weir_write_slice(to.writer, slice), 0);
    expect_result(weir_write_slice(to.writer, slice), 0); /* as often as one likes */
    weir_slice_drop(slice);                               /* the queue holds on to it */
    peer_expect(&to, "kept datakept data");
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&to);
    return 0;
}

/* The next read ends the loan of the slice, but not the queue's hold on it. */
TaskTest(zero_copy, queued_slice_survives_the_next_reads)
{
    struct pair pair;
    struct weir_slice slice;
    pair_open(&pair, 0);
    for (int i = 0; i < 50; i++) {
        char text[16];
        snprintf(text, sizeof text, "record %d", i);
        feed(&pair, text);
    }
    char expected[1024] = "";
    for (int i = 0; i < 50; i++) {
        size_t size = i < 10 ? 8 : 9;
        cr_assert(eq(long, (long)weir_readexactly(pair.reader, size, &slice), (long)size));
        strncat(expected, slice.data, slice.size);
        expect_result(weir_write_slice(pair.writer, slice), 0);
    }
    peer_expect(&pair, expected);
    pair_close(&pair);
    return 0;
}

/* ---- A pool that runs low ---------------------------------------------------------------------*/

/* Keeps far more than the pool has; another stream still receives, and what is kept is intact. */
static int keep_more_than_the_pool(void *argument)
{
    enum { RECORD = TINY ? 10 : 4000, KEPT = 200 };
    struct pair hoarder, other;
    struct weir_slice kept[KEPT], slice;
    char record[RECORD];
    pair_open(&hoarder, 0);
    pair_open(&other, 0);
    uint64_t before = copied();
    for (size_t i = 0; i < KEPT; i++) {
        pattern_fill(record, i * RECORD, RECORD);
        feed_bytes(&hoarder, record, RECORD);
        expect_result(weir_readexactly(hoarder.reader, RECORD, &slice), RECORD);
        kept[i] = weir_slice_keep(slice);
        feed(&other, "other\n");
        expect_slice(weir_readline(other.reader, &slice), slice, "other\n");
    }
    for (size_t i = 0; i < KEPT; i++) {
        cr_assert(eq(sz, kept[i].size, RECORD));
        expect_pattern(kept[i].data, i * RECORD, RECORD);
        weir_slice_drop(kept[i]);
    }
    cr_assert(gt(u64, copied() - before, 0), "the pool did not run low: nothing was tested");
    before = copied(); /* and with everything given back nothing is copied any more */
    for (int i = 0; i < 20; i++) {
        feed(&other, "other\n");
        expect_slice(weir_readline(other.reader, &slice), slice, "other\n");
    }
    cr_assert(eq(u64, copied() - before, 0));
    pair_close(&hoarder);
    pair_close(&other);
    return 0;
}

Test(zero_copy, kept_slices_do_not_starve_others, .timeout = 20)
{
    struct weir_run_options options = { .receive_memory = TINY ? 0 : 64 * 1024 };
    expect_result(run_with(&options, keep_more_than_the_pool, NULL), 0);
}

/* The same for what lies unread in idle streams. */
static int leave_unread(void *argument)
{
    enum { STREAMS = 100, RECORD = TINY ? 10 : 2000 };
    static struct pair idle[STREAMS];
    struct pair other;
    struct weir_slice slice;
    char record[RECORD];
    pair_open(&other, 0);
    for (size_t i = 0; i < STREAMS; i++) {
        pair_open(&idle[i], 0);
        pattern_fill(record, i * RECORD, RECORD);
        feed_bytes(&idle[i], record, RECORD);
        feed(&other, "other\n");
        expect_slice(weir_readline(other.reader, &slice), slice, "other\n");
    }
    for (size_t i = 0; i < STREAMS; i++) {
        expect_result(weir_readexactly(idle[i].reader, RECORD, &slice), RECORD);
        expect_pattern(slice.data, i * RECORD, RECORD);
        pair_close(&idle[i]);
    }
    pair_close(&other);
    return 0;
}

Test(zero_copy, unread_data_does_not_starve_others, .timeout = 20)
{
    struct weir_run_options options = { .receive_memory = TINY ? 0 : 64 * 1024 };
    expect_result(run_with(&options, leave_unread, NULL), 0);
}

/* An idle stream owns no buffer at all. */
TaskTest(zero_copy, idle_streams_hold_no_segment)
{
    enum { STREAMS = 200 };
    static struct pair idle[STREAMS];
    struct weir_slice slice;
    for (int i = 0; i < STREAMS; i++) {
        pair_open(&idle[i], 0);
        feed(&idle[i], "x\n");
        expect_slice(weir_readline(idle[i].reader, &slice), slice, "x\n");
        expect_result(weir_read(idle[i].reader, 0, &slice), 0); /* ends the loan */
    }
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    for (int i = 0; i < STREAMS; i++)
        pair_close(&idle[i]);
    return 0;
}
