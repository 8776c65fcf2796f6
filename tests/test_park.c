/* weir_park(): a stream without a task, and the handler that is called when there is news. A
 * handler owns its stream, so most tests end with its return, and the peer's fd is closed by
 * hand. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tls_peer.h"

TestSuite(park, .timeout = 30);

#define MS WEIR_MILLISECOND

/* ---- What a handler is told -------------------------------------------------------------------*/

struct guest {
    int calls, ended; /* of the handler, and how many have gone to their end */
    struct weir_reader *reader;
    struct weir_writer *writer; /* of the last call */
    size_t wanted;              /* bytes to be read; 0: one */
    ssize_t result;
    char text[64];
    struct weir_event go; /* what `hold` waits for before it returns */
};

/* Reads what is wanted. */
static void note(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    struct weir_slice data = { .data = "" };
    guest->calls++;
    guest->reader = reader;
    guest->writer = writer;
    guest->result = weir_readexactly(reader, guest->wanted > 0 ? guest->wanted : 1, &data);
    cr_assert(lt(sz, data.size, sizeof guest->text));
    memcpy(guest->text, data.data, data.size);
    guest->text[data.size] = '\0';
}

/* Reads what is wanted, and ends the stream. */
static void hear(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    note(reader, writer, guest);
    guest->ended++;
}

/* The same, and keeps the stream until told. */
static void hold(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    note(reader, writer, guest);
    expect_result(weir_event_wait(&guest->go), 0);
    guest->ended++;
}

/* The same, and parks again until it is told the end. */
static void hear_all(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    note(reader, writer, guest);
    if (guest->result > 0)
        expect_result(weir_park(writer, hear_all, guest), 0);
    else
        guest->ended++;
}

static void park(const struct pair *pair, weir_client_connected_fn *handler, struct guest *guest)
{
    expect_result(weir_park(pair->writer, handler, guest), 0);
}

/* Waits until a number that another task changes is this one. */
#define until(number, wanted)                                                                      \
    do {                                                                                           \
        int polls_ = 0;                                                                            \
        while ((number) != (wanted) && polls_++ < 10000)                                           \
            expect_result(weir_sleep(MS), 0);                                                      \
        cr_assert(eq(int, (int)(number), (int)(wanted)));                                          \
    } while (0)

/* The handler was called once, with that result and text, and has ended. */
#define expect_heard(guest, wanted_result, wanted_text)                                            \
    do {                                                                                           \
        until((guest)->ended, 1);                                                                  \
        cr_assert(eq(int, (guest)->calls, 1), "the handler was not called once");                  \
        expect_result((guest)->result, wanted_result);                                             \
        cr_assert(eq(str, (guest)->text, (char *)(wanted_text)));                                  \
        cr_assert(eq(u64, metrics_now().streams_parked, 0));                                       \
    } while (0)

/* The stream has gone with its handler. */
static void expect_gone(struct pair *pair)
{
    until(metrics_now().streams_open, 0);
    close(pair->peer);
}

static void expect_parked(const struct guest *guest, unsigned count)
{
    settle();
    cr_assert(eq(int, guest->calls, 0), "it was resumed");
    cr_assert(eq(u64, metrics_now().streams_parked, count));
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- What resumes -----------------------------------------------------------------------------*/

TaskTest(park, resumes_on_data)
{
    struct guest guest = { .wanted = 5 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_parked(&guest, 1);
    feed(&pair, "hello");
    expect_heard(&guest, 5, "hello");
    cr_assert(eq(ptr, guest.reader, pair.reader));
    cr_assert(eq(ptr, guest.writer, pair.writer));
    peer_expect_eof(&pair);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, at_once_when_data_is_there)
{
    struct guest guest = { .wanted = 5 };
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "hello");
    park(&pair, hear, &guest);
    cr_assert(eq(u64, metrics_now().streams_parked, 0));
    cr_assert(eq(int, guest.calls, 0), "it runs in the caller's task");
    expect_result(weir_yield(), 0);
    cr_assert(eq(int, guest.calls, 1), "it does not run in the next turn");
    expect_heard(&guest, 5, "hello");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, at_once_when_some_is_left_unread)
{
    struct guest guest = { .wanted = 4 };
    struct weir_slice data;
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "onetwo2");
    expect_result(weir_readexactly(pair.reader, 3, &data), 3);
    park(&pair, hear, &guest);
    expect_heard(&guest, 4, "two2");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, resumes_at_eof)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_parked(&guest, 1);
    feed_eof(&pair);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, at_once_when_eof_is_there)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    feed_eof(&pair);
    park(&pair, hear, &guest);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, resumes_on_reset)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    park(&pair, hear, &guest);
    expect_parked(&guest, 1);
    feed_reset(&pair);
    expect_heard(&guest, -ECONNRESET, "");
    until(metrics_now().streams_open, 0);
    return 0;
}

TaskTest(park, at_once_when_lost)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    feed_reset(&pair);
    until(weir_exception(pair.reader), -ECONNRESET);
    park(&pair, hear, &guest);
    expect_heard(&guest, -ECONNRESET, "");
    until(metrics_now().streams_open, 0);
    return 0;
}

TaskTest(park, data_before_a_reset_is_told_first)
{
    struct guest guest = { .wanted = 2 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    feed(&pair, "hi");
    feed_reset(&pair);
    park(&pair, hear_all, &guest);
    until(guest.ended, 1);
    cr_assert(eq(int, guest.calls, 2));
    expect_result(guest.result, -ECONNRESET);
    until(metrics_now().streams_open, 0);
    return 0;
}

TaskTest(park, feed_eof_resumes)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    weir_feed_eof(pair.reader);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

/* Three pieces and the end in one turn, and more while the handler runs: one call. */
TaskTest(park, once_whatever_comes)
{
    struct guest guest = { .wanted = 6 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hold, &guest);
    for (const char *text = "abcd"; *text != '\0'; text++)
        cr_assert(eq(int, (int)send(pair.peer, text, 1, 0), 1));
    until(guest.calls, 1);
    feed(&pair, "ef");
    until(guest.result, 6);
    feed(&pair, "unread");
    feed_eof(&pair);
    weir_event_set(&guest.go);
    expect_heard(&guest, 6, "abcdef");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, data_and_end_in_one_turn)
{
    struct guest guest = { .wanted = 2 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    cr_assert(eq(int, (int)send(pair.peer, "hi", 2, 0), 2));
    cr_assert(eq(int, shutdown(pair.peer, SHUT_WR), 0));
    expect_heard(&guest, 2, "hi");
    expect_gone(&pair);
    return 0;
}

/* ---- The handler and its argument -------------------------------------------------------------*/

struct turns {
    char order[16];
    int count;
};

static void second(struct weir_reader *reader, struct weir_writer *writer, void *argument);

static void first(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct turns *turns = argument;
    struct weir_slice data;
    turns->order[turns->count++] = 'a';
    if (weir_readexactly(reader, 1, &data) == 1)
        expect_result(weir_park(writer, second, turns + 1), 0);
}

static void second(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct turns *turns = argument;
    struct weir_slice data;
    turns->order[turns->count++] = 'b';
    if (weir_readexactly(reader, 1, &data) == 1)
        expect_result(weir_park(writer, first, turns - 1), 0);
}

TaskTest(park, handlers_and_arguments_take_turns)
{
    struct turns turns[2] = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, first, &turns[0]), 0);
    feed(&pair, "1");
    until(turns[0].count, 1);
    feed(&pair, "2");
    until(turns[1].count, 1);
    feed(&pair, "34"); /* both are there when the next parks */
    until(turns[1].count, 2);
    feed_eof(&pair);
    until(turns[0].count, 3);
    cr_assert(eq(str, turns[0].order, "aaa"));
    cr_assert(eq(str, turns[1].order, "bb"));
    expect_gone(&pair);
    return 0;
}

