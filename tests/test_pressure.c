/* Under load: slow readers, long linked queues, a ring with four slots, a pool that is far too
 * small, and streams that break in the middle. Everything arrives in order, memory is bounded,
 * nobody starves, nothing is left. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define MS WEIR_MILLISECOND

/* ---- Helpers ----------------------------------------------------------------------------------*/

static void start(struct weir_group *group, weir_task_fn *body, void *argument)
{
    expect_result(weir_group_start(group, body, argument), 0);
}

/* A raw peer with a thread of its own, blocking: it must not depend on the loop. */
struct peer_thread {
    pthread_t thread;
    int fd;
    size_t size;    /* to be sent, or received */
    size_t portion; /* bytes at a time */
    long pause;     /* ns after each */
    size_t done;    /* bytes that were */
    bool wrong;     /* what came was not the pattern */
};

static void peer_pause(const struct peer_thread *peer)
{
    if (peer->pause > 0)
        nanosleep(&(struct timespec){ .tv_nsec = peer->pause }, NULL);
}

static void *send_all(void *argument)
{
    struct peer_thread *peer = argument;
    char *data = malloc(peer->portion);
    while (peer->done < peer->size) {
        size_t size = peer->size - peer->done;
        if (size > peer->portion)
            size = peer->portion;
        pattern_fill(data, peer->done, size);
        ssize_t n = send(peer->fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        peer->done += (size_t)n;
        peer_pause(peer);
    }
    free(data);
    return NULL;
}

static void *receive_all(void *argument)
{
    struct peer_thread *peer = argument;
    char *data = malloc(peer->portion), *expected = malloc(peer->portion);
    while (peer->done < peer->size) {
        size_t size = peer->size - peer->done;
        ssize_t n = recv(peer->fd, data, size < peer->portion ? size : peer->portion, 0);
        if (n <= 0)
            break;
        pattern_fill(expected, peer->done, (size_t)n);
        peer->wrong |= memcmp(data, expected, (size_t)n) != 0;
        peer->done += (size_t)n;
        peer_pause(peer);
    }
    free(data);
    free(expected);
    return NULL;
}

static void peer_start(struct peer_thread *peer, void *(*body)(void *))
{
    cr_assert(eq(int, pthread_create(&peer->thread, NULL, body, peer), 0));
}

static int join_peer(void *argument)
{
    return -pthread_join(((struct peer_thread *)argument)->thread, NULL);
}

/* The loop goes on meanwhile. */
static void peer_join(struct peer_thread *peer)
{
    expect_result(weir_to_thread(join_peer, peer), 0);
    cr_assert(not(peer->wrong), "what arrived is not what was sent");
    cr_assert(eq(sz, peer->done, peer->size));
}

static void write_pattern(struct weir_writer *writer, size_t offset, size_t size)
{
    char *data = malloc(size);
    pattern_fill(data, offset, size);
    expect_result(weir_write(writer, data, size), 0);
    free(data);
}

/* Reads `size` bytes of the pattern in whatever pieces they come. */
static void read_pattern(struct weir_reader *reader, size_t size)
{
    for (size_t have = 0; have < size;) {
        struct weir_slice data;
        ssize_t n = weir_read(reader, size - have, &data);
        cr_assert(gt(long, (long)n, 0), "after %zu of %zu bytes", have, size);
        expect_pattern(data.data, have, (size_t)n);
        have += (size_t)n;
    }
}

/* ---- A slow reader ----------------------------------------------------------------------------*/

/* Thousands of pieces of all sizes, queued at once: one linked submission after the other. */
TaskTest(pressure, slow_reader_and_thousands_of_pieces)
{
    enum { PIECES = TINY ? 500 : 5000 };
    struct pair pair;
    pair_open(&pair, 0);
    struct weir_metrics before = metrics_now();
    size_t size = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t piece = i % 10 == 0 ? 3000 : i % 97 + 1;
        write_pattern(pair.writer, size, piece);
        size += piece;
    }
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), size));
    struct peer_thread peer = { .fd = pair.peer, .size = size, .portion = 4096, .pause = 20000 };
    peer_start(&peer, receive_all);
    expect_result(weir_drain(pair.writer), 0);
    peer_join(&peer);
    struct weir_metrics after = metrics_now();
    cr_assert(gt(u64, after.links - before.links, 0), "nothing was linked");
    cr_assert(eq(u64, after.bytes_written - before.bytes_written, size));
    cr_assert(lt(u64, after.submissions - before.submissions, TINY ? 200000 : 500));
    settle();
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    pair_close(&pair);
    return 0;
}

