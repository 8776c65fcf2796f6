/* The reader: every StreamReader case of asyncio's test_streams.py under its own name, asyncio's
 * outcome matrix, and where weir is meant to be better. What has no C equivalent is listed in
 * docs/parity.md. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "harness.h"

#define DATA "line1\nline2\nline3\n"
#define SHORT (20 * WEIR_MILLISECOND) /* after which a call that must wait is taken to wait */

/* ---- Helpers ----------------------------------------------------------------------------------*/

/* What the peer does once the test's own task waits. */
struct later {
    struct pair *pair;
    const char *pieces[6];
    bool eof, reset;
};

static int feed_pieces(void *argument)
{
    struct later *later = argument;
    for (size_t i = 0; i < 6 && later->pieces[i] != NULL; i++)
        feed(later->pair, later->pieces[i]);
    if (later->eof)
        feed_eof(later->pair);
    if (later->reset)
        feed_reset(later->pair);
    return 0;
}

static void feed_later(struct weir_group *group, struct later *later)
{
    expect_result(weir_group_start(group, feed_pieces, later), 0);
}

/* Reads with weir_read() until `text` is together: several calls where several buffers hold it. */
static void expect_read(struct weir_reader *reader, const char *text)
{
    size_t size = strlen(text), have = 0;
    char *got = calloc(1, size + 1);
    while (have < size) {
        struct weir_slice part;
        ssize_t n = weir_read(reader, size - have, &part);
        cr_assert(n > 0 && (size_t)n == part.size && part.size <= size - have,
                  "read() returned %zd with %zu of %zu bytes left", n, size - have, size);
        memcpy(got + have, part.data, part.size);
        have += part.size;
    }
    cr_assert(eq(str, got, (char *)text));
    free(got);
}

static void expect_at_end(struct weir_reader *reader)
{
    struct weir_slice data;
    expect_result(weir_read(reader, 100, &data), 0);
    cr_assert(weir_at_eof(reader));
}

static struct weir_slice text_slice(const char *text)
{
    return (struct weir_slice){ text, strlen(text), NULL };
}

/* What a read that some other task is in came to. */
struct reading {
    struct weir_reader *reader;
    size_t n;
    ssize_t result;
    bool ended;
    char data[64];
};

static int read_exactly(void *argument)
{
    struct reading *reading = argument;
    struct weir_slice data;
    reading->result = weir_readexactly(reading->reader, reading->n, &data);
    if (reading->result > 0 && data.size < sizeof reading->data)
        memcpy(reading->data, data.data, data.size);
    reading->ended = true;
    return 0;
}

static int read_line(void *argument)
{
    struct reading *reading = argument;
    struct weir_slice line;
    reading->result = weir_readline(reading->reader, &line);
    reading->ended = true;
    return 0;
}

static int read_until_end(void *argument)
{
    struct reading *reading = argument;
    struct weir_slice data;
    reading->result = weir_read(reading->reader, WEIR_UNTIL_EOF, &data);
    reading->ended = true;
    return 0;
}

static int read_until_xyz(void *argument)
{
    struct reading *reading = argument;
    struct weir_slice data;
    reading->result = weir_readuntil(reading->reader, "XYZ", &data);
    reading->ended = true;
    return 0;
}

/* ---- read() -----------------------------------------------------------------------------------*/

TaskTest(reader, feed_empty_data)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader, .n = 1 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_exactly, &reading), 0);
    settle();
    cr_assert(eq(int, (int)send(pair.peer, "", 0, 0), 0));
    settle();
    cr_assert(not(reading.ended), "an empty send woke the reader");
    feed(&pair, "x");
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, 1);
    cr_assert(eq(chr, reading.data[0], 'x'));
    pair_close(&pair);
    return 0;
}

TaskTest(reader, feed_nonempty_data)
{
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, DATA);
    cr_assert(not(weir_at_eof(pair.reader)));
    expect_read(pair.reader, DATA);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read_zero)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    expect_slice(weir_read(pair.reader, 0, &data), data, "");
    feed(&pair, DATA);
    expect_slice(weir_read(pair.reader, 0, &data), data, "");
    expect_next(pair.reader, DATA);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { DATA }, false, false });
    struct weir_slice data;
    ssize_t n = weir_read(pair.reader, 30, &data);
    if (TINY) { /* 16 bytes a buffer: what lies together is not all */
        cr_assert(n > 0 && n <= 18 && memcmp(data.data, DATA, (size_t)n) == 0);
        expect_next(pair.reader, &DATA[n]);
    } else {
        expect_slice(n, data, DATA);
    }
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read_line_breaks)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    feed(&pair, "line1");
    feed(&pair, "line2");
    expect_slice(weir_read(pair.reader, 5, &data), data, "line1");
    expect_next(pair.reader, "line2");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read_eof)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .eof = true });
    expect_slice(weir_read(pair.reader, 1024, &data), data, "");
    cr_assert(weir_at_eof(pair.reader));
    expect_slice(weir_read(pair.reader, 1024, &data), data, ""); /* and stays so */
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read_until_eof)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { "chunk1\n", "chunk2" }, true, false });
    expect_slice(weir_read(pair.reader, WEIR_UNTIL_EOF, &data), data, "chunk1\nchunk2");
    expect_at_end(pair.reader);
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

/* asyncio's read() fails at once; weir first delivers what it has received. */
TaskTest(reader, read_exception)
{
    struct pair pair;
    struct weir_slice data;
    pair_open_tcp(&pair, 0);
    feed(&pair, "line\n");
    expect_slice(weir_read(pair.reader, 2, &data), data, "li");
    feed_reset(&pair);
    expect_slice(weir_read(pair.reader, 100, &data), data, "ne\n");
    expect_result(weir_read(pair.reader, 2, &data), -ECONNRESET);
    expect_result(weir_read(pair.reader, 2, &data), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(reader, read_limit)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 3);
    feed(&pair, "chunk");
    expect_slice(weir_read(pair.reader, 5, &data), data, "chunk");
    pair_close(&pair);
    return 0;
}

