/* The receiving direction: one multishot receive, filled from the loop's pool. It is armed again by
 * one rule: when it ends (no F_MORE) it is not armed, and whether to arm it follows from what is
 * wanted, never from the errno. What has brought something is armed again at the turn's end: it
 * may be closing by then.
 *
 * A receive of one message would not do, not even for the first. When the kernel has woken one for
 * nothing 128 times, as a peer has it do by urgent bytes, a worker of io-wq waits in its place, and
 * holds a buffer meanwhile: 128 such peers would have them all. A multishot's poll stays. */
#include <errno.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/sys.h"
#include "transport/socket.h"

enum { STREAK = 4 };

static bool is_wanted(const struct socket *socket)
{
    return socket->state == SOCKET_OPEN && socket->transport.receiving && !socket->ended;
}

/* That the receive in flight fills. */
static struct buffers *buffers_of(const struct socket *socket)
{
    return pool_buffers(&socket->loop->pool, socket->filling_large);
}

static void arm(struct socket *socket)
{
    struct ring *ring = &socket->loop->ring;
    struct io_uring_sqe *sqe = ring_sqe(ring, &socket->receive);
    if (sqe == NULL) {
        ring_park(ring, &socket->parked);
        return;
    }
    socket->filling_large = socket->large;
    sqe->opcode = IORING_OP_RECV;
    sqe->fd = socket->fd;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffers_of(socket)->group;
    socket->receiving = true;
}

static void cancel(struct socket *socket)
{
    if (!ring_cancel(&socket->loop->ring, &socket->receive, &socket->cancel_receive))
        ring_park(&socket->loop->ring, &socket->parked);
}

bool receive_is_over(const struct socket *socket)
{
    return !socket->receiving && !socket->cancel_receive.asked;
}

void receive_move(struct socket *socket)
{
    bool wanted = is_wanted(socket);
    if (!wanted)
        list_remove(&socket->starved.node);
    if (socket->receiving && (!wanted || socket->filling_large != socket->large))
        cancel(socket);
    else if (wanted && receive_is_over(socket) && !list_holds(&socket->starved.node))
        arm(socket);
}

static void cancelled(struct op *op, int result, unsigned flags)
{
    struct socket *socket = container_of(op, struct socket, cancel_receive.op);
    (void)flags;
    cancel_completed(&socket->cancel_receive, result, socket->receiving);
    socket_move(socket);
}

/* A stream that fills its buffers several times in a row is given large ones, and one that does not
 * need them small ones again. The change costs a cancel and a new receive, so it is not hasty. */
static void choose_size(struct socket *socket, size_t size)
{
    struct pool *pool = &socket->loop->pool;
    if (pool->large.count == 0 || socket->filling_large != socket->large)
        return; /* no choice, or the last one has not taken effect yet */
    bool fits_other = socket->large ? size <= LIMIT_SMALL : size == pool->small.size;
    socket->streak = fits_other ? socket->streak + 1 : 0;
    if (socket->streak < STREAK)
        return;
    socket->streak = 0;
    socket->large = !socket->large;
    if (socket->receiving)
        receive_move(socket);
}

static void filled(struct socket *socket, size_t size, unsigned flags)
{
    struct transport *transport = &socket->transport;
    struct weir_segment *segment = buffers_filled(buffers_of(socket), flags, size);
    metrics.bytes_read += size;
    if (segment == NULL)
        socket_fail(socket, -ENOMEM);
    else if (socket->state != SOCKET_OPEN)
        segment_drop(segment);
    else
        transport->events->received(transport->user, segment, segment->data, size);
    choose_size(socket, size);
}

/* A send may have met a reset, and so taken it away: then it is no end, even if that send has not
 * told of it yet. Who has ended in order is still connected. */
static bool is_reset(const struct socket *socket)
{
    struct sockaddr_storage name;
    socklen_t length;
    bool sending = socket_is_sending(socket) && socket->state == SOCKET_OPEN;
    return socket->send_error != 0 ||
           (sending && sys_socket_name(socket->fd, true, &name, &length) == -ENOTCONN);
}

static void received(struct op *op, int result, unsigned flags)
{
    struct socket *socket = container_of(op, struct socket, receive);
    bool more = flags & IORING_CQE_F_MORE;
    if (!more)
        socket->receiving = socket->cancel_receive.found = false;
    if (likely(result > 0)) {
        filled(socket, (size_t)result, flags);
    } else if (result == 0 && is_reset(socket)) {
        socket_fail(socket, socket->send_error != 0 ? socket->send_error : -ECONNRESET);
    } else if (result == 0) {
        socket->ended = true;
        if (socket->state == SOCKET_OPEN)
            socket->transport.events->ended(socket->transport.user);
    } else if (result == -ENOBUFS) {
        if (is_wanted(socket))
            buffers_starve(buffers_of(socket), &socket->starved);
    } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
        socket_fail(socket, result);
    }
    if (socket->state != SOCKET_OPEN || (!more && result <= 0))
        socket_move(socket);
    else if (!more)
        loop_defer(socket->loop, &socket->flush);
}

static void fed(struct pool_waiter *waiter)
{
    socket_move(container_of(waiter, struct socket, starved));
}

void receive_open(struct socket *socket)
{
    socket->receive.complete = received;
    socket->cancel_receive.op.complete = cancelled;
    socket->starved.retry = fed;
}
