/* What all tests share: a loop that must leave nothing behind, a stream whose other end is a plain
 * socket in the test's hand, and assertions that print what they saw.
 *
 * cr_assert() may be used inside a task (its longjmp leaves the task's stack and the test ends
 * there), but not on another thread: such code returns an error and its task asserts. */
#ifndef WEIR_TESTS_HARNESS_H
#define WEIR_TESTS_HARNESS_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <weir.h>

/* In the tiny build a receive buffer holds 16 bytes (32 in the second group), and weir_read() may
 * return less than is there: tests use weir_readexactly(), or loop. */
#ifdef WEIR_TINY
enum { TINY = true };
#else
enum { TINY = false };
#endif

/* ---- Running ----------------------------------------------------------------------------------*/

/* Runs `body` as the main task of one loop, and asserts that it returns 0 and that nothing is left:
 * the process's fds are those from before, and no task, stream or segment is open. */
void run(weir_task_fn *body, void *argument);

/* The same, with options, and the result is returned, not asserted. */
int run_with(const struct weir_run_options *options, weir_task_fn *body, void *argument);

/* A Criterion test whose body is the main task of such a run: it returns 0. */
#define TaskTest(suite, name)                                                                      \
    static int suite##_##name(void *unused);                                                       \
    Test(suite, name, .timeout = 20)                                                               \
    {                                                                                              \
        run(suite##_##name, NULL);                                                                 \
    }                                                                                              \
    static int suite##_##name(void *unused)

/* ---- A stream and the raw other end -----------------------------------------------------------*/

struct pair {
    struct weir_reader *reader;
    struct weir_writer *writer;
    int peer; /* blocking; -1 once closed */
};

void pair_open(struct pair *pair, size_t limit); /* over an AF_UNIX socketpair; limit 0: 64 KiB */
void pair_open_tcp(struct pair *pair, size_t limit); /* over loopback TCP */

/* Makes the kernel hold only a few KiB of what the weir end sends, so that its queue soon fills. */
void pair_narrow(struct pair *pair);

/* Ends both ends; asserts that wait_closed returns 0, or, of the second, `error`. */
void pair_close(struct pair *pair);
void pair_close_with(struct pair *pair, int error);

/* A raw TCP connection over the loopback, fds[0] and fds[1], close-on-exec. */
void tcp_pair(int fds[2]);

/* ---- What the peer does -----------------------------------------------------------------------
 * All of these let the loop run, and wait (10 s at most) until what they say has happened. */

/* Writes to the peer's end, and waits until the library has received it (or 20 ms, as it may not
 * receive at all: paused). */
void feed(struct pair *pair, const char *text);
void feed_bytes(struct pair *pair, const void *data, size_t size);
void feed_eof(struct pair *pair);   /* shutdown(SHUT_WR) */
void feed_reset(struct pair *pair); /* TCP: an RST. Unix: ECONNRESET if the peer has unread data */

/* Reads from the peer's end exactly these bytes, the end of the stream, or all until its end. */
void peer_expect(struct pair *pair, const char *text);
void peer_read(struct pair *pair, void *buffer, size_t size);
void peer_expect_eof(struct pair *pair);
size_t peer_read_to_end(struct pair *pair, void *buffer, size_t size);

/* Gives every other task, and what the kernel has for them, a few turns. */
void settle(void);

/* ---- Data -------------------------------------------------------------------------------------
 * A sequence of bytes with no short period, so that a lost, doubled or swapped piece shows. */
void pattern_fill(void *buffer, size_t offset, size_t size);

/* ---- Metrics ----------------------------------------------------------------------------------*/

struct weir_metrics metrics_now(void);

/* ---- Assertions: they name the line they stand in, and print both sides -----------------------*/

/* A call returned `text`, all of it and nothing else: n == slice.size == strlen(text). */
#define expect_slice(n, slice, text) expect_slice_at(__FILE__, __LINE__, n, slice, text)
void expect_slice_at(const char *file, int line, ssize_t n, struct weir_slice slice,
                     const char *text);

/* A call returned this number: 0, a count, or an error, which is worded. */
#define expect_result(actual, expected) expect_result_at(__FILE__, __LINE__, actual, expected)
void expect_result_at(const char *file, int line, ssize_t actual, ssize_t expected);

/* The `size` bytes at `data` are the pattern's from `offset` on. */
#define expect_pattern(data, offset, size) expect_pattern_at(__FILE__, __LINE__, data, offset, size)
void expect_pattern_at(const char *file, int line, const void *data, size_t offset, size_t size);

/* Reads `text` with weir_readexactly(): it is the next that the reader has. */
#define expect_next(reader, text) expect_next_at(__FILE__, __LINE__, reader, text)
void expect_next_at(const char *file, int line, struct weir_reader *reader, const char *text);

#endif