/* asyncio's invalid_limit: a size cannot be negative here, and zero is the default of 64 KiB. */
TaskTest(reader, limit_default)
{
    enum { DEFAULT = 64 * 1024 };
    char *line = malloc(DEFAULT + 2);
    memset(line, 'a', DEFAULT + 2);
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    line[DEFAULT] = '\n';
    line[DEFAULT + 1] = '\0';
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { line } });
    expect_result(weir_readline(pair.reader, &data), DEFAULT + 1);
    expect_result(weir_group_wait(&group), 0);

    line[DEFAULT] = 'a';
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { line, "\n" } });
    expect_result(weir_readline(pair.reader, &data), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), DEFAULT + 1));
    expect_result(weir_readexactly(pair.reader, DEFAULT + 1, &data), DEFAULT + 1);
    expect_next(pair.reader, "\n");
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    free(line);
    return 0;
}

/* ---- readline() -------------------------------------------------------------------------------*/

TaskTest(reader, readline)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, "chunk1 ");
    struct weir_group group = { 0 };
    feed_later(&group,
               &(struct later){ .pair = &pair, .pieces = { "chunk2 ", "chunk3 ", "\n chunk4" } });
    expect_slice(weir_readline(pair.reader, &line), line, "chunk1 chunk2 chunk3 \n");
    expect_result(weir_group_wait(&group), 0);
    expect_next(pair.reader, " chunk4");
    pair_close(&pair);
    return 0;
}

/* Where asyncio drops the line (or all that is buffered), weir keeps it: weir_overrun() bytes may
 * be passed over. */
TaskTest(reader, readline_limit_with_existing_data)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 3);
    feed(&pair, "li");
    feed(&pair, "ne1\nln2\n");
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 5));
    expect_next(pair.reader, "line1");
    expect_slice(weir_readline(pair.reader, &line), line, "\n");
    expect_slice(weir_readline(pair.reader, &line), line, "ln2\n");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_limit_with_existing_data_without_newline)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 3);
    feed(&pair, "li");
    feed(&pair, "ne1");
    feed(&pair, "li");
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 7));
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN); /* nothing is lost */
    expect_next(pair.reader, "line1li");
    feed(&pair, "x\n");
    expect_slice(weir_readline(pair.reader, &line), line, "x\n");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, at_eof)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    cr_assert(not(weir_at_eof(pair.reader)));
    feed(&pair, "some data\n");
    cr_assert(not(weir_at_eof(pair.reader)));
    expect_slice(weir_readline(pair.reader, &line), line, "some data\n");
    cr_assert(not(weir_at_eof(pair.reader)));
    feed(&pair, "some data\n");
    feed_eof(&pair);
    cr_assert(not(weir_at_eof(pair.reader)), "there is data still");
    expect_slice(weir_readline(pair.reader, &line), line, "some data\n");
    cr_assert(weir_at_eof(pair.reader));
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_limit)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 7);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { "chunk1", "chunk2", "chunk3\n" }, true, false });
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    size_t overrun = weir_overrun(pair.reader); /* as much as had arrived by then */
    cr_assert(overrun > 7 && overrun <= 18, "overrun of %zu", overrun);
    expect_result(weir_group_wait(&group), 0);
    expect_next(pair.reader, "chunk1chunk2chunk3\n");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_limit_keeps_the_next_line)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 7);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { "chunk1", "chunk2\n", "chunk3\n" }, true, false });
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    expect_result(weir_group_wait(&group), 0);
    expect_next(pair.reader, "chunk1chunk2\n");
    expect_slice(weir_readline(pair.reader, &line), line, "chunk3\n");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_limit_is_strict)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 7);
    feed(&pair, "1234567\n");
    expect_slice(weir_readline(pair.reader, &line), line, "1234567\n");
    feed(&pair, "12345678\n");
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 8));
    expect_next(pair.reader, "12345678\n");
    feed(&pair, "12345678");
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 8));
    expect_next(pair.reader, "12345678");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_nolimit_nowait)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, "line1\n");
    feed(&pair, "line2\nline3\n");
    expect_slice(weir_readline(pair.reader, &line), line, "line1\n");
    expect_next(pair.reader, "line2\nline3\n");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_eof)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, "some data");
    feed_eof(&pair);
    expect_slice(weir_readline(pair.reader, &line), line, "some data");
    expect_slice(weir_readline(pair.reader, &line), line, "");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_empty_eof)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed_eof(&pair);
    expect_slice(weir_readline(pair.reader, &line), line, "");
    cr_assert(weir_at_eof(pair.reader));
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_read_byte_count)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, DATA);
    expect_slice(weir_readline(pair.reader, &line), line, "line1\n");
    expect_read(pair.reader, "line2\nl");
    expect_next(pair.reader, "ine3\n");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_exception)
{
    struct pair pair;
    struct weir_slice line;
    pair_open_tcp(&pair, 0);
    feed(&pair, "line\n");
    expect_slice(weir_readline(pair.reader, &line), line, "line\n");
    feed_reset(&pair);
    expect_result(weir_readline(pair.reader, &line), -ECONNRESET);
    expect_result(weir_readline(pair.reader, &line), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

/* A line far longer than any receive buffer comes whole, and the next one follows it. */
TaskTest(reader, readline_longer_than_buffers)
{
    enum { SIZE = TINY ? 5000 : 300 * 1000 };
    char *line = malloc(SIZE + 1), *copy = malloc(SIZE + 1);
    pattern_fill(line, 0, SIZE);
    for (int i = 0; i < SIZE; i++)
        line[i] = (char)('a' + (unsigned char)line[i] % 26);
    line[SIZE - 1] = '\n';
    line[SIZE] = '\0';
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, SIZE);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { line, line } });
    for (int i = 0; i < 2; i++) {
        expect_result(weir_readline(pair.reader, &data), SIZE);
        cr_assert(eq(sz, data.size, SIZE));
        memcpy(copy, data.data, SIZE);
        cr_assert(eq(int, memcmp(copy, line, SIZE), 0), "line %d", i);
    }
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    free(line);
    free(copy);
    return 0;
}