static void own_argument(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    int **told = argument;
    **told = 1;
    free(told);
}

TaskTest(park, handler_may_free_its_argument)
{
    int told = 0;
    int **argument = malloc(sizeof *argument);
    struct pair pair;
    *argument = &told;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, own_argument, argument), 0);
    feed_eof(&pair);
    until(told, 1);
    expect_gone(&pair);
    return 0;
}

static void count_without_argument(struct weir_reader *reader, struct weir_writer *writer,
                                   void *argument)
{
    cr_assert(eq(ptr, argument, NULL));
}

TaskTest(park, null_argument)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, count_without_argument, NULL), 0);
    feed(&pair, "x");
    expect_gone(&pair);
    return 0;
}

/* ---- What a parked stream costs, and does -----------------------------------------------------*/

TaskTest(park, neither_task_nor_switch)
{
    struct guest guests[10] = { 0 };
    struct pair pairs[10];
    for (int i = 0; i < 10; i++) {
        pair_open(&pairs[i], 0);
        park(&pairs[i], hear, &guests[i]);
    }
    struct weir_metrics before = metrics_now();
    settle();
    struct weir_metrics after = metrics_now();
    cr_assert(eq(u64, after.streams_parked, 10));
    cr_assert(eq(u64, after.streams_open, 10));
    cr_assert(eq(u64, after.tasks_open, 1));
    cr_assert(eq(u64, after.tasks_started, before.tasks_started));
    for (int i = 0; i < 10; i++)
        close(pairs[i].peer);
    until(metrics_now().streams_open, 0);
    for (int i = 0; i < 10; i++)
        expect_heard(&guests[i], WEIR_INCOMPLETE, "");
    cr_assert(eq(u64, metrics_now().tasks_open, 1));
    return 0;
}

TaskTest(park, what_was_written_before_leaves)
{
    enum { SIZE = TINY ? 20 * 1000 : 500 * 1000 };
    struct guest guest = { .wanted = 2 };
    char *data = malloc(SIZE);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(pair.writer, data, SIZE), 0);
    park(&pair, hear, &guest);
    memset(data, 0, SIZE);
    peer_read(&pair, data, SIZE);
    expect_pattern(data, 0, SIZE);
    expect_parked(&guest, 1);
    free(data);
    feed(&pair, "ok");
    expect_heard(&guest, 2, "ok");
    expect_gone(&pair);
    return 0;
}

/* The rest of an interrupted weir_write_all() has been copied: nothing of the stack is in use. */
TaskTest(park, what_was_lent_to_be_written_leaves)
{
    enum { SIZE = TINY ? 20 * 1000 : 500 * 1000 };
    struct guest guest = { 0 };
    struct weir_timeout timeout;
    char *data = malloc(SIZE);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    pattern_fill(data, 0, SIZE);
    weir_timeout_start(&timeout, 5 * MS);
    expect_result(weir_timeout_stop(&timeout, weir_write_all(pair.writer, data, SIZE)), -ETIMEDOUT);
    memset(data, 0, SIZE);
    park(&pair, hear, &guest);
    peer_read(&pair, data, SIZE);
    expect_pattern(data, 0, SIZE);
    free(data);
    feed_eof(&pair);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, slice_of_the_last_read_is_queued_and_kept)
{
    struct guest guest = { 0 };
    struct weir_slice line;
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "kept\n");
    expect_slice(weir_readline(pair.reader, &line), line, "kept\n");
    expect_result(weir_write_slice(pair.writer, line), 0);
    struct weir_slice kept = weir_slice_keep(line);
    park(&pair, hear, &guest);
    peer_expect(&pair, "kept\n");
    feed(&pair, "x");
    expect_heard(&guest, 1, "x");
    expect_gone(&pair);
    expect_slice((ssize_t)kept.size, kept, "kept\n");
    weir_slice_drop(kept);
    return 0;
}

TaskTest(park, lends_no_buffer)
{
    struct guest guest = { 0 };
    struct weir_slice line;
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "lent\n");
    expect_slice(weir_readline(pair.reader, &line), line, "lent\n");
    park(&pair, hear, &guest);
    cr_assert(eq(u64, metrics_now().segments_open, 0));
    feed_eof(&pair);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

/* While nobody reads, no more is received than the limit allows. */
TaskTest(park, much_data_at_once)
{
    enum { SIZE = TINY ? 2000 : 400 * 1000 };
    struct guest guest = { 0 };
    char *data = malloc(SIZE), *got = malloc(SIZE);
    struct pair pair;
    pair_open(&pair, 16);
    park(&pair, hold, &guest);
    pattern_fill(data, 0, SIZE);
    size_t sent = 0;
    for (int idle = 0; idle < 10;) {
        ssize_t n = sent < SIZE ? send(pair.peer, data + sent, SIZE - sent, MSG_DONTWAIT) : 0;
        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        settle();
    }
    cr_assert(eq(int, guest.calls, 1));
    cr_assert(ge(u64, metrics_now().reads_paused, 1));
    cr_assert(lt(u64, metrics_now().bytes_read, SIZE));
    for (size_t have = 1; have < sent;) {
        ssize_t n = weir_read_into(pair.reader, got, sent - have);
        cr_assert(gt(long, (long)n, 0));
        expect_pattern(got, have, (size_t)n);
        have += (size_t)n;
    }
    free(data);
    free(got);
    weir_event_set(&guest.go);
    until(guest.ended, 1);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, paused_reading_is_resumed_by_the_park)
{
    struct guest guest = { .wanted = 2 };
    struct pair pair;
    pair_open(&pair, 0);
    weir_pause_reading(pair.reader);
    settle();
    park(&pair, hear, &guest);
    feed(&pair, "hi");
    expect_heard(&guest, 2, "hi");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, paused_reading_with_data_there)
{
    struct guest guest = { .wanted = 2 };
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "hi");
    weir_pause_reading(pair.reader);
    park(&pair, hear, &guest);
    expect_heard(&guest, 2, "hi");
    expect_gone(&pair);
    return 0;
}

