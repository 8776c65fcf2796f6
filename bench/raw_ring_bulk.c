/* Bulk by hand on io_uring: a sink that counts what comes, and a source that sends what is asked
 * for. The ring is that of raw_ring.c.
 *
 * The sink: a multishot receive a connection, with few large buffers, which the kernel has back by
 * the next turn. The source: a chain of linked sends from one hot block, of which only the last
 * completes.
 *
 * Tried, CPU per byte on a noisy machine: 4 or 16 buffers of 64 KiB, 8 of 128 KiB, bundles of 64 or
 * 16 KiB, and chains of 1 to 16 links, all within its noise; 4 buffers of 256 KiB cost more with
 * many streams.
 */
#include "pattern.h"
#include "raw_ring.h"

#define PROGRAM "raw_ring_bulk"

enum {
    BUFFER_COUNT = 8,
    BUFFER_SIZE = 64 * 1024,
    LINKS = 4, /* sends in a chain */
};

enum operation {
    ACCEPT,
    RECEIVE,         /* sink */
    RECEIVE_REQUEST, /* source, as the next two */
    SEND_LINK,       /* completes only if it fails, which ends the chain */
    SEND_LAST,
    END, /* nothing follows */
};

/* A connection has its fd as its index. */
struct connection {
    uint64_t moved;      /* bytes received, or sent by the chains that are over */
    uint64_t chain_size; /* source: bytes being sent, */
    uint64_t last_size;  /* and how many of them by the last of the chain */
    uint64_t count;      /* sink: `moved` in the order of the network, being sent */
    struct source_request request;
    unsigned char asked[SOURCE_REQUEST_SIZE]; /* the request as it comes */
};

static struct {
    struct io_uring ring;
    struct buffers buffers;
    struct connection *connections;
    const unsigned char *pattern;
    int listener;
    enum server_mode mode;
} server;

/* ---- Submitting ------------------------------------------------------------------------------ */

static void submit_receive(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    set_purpose(sqe, RECEIVE, fd);
}

static void submit_receive_request(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_recv(sqe, fd, server.connections[fd].asked, SOURCE_REQUEST_SIZE, MSG_WAITALL);
    set_purpose(sqe, RECEIVE_REQUEST, fd);
}

static void submit_send(int fd, const void *bytes, size_t size, enum operation operation)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_send(sqe, fd, bytes, size, MSG_WAITALL | MSG_NOSIGNAL);
    if (operation == SEND_LINK)
        sqe->flags |= IOSQE_IO_LINK;
    if (operation != SEND_LAST)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, operation, fd);
}

static void submit_close(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, END, fd);
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* All that comes is forgotten, so its buffer is free at once, and none can be missing for longer
 * than the turn in which others had them all. */
static void finish_receive(int fd, int result, unsigned flags)
{
    struct connection *connection = &server.connections[fd];
    if (result > 0) {
        connection->moved += (uint64_t)result;
        server.buffers.held++;
        recycle(&server.buffers, flags >> IORING_CQE_BUFFER_SHIFT);
    }
    if (flags & IORING_CQE_F_MORE)
        return;
    if (result > 0 || result == -ENOBUFS) {
        submit_receive(fd);
        return;
    }
    if (result == 0) {
        connection->count = htobe64(connection->moved);
        submit_send(fd, &connection->count, sizeof connection->count, END);
    }
    submit_close(fd);
}

/* Each link is a block; a submission in the midst of them would end the chain. */
static void send_chain(int fd)
{
    struct connection *connection = &server.connections[fd];
    const struct source_request *request = &connection->request;
    uint64_t at = connection->moved;
    size_t size = source_left(request, at);
    if (io_uring_sq_space_left(&server.ring) < LINKS)
        io_uring_submit(&server.ring);
    for (int link = 1; size > 0; link++) {
        at += size;
        size_t next = link < LINKS ? source_left(request, at) : 0;
        submit_send(fd, server.pattern, size, next > 0 ? SEND_LINK : SEND_LAST);
        connection->last_size = size;
        size = next;
    }
    connection->chain_size = at - connection->moved;
    if (connection->chain_size == 0)
        submit_close(fd);
}

static void finish_receive_request(int fd, int result)
{
    struct connection *connection = &server.connections[fd];
    if (result == SOURCE_REQUEST_SIZE &&
        source_request_decode(connection->asked, &connection->request))
        send_chain(fd);
    else
        submit_close(fd);
}

static void finish_chain(int fd, int result)
{
    struct connection *connection = &server.connections[fd];
    if (result < 0 || (uint64_t)result != connection->last_size) {
        submit_close(fd);
        return;
    }
    connection->moved += connection->chain_size;
    send_chain(fd);
}

static void finish_accept(int result, unsigned flags)
{
    if (result >= 0) {
        server.connections[result] = (struct connection){ .moved = 0 };
        if (server.mode == MODE_SINK)
            submit_receive(result);
        else
            submit_receive_request(result);
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
        case ACCEPT:
            finish_accept(cqe->res, cqe->flags);
            break;
        case RECEIVE:
            finish_receive(fd, cqe->res, cqe->flags);
            break;
        case RECEIVE_REQUEST:
            finish_receive_request(fd, cqe->res);
            break;
        case SEND_LINK:
            submit_close(fd);
            break;
        case SEND_LAST:
            finish_chain(fd, cqe->res);
            break;
        case END:
            break;
        }
        count++;
    }
    io_uring_cq_advance(&server.ring, count);
}

int main(int argc, char **argv)
{
    static const struct server_program program = {
        .name = PROGRAM,
        .what = "a sink and a source of bulk on io_uring, written by hand",
        .modes = MODE_SINK | MODE_SOURCE,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    server.mode = options.mode;
    server.pattern = bench_pattern(PATTERN_SIZE);
    server.connections = calloc(raise_descriptor_limit(), sizeof *server.connections);
    if (!server.connections)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    server.listener = listen_on(PROGRAM, &options.address);
    set_up_ring(PROGRAM, &server.ring);
    set_up_buffers(PROGRAM, &server.ring, &server.buffers, BUFFER_COUNT, BUFFER_SIZE);
    submit_accept(&server.ring, server.listener, ACCEPT);
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        if (server.buffers.recycled > 0)
            publish(&server.buffers);
        submit_and_wait(PROGRAM, &server.ring);
        handle_completions();
    }
}