/* ---- readuntil() ------------------------------------------------------------------------------*/

TaskTest(reader, readuntil_separator)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    feed(&pair, "data");
    expect_result(weir_readuntil(pair.reader, "", &data), -EINVAL);
    struct weir_slice empty_member[] = { text_slice("a"), text_slice("") };
    expect_result(weir_readuntil_any(pair.reader, empty_member, 2, &data), -EINVAL);
    expect_result(weir_readuntil_any(pair.reader, empty_member, 0, &data), -EINVAL);
    expect_next(pair.reader, "data");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_multi_chunks)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    for (int i = 0; i < 2; i++) {
        feed(&pair, "lineAAA");
        expect_slice(weir_readuntil(pair.reader, "AAA", &data), data, "lineAAA");
    }
    feed(&pair, "lineAAAxxx");
    expect_slice(weir_readuntil(pair.reader, "AAA", &data), data, "lineAAA");
    expect_next(pair.reader, "xxx");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_multi_chunks_1)
{
    static const struct {
        const char *pieces[4], *record;
    } cases[] = {
        { { "QWEaa", "XYaa", "a" }, "QWEaaXYaaa" },
        { { "QWEaa", "XYa", "aa" }, "QWEaaXYaaa" },
        { { "aaa" }, "aaa" },
        { { "Xaaa" }, "Xaaa" },
        { { "XXX", "a", "a", "a" }, "XXXaaa" },
    };
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t k = 0; k < 4 && cases[i].pieces[k] != NULL; k++)
            feed(&pair, cases[i].pieces[k]);
        expect_slice(weir_readuntil(pair.reader, "aaa", &data), data, cases[i].record);
    }
    feed_eof(&pair);
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

/* The same, but the reader already waits as each piece arrives. */
TaskTest(reader, readuntil_multi_chunks_while_waiting)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair,
                                        .pieces = { "QWEaa", "XYa", "a", "aQ", "aa", "a!" } });
    expect_slice(weir_readuntil(pair.reader, "aaa", &data), data, "QWEaaXYaaa");
    expect_slice(weir_readuntil(pair.reader, "aaa", &data), data, "Qaaa");
    expect_next(pair.reader, "!");
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_eof)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    feed(&pair, "some dataAA");
    feed_eof(&pair);
    expect_result(weir_readuntil(pair.reader, "AAA", &data), WEIR_INCOMPLETE);
    expect_slice((ssize_t)data.size, data, "some dataAA");
    expect_at_end(pair.reader);
    expect_result(weir_readuntil(pair.reader, "AAA", &data), WEIR_INCOMPLETE);
    cr_assert(eq(sz, data.size, 0));
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_data_and_eof_together_match)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { "some dataAAA" }, true, false });
    expect_result(weir_group_wait(&group), 0);
    expect_slice(weir_readuntil(pair.reader, "AAA", &data), data, "some dataAAA");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_limit_found_sep)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 3);
    feed(&pair, "some dataAA");
    expect_result(weir_readuntil(pair.reader, "AAA", &data), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 9));
    feed(&pair, "A");
    expect_result(weir_readuntil(pair.reader, "AAA", &data), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 9));
    expect_next(pair.reader, "some dataAAA");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_limit_examples)
{
    static const struct {
        const char *data, *separators[2];
        ssize_t result; /* or WEIR_LIMIT_OVERRUN, and then: */
        size_t overrun;
    } examples[] = {
        { "abcX", { "X" }, 4, 0 },
        { "abcdX", { "X" }, WEIR_LIMIT_OVERRUN, 4 },
        { "abcd", { "X" }, WEIR_LIMIT_OVERRUN, 4 },
        { "abcd", { "\r\n" }, -ETIMEDOUT, 0 },
        { "abcde", { "\r\n" }, WEIR_LIMIT_OVERRUN, 4 },
        { "some dataAA", { "AAA" }, WEIR_LIMIT_OVERRUN, 9 },
        { "some dataAAA", { "AAA" }, WEIR_LIMIT_OVERRUN, 9 },
        { "some dataA", { "A", "ome dataA" }, WEIR_LIMIT_OVERRUN, 9 },
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct pair pair;
        struct weir_slice data, separators[2];
        size_t count = 0;
        for (; count < 2 && examples[i].separators[count] != NULL; count++)
            separators[count] = text_slice(examples[i].separators[count]);
        pair_open(&pair, 3);
        feed(&pair, examples[i].data);
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, SHORT);
        ssize_t n = weir_readuntil_any(pair.reader, separators, count, &data);
        n = weir_timeout_stop(&timeout, n);
        cr_assert(eq(long, (long)n, (long)examples[i].result), "example %zu", i);
        if (n == WEIR_LIMIT_OVERRUN)
            cr_assert(eq(sz, weir_overrun(pair.reader), examples[i].overrun), "example %zu", i);
        if (n < 0)
            expect_next(pair.reader, examples[i].data);
        pair_close(&pair);
    }
    return 0;
}

