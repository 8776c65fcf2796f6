/* A load generator for echo servers, for bench/bench and for anyone by hand.
 *
 * Each connection has one block on its way at a time: sent, awaited, compared byte by byte. In the
 * closed loop (--rate 0) the next block leaves as soon as the last is back. In the open loop the
 * blocks leave on a fixed schedule, and the latency of one counts from when it was due: a server
 * that stalls is charged for the blocks that had to wait meanwhile (as wrk2 does).
 *
 * It is one thread on epoll, so that what it tells about a server on io_uring does not rest on
 * io_uring.
 *
 * What the generator itself adds to a latency is kept small in the open loop. It polls, and looks
 * after each event for what is due, so that a block leaves late by one event's work at most; how
 * late they did is in the report. And a latency ends when the kernel says that the block has
 * come: what it then waits for its turn here is not the server's.
 */
#include "arrival.h"
#include "blocks.h"
#include "firehose.h"
#include "histogram.h"
#include "load_common.h"

#include <sys/epoll.h>

#define PROGRAM "load"

enum {
    EVENT_COUNT = 512,
    RECEIVE_SIZE = 256 * 1024,
    ANSWER_SECONDS = 10, /* for the last one, of --idle */
};

static const uint32_t FIREHOSE_INDEX = UINT32_MAX; /* among the events */

struct connection {
    int fd;
    bool busy;             /* a block is on its way */
    size_t sent, received; /* of this block */
    uint64_t sequence;     /* of this block; then how many came back */
    int64_t begun;         /* when this block was sent, or in the open loop: was due */
};

/* ---- State ----------------------------------------------------------------------------------- */

static struct {
    struct load_options options;
    unsigned connection_count;
    size_t size;
    double rate;
    bool idle, firehose_wanted;
    int epoll;
    struct connection *connections;
    struct firehose firehose;
    unsigned char *pattern; /* where blocks get their bytes from */
    unsigned char *block;   /* the one being sent */
    unsigned char received[RECEIVE_SIZE];
    struct window window;
    uint64_t next;     /* open loop: the number of the block that is due next */
    uint64_t answered; /* since the start, warm-up included */
    struct histogram latency;
    struct histogram late; /* open loop: how long a block that was due waited for the generator */
} load = { .connection_count = 64, .size = 64, .firehose.fd = -1 };

/* A connection that failed stays closed: the run is lost, but the others show how far it goes. */
static void fail(struct connection *connection, enum failure failure)
{
    count_failure(failure);
    close(connection->fd);
    connection->fd = -1;
}

/* ---- Sending and receiving ------------------------------------------------------------------- */

static struct block block_of(const struct connection *connection)
{
    return (struct block){ .connection = (uint64_t)(connection - load.connections),
                           .sequence = connection->sequence };
}

/* Sends what the socket takes of the block; the event that it takes more calls this again. */
static void send_block(struct connection *connection)
{
    block_make(block_of(connection), load.pattern, load.block, load.size);
    while (connection->sent < load.size) {
        ssize_t sent = send(connection->fd, load.block + connection->sent,
                            load.size - connection->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                fail(connection, FAILED_SEND);
            return;
        }
        connection->sent += (size_t)sent;
    }
}

static void begin_block(struct connection *connection, int64_t when)
{
    connection->busy = true;
    connection->sent = connection->received = 0;
    connection->begun = when;
    send_block(connection);
}

/* In the open loop the connections take turns: the number of this one's block among all. */
static uint64_t number_of(const struct connection *connection)
{
    return connection->sequence * load.connection_count + (uint64_t)(connection - load.connections);
}

static int64_t due_time(uint64_t number)
{
    return load.window.start + (int64_t)((double)number * 1e9 / load.rate);
}

/* `ready` is since when the connection was free: what passed from then on is the generator's. */
static void begin_due_block(struct connection *connection, int64_t due, int64_t ready)
{
    if (load.window.measuring)
        histogram_add(&load.late, now_ns() - (due > ready ? due : ready));
    begin_block(connection, due);
}