/* The same pieces received, not written by us: slices of many buffers, mixed with own bytes. */
TaskTest(pressure, mixed_slices_and_copies_to_a_slow_reader)
{
    enum { SIZE = TINY ? 20 * 1024 : 2 * 1024 * 1024 };
    struct pair from, to;
    pair_open(&from, 0);
    pair_open(&to, 0);
    pair_narrow(&to);
    struct peer_thread sender = { .fd = from.peer, .size = SIZE, .portion = 3001 };
    struct peer_thread receiver = { .fd = to.peer, .size = SIZE, .portion = 1777, .pause = 1000 };
    peer_start(&sender, send_all);
    peer_start(&receiver, receive_all);
    for (size_t have = 0, i = 0; have < SIZE; i++) {
        struct weir_slice data;
        ssize_t n = weir_read(from.reader, SIZE, &data);
        cr_assert(gt(long, (long)n, 0));
        if (i % 3 == 0)
            expect_result(weir_write(to.writer, data.data, data.size), 0);
        else if (i % 3 == 1)
            expect_result(weir_write_slice(to.writer, data), 0);
        else
            expect_result(weir_write_all(to.writer, data.data, data.size), 0);
        expect_result(weir_drain(to.writer), 0);
        have += (size_t)n;
    }
    peer_join(&sender);
    peer_join(&receiver);
    pair_close(&from);
    pair_close(&to);
    return 0;
}

TaskTest(pressure, write_all_to_a_slow_reader)
{
    enum { SIZE = TINY ? 256 * 1024 : 8 * 1024 * 1024 };
    char *data = malloc(SIZE);
    pattern_fill(data, 0, SIZE);
    struct pair pair;
    pair_open_tcp(&pair, 0);
    struct peer_thread peer = {
        .fd = pair.peer, .size = SIZE, .portion = 64 * 1024, .pause = 500000
    };
    peer_start(&peer, receive_all);
    expect_result(weir_write_all(pair.writer, data, SIZE), 0);
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    memset(data, 0, SIZE); /* it is ours again, and all of it has left */
    peer_join(&peer);
    free(data);
    pair_close(&pair);
    return 0;
}

