/* Bulk by hand on epoll: a sink that counts what comes, and a source that sends what is asked for.
 *
 * The sink receives into one hot buffer, the source sends from one hot block. Level-triggered: each
 * ready connection has a turn of a few receives or sends, so that no stream waits long for another.
 * Buffers of 64 and 256 KiB were tried: within the noise.
 */
#include "pattern.h"
#include "raw_epoll.h"

#define PROGRAM "raw_epoll_bulk"

enum {
    BUFFER_SIZE = 128 * 1024,
    TURN_SIZE = 1024 * 1024, /* bytes after which a connection's turn ends */
};

/* A connection has its fd as its index. */
struct connection {
    uint64_t moved; /* bytes received or sent */
    struct source_request request;
    unsigned char asked[SOURCE_REQUEST_SIZE]; /* of the request, what has come */
    size_t asked_size;
};

static struct {
    int epoll, listener;
    enum server_mode mode;
    struct connection *connections;
    const unsigned char *pattern;
    unsigned char buffer[BUFFER_SIZE];
} server;

/* ---- The sink: false says that the connection is over ---------------------------------------- */

static bool take(int fd)
{
    struct connection *connection = &server.connections[fd];
    for (size_t turn = 0; turn < TURN_SIZE; turn += BUFFER_SIZE) {
        ssize_t received = recv(fd, server.buffer, BUFFER_SIZE, 0);
        if (received < 0)
            return is_full(received);
        connection->moved += (uint64_t)received;
        if (received == 0) {
            uint64_t count = htobe64(connection->moved);
            send(fd, &count, sizeof count, MSG_NOSIGNAL); /* the first: there is room for it */
            return false;
        }
        if (received < BUFFER_SIZE) /* it was all there was: another would only see EAGAIN */
            break;
    }
    return true;
}

/* ---- The source: the same -------------------------------------------------------------------- */

static bool give(int fd)
{
    struct connection *connection = &server.connections[fd];
    const struct source_request *request = &connection->request;
    size_t turn = 0, size;
    while (turn < TURN_SIZE && (size = source_left(request, connection->moved)) > 0) {
        const unsigned char *bytes = server.pattern + connection->moved % request->block;
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0)
            return is_full(sent);
        connection->moved += (uint64_t)sent;
        turn += (size_t)sent;
        if ((size_t)sent < size)
            break;
    }
    return connection->moved < request->total;
}

static bool take_request(int fd)
{
    struct connection *connection = &server.connections[fd];
    ssize_t received = recv(fd, connection->asked + connection->asked_size,
                            SOURCE_REQUEST_SIZE - connection->asked_size, 0);
    if (received <= 0)
        return is_full(received);
    connection->asked_size += (size_t)received;
    if (connection->asked_size < SOURCE_REQUEST_SIZE)
        return true;
    struct epoll_event event = { .events = EPOLLOUT, .data.fd = fd };
    return source_request_decode(connection->asked, &connection->request) &&
           epoll_ctl(server.epoll, EPOLL_CTL_MOD, fd, &event) == 0 && give(fd);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void serve(int fd)
{
    bool lives;
    if (server.mode == MODE_SINK)
        lives = take(fd);
    else if (server.connections[fd].asked_size < SOURCE_REQUEST_SIZE)
        lives = take_request(fd);
    else
        lives = give(fd);
    if (lives)
        return;
    server.connections[fd] = (struct connection){ .moved = 0 };
    close(fd); /* which takes it out of the epoll set */
}

static void accept_all(void)
{
    int fd;
    while ((fd = accept_one(server.listener)) >= 0)
        watch(PROGRAM, server.epoll, fd, EPOLLIN);
}

int main(int argc, char **argv)
{
    static const struct server_program program = {
        .name = PROGRAM,
        .what = "a sink and a source of bulk on epoll, written by hand",
        .modes = MODE_SINK | MODE_SOURCE,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    server.mode = options.mode;
    server.pattern = bench_pattern(PATTERN_SIZE);
    server.connections = calloc(raise_descriptor_limit(), sizeof *server.connections);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!server.connections || server.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    server.listener = listen_on(PROGRAM, &options.address);
    watch(PROGRAM, server.epoll, server.listener, EPOLLIN);
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        struct epoll_event events[EVENT_COUNT];
        int count = epoll_wait(server.epoll, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == server.listener)
                accept_all();
            else
                serve(events[i].data.fd);
        }
    }
}
