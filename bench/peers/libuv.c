/* The servers of the benchmark on libuv.
 *
 * All connections receive into one hot block. What is received is sent from it at once, by
 * uv_try_write(); if the socket does not take it all, the block itself waits for that, uncopied,
 * and another becomes the hot one. While more than QUEUE_HIGH waits, its sender is not read.
 */
#include "peer.h"

#include <stdlib.h>
#include <uv.h>

#define PROGRAM "libuv"

enum {
    QUEUE_HIGH = 64 * 1024,
    PIECES = 64, /* of the pattern, in one write; at most PIECES_SIZE together */
    PIECES_SIZE = 1024 * 1024,
};

struct block {
    uv_write_t write;
    struct block *next;
    char bytes[PEER_BLOCK_SIZE];
};

/* A socket of a connection. What it receives goes to `to`: itself, or the other one of a proxy. */
struct end {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct end *to;
    struct connection *connection;
    uv_write_t write; /* of what stays where it is; one at a time */
    uv_shutdown_t shutdown;
    bool is_paused; /* not read, as too much waits to be sent */
};

struct connection {
    struct end client, server; /* the server's only for a proxy */
    int handles;               /* not yet closed */
    int directions;            /* not yet ended */
    uint32_t window;           /* see peer_answer() */
    uint64_t count;            /* of the sink */
    char answer[PEER_COUNT_SIZE];
    uv_connect_t connect;
    struct peer_source source;
};

static struct {
    struct peer peer;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    struct block *free; /* the first is the hot one */
} server;