/* ---- The task that parks ----------------------------------------------------------------------*/

struct talker {
    struct guest guest;
    weir_client_connected_fn *next;
    struct weir_event go;
    int parked, ended;
};

static void park_and_run_on(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct talker *talker = argument;
    struct weir_slice data;
    weir_readexactly(reader, 1, &data);
    expect_result(weir_park(writer, talker->next, &talker->guest), 0);
    talker->parked++;
    expect_result(weir_sleep(MS), 0);
    expect_result(weir_event_wait(&talker->go), 0);
    talker->ended++;
}

/* The stream is parked, resumed, ended and freed while the first handler is still there. */
TaskTest(park, handler_runs_on)
{
    struct talker talker = { .next = hear };
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, park_and_run_on, &talker), 0);
    feed_eof(&pair);
    expect_heard(&talker.guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    cr_assert(eq(int, talker.ended, 0));
    weir_event_set(&talker.go);
    until(talker.ended, 1);
    return 0;
}

/* The first handler ends while the stream is parked, or while the second one runs. */
static int first_ends(bool while_parked)
{
    struct talker talker = { .next = hold, .guest.wanted = 3 };
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, park_and_run_on, &talker), 0);
    feed(&pair, "a");
    until(talker.parked, 1);
    if (!while_parked)
        feed(&pair, "b");
    until(talker.guest.calls, !while_parked);
    weir_event_set(&talker.go);
    until(talker.ended, 1);
    settle();
    cr_assert(eq(u64, metrics_now().streams_parked, while_parked));
    feed(&pair, while_parked ? "bcd" : "cd");
    until(talker.guest.result, 3);
    cr_assert(eq(u64, metrics_now().streams_open, 1));
    weir_event_set(&talker.guest.go);
    expect_heard(&talker.guest, 3, "bcd");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, first_handler_ends_while_parked)
{
    return first_ends(true);
}

TaskTest(park, first_handler_ends_while_the_next_runs)
{
    return first_ends(false);
}

/* A task of its own, that owns the stream. */
struct visitor {
    struct pair pair;
    struct guest guest;
    int rc;
};

static int open_and_park(void *argument)
{
    struct visitor *visitor = argument;
    pair_open(&visitor->pair, 0);
    park(&visitor->pair, hear, &visitor->guest);
    return 0;
}

TaskTest(park, the_task_that_parked_has_ended)
{
    struct visitor visitor = { 0 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, open_and_park, &visitor), 0);
    expect_result(weir_group_wait(&group), 0);
    expect_parked(&visitor.guest, 1);
    feed(&visitor.pair, "x");
    expect_heard(&visitor.guest, 1, "x");
    expect_gone(&visitor.pair);
    return 0;
}

static int read_and_park(void *argument)
{
    struct visitor *visitor = argument;
    struct weir_slice data;
    pair_open(&visitor->pair, 0);
    visitor->rc = (int)weir_read(visitor->pair.reader, 1, &data);
    park(&visitor->pair, hear, &visitor->guest);
    return weir_sleep(MS);
}

TaskTest(park, cancelled_task_parks)
{
    struct visitor visitor = { .rc = 1 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, read_and_park, &visitor), 0);
    settle();
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), -ECANCELED);
    expect_result(visitor.rc, -ECANCELED);
    expect_parked(&visitor.guest, 1);
    feed(&visitor.pair, "x");
    expect_heard(&visitor.guest, 1, "x"); /* the handler's task is another, not cancelled */
    expect_gone(&visitor.pair);
    return 0;
}

TaskTest(park, timed_out_task_parks)
{
    struct visitor visitor = { .rc = 1 };
    expect_result(weir_wait_for(5 * MS, read_and_park, &visitor), -ETIMEDOUT);
    expect_result(visitor.rc, -ETIMEDOUT);
    expect_parked(&visitor.guest, 1);
    feed(&visitor.pair, "x");
    expect_heard(&visitor.guest, 1, "x");
    expect_gone(&visitor.pair);
    return 0;
}

TaskTest(park, timeout_of_the_parking_task_is_its_own)
{
    struct guest guest = { .wanted = 2 };
    struct weir_timeout timeout;
    struct pair pair;
    pair_open(&pair, 0);
    weir_timeout_start(&timeout, 5 * MS);
    park(&pair, hear, &guest);
    feed(&pair, "x");
    expect_result(weir_timeout_stop(&timeout, weir_sleep(WEIR_SECOND)), -ETIMEDOUT);
    feed(&pair, "y");
    expect_heard(&guest, 2, "xy");
    expect_gone(&pair);
    return 0;
}

/* Another task than the owner parks: the owner's end does not close the stream. */
static int open_and_wait(void *argument)
{
    struct visitor *visitor = argument;
    pair_open(&visitor->pair, 0);
    return weir_event_wait(&visitor->guest.go);
}

TaskTest(park, by_a_task_that_is_not_the_owner)
{
    struct visitor visitor = { 0 };
    struct weir_group group = { 0 };
    expect_result(weir_group_start(&group, open_and_wait, &visitor), 0);
    settle();
    park(&visitor.pair, hear, &visitor.guest);
    weir_event_set(&visitor.guest.go);
    expect_result(weir_group_wait(&group), 0);
    expect_parked(&visitor.guest, 1);
    feed(&visitor.pair, "x");
    expect_heard(&visitor.guest, 1, "x");
    expect_gone(&visitor.pair);
    return 0;
}

/* ---- Refused ----------------------------------------------------------------------------------*/

static int read_one(void *argument)
{
    struct pair *pair = argument;
    struct weir_slice data;
    return weir_readexactly(pair->reader, 1, &data) == 1 ? 0 : -EIO;
}

