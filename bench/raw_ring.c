/* The bar that weir is measured against: an echo and an HTTP hello server written by hand for
 * io_uring, without tasks, streams, timeouts or limits, as an expert would tune it.
 *
 * One ring (SINGLE_ISSUER, DEFER_TASKRUN), a multishot accept, a multishot receive a connection
 * with buffers from one provided ring, one send a received chunk straight out of its buffer, and
 * one system call a turn of the loop, which submits everything and waits.
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
 */
#include "common.h"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PROGRAM "raw_ring"

/* Newer than the headers of liburing 2.3. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

enum {
    BUFFER_COUNT = 256,
    BUFFER_SIZE = 4096,
    BUFFER_STRIDE = BUFFER_SIZE + 64, /* so that the buffers' beginnings share no cache set */
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 8192,
    BUFFER_GROUP = 0,
    NO_BUFFER = 0xffff,
    MOST_ANSWERS = 256, /* that leave in one send */
};

enum operation { ACCEPT, RECEIVE, SEND, CLOSE };

/* A connection has its fd as its index; the fd is in use until the completion of CLOSE. */
struct connection {
    uint16_t first, last;  /* echo: received chunks to send, the first of them being sent */
    uint32_t window;       /* http: see http_count_requests() */
    uint32_t answers;      /* http: to send */
    uint32_t answers_sent; /* http: being sent */
    int next_starved;      /* see server.first_starved */
    bool receiving, ended; /* a receive is armed; no more will come */
};

struct chunk {
    uint32_t size;
    uint16_t next;
};

static struct {
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    unsigned char *buffers;
    struct chunk chunks[BUFFER_COUNT]; /* by buffer */
    int recycled;                      /* buffers added to the ring, not yet published */
    int held;                          /* buffers that the kernel does not have */
    struct connection *connections;
    int first_starved, last_starved; /* connections whose receive found no buffer; -1: none */
    unsigned char *answers;
    int listener;
    bool http;
} server;

/* ---- Set-up ---------------------------------------------------------------------------------- */

/* Without the array of indices, if the kernel can. The library's own set-up is left out then: that
 * of liburing 2.3 writes the array nonetheless, over the head and tail of the ring. */
static int open_ring(struct io_uring_params params)
{
    struct io_uring_params without_array = params;
    without_array.flags |= IORING_SETUP_NO_SQARRAY;
    int fd = (int)syscall(__NR_io_uring_setup, SQ_ENTRIES, &without_array);
    if (fd >= 0)
        return io_uring_queue_mmap(fd, &without_array, &server.ring);
    return io_uring_queue_init_params(SQ_ENTRIES, &server.ring, &params);
}

static void set_up_ring(void)
{
    int error = open_ring((struct io_uring_params){
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    });
    if (error < 0)
        die(PROGRAM, EXIT_FAILED, "io_uring_setup: %s", strerror(-error));
    io_uring_register_ring_fd(&server.ring);
}

static void set_up_buffers(void)
{
    size_t size = (size_t)BUFFER_COUNT * BUFFER_STRIDE;
    size_t ring_size = BUFFER_COUNT * sizeof(struct io_uring_buf);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    server.buffers = mmap(NULL, size, protection, flags, -1, 0);
    server.buffer_ring = mmap(NULL, ring_size, protection, flags, -1, 0);
    if (server.buffers == MAP_FAILED || server.buffer_ring == MAP_FAILED)
        die(PROGRAM, EXIT_FAILED, "mmap: %s", strerror(errno));
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)server.buffer_ring,
        .ring_entries = BUFFER_COUNT,
        .bgid = BUFFER_GROUP,
    };
    int error = io_uring_register_buf_ring(&server.ring, &registration, 0);
    if (error < 0)
        die(PROGRAM, EXIT_FAILED, "io_uring_register_buf_ring: %s", strerror(-error));
}

static unsigned char *buffer_at(unsigned buffer)
{
    return server.buffers + (size_t)buffer * BUFFER_STRIDE;
}

static void recycle(unsigned buffer)
{
    io_uring_buf_ring_add(server.buffer_ring, buffer_at(buffer), BUFFER_SIZE,
                          (unsigned short)buffer, BUFFER_COUNT - 1, server.recycled++);
    server.held--;
}

/* ---- Submitting ------------------------------------------------------------------------------ */

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&server.ring)))
        io_uring_submit(&server.ring);
    return sqe;
}

static void set_purpose(struct io_uring_sqe *sqe, enum operation operation, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | (unsigned)fd);
}

