/* What goes wrong around a program, and what must come of it: no fds left, tasks cancelled in the
 * middle, peers that never read, signals, too little memory, and a kernel without io_uring. Each
 * test is a process of its own, so that limits and filters die with it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

TestSuite(faults, .timeout = 20);

/* More than the kernel takes from a stream whose peer does not read. */
enum { MUCH = TINY ? 150 * 1000 : 1000 * 1000 };

/* ---- A server, and plain sockets as its clients -----------------------------------------------*/

static int handlers;

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    handlers++;
    while (weir_read(reader, 4096, &data) > 0) {
        weir_write_slice(writer, data);
        weir_drain(writer);
    }
    handlers--;
}

static struct weir_server *serve(weir_client_connected_fn *handler)
{
    struct weir_server *server;
    expect_result(weir_start_server(handler, NULL, "127.0.0.1", 0, NULL, &server), 0);
    return server;
}

static void end(struct weir_server *server)
{
    weir_server_close(server);
    expect_result(weir_server_wait_closed(server), 0);
}

static int raw_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, fd, 0));
    return fd;
}

static void raw_connect(int fd, const struct weir_server *server)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons(weir_server_port(server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    cr_assert(eq(int, connect(fd, (struct sockaddr *)&name, sizeof name), 0));
}

static struct pair client_of(const struct weir_server *server)
{
    struct pair client = { .peer = raw_socket() };
    raw_connect(client.peer, server);
    return client;
}

static void expect_echo(struct pair *client, const char *text)
{
    cr_assert(eq(sz, send(client->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text)));
    peer_expect(client, text);
}

static bool has_ended(const struct pair *client)
{
    char byte;
    ssize_t n = recv(client->peer, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static int64_t milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Urgent bytes ---------------------------------------------------------------------------- */

static int count_threads(void)
{
    int count = -2; /* "." and ".." */
    DIR *threads = opendir("/proc/self/task");
    cr_assert(not(eq(ptr, threads, NULL)));
    while (readdir(threads) != NULL)
        count++;
    closedir(threads);
    return count;
}

/* Each wakes a receive for nothing: after 128 times the kernel would have a worker of its own wait
 * for that connection, with one of our buffers in its hand. */
TaskTest(faults, urgent_bytes_take_neither_threads_nor_buffers)
{
    enum { URGENT = 4, TIMES = 200 };
    struct weir_server *server = serve(echo);
    struct pair urgent[URGENT];
    int before = count_threads();
    for (int i = 0; i < URGENT; i++)
        urgent[i] = client_of(server);
    for (int times = 0; times < TIMES; times++) {
        for (int i = 0; i < URGENT; i++)
            cr_assert(eq(sz, send(urgent[i].peer, "!", 1, MSG_OOB | MSG_NOSIGNAL), 1));
        settle();
    }
    cr_assert(eq(int, count_threads(), before));
    struct pair late = client_of(server);
    expect_echo(&late, "served");
    close(late.peer);
    for (int i = 0; i < URGENT; i++)
        close(urgent[i].peer);
    end(server);
    return 0;
}

/* ---- No fds (EMFILE) --------------------------------------------------------------------------*/

enum { FILES = 128 };

static int fillers[FILES], filler_count;

/* Before anything is armed: io_uring's accept goes by the limit of when it was submitted. */
static void files_limit(void)
{
    struct rlimit limit;
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &limit), 0));
    limit.rlim_cur = FILES;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limit), 0));
}

/* From now on no fd can be had, until files_free(). */
static void files_use_up(void)
{
    while (filler_count < FILES && (fillers[filler_count] = dup(0)) >= 0)
        filler_count++;
    cr_assert(eq(int, dup(0), -1));
}

static void files_free(void)
{
    while (filler_count > 0)
        close(fillers[--filler_count]);
}

/* A server with one client, when no fd is left and some more clients wait to be let in. */
enum { WAITING = 4 };

struct crowded {
    struct weir_server *server;
    struct pair inside, waiting[WAITING];
    uint64_t failed_before;
};

static void crowded_open(struct crowded *crowded)
{
    files_limit();
    crowded->server = serve(echo);
    crowded->inside = client_of(crowded->server);
    expect_echo(&crowded->inside, "in");
    for (int i = 0; i < WAITING; i++)
        crowded->waiting[i].peer = raw_socket();
    crowded->failed_before = metrics_now().accepts_failed;
    files_use_up();
    for (int i = 0; i < WAITING; i++)
        raw_connect(crowded->waiting[i].peer, crowded->server);
}