/* asyncio reports the over-long tail at EOF again and again; here it ends. */
TaskTest(reader, readuntil_overlong_tail_at_eof)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 3);
    feed(&pair, "abcdef");
    expect_result(weir_readuntil(pair.reader, "X", &data), WEIR_LIMIT_OVERRUN);
    feed_eof(&pair);
    expect_result(weir_readuntil(pair.reader, "X", &data), WEIR_INCOMPLETE);
    expect_slice((ssize_t)data.size, data, "abcdef");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readline_overlong_tail_at_eof)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 3);
    feed(&pair, "abcdef");
    expect_result(weir_readline(pair.reader, &line), WEIR_LIMIT_OVERRUN);
    feed_eof(&pair);
    expect_slice(weir_readline(pair.reader, &line), line, "abcdef");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

/* Beyond twice the limit reading pauses, and the end may not have been seen: passing over what has
 * overrun comes to it all the same. */
TaskTest(reader, overlong_tail_beyond_twice_the_limit)
{
    struct pair pair;
    struct weir_slice data;
    char got[32] = "";
    pair_open(&pair, 3);
    feed(&pair, "overlong tail");
    feed_eof(&pair);
    ssize_t n;
    for (int i = 0; i < 20 && (n = weir_readline(pair.reader, &data)) != 0; i++) {
        if (n == WEIR_LIMIT_OVERRUN)
            n = weir_readexactly(pair.reader, weir_overrun(pair.reader), &data);
        cr_assert(gt(long, (long)n, 0));
        strncat(got, data.data, data.size);
    }
    cr_assert(eq(str, got, "overlong tail"));
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

/* The idiom that weir_overrun() is for: a line of any length, piece by piece. */
TaskTest(reader, overrun_passes_over_a_long_line)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 8);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair,
                                        .pieces = { "0123456789", "abcdefghij", "klm\nnext\n" } });
    char line[64] = "";
    ssize_t n;
    while ((n = weir_readline(pair.reader, &data)) == WEIR_LIMIT_OVERRUN) {
        size_t overrun = weir_overrun(pair.reader);
        cr_assert(gt(sz, overrun, 8));
        expect_result(weir_readexactly(pair.reader, overrun, &data), (ssize_t)overrun);
        strncat(line, data.data, data.size);
    }
    cr_assert(gt(long, (long)n, 0));
    strncat(line, data.data, data.size);
    cr_assert(eq(str, line, "0123456789abcdefghijklm\n"));
    expect_slice(weir_readline(pair.reader, &data), data, "next\n");
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_multi_separator)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_slice ends[] = { text_slice("\r"), text_slice("\n") };
    feed(&pair, "line 1\nline 2\r");
    expect_slice(weir_readuntil_any(pair.reader, ends, 2, &data), data, "line 1\n");
    expect_slice(weir_readuntil_any(pair.reader, ends, 2, &data), data, "line 2\r");
    /* The first to end matches, even though it is longer and begins before the other. */
    struct weir_slice letters[] = { text_slice("DEF"), text_slice("BCDE") };
    feed(&pair, "ABCDEFG");
    expect_slice(weir_readuntil_any(pair.reader, letters, 2, &data), data, "ABCDE");
    expect_next(pair.reader, "FG");
    pair_close(&pair);
    return 0;
}

/* Of two that end together the shorter is the match, so that what precedes it is too long. */
TaskTest(reader, readuntil_multi_separator_limit)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 3);
    struct weir_slice separators[] = { text_slice("A"), text_slice("ome dataA") };
    feed(&pair, "some dataA");
    expect_result(weir_readuntil_any(pair.reader, separators, 2, &data), WEIR_LIMIT_OVERRUN);
    cr_assert(eq(sz, weir_overrun(pair.reader), 9));
    expect_next(pair.reader, "some dataA");
    feed(&pair, "some dataA"); /* without the shorter, what precedes is one byte */
    expect_slice(weir_readuntil_any(pair.reader, separators + 1, 1, &data), data, "some dataA");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_multi_separator_negative_offset)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_slice separators[] = { text_slice("A"), text_slice("long sep") };
    feed(&pair, "data");
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { "Z", "Aaaa" } });
    expect_slice(weir_readuntil_any(pair.reader, separators, 2, &data), data, "dataZA");
    expect_result(weir_group_wait(&group), 0);
    expect_next(pair.reader, "aaa");
    pair_close(&pair);
    return 0;
}

/* asyncio's readuntil_bytearray: a separator is any bytes, here with a NUL and no NUL after it. */
TaskTest(reader, readuntil_binary_separator)
{
    struct pair pair;
    struct weir_slice data, separator = { "\0\xff!", 2, NULL };
    pair_open(&pair, 0);
    feed_bytes(&pair, "some\0data\0\xffrest", 15);
    expect_result(weir_readuntil_any(pair.reader, &separator, 1, &data), 11);
    cr_assert(eq(int, memcmp(data.data, "some\0data\0\xff", 11), 0));
    expect_next(pair.reader, "rest");
    pair_close(&pair);
    return 0;
}

/* Where the first of the separators ends in `data`, or 0: what asyncio's rule comes to. */
static size_t first_end(const char *data, size_t size, const struct weir_slice *separators,
                        size_t count)
{
    for (size_t end = 1; end <= size; end++)
        for (size_t i = 0; i < count; i++)
            if (separators[i].size <= end && memcmp(data + end - separators[i].size,
                                                    separators[i].data, separators[i].size) == 0)
                return end;
    return 0;
}

struct chunks {
    struct pair *pair;
    const char *data;
    size_t size;
};

static int feed_chunks(void *argument)
{
    struct chunks *chunks = argument;
    for (size_t at = 0, i = 1; at < chunks->size; i++) {
        size_t size = i * 7 % 11 + 1; /* 1 to 11 bytes */
        if (size > chunks->size - at)
            size = chunks->size - at;
        feed_bytes(chunks->pair, chunks->data + at, size);
        at += size;
    }
    feed_eof(chunks->pair);
    return 0;
}