/* Sends what is due, in turn. Who is busy sends when the block before is back. */
static void send_due(void)
{
    for (int64_t due; (due = due_time(load.next)) <= now_ns(); load.next++) {
        struct connection *connection = &load.connections[load.next % load.connection_count];
        if (connection->fd >= 0 && !connection->busy)
            begin_due_block(connection, due, due);
    }
}

/* The block is back. In the open loop the next one may have been due before; --idle has none. */
static void finish_block(struct connection *connection, int64_t arrived)
{
    if (load.window.measuring)
        histogram_add(&load.latency, arrived - connection->begun);
    load.answered++;
    connection->sequence++;
    connection->busy = false;
    if (load.idle)
        return;
    if (load.rate == 0)
        begin_block(connection, arrived);
    else if (number_of(connection) < load.next)
        begin_due_block(connection, due_time(number_of(connection)), arrived);
}

static ssize_t receive(int fd, int64_t *ret_arrived)
{
    if (load.rate > 0)
        return receive_stamped(fd, load.received, sizeof load.received, ret_arrived);
    ssize_t n = recv(fd, load.received, sizeof load.received, 0);
    *ret_arrived = now_ns();
    return n;
}

/* Takes what has come, to the end: the events are edges. A receive that did not fill the buffer
 * took all there was. */
static void receive_block(struct connection *connection, bool hung_up)
{
    while (connection->fd >= 0) {
        int64_t arrived;
        ssize_t n = receive(connection->fd, &arrived);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                fail(connection, FAILED_RECEIVE);
            return;
        }
        if (n == 0) {
            fail(connection, CLOSED_EARLY);
            return;
        }
        if (!connection->busy || (size_t)n > connection->sent - connection->received ||
            !block_has(block_of(connection), load.pattern, connection->received, load.received,
                       (size_t)n)) {
            fail(connection, MISMATCH);
            return;
        }
        connection->received += (size_t)n;
        if (connection->received == load.size)
            finish_block(connection, arrived);
        if (!hung_up && n < (ssize_t)sizeof load.received)
            return;
    }
}

static void handle_event(const struct epoll_event *event)
{
    bool hung_up = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    bool readable = hung_up || (event->events & EPOLLIN);
    if (event->data.u32 == FIREHOSE_INDEX) {
        load.firehose.can_send = load.firehose.can_send || (event->events & EPOLLOUT);
        load.firehose.can_receive = load.firehose.can_receive || readable;
        return;
    }
    struct connection *connection = &load.connections[event->data.u32];
    if (connection->fd >= 0 && connection->busy && connection->sent < load.size)
        send_block(connection);
    if (connection->fd >= 0 && readable)
        receive_block(connection, hung_up);
}

