/* What an echo of small messages costs, in each of the ways to receive (buffers.h), to send, to
 * name a connection, to limit its time, and to set up the ring and wait at it.
 *
 * Received runs of bytes wait in a queue of their connection, and leave one at a time, uncopied, in
 * order: of two sends at once the second could overtake a first that had to wait.
 */
#include "buffers.h"

#define PROGRAM "echo"

enum send_way { SEND_SQE, SEND_MESSAGE, SEND_INLINE };
enum timeout_way { TIMEOUT_NONE, TIMEOUT_ENTER, TIMEOUT_OPERATION, TIMEOUT_UPDATE };
enum operation { ACCEPT, RECEIVE, SEND, TIMEOUT, OTHER };
enum { DIRECT_FILES = 16384 };

struct run {
    struct received received;
    struct run *next;
};

/* A connection has its fd, or its place in the ring's table of files, as its index. It is in use
 * until the completion of its close. */
struct connection {
    struct run *first, *last; /* to send, in order */
    bool receiving, sending, ended;
    unsigned char
        *own; /* the buffer, if connections have buffers of their own; it stays for reuse */
    struct msghdr message;
    struct iovec piece;
};

static struct {
    struct address address;
    int listener;
    struct ring_choices ring_choices;
    unsigned send, part, direct, timeout;
    struct ring ring;
    struct buffers buffers;
    struct connection *connections;
    struct run *spare;
    int *starved; /* connections whose receive found no buffer */
    unsigned starved_count;
} server = { .ring_choices = { .min_count = 64 } };

static struct __kernel_timespec minute = { .tv_sec = 60 };

/* ---- Submitting ------------------------------------------------------------------------------ */

static uint64_t purpose_of(enum operation operation, int fd)
{
    return (uint64_t)operation << 32 | (unsigned)fd;
}

static void set_purpose(struct io_uring_sqe *sqe, enum operation operation, int fd)
{
    io_uring_sqe_set_data64(sqe, purpose_of(operation, fd));
    if (server.direct)
        sqe->flags |= IOSQE_FIXED_FILE;
}

static void submit_accept(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    if (server.direct)
        io_uring_prep_multishot_accept_direct(sqe, server.listener, NULL, NULL, 0);
    else
        io_uring_prep_multishot_accept(sqe, server.listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, purpose_of(ACCEPT, server.listener));
}

static void submit_receive(struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    prepare_receive(sqe, fd, connection->own);
    set_purpose(sqe, RECEIVE, fd);
    connection->receiving = true;
}

/* Without MSG_WAITALL a send may come back short; with it the kernel goes on by itself. */
static void submit_send(struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    struct received *received = &connection->first->received;
    int flags = MSG_NOSIGNAL | (server.part ? 0 : MSG_WAITALL);
    if (server.send == SEND_MESSAGE) {
        connection->piece = (struct iovec){ received->bytes, received->size };
        connection->message = (struct msghdr){ .msg_iov = &connection->piece, .msg_iovlen = 1 };
        io_uring_prep_sendmsg(sqe, fd, &connection->message, (unsigned)flags);
    } else {
        io_uring_prep_send(sqe, fd, received->bytes, received->size, flags);
    }
    set_purpose(sqe, SEND, fd);
    connection->sending = true;
}

static void cancel_receive(int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    io_uring_prep_cancel64(sqe, purpose_of(RECEIVE, fd), 0);
    io_uring_sqe_set_data64(sqe, purpose_of(OTHER, fd));
}

static void submit_close(int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    if (server.direct)
        io_uring_prep_close_direct(sqe, (unsigned)fd);
    else
        io_uring_prep_close(sqe, fd);
    io_uring_sqe_set_data64(sqe, purpose_of(OTHER, fd));
}

/* ---- Limiting the time of each connection ---------------------------------------------------- */

static bool has_timeout(void)
{
    return server.timeout == TIMEOUT_OPERATION || server.timeout == TIMEOUT_UPDATE;
}

static void submit_timeout(int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    io_uring_prep_timeout(sqe, &minute, 0, 0);
    io_uring_sqe_set_data64(sqe, purpose_of(TIMEOUT, fd));
}

