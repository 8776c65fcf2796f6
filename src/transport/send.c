/* The sending direction. At the end of a turn all that is queued leaves as one chain of linked
 * sends, each of bounded size; at most one chain is in flight, for two independent sends can
 * overtake one another. Every send asks for all (MSG_WAITALL): one that comes back short has
 * met an error, and the links behind it are cancelled, so the bytes on the wire are always a
 * prefix of the stream. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/sys.h"
#include "transport/socket.h"

/* Where the next link begins in `out`. */
struct cursor {
    const struct piece *piece;
    size_t offset; /* in that piece */
    size_t left;   /* behind it, in all */
};

/* Takes what fits in one link: fills `vector` (LIMIT_LINK_PIECES of them), returns their count. */
static unsigned take_link(struct cursor *cursor, struct iovec *vector, size_t *ret_size)
{
    unsigned count = 0;
    size_t size = 0;
    while (cursor->left > 0 && count < LIMIT_LINK_PIECES && size < LIMIT_LINK_BYTES) {
        size_t part = min_size(cursor->piece->size - cursor->offset, LIMIT_LINK_BYTES - size);
        vector[count++] = (struct iovec){ (void *)(cursor->piece->data + cursor->offset), part };
        size += part;
        cursor->left -= part;
        cursor->offset += part;
        if (cursor->offset == cursor->piece->size) {
            cursor->piece = cursor->piece->next;
            cursor->offset = 0;
        }
    }
    *ret_size = size;
    return count;
}

static void prepare(struct io_uring_sqe *sqe, int fd, const struct iovec *vector, unsigned count,
                    struct msghdr *message)
{
    sqe->fd = fd;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    if (count == 1) {
        sqe->opcode = IORING_OP_SEND;
        sqe->addr = (uint64_t)(uintptr_t)vector->iov_base;
        sqe->len = (uint32_t)vector->iov_len;
        return;
    }
    *message = (struct msghdr){ .msg_iov = (struct iovec *)vector, .msg_iovlen = count };
    sqe->opcode = IORING_OP_SENDMSG;
    sqe->addr = (uint64_t)(uintptr_t)message;
    sqe->len = 1;
}

/* The usual case: all that is queued lies in one piece. */
static struct io_uring_sqe *submit_piece(struct socket *socket)
{
    const struct piece *piece = socket->transport.out.first;
    struct io_uring_sqe *sqe = ring_sqe(&socket->loop->ring, &socket->send);
    struct iovec vector = { (void *)piece->data, piece->size };
    prepare(sqe, socket->fd, &vector, 1, NULL);
    socket->link_sizes[0] = (uint32_t)piece->size;
    socket->links = 1;
    return sqe;
}

/* Links as many as there is room for; the last of them, or NULL if not one could be made. */
static struct io_uring_sqe *submit_links(struct socket *socket, struct cursor *cursor, size_t room)
{
    struct ring *ring = &socket->loop->ring;
    struct io_uring_sqe *last = NULL;
    while (cursor->left > 0 && socket->links < min_size(room, LIMIT_LINKS)) {
        struct {
            struct msghdr message;
            struct iovec vector[LIMIT_LINK_PIECES];
        } *batch = ring_scratch(ring, sizeof *batch);
        if (batch == NULL)
            break;
        size_t size;
        unsigned count = take_link(cursor, batch->vector, &size);
        struct io_uring_sqe *sqe = ring_sqe(ring, &socket->send);
        prepare(sqe, socket->fd, batch->vector, count, &batch->message);
        socket->link_sizes[socket->links++] = (uint32_t)size;
        if (last != NULL) {
            last->flags |= IOSQE_IO_LINK;
            metrics.links++;
        }
        last = sqe;
    }
    return last;
}

static void press(struct socket *socket, bool pressed)
{
    if (socket->transport.pressed == pressed)
        return;
    socket->transport.pressed = pressed;
    if (!pressed)
        socket->transport.events->sent(socket->transport.user);
}

static void submit(struct socket *socket)
{
    struct chain *out = &socket->transport.out;
    unsigned room = ring_send_room(&socket->loop->ring);
    struct cursor cursor = { out->first, 0, out->size };
    struct io_uring_sqe *last = NULL;
    socket->links = socket->links_done = 0;
    if (room > 0 && out->first->next == NULL && out->size <= LIMIT_LINK_BYTES) {
        last = submit_piece(socket);
        cursor.left = 0;
    } else if (room > 0) {
        last = submit_links(socket, &cursor, room);
    }
    if (last == NULL) {
        ring_park_send(&socket->loop->ring, &socket->parked_send);
        press(socket, true);
        return;
    }
    /* The close may follow the last bytes at once; a failed send cancels the close, too. */
    if (socket->state == SOCKET_FLUSHING && cursor.left == 0 && room > socket->links) {
        last->flags |= IOSQE_IO_LINK;
        socket->close_linked = socket_submit_close(socket);
        metrics.links++;
    }
    press(socket, false);
}

/* Nothing else waits for the next turn: what is sent by the ring ends it at once, and so costs one
 * more. */
static bool is_alone(const struct weir_loop *loop)
{
    return list_is_empty(&loop->deferred) && list_is_empty(&loop->ready) &&
           ring_is_quiet(&loop->ring);
}

