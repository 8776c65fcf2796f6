/* See harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The time after which waiting for something that must happen is a failure, in polls of 0.2 ms. */
enum { POLLS = 50 * 1000, POLLS_IF_EVER = 100 };
#define POLL (WEIR_MILLISECOND / 5)

/* ---- Running ----------------------------------------------------------------------------------*/

enum { FDS = 1 << 15 };

/* Which fds are open, one byte each. */
static void fds_open(bool open_fds[FDS])
{
    memset(open_fds, 0, FDS * sizeof open_fds[0]);
    DIR *directory = opendir("/proc/self/fd");
    cr_assert(ne(ptr, directory, NULL));
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        int fd = atoi(entry->d_name);
        if (isdigit((unsigned char)entry->d_name[0]) && fd < FDS && fd != dirfd(directory))
            open_fds[fd] = true;
    }
    closedir(directory);
}

static void assert_same_fds(const bool before[FDS])
{
    static bool after[FDS];
    fds_open(after);
    for (int fd = 0; fd < FDS; fd++) {
        if (after[fd] == before[fd])
            continue;
        char link[64], target[256] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (after[fd] && readlink(link, target, sizeof target - 1) < 0)
            target[0] = '\0';
        cr_fatal("fd %d was %s by the run: %s", fd, after[fd] ? "left open" : "closed", target);
    }
}

int run_with(const struct weir_run_options *options, weir_task_fn *body, void *argument)
{
    static bool before[FDS];
    fds_open(before);
    int rc = weir_run(body, argument, options);
    assert_same_fds(before);
    struct weir_metrics left = metrics_now();
    cr_assert(eq(u64, left.tasks_open, 0), "tasks are left");
    cr_assert(eq(u64, left.streams_open, 0), "streams are left");
    cr_assert(eq(u64, left.segments_open, 0), "segments are left");
    return rc;
}

void run(weir_task_fn *body, void *argument)
{
    expect_result(run_with(NULL, body, argument), 0);
}

/* ---- A stream and the raw other end -----------------------------------------------------------*/

static void pair_of(struct pair *pair, int fd, int peer, size_t limit)
{
    struct weir_connect_options options = { .limit = limit };
    *pair = (struct pair){ .peer = peer };
    expect_result(weir_open_socket(fd, &options, &pair->reader, &pair->writer), 0);
}

void pair_open(struct pair *pair, size_t limit)
{
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    pair_of(pair, fds[0], fds[1], limit);
}

void tcp_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, listener, 0));
    cr_assert(eq(int, bind(listener, (struct sockaddr *)&address, size), 0));
    cr_assert(eq(int, listen(listener, 1), 0));
    cr_assert(eq(int, getsockname(listener, (struct sockaddr *)&address, &size), 0));
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, fds[0], 0));
    cr_assert(eq(int, connect(fds[0], (struct sockaddr *)&address, size), 0));
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(ge(int, fds[1], 0));
    close(listener);
    int on = 1; /* each feed is to arrive on its own */
    cr_assert(eq(int, setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0));
}

void pair_open_tcp(struct pair *pair, size_t limit)
{
    int fds[2];
    tcp_pair(fds);
    pair_of(pair, fds[0], fds[1], limit);
}