static void crowded_close(struct crowded *crowded)
{
    for (int i = 0; i < WAITING; i++)
        close(crowded->waiting[i].peer);
    close(crowded->inside.peer);
    end(crowded->server);
}

TaskTest(faults, emfile_serves_those_inside)
{
    struct crowded crowded;
    crowded_open(&crowded);
    for (int i = 0; i < 20; i++) {
        expect_echo(&crowded.inside, "still served");
        settle();
    }
    cr_assert(eq(int, handlers, 1), "somebody was let in without an fd");
    cr_assert(gt(u64, metrics_now().accepts_failed, crowded.failed_before));
    files_free();
    crowded_close(&crowded);
    return 0;
}

/* Rather than to wait for ever: the spared fd lets the first one in and shows it out. */
TaskTest(faults, emfile_tells_the_first_that_waits)
{
    struct crowded crowded;
    crowded_open(&crowded);
    for (int polls = 0; polls < 500 && !has_ended(&crowded.waiting[0]); polls++)
        expect_result(weir_sleep(WEIR_MILLISECOND), 0);
    cr_assert(has_ended(&crowded.waiting[0]));
    files_free();
    crowded_close(&crowded);
    return 0;
}

TaskTest(faults, emfile_recovers)
{
    struct crowded crowded;
    crowded_open(&crowded);
    expect_result(weir_sleep(300 * WEIR_MILLISECOND), 0);
    files_free();
    int64_t before = milliseconds(CLOCK_MONOTONIC);
    struct pair late = client_of(crowded.server);
    expect_echo(&late, "at last");
    cr_assert(lt(i64, milliseconds(CLOCK_MONOTONIC) - before, 2000));
    close(late.peer);
    crowded_close(&crowded);
    return 0;
}