/* However the data is cut, the records are those that a search of the whole finds. */
TaskTest(reader, readuntil_any_does_not_depend_on_chunks)
{
    enum { SIZE = 4000 };
    struct weir_slice separators[] = { text_slice("aab"), text_slice("bba"), text_slice("abab"),
                                       text_slice("ccc") };
    char data[SIZE];
    pattern_fill(data, 77, SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)('a' + (unsigned char)data[i] % 3);
    struct pair pair;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    struct chunks chunks = { &pair, data, SIZE };
    expect_result(weir_group_start(&group, feed_chunks, &chunks), 0);
    size_t at = 0, end, records = 0;
    struct weir_slice record;
    for (; (end = first_end(data + at, SIZE - at, separators, 4)) > 0; at += end, records++) {
        ssize_t n = weir_readuntil_any(pair.reader, separators, 4, &record);
        expect_result(n, (ssize_t)end);
        cr_assert(eq(int, memcmp(record.data, data + at, end), 0), "record %zu", records);
    }
    cr_assert(gt(sz, records, 100));
    expect_result(weir_readuntil_any(pair.reader, separators, 4, &record), WEIR_INCOMPLETE);
    cr_assert(eq(sz, record.size, SIZE - at));
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

/* ---- readexactly() ----------------------------------------------------------------------------*/

/* -1 is the largest size_t here, and as little a size. */
TaskTest(reader, readexactly_zero_or_less)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    feed(&pair, DATA);
    expect_slice(weir_readexactly(pair.reader, 0, &data), data, "");
    expect_result(weir_readexactly(pair.reader, (size_t)-1, &data), -EINVAL);
    expect_next(pair.reader, DATA);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readexactly)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { DATA, DATA, DATA } });
    expect_slice(weir_readexactly(pair.reader, 36, &data), data, DATA DATA);
    expect_result(weir_group_wait(&group), 0);
    expect_next(pair.reader, DATA);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readexactly_limit)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 3);
    feed(&pair, "chunk");
    expect_slice(weir_readexactly(pair.reader, 5, &data), data, "chunk");
    pair_close(&pair);
    return 0;
}

/* More than twice the limit: the paused reader must resume by itself. */
TaskTest(reader, readexactly_far_above_limit)
{
    enum { SIZE = TINY ? 2000 : 200 * 1000 };
    char *sent = malloc(SIZE + 1);
    memset(sent, 'a', SIZE);
    sent[SIZE] = '\0';
    sent[SIZE - 1] = 'z';
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 16);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { sent, "rest" } });
    settle();
    cr_assert(gt(u64, metrics_now().reads_paused, 0));
    expect_slice(weir_readexactly(pair.reader, SIZE, &data), data, sent);
    expect_next(pair.reader, "rest");
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    free(sent);
    return 0;
}

TaskTest(reader, readexactly_eof)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ &pair, { DATA }, true, false });
    expect_result(weir_readexactly(pair.reader, 36, &data), WEIR_INCOMPLETE);
    expect_slice((ssize_t)data.size, data, DATA);
    expect_at_end(pair.reader);
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readexactly_exception)
{
    struct pair pair;
    struct weir_slice data;
    pair_open_tcp(&pair, 0);
    feed(&pair, "line\n");
    expect_slice(weir_readexactly(pair.reader, 2, &data), data, "li");
    feed_reset(&pair);
    expect_result(weir_readexactly(pair.reader, 4, &data), -ECONNRESET); /* 3 are there */
    expect_slice(weir_readexactly(pair.reader, 3, &data), data, "ne\n");
    expect_result(weir_readexactly(pair.reader, 2, &data), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

/* ---- read_into() ------------------------------------------------------------------------------*/

TaskTest(reader, read_into)
{
    struct pair pair;
    char buffer[64] = "";
    pair_open(&pair, 0);
    feed(&pair, "line1");
    feed(&pair, "line2");
    expect_result(weir_read_into(pair.reader, buffer, 3), 3);
    cr_assert(eq(str, buffer, "lin"));
    size_t have = 0;
    memset(buffer, 0, sizeof buffer);
    while (have < 7) {
        ssize_t n = weir_read_into(pair.reader, buffer + have, sizeof buffer - have);
        cr_assert(gt(long, (long)n, 0));
        have += (size_t)n;
    }
    cr_assert(eq(str, buffer, "e1line2"));
    feed_eof(&pair);
    expect_result(weir_read_into(pair.reader, buffer, 1), 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, read_into_waits)
{
    struct pair pair;
    char buffer[64] = "";
    pair_open(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { "later" } });
    expect_result(weir_read_into(pair.reader, buffer, sizeof buffer), 5);
    cr_assert(eq(str, buffer, "later"));
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

/* ---- The end, and errors ----------------------------------------------------------------------*/

TaskTest(reader, exception)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    expect_result(weir_exception(pair.reader), 0);
    feed_reset(&pair);
    expect_result(weir_exception(pair.reader), -ECONNRESET);
    cr_assert(not(weir_at_eof(pair.reader)));
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(reader, exception_waiter)
{
    struct pair pair;
    struct weir_slice line;
    pair_open_tcp(&pair, 0);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .reset = true });
    expect_result(weir_readline(pair.reader, &line), -ECONNRESET);
    expect_result(weir_group_wait(&group), 0);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(reader, exception_cancel)
{
    struct pair pair;
    struct weir_slice line;
    pair_open_tcp(&pair, 0);
    struct reading reading = { .reader = pair.reader };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_line, &reading), 0);
    settle();
    weir_group_cancel(&group);
    feed_reset(&pair); /* the waiter is gone */
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, -ECANCELED);
    expect_result(weir_readline(pair.reader, &line), -ECONNRESET);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(reader, feed_eof)
{
    struct pair pair;
    struct weir_slice line;
    pair_open(&pair, 0);
    feed(&pair, "some data");
    weir_feed_eof(pair.reader);
    weir_feed_eof(pair.reader); /* idempotent */
    cr_assert(not(weir_at_eof(pair.reader)));
    expect_slice(weir_readline(pair.reader, &line), line, "some data");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, feed_eof_wakes_the_reader)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_line, &reading), 0);
    settle();
    cr_assert(not(reading.ended));
    weir_feed_eof(pair.reader);
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, 0);
    pair_close(&pair);
    return 0;
}