/* Closing does not cut off the queue, be it as long as it may. */
TaskTest(pressure, flush_before_close)
{
    enum { SIZE = TINY ? 128 * 1024 : 4 * 1024 * 1024 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    write_pattern(pair.writer, 0, SIZE);
    weir_close(pair.writer);
    struct peer_thread peer = {
        .fd = pair.peer, .size = SIZE, .portion = 64 * 1024, .pause = 100000
    };
    peer_start(&peer, receive_all);
    expect_result(weir_wait_closed(pair.writer), 0);
    peer_join(&peer);
    peer_expect_eof(&pair);
    close(pair.peer);
    return 0;
}

/* ---- A sender that does not stop --------------------------------------------------------------*/

/* Two limits and what the kernel delivers before the receive has stopped: that is all the library
 * takes in, and none of it is lost. */
TaskTest(pressure, reader_pauses)
{
    enum {
        SIZE = TINY ? 200 * 1024 : 10 * 1024 * 1024,
        LIMIT = TINY ? 1024 : 64 * 1024,
        BURST = TINY ? 4 * 1024 : 1024 * 1024
    };
    struct pair pair;
    pair_open(&pair, LIMIT);
    struct weir_metrics before = metrics_now();
    struct peer_thread peer = { .fd = pair.peer, .size = SIZE, .portion = 256 * 1024 };
    peer_start(&peer, send_all);
    expect_result(weir_sleep(100 * MS), 0);
    struct weir_metrics after = metrics_now();
    cr_assert(gt(u64, after.bytes_read - before.bytes_read, 2 * LIMIT));
    cr_assert(le(u64, after.bytes_read - before.bytes_read, 2 * LIMIT + BURST));
    cr_assert(gt(u64, after.reads_paused - before.reads_paused, 0));
    cr_assert(not(weir_is_reading(pair.reader)));
    expect_result(weir_sleep(50 * MS), 0);
    cr_assert(eq(u64, metrics_now().bytes_read, after.bytes_read), "it still receives");
    read_pattern(pair.reader, SIZE);
    peer_join(&peer);
    pair_close(&pair);
    return 0;
}

/* uvloop's epollhup, and the reader's worst case: data far above the limits, then the end. */
TaskTest(pressure, paused_reader_still_gets_data_before_the_end)
{
    enum { SIZE = TINY ? 100 * 1024 : 300 * 1024, LIMIT = 1024 };
    struct pair pair;
    pair_open(&pair, LIMIT);
    struct peer_thread peer = { .fd = pair.peer, .size = SIZE, .portion = SIZE };
    peer_start(&peer, send_all);
    expect_result(weir_sleep(20 * MS), 0);
    for (size_t have = 0; have < SIZE; have += LIMIT) {
        struct weir_slice data;
        expect_result(weir_readexactly(pair.reader, LIMIT, &data), LIMIT);
        expect_pattern(data.data, have, LIMIT);
    }
    peer_join(&peer);
    close(pair.peer); /* at once, not half */
    pair.peer = -1;
    struct weir_slice data;
    expect_result(weir_read(pair.reader, 1, &data), 0);
    pair_close(&pair);
    return 0;
}

/* ---- A ring with four slots -------------------------------------------------------------------
 * 1,000 streams write to 1,000 others of the same loop, all at once. */

enum {
    CONNECTIONS = 1000,
    SHARE = TINY ? 512 : 256 * 1024, /* bytes each sends */
    PIECE = TINY ? 32 : 4000,
    HIGH = TINY ? 64 : 64 * 1024
};

struct crowd {
    struct member {
        struct crowd *crowd;
        struct weir_reader *reader; /* one end's */
        struct weir_writer *writer; /* the other end's */
        struct weir_writer *ends[2];
        size_t received;
    } members[CONNECTIONS];
    int64_t segments_peak;
    size_t least_at_first_finish; /* what the slowest had received as the first had all */
    int finished;
};

static int crowd_write(void *argument)
{
    struct member *member = argument;
    char piece[PIECE];
    for (size_t sent = 0; sent < SHARE; sent += PIECE) {
        size_t size = SHARE - sent < PIECE ? SHARE - sent : PIECE;
        pattern_fill(piece, sent, size);
        expect_result(weir_write(member->writer, piece, size), 0);
        expect_result(weir_drain(member->writer), 0);
    }
    return 0;
}

static void note_first_finish(struct crowd *crowd)
{
    crowd->least_at_first_finish = SHARE;
    for (int i = 0; i < CONNECTIONS; i++)
        if (crowd->members[i].received < crowd->least_at_first_finish)
            crowd->least_at_first_finish = crowd->members[i].received;
}

static int crowd_read(void *argument)
{
    struct member *member = argument;
    while (member->received < SHARE) {
        struct weir_slice data;
        ssize_t n = weir_read(member->reader, SHARE, &data);
        cr_assert(gt(long, (long)n, 0));
        expect_pattern(data.data, member->received, (size_t)n);
        member->received += (size_t)n;
        int64_t segments = (int64_t)metrics_now().segments_open;
        if (segments > member->crowd->segments_peak)
            member->crowd->segments_peak = segments;
    }
    if (member->crowd->finished++ == 0)
        note_first_finish(member->crowd);
    return 0;
}

static int run_crowd(void *argument)
{
    struct crowd *crowd = argument;
    struct weir_group group = { 0 };
    for (int i = 0; i < CONNECTIONS; i++) {
        struct member *member = &crowd->members[i];
        struct weir_reader *unused;
        int fds[2];
        member->crowd = crowd;
        cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
        expect_result(weir_open_socket(fds[0], NULL, &unused, &member->writer), 0);
        expect_result(weir_open_socket(fds[1], NULL, &member->reader, &member->ends[1]), 0);
        member->ends[0] = member->writer;
        expect_result(weir_set_write_buffer_limits(member->writer, HIGH, WEIR_DEFAULT), 0);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        start(&group, crowd_read, &crowd->members[i]);
        start(&group, crowd_write, &crowd->members[i]);
    }
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        expect_result(weir_wait_closed(crowd->members[i].ends[0]), 0);
        expect_result(weir_wait_closed(crowd->members[i].ends[1]), 0);
    }
    return 0;
}