/* A small send that is alone, or the last, leaves by a call of its own. The last one waits for the
 * FIN, which is ours to send, not the close's: a close that finds unread bytes sends a reset
 * instead, and takes with it what waited. False if nothing has left: then it is the ring's, which
 * also waits for room. */
static bool send_now(struct socket *socket)
{
    struct chain *out = &socket->transport.out;
    const struct piece *piece = out->first;
    bool last = socket->state == SOCKET_FLUSHING;
    bool small = piece->size == out->size && piece->size <= LIMIT_SMALL;
    if (!small || !(last || is_alone(socket->loop)))
        return false;
    ssize_t sent = sys_send(socket->fd, piece->data, piece->size, last ? MSG_MORE : 0);
    if (sent < 0 && sent != -EAGAIN)
        socket->send_error = (int)sent; /* told once: the ring's send will find EPIPE */
    if (sent <= 0)
        return false;
    metrics.bytes_written += (size_t)sent;
    chain_drop(out, (size_t)sent);
    socket->transport.pressed = false;
    if (last && out->size == 0) {
        socket->finished = true;
        sys_shutdown(socket->fd, SHUT_WR); /* a failure is one that the peer has met, too */
    }
    socket->transport.events->sent(socket->transport.user);
    return true;
}

bool send_is_over(const struct socket *socket)
{
    return !socket_is_sending(socket) && !socket->cancel_send.asked;
}

static void cancel(struct socket *socket)
{
    if (!ring_cancel(&socket->loop->ring, &socket->send, &socket->cancel_send))
        ring_park(&socket->loop->ring, &socket->parked);
}

static void cancelled(struct op *op, int result, unsigned flags)
{
    struct socket *socket = container_of(op, struct socket, cancel_send.op);
    (void)flags;
    cancel_completed(&socket->cancel_send, result, socket_is_sending(socket));
    socket->recall = socket_is_sending(socket);
    socket_move(socket);
}

void send_move(struct socket *socket)
{
    struct transport *transport = &socket->transport;
    if (socket_is_sending(socket) || socket->recall) {
        if (socket_is_sending(socket) && socket->recall)
            cancel(socket);
        return;
    }
    if (socket->state > SOCKET_FLUSHING)
        return;
    if (transport->out.size > 0) {
        loop_defer(socket->loop, &socket->flush);
    } else if (socket->finish && !socket->finished) {
        socket->finished = true;
        int rc = sys_shutdown(socket->fd, SHUT_WR);
        if (rc < 0)
            socket_fail(socket, rc == -ENOTCONN ? -ECONNRESET : rc);
    }
}

static void flush(struct deferred *deferred)
{
    struct socket *socket = container_of(deferred, struct socket, flush);
    bool idle = !socket_is_sending(socket) && !socket->recall && socket->state <= SOCKET_FLUSHING;
    if (idle && socket->transport.out.size > 0 && !list_holds(&socket->parked_send.node)) {
        if (send_now(socket))
            socket_move(socket);
        else
            submit(socket);
    }
    if (!socket->receiving)
        receive_move(socket);
}

static void retry(struct ring_waiter *waiter)
{
    flush(&container_of(waiter, struct socket, parked_send)->flush);
}

/* A short send has met an error: a Unix socket keeps it until asked, TCP has given it away with the
 * part. One that sent nothing at all was broken off its chain by the ring. */
static int why_short(struct socket *socket, int result)
{
    if (result == 0)
        return -ENOMEM;
    int error = sys_get_option(socket->fd, SOL_SOCKET, SO_ERROR);
    return error > 0 ? -error : -ECONNRESET;
}

static void note_error(struct socket *socket, int result, uint32_t size)
{
    if (result == (int)size || socket->send_error != 0 || socket->recall)
        return;
    socket->send_error = result < 0 ? result : why_short(socket, result);
}

/* One of those that are recalled has ended. If it had left in full by then, the next has begun, and
 * whoever found the one has not found that. */
static void come_back(struct socket *socket, bool left)
{
    if (left || !socket_is_sending(socket))
        socket->cancel_send.found = false;
    if (socket_is_sending(socket))
        cancel(socket);
    else
        socket->recall = socket->cancel_send.asked;
}

static void sent(struct op *op, int result, unsigned flags)
{
    struct socket *socket = container_of(op, struct socket, send);
    struct transport *transport = &socket->transport;
    uint32_t size = socket->link_sizes[socket->links_done++];
    (void)flags;
    if (result > 0) {
        chain_drop(&transport->out, (size_t)result);
        metrics.bytes_written += (size_t)result;
    }
    note_error(socket, result, size);
    bool all_done = !socket_is_sending(socket);
    if (socket->recall)
        come_back(socket, result == (int)size);
    if (socket->state <= SOCKET_FLUSHING || socket->close_linked)
        transport->events->sent(transport->user);
    if (!all_done)
        return;
    if (socket->send_error != 0)
        socket_fail(socket, socket->send_error);
    bool resting = transport->out.size == 0 && !socket->finish; /* the usual case */
    if (socket->state != SOCKET_OPEN || !resting)
        socket_move(socket);
}

bool send_recall(struct socket *socket)
{
    if (!socket_is_sending(socket))
        return false;
    socket->recall = true;
    send_move(socket);
    return true;
}

void send_open(struct socket *socket)
{
    socket->send.complete = sent;
    socket->cancel_send.op.complete = cancelled;
    socket->flush.run = flush;
    socket->parked_send.retry = retry;
}
