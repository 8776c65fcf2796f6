/* The bar that weir is measured against: an echo and an HTTP hello server written by hand for
 * io_uring, without tasks, streams, timeouts or limits, as an expert would tune it.
 *
 * One ring (SINGLE_ISSUER, DEFER_TASKRUN), a multishot accept, a multishot receive a connection
 * with buffers from one provided ring, one send a received chunk straight out of its buffer, and
 * one system call a turn of the loop, which submits everything and waits. With a connection a
 * request: one receive, and send and close together, of which neither completes.
 *
 * It is tuned for small messages. Blocks of 100 KB it echoes several times as dearly as raw_epoll,
 * which takes them through one large buffer: as many sends as there are 4 KiB chunks.
 *
 * Tried for 64 and 1,000 connections, CPU per request, interleaved with the form below; differences
 * under 5 % are within the noise. Buffers: 1,024 or 4,096 of 4 KiB cost 2 to 5 % more, since they
 * go round the cache; 64 are as good at 64 connections, but 1,000 then starve (+40 %); 128 are as
 * good as 256, with less to spare; 2 KiB and 1 KiB instead of 4 within the noise. Buffers that
 * begin at page boundaries: 6 % more at 1,000. With the array of indices: 1 to 2 % more. Submission
 * rings of 256 to 4,096 entries, completion rings of 2,048, no TASKRUN_FLAG: within the noise.
 *
 * With a connection a request: MSG_MORE, by which answer and end leave in one segment, saves some
 * 15 % of a connection; descriptors of the ring's own instead of the process's save nothing.
 */
#include "raw_ring.h"

#define PROGRAM "raw_ring"

enum {
    BUFFER_COUNT = 256,
    BUFFER_SIZE = 4096,
    NO_BUFFER = 0xffff,
    MOST_ANSWERS = 256, /* that leave in one send */
};

enum operation {
    ACCEPT,
    RECEIVE,
    SEND,
    CLOSE,
    RECEIVE_REQUEST, /* http-close, as the next */
    ANSWER_AND_CLOSE,
};

/* A connection has its fd as its index; the fd is in use until the completion of CLOSE. */
struct connection {
    uint16_t first, last;  /* echo: received chunks to send, the first of them being sent */
    uint32_t window;       /* http: see http_count_requests() */
    uint32_t answers;      /* http: to send */
    uint32_t answers_sent; /* http: being sent */
    bool receiving, ended; /* a receive is armed; no more will come */
};

struct chunk {
    uint32_t size;
    uint16_t next;
};

static struct {
    struct io_uring ring;
    struct buffers buffers;
    struct chunk chunks[BUFFER_COUNT]; /* by buffer */
    struct connection *connections;
    struct starved starved;
    unsigned char *answers;
    int listener;
    enum server_mode mode;
} server;

/* ---- Submitting ------------------------------------------------------------------------------ */

static void submit_receive(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    if (server.mode == MODE_HTTP_CLOSE) {
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
        set_purpose(sqe, RECEIVE_REQUEST, fd);
    } else {
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        set_purpose(sqe, RECEIVE, fd);
        server.connections[fd].receiving = true;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

/* MSG_WAITALL: the kernel goes on with a short send, so that a completion is the whole of it. */
static void submit_send(int fd, const void *bytes, size_t size)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_send(sqe, fd, bytes, size, MSG_WAITALL | MSG_NOSIGNAL);
    set_purpose(sqe, SEND, fd);
}

static void submit_close(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_close(sqe, fd);
    set_purpose(sqe, CLOSE, fd);
}

/* Neither completes, but if it fails. They need no link: the close would not be the last to let go
 * of the socket if the send had to wait. MSG_MORE, so that the end leaves in the same segment. */
static void submit_answer_and_close(int fd)
{
    const int flags = MSG_WAITALL | MSG_NOSIGNAL | MSG_MORE;
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_send(sqe, fd, HTTP_ANSWER, HTTP_ANSWER_SIZE, flags);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, ANSWER_AND_CLOSE, fd);
    sqe = next_sqe(&server.ring);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, ANSWER_AND_CLOSE, fd);
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void end_if_done(struct connection *connection, int fd)
{
    bool sending = connection->first != NO_BUFFER || connection->answers_sent > 0;
    if (connection->ended && !connection->receiving && !sending)
        submit_close(fd);
}

static void send_answers(struct connection *connection, int fd)
{
    uint32_t count = connection->answers < MOST_ANSWERS ? connection->answers : MOST_ANSWERS;
    connection->answers -= count;
    connection->answers_sent = count;
    submit_send(fd, server.answers, (size_t)count * HTTP_ANSWER_SIZE);
}

static void answer_requests(struct connection *connection, int fd, unsigned buffer, size_t size)
{
    connection->answers +=
        http_count_requests(&connection->window, buffer_at(&server.buffers, buffer), size);
    recycle(&server.buffers, buffer);
    if (connection->answers > 0 && connection->answers_sent == 0)
        send_answers(connection, fd);
}

/* One send at a time: of two, the second could overtake a first that had to wait. */
static void echo(struct connection *connection, int fd, unsigned buffer, size_t size)
{
    server.chunks[buffer] = (struct chunk){ .size = (uint32_t)size, .next = NO_BUFFER };
    if (connection->first != NO_BUFFER) {
        server.chunks[connection->last].next = (uint16_t)buffer;
        connection->last = (uint16_t)buffer;
    } else {
        connection->first = connection->last = (uint16_t)buffer;
        submit_send(fd, buffer_at(&server.buffers, buffer), size);
    }
}