static int drain(void *argument)
{
    return weir_drain(((struct pair *)argument)->writer);
}

static int write_much(void *argument)
{
    static char much[1 << 20];
    return weir_write_all(((struct pair *)argument)->writer, much, TINY ? 30000 : sizeof much);
}

static int forward_to(void *argument)
{
    struct pair *pair = argument;
    int64_t moved = weir_forward(pair[1].reader, pair[0].writer);
    return moved < 0 ? (int)moved : 0;
}

static void *drink(void *argument)
{
    char buffer[4096];
    while (recv(*(int *)argument, buffer, sizeof buffer, 0) > 0)
        ;
    return NULL;
}

static int join(void *argument)
{
    return -pthread_join(*(pthread_t *)argument, NULL);
}

TaskTest(park, busy_while_a_task_reads)
{
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_group_start(&group, read_one, &pair), 0);
    settle();
    expect_result(weir_park(pair.writer, hear, &guest), -EBUSY);
    cr_assert(eq(u64, metrics_now().streams_parked, 0));
    feed(&pair, "x");
    expect_result(weir_group_wait(&group), 0);
    feed(&pair, "y");
    expect_next(pair.reader, "y"); /* still the caller's */
    cr_assert(eq(int, guest.calls, 0));
    pair_close(&pair);
    return 0;
}

static int busy_while_it_writes(weir_task_fn *write, bool queue)
{
    static char much[1 << 20];
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pthread_t thread;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_set_write_buffer_limits(pair.writer, 0, 0), 0);
    if (queue)
        expect_result(weir_write(pair.writer, much, TINY ? 30000 : sizeof much), 0);
    expect_result(weir_group_start(&group, write, &pair), 0);
    settle();
    expect_result(weir_park(pair.writer, hear, &guest), -EBUSY);
    cr_assert(eq(int, pthread_create(&thread, NULL, drink, &pair.peer), 0));
    expect_result(weir_group_wait(&group), 0);
    park(&pair, hear, &guest);
    cr_assert(eq(int, shutdown(pair.peer, SHUT_WR), 0));
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_result(weir_to_thread(join, &thread), 0);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, busy_while_a_task_drains)
{
    return busy_while_it_writes(drain, true);
}

TaskTest(park, busy_while_a_task_lends)
{
    return busy_while_it_writes(write_much, false);
}

static int wait_closed(void *argument)
{
    return weir_wait_closed(((struct pair *)argument)->writer);
}

TaskTest(park, busy_while_a_task_waits_for_the_end)
{
    static char much[1 << 20];
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pthread_t thread;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_write(pair.writer, much, TINY ? 30000 : sizeof much), 0);
    expect_result(weir_group_start(&group, wait_closed, &pair), 0);
    settle();
    expect_result(weir_park(pair.writer, hear, &guest), -EBUSY);
    cr_assert(eq(int, pthread_create(&thread, NULL, drink, &pair.peer), 0));
    expect_result(weir_group_wait(&group), 0);
    expect_result(weir_to_thread(join, &thread), 0);
    cr_assert(eq(int, guest.calls, 0));
    expect_gone(&pair);
    return 0;
}

TaskTest(park, busy_at_both_ends_of_a_forward)
{
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair[2];
    pair_open(&pair[0], 0);
    pair_open(&pair[1], 0);
    expect_result(weir_group_start(&group, forward_to, pair), 0);
    settle();
    expect_result(weir_park(pair[0].writer, hear, &guest), -EBUSY);
    expect_result(weir_park(pair[1].writer, hear, &guest), -EBUSY);
    feed_eof(&pair[1]);
    expect_result(weir_group_wait(&group), 0);
    pair_close(&pair[0]);
    pair_close(&pair[1]);
    return 0;
}

static int park_outside(void *argument)
{
    static struct guest guest;
    return weir_park(((struct pair *)argument)->writer, hear, &guest);
}

TaskTest(park, refused_without_handler_or_task)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_park(pair.writer, NULL, NULL), -EINVAL);
    expect_result(weir_to_thread(park_outside, &pair), -EPERM);
    cr_assert(eq(u64, metrics_now().streams_parked, 0));
    feed(&pair, "x");
    expect_next(pair.reader, "x");
    pair_close(&pair);
    return 0;
}

TaskTest(park, parked_already)
{
    struct guest guest = { 0 }, other = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_result(weir_park(pair.writer, hear, &other), -EBUSY);
    feed(&pair, "x");
    expect_heard(&guest, 1, "x");
    cr_assert(eq(int, other.calls, 0));
    expect_gone(&pair);
    return 0;
}

/* ---- Others, while it is parked ---------------------------------------------------------------*/

TaskTest(park, others_write_and_drain)
{
    enum { SIZE = TINY ? 20 * 1000 : 500 * 1000 };
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    char *data = malloc(SIZE);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_set_write_buffer_limits(pair.writer, 0, 0), 0);
    park(&pair, hear, &guest);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(pair.writer, data, SIZE), 0);
    expect_result(weir_group_start(&group, drain, &pair), 0);
    peer_read(&pair, data, SIZE);
    expect_pattern(data, 0, SIZE);
    expect_result(weir_group_wait(&group), 0);
    free(data);
    expect_parked(&guest, 1);
    feed(&pair, "x");
    expect_heard(&guest, 1, "x");
    expect_gone(&pair);
    return 0;
}

/* It is resumed and ended while another's drain still waits. */
TaskTest(park, ends_while_another_drains)
{
    static char much[1 << 20];
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    expect_result(weir_set_write_buffer_limits(pair.writer, 0, 0), 0);
    park(&pair, hear, &guest);
    expect_result(weir_write(pair.writer, much, TINY ? 30000 : sizeof much), 0);
    expect_result(weir_group_start(&group, drain, &pair), 0);
    settle();
    weir_abort(pair.writer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_result(weir_group_wait(&group), -ECONNABORTED);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, others_close)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_result(weir_write(pair.writer, "bye", 3), 0);
    weir_close(pair.writer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    peer_expect(&pair, "bye");
    peer_expect_eof(&pair);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, others_abort)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    weir_abort(pair.writer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

/* It is freed when both are done with it: the handler, and who waits for the end. */
TaskTest(park, others_wait_closed)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_result(weir_write(pair.writer, "bye", 3), 0);
    expect_result(weir_wait_closed(pair.writer), 0);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    peer_expect(&pair, "bye");
    peer_expect_eof(&pair);
    expect_gone(&pair);
    return 0;
}

/* ---- Streams that have begun to end -----------------------------------------------------------*/

TaskTest(park, after_close)
{
    enum { SIZE = TINY ? 20 * 1000 : 500 * 1000 };
    struct guest guest = { 0 };
    char *data = malloc(SIZE);
    struct pair pair;
    pair_open(&pair, 0);
    pair_narrow(&pair);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(pair.writer, data, SIZE), 0);
    weir_close(pair.writer);
    park(&pair, hear, &guest);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    peer_read(&pair, data, SIZE);
    expect_pattern(data, 0, SIZE);
    free(data);
    peer_expect_eof(&pair);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, after_it_has_closed)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    weir_close(pair.writer);
    peer_expect_eof(&pair);
    until(metrics_now().streams_open, 0); /* its memory is the caller's still */
    park(&pair, hear, &guest);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, after_abort)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    expect_result(weir_write(pair.writer, "dropped", 7), 0);
    weir_abort(pair.writer);
    park(&pair, hear, &guest);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