/* Those who were not shown out are served, too, in the end. */
TaskTest(faults, emfile_forgets_nobody)
{
    struct crowded crowded;
    crowded_open(&crowded);
    settle();
    files_free();
    for (int i = 0; i < WAITING; i++) {
        struct pair *client = &crowded.waiting[i];
        char byte = 'x';
        if (!has_ended(client))
            send(client->peer, &byte, 1, MSG_NOSIGNAL);
        for (int polls = 0; polls < 5000; polls++) {
            if (recv(client->peer, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
                break;
            cr_assert(lt(int, polls, 4999), "client %d was forgotten", i);
            expect_result(weir_sleep(WEIR_MILLISECOND), 0);
        }
    }
    crowded_close(&crowded);
    return 0;
}

TaskTest(faults, emfile_does_not_spin)
{
    struct crowded crowded;
    crowded_open(&crowded);
    settle();
    int64_t before = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    expect_result(weir_sleep(WEIR_SECOND), 0);
    cr_assert(lt(i64, milliseconds(CLOCK_PROCESS_CPUTIME_ID) - before, 200));
    files_free();
    crowded_close(&crowded);
    return 0;
}

TaskTest(faults, emfile_and_close)
{
    struct crowded crowded;
    crowded_open(&crowded);
    settle();
    weir_server_close(crowded.server);
    weir_server_close_clients(crowded.server);
    expect_result(weir_server_wait_closed(crowded.server), 0);
    files_free();
    for (int i = 0; i < WAITING; i++) {
        cr_assert(has_ended(&crowded.waiting[i]), "client %d hears nothing", i);
        close(crowded.waiting[i].peer);
    }
    close(crowded.inside.peer);
    return 0;
}

TaskTest(faults, emfile_of_open_connection)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    files_limit();
    struct weir_server *server = serve(echo);
    uint16_t port = weir_server_port(server);
    files_use_up();
    expect_result(weir_open_connection("127.0.0.1", port, NULL, &reader, &writer), -EMFILE);
    files_free();
    expect_result(weir_open_connection("127.0.0.1", port, NULL, &reader, &writer), 0);
    weir_close(writer);
    expect_result(weir_wait_closed(writer), 0);
    end(server);
    return 0;
}

TaskTest(faults, emfile_of_start_server)
{
    struct weir_server *server = NULL;
    files_limit();
    files_use_up();
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", 0, NULL, &server), -EMFILE);
    cr_assert(eq(ptr, server, NULL));
    files_free();
    end(serve(echo));
    return 0;
}

static int do_nothing(void *unused)
{
    return 0;
}

Test(faults, emfile_of_run)
{
    files_limit();
    files_use_up();
    expect_result(weir_run(do_nothing, NULL, NULL), -EMFILE);
    files_free();
    run(do_nothing, NULL);
}

/* ---- Cancelled in the middle ------------------------------------------------------------------*/

struct victim {
    struct pair pair;
    ssize_t result; /* 1: still at it */
    char *data;
};

static void cancel_in(weir_task_fn *run_it, struct victim *victim)
{
    struct weir_group group = { 0 };
    victim->result = 1;
    expect_result(weir_group_start(&group, run_it, victim), 0);
    settle();
    cr_assert(eq(long, victim->result, 1), "it has not waited");
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
}

static int read_line(void *argument)
{
    struct victim *victim = argument;
    struct weir_slice line;
    victim->result = weir_readline(victim->pair.reader, &line);
    return 0;
}

TaskTest(faults, cancel_in_read_loses_nothing)
{
    struct victim victim;
    pair_open_tcp(&victim.pair, 0);
    feed(&victim.pair, "half a ");
    cancel_in(read_line, &victim);
    expect_result(victim.result, -ECANCELED);
    feed(&victim.pair, "line\n");
    expect_next(victim.pair.reader, "half a line\n");
    pair_close(&victim.pair);
    return 0;
}

static void victim_open(struct victim *victim)
{
    pair_open(&victim->pair, 0);
    pair_narrow(&victim->pair);
    victim->data = malloc(MUCH);
    pattern_fill(victim->data, 0, MUCH);
}

/* All that was queued arrives, in spite of the cancel, and then the end. */
static void victim_expect_all(struct victim *victim)
{
    memset(victim->data, 0, MUCH);
    cr_assert(eq(sz, peer_read_to_end(&victim->pair, victim->data, MUCH), MUCH));
    expect_pattern(victim->data, 0, MUCH);
    free(victim->data);
}

static int write_and_drain(void *argument)
{
    struct victim *victim = argument;
    expect_result(weir_write(victim->pair.writer, victim->data, MUCH), 0);
    victim->result = weir_drain(victim->pair.writer);
    return 0;
}

TaskTest(faults, cancel_in_drain_keeps_what_is_queued)
{
    struct victim victim;
    victim_open(&victim);
    cancel_in(write_and_drain, &victim);
    expect_result(victim.result, -ECANCELED);
    weir_close(victim.pair.writer);
    victim_expect_all(&victim);
    pair_close(&victim.pair);
    return 0;
}

static int write_all(void *argument)
{
    struct victim *victim = argument;
    char *data = malloc(MUCH); /* gone once it returns, as a caller's buffer may be */
    memcpy(data, victim->data, MUCH);
    victim->result = weir_write_all(victim->pair.writer, data, MUCH);
    memset(data, 0, MUCH);
    free(data);
    return 0;
}

TaskTest(faults, cancel_in_write_all_keeps_the_rest)
{
    struct victim victim;
    victim_open(&victim);
    cancel_in(write_all, &victim);
    expect_result(victim.result, -ECANCELED);
    weir_close(victim.pair.writer);
    victim_expect_all(&victim);
    pair_close(&victim.pair);
    return 0;
}

/* Until a part of what is queued has left: the turn in which the kernel has ended one link of the
 * chain, and not yet begun the next. */
static void let_some_leave(const struct victim *victim)
{
    static char unused[4096];
    size_t queued = weir_get_write_buffer_size(victim->pair.writer);
    cr_assert(gt(sz, queued, 0));
    while (weir_get_write_buffer_size(victim->pair.writer) == queued) {
        recv(victim->pair.peer, unused, sizeof unused, MSG_DONTWAIT);
        weir_yield();
    }
}

TaskTest(faults, cancel_between_two_links)
{
    struct victim victim;
    struct weir_group group = { 0 };
    victim_open(&victim);
    victim.result = 1;
    expect_result(weir_group_start(&group, write_all, &victim), 0);
    weir_yield();
    let_some_leave(&victim);
    weir_group_cancel(&group);
    settle();
    expect_result(victim.result, -ECANCELED);
    expect_result(weir_group_wait(&group), 0);
    weir_abort(victim.pair.writer);
    expect_result(weir_wait_closed(victim.pair.writer), 0);
    free(victim.data);
    close(victim.pair.peer);
    return 0;
}

static int wait_closed(void *argument)
{
    struct victim *victim = argument;
    victim->result = weir_wait_closed(victim->pair.writer);
    return 0;
}

/* The close is linked behind the last of them. */
TaskTest(faults, abort_between_two_links)
{
    struct victim victim;
    struct weir_group group = { 0 };
    victim_open(&victim);
    victim.result = 1;
    expect_result(weir_write(victim.pair.writer, victim.data, MUCH), 0);
    weir_close(victim.pair.writer);
    weir_yield();
    let_some_leave(&victim);
    weir_abort(victim.pair.writer);
    expect_result(weir_group_start(&group, wait_closed, &victim), 0);
    settle();
    expect_result(victim.result, 0);
    expect_result(weir_group_wait(&group), 0);
    free(victim.data);
    close(victim.pair.peer);
    return 0;
}

static int write_and_wait_closed(void *argument)
{
    struct victim *victim = argument;
    expect_result(weir_write(victim->pair.writer, victim->data, MUCH), 0);
    victim->result = weir_wait_closed(victim->pair.writer);
    return 0;
}

/* The stream closes behind the task, and its data still leaves. */
TaskTest(faults, cancel_in_wait_closed)
{
    struct victim victim;
    victim_open(&victim);
    cancel_in(write_and_wait_closed, &victim);
    expect_result(victim.result, -ECANCELED);
    victim_expect_all(&victim);
    close(victim.pair.peer);
    return 0;
}

static int forward(void *argument)
{
    struct victim *victim = argument;
    victim->result = (ssize_t)weir_forward(victim->pair.reader, victim->pair.writer);
    return 0;
}

TaskTest(faults, cancel_in_forward)
{
    struct victim victim;
    pair_open_tcp(&victim.pair, 0);
    feed(&victim.pair, "round");
    cancel_in(forward, &victim);
    expect_result(victim.result, -ECANCELED);
    peer_expect(&victim.pair, "round");
    feed(&victim.pair, "later");
    expect_next(victim.pair.reader, "later");
    pair_close(&victim.pair);
    return 0;
}

/* ---- Peers that never read --------------------------------------------------------------------*/

TaskTest(faults, peer_never_reads_drain_waits)
{
    struct victim victim;
    struct weir_timeout timeout;
    victim_open(&victim);
    expect_result(weir_write(victim.pair.writer, victim.data, MUCH), 0);
    weir_timeout_start(&timeout, 50 * WEIR_MILLISECOND);
    int rc = weir_drain(victim.pair.writer);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    cr_assert(gt(sz, weir_get_write_buffer_size(victim.pair.writer), 64 * 1024));
    weir_close(victim.pair.writer);
    victim_expect_all(&victim);
    pair_close(&victim.pair);
    return 0;
}

static void never_read(weir_task_fn *run_it, int error)
{
    struct victim victim;
    struct weir_group group = { 0 };
    victim_open(&victim);
    victim.result = 1;
    expect_result(weir_group_start(&group, run_it, &victim), 0);
    settle();
    cr_assert(eq(long, victim.result, 1), "it has not waited");
    weir_abort(victim.pair.writer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(victim.result, error);
    if (run_it != write_and_wait_closed)
        expect_result(weir_wait_closed(victim.pair.writer), 0);
    free(victim.data);
    close(victim.pair.peer);
}

TaskTest(faults, peer_never_reads_abort_ends_drain)
{
    never_read(write_and_drain, -ECONNABORTED);
    return 0;
}

TaskTest(faults, peer_never_reads_abort_ends_write_all)
{
    never_read(write_all, -ECONNABORTED);
    return 0;
}

TaskTest(faults, peer_never_reads_abort_ends_wait_closed)
{
    never_read(write_and_wait_closed, 0);
    return 0;
}

static int leave_a_stuck_stream(void *argument)
{
    struct victim *victim = argument;
    victim_open(victim);
    return weir_write(victim->pair.writer, victim->data, MUCH);
}

/* The fds are counted by the test itself: the peer's end stays open over the run. */
Test(faults, peer_never_reads_linger_ends_the_run)
{
    struct victim victim = { .data = NULL };
    struct weir_run_options options = { .linger = 200 * WEIR_MILLISECOND };
    int64_t before = milliseconds(CLOCK_MONOTONIC);
    expect_result(weir_run(leave_a_stuck_stream, &victim, &options), 0);
    int64_t took = milliseconds(CLOCK_MONOTONIC) - before;
    cr_assert(ge(i64, took, 190));
    cr_assert(lt(i64, took, 3000));
    cr_assert(eq(u64, metrics_now().streams_open, 0));
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    free(victim.data);
    close(victim.pair.peer);
}

/* No SIGPIPE, which would kill the test. */
TaskTest(faults, peer_is_gone_no_sigpipe)
{
    struct pair pair;
    pair_open(&pair, 0);
    close(pair.peer);
    pair.peer = -1;
    int rc = 0;
    for (int polls = 0; rc == 0 && polls < 5000; polls++) {
        rc = weir_write(pair.writer, "x", 1);
        if (rc == 0)
            rc = weir_drain(pair.writer);
        settle();
    }
    expect_result(rc, -EPIPE);
    pair_close_with(&pair, -EPIPE);
    return 0;
}

/* ---- Signals ----------------------------------------------------------------------------------*/

static volatile sig_atomic_t signals_caught;

static void count_signal(int unused)
{
    signals_caught++;
}

/* EINTR is nobody's error: every system call of the loop is interrupted, over and over. */
static void interrupt_every_millisecond(bool on)
{
    struct sigaction action = { .sa_handler = count_signal }; /* and no SA_RESTART */
    struct itimerval timer = { { 0, on ? 1000 : 0 }, { 0, on ? 1000 : 0 } };
    sigaction(SIGALRM, &action, NULL);
    cr_assert(eq(int, setitimer(ITIMER_REAL, &timer, NULL), 0));
}

static void talk(uint16_t port, size_t size)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice got;
    char *data = malloc(size);
    pattern_fill(data, 0, size);
    expect_result(weir_open_connection("127.0.0.1", port, NULL, &reader, &writer), 0);
    expect_result(weir_write(writer, data, size), 0);
    expect_result(weir_write_eof(writer), 0);
    expect_result(weir_readexactly(reader, size, &got), (ssize_t)size);
    expect_pattern(got.data, 0, size);
    expect_result(weir_read(reader, 1, &got), 0);
    weir_close(writer);
    expect_result(weir_wait_closed(writer), 0);
    free(data);
}

TaskTest(faults, signals_during_a_load)
{
    struct weir_server *server = serve(echo);
    interrupt_every_millisecond(true);
    for (int round = 0; round < 1000 && signals_caught < 100; round++)
        talk(weir_server_port(server), TINY ? 2000 : 200 * 1000);
    interrupt_every_millisecond(false);
    cr_assert(ge(int, signals_caught, 100));
    end(server);
    return 0;
}

TaskTest(faults, signals_during_a_sleep)
{
    interrupt_every_millisecond(true);
    int64_t before = milliseconds(CLOCK_MONOTONIC);
    expect_result(weir_sleep(100 * WEIR_MILLISECOND), 0);
    int64_t took = milliseconds(CLOCK_MONOTONIC) - before;
    interrupt_every_millisecond(false);
    cr_assert(ge(i64, took, 99));
    cr_assert(lt(i64, took, 1000));
    cr_assert(gt(int, signals_caught, 10));
    return 0;
}

static int sleep_blocking(void *unused)
{
    usleep(50 * 1000);
    return 7;
}

TaskTest(faults, signals_during_blocking_code)
{
    interrupt_every_millisecond(true);
    int rc = weir_to_thread(sleep_blocking, NULL);
    interrupt_every_millisecond(false);
    expect_result(rc, 7);
    return 0;
}

/* ---- Little memory ----------------------------------------------------------------------------*/

static void wait_for_eof(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    char first = 0;
    handlers++;
    if (weir_read_into(reader, &first, 1) == 1 && first == 'e')
        echo(reader, writer, NULL);
    else if (first != 0)
        weir_sleep(60 * WEIR_SECOND); /* holds all that it receives, unread */
    handlers--;
}

static int starve(void *unused)
{
    enum { HOLDERS = 20, HELD = TINY ? 300 : 16 * 1024 };
    struct pair holders[HOLDERS];
    char *data = malloc(HELD);
    memset(data, 'x', HELD);
    struct weir_server *server = serve(wait_for_eof);
    for (int i = 0; i < HOLDERS; i++) {
        holders[i] = client_of(server);
        cr_assert(eq(long, send(holders[i].peer, data, HELD, MSG_NOSIGNAL), HELD));
    }
    settle();
    struct pair client = client_of(server);
    cr_assert(eq(long, send(client.peer, "e", 1, MSG_NOSIGNAL), 1));
    for (int i = 0; i < 50; i++)
        expect_echo(&client, "not starved");
    close(client.peer);
    for (int i = 0; i < HOLDERS; i++)
        close(holders[i].peer);
    cr_assert(ne(int, weir_server_shutdown(server, 0), 0));
    free(data);
    return 0;
}

/* 20 clients have five times as much unread as there are receive buffers; another one talks. */
Test(faults, receive_buffers_used_up)
{
    struct weir_run_options options = { .receive_memory = 64 * 1024 };
    expect_result(run_with(&options, starve, NULL), 0);
}

static int visit(void *argument)
{
    talk(*(uint16_t *)argument, 5000);
    return 0;
}

static int crowd(void *unused)
{
    enum { VISITORS = 50 };
    struct weir_group group = { 0 };
    struct weir_server *server = serve(echo);
    uint16_t port = weir_server_port(server);
    for (int i = 0; i < VISITORS; i++)
        expect_result(weir_group_start(&group, visit, &port), 0);
    expect_result(weir_group_wait(&group), 0);
    end(server);
    return 0;
}

Test(faults, ring_of_two_entries)
{
    struct weir_run_options options = { .ring_entries = 2 };
    expect_result(run_with(&options, crowd, NULL), 0);
}

/* CAP_IPC_LOCK would make the limit void, so that root gives itself up first. */
Test(faults, no_locked_memory)
{
    struct rlimit none = { 0, 0 };
    cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &none), 0));
    if (geteuid() == 0)
        cr_assert(eq(int, setresuid(65534, 65534, 65534), 0));
    int rc = weir_run(crowd, NULL, NULL);
    cr_assert(rc == 0 || rc == WEIR_RING_MEMORY, "%s", weir_strerror(rc));
}

