/* A proxy by hand on io_uring: joins each client to a connection of its own to another server. The
 * ring is that of raw_ring.c.
 *
 * A multishot receive a socket, and what it brings is sent straight out of the buffers that the
 * kernel filled: all that waits for a socket in one send. Where too much waits for one, the receive
 * of the other is cancelled until there is less.
 *
 * The buffers are large, though most messages are small: with 16 KiB, a message of 64 KiB costs a
 * sixth more, with 4 KiB two thirds; small ones cost the same. 64 of them instead of 256 starve 256
 * connections (+30 %).
 */
#include "raw_ring.h"

#define PROGRAM "raw_ring_proxy"

enum {
    BUFFER_COUNT = 256,
    BUFFER_SIZE = 64 * 1024,
    NO_BUFFER = 0xffff,
    MOST_WAITING = 32, /* chunks for a socket, when the other's receive is cancelled, */
    FEW_WAITING = 8,   /* and when it begins again */
    MOST_SENT = 16,    /* chunks that leave in one send */
};

enum operation { ACCEPT, CONNECT, RECEIVE, SEND, END };

enum receiving { PAUSED, ARMED, CANCELLED, STARVED, ENDED };

/* A socket has its fd as its index. */
struct side {
    int other; /* the pair's other socket */
    enum receiving receiving;
    bool finished;         /* it was sent everything, and the end */
    bool broken;           /* one of the pair is */
    uint16_t first, last;  /* chunks that wait to be sent to it */
    uint16_t waiting;      /* how many */
    uint16_t sending;      /* and how many of them are being sent */
    uint32_t sending_size; /* and of what size */
    struct msghdr message;
    struct iovec pieces[MOST_SENT];
};

struct chunk {
    uint32_t size;
    uint16_t next;
};

static struct {
    struct io_uring ring;
    struct buffers buffers;
    struct chunk chunks[BUFFER_COUNT]; /* by buffer */
    struct starved starved;
    struct side *sides;
    struct address to;
    int listener;
} server;

/* ---- Submitting ------------------------------------------------------------------------------ */

static void submit_connect(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    const struct sockaddr *address = (const struct sockaddr *)&server.to.storage;
    io_uring_prep_connect(sqe, fd, address, server.to.size);
    set_purpose(sqe, CONNECT, fd);
}

static void submit_receive(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    set_purpose(sqe, RECEIVE, fd);
    server.sides[fd].receiving = ARMED;
}

static void submit_cancel(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_cancel64(sqe, (uint64_t)RECEIVE << 32 | (unsigned)fd, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, END, fd);
    server.sides[fd].receiving = CANCELLED;
}

static void submit_close(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_purpose(sqe, END, fd);
}

