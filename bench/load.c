/* A load generator for echo servers, for bench/bench and for anyone by hand.
 *
 * Each connection has one block on its way at a time: sent, awaited, compared byte by byte. In the
 * closed loop (--rate 0) the next block leaves as soon as the last is back. In the open loop the
 * blocks leave on a fixed schedule, and the latency of one counts from when it was due: a server
 * that stalls is charged for the blocks that had to wait meanwhile (as wrk2 does).
 *
 * It is one thread on epoll, so that what it tells about a server on io_uring does not rest on
 * io_uring.
 */
#include "common.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define PROGRAM "load"

enum {
    EVENT_COUNT = 512,
    RECEIVE_SIZE = 256 * 1024,
    TEMPLATE_SLACK = 4096, /* blocks start at one of so many places of the template */
    STAMP_SIZE = 8,
    CONNECT_SECONDS = 5,
    ANSWER_SECONDS = 10, /* for the last one, of --idle */
};

struct options {
    struct address address;
    const char *address_text;
    unsigned connections;
    size_t size;
    double seconds, warmup, rate;
    bool json, quiet, idle;
};

enum failure { FAILED_CONNECT, FAILED_SEND, FAILED_RECEIVE, CLOSED_EARLY, MISMATCH, FAILURE_COUNT };
static const char *const failure_names[FAILURE_COUNT] = { "connect", "send", "receive",
                                                          "closed_by_server", "mismatch" };

struct connection {
    int fd;
    bool busy;             /* a block is on its way */
    size_t sent, received; /* of this block */
    uint64_t sequence;     /* of this block; then how many came back */
    int64_t begun;         /* when this block was sent, or in the open loop: was due */
};

/* ---- The histogram --------------------------------------------------------------------------- */

/* Log-linear: nanoseconds below 128 are exact, and each power of two from there on has 64 buckets,
 * whose middle is at most 0.8 % off. */
enum { EXACT_BITS = 7, STEP = 1 << (EXACT_BITS - 1), BUCKET_COUNT = (64 - EXACT_BITS + 2) * STEP };

struct histogram {
    uint64_t counts[BUCKET_COUNT];
    uint64_t total;
    int64_t most;
};

static void histogram_add(struct histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    unsigned bits = value ? 64 - (unsigned)__builtin_clzll(value) : 0;
    unsigned shift = bits > EXACT_BITS ? bits - EXACT_BITS : 0;
    histogram->counts[shift * STEP + (value >> shift)]++;
    histogram->total++;
    if (ns > histogram->most)
        histogram->most = ns;
}

static double histogram_us(const struct histogram *histogram, double percentile)
{
    double wanted = (double)histogram->total * percentile / 100, seen = 0;
    for (unsigned bucket = 0; bucket < BUCKET_COUNT && histogram->total > 0; bucket++) {
        seen += (double)histogram->counts[bucket];
        if (seen < wanted || seen == 0)
            continue;
        unsigned shift = bucket < 2 * STEP ? 0 : bucket / STEP - 1;
        uint64_t low = (uint64_t)(bucket - shift * STEP) << shift;
        double middle = (double)low + (double)(((uint64_t)1 << shift) - 1) / 2;
        return (middle < (double)histogram->most ? middle : (double)histogram->most) / 1000;
    }
    return 0;
}

/* ---- State ----------------------------------------------------------------------------------- */

static struct {
    struct options options;
    int epoll;
    struct connection *connections;
    unsigned char *pattern; /* random bytes: where blocks get theirs from */
    unsigned char *block;   /* the one being sent */
    unsigned char received[RECEIVE_SIZE];
    bool measuring;
    uint64_t answered; /* since the start, warm-up included */
    struct histogram latency;
    uint64_t failures[FAILURE_COUNT];
    int last_errno;
    volatile sig_atomic_t stopped;
} load;

/* What main() reports of the measured window. */
struct result {
    double seconds, cpu, served_least, served_most;
    unsigned unserved;
};