/* A peer that has ended its direction may still be written to. */
TaskTest(reader, eof_keeps_the_stream_open)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    feed_eof(&pair);
    expect_at_end(pair.reader);
    settle();
    cr_assert(not(weir_is_closing(pair.writer)));
    expect_result(weir_exception(pair.reader), 0);
    expect_result(weir_write(pair.writer, "still here", 10), 0);
    peer_expect(&pair, "still here");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, local_close_ends_a_waiting_read)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_line, &reading), 0);
    settle();
    weir_close(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, 0);
    pair_close(&pair);
    return 0;
}

TaskTest(reader, local_close_makes_a_waiting_readexactly_incomplete)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader, .n = 10 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_exactly, &reading), 0);
    settle();
    weir_close(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, WEIR_INCOMPLETE);
    pair_close(&pair);
    return 0;
}

/* asyncio's read(-1) loses the pieces it had, as it is cancelled or fails. Not here. */
TaskTest(reader, read_until_eof_cancelled_keeps_all)
{
    struct pair pair;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_until_end, &reading), 0);
    feed(&pair, "some data");
    feed(&pair, " and more");
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, -ECANCELED);
    expect_next(pair.reader, "some data and more");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, readuntil_cancelled_keeps_all)
{
    struct pair pair;
    struct weir_slice data;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_until_xyz, &reading), 0);
    feed(&pair, "some data XY");
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, -ECANCELED);
    feed(&pair, "Z!"); /* the separator's first part was seen before the cancel */
    expect_slice(weir_readuntil(pair.reader, "XYZ", &data), data, "some data XYZ");
    expect_next(pair.reader, "!");
    pair_close(&pair);
    return 0;
}

/* ---- One reader at a time ---------------------------------------------------------------------*/

/* asyncio lets a second reader take data away from under the first, or fails it, as it happens. */
TaskTest(reader, second_reader_is_busy)
{
    struct pair pair;
    struct weir_slice data;
    char byte;
    pair_open(&pair, 0);
    struct reading reading = { .reader = pair.reader, .n = 6 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_exactly, &reading), 0);
    feed(&pair, "abc");
    expect_result(weir_read(pair.reader, 1, &data), -EBUSY);
    expect_result(weir_read_into(pair.reader, &byte, 1), -EBUSY);
    expect_result(weir_readline(pair.reader, &data), -EBUSY);
    expect_result(weir_readexactly(pair.reader, 1, &data), -EBUSY);
    expect_result(weir_readuntil(pair.reader, "a", &data), -EBUSY);
    expect_result(weir_read(pair.reader, WEIR_UNTIL_EOF, &data), -EBUSY);
    feed(&pair, "def");
    expect_result(weir_group_wait(&group), 0);
    expect_result(reading.result, 6);
    cr_assert(eq(str, reading.data, "abcdef"));
    feed(&pair, "g"); /* and now it is free */
    expect_slice(weir_read(pair.reader, 1, &data), data, "g");
    pair_close(&pair);
    return 0;
}

/* ---- pause_reading() --------------------------------------------------------------------------*/

TaskTest(reader, pause_reading_before_the_first_read_holds)
{
    struct pair pair;
    pair_open(&pair, 0);
    cr_assert(weir_is_reading(pair.reader));
    weir_pause_reading(pair.reader);
    weir_pause_reading(pair.reader); /* idempotent */
    cr_assert(not(weir_is_reading(pair.reader)));
    settle();
    uint64_t before = metrics_now().bytes_read;
    feed(&pair, "unseen");
    settle();
    cr_assert(eq(u64, metrics_now().bytes_read, before), "a paused stream received");
    weir_resume_reading(pair.reader);
    weir_resume_reading(pair.reader);
    cr_assert(weir_is_reading(pair.reader));
    settle();
    cr_assert(eq(u64, metrics_now().bytes_read, before + 6));
    expect_next(pair.reader, "unseen");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, pause_reading_holds_for_a_read_that_waits)
{
    struct pair pair;
    struct weir_slice data;
    struct weir_timeout timeout;
    pair_open(&pair, 0);
    weir_pause_reading(pair.reader);
    settle();
    cr_assert(eq(long, (long)send(pair.peer, "data", 4, 0), 4));
    weir_timeout_start(&timeout, 20 * WEIR_MILLISECOND);
    ssize_t n = weir_timeout_stop(&timeout, weir_read(pair.reader, 10, &data));
    expect_result(n, -ETIMEDOUT);
    weir_resume_reading(pair.reader);
    cr_assert(weir_is_reading(pair.reader));
    expect_next(pair.reader, "data");
    pair_close(&pair);
    return 0;
}

TaskTest(reader, is_reading_is_false_once_closing)
{
    struct pair pair;
    pair_open(&pair, 0);
    weir_close(pair.writer);
    cr_assert(not(weir_is_reading(pair.reader)));
    weir_resume_reading(pair.reader); /* quietly nothing */
    cr_assert(not(weir_is_reading(pair.reader)));
    pair_close(&pair);
    return 0;
}

/* uvloop's: data and the end both arrive while reading is paused. */
TaskTest(reader, shutdown_while_pause_reading)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    weir_pause_reading(pair.reader);
    settle();
    feed(&pair, "data before the end");
    feed_eof(&pair);
    cr_assert(not(weir_at_eof(pair.reader)));
    weir_resume_reading(pair.reader);
    expect_next(pair.reader, "data before the end");
    expect_at_end(pair.reader);
    pair_close(&pair);
    return 0;
}

