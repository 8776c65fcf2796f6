/* Loads a server with streams in bulk, for bench/bench and for anyone by hand.
 *
 * To a server in mode sink it sends blocks out of one hot buffer, and at the end wants to be told
 * how many bytes came. From one in mode source it asks for more than can ever come, compares every
 * byte, and leaves at the end.
 *
 * It is one thread on epoll; each stream has one call a turn, so that none starves.
 */
#include "load_common.h"
#include "pattern.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#define PROGRAM "load_bulk"

enum {
    EVENT_COUNT = 512,
    RECEIVE_SIZE = 128 * 1024, /* 64 KiB was cheaper for one stream, 256 KiB for 16 */
    COUNT_SECONDS = 10,        /* that a sink has to take the rest and to tell how much it got */
    COUNT_SIZE = 8,
};

static const uint64_t ENDLESS = UINT64_C(1) << 50; /* bytes that a source is asked for */

struct stream {
    int fd;
    bool ready;     /* a call may get on: what an event says, and a full or empty socket ends */
    bool hung_up;   /* an EOF or an error is behind the bytes: no event will tell again */
    uint64_t moved; /* bytes sent, or received */
    size_t counted; /* bytes of the sink's count that have come */
    unsigned char count[COUNT_SIZE];
};

static struct {
    struct load_options options;
    bool sends, directed;
    size_t block;
    unsigned stream_count, ready_count; /* the latter: for whom the next turn need not wait */
    int epoll;
    struct stream *streams;
    unsigned char *pattern;
    unsigned char received[RECEIVE_SIZE];
    struct window window;
    uint64_t bytes, bytes_total; /* in the window; and all that the server has to do with */
} load = { .block = 64 * 1024, .stream_count = 1 };

/* A stream that failed stays closed: the run is lost, but the others show how far it goes. */
static void fail(struct stream *stream, enum failure failure)
{
    count_failure(failure);
    close(stream->fd);
    stream->fd = -1;
}