static void raise_fd_limit(void)
{
    struct rlimit limit;
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &limit), 0));
    limit.rlim_cur = limit.rlim_max;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limit), 0));
    cr_assert(gt(u64, (uint64_t)limit.rlim_cur, 2 * CONNECTIONS + 100));
}

static void crowd_test(unsigned ring_entries)
{
    static struct crowd crowd;
    raise_fd_limit();
    struct weir_metrics before = metrics_now();
    struct weir_run_options options = { .ring_entries = ring_entries };
    expect_result(run_with(&options, run_crowd, &crowd), 0);
    struct weir_metrics after = metrics_now();
    cr_assert(eq(int, crowd.finished, CONNECTIONS));
    cr_assert(eq(u64, after.bytes_read - before.bytes_read, (uint64_t)CONNECTIONS * SHARE));
    cr_assert(gt(u64, after.drains_waited - before.drains_waited, 0));
    cr_assert(gt(u64, after.sq_pressure - before.sq_pressure, 0));
    /* A writer may hold its high mark and one piece, in segments of about that many bytes. */
    int64_t segment = TINY ? 16 : 4000, pool = TINY ? 100 : 1024;
    int64_t bound = CONNECTIONS * ((HIGH + PIECE) / segment + 2) + pool;
    cr_assert(le(i64, crowd.segments_peak, bound));
    /* As the first has all, the slowest has a good part. (Tiny: 16 sends each, so it is coarse.) */
    cr_assert(ge(sz, crowd.least_at_first_finish, SHARE / (TINY ? 8 : 4)));
}

Test(pressure, ring_of_four_with_a_thousand_streams, .timeout = 60)
{
    crowd_test(4);
}

Test(pressure, ring_of_sixteen_with_a_thousand_streams, .timeout = 60)
{
    crowd_test(16);
}