/* ---- No io_uring ------------------------------------------------------------------------------*/

/* From now on this system call fails so, in this process. With `flag`, only if that bit is set in
 * its first argument. */
static void refuse(int call, unsigned flag, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, flag != 0 ? 1 : 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof code[0], code };
    cr_assert(eq(int, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0));
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        cr_skip("no seccomp filter can be set: %s", strerror(errno));
}

static void expect_no_loop(int error, const char *remedy)
{
    expect_result(run_with(NULL, do_nothing, NULL), error);
    const char *words = weir_strerror(error);
    cr_assert(ne(ptr, strstr(words, remedy), NULL), "no \"%s\" in \"%s\"", remedy, words);
}

Test(faults, io_uring_blocked)
{
    refuse(SYS_io_uring_setup, 0, EPERM);
    expect_no_loop(WEIR_RING_BLOCKED, "seccomp");
}

Test(faults, io_uring_missing)
{
    refuse(SYS_io_uring_setup, 0, ENOSYS);
    expect_no_loop(WEIR_RING_MISSING, "6.1");
}

Test(faults, io_uring_without_memory)
{
    refuse(SYS_io_uring_setup, 0, ENOMEM);
    expect_no_loop(WEIR_RING_MEMORY, "RLIMIT_MEMLOCK");
}