/* Handles the events there are, after waiting `milliseconds` for one. */
static void handle_events(int milliseconds)
{
    struct epoll_event events[EVENT_COUNT];
    int count = epoll_wait(load.epoll, events, EVENT_COUNT, milliseconds);
    for (int i = 0; i < count; i++) {
        handle_event(&events[i]);
        if (load.rate > 0)
            send_due();
    }
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static bool watch(int fd, uint32_t index)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u32 = index,
    };
    return fd >= 0 && epoll_ctl(load.epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool connect_all(void)
{
    for (unsigned i = 0; i < load.connection_count && !stopped; i++) {
        struct connection *connection = &load.connections[i];
        connection->fd = connect_one(&load.options.address);
        if (!watch(connection->fd, i)) {
            count_failure(FAILED_CONNECT);
            fprintf(stderr, PROGRAM ": connection %u to %s: %s\n", i + 1, load.options.address_text,
                    strerror(errno));
            return false;
        }
        if (load.rate > 0)
            want_stamps(connection->fd);
    }
    if (!load.firehose_wanted)
        return true;
    bool connected = firehose_connect(&load.firehose, &load.options.address) &&
                     watch(load.firehose.fd, FIREHOSE_INDEX);
    if (!connected)
        count_failure(FAILED_CONNECT);
    return connected;
}

/* ---- The runs -------------------------------------------------------------------------------- */

/* A turn of the closed loop: with the firehose, a send and a receive of that. */
static void turn_closed_loop(void)
{
    bool measuring = load.window.measuring;
    handle_events(firehose_can_go_on(&load.firehose) ? 0 : 10);
    firehose_step(&load.firehose, INT64_MAX, measuring);
    firehose_step(&load.firehose, INT64_MAX, measuring);
}

/* A turn of the open loop. It polls without sleeping: a late wake-up of the generator would count
 * as the server's latency. The firehose has the time that is left before a block is due. */
static void turn_open_loop(void)
{
    send_due();
    handle_events(0);
    firehose_step(&load.firehose, due_time(load.next) - now_ns(), load.window.measuring);
}

/* Runs the load for the warm-up and the measured window. */
static void run_load(void)
{
    window_begin(&load.window, &load.options);
    for (unsigned i = 0; i < load.connection_count && load.rate == 0; i++)
        begin_block(&load.connections[i], load.window.start);
    while (window_goes_on(&load.window)) {
        if (load.rate > 0)
            turn_open_loop();
        else
            turn_closed_loop();
        show_progress(&load.options, &load.window, (double)load.answered, "requests");
    }
    window_finish(&load.window);
}

/* One block on each connection, until all are back. */
static void run_one_block_each(void)
{
    int64_t end = now_ns() + (int64_t)ANSWER_SECONDS * 1000000000;
    uint64_t answered = load.answered + load.connection_count;
    for (unsigned i = 0; i < load.connection_count && !stopped; i++) {
        if (load.connections[i].fd >= 0)
            begin_block(&load.connections[i], now_ns());
        if (i % 64 == 63)
            handle_events(0);
    }
    while (load.answered + failure_total() < answered && now_ns() < end && !stopped)
        handle_events(10);
}

/* --idle: a block on each connection, silence, and another block: they must still be served. */
static void run_idle(void)
{
    run_one_block_each();
    printf(PROGRAM ": %u connections, %llu served, now idle\n", load.connection_count,
           (unsigned long long)load.answered);
    fflush(stdout);
    int64_t start = now_ns(), end = start + (int64_t)(load.options.seconds * 1e9);
    while (now_ns() < end && !stopped)
        handle_events(10); /* whatever comes is a failure */
    stopped = 0;           /* that ended the silence */
    load.window.measuring = true;
    run_one_block_each();
    load.window.seconds = (double)(now_ns() - start) / 1e9;
}

/* ---- The report ------------------------------------------------------------------------------ */

/* Blocks that the least and the most served connection had answered, and how many were not. */
struct service {
    uint64_t least, most;
    unsigned unserved;
};

static struct service count_served(void)
{
    struct service service = { .least = UINT64_MAX };
    for (unsigned i = 0; i < load.connection_count; i++) {
        uint64_t served = load.connections[i].sequence;
        service.least = served < service.least ? served : service.least;
        service.most = served > service.most ? served : service.most;
        service.unserved += served < (load.idle ? 2 : 1);
    }
    service.unserved += load.firehose_wanted && load.firehose.received == 0;
    return service;
}

static void print_json(const struct service *service)
{
    printf("{\"connections\": %u, \"size\": %zu, ", load.connection_count, load.size);
    window_print_json(&load.window);
    printf(", \"requests\": %llu, \"requests_total\": %llu, \"requests_per_second\": %.1f, ",
           (unsigned long long)load.latency.total, (unsigned long long)load.answered,
           window_rate(&load.window, (double)load.latency.total));
    histogram_print_json(&load.latency);
    printf(", \"late_p99_us\": %.2f, \"firehose_bytes\": %llu, \"served_min\": %llu, "
           "\"served_max\": %llu, \"unserved\": %u, ",
           histogram_us(&load.late, 99), (unsigned long long)load.firehose.measured,
           (unsigned long long)service->least, (unsigned long long)service->most,
           service->unserved);
    print_failures_json();
    printf("}\n");
}

static void print_text(const struct service *service)
{
    printf("%u connections, %zu bytes a block, %.2f s%s\n", load.connection_count, load.size,
           load.window.seconds, stopped ? " (stopped early)" : "");
    printf("  requests    %llu (%.0f/s), %llu with the warm-up\n",
           (unsigned long long)load.latency.total,
           window_rate(&load.window, (double)load.latency.total),
           (unsigned long long)load.answered);
    printf("  latency us  ");
    histogram_print_text(&load.latency);
    printf("  served      %llu to %llu requests a connection\n", (unsigned long long)service->least,
           (unsigned long long)service->most);
    if (load.firehose_wanted)
        printf("  firehose    %.1f MB/s each way\n",
               window_rate(&load.window, (double)load.firehose.measured) / 1e6);
    printf("  generator   %.2f CPU%s\n", load.window.cpu, load.rate > 0 ? " (it polls)" : "");
    if (load.rate > 0) {
        printf("  late us     ");
        histogram_print_text(&load.late);
    }
}

static void print_complaints(const struct service *service)
{
    print_failures(PROGRAM);
    print_unserved(PROGRAM, service->unserved, load.connection_count + load.firehose_wanted);
    if (load.rate == 0)
        advise(PROGRAM, &load.options, &load.window, "request");
    double wanted = load.rate * load.window.seconds;
    if (wanted > 0 && (double)load.latency.total < 0.98 * wanted - load.connection_count)
        fprintf(stderr, PROGRAM ": %.0f%% of the rate asked for was reached\n",
                100 * (double)load.latency.total / wanted);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void take_option(int option, const char *argument)
{
    switch (option) {
    case 'n':
        load.connection_count = (unsigned)parse_number(PROGRAM, "connections", argument, 1, 1e6);
        break;
    case 's':
        load.size = (size_t)parse_number(PROGRAM, "size", argument, 1, 1 << 28);
        break;
    case 'r':
        load.rate = parse_number(PROGRAM, "rate", argument, 0, 1e8);
        break;
    case 'f':
        load.firehose_wanted = true;
        break;
    case 'i':
        load.idle = true;
        break;
    }
}

static const struct load_program program = {
    .name = PROGRAM,
    .help = "load: loads an echo server, checks every byte, and reports rate and latency\n\n"
            "usage: load --connect HOST:PORT|unix:PATH [OPTION...]\n\n"
            "  --connections N  how many, all open from the start (64)\n"
            "  --size BYTES     of a block (64)\n"
            "  --seconds S      how long to measure (2), or with --idle: to hold\n"
            "  --warmup S       load before that which is not measured (0.5)\n"
            "  --rate R         blocks a second, on a fixed schedule, over all connections;\n"
            "                   0: each connection as fast as it is answered (0)\n"
            "  --firehose       one connection more, which sends pieces of 64 KiB as fast as the\n"
            "                   server takes them, and the load itself has time to\n"
            "  --idle           send one block on each connection, say so on stdout, hold them\n"
            "                   silent, and send one more\n",
    .options = { { "connections", required_argument, NULL, 'n' },
                 { "size", required_argument, NULL, 's' },
                 { "rate", required_argument, NULL, 'r' },
                 { "firehose", no_argument, NULL, 'f' },
                 { "idle", no_argument, NULL, 'i' } },
    .take = take_option,
};

static void set_up(void)
{
    raise_limit_for(PROGRAM, load.connection_count + load.firehose_wanted);
    load.connections = calloc(load.connection_count, sizeof *load.connections);
    load.pattern = bench_pattern(load.size + BLOCK_PLACES);
    load.block = malloc(load.size);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.connections || !load.block || load.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    for (unsigned i = 0; i < load.connection_count; i++)
        load.connections[i].fd = -1;
}

int main(int argc, char **argv)
{
    load.options = parse_load_options(&program, argc, argv);
    if (load.idle && (load.rate > 0 || load.firehose_wanted))
        die(PROGRAM, EXIT_USAGE, "--idle goes with neither --rate nor --firehose");
    set_up();
    catch_signals();
    if (connect_all()) {
        if (load.idle)
            run_idle();
        else
            run_load();
    }
    struct service service = count_served();
    end_progress(&load.options);
    if (load.options.json)
        print_json(&service);
    else
        print_text(&service);
    print_complaints(&service);
    return failure_total() == 0 && service.unserved == 0 ? EXIT_OK : EXIT_FAILED;
}