/* Closing a thousand streams at once needs slots, too: none may be lost on the way. */
static int close_crowd(void *argument)
{
    struct crowd *crowd = argument;
    int peers[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        struct member *member = &crowd->members[i];
        int fds[2];
        cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
        peers[i] = fds[1];
        expect_result(weir_open_socket(fds[0], NULL, &member->reader, &member->writer), 0);
        expect_result(weir_write(member->writer, "last words", 10), 0);
        if (i % 3 == 1)
            weir_close(member->writer);
        if (i % 3 == 2)
            weir_abort(member->writer);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        expect_result(weir_wait_closed(crowd->members[i].writer), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        char got[20];
        ssize_t n = recv(peers[i], got, sizeof got, MSG_WAITALL);
        cr_assert(eq(long, (long)n, i % 3 == 2 ? 0 : 10), "stream %d", i);
        close(peers[i]);
    }
    return 0;
}

Test(pressure, ring_of_four_closes_a_thousand_streams, .timeout = 20)
{
    static struct crowd crowd;
    raise_fd_limit();
    struct weir_run_options options = { .ring_entries = 4, .stack_size = 256 * 1024 };
    expect_result(run_with(&options, close_crowd, &crowd), 0);
}

/* ---- A pool that is far too small -------------------------------------------------------------
 * 200 senders at full speed, consumers that keep what they got while they sleep. */

enum { SENDERS = 200, HOSE = TINY ? 1024 : 64 * 1024 };

struct hoses {
    struct hose {
        struct hoses *hoses;
        struct pair pair;
        size_t received;
    } all[SENDERS];
    size_t least_at_first_finish;
    int finished;
};

/* Writes to all of them in turn, never blocking at one. */
static void *feed_all(void *argument)
{
    struct hoses *hoses = argument;
    static char data[HOSE];
    static size_t sent[SENDERS];
    pattern_fill(data, 0, HOSE);
    for (int complete = 0; complete < SENDERS;) {
        complete = 0;
        for (int i = 0; i < SENDERS; i++) {
            size_t left = HOSE - sent[i];
            ssize_t n = left == 0 ? 0
                                  : send(hoses->all[i].pair.peer, data + sent[i], left,
                                         MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                return "send failed";
            sent[i] += n > 0 ? (size_t)n : 0;
            complete += sent[i] == HOSE;
        }
    }
    return NULL;
}

static void note_first_hose(struct hoses *hoses)
{
    hoses->least_at_first_finish = HOSE;
    for (int i = 0; i < SENDERS; i++)
        if (hoses->all[i].received < hoses->least_at_first_finish)
            hoses->least_at_first_finish = hoses->all[i].received;
}

static int consume_slowly(void *argument)
{
    struct hose *hose = argument;
    while (hose->received < HOSE) {
        struct weir_slice data;
        ssize_t n = weir_read(hose->pair.reader, HOSE / 8, &data);
        cr_assert(gt(long, (long)n, 0));
        expect_result(weir_sleep(MS), 0); /* lent all the while */
        expect_pattern(data.data, hose->received, (size_t)n);
        hose->received += (size_t)n;
    }
    if (hose->hoses->finished++ == 0)
        note_first_hose(hose->hoses);
    return 0;
}

static int run_hoses(void *argument)
{
    struct hoses *hoses = argument;
    struct weir_group group = { 0 };
    for (int i = 0; i < SENDERS; i++) {
        hoses->all[i].hoses = hoses;
        pair_open(&hoses->all[i].pair, 0);
        start(&group, consume_slowly, &hoses->all[i]);
    }
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, feed_all, hoses), 0));
    expect_result(weir_group_wait(&group), 0);
    void *complaint;
    pthread_join(thread, &complaint);
    cr_assert(eq(ptr, complaint, NULL));
    for (int i = 0; i < SENDERS; i++)
        pair_close(&hoses->all[i].pair);
    return 0;
}

Test(pressure, small_pool_with_200_senders, .timeout = 60)
{
    static struct hoses hoses;
    struct weir_run_options options = { .receive_memory = TINY ? 0 : 64 * 1024 };
    struct weir_metrics before = metrics_now();
    expect_result(run_with(&options, run_hoses, &hoses), 0);
    struct weir_metrics after = metrics_now();
    cr_assert(eq(int, hoses.finished, SENDERS));
    cr_assert(eq(u64, after.bytes_read - before.bytes_read, (uint64_t)SENDERS * HOSE));
    cr_assert(gt(u64, after.buffers_missed - before.buffers_missed, 0));
    /* Nobody starved: as the first was through, everyone had received something. */
    cr_assert(gt(sz, hoses.least_at_first_finish, 0));
}