static void answer(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    hear(reader, writer, argument);
    expect_result(weir_write(writer, "answer", 6), 0);
}

TaskTest(park, half_closed_by_the_peer)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    park(&pair, answer, &guest);
    feed_eof(&pair);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    peer_expect(&pair, "answer");
    peer_expect_eof(&pair);
    expect_gone(&pair);
    return 0;
}

TaskTest(park, half_closed_by_us)
{
    struct guest guest = { .wanted = 4 };
    struct pair pair;
    pair_open_tcp(&pair, 0);
    expect_result(weir_write(pair.writer, "question", 8), 0);
    expect_result(weir_write_eof(pair.writer), 0);
    park(&pair, hear, &guest);
    peer_expect(&pair, "question");
    peer_expect_eof(&pair);
    expect_parked(&guest, 1);
    feed(&pair, "fine");
    expect_heard(&guest, 4, "fine");
    expect_gone(&pair);
    return 0;
}

/* A handler that parks what has ended is called again at once, as often as it does. */
static void park_thrice(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    if (++guest->calls < 3)
        expect_result(weir_park(writer, park_thrice, guest), 0);
    else
        guest->ended++;
}

TaskTest(park, again_at_the_end)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    weir_close(pair.writer);
    expect_result(weir_park(pair.writer, park_thrice, &guest), 0);
    until(guest.ended, 1);
    cr_assert(eq(int, guest.calls, 3));
    expect_gone(&pair);
    return 0;
}

/* ---- Often, and many --------------------------------------------------------------------------*/

static void echo_byte(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    struct weir_slice data;
    guest->calls++;
    if (weir_read(reader, 1, &data) <= 0) {
        guest->ended++;
        return;
    }
    expect_result(weir_write_slice(writer, data), 0);
    expect_result(weir_park(writer, echo_byte, guest), 0);
}

TaskTest(park, a_thousand_times)
{
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, echo_byte, &guest);
    for (int i = 0; i < 1000; i++) {
        char sent = (char)i, got = (char)~i;
        cr_assert(eq(int, (int)send(pair.peer, &sent, 1, 0), 1));
        peer_read(&pair, &got, 1);
        cr_assert(eq(int, got, sent));
    }
    cr_assert(eq(int, guest.calls, 1000));
    feed_eof(&pair);
    until(guest.ended, 1);
    cr_assert(eq(int, guest.calls, 1001));
    cr_assert(eq(u64, metrics_now().tasks_open, 1));
    expect_gone(&pair);
    return 0;
}

/* What has come already is read one by one, with a park behind each. */
TaskTest(park, a_thousand_times_at_once)
{
    char data[1000], got[1000];
    struct guest guest = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    pattern_fill(data, 0, sizeof data);
    park(&pair, echo_byte, &guest);
    feed_bytes(&pair, data, sizeof data);
    feed_eof(&pair);
    peer_read(&pair, got, sizeof got);
    expect_pattern(got, 0, sizeof got);
    until(guest.ended, 1);
    cr_assert(eq(int, guest.calls, 1001));
    expect_gone(&pair);
    return 0;
}

TaskTest(park, two_hundred_streams)
{
    enum { COUNT = 200 };
    static struct guest guests[COUNT];
    static struct pair pairs[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pair_open(&pairs[i], 0);
        park(&pairs[i], echo_byte, &guests[i]);
    }
    settle();
    cr_assert(eq(u64, metrics_now().streams_parked, COUNT));
    cr_assert(eq(u64, metrics_now().tasks_open, 1));
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < COUNT; i++)
            cr_assert(eq(int, (int)send(pairs[i].peer, &(char){ (char)(i + round) }, 1, 0), 1));
        for (int i = 0; i < COUNT; i++) {
            char got = 0;
            peer_read(&pairs[i], &got, 1);
            cr_assert(eq(int, got, (char)(i + round)));
            cr_assert(eq(int, guests[i].calls, round));
        }
    }
    until(metrics_now().streams_parked, COUNT);
    for (int i = 0; i < COUNT; i++)
        close(pairs[i].peer);
    until(metrics_now().streams_open, 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert(eq(int, guests[i].ended, 1));
    return 0;
}

/* ---- The loop ---------------------------------------------------------------------------------*/

static void *speak_later(void *argument)
{
    nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
    char byte = 0;
    if (send(*(int *)argument, "late", 4, MSG_NOSIGNAL) != 4)
        return argument;
    return recv(*(int *)argument, &byte, 1, 0) == 0 ? NULL : argument; /* closed */
}

static struct guest late = { .wanted = 4 };
static struct pair late_pair;

static int park_and_return(void *argument)
{
    pair_open(&late_pair, 0);
    park(&late_pair, hear, &late);
    cr_assert(eq(int, pthread_create(argument, NULL, speak_later, &late_pair.peer), 0));
    return 0;
}

Test(park, loop_runs_on, .timeout = 20)
{
    pthread_t thread;
    void *failed;
    expect_result(weir_run(park_and_return, &thread, NULL), 0);
    cr_assert(eq(int, pthread_join(thread, &failed), 0));
    cr_assert(eq(ptr, failed, NULL));
    cr_assert(eq(int, late.ended, 1));
    cr_assert(eq(str, late.text, "late"));
    struct weir_metrics left = metrics_now();
    cr_assert(eq(u64, left.tasks_open + left.streams_open + left.streams_parked, 0));
    close(late_pair.peer);
}

/* ---- Servers ----------------------------------------------------------------------------------*/

struct service {
    struct weir_server *server;
    struct guest guest;             /* of all its clients */
    weir_client_connected_fn *next; /* that each is parked with */
    int came;
};