static void cancel_timeout(int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(&server.ring);
    io_uring_prep_timeout_remove(sqe, purpose_of(TIMEOUT, fd), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, purpose_of(OTHER, fd));
}

static void renew_timeout(int fd)
{
    if (server.timeout == TIMEOUT_OPERATION) {
        cancel_timeout(fd);
        submit_timeout(fd);
    } else {
        struct io_uring_sqe *sqe = ring_sqe(&server.ring);
        io_uring_prep_timeout_update(sqe, &minute, purpose_of(TIMEOUT, fd), 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, purpose_of(OTHER, fd));
    }
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void end_if_done(struct connection *connection, int fd)
{
    if (!connection->ended || connection->receiving || connection->first)
        return;
    connection->ended = false;
    if (has_timeout())
        cancel_timeout(fd);
    submit_close(fd);
}

static void append_run(struct connection *connection, struct received received)
{
    struct run *run = server.spare;
    if (run)
        server.spare = run->next;
    else if (!(run = malloc(sizeof *run)))
        die(PROGRAM, EXIT_FAILED, "out of memory");
    *run = (struct run){ .received = received };
    if (connection->first)
        connection->last->next = run;
    else
        connection->first = run;
    connection->last = run;
}

/* The first run is sent, or need not be: its buffer is free, and if that is the connection's own it
 * receives again. */
static void drop_first(struct connection *connection, int fd)
{
    struct run *run = connection->first;
    connection->first = run->next;
    if (receiving.way == RECEIVE_OWN)
        submit_receive(connection, fd);
    else
        buffers_release(&server.buffers, run->received.buffer);
    run->next = server.spare;
    server.spare = run;
}

/* So much of the first run has left. */
static void advance(struct connection *connection, int fd, uint32_t size)
{
    struct received *received = &connection->first->received;
    received->bytes += size;
    received->size -= size;
    if (received->size == 0)
        drop_first(connection, fd);
}

/* Inline: by a system call of its own, at once; what the socket does not take goes by the ring, and
 * so does the finding of errors. */
static void send_next(struct connection *connection, int fd)
{
    while (server.send == SEND_INLINE && connection->first) {
        struct received *received = &connection->first->received;
        uint32_t size = received->size;
        ssize_t n = send(fd, received->bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            advance(connection, fd, (uint32_t)n);
        if (n < (ssize_t)size)
            break;
    }
    if (connection->first)
        submit_send(connection, fd);
}

/* On failure the rest is dropped, and the connection closes once its receive has ended. Not by a
 * shutdown: on a ring that is done by a thread of io-wq. */
static void finish_send(struct connection *connection, int fd, int result)
{
    connection->sending = false;
    if (result >= 0) {
        advance(connection, fd, (uint32_t)result);
    } else {
        cancel_receive(fd);
        while (connection->first)
            drop_first(connection, fd);
    }
    send_next(connection, fd);
    end_if_done(connection, fd);
}

static void take_bytes(struct connection *connection, int size, unsigned flags)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    if (receiving.way == RECEIVE_OWN) {
        append_run(connection, (struct received){ connection->own, (uint32_t)size, OWN_BUFFER });
        return;
    }
    for (uint32_t left = (uint32_t)size; left > 0;) {
        struct received received = buffers_take(&server.buffers, left, flags, &id);
        left -= received.size;
        append_run(connection, received);
    }
}

static void finish_receive(struct connection *connection, int fd, int result, unsigned flags)
{
    if (!(flags & IORING_CQE_F_MORE))
        connection->receiving = false;
    if (result > 0) {
        if (has_timeout())
            renew_timeout(fd);
        take_bytes(connection, result, flags);
        if (!connection->receiving && receiving.way != RECEIVE_OWN)
            submit_receive(connection, fd);
        if (!connection->sending)
            send_next(connection, fd);
    } else if (result == -ENOBUFS) {
        server.starved[server.starved_count++] = fd;
    } else {
        connection->ended = true;
        end_if_done(connection, fd);
    }
}

static void finish_accept(int result, unsigned flags)
{
    if (result >= 0) {
        struct connection *connection = &server.connections[result];
        *connection = (struct connection){ .own = connection->own };
        if (receiving.way == RECEIVE_OWN && !connection->own &&
            !(connection->own = malloc(receiving.size)))
            die(PROGRAM, EXIT_FAILED, "out of memory");
        if (has_timeout())
            submit_timeout(result);
        submit_receive(connection, result);
    }
    if (!(flags & IORING_CQE_F_MORE))
        submit_accept();
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void handle_completion(const struct io_uring_cqe *cqe)
{
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum operation)(cqe->user_data >> 32)) {
    case RECEIVE:
        finish_receive(&server.connections[fd], fd, cqe->res, cqe->flags);
        break;
    case SEND:
        finish_send(&server.connections[fd], fd, cqe->res);
        break;
    case ACCEPT:
        finish_accept(cqe->res, cqe->flags);
        break;
    case TIMEOUT: /* cancelled, or of a connection that was silent for a minute */
    case OTHER:
        break;
    }
}