/* ---- Broken in the middle ---------------------------------------------------------------------*/

enum { LONG_QUEUE = TINY ? 400 * 1024 : 4 * 1024 * 1024 };

/* A queue of many links, of which the peer has read a part. */
static void open_half_sent(struct pair *pair, bool tcp)
{
    if (tcp) { /* narrower still, and TCP takes seconds over it */
        int size = 32 * 1024;
        pair_open_tcp(pair, 0);
        setsockopt(weir_fileno(pair->writer), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(pair->peer, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    } else {
        pair_open(pair, 0);
        pair_narrow(pair);
    }
    for (size_t at = 0; at < LONG_QUEUE; at += 1024)
        write_pattern(pair->writer, at, 1024);
    char *part = malloc(LONG_QUEUE / 8);
    peer_read(pair, part, LONG_QUEUE / 8);
    expect_pattern(part, 0, LONG_QUEUE / 8);
    free(part);
    cr_assert(gt(sz, weir_get_write_buffer_size(pair->writer), LONG_QUEUE / 8));
}

struct drainer {
    struct weir_writer *writer;
    int result;
};

static int drain_task(void *argument)
{
    struct drainer *drainer = argument;
    drainer->result = weir_drain(drainer->writer);
    return 0;
}

TaskTest(pressure, reset_in_the_middle_of_a_long_queue)
{
    struct pair pair;
    open_half_sent(&pair, true);
    struct drainer drainer = { pair.writer, 0 };
    struct weir_group group = { 0 };
    start(&group, drain_task, &drainer);
    settle();
    feed_reset(&pair);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(drainer.result == -ECONNRESET || drainer.result == -EPIPE, "%d", drainer.result);
    settle();
    cr_assert(eq(sz, weir_get_write_buffer_size(pair.writer), 0));
    cr_assert(eq(u64, metrics_now().segments_open, 0), "the queue was not given back");
    pair_close_with(&pair, drainer.result);
    return 0;
}

TaskTest(pressure, reset_while_closing_with_a_long_queue)
{
    struct pair pair;
    open_half_sent(&pair, true);
    weir_close(pair.writer);
    settle();
    feed_reset(&pair);
    int rc = weir_wait_closed(pair.writer);
    cr_assert(rc == -ECONNRESET || rc == -EPIPE, "%d", rc);
    return 0;
}

/* The Unix way: the peer closes with our data unread. */
TaskTest(pressure, peer_closes_in_the_middle_of_a_long_queue)
{
    struct pair pair;
    open_half_sent(&pair, false);
    close(pair.peer);
    pair.peer = -1;
    int rc = weir_drain(pair.writer);
    cr_assert(rc == -ECONNRESET || rc == -EPIPE, "%d", rc);
    pair_close_with(&pair, rc);
    return 0;
}

TaskTest(pressure, abort_in_the_middle_of_a_long_queue)
{
    struct pair pair;
    open_half_sent(&pair, false);
    struct drainer drainer = { pair.writer, 0 };
    struct weir_group group = { 0 };
    start(&group, drain_task, &drainer);
    settle();
    weir_abort(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(drainer.result, -ECONNABORTED);
    char *rest = malloc(LONG_QUEUE);
    size_t size = peer_read_to_end(&pair, rest, LONG_QUEUE);
    cr_assert(lt(sz, size, LONG_QUEUE / 2), "the queue was sent nevertheless");
    expect_pattern(rest, LONG_QUEUE / 8, size); /* what came is a prefix */
    free(rest);
    pair_close(&pair);
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    return 0;
}

TaskTest(pressure, abort_while_closing_with_a_long_queue)
{
    struct pair pair;
    open_half_sent(&pair, true);
    weir_close(pair.writer);
    settle();
    weir_abort(pair.writer);
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 2 * WEIR_SECOND);
    expect_result(weir_timeout_stop(&timeout, weir_wait_closed(pair.writer)), 0);
    close(pair.peer);
    return 0;
}

/* All of it again and again, in every order, so that what races gets its chance. */
TaskTest(pressure, streams_broken_at_any_moment)
{
    enum { ROUNDS = 200 };
    for (int i = 0; i < ROUNDS; i++) {
        struct pair pair;
        pair_open_tcp(&pair, 0);
        write_pattern(pair.writer, 0, (size_t)(i % 7) * 30000);
        for (int turn = 0; turn < i % 5; turn++)
            expect_result(weir_yield(), 0);
        if (i % 2)
            weir_close(pair.writer);
        if (i % 3 == 0) {
            shutdown(pair.peer, SHUT_RDWR);
            close(pair.peer);
            pair.peer = -1;
        } else if (i % 3 == 1) {
            weir_abort(pair.writer);
        }
        for (int turn = 0; turn < i % 4; turn++)
            expect_result(weir_yield(), 0);
        weir_abort(pair.writer);
        int rc = weir_wait_closed(pair.writer);
        cr_assert(rc == 0 || rc == -ECONNRESET || rc == -EPIPE, "round %d: %d", i, rc);
        if (pair.peer >= 0)
            close(pair.peer);
    }
    cr_assert(eq(u64, metrics_now().streams_open, 0));
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    return 0;
}

/* ---- Buffers of two sizes ---------------------------------------------------------------------
 * A stream that fills its buffers is given large ones, and keeps them as long as it does. */

TaskTest(pressure, bulk_is_received_in_large_buffers)
{
    enum { SMALL = TINY ? 16 : 4096, TOTAL = TINY ? 16 * 1024 : 16 * 1024 * 1024 };
    struct pair pair;
    struct peer_thread peer = { .size = TOTAL, .portion = TINY ? 1024 : 256 * 1024 };
    pair_open_tcp(&pair, 0);
    peer.fd = pair.peer;
    struct weir_metrics before = metrics_now();
    peer_start(&peer, send_all);
    for (size_t received = 0; received < TOTAL;) {
        struct weir_slice data;
        ssize_t n = weir_read(pair.reader, TOTAL, &data);
        cr_assert(gt(long, (long)n, 0));
        expect_pattern(data.data, received, (size_t)n);
        received += (size_t)n;
    }
    expect_result(weir_to_thread(join_peer, &peer), 0);
    uint64_t buffers = metrics_now().buffers_received - before.buffers_received;
    cr_assert(lt(u64, buffers, TOTAL / SMALL * 3 / 4), "%lu buffers", (unsigned long)buffers);
    pair_close(&pair);
    return 0;
}

/* ---- More completions than the ring holds -------------------------------------------------------
 * A ring of two slots has eight completions; a hundred streams receive at the same time. The kernel
 * keeps those that do not fit, and ends the multishot receives that met the full queue. */

enum { CROWDED = 100 };

static int overflow(void *unused)
{
    (void)unused;
    static struct pair pairs[CROWDED];
    for (int i = 0; i < CROWDED; i++)
        pair_open(&pairs[i], 0);
    expect_result(weir_sleep(20 * MS), 0); /* until all are armed, two a turn */
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < CROWDED; i++)
            cr_assert(eq(long, (long)send(pairs[i].peer, "news", 4, MSG_DONTWAIT), 4));
        for (int i = 0; i < CROWDED; i++) {
            struct weir_slice data;
            expect_slice(weir_readexactly(pairs[i].reader, 4, &data), data, "news");
        }
    }
    for (int i = 0; i < CROWDED; i++)
        pair_close(&pairs[i]);
    return 0;
}

Test(pressure, completion_queue_overflows, .timeout = 20)
{
    struct weir_run_options options = { .ring_entries = 2 };
    struct weir_metrics before = metrics_now();
    expect_result(run_with(&options, overflow, NULL), 0);
    cr_assert(gt(u64, metrics_now().cq_overflows - before.cq_overflows, 0));
}