Test(faults, io_uring_blocked_for_every_thread)
{
    struct weir_run_options options = { .threads = 3 };
    refuse(SYS_io_uring_setup, 0, EPERM);
    expect_result(run_with(&options, do_nothing, NULL), WEIR_RING_BLOCKED);
}

Test(faults, io_uring_register_blocked)
{
    refuse(SYS_io_uring_register, 0, EPERM);
    expect_no_loop(WEIR_RING_BLOCKED, "seccomp");
}

Test(faults, io_uring_is_asked_for_again)
{
    run(do_nothing, NULL);
    refuse(SYS_io_uring_setup, 0, EPERM);
    expect_result(run_with(NULL, do_nothing, NULL), WEIR_RING_BLOCKED);
}

/* ---- No threads -------------------------------------------------------------------------------*/

static int without_helpers(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_server *server = serve(echo);
    refuse(SYS_clone3, 0, ENOSYS); /* so that clone() is used, whose flags a filter can read */
    refuse(SYS_clone, CLONE_THREAD, EAGAIN);
    expect_result(weir_to_thread(do_nothing, NULL), -EAGAIN);
    expect_result(weir_open_connection("localhost", 9, NULL, &reader, &writer), -EAGAIN);
    talk(weir_server_port(server), 1000); /* an address needs no helper */
    end(server);
    return 0;
}

Test(faults, no_helper_thread)
{
    run(without_helpers, NULL);
}

Test(faults, no_loop_threads)
{
    struct weir_run_options options = { .threads = 4 };
    refuse(SYS_clone3, 0, ENOSYS);
    refuse(SYS_clone, CLONE_THREAD, EAGAIN);
    cr_assert(lt(int, run_with(&options, do_nothing, NULL), 0));
}