static void submit_accept(void)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, server.listener, NULL, NULL, SOCK_CLOEXEC);
    set_purpose(sqe, ACCEPT, server.listener);
}

static void submit_receive(int fd)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    set_purpose(sqe, RECEIVE, fd);
    server.connections[fd].receiving = true;
}

/* MSG_WAITALL: the kernel goes on with a short send, so that a completion is the whole of it. */
static void submit_send(int fd, const void *bytes, size_t size)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, fd, bytes, size, MSG_WAITALL | MSG_NOSIGNAL);
    set_purpose(sqe, SEND, fd);
}

static void submit_close(int fd)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_close(sqe, fd);
    set_purpose(sqe, CLOSE, fd);
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
    connection->answers += http_count_requests(&connection->window, buffer_at(buffer), size);
    recycle(buffer);
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
        submit_send(fd, buffer_at(buffer), size);
    }
}

static void add_starved(struct connection *connection, int fd)
{
    connection->next_starved = -1;
    if (server.first_starved < 0)
        server.first_starved = fd;
    else
        server.connections[server.last_starved].next_starved = fd;
    server.last_starved = fd;
}

/* The send of the connection's first chunk, or of its answers, is over. On failure the rest is
 * dropped; the shutdown ends the receive, after which the connection is closed. */
static void finish_send(int fd, int result)
{
    struct connection *connection = &server.connections[fd];
    size_t size;
    if (server.http) {
        size = (size_t)connection->answers_sent * HTTP_ANSWER_SIZE;
        connection->answers_sent = 0;
    } else {
        unsigned buffer = connection->first;
        size = server.chunks[buffer].size;
        connection->first = server.chunks[buffer].next;
        recycle(buffer);
    }
    if (result < 0 || (size_t)result != size) {
        while (connection->first != NO_BUFFER) {
            unsigned buffer = connection->first;
            connection->first = server.chunks[buffer].next;
            recycle(buffer);
        }
        connection->answers = 0;
        shutdown(fd, SHUT_RDWR);
    } else if (connection->first != NO_BUFFER) {
        submit_send(fd, buffer_at(connection->first), server.chunks[connection->first].size);
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
        server.held++;
        if (server.http)
            answer_requests(connection, fd, buffer, (size_t)result);
        else
            echo(connection, fd, buffer, (size_t)result);
        if (!connection->receiving)
            submit_receive(fd);
    } else if (result == -ENOBUFS) {
        add_starved(connection, fd);
    } else {
        connection->ended = true;
        end_if_done(connection, fd);
    }
}

static void finish_accept(int result, unsigned flags)
{
    if (result >= 0) {
        server.connections[result] = (struct connection){ .first = NO_BUFFER };
        submit_receive(result);
    }
    if (!(flags & IORING_CQE_F_MORE))
        submit_accept();
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
        case CLOSE:
            break;
        }
        count++;
    }
    io_uring_cq_advance(&server.ring, count);
}

/* Publishes the buffers of this turn at once and lets every starved connection try again: all of
 * them, since which of them has bytes waiting is not known. */
static void publish_buffers(void)
{
    if (server.recycled > 0)
        io_uring_buf_ring_advance(server.buffer_ring, server.recycled);
    else if (server.held > 0)
        return; /* starved still: the sends that hold the buffers come first */
    server.recycled = 0;
    int fd = server.first_starved;
    server.first_starved = -1;
    while (fd >= 0) {
        submit_receive(fd);
        fd = server.connections[fd].next_starved;
    }
}

int main(int argc, char **argv)
{
    struct server_options options = parse_server_options(
        argc, argv, PROGRAM, "raw_ring: echo and HTTP hello on io_uring, written by hand");
    server.http = options.http;
    server.answers = http_repeat_answer(MOST_ANSWERS);
    server.connections = calloc(raise_descriptor_limit(), sizeof *server.connections);
    if (!server.connections)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    server.first_starved = -1;
    server.held = BUFFER_COUNT;
    server.listener = listen_on(PROGRAM, &options.address);
    set_up_ring();
    set_up_buffers();
    for (unsigned buffer = 0; buffer < BUFFER_COUNT; buffer++)
        recycle(buffer);
    submit_accept();
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        if (server.recycled > 0 || server.first_starved >= 0)
            publish_buffers();
        int error = io_uring_submit_and_wait(&server.ring, 1);
        if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY)
            die(PROGRAM, EXIT_FAILED, "io_uring_enter: %s", strerror(-error));
        handle_completions();
    }
}