void pair_narrow(struct pair *pair)
{
    int size = 4096;
    int fd = weir_fileno(pair->writer);
    cr_assert(eq(int, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0));
    cr_assert(eq(int, setsockopt(pair->peer, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0));
}

static void peer_close(struct pair *pair)
{
    if (pair->peer >= 0)
        close(pair->peer);
    pair->peer = -1;
}

void pair_close_with(struct pair *pair, int error)
{
    weir_close(pair->writer);
    expect_result(weir_wait_closed(pair->writer), error);
    pair->reader = NULL;
    pair->writer = NULL;
    peer_close(pair);
}

void pair_close(struct pair *pair)
{
    pair_close_with(pair, 0);
}

/* ---- What the peer does -----------------------------------------------------------------------*/

static void pause_between_polls(void)
{
    expect_result(weir_sleep(POLL), 0);
}

void settle(void)
{
    for (int turn = 0; turn < 10; turn++)
        pause_between_polls();
}

void feed_bytes(struct pair *pair, const void *data, size_t size)
{
    uint64_t target = metrics_now().bytes_read + size;
    const char *from = data;
    size_t left = size;
    for (int polls = 0; left > 0; polls++) {
        ssize_t sent = send(pair->peer, from, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        cr_assert(sent >= 0 || errno == EAGAIN, "send: %s", strerror(errno));
        cr_assert(lt(int, polls, POLLS), "the library does not receive: %zu bytes left", left);
        if (sent > 0) {
            from += sent;
            left -= (size_t)sent;
        } else {
            pause_between_polls();
        }
    }
    for (int polls = 0; polls < POLLS_IF_EVER && metrics_now().bytes_read < target; polls++)
        pause_between_polls();
}

void feed(struct pair *pair, const char *text)
{
    feed_bytes(pair, text, strlen(text));
}

void feed_eof(struct pair *pair)
{
    cr_assert(eq(int, shutdown(pair->peer, SHUT_WR), 0));
    settle();
}

void feed_reset(struct pair *pair)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    cr_assert(eq(int, setsockopt(pair->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0));
    peer_close(pair);
    settle();
}

/* Up to `size` bytes, at least one; 0 at the end of the stream. */
static size_t peer_receive(struct pair *pair, void *buffer, size_t size)
{
    for (int polls = 0; polls < POLLS; polls++) {
        ssize_t n = recv(pair->peer, buffer, size, MSG_DONTWAIT);
        cr_assert(n >= 0 || errno == EAGAIN, "recv: %s", strerror(errno));
        if (n >= 0)
            return (size_t)n;
        pause_between_polls();
    }
    cr_fatal("the peer receives nothing");
    return 0;
}

void peer_read(struct pair *pair, void *buffer, size_t size)
{
    for (size_t have = 0; have < size;) {
        size_t n = peer_receive(pair, (char *)buffer + have, size - have);
        cr_assert(gt(sz, n, 0), "the stream ended after %zu of %zu bytes", have, size);
        have += n;
    }
}

void peer_expect(struct pair *pair, const char *text)
{
    size_t size = strlen(text);
    char *got = calloc(1, size + 1);
    peer_read(pair, got, size);
    cr_assert(eq(str, got, (char *)text));
    free(got);
}

void peer_expect_eof(struct pair *pair)
{
    char byte;
    cr_assert(eq(sz, peer_receive(pair, &byte, 1), 0), "a byte came instead of the end");
}

size_t peer_read_to_end(struct pair *pair, void *buffer, size_t size)
{
    size_t have = 0, n;
    char over;
    while ((n = peer_receive(pair, have < size ? (char *)buffer + have : &over,
                             have < size ? size - have : 1)) > 0) {
        cr_assert(lt(sz, have, size), "more than %zu bytes came", size);
        have += n;
    }
    return have;
}

/* ---- Data and metrics -------------------------------------------------------------------------*/

static unsigned char pattern_byte(size_t index)
{
    return (unsigned char)((index * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

void pattern_fill(void *buffer, size_t offset, size_t size)
{
    unsigned char *to = buffer;
    for (size_t i = 0; i < size; i++)
        to[i] = pattern_byte(offset + i);
}

struct weir_metrics metrics_now(void)
{
    struct weir_metrics now;
    weir_get_metrics(&now);
    return now;
}

/* ---- Assertions -------------------------------------------------------------------------------*/

#define fatal_at(file, line, ...) cr_assert_fail_user(file, line, criterion_abort_test, __VA_ARGS__)

static const char *result_name(ssize_t result, char buffer[64])
{
    static const char *const own[] = { "WEIR_INCOMPLETE",   "WEIR_LIMIT_OVERRUN",
                                       "WEIR_UNRESOLVED",   "WEIR_RING_DISABLED",
                                       "WEIR_RING_BLOCKED", "WEIR_RING_MISSING",
                                       "WEIR_RING_MEMORY" };
    size_t index = (size_t)(WEIR_INCOMPLETE - result);
    const char *name = NULL;
    if (result <= WEIR_INCOMPLETE && index < sizeof own / sizeof own[0])
        name = own[index];
    else if (result < 0 && result > WEIR_INCOMPLETE)
        name = strerrorname_np((int)-result);
    if (name != NULL)
        snprintf(buffer, 64, "%zd (%s)", result, name);
    else
        snprintf(buffer, 64, "%zd", result);
    return buffer;
}

void expect_result_at(const char *file, int line, ssize_t actual, ssize_t expected)
{
    char have[64], want[64];
    if (actual != expected)
        fatal_at(file, line, "returned %s, not %s", result_name(actual, have),
                 result_name(expected, want));
}

/* `data` as a C string literal would have it, at most 60 characters. */
static const char *quoted(const char *data, size_t size, char buffer[300])
{
    char *to = buffer;
    for (size_t i = 0; i < size && i < 60; i++) {
        unsigned char c = (unsigned char)data[i];
        to += c >= 32 && c < 127 ? sprintf(to, "%c", c) : sprintf(to, "\\x%02x", c);
    }
    strcpy(to, size > 60 ? "..." : "");
    return buffer;
}

void expect_slice_at(const char *file, int line, ssize_t n, struct weir_slice slice,
                     const char *text)
{
    size_t size = strlen(text);
    char have[300], want[300], number[64];
    if (n < 0)
        fatal_at(file, line, "returned %s, not \"%s\"", result_name(n, number),
                 quoted(text, size, want));
    if ((size_t)n != slice.size)
        fatal_at(file, line, "returned %zd, but the slice holds %zu", n, slice.size);
    if (slice.size != size || (size > 0 && memcmp(slice.data, text, size) != 0))
        fatal_at(file, line, "\"%s\" (%zu bytes), not \"%s\" (%zu)",
                 quoted(slice.data, slice.size, have), slice.size, quoted(text, size, want), size);
}

void expect_pattern_at(const char *file, int line, const void *data, size_t offset, size_t size)
{
    const unsigned char *from = data;
    for (size_t i = 0; i < size; i++)
        if (from[i] != pattern_byte(offset + i))
            fatal_at(file, line, "byte %zu of %zu is 0x%02x, not 0x%02x (pattern at %zu)", i, size,
                     from[i], pattern_byte(offset + i), offset + i);
}

void expect_next_at(const char *file, int line, struct weir_reader *reader, const char *text)
{
    struct weir_slice slice = { NULL, 0, NULL };
    ssize_t n = weir_readexactly(reader, strlen(text), &slice);
    expect_slice_at(file, line, n, slice, text);
}