static void let_in(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    service->came++;
    expect_result(weir_park(writer, service->next, &service->guest), 0);
}

static void serve(struct service *service, const struct weir_server_options *options)
{
    if (service->next == NULL)
        service->next = hear;
    expect_result(weir_start_server(let_in, service, "127.0.0.1", 0, options, &service->server), 0);
}

static struct pair client_of(const struct service *service)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons(weir_server_port(service->server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct pair client = { .peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    cr_assert(eq(int, connect(client.peer, (struct sockaddr *)&name, sizeof name), 0));
    return client;
}

static void let_three_in(struct service *service, struct pair clients[3])
{
    serve(service, NULL);
    for (int i = 0; i < 3; i++)
        clients[i] = client_of(service);
    until(service->came, 3);
    settle();
    cr_assert(eq(u64, metrics_now().streams_parked, 3));
    cr_assert(eq(u64, metrics_now().tasks_open, 1));
    cr_assert(eq(int, service->guest.calls, 0));
}

static void three_have_gone(struct service *service, struct pair clients[3])
{
    until(service->guest.ended, 3);
    cr_assert(eq(int, service->guest.calls, 3));
    until(metrics_now().streams_open, 0);
    for (int i = 0; i < 3; i++) {
        char byte;
        ssize_t n = recv(clients[i].peer, &byte, 1, MSG_DONTWAIT);
        cr_assert(n == 0 || (n < 0 && errno == ECONNRESET));
        close(clients[i].peer);
    }
    cr_assert(eq(u64, metrics_now().streams_parked, 0));
}

TaskTest(park, server_close_clients)
{
    struct service service = { 0 };
    struct pair clients[3];
    let_three_in(&service, clients);
    weir_server_close_clients(service.server);
    three_have_gone(&service, clients);
    weir_server_close(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    return 0;
}

TaskTest(park, server_abort_clients)
{
    struct service service = { 0 };
    struct pair clients[3];
    let_three_in(&service, clients);
    weir_server_abort_clients(service.server);
    three_have_gone(&service, clients);
    weir_server_close(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    return 0;
}

TaskTest(park, server_close_leaves_them)
{
    struct service service = { 0 };
    struct pair clients[3];
    let_three_in(&service, clients);
    weir_server_close(service.server);
    settle();
    cr_assert(eq(u64, metrics_now().streams_parked, 3));
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, (int)send(clients[i].peer, "x", 1, 0), 1));
    expect_result(weir_server_wait_closed(service.server), 0);
    three_have_gone(&service, clients);
    return 0;
}

TaskTest(park, server_shutdown_does_not_wait)
{
    struct service service = { 0 };
    struct pair clients[3];
    let_three_in(&service, clients);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 20 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - before), 5000));
    three_have_gone(&service, clients);
    return 0;
}

/* What a handler has queued before it parked leaves first. */
TaskTest(park, server_shutdown_sends_what_was_written)
{
    enum { SIZE = TINY ? 20 * 1000 : 100 * 1000 };
    struct service service = { .next = hear_all };
    char *data = malloc(SIZE);
    serve(&service, NULL);
    struct pair client = client_of(&service);
    cr_assert(eq(int, (int)send(client.peer, "x", 1, 0), 1));
    until(service.guest.calls, 1);
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(service.guest.writer, data, SIZE), 0);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 20 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - before), 5000));
    cr_assert(eq(int, service.guest.ended, 1));
    memset(data, 0, SIZE);
    peer_read(&client, data, SIZE);
    expect_pattern(data, 0, SIZE);
    peer_expect_eof(&client);
    free(data);
    close(client.peer);
    return 0;
}

TaskTest(park, counts_among_the_connections)
{
    struct weir_server_options options = { .max_connections = 2 };
    struct service service = { 0 };
    struct pair clients[3];
    serve(&service, &options);
    for (int i = 0; i < 3; i++)
        clients[i] = client_of(&service);
    until(service.came, 2);
    settle();
    cr_assert(eq(int, service.came, 2));
    cr_assert(eq(int, (int)send(clients[0].peer, "x", 1, 0), 1));
    until(service.came, 3);
    expect_result(weir_server_shutdown(service.server, 20 * WEIR_SECOND), 0);
    three_have_gone(&service, clients);
    return 0;
}

/* A client that is busy when the shutdown begins, answers and parks again: it is idle then, and need
 * not spend the grace. */
static void work(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct guest *guest = argument;
    note(reader, writer, guest);
    if (guest->result <= 0) {
        guest->ended++;
        return;
    }
    weir_sleep(50 * MS);
    expect_result(weir_park(writer, work, guest), 0);
}

TaskTest(park, shutdown_while_a_handler_works)
{
    struct service service = { .next = work };
    serve(&service, NULL);
    struct pair client = client_of(&service);
    cr_assert(eq(int, (int)send(client.peer, "x", 1, 0), 1));
    until(service.guest.calls, 1);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 3 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - before), 2000));
    close(client.peer);
    return 0;
}

/* The same of a client that has just come, whose first handler has not parked yet. */
static void slow_park(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    service->came++;
    weir_yield();
    expect_result(weir_park(writer, hear, &service->guest), 0);
}

TaskTest(park, shutdown_while_a_client_comes)
{
    struct service service = { 0 };
    expect_result(weir_start_server(slow_park, &service, "127.0.0.1", 0, NULL, &service.server), 0);
    struct pair client = client_of(&service);
    while (service.came == 0)
        expect_result(weir_yield(), 0);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 3 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - before), 2000));
    close(client.peer);
    return 0;
}

/* With data there the handler's task has been started, but has not run yet. */
TaskTest(park, parked_twice_with_data_there)
{
    struct guest guest = { 0 }, other = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    feed(&pair, "x");
    park(&pair, hear, &guest);
    int rc = weir_park(pair.writer, hear, &other);
    expect_heard(&guest, 1, "x");
    expect_result(rc, -EBUSY);
    expect_gone(&pair);
    return 0;
}

/* By a pointer that was kept: what comes is the handler's. */
static int read_parked(void *argument)
{
    struct weir_slice data;
    ssize_t n = weir_read(((struct pair *)argument)->reader, 1, &data);
    return n == -EBUSY || n == 0 ? 0 : -EIO;
}