/* Publishes the buffers of this turn at once, and lets all that were starved try again, if any have
 * come, or none is held that could come. */
static void publish_buffers(void)
{
    if (server.buffers.added == 0 && server.buffers.held > 0)
        return;
    buffers_publish(&server.buffers);
    unsigned count = server.starved_count;
    server.starved_count = 0;
    for (unsigned i = 0; i < count; i++)
        submit_receive(&server.connections[server.starved[i]], server.starved[i]);
}

static void serve(void)
{
    struct io_uring *uring = &server.ring.uring;
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        publish_buffers();
        ring_turn(&server.ring, PROGRAM);
        io_uring_for_each_cqe(uring, head, cqe)
        {
            handle_completion(cqe);
            count++;
        }
        io_uring_cq_advance(uring, count);
    }
}

/* ---- The command line ------------------------------------------------------------------------ */

static const struct choice choices[] = {
    { "setup", &server.ring_choices.setup, 0, 0, { "defer", "coop", "plain" }, "of the ring" },
    { "array", &server.ring_choices.array, 0, 0, { "if-needed", "never", "always" }, "of SQEs" },
    { "plain-fd", &server.ring_choices.plain_fd, .what = "the ring is not registered" },
    { "iowait", &server.ring_choices.iowait, .what = "waiting counts as waiting for a disk" },
    { "min-wait", &server.ring_choices.min_wait, 0, 1000000, .what = "us to wait for --min-count" },
    { "min-count", &server.ring_choices.min_count, 1, RING_CQES, .what = "completions, then one" },
    { "send", &server.send, 0, 0, { "sqe", "sendmsg", "inline" }, "by which call" },
    { "part", &server.part, .what = "a send may come back short: no MSG_WAITALL" },
    { "direct", &server.direct, .what = "connections are in the ring's table of files" },
    { "timeout", &server.timeout, 0, 0, { "none", "enter", "operation", "update" }, "of a minute" },
    { .name = NULL },
};

static void set_up(void)
{
    unsigned count = raise_descriptor_limit();
    if (server.direct && server.send == SEND_INLINE)
        die(PROGRAM, EXIT_USAGE, "--direct has no fd for --send inline");
    server.ring_choices.timeout = server.timeout == TIMEOUT_ENTER;
    ring_open(&server.ring, PROGRAM, &server.ring_choices);
    buffers_open(&server.buffers, &server.ring, PROGRAM);
    if (server.direct) {
        count = count < DIRECT_FILES ? count : DIRECT_FILES;
        int error = io_uring_register_files_sparse(&server.ring.uring, count);
        if (error < 0)
            die(PROGRAM, EXIT_FAILED, "a table of %u files: %s", count, strerror(-error));
    }
    server.connections = calloc(count, sizeof *server.connections);
    server.starved = calloc(count, sizeof *server.starved);
    if (!server.connections || !server.starved)
        die(PROGRAM, EXIT_FAILED, "out of memory");
}

int main(int argc, char **argv)
{
    static const struct choices_program program = {
        .name = PROGRAM,
        .what = "sends back what it receives",
        .tables = { choices, receive_choices },
        .listens = true,
    };
    parse_choices(&program, argc, argv, &server.address);
    set_up();
    server.listener = listen_on(PROGRAM, &server.address);
    submit_accept();
    announce(PROGRAM, server.listener, &server.address);
    serve();
}
