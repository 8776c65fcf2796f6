/* Loads a server with short connections, for bench/bench and for anyone by hand: connect, send a
 * request, take the answer and the server's end, close, and again.
 *
 * A connection costs its client more than its server, so it is spared what it can do without. The
 * request is sent straight after the connect, which over loopback is done by then. Of the answer
 * nothing is heard until the server's FIN: then all of it is there, for one receive.
 *
 * The server closes first, and has the TIME_WAIT. These are 60 seconds in a table of the kernel's,
 * and when that is full (tcp_max_tw_buckets) closing costs a server less than before. Therefore
 * the client goes round few addresses and ports of its own: a new connection from the same one
 * takes the place of the old one's TIME_WAIT.
 */
#include "histogram.h"
#include "load_common.h"

#include <sys/epoll.h>

#define PROGRAM "load_churn"
#define HTTP_REQUEST "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
#define HTTP_BODY "Hello, World!"
#define ECHO_REQUEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n"

enum {
    EVENT_COUNT = 512,
    ANSWER_MOST = 4096,
    SOURCE_FIRST = 2, /* 127.0.0.2 to 127.0.0.249 */
    SOURCE_COUNT = 248,
    PORT_FIRST = 20000, /* below those that the kernel gives out */
    PORT_COUNT = 16,
    BIND_ATTEMPTS = 256,
    LAST_SECONDS = 5, /* that the connections may take which are open at the end */
};

struct connection {
    int fd;    /* -1: it failed, or the load has ended */
    bool sent; /* the request */
    int64_t begun;
    uint64_t served;
};

static struct {
    struct load_options options;
    unsigned connection_count, open;
    bool echo;
    const char *request;
    size_t request_size;
    int epoll;
    struct connection *connections;
    uint32_t source; /* how many addresses and ports were tried */
    struct window window;
    uint64_t answered; /* since the start, warm-up included */
    struct histogram latency;
} load = { .connection_count = 64 };

/* A connection that failed is not followed by another: the run is lost, but the others show how far
 * it goes. */