static void count_bytes(struct stream *stream, size_t n)
{
    stream->moved += n;
    load.bytes_total += n;
    load.bytes += load.window.measuring ? n : 0;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The rest of the block that the stream is in. */
static void send_some(struct stream *stream)
{
    size_t from = stream->moved % load.block;
    ssize_t n = send(stream->fd, load.pattern + from, load.block - from, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail(stream, FAILED_SEND);
        return;
    }
    if (n < (ssize_t)(load.block - from))
        stream->ready = n < 0 && errno == EINTR;
    count_bytes(stream, n > 0 ? (size_t)n : 0);
}

/* After the end of sending: 8 bytes, big-endian, and EOF. */
static void receive_count(struct stream *stream)
{
    unsigned char spare;
    bool whole = stream->counted == COUNT_SIZE;
    ssize_t n = recv(stream->fd, whole ? &spare : stream->count + stream->counted,
                     whole ? sizeof spare : COUNT_SIZE - stream->counted, 0);
    uint64_t count;
    memcpy(&count, stream->count, sizeof count);
    if (n < 0 && errno == EAGAIN) {
        stream->ready = false;
    } else if (n < 0 && errno != EINTR) {
        fail(stream, FAILED_RECEIVE);
    } else if (n > 0) {
        if (whole)
            fail(stream, MISMATCH);
        else
            stream->counted += (size_t)n;
    } else if (n == 0) {
        if (!whole || be64toh(count) != stream->moved)
            fail(stream, whole ? MISMATCH : CLOSED_EARLY);
        else
            close(stream->fd);
        stream->fd = -1;
    }
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void ask_source(struct stream *stream)
{
    uint64_t request[2] = { htobe64(ENDLESS), htobe64(load.block) };
    if (send(stream->fd, request, sizeof request, MSG_NOSIGNAL) != sizeof request)
        fail(stream, FAILED_SEND);
}

/* Byte i of a stream is byte i % block of the pattern. */
static bool is_of_stream(const struct stream *stream, const unsigned char *bytes, size_t n)
{
    size_t from = stream->moved % load.block;
    while (n > 0) {
        size_t part = n < load.block - from ? n : load.block - from;
        if (memcmp(bytes, load.pattern + from, part) != 0)
            return false;
        bytes += part, n -= part;
        from = 0;
    }
    return true;
}

/* A receive that did not fill the buffer took all there was. */
static void receive_some(struct stream *stream)
{
    ssize_t n = recv(stream->fd, load.received, sizeof load.received, 0);
    if (n < 0 && errno == EAGAIN) {
        stream->ready = false;
    } else if (n < 0 && errno != EINTR) {
        fail(stream, FAILED_RECEIVE);
    } else if (n == 0) {
        fail(stream, CLOSED_EARLY);
    } else if (n > 0 && !is_of_stream(stream, load.received, (size_t)n)) {
        fail(stream, MISMATCH);
    } else if (n > 0) {
        stream->ready = n == (ssize_t)sizeof load.received || stream->hung_up;
        count_bytes(stream, (size_t)n);
    }
}

/* Leaves. What has come and was not received the server has sent nonetheless. */
static void leave_source(struct stream *stream)
{
    int unread = 0;
    if (ioctl(stream->fd, FIONREAD, &unread) == 0)
        load.bytes_total += (uint64_t)unread;
    close(stream->fd);
    stream->fd = -1;
}

/* ---- The run --------------------------------------------------------------------------------- */

static bool connect_all(void)
{
    for (unsigned i = 0; i < load.stream_count && !stopped; i++) {
        struct stream *stream = &load.streams[i];
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
            .data.u32 = i,
        };
        stream->fd = connect_one(&load.options.address);
        if (stream->fd < 0 || epoll_ctl(load.epoll, EPOLL_CTL_ADD, stream->fd, &event) < 0) {
            count_failure(FAILED_CONNECT);
            fprintf(stderr, PROGRAM ": stream %u to %s: %s\n", i + 1, load.options.address_text,
                    strerror(errno));
            return false;
        }
        if (!load.sends)
            ask_source(stream);
    }
    return true;
}

/* One call of each stream that may get on, after waiting for one. Returns how many are open. */
static unsigned take_turn(void (*step)(struct stream *))
{
    struct epoll_event events[EVENT_COUNT];
    int count = epoll_wait(load.epoll, events, EVENT_COUNT, load.ready_count ? 0 : 10);
    for (int i = 0; i < count; i++) {
        struct stream *stream = &load.streams[events[i].data.u32];
        stream->ready = true;
        stream->hung_up = events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    }
    unsigned open = 0;
    load.ready_count = 0;
    for (unsigned i = 0; i < load.stream_count; i++) {
        struct stream *stream = &load.streams[i];
        if (stream->fd >= 0 && stream->ready)
            step(stream);
        open += stream->fd >= 0;
        load.ready_count += stream->fd >= 0 && stream->ready;
    }
    return open;
}

/* Ends all streams to a sink, and has it say what it got. */
static void finish_sending(void)
{
    int64_t end = now_ns() + (int64_t)COUNT_SECONDS * 1000000000;
    for (unsigned i = 0; i < load.stream_count; i++) {
        load.streams[i].ready = true; /* its event may have been before */
        shutdown(load.streams[i].fd, SHUT_WR);
    }
    while (take_turn(receive_count) > 0 && now_ns() < end)
        continue;
    for (unsigned i = 0; i < load.stream_count; i++)
        if (load.streams[i].fd >= 0)
            fail(&load.streams[i], TIMED_OUT);
}

static void run_load(void)
{
    window_begin(&load.window, &load.options);
    while (window_goes_on(&load.window)) {
        take_turn(load.sends ? send_some : receive_some);
        show_progress(&load.options, &load.window, (double)load.bytes_total / 1e6, "MB");
    }
    window_finish(&load.window);
    if (load.sends)
        finish_sending();
    for (unsigned i = 0; i < load.stream_count; i++)
        if (load.streams[i].fd >= 0)
            leave_source(&load.streams[i]);
}

/* ---- The report ------------------------------------------------------------------------------ */

/* Bytes of the least and the most served stream, and how many had none. */
struct service {
    uint64_t least, most;
    unsigned unserved;
};

static struct service count_served(void)
{
    struct service service = { .least = UINT64_MAX };
    for (unsigned i = 0; i < load.stream_count; i++) {
        uint64_t moved = load.streams[i].moved;
        service.least = moved < service.least ? moved : service.least;
        service.most = moved > service.most ? moved : service.most;
        service.unserved += moved == 0;
    }
    return service;
}

static void print_json(const struct service *service)
{
    printf("{\"direction\": \"%s\", \"streams\": %u, \"block\": %zu, ",
           load.sends ? "send" : "receive", load.stream_count, load.block);
    window_print_json(&load.window);
    printf(", \"bytes\": %llu, \"bytes_total\": %llu, \"gb_per_second\": %.4f, "
           "\"served_min\": %llu, \"served_max\": %llu, \"unserved\": %u, ",
           (unsigned long long)load.bytes, (unsigned long long)load.bytes_total,
           window_rate(&load.window, (double)load.bytes) / 1e9, (unsigned long long)service->least,
           (unsigned long long)service->most, service->unserved);
    print_failures_json();
    printf("}\n");
}

static void print_text(const struct service *service)
{
    printf("%u streams %s, blocks of %zu bytes, %.2f s%s\n", load.stream_count,
           load.sends ? "sent" : "received", load.block, load.window.seconds,
           stopped ? " (stopped early)" : "");
    printf("  bytes       %llu (%.3f GB/s), %llu with all before and after\n",
           (unsigned long long)load.bytes, window_rate(&load.window, (double)load.bytes) / 1e9,
           (unsigned long long)load.bytes_total);
    printf("  served      %.1f to %.1f MB a stream\n", (double)service->least / 1e6,
           (double)service->most / 1e6);
    printf("  generator   %.2f CPU\n", load.window.cpu);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void take_option(int option, const char *argument)
{
    switch (option) {
    case 'd':
        load.sends = strcmp(argument, "send") == 0;
        load.directed = load.sends || strcmp(argument, "receive") == 0;
        if (!load.directed)
            die(PROGRAM, EXIT_USAGE, "--direction is send or receive, not '%s'", argument);
        break;
    case 'b':
        load.block = (size_t)parse_number(PROGRAM, "block", argument, 1, PATTERN_SIZE);
        break;
    case 's':
        load.stream_count = (unsigned)parse_number(PROGRAM, "streams", argument, 1, 1e5);
        break;
    }
}

static const struct load_program program = {
    .name = PROGRAM,
    .help =
        "load_bulk: sends to a sink or receives from a source, checks it, and reports rates\n\n"
        "usage: load_bulk --connect HOST:PORT|unix:PATH --direction send|receive [OPTION...]\n\n"
        "  --direction WAY  send: to a server in mode sink, which must tell at the end how\n"
        "                   many bytes came; receive: from one in mode source, whose every\n"
        "                   byte is compared\n"
        "  --block BYTES    of a send, here or at the source, to 1 MiB (65536)\n"
        "  --streams N      how many, all open from the start (1)\n"
        "  --seconds S      how long to measure (2)\n"
        "  --warmup S       load before that which is not measured (0.5)\n",
    .options = { { "direction", required_argument, NULL, 'd' },
                 { "block", required_argument, NULL, 'b' },
                 { "streams", required_argument, NULL, 's' } },
    .take = take_option,
};

static void set_up(void)
{
    raise_limit_for(PROGRAM, load.stream_count);
    load.streams = calloc(load.stream_count, sizeof *load.streams);
    load.pattern = bench_pattern(PATTERN_SIZE);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.streams || load.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    for (unsigned i = 0; i < load.stream_count; i++)
        load.streams[i].fd = -1;
}

int main(int argc, char **argv)
{
    load.options = parse_load_options(&program, argc, argv);
    if (!load.directed)
        die(PROGRAM, EXIT_USAGE, "--direction is missing; see " PROGRAM " --help");
    set_up();
    catch_signals();
    if (connect_all())
        run_load();
    struct service service = count_served();
    end_progress(&load.options);
    if (load.options.json)
        print_json(&service);
    else
        print_text(&service);
    print_failures(PROGRAM);
    print_unserved(PROGRAM, service.unserved, load.stream_count);
    advise(PROGRAM, &load.options, &load.window, "byte");
    return failure_total() == 0 && service.unserved == 0 ? EXIT_OK : EXIT_FAILED;
}