static void must(const char *what, int result)
{
    if (result < 0)
        peer_die(PROGRAM, what, uv_strerror(result));
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        peer_die(PROGRAM, "calloc", "out of memory");
    return memory;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* The callback to which the block is lent always follows at once. */
static void lend_block(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    (void)handle, (void)suggested;
    if (!server.free)
        server.free = allocate(sizeof *server.free);
    *ret_buffer = uv_buf_init(server.free->bytes, PEER_BLOCK_SIZE);
}

static void return_block(struct block *block)
{
    block->next = server.free;
    server.free = block;
}

/* ---- Ending ---------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct end *end = handle->data;
    if (--end->connection->handles == 0)
        free(end->connection);
}

static void close_connection(struct connection *connection)
{
    if (uv_is_closing(&connection->client.handle))
        return;
    uv_close(&connection->client.handle, on_closed);
    if (server.peer.mode == PEER_PROXY)
        uv_close(&connection->server.handle, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct end *end = request->handle->data;
    if (--end->connection->directions == 0 || status < 0)
        close_connection(end->connection);
}

/* `from` has ended: behind all that it sent so ends what it sent to. */
static void end_direction(struct end *from, int why)
{
    uv_read_stop(&from->stream);
    if (why != UV_EOF || uv_shutdown(&from->to->shutdown, &from->to->stream, on_shutdown) < 0)
        close_connection(from->connection);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void on_block_written(uv_write_t *request, int status);

/* Sends what the socket takes at once. Returns the rest, of length 0 if that was all. */
static uv_buf_t send_now(struct end *to, const char *bytes, size_t size)
{
    uv_buf_t rest = uv_buf_init((char *)bytes, (unsigned)size);
    int sent = uv_try_write(&to->stream, &rest, 1);
    if (sent > 0) {
        rest.base += sent;
        rest.len -= (size_t)sent;
    }
    return rest; /* errors come back when the rest is written */
}

/* False: too much waits now. */
static bool send_lent_block(struct end *to, size_t size)
{
    uv_buf_t rest = send_now(to, server.free->bytes, size);
    if (rest.len == 0)
        return true;
    struct block *block = server.free;
    server.free = block->next;
    block->write.data = block;
    if (uv_write(&block->write, &to->stream, &rest, 1, on_block_written) < 0) {
        return_block(block);
        close_connection(to->connection);
    }
    return uv_stream_get_write_queue_size(&to->stream) <= QUEUE_HIGH;
}

/* Sends what stays where it is. True: all of it; else `on_written` follows. */
static bool send_static(struct end *end, const char *bytes, size_t size, uv_write_cb on_written)
{
    uv_buf_t rest = send_now(end, bytes, size);
    if (rest.len == 0)
        return true;
    uv_read_stop(&end->stream);
    if (uv_write(&end->write, &end->stream, &rest, 1, on_written) < 0)
        close_connection(end->connection);
    return false;
}

static void close_when_written(uv_write_t *request, int status)
{
    (void)status;
    struct end *end = request->handle->data;
    close_connection(end->connection);
}

/* ---- Echo and proxy -------------------------------------------------------------------------- */

static void on_forward(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    (void)buffer;
    struct end *from = stream->data;
    if (size < 0) {
        end_direction(from, (int)size);
    } else if (size > 0 && !send_lent_block(from->to, (size_t)size)) {
        uv_read_stop(stream);
        from->is_paused = true;
    }
}

static void on_block_written(uv_write_t *request, int status)
{
    struct end *to = request->handle->data;
    struct connection *connection = to->connection;
    return_block(request->data);
    if (status < 0) {
        close_connection(connection);
        return;
    }
    struct end *from = to == &connection->client ? connection->client.to : &connection->client;
    if (from->is_paused && uv_stream_get_write_queue_size(&to->stream) <= QUEUE_HIGH / 2) {
        from->is_paused = false;
        uv_read_start(&from->stream, lend_block, on_forward);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct end *end = request->handle->data;
    struct connection *connection = end->connection;
    if (status < 0) {
        close_connection(connection);
        return;
    }
    uv_tcp_nodelay(&end->tcp, 1);
    uv_read_start(&connection->client.stream, lend_block, on_forward);
    uv_read_start(&connection->server.stream, lend_block, on_forward);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static void on_request(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void on_answers_written(uv_write_t *request, int status)
{
    struct end *end = request->handle->data;
    if (status < 0 || uv_read_start(&end->stream, lend_block, on_request) < 0)
        close_connection(end->connection);
}

static void on_request(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct end *end = stream->data;
    struct connection *connection = end->connection;
    if (size < 0) {
        end_direction(end, (int)size);
        return;
    }
    bool is_last = server.peer.mode == PEER_HTTP_CLOSE;
    struct peer_bytes answers =
        peer_answer(server.peer.mode, &connection->window, buffer->base, (size_t)size);
    if (answers.size > 0 &&
        send_static(end, answers.bytes, answers.size,
                    is_last ? close_when_written : on_answers_written) &&
        is_last)
        close_connection(connection);
}

/* ---- Sink and source ------------------------------------------------------------------------- */

static void on_bulk(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    (void)buffer;
    struct end *end = stream->data;
    struct connection *connection = end->connection;
    if (size >= 0) {
        connection->count += (uint64_t)size;
        return;
    }
    peer_put_count(connection->count, connection->answer);
    if (size != UV_EOF || send_static(end, connection->answer, PEER_COUNT_SIZE, close_when_written))
        close_connection(connection);
}

static void on_pieces_written(uv_write_t *request, int status);

static void send_pieces(struct end *end)
{
    uv_buf_t pieces[PIECES];
    unsigned count = 0;
    for (size_t size = 0; count < PIECES && size < PIECES_SIZE; count++) {
        struct peer_bytes piece = peer_source_next(&end->connection->source);
        if (piece.size == 0)
            break;
        pieces[count] = uv_buf_init((char *)piece.bytes, (unsigned)piece.size);
        size += piece.size;
    }
    if (count == 0 || uv_write(&end->write, &end->stream, pieces, count, on_pieces_written) < 0)
        close_connection(end->connection);
}

static void on_pieces_written(uv_write_t *request, int status)
{
    struct end *end = request->handle->data;
    if (status < 0)
        close_connection(end->connection);
    else
        send_pieces(end);
}

static void on_source_request(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct end *end = stream->data;
    if (size < 0) {
        close_connection(end->connection);
    } else if (peer_source_receive(&end->connection->source, buffer->base, (size_t)size)) {
        uv_read_stop(stream);
        send_pieces(end);
    }
}

/* ---- Accepting ------------------------------------------------------------------------------- */

static void open_end(struct connection *connection, struct end *end, struct end *to, bool is_unix)
{
    if (is_unix)
        must("uv_pipe_init", uv_pipe_init(uv_default_loop(), &end->pipe, 0));
    else
        must("uv_tcp_init", uv_tcp_init(uv_default_loop(), &end->tcp));
    end->handle.data = end;
    end->to = to;
    end->connection = connection;
    connection->handles++;
    connection->directions++;
}

static void on_connection(uv_stream_t *listener, int status)
{
    static const uv_read_cb on_read[] = {
        [PEER_ECHO] = on_forward,          [PEER_HTTP] = on_request, [PEER_HTTP_CLOSE] = on_request,
        [PEER_SOURCE] = on_source_request, [PEER_SINK] = on_bulk,
    };
    if (status < 0)
        return;
    bool is_proxy = server.peer.mode == PEER_PROXY;
    struct connection *connection = allocate(sizeof *connection);
    struct end *client = &connection->client;
    open_end(connection, client, is_proxy ? &connection->server : client, server.peer.is_unix);
    if (is_proxy)
        open_end(connection, &connection->server, client, false);
    int result = uv_accept(listener, &client->stream);
    if (result == 0 && is_proxy)
        result = uv_tcp_connect(&connection->connect, &connection->server.tcp,
                                (const struct sockaddr *)&server.peer.to, on_connected);
    else if (result == 0)
        result = uv_read_start(&client->stream, lend_block, on_read[server.peer.mode]);
    if (result < 0)
        close_connection(connection);
}

int main(int argc, char **argv)
{
    server.peer = peer_start(argc, argv, PROGRAM, "a server on libuv, to compare weir with");
    uv_loop_t *loop = uv_default_loop();
    if (server.peer.is_unix) {
        must("uv_pipe_init", uv_pipe_init(loop, &server.listener.pipe, 0));
        must("uv_pipe_open", uv_pipe_open(&server.listener.pipe, server.peer.listener));
    } else {
        must("uv_tcp_init", uv_tcp_init(loop, &server.listener.tcp));
        must("uv_tcp_open", uv_tcp_open(&server.listener.tcp, server.peer.listener));
    }
    must("uv_listen", uv_listen(&server.listener.stream, 4096, on_connection));
    peer_announce(&server.peer, PROGRAM);
    return uv_run(loop, UV_RUN_DEFAULT);
}