/* A connection that failed stays closed: the run is lost, but the others show how far it goes. */
static void fail(struct connection *connection, enum failure failure)
{
    load.failures[failure]++;
    load.last_errno = failure == CLOSED_EARLY || failure == MISMATCH ? 0 : errno;
    close(connection->fd);
    connection->fd = -1;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* A block is a stamp of connection and sequence, then bytes of the pattern from a place that both
 * determine: what belongs to another connection, block or place does not compare equal. */

static uint64_t stamp_of(const struct connection *connection)
{
    return (uint64_t)(connection - load.connections + 1) << 40 ^ (connection->sequence + 1);
}

static const unsigned char *pattern_of(const struct connection *connection)
{
    uint64_t index = (uint64_t)(connection - load.connections);
    return load.pattern + (index * 131 + connection->sequence * 17) % TEMPLATE_SLACK;
}

static void make_block(const struct connection *connection)
{
    uint64_t stamp = stamp_of(connection);
    memcpy(load.block, pattern_of(connection), load.options.size);
    memcpy(load.block, &stamp, load.options.size < STAMP_SIZE ? load.options.size : STAMP_SIZE);
}

/* Whether these `n` bytes are the block's from place `from` on. */
static bool is_of_block(const struct connection *connection, size_t from,
                        const unsigned char *bytes, size_t n)
{
    uint64_t stamp = stamp_of(connection);
    if (from < STAMP_SIZE) {
        size_t part = n < STAMP_SIZE - from ? n : STAMP_SIZE - from;
        if (memcmp(bytes, (unsigned char *)&stamp + from, part) != 0)
            return false;
        bytes += part, from += part, n -= part;
    }
    return memcmp(bytes, pattern_of(connection) + from, n) == 0;
}

/* ---- Sending and receiving ------------------------------------------------------------------- */

/* Sends what the socket takes of the block; the event that it takes more calls this again. */
static void send_block(struct connection *connection)
{
    make_block(connection);
    while (connection->sent < load.options.size) {
        ssize_t sent = send(connection->fd, load.block + connection->sent,
                            load.options.size - connection->sent, MSG_NOSIGNAL);
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

/* When block `sequence` of the connection is due, in the open loop: the connections take turns. */
static int64_t due_time(const struct connection *connection, int64_t start)
{
    double number = (double)connection->sequence * load.options.connections +
                    (double)(connection - load.connections);
    return start + (int64_t)(number * 1e9 / load.options.rate);
}

/* The block is back. `start` of the open loop, 0 in the closed one; --idle sends no other. */
static void finish_block(struct connection *connection, int64_t start)
{
    int64_t now = now_ns();
    if (load.measuring)
        histogram_add(&load.latency, now - connection->begun);
    load.answered++;
    connection->sequence++;
    connection->busy = false;
    if (load.options.idle)
        return;
    if (load.options.rate == 0)
        begin_block(connection, now);
    else if (due_time(connection, start) <= now)
        begin_block(connection, due_time(connection, start));
}

/* Takes what has come, to the end: the events are edges. A receive that did not fill the buffer
 * took all there was. */
static void receive_block(struct connection *connection, bool hung_up, int64_t start)
{
    while (connection->fd >= 0) {
        ssize_t n = recv(connection->fd, load.received, sizeof load.received, 0);
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
            !is_of_block(connection, connection->received, load.received, (size_t)n)) {
            fail(connection, MISMATCH);
            return;
        }
        connection->received += (size_t)n;
        if (connection->received == load.options.size)
            finish_block(connection, start);
        if (!hung_up && n < (ssize_t)sizeof load.received)
            return;
    }
}

/* Handles the events there are, after waiting `milliseconds` for one. */
static void handle_events(int milliseconds, int64_t start)
{
    struct epoll_event events[EVENT_COUNT];
    int count = epoll_wait(load.epoll, events, EVENT_COUNT, milliseconds);
    for (int i = 0; i < count; i++) {
        struct connection *connection = &load.connections[events[i].data.u32];
        bool hung_up = events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
        if (connection->fd >= 0 && connection->busy && connection->sent < load.options.size)
            send_block(connection);
        if (connection->fd >= 0 && (hung_up || (events[i].events & EPOLLIN)))
            receive_block(connection, hung_up, start);
    }
}

/* ---- Connecting ------------------------------------------------------------------------------ */

/* Blocking, with a limit: then neither a full backlog nor a Unix socket's EAGAIN is a case. */
static int connect_one(const struct address *address)
{
    struct timeval limit = { .tv_sec = CONNECT_SECONDS };
    int on = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (!address->path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->size) < 0) {
        int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
        close(fd);
        errno = error;
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return fd;
}

static bool connect_all(void)
{
    for (unsigned i = 0; i < load.options.connections && !load.stopped; i++) {
        struct connection *connection = &load.connections[i];
        connection->fd = connect_one(&load.options.address);
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
            .data.u32 = i,
        };
        if (connection->fd < 0 ||
            epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) {
            fprintf(stderr, PROGRAM ": connection %u to %s: %s\n", i + 1, load.options.address_text,
                    strerror(errno));
            load.failures[FAILED_CONNECT]++;
            load.last_errno = errno;
            return false;
        }
    }
    return true;
}

/* ---- The runs -------------------------------------------------------------------------------- */

static uint64_t failure_total(void)
{
    uint64_t total = 0;
    for (int i = 0; i < FAILURE_COUNT; i++)
        total += load.failures[i];
    return total;
}

static void show_progress(int64_t now, int64_t start)
{
    static int64_t last;
    static uint64_t last_answered;
    if (load.options.quiet || load.options.json || !isatty(STDERR_FILENO))
        return;
    if (last == 0)
        last = start;
    if (now - last < 1000000000)
        return;
    double rate = (double)(load.answered - last_answered) * 1e9 / (double)(now - last);
    fprintf(stderr, "\r%5.0f s  %9.0f requests/s  %llu errors ", (double)(now - start) / 1e9, rate,
            (unsigned long long)failure_total());
    last = now;
    last_answered = load.answered;
}

/* Sends what is due by `now`, in turn. Who is busy sends when the block before is back. */
static uint64_t send_due(uint64_t next, int64_t now, int64_t start)
{
    uint64_t due = (uint64_t)((double)(now - start) * load.options.rate / 1e9) + 1;
    for (; next < due; next++) {
        struct connection *connection = &load.connections[next % load.options.connections];
        if (connection->fd >= 0 && !connection->busy)
            begin_block(connection, due_time(connection, start));
    }
    return next;
}

/* Runs the load for the warm-up and the measured window. The open loop polls without sleeping: a
 * late wake-up of the generator would count as the server's latency. */
static struct result run_load(void)
{
    bool open_loop = load.options.rate > 0;
    int64_t start = now_ns(), window = 0, now;
    int64_t measure_from = start + (int64_t)(load.options.warmup * 1e9);
    int64_t end = measure_from + (int64_t)(load.options.seconds * 1e9);
    double cpu = 0;
    uint64_t next = 0;
    for (unsigned i = 0; i < load.options.connections && !open_loop; i++)
        begin_block(&load.connections[i], start);
    while ((now = now_ns()) < end && !load.stopped) {
        if (!load.measuring && now >= measure_from) {
            load.measuring = true;
            window = now;
            cpu = cpu_seconds();
        }
        if (open_loop)
            next = send_due(next, now, start);
        handle_events(open_loop ? 0 : 10, start);
        show_progress(now, start);
    }
    if (window == 0)
        window = now;
    double seconds = (double)(now - window) / 1e9;
    return (struct result){ .seconds = seconds,
                            .cpu = seconds > 0 ? (cpu_seconds() - cpu) / seconds : 0 };
}

/* One block on each connection, until all are back. */
static void run_one_block_each(void)
{
    int64_t end = now_ns() + (int64_t)ANSWER_SECONDS * 1000000000;
    uint64_t answered = load.answered + load.options.connections;
    for (unsigned i = 0; i < load.options.connections && !load.stopped; i++) {
        if (load.connections[i].fd >= 0)
            begin_block(&load.connections[i], now_ns());
        if (i % 64 == 63)
            handle_events(0, 0);
    }
    while (load.answered + failure_total() < answered && now_ns() < end && !load.stopped)
        handle_events(10, 0);
}

/* --idle: a block on each connection, silence, and another block: they must still be served. */
static struct result run_idle(void)
{
    run_one_block_each();
    printf(PROGRAM ": %u connections, %llu served, now idle\n", load.options.connections,
           (unsigned long long)load.answered);
    fflush(stdout);
    int64_t start = now_ns(), end = start + (int64_t)(load.options.seconds * 1e9);
    while (now_ns() < end && !load.stopped)
        handle_events(10, 0); /* whatever comes is a failure */
    load.stopped = 0;         /* that ended the silence */
    load.measuring = true;
    run_one_block_each();
    return (struct result){ .seconds = (double)(now_ns() - start) / 1e9 };
}

/* ---- The report ------------------------------------------------------------------------------ */

static void count_served(struct result *result)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < load.options.connections; i++) {
        uint64_t served = load.connections[i].sequence;
        least = served < least ? served : least;
        most = served > most ? served : most;
        result->unserved += served < (load.options.idle ? 2 : 1);
    }
    result->served_least = (double)least;
    result->served_most = (double)most;
}