/* uvloop's: a peer that closes at once while this end has paused, and this end then closes. */
TaskTest(reader, close_while_paused_with_unread_data)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    weir_pause_reading(pair.reader);
    settle();
    feed(&pair, "never read");
    feed_eof(&pair);
    pair_close(&pair);
    return 0;
}

/* uvloop's: the first data after an idle time wakes exactly the reader that waits. */
TaskTest(reader, first_data_after_wakeup)
{
    struct pair pair;
    struct weir_slice data;
    pair_open_tcp(&pair, 0);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, SHORT);
    expect_result(weir_timeout_stop(&timeout, weir_read(pair.reader, 10, &data)), -ETIMEDOUT);
    struct weir_group group = { 0 };
    feed_later(&group, &(struct later){ .pair = &pair, .pieces = { "first" } });
    expect_slice(weir_read(pair.reader, 10, &data), data, "first");
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair);
    return 0;
}

/* ---- The outcome matrix -----------------------------------------------------------------------
 * Rows: the calls. Columns: what the reader has. One test a row; where weir differs from asyncio
 * on purpose, the row says so. */

enum column { DATA_ONLY, NOTHING, DATA_THEN_EOF, EOF_ONLY, DATA_THEN_ERROR, ERROR_ONLY, COLUMNS };

struct outcome {
    ssize_t result;   /* -ETIMEDOUT: it waits */
    const char *data; /* what the call yields, if it yields */
    const char *left; /* what is unread afterwards */
};

typedef ssize_t reader_call(struct weir_reader *reader, struct weir_slice *ret_data);

static void bring_to(struct pair *pair, enum column column, const char *content)
{
    pair_open_tcp(pair, 3);
    if (column == DATA_ONLY || column == DATA_THEN_EOF || column == DATA_THEN_ERROR)
        feed(pair, content);
    if (column == DATA_THEN_EOF || column == EOF_ONLY)
        feed_eof(pair);
    if (column == DATA_THEN_ERROR || column == ERROR_ONLY)
        feed_reset(pair);
}

/* All that is still to be read, as the stream ends in the way the column ends. */
static void expect_left(struct pair *pair, enum column column, const char *left)
{
    char got[64] = "";
    struct weir_slice data;
    ssize_t n;
    if (column == DATA_ONLY || column == NOTHING)
        feed_eof(pair);
    while ((n = weir_read(pair->reader, 100, &data)) > 0)
        strncat(got, data.data, data.size);
    bool fails = column == DATA_THEN_ERROR || column == ERROR_ONLY;
    expect_result(n, fails ? -ECONNRESET : 0);
    cr_assert(eq(str, got, (char *)left), "left in column %d", column);
}

static void check_row(const char *content, reader_call *call,
                      const struct outcome outcomes[COLUMNS])
{
    for (enum column column = 0; column < COLUMNS; column++) {
        struct pair pair;
        struct weir_slice data = { NULL, 0, NULL };
        bring_to(&pair, column, content);
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, SHORT);
        ssize_t n = weir_timeout_stop(&timeout, call(pair.reader, &data));
        const struct outcome *outcome = &outcomes[column];
        cr_assert(n == outcome->result, "column %d: %zd (%s), not %zd (%s)", column, n,
                  weir_strerror(n), outcome->result, weir_strerror(outcome->result));
        if (n >= 0 || n == WEIR_INCOMPLETE)
            expect_slice((ssize_t)data.size, data, outcome->data);
        expect_left(&pair, column, outcome->left);
        bool fails = column == DATA_THEN_ERROR || column == ERROR_ONLY;
        pair_close_with(&pair, fails ? -ECONNRESET : 0);
    }
}

static ssize_t call_read_4(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_read(reader, 4, ret_data);
}

