/* The servers of the benchmark on libevent, by its bufferevents.
 *
 * What is received is sent at once, out of the buffer in which it came; what the socket does not
 * take is moved, not copied, to the buffer of the bufferevent, which sends it when it can. While
 * more than QUEUE_HIGH waits there, its sender is not read.
 *
 * A bufferevent of libevent 2.1 receives 4 KiB at a time, however much there is: then the rest is
 * received past it. The sink, which has nothing to buffer, is an event and one hot block.
 */
#include "peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "libevent"

enum {
    QUEUE_HIGH = 256 * 1024,
    QUEUE_LOW = QUEUE_HIGH / 4,
    SEND_MOST = 1024 * 1024, /* in one call; libevent's own limit is 16 KiB */
    BUFFEREVENT_BLOCK = 4 * 1024,
    TURNS = 16, /* in which one connection receives blocks, before others have theirs */
};

/* A socket of a connection. What it receives goes to `to`: itself, or the other one of a proxy. */
struct end {
    struct bufferevent *buffered;
    struct end *to;
    struct connection *connection;
    bool is_paused; /* not read, as too much waits to be sent */
    bool is_last;   /* nothing follows what waits to be sent */
};

struct connection {
    struct end client, server; /* the server's only for a proxy */
    int directions;            /* not yet ended */
    uint32_t window;           /* see peer_answer() */
    struct peer_source source;
};

struct sink {
    struct event *readable;
    uint64_t count;
};

static struct {
    struct peer peer;
    struct event_base *base;
    struct evbuffer *more; /* see forward() */
} server;

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        peer_die(PROGRAM, "calloc", "out of memory");
    return memory;
}

static size_t waiting(const struct end *end)
{
    return evbuffer_get_length(bufferevent_get_output(end->buffered));
}

/* ---- Ending ---------------------------------------------------------------------------------- */

static void close_connection(struct connection *connection)
{
    bufferevent_free(connection->client.buffered);
    if (connection->server.buffered)
        bufferevent_free(connection->server.buffered);
    free(connection);
}

/* Ends the direction to `to` if nothing is left of it. False: that was the last, and the connection
 * is no more. */
static bool end_if_sent(struct end *to)
{
    struct connection *connection = to->connection;
    if (!to->is_last || waiting(to) > 0)
        return true;
    to->is_last = false;
    if (--connection->directions > 0) {
        shutdown(bufferevent_getfd(to->buffered), SHUT_WR);
        return true;
    }
    close_connection(connection);
    return false;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void pause_if_full(struct end *from)
{
    if (waiting(from->to) > QUEUE_HIGH) {
        bufferevent_disable(from->buffered, EV_READ);
        from->is_paused = true;
    }
}

/* Of what `from` has received. */
static void relay(struct end *from, struct evbuffer *received)
{
    struct end *to = from->to;
    if (waiting(to) == 0)
        evbuffer_write(received, bufferevent_getfd(to->buffered));
    if (evbuffer_get_length(received) > 0) {
        bufferevent_write_buffer(to->buffered, received);
        pause_if_full(from);
    }
}

/* If the bufferevent has received as much as it can, there may be more. An EOF or an error it will
 * find by itself. */
static void forward(struct end *from)
{
    struct evbuffer *received = bufferevent_get_input(from->buffered);
    bool may_be_more = evbuffer_get_length(received) >= BUFFEREVENT_BLOCK;
    relay(from, received);
    for (int turn = 0; may_be_more && !from->is_paused && turn < TURNS; turn++) {
        struct evbuffer_iovec space;
        if (evbuffer_reserve_space(server.more, PEER_BLOCK_SIZE, &space, 1) < 1)
            return;
        ssize_t size = recv(bufferevent_getfd(from->buffered), space.iov_base, PEER_BLOCK_SIZE, 0);
        space.iov_len = size > 0 ? (size_t)size : 0;
        evbuffer_commit_space(server.more, &space, 1);
        relay(from, server.more);
        may_be_more = size == PEER_BLOCK_SIZE;
    }
}

/* What stays where it is. Errors come back when the bufferevent sends the rest. */
static void send_static(struct end *end, const char *bytes, size_t size)
{
    ssize_t sent = -1;
    if (waiting(end) == 0)
        sent = send(bufferevent_getfd(end->buffered), bytes, size, MSG_NOSIGNAL);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < size)
        evbuffer_add_reference(bufferevent_get_output(end->buffered), bytes + sent,
                               size - (size_t)sent, NULL, NULL);
    pause_if_full(end);
}

static void queue_pieces(struct end *end)
{
    struct peer_source *source = &end->connection->source;
    struct evbuffer *queue = bufferevent_get_output(end->buffered);
    while (waiting(end) < SEND_MOST) {
        struct peer_bytes piece = peer_source_next(source);
        if (piece.size == 0) {
            end->is_last = true;
            return;
        }
        evbuffer_add_reference(queue, piece.bytes, piece.size, NULL, NULL);
    }
}

/* ---- The callbacks of a bufferevent ---------------------------------------------------------- */

static void answer(struct end *end)
{
    struct connection *connection = end->connection;
    struct evbuffer *received = bufferevent_get_input(end->buffered);
    size_t size = evbuffer_get_length(received);
    struct peer_bytes answers =
        peer_answer(server.peer.mode, &connection->window, evbuffer_pullup(received, -1), size);
    evbuffer_drain(received, size);
    if (answers.size == 0)
        return;
    send_static(end, answers.bytes, answers.size);
    if (server.peer.mode == PEER_HTTP_CLOSE) {
        bufferevent_disable(end->buffered, EV_READ);
        end->is_last = true;
        end_if_sent(end);
    }
}