/* As many of the waiting chunks as one send takes. */
static void submit_send(int fd)
{
    struct side *side = &server.sides[fd];
    const int flags = MSG_WAITALL | MSG_NOSIGNAL;
    side->sending = 0;
    side->sending_size = 0;
    for (unsigned buffer = side->first; buffer != NO_BUFFER && side->sending < MOST_SENT;
         buffer = server.chunks[buffer].next) {
        uint32_t size = server.chunks[buffer].size;
        side->pieces[side->sending++] =
            (struct iovec){ .iov_base = buffer_at(&server.buffers, buffer), .iov_len = size };
        side->sending_size += size;
    }
    struct io_uring_sqe *sqe = next_sqe(&server.ring);
    if (side->sending == 1) {
        io_uring_prep_send(sqe, fd, side->pieces[0].iov_base, side->sending_size, flags);
    } else {
        side->message = (struct msghdr){ .msg_iov = side->pieces, .msg_iovlen = side->sending };
        io_uring_prep_sendmsg(sqe, fd, &side->message, (unsigned)flags);
    }
    set_purpose(sqe, SEND, fd);
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

/* All is sent to it, and its other side has ended. If that holds for both, they close. */
static void finish_side(int fd)
{
    struct side *side = &server.sides[fd];
    side->finished = true;
    if (!server.sides[side->other].finished)
        shutdown(fd, SHUT_WR);
}

static void drop_chunks(struct side *side, unsigned count)
{
    side->waiting -= (uint16_t)count;
    for (; count > 0; count--) {
        unsigned buffer = side->first;
        side->first = server.chunks[buffer].next;
        recycle(&server.buffers, buffer);
    }
}

/* What is under way ends by itself, as both sockets are shut down. */
static void break_pair(int fd)
{
    const int both[] = { fd, server.sides[fd].other };
    for (int i = 0; i < 2; i++) {
        struct side *side = &server.sides[both[i]];
        if (side->broken)
            continue;
        side->broken = true;
        shutdown(both[i], SHUT_RDWR);
        if (side->sending == 0)
            drop_chunks(side, side->waiting);
    }
}

static bool is_done(const struct side *side)
{
    bool over = side->broken || side->finished;
    bool receiving = side->receiving != PAUSED && side->receiving != ENDED;
    return over && !receiving && side->sending == 0;
}

static void close_if_done(int fd)
{
    int other = server.sides[fd].other;
    if (!is_done(&server.sides[fd]) || !is_done(&server.sides[other]))
        return;
    submit_close(fd);
    submit_close(other);
}

/* Receives again from a paused socket, if little waits for its other. */
static void resume(int fd)
{
    const struct side *side = &server.sides[fd];
    if (side->receiving == PAUSED && !side->broken &&
        server.sides[side->other].waiting <= FEW_WAITING)
        submit_receive(fd);
}

/* ---- Completions ----------------------------------------------------------------------------- */

static void pass(int from, unsigned buffer, size_t size)
{
    struct side *side = &server.sides[from], *other = &server.sides[side->other];
    server.buffers.held++;
    if (side->broken) {
        recycle(&server.buffers, buffer);
        return;
    }
    server.chunks[buffer] = (struct chunk){ .size = (uint32_t)size, .next = NO_BUFFER };
    if (other->waiting++ > 0)
        server.chunks[other->last].next = (uint16_t)buffer;
    else
        other->first = (uint16_t)buffer;
    other->last = (uint16_t)buffer;
    if (other->sending == 0)
        submit_send(side->other);
    if (other->waiting > MOST_WAITING && side->receiving == ARMED)
        submit_cancel(from);
}

static void finish_receive(int fd, int result, unsigned flags)
{
    struct side *side = &server.sides[fd];
    if (result > 0)
        pass(fd, flags >> IORING_CQE_BUFFER_SHIFT, (size_t)result);
    if (flags & IORING_CQE_F_MORE)
        return;
    if (result == -ENOBUFS) {
        side->receiving = STARVED;
        add_starved(&server.starved, fd);
        return;
    }
    if (result > 0 || result == -ECANCELED) {
        side->receiving = PAUSED;
        resume(fd);
    } else {
        side->receiving = ENDED;
        if (result < 0)
            break_pair(fd);
        else if (server.sides[side->other].waiting == 0)
            finish_side(side->other);
    }
    close_if_done(fd);
}

static void finish_send(int fd, int result)
{
    struct side *side = &server.sides[fd];
    drop_chunks(side, side->sending);
    side->sending = 0;
    if (result < 0 || (uint32_t)result != side->sending_size)
        break_pair(fd);
    if (side->broken)
        drop_chunks(side, side->waiting);
    else if (side->waiting > 0)
        submit_send(fd);
    else if (server.sides[side->other].receiving == ENDED)
        finish_side(fd);
    resume(side->other);
    close_if_done(fd);
}

static void finish_accept(int client, unsigned flags)
{
    int on = 1;
    if (client >= 0) {
        int other = socket(server.to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (other >= 0) {
            setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            server.sides[client] = (struct side){ .other = other, .first = NO_BUFFER };
            server.sides[other] = (struct side){ .other = client, .first = NO_BUFFER };
            submit_connect(other);
        } else {
            close(client);
        }
    }
    if (!(flags & IORING_CQE_F_MORE))
        submit_accept(&server.ring, server.listener, ACCEPT);
}

static void finish_connect(int fd, int result)
{
    int client = server.sides[fd].other;
    if (result == 0) {
        submit_receive(client);
        submit_receive(fd);
    } else {
        submit_close(client);
        submit_close(fd);
    }
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
        case CONNECT:
            finish_connect(fd, cqe->res);
            break;
        case END:
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
        .what = "a proxy on io_uring, written by hand",
        .modes = MODE_PROXY,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    unsigned fds = raise_descriptor_limit();
    server.to = options.to;
    server.sides = calloc(fds, sizeof *server.sides);
    if (!server.sides)
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