TaskTest(park, read_while_parked)
{
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_result(weir_group_start(&group, read_parked, &pair), 0);
    settle();
    feed_eof(&pair);
    expect_result(weir_group_wait(&group), 0);
    until(metrics_now().streams_parked, 0);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

TaskTest(park, read_while_parked_and_closed)
{
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct pair pair;
    pair_open(&pair, 0);
    park(&pair, hear, &guest);
    expect_result(weir_group_start(&group, read_parked, &pair), 0);
    settle();
    weir_close(pair.writer);
    expect_result(weir_group_wait(&group), 0);
    until(metrics_now().streams_parked, 0);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_gone(&pair);
    return 0;
}

/* ---- Servers whose clients begin parked -------------------------------------------------------*/

TaskTest(park, clients_begin_parked)
{
    struct guest guest = { .wanted = 2 };
    struct weir_server_options options = { .start_parked = true };
    struct service service = { 0 };
    expect_result(weir_start_server(hear, &guest, "127.0.0.1", 0, &options, &service.server), 0);
    uint64_t tasks = metrics_now().tasks_started;
    struct pair client = client_of(&service);
    until(metrics_now().streams_parked, 1);
    cr_assert(eq(u64, metrics_now().tasks_started, tasks));
    cr_assert(eq(int, (int)send(client.peer, "hi", 2, 0), 2));
    expect_heard(&guest, 2, "hi");
    until(metrics_now().streams_open, 0);
    close(client.peer);
    weir_server_close(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    return 0;
}

TaskTest(park, client_that_goes_before_it_speaks)
{
    struct guest guest = { 0 };
    struct weir_server_options options = { .start_parked = true };
    struct service service = { 0 };
    expect_result(weir_start_server(hear, &guest, "127.0.0.1", 0, &options, &service.server), 0);
    struct pair client = client_of(&service);
    until(metrics_now().streams_parked, 1);
    close(client.peer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    until(metrics_now().streams_open, 0);
    weir_server_close(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    return 0;
}

static void echo_once(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    (void)unused;
    if (weir_read(reader, 100, &data) > 0 && weir_write_slice(writer, data) == 0)
        expect_result(weir_park(writer, echo_once, NULL), 0);
}

TlsTest(park, tls_clients_begin_parked)
{
    struct tls_service service = { .options = { .start_parked = true }, .handler = echo_once };
    service_open(&service);
    uint64_t tasks = metrics_now().tasks_open;
    struct pair client;
    expect_result(service_connect(&service, &client), 0);
    until(metrics_now().streams_parked, 1);
    cr_assert(eq(u64, metrics_now().tasks_open, tasks));
    for (int i = 0; i < 3; i++) {
        struct weir_slice answer;
        expect_result(weir_write(client.writer, "hi", 2), 0);
        expect_result(weir_readexactly(client.reader, 2, &answer), 2);
        until(metrics_now().streams_parked, 1);
    }
    expect_result(weir_wait_closed(client.writer), 0);
    service_close(&service);
    return 0;
}

/* Says nothing, and goes when it is told to. */
static int connect_and_wait(void *argument)
{
    struct pair client;
    struct weir_slice data;
    if (service_connect(argument, &client) < 0)
        return 0;
    weir_read(client.reader, 1, &data);
    weir_wait_closed(client.writer);
    return 0;
}

TlsTest(park, tls_handshake_that_ends_during_a_shutdown)
{
    struct tls_service service = { .options = { .start_parked = true }, .handler = echo_once };
    struct weir_group group = { 0 };
    service_open(&service);
    uint64_t before = metrics_now().connections_accepted;
    expect_result(weir_group_start(&group, connect_and_wait, &service), 0);
    while (metrics_now().connections_accepted == before)
        expect_result(weir_yield(), 0);
    int64_t begun = milliseconds();
    expect_result(weir_server_shutdown(service.server, 3 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - begun), 2000), "it has spent the grace");
    expect_result(weir_group_wait(&group), 0);
    service_free(&service);
    return 0;
}

/* The main task returns; the server closes, its clients stay until they go. */
static int leave_the_server(void *argument)
{
    struct service *service = argument;
    struct pair clients[3];
    let_three_in(service, clients);
    for (int i = 0; i < 3; i++)
        close(clients[i].peer);
    return 0;
}

Test(park, unclosed_server, .timeout = 20)
{
    struct service service = { 0 };
    run(leave_the_server, &service);
    cr_assert(eq(int, service.guest.ended, 3));
}

/* ---- TLS --------------------------------------------------------------------------------------*/

static void park_client(struct tls_both *both, weir_client_connected_fn *handler,
                        struct guest *guest)
{
    both_open(both, NULL, NULL);
    expect_result(weir_park(both->writer, handler, guest), 0);
    expect_parked(guest, 1);
}

static void both_end(struct tls_both *both, int error)
{
    expect_result(weir_wait_closed(both->server_writer), error);
    until(metrics_now().streams_open, 0);
    weir_tls_free(both->client);
    weir_tls_free(both->server);
}

/* Session tickets, which come behind the handshake, are no news. */
TlsTest(park, tls_data)
{
    struct guest guest = { .wanted = 5 };
    struct tls_both both = { 0 };
    park_client(&both, hear, &guest);
    expect_result(weir_write(both.server_writer, "hello", 5), 0);
    expect_heard(&guest, 5, "hello");
    both_end(&both, 0);
    return 0;
}

TlsTest(park, tls_data_there)
{
    struct guest guest = { .wanted = 4 };
    struct weir_slice data;
    struct tls_both both = { 0 };
    both_open(&both, NULL, NULL);
    expect_result(weir_write(both.server_writer, "onetwo2", 7), 0);
    expect_result(weir_readexactly(both.reader, 3, &data), 3);
    expect_result(weir_park(both.writer, hear, &guest), 0);
    expect_heard(&guest, 4, "two2");
    both_end(&both, 0);
    return 0;
}

TlsTest(park, tls_close_notify)
{
    struct guest guest = { 0 };
    struct tls_both both = { 0 };
    park_client(&both, hear, &guest);
    weir_close(both.server_writer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    both_end(&both, 0);
    return 0;
}

/* One direction ends; what the handler answers still arrives. */
TlsTest(park, tls_half_close)
{
    struct guest guest = { 0 };
    struct tls_both both = { 0 };
    park_client(&both, answer, &guest);
    expect_result(weir_write_eof(both.server_writer), 0);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    expect_next(both.server_reader, "answer");
    both_end(&both, 0);
    return 0;
}

TlsTest(park, tls_truncated)
{
    struct guest guest = { 0 };
    struct tls_both both = { 0 };
    park_client(&both, hear, &guest);
    weir_abort(both.server_writer);
    expect_heard(&guest, WEIR_TLS_TRUNCATED, "");
    both_end(&both, 0);
    return 0;
}

TlsTest(park, tls_closed_by_others)
{
    struct guest guest = { 0 };
    struct tls_both both = { 0 };
    park_client(&both, hear, &guest);
    weir_close(both.writer);
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    both_end(&both, 0);
    return 0;
}

TlsTest(park, tls_a_hundred_times)
{
    struct guest guest = { 0 };
    struct weir_slice data;
    struct tls_both both = { 0 };
    park_client(&both, echo_byte, &guest);
    for (int i = 1; i <= 100; i++) {
        char sent = (char)i;
        expect_result(weir_write(both.server_writer, &sent, 1), 0);
        expect_result(weir_readexactly(both.server_reader, 1, &data), 1);
        cr_assert(eq(int, data.data[0], sent));
        cr_assert(eq(int, guest.calls, i));
    }
    weir_close(both.server_writer);
    until(guest.ended, 1);
    both_end(&both, 0);
    return 0;
}

/* Half a record, and records without data, are no news; one that is not right is the end. */
static void park_weir_end(struct tls_pair *tls, struct guest *guest, int version)
{
    tls_pair_open(tls, &(struct tls_setup){ .role = WEIR_SERVER, .version = version });
    expect_result(weir_park(tls->pair.writer, hold, guest), 0);
    expect_parked(guest, 1);
}

static void weir_end_is_over(struct tls_pair *tls, struct guest *guest, int error)
{
    tls_pair_end(tls, error); /* the handler's stream, which it will not touch any more */
    weir_event_set(&guest->go);
    until(guest->ended, 1);
    cr_assert(eq(int, guest->calls, 1));
}

TlsTest(park, tls_nothing_in_it)
{
    struct guest guest = { .wanted = 2 };
    struct tls_pair tls;
    park_weir_end(&tls, &guest, WEIR_TLS_1_3);
    for (int i = 0; i < 5; i++)
        tls_peer_craft(&tls, APPLICATION_DATA, "", 0, 10);
    tls_peer_send(&tls);
    expect_parked(&guest, 1);
    tls_peer_craft(&tls, APPLICATION_DATA, "hi", 2, 0);
    tls_peer_send_bytes(&tls, tls.out.data, 7);
    bytes_remove(&tls.out, 0, 7);
    expect_parked(&guest, 1);
    tls_peer_send(&tls);
    until(guest.result, 2);
    cr_assert(eq(str, guest.text, "hi"));
    weir_end_is_over(&tls, &guest, 0);
    return 0;
}

TlsTest(park, tls_bad_record)
{
    struct guest guest = { 0 };
    struct tls_pair tls;
    park_weir_end(&tls, &guest, WEIR_TLS_1_3);
    tls_peer_craft(&tls, APPLICATION_DATA, "hi", 2, 0);
    tls.out.data[tls.out.size - 1] ^= 1;
    tls_peer_send(&tls);
    until(guest.result, WEIR_TLS_RECORD);
    weir_end_is_over(&tls, &guest, WEIR_TLS_RECORD);
    return 0;
}

TlsTest(park, tls_1_2)
{
    struct guest guest = { .wanted = 2 };
    struct tls_pair tls;
    park_weir_end(&tls, &guest, WEIR_TLS_1_2);
    tls_peer_feed(&tls, "hi");
    until(guest.result, 2);
    cr_assert(eq(str, guest.text, "hi"));
    weir_end_is_over(&tls, &guest, 0);
    return 0;
}

/* Over TLS 1.2 the peer's end is that of both directions. */
TlsTest(park, tls_1_2_close_notify)
{
    struct guest guest = { 0 };
    struct tls_pair tls;
    park_weir_end(&tls, &guest, WEIR_TLS_1_2);
    tls_peer_feed_end(&tls);
    until(guest.result, WEIR_INCOMPLETE);
    weir_end_is_over(&tls, &guest, 0);
    return 0;
}

static void wait_idle(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct tls_service *service = argument;
    struct weir_slice data;
    service->handlers++;
    if (weir_read(reader, 4096, &data) > 0) {
        weir_write_slice(writer, data);
        expect_result(weir_park(writer, wait_idle, service), 0);
    }
    service->handlers--;
}

/* The server's handler parks before it has read. */
static void park_first(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    expect_result(weir_park(writer, wait_idle, argument), 0);
}

TlsTest(park, tls_server_before_any_read)
{
    struct tls_service service = { .handler = park_first };
    struct pair client;
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    until(metrics_now().streams_parked, 1);
    settle();
    cr_assert(eq(u64, metrics_now().streams_parked, 1));
    cr_assert(eq(u64, metrics_now().tasks_open, 1));
    expect_echo(&client);
    expect_echo(&client);
    pair_close(&client);
    service_close(&service);
    cr_assert(eq(int, service.handlers, 0));
    return 0;
}

/* Both ends of a connection are parked: the one is closed, which resumes the other. */
TlsTest(park, tls_server_shutdown)
{
    struct tls_service service = { .handler = park_first };
    struct guest guest = { 0 };
    struct pair client;
    service_open(&service);
    expect_result(service_connect(&service, &client), 0);
    expect_echo(&client);
    expect_result(weir_park(client.writer, hear, &guest), 0);
    until(metrics_now().streams_parked, 2);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 20 * WEIR_SECOND), 0);
    cr_assert(lt(long, (long)(milliseconds() - before), 5000));
    expect_heard(&guest, WEIR_INCOMPLETE, "");
    until(metrics_now().streams_open, 0);
    service_free(&service);
    return 0;
}

static int start_tls(void *argument)
{
    struct tls_both *both = argument;
    struct weir_start_tls_options options = { .server_hostname = "localhost" };
    return weir_start_tls(both->writer, both->client, &options);
}

TlsTest(park, tls_handshake_runs)
{
    struct guest guest = { 0 };
    struct weir_group group = { 0 };
    struct tls_both both = { .client = tls_context(WEIR_CLIENT, NULL) };
    struct pair pair;
    pair_open(&pair, 0);
    both.writer = pair.writer;
    expect_result(weir_group_start(&group, start_tls, &both), 0);
    settle();
    expect_result(weir_park(pair.writer, hear, &guest), -EBUSY);
    close(pair.peer);
    pair.peer = -1;
    expect_result(weir_group_wait(&group), -ECONNRESET);
    expect_result(weir_park(pair.writer, hear, &guest), 0); /* lost by now */
    expect_heard(&guest, -ECONNRESET, "");
    until(metrics_now().streams_open, 0);
    weir_tls_free(both.client);
    return 0;
}