static void fail(struct connection *connection, enum failure failure)
{
    count_failure(failure);
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    load.open--;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Over IPv4's loopback only: elsewhere the kernel chooses. So it does with echo, where the client
 * closes first, and the next connection must not be from the same port. */
static bool choose_source(int fd)
{
    const struct sockaddr_in *server = (const struct sockaddr_in *)&load.options.address.storage;
    int on = 1;
    if (server->sin_family != AF_INET || ntohl(server->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        return true;
    if (load.echo)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    for (int attempt = 0; attempt < BIND_ATTEMPTS; attempt++) {
        uint32_t host = load.source % SOURCE_COUNT, port = load.source / SOURCE_COUNT % PORT_COUNT;
        struct sockaddr_in source = {
            .sin_family = AF_INET,
            .sin_port = htons(load.echo ? 0 : (uint16_t)(PORT_FIRST + port)),
            .sin_addr.s_addr = htonl((IN_LOOPBACKNET << 24) + SOURCE_FIRST + host),
        };
        load.source++;
        if (bind(fd, (const struct sockaddr *)&source, sizeof source) == 0)
            return true;
        if (errno != EADDRINUSE) /* the connection before is not gone yet */
            return false;
    }
    return false;
}

/* With echo it ends its side at once: a server sends everything back, and closes. */
static bool send_request(struct connection *connection)
{
    ssize_t n = send(connection->fd, load.request, load.request_size, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN; /* it is not connected yet */
    connection->sent = n == (ssize_t)load.request_size;
    if (load.echo)
        shutdown(connection->fd, SHUT_WR);
    return connection->sent;
}

static void open_connection(struct connection *connection)
{
    const struct address *address = &load.options.address;
    connection->begun = now_ns();
    connection->sent = false;
    connection->fd =
        socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    load.open++;
    if (connection->fd < 0 || !choose_source(connection->fd) ||
        (connect(connection->fd, (const struct sockaddr *)&address->storage, address->size) < 0 &&
         errno != EINPROGRESS)) {
        fail(connection, FAILED_CONNECT);
        return;
    }
    if (!send_request(connection)) {
        fail(connection, errno == ECONNREFUSED ? FAILED_CONNECT : FAILED_SEND);
        return;
    }
    struct epoll_event event = {
        .events = EPOLLRDHUP | EPOLLET | (connection->sent ? 0 : EPOLLOUT),
        .data.u32 = (uint32_t)(connection - load.connections),
    };
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail(connection, FAILED_CONNECT);
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* Status 200 and the body, under any headers. */
static bool is_http_answer(const char *bytes, size_t n)
{
    const char *end = memmem(bytes, n, "\r\n\r\n", 4);
    const size_t body_size = strlen(HTTP_BODY);
    return end && memcmp(bytes, "HTTP/1.", 7) == 0 && memcmp(bytes + 8, " 200 ", 5) == 0 &&
           (size_t)(bytes + n - end) == 4 + body_size && memcmp(end + 4, HTTP_BODY, body_size) == 0;
}

static bool is_answer(const char *bytes, size_t n)
{
    if (load.echo)
        return n == load.request_size && memcmp(bytes, load.request, n) == 0;
    return n > strlen("HTTP/1.1 200 ") && is_http_answer(bytes, n);
}

/* The server has closed: what it sent before is all here. */
static void take_answer(struct connection *connection)
{
    char bytes[ANSWER_MOST];
    ssize_t n = recv(connection->fd, bytes, sizeof bytes, 0);
    if (n < 0) {
        fail(connection, connection->sent ? FAILED_RECEIVE : FAILED_CONNECT);
    } else if (n == 0) {
        fail(connection, CLOSED_EARLY);
    } else if (!is_answer(bytes, (size_t)n)) {
        fail(connection, MISMATCH);
    } else {
        close(connection->fd); /* which takes it out of the epoll set */
        if (load.window.measuring)
            histogram_add(&load.latency, now_ns() - connection->begun);
        connection->fd = -1;
        connection->served++;
        load.answered++;
        load.open--;
    }
}

/* ---- The run --------------------------------------------------------------------------------- */

/* Handles the events there are, after waiting for one; each closed connection is followed by
 * another if `again`. */
static void handle_events(bool again)
{
    struct epoll_event events[EVENT_COUNT];
    int count = epoll_wait(load.epoll, events, EVENT_COUNT, 10);
    for (int i = 0; i < count; i++) {
        struct connection *connection = &load.connections[events[i].data.u32];
        uint64_t served = connection->served;
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            take_answer(connection);
        else if (!connection->sent && !send_request(connection))
            fail(connection, FAILED_SEND);
        if (connection->served > served && again)
            open_connection(connection);
    }
}

/* Lets the connections that are open come to their end: the server has worked for them, too. */
static void finish_all(void)
{
    int64_t end = now_ns() + (int64_t)LAST_SECONDS * 1000000000;
    while (load.open > 0 && now_ns() < end)
        handle_events(false);
    for (unsigned i = 0; i < load.connection_count; i++)
        if (load.connections[i].fd >= 0)
            fail(&load.connections[i], TIMED_OUT);
}

static void run_load(void)
{
    window_begin(&load.window, &load.options);
    for (unsigned i = 0; i < load.connection_count && !stopped; i++)
        open_connection(&load.connections[i]);
    while (load.open > 0 && window_goes_on(&load.window)) {
        handle_events(true);
        show_progress(&load.options, &load.window, (double)load.answered, "connections");
    }
    window_finish(&load.window);
    finish_all();
}

/* ---- The report ------------------------------------------------------------------------------ */

/* Connections of the least and the most served of those that run at a time, and how many of these
 * had none. */
struct service {
    uint64_t least, most;
    unsigned unserved;
};

static struct service count_served(void)
{
    struct service service = { .least = UINT64_MAX };
    for (unsigned i = 0; i < load.connection_count; i++) {
        uint64_t served = load.connections[i].served;
        service.least = served < service.least ? served : service.least;
        service.most = served > service.most ? served : service.most;
        service.unserved += served == 0;
    }
    return service;
}

static void print_json(const struct service *service)
{
    printf("{\"connections\": %u, ", load.connection_count);
    window_print_json(&load.window);
    printf(", \"requests\": %llu, \"requests_total\": %llu, \"requests_per_second\": %.1f, ",
           (unsigned long long)load.latency.total, (unsigned long long)load.answered,
           window_rate(&load.window, (double)load.latency.total));
    histogram_print_json(&load.latency);
    printf(", \"served_min\": %llu, \"served_max\": %llu, \"unserved\": %u, ",
           (unsigned long long)service->least, (unsigned long long)service->most,
           service->unserved);
    print_failures_json();
    printf("}\n");
}

static void print_text(const struct service *service)
{
    printf("%u connections at a time, %.2f s%s\n", load.connection_count, load.window.seconds,
           stopped ? " (stopped early)" : "");
    printf("  connections %llu (%.0f/s), %llu with all before and after\n",
           (unsigned long long)load.latency.total,
           window_rate(&load.window, (double)load.latency.total),
           (unsigned long long)load.answered);
    printf("  latency us  ");
    histogram_print_text(&load.latency);
    printf("  served      %llu to %llu in a row\n", (unsigned long long)service->least,
           (unsigned long long)service->most);
    printf("  generator   %.2f CPU\n", load.window.cpu);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void take_option(int option, const char *argument)
{
    switch (option) {
    case 'n':
        load.connection_count = (unsigned)parse_number(PROGRAM, "connections", argument, 1,
                                                       SOURCE_COUNT * PORT_COUNT / 2);
        break;
    case 'r':
        load.echo = strcmp(argument, "echo") == 0;
        if (!load.echo && strcmp(argument, "http") != 0)
            die(PROGRAM, EXIT_USAGE, "--request is http or echo, not '%s'", argument);
        break;
    }
}

static const struct load_program program = {
    .name = PROGRAM,
    .help = "load_churn: loads a server with short connections, checks every answer, and reports\n"
            "rate and latency of all: connect, request, answer and its end, close\n\n"
            "usage: load_churn --connect HOST:PORT|unix:PATH [OPTION...]\n\n"
            "  --connections N  how many at a time (64)\n"
            "  --request WHAT   http: GET /, whose answer must have status 200 and the body\n"
            "                   \"" HTTP_BODY "\", and the server closes first;\n"
            "                   echo: 64 bytes and the end, which must come back (http)\n"
            "  --seconds S      how long to measure (2)\n"
            "  --warmup S       load before that which is not measured (0.5)\n",
    .options = { { "connections", required_argument, NULL, 'n' },
                 { "request", required_argument, NULL, 'r' } },
    .take = take_option,
};

static void set_up(void)
{
    raise_limit_for(PROGRAM, load.connection_count);
    load.request = load.echo ? ECHO_REQUEST : HTTP_REQUEST;
    load.request_size = strlen(load.request);
    load.connections = calloc(load.connection_count, sizeof *load.connections);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.connections || load.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    for (unsigned i = 0; i < load.connection_count; i++)
        load.connections[i].fd = -1;
}

int main(int argc, char **argv)
{
    load.options = parse_load_options(&program, argc, argv);
    set_up();
    catch_signals();
    run_load();
    struct service service = count_served();
    end_progress(&load.options);
    if (load.options.json)
        print_json(&service);
    else
        print_text(&service);
    print_failures(PROGRAM);
    print_unserved(PROGRAM, service.unserved, load.connection_count);
    advise(PROGRAM, &load.options, &load.window, "connection");
    return failure_total() == 0 && service.unserved == 0 ? EXIT_OK : EXIT_FAILED;
}