TaskTest(reader, matrix_read_n)
{
    check_row("ab\ncd", call_read_4,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 4, "ab\nc", "d" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 4, "ab\nc", "d" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { 4, "ab\nc", "d" }, /* asyncio: the error */
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_read_0(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_read(reader, 0, ret_data);
}

TaskTest(reader, matrix_read_0)
{
    check_row("ab\ncd", call_read_0,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 0, "", "ab\ncd" },
                  [NOTHING] = { 0, "", "" },
                  [DATA_THEN_EOF] = { 0, "", "ab\ncd" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { 0, "", "ab\ncd" }, /* asyncio: the error; here 0 at once */
                  [ERROR_ONLY] = { 0, "", "" },
              });
    return 0;
}

static ssize_t call_read_all(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_read(reader, WEIR_UNTIL_EOF, ret_data);
}

TaskTest(reader, matrix_read_all)
{
    check_row("ab\ncd", call_read_all,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { -ETIMEDOUT, NULL, "ab\ncd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 5, "ab\ncd", "" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { -ECONNRESET, NULL, "ab\ncd" },
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readexactly_3(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readexactly(reader, 3, ret_data);
}

TaskTest(reader, matrix_readexactly_buffered)
{
    check_row("ab\ncd", call_readexactly_3,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 3, "ab\n", "cd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 3, "ab\n", "cd" },
                  [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
                  [DATA_THEN_ERROR] = { 3, "ab\n", "cd" }, /* asyncio: the error */
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readexactly_9(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readexactly(reader, 9, ret_data);
}

TaskTest(reader, matrix_readexactly_more)
{
    check_row("ab\ncd", call_readexactly_9,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { -ETIMEDOUT, NULL, "ab\ncd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { WEIR_INCOMPLETE, "ab\ncd", "" },
                  [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
                  [DATA_THEN_ERROR] = { -ECONNRESET, NULL, "ab\ncd" },
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readexactly_0(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readexactly(reader, 0, ret_data);
}

TaskTest(reader, matrix_readexactly_0)
{
    check_row("ab\ncd", call_readexactly_0,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 0, "", "ab\ncd" },
                  [NOTHING] = { 0, "", "" },
                  [DATA_THEN_EOF] = { 0, "", "ab\ncd" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { 0, "", "ab\ncd" }, /* asyncio: the error; as read(0) */
                  [ERROR_ONLY] = { 0, "", "" },
              });
    return 0;
}

static ssize_t call_readuntil_newline(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readuntil(reader, "\n", ret_data);
}

TaskTest(reader, matrix_readuntil_match)
{
    check_row("ab\ncd", call_readuntil_newline,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 3, "ab\n", "cd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 3, "ab\n", "cd" },
                  [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
                  [DATA_THEN_ERROR] = { 3, "ab\n", "cd" }, /* asyncio: the error */
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readuntil_d(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readuntil(reader, "d", ret_data);
}

TaskTest(reader, matrix_readuntil_match_beyond_limit)
{
    check_row("ab\ncd", call_readuntil_d,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { WEIR_LIMIT_OVERRUN, NULL, "ab\ncd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { WEIR_LIMIT_OVERRUN, NULL, "ab\ncd" },
                  [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
                  [DATA_THEN_ERROR] = { WEIR_LIMIT_OVERRUN, NULL, "ab\ncd" }, /* asyncio: error */
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readuntil_xyz(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readuntil(reader, "XYZ", ret_data);
}

/* The search would go on at byte 5 + 1 - 3 = 3, which is the limit. */
TaskTest(reader, matrix_readuntil_no_match_within_limit)
{
    check_row("ab\ncd", call_readuntil_xyz,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { -ETIMEDOUT, NULL, "ab\ncd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { WEIR_INCOMPLETE, "ab\ncd", "" },
                  [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
                  [DATA_THEN_ERROR] = { -ECONNRESET, NULL, "ab\ncd" },
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

static ssize_t call_readuntil_x(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readuntil(reader, "X", ret_data);
}

TaskTest(reader, matrix_readuntil_no_match_beyond_limit)
{
    check_row(
        "ab\ncd", call_readuntil_x,
        (struct outcome[COLUMNS]){
            [DATA_ONLY] = { WEIR_LIMIT_OVERRUN, NULL, "ab\ncd" },
            [NOTHING] = { -ETIMEDOUT, NULL, "" },
            [DATA_THEN_EOF] = { WEIR_INCOMPLETE, "ab\ncd", "" }, /* asyncio: overrun, always */
            [EOF_ONLY] = { WEIR_INCOMPLETE, "", "" },
            [DATA_THEN_ERROR] = { -ECONNRESET, NULL, "ab\ncd" },
            [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
        });
    return 0;
}

static ssize_t call_readline(struct weir_reader *reader, struct weir_slice *ret_data)
{
    return weir_readline(reader, ret_data);
}

TaskTest(reader, matrix_readline_match)
{
    check_row("ab\ncd", call_readline,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { 3, "ab\n", "cd" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 3, "ab\n", "cd" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { 3, "ab\n", "cd" }, /* asyncio: the error */
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

TaskTest(reader, matrix_readline_no_match_within_limit)
{
    check_row("abc", call_readline,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { -ETIMEDOUT, NULL, "abc" },
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { 3, "abc", "" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { -ECONNRESET, NULL, "abc" },
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

TaskTest(reader, matrix_readline_match_beyond_limit)
{
    check_row("abcd\ne", call_readline,
              (struct outcome[COLUMNS]){
                  [DATA_ONLY] = { WEIR_LIMIT_OVERRUN, NULL, "abcd\ne" }, /* asyncio: drops it */
                  [NOTHING] = { -ETIMEDOUT, NULL, "" },
                  [DATA_THEN_EOF] = { WEIR_LIMIT_OVERRUN, NULL, "abcd\ne" },
                  [EOF_ONLY] = { 0, "", "" },
                  [DATA_THEN_ERROR] = { WEIR_LIMIT_OVERRUN, NULL, "abcd\ne" },
                  [ERROR_ONLY] = { -ECONNRESET, NULL, "" },
              });
    return 0;
}

TaskTest(reader, matrix_at_eof)
{
    static const bool at_eof[COLUMNS] = { [EOF_ONLY] = true };
    for (enum column column = 0; column < COLUMNS; column++) {
        struct pair pair;
        bring_to(&pair, column, "ab\ncd");
        cr_assert(eq(int, weir_at_eof(pair.reader), at_eof[column]), "column %d", column);
        bool fails = column == DATA_THEN_ERROR || column == ERROR_ONLY;
        pair_close_with(&pair, fails ? -ECONNRESET : 0);
    }
    return 0;
}

/* The row "local close, then a read": what was received, then the end. */
TaskTest(reader, matrix_local_close)
{
    static const char *const left[COLUMNS] = { "ab\ncd", "", "ab\ncd", "", "ab\ncd", "" };
    for (enum column column = 0; column < COLUMNS; column++) {
        struct pair pair;
        bring_to(&pair, column, "ab\ncd");
        weir_close(pair.writer);
        bool fails = column == DATA_THEN_ERROR || column == ERROR_ONLY;
        char got[64] = "";
        struct weir_slice data;
        ssize_t n;
        while ((n = weir_read(pair.reader, 100, &data)) > 0)
            strncat(got, data.data, data.size);
        cr_assert(eq(str, got, (char *)left[column]), "column %d", column);
        expect_result(n, fails ? -ECONNRESET : 0);
        pair_close_with(&pair, fails ? -ECONNRESET : 0);
    }
    return 0;
}