static void print_json(const struct result *result)
{
    const struct histogram *latency = &load.latency;
    printf("{\"connections\": %u, \"size\": %zu, \"seconds\": %.6f, \"requests\": %llu, "
           "\"requests_total\": %llu, \"requests_per_second\": %.1f, \"p50_us\": %.2f, "
           "\"p90_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, \"max_us\": %.2f, "
           "\"served_min\": %.0f, \"served_max\": %.0f, \"unserved\": %u, \"cpu\": %.3f, "
           "\"errors\": {",
           load.options.connections, load.options.size, result->seconds,
           (unsigned long long)latency->total, (unsigned long long)load.answered,
           result->seconds > 0 ? (double)latency->total / result->seconds : 0,
           histogram_us(latency, 50), histogram_us(latency, 90), histogram_us(latency, 99),
           histogram_us(latency, 99.9), (double)latency->most / 1000, result->served_least,
           result->served_most, result->unserved, result->cpu);
    for (int i = 0; i < FAILURE_COUNT; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", failure_names[i],
               (unsigned long long)load.failures[i]);
    printf("}}\n");
}

static void print_text(const struct result *result)
{
    const struct histogram *latency = &load.latency;
    printf("%u connections, %zu bytes a block, %.2f s%s\n", load.options.connections,
           load.options.size, result->seconds, load.stopped ? " (stopped early)" : "");
    printf("  requests    %llu (%.0f/s), %llu with the warm-up\n",
           (unsigned long long)latency->total,
           result->seconds > 0 ? (double)latency->total / result->seconds : 0,
           (unsigned long long)load.answered);
    printf("  latency us  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
           histogram_us(latency, 50), histogram_us(latency, 90), histogram_us(latency, 99),
           histogram_us(latency, 99.9), (double)latency->most / 1000);
    printf("  served      %.0f to %.0f requests a connection\n", result->served_least,
           result->served_most);
    printf("  generator   %.2f CPU%s\n", result->cpu, load.options.rate > 0 ? " (it polls)" : "");
}