static void receive_source_request(struct end *end)
{
    struct evbuffer *received = bufferevent_get_input(end->buffered);
    size_t size = evbuffer_get_length(received);
    bool complete =
        peer_source_receive(&end->connection->source, evbuffer_pullup(received, -1), size);
    evbuffer_drain(received, size);
    if (!complete)
        return;
    bufferevent_disable(end->buffered, EV_READ);
    queue_pieces(end);
    end_if_sent(end);
}

static void on_received(struct bufferevent *unused, void *context)
{
    (void)unused;
    struct end *end = context;
    if (server.peer.mode == PEER_HTTP || server.peer.mode == PEER_HTTP_CLOSE)
        answer(end);
    else if (server.peer.mode == PEER_SOURCE)
        receive_source_request(end);
    else
        forward(end);
}

/* No more than QUEUE_LOW waits. */
static void on_sent(struct bufferevent *unused, void *context)
{
    (void)unused;
    struct end *to = context;
    if (server.peer.mode == PEER_SOURCE)
        queue_pieces(to);
    struct end *from = to->to; /* of a proxy the other, else itself */
    if (end_if_sent(to) && from->is_paused) {
        from->is_paused = false;
        bufferevent_enable(from->buffered, EV_READ);
    }
}

static void on_event(struct bufferevent *buffered, short events, void *context)
{
    struct end *end = context;
    if (events & BEV_EVENT_CONNECTED) {
        int on = 1;
        setsockopt(bufferevent_getfd(buffered), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        bufferevent_enable(end->buffered, EV_READ);
        bufferevent_enable(end->to->buffered, EV_READ);
    } else if (events & BEV_EVENT_EOF) {
        end->to->is_last = true;
        end_if_sent(end->to);
    } else {
        close_connection(end->connection);
    }
}

/* ---- The sink -------------------------------------------------------------------------------- */

/* Receives as long as blocks are full, but lets others have their turn. */
static void on_bulk(evutil_socket_t fd, short unused, void *context)
{
    static char block[PEER_BLOCK_SIZE];
    (void)unused;
    struct sink *sink = context;
    ssize_t received;
    int turns = 0;
    do {
        received = recv(fd, block, sizeof block, 0);
        if (received > 0)
            sink->count += (uint64_t)received;
    } while (received == sizeof block && ++turns < TURNS);
    if (received > 0 || (received < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    char answer[PEER_COUNT_SIZE];
    peer_put_count(sink->count, answer);
    if (received == 0)
        send(fd, answer, sizeof answer, MSG_NOSIGNAL); /* the first bytes: there is room */
    event_free(sink->readable);
    close(fd);
    free(sink);
}

static void open_sink(evutil_socket_t fd)
{
    struct sink *sink = allocate(sizeof *sink);
    sink->readable = event_new(server.base, fd, EV_READ | EV_PERSIST, on_bulk, sink);
    if (!sink->readable || event_add(sink->readable, NULL) < 0)
        peer_die(PROGRAM, "event_new", "out of memory");
}

/* ---- Accepting ------------------------------------------------------------------------------- */

static void open_end(struct connection *connection, struct end *end, struct end *to,
                     evutil_socket_t fd)
{
    end->buffered = bufferevent_socket_new(server.base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!end->buffered)
        peer_die(PROGRAM, "bufferevent_socket_new", "out of memory");
    end->to = to;
    end->connection = connection;
    connection->directions++;
    bufferevent_setcb(end->buffered, on_received, on_sent, on_event, end);
    bufferevent_setwatermark(end->buffered, EV_WRITE, QUEUE_LOW, 0);
    bufferevent_set_max_single_write(end->buffered, SEND_MOST);
    bufferevent_disable(end->buffered, EV_READ);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *address, int size, void *unused)
{
    (void)listener, (void)address, (void)size, (void)unused;
    if (server.peer.mode == PEER_SINK) {
        open_sink(fd);
        return;
    }
    bool is_proxy = server.peer.mode == PEER_PROXY;
    struct connection *connection = allocate(sizeof *connection);
    struct end *client = &connection->client;
    open_end(connection, client, is_proxy ? &connection->server : client, fd);
    if (!is_proxy) {
        bufferevent_enable(client->buffered, EV_READ);
        return;
    }
    open_end(connection, &connection->server, client, -1);
    if (bufferevent_socket_connect(connection->server.buffered,
                                   (const struct sockaddr *)&server.peer.to,
                                   (int)server.peer.to_size) < 0)
        close_connection(connection);
}

int main(int argc, char **argv)
{
    server.peer = peer_start(argc, argv, PROGRAM, "a server on libevent, to compare weir with");
    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
        server.base = event_base_new_with_config(config);
    }
    server.more = evbuffer_new();
    if (!server.base || !server.more ||
        !evconnlistener_new(server.base, on_connection, NULL, LEV_OPT_CLOSE_ON_EXEC, 0,
                            server.peer.listener))
        peer_die(PROGRAM, "event_base_new", "cannot be made");
    peer_announce(&server.peer, PROGRAM);
    return event_base_dispatch(server.base);
}