/* The send of the connection's first chunk, or of its answers, is over. On failure the rest is
 * dropped; the shutdown ends the receive, after which the connection is closed. */
static void finish_send(int fd, int result)
{
    struct connection *connection = &server.connections[fd];
    size_t size;
    if (server.mode == MODE_HTTP) {
        size = (size_t)connection->answers_sent * HTTP_ANSWER_SIZE;
        connection->answers_sent = 0;
    } else {
        unsigned buffer = connection->first;
        size = server.chunks[buffer].size;
        connection->first = server.chunks[buffer].next;
        recycle(&server.buffers, buffer);
    }
    if (result < 0 || (size_t)result != size) {
        while (connection->first != NO_BUFFER) {
            unsigned buffer = connection->first;
            connection->first = server.chunks[buffer].next;
            recycle(&server.buffers, buffer);
        }
        connection->answers = 0;
        shutdown(fd, SHUT_RDWR);
    } else if (connection->first != NO_BUFFER) {
        submit_send(fd, buffer_at(&server.buffers, connection->first),
                    server.chunks[connection->first].size);
    } else if (connection->answers > 0) {
        send_answers(connection, fd);
    }
    end_if_done(connection, fd);
}

static void finish_receive(int fd, int result, unsigned flags)
{
    struct connection *connection = &server.connections[fd];
    if (!(flags & IORING_CQE_F_MORE))
        connection->receiving = false;
    if (result > 0) {
        unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT;
        server.buffers.held++;
        if (server.mode == MODE_HTTP)
            answer_requests(connection, fd, buffer, (size_t)result);
        else
            echo(connection, fd, buffer, (size_t)result);
        if (!connection->receiving)
            submit_receive(fd);
    } else if (result == -ENOBUFS) {
        add_starved(&server.starved, fd);
    } else {
        connection->ended = true;
        end_if_done(connection, fd);
    }
}

/* http-close: one receive at a time, and no multishot, which would hold the socket open past the
 * close, so that the client never saw the end. */
static void finish_receive_request(int fd, int result, unsigned flags)
{
    struct connection *connection = &server.connections[fd];
    if (result > 0) {
        unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT;
        server.buffers.held++;
        unsigned count = http_count_requests(&connection->window,
                                             buffer_at(&server.buffers, buffer), (size_t)result);
        recycle(&server.buffers, buffer);
        if (count > 0)
            submit_answer_and_close(fd);
        else
            submit_receive(fd);
    } else if (result == -ENOBUFS) {
        add_starved(&server.starved, fd);
    } else {
        submit_close(fd);
    }
}

static void finish_accept(int result, unsigned flags)
{
    if (result >= 0) {
        server.connections[result] = (struct connection){ .first = NO_BUFFER };
        submit_receive(result);
    }
    if (!(flags & IORING_CQE_F_MORE))
        submit_accept(&server.ring, server.listener, ACCEPT);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void handle_completions(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&server.ring, head, cqe)
    {
        int fd = (int)(uint32_t)cqe->user_data;
        switch ((enum operation)(cqe->user_data >> 32)) {
        case RECEIVE:
            finish_receive(fd, cqe->res, cqe->flags);
            break;
        case SEND:
            finish_send(fd, cqe->res);
            break;
        case ACCEPT:
            finish_accept(cqe->res, cqe->flags);
            break;
        case RECEIVE_REQUEST:
            finish_receive_request(fd, cqe->res, cqe->flags);
            break;
        case CLOSE:
        case ANSWER_AND_CLOSE:
            break;
        }
        count++;
    }
    io_uring_cq_advance(&server.ring, count);
}

/* Publishes the buffers of this turn at once, and lets the starved try again. */
static void publish_buffers(void)
{
    if (server.buffers.recycled > 0)
        publish(&server.buffers);
    else if (server.buffers.held > 0)
        return; /* starved still: the sends that hold the buffers come first */
    for (int fd; (fd = take_starved(&server.starved)) >= 0;)
        submit_receive(fd);
}

int main(int argc, char **argv)
{
    static const struct server_program program = {
        .name = PROGRAM,
        .what = "echo and HTTP hello on io_uring, written by hand",
        .modes = MODE_ECHO | MODE_HTTP | MODE_HTTP_CLOSE,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    server.mode = options.mode;
    server.answers = http_repeat_answer(MOST_ANSWERS);
    unsigned fds = raise_descriptor_limit();
    server.connections = calloc(fds, sizeof *server.connections);
    if (!server.connections)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    set_up_starved(PROGRAM, &server.starved, fds);
    server.listener = listen_on(PROGRAM, &options.address);
    set_up_ring(PROGRAM, &server.ring);
    set_up_buffers(PROGRAM, &server.ring, &server.buffers, BUFFER_COUNT, BUFFER_SIZE);
    submit_accept(&server.ring, server.listener, ACCEPT);
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        if (server.buffers.recycled > 0 || server.starved.first >= 0)
            publish_buffers();
        submit_and_wait(PROGRAM, &server.ring);
        handle_completions();
    }
}