static void print_complaints(const struct result *result)
{
    for (int i = 0; i < FAILURE_COUNT; i++)
        if (load.failures[i] > 0)
            fprintf(stderr, PROGRAM ": %llu connections failed: %s%s%s\n",
                    (unsigned long long)load.failures[i], failure_names[i],
                    load.last_errno ? ", the last with: " : "",
                    load.last_errno ? strerror(load.last_errno) : "");
    if (result->unserved > 0)
        fprintf(stderr, PROGRAM ": %u of %u connections were not served%s\n", result->unserved,
                load.options.connections, load.stopped ? ", stopped by a signal" : "");
    if (result->cpu >= 0.95 && load.options.rate == 0 && !load.options.quiet)
        fprintf(stderr, PROGRAM ": the generator is the bottleneck: compare server CPU per "
                                "request, not requests/s\n");
    double wanted = load.options.rate * result->seconds;
    if (wanted > 0 && (double)load.latency.total < 0.98 * wanted - load.options.connections)
        fprintf(stderr, PROGRAM ": %.0f%% of the rate asked for was reached\n",
                100 * (double)load.latency.total / wanted);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void print_help(void)
{
    printf("load: loads an echo server, checks every byte, and reports rate and latency\n\n"
           "usage: load --connect HOST:PORT|unix:PATH [OPTION...]\n\n"
           "  --connections N  how many, all open from the start (64)\n"
           "  --size BYTES     of a block (64)\n"
           "  --seconds S      how long to measure (2), or with --idle: to hold\n"
           "  --warmup S       load before that which is not measured (0.5)\n"
           "  --rate R         blocks a second, on a fixed schedule, over all connections;\n"
           "                   0: each connection as fast as it is answered (0)\n"
           "  --idle           send one block on each connection, say so on stdout, hold them\n"
           "                   silent, and send one more\n"
           "  --json           the report as one line of JSON\n"
           "  --quiet          no progress, no advice\n"
           "  --help           this text\n\n"
           "Exit status: 0 all served and equal, 1 errors or unserved connections, 2 usage.\n");
}

static void take_option(int option, struct options *options)
{
    switch (option) {
    case 'c':
        options->address_text = optarg;
        break;
    case 'n':
        options->connections = (unsigned)parse_number(PROGRAM, "connections", optarg, 1, 1e6);
        break;
    case 's':
        options->size = (size_t)parse_number(PROGRAM, "size", optarg, 1, 1 << 28);
        break;
    case 't':
        options->seconds = parse_number(PROGRAM, "seconds", optarg, 0.01, 1e6);
        break;
    case 'w':
        options->warmup = parse_number(PROGRAM, "warmup", optarg, 0, 1e6);
        break;
    case 'r':
        options->rate = parse_number(PROGRAM, "rate", optarg, 0, 1e8);
        break;
    case 'i':
        options->idle = true;
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'h':
        print_help();
        exit(EXIT_OK);
    default:
        die(PROGRAM, EXIT_USAGE, "wrong option; see load --help");
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "connect", required_argument, NULL, 'c' },
        { "connections", required_argument, NULL, 'n' },
        { "size", required_argument, NULL, 's' },
        { "seconds", required_argument, NULL, 't' },
        { "warmup", required_argument, NULL, 'w' },
        { "rate", required_argument, NULL, 'r' },
        { "idle", no_argument, NULL, 'i' },
        { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .connections = 64, .size = 64, .seconds = 2, .warmup = 0.5 };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        take_option(option, &options);
    if (optind != argc)
        die(PROGRAM, EXIT_USAGE, "unexpected argument '%s'; see load --help", argv[optind]);
    if (!options.address_text)
        die(PROGRAM, EXIT_USAGE, "--connect is missing; see load --help");
    if (!address_parse(options.address_text, &options.address))
        die(PROGRAM, EXIT_USAGE, "'%s' is no HOST:PORT or unix:PATH", options.address_text);
    return options;
}

static void stop_on_signal(int number)
{
    (void)number;
    load.stopped = 1;
}

static void set_up(void)
{
    size_t pattern_size = load.options.size + TEMPLATE_SLACK;
    unsigned limit = raise_descriptor_limit();
    if (limit < load.options.connections + 16)
        die(PROGRAM, EXIT_FAILED, "%u connections need more descriptors than ulimit -n allows: %u",
            load.options.connections, limit);
    load.connections = calloc(load.options.connections, sizeof *load.connections);
    load.pattern = malloc(pattern_size);
    load.block = malloc(load.options.size < STAMP_SIZE ? STAMP_SIZE : load.options.size);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.connections || !load.pattern || !load.block || load.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    uint64_t random = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < pattern_size; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        load.pattern[i] = (unsigned char)(random >> 32);
    }
    for (unsigned i = 0; i < load.options.connections; i++)
        load.connections[i].fd = -1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, stop_on_signal);
    signal(SIGTERM, stop_on_signal);
}

int main(int argc, char **argv)
{
    load.options = parse_options(argc, argv);
    set_up();
    struct result result = { .seconds = 0 };
    if (connect_all())
        result = load.options.idle ? run_idle() : run_load();
    count_served(&result);
    if (!load.options.quiet && !load.options.json && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (load.options.json)
        print_json(&result);
    else
        print_text(&result);
    print_complaints(&result);
    return failure_total() == 0 && result.unserved == 0 ? EXIT_OK : EXIT_FAILED;
}
