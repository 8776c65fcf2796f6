#include "transport/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "kernel/sys.h"

/* ---- Which fds are ours ---------------------------------------------------------------------- */

bool socket_owns(const struct weir_loop *loop, int fd)
{
    size_t byte = (size_t)fd / 8;
    return byte < loop->owned_fds_size && loop->owned_fds[byte] & 1 << fd % 8;
}

/* Without memory to note it, a mistake of the program's will be found later than it could. */
static void note_owned(struct weir_loop *loop, int fd)
{
    size_t byte = (size_t)fd / 8;
    if (byte >= loop->owned_fds_size) {
        size_t size = 2 * byte + 64;
        uint8_t *grown = realloc(loop->owned_fds, size);
        if (grown == NULL)
            return;
        memset(grown + loop->owned_fds_size, 0, size - loop->owned_fds_size);
        loop->owned_fds = grown;
        loop->owned_fds_size = size;
    }
    loop->owned_fds[byte] |= (uint8_t)(1 << fd % 8);
}

static void note_closed(struct weir_loop *loop, int fd)
{
    if (socket_owns(loop, fd))
        loop->owned_fds[fd / 8] &= (uint8_t) ~(1 << fd % 8);
}

/* ---- The end --------------------------------------------------------------------------------- */

bool socket_submit_close(struct socket *socket)
{
    struct io_uring_sqe *sqe = ring_sqe(&socket->loop->ring, &socket->close);
    if (sqe == NULL) {
        ring_park(&socket->loop->ring, &socket->parked);
        return false;
    }
    sqe->opcode = IORING_OP_CLOSE;
    sqe->fd = socket->fd;
    note_closed(socket->loop, socket->fd);
    socket->state = SOCKET_CLOSING;
    return true;
}

static void tell_lost(struct socket *socket)
{
    if (socket->told_lost)
        return;
    socket->told_lost = true;
    socket->transport.events->lost(socket->transport.user, socket->error);
}

/* The one place where a socket's state moves on. */
void socket_move(struct socket *socket)
{
    send_move(socket);
    if (socket->state == SOCKET_FLUSHING && socket->transport.out.size == 0 &&
        !socket_is_sending(socket))
        socket->state = SOCKET_ENDING;
    receive_move(socket);
    if (socket->state == SOCKET_ENDING) {
        tell_lost(socket);
        if (!socket_is_sending(socket))
            chain_clear(&socket->transport.out);
        if (receive_is_over(socket) && send_is_over(socket))
            socket_submit_close(socket);
    }
    bool all_left = socket->transport.out.size == 0 || socket->error != 0;
    if (socket->state == SOCKET_CLOSING && all_left && !socket_is_sending(socket))
        tell_lost(socket);
    if (socket->state == SOCKET_CLOSED && receive_is_over(socket) && send_is_over(socket)) {
        tell_lost(socket);
        chain_clear(&socket->transport.out);
        list_remove(&socket->parked.node);
        list_remove(&socket->parked_send.node);
        list_remove(&socket->starved.node);
        list_remove(&socket->flush.node);
        socket->transport.events->closed(socket->transport.user); /* the socket may be gone now */
    }
}

static void close_completed(struct op *op, int result, unsigned flags)
{
    struct socket *socket = container_of(op, struct socket, close);
    (void)flags;
    socket->state = SOCKET_CLOSED;
    if (result < 0 && socket->close_linked) /* the send before it failed: not closed */
        socket->state = socket->error != 0 || socket->abandoned ? SOCKET_ENDING : SOCKET_FLUSHING;
    socket->close_linked = false;
    socket_move(socket);
}

void socket_fail(struct socket *socket, int error)
{
    if (socket->error == 0 && !socket->told_lost)
        socket->error = error;
    if (socket->state > SOCKET_FLUSHING)
        return;
    socket->state = SOCKET_ENDING;
    if (socket_is_sending(socket))
        sys_shutdown(socket->fd, SHUT_RDWR); /* ends what is in flight */
}

/* ---- What the stream asks for ---------------------------------------------------------------- */

static struct socket *socket_of(struct transport *transport)
{
    return container_of(transport, struct socket, transport);
}

static void op_send(struct transport *transport)
{
    send_move(socket_of(transport));
}

static void op_finish(struct transport *transport)
{
    socket_of(transport)->finish = true;
    socket_move(socket_of(transport));
}

static void op_receive(struct transport *transport, bool wanted)
{
    transport->receiving = wanted;
    receive_move(socket_of(transport));
}

static void op_close(struct transport *transport)
{
    struct socket *socket = socket_of(transport);
    if (socket->state != SOCKET_OPEN)
        return;
    socket->state = SOCKET_FLUSHING;
    socket_move(socket);
}

static void op_abort(struct transport *transport, int error)
{
    struct socket *socket = socket_of(transport);
    socket->abandoned = true;
    if (socket->close_linked) /* its fd may be closed, and another's, by now */
        send_recall(socket);
    socket_fail(socket, error);
    socket_move(socket);
}

static bool op_recall(struct transport *transport)
{
    return send_recall(socket_of(transport));
}

static const char *op_extra_info(struct transport *transport, const char *name)
{
    if (strcmp(name, "peername") == 0)
        return names_text(&socket_of(transport)->names, NAME_PEER);
    if (strcmp(name, "sockname") == 0)
        return names_text(&socket_of(transport)->names, NAME_OWN);
    return NULL;
}

static int op_fileno(const struct transport *transport)
{
    const struct socket *socket = container_of(transport, const struct socket, transport);
    return socket->state == SOCKET_OPEN ? socket->fd : -1;
}

static void op_free(struct transport *transport)
{
    names_close(&socket_of(transport)->names);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static void retry(struct ring_waiter *waiter)
{
    socket_move(container_of(waiter, struct socket, parked));
}

void socket_open(struct socket *socket, struct weir_loop *loop, int fd)
{
    static const struct transport_ops ops = {
        .send = op_send,
        .finish = op_finish,
        .receive = op_receive,
        .close = op_close,
        .abort = op_abort,
        .recall = op_recall,
        .extra_info = op_extra_info,
        .fileno = op_fileno,
        .free = op_free,
    };
    *socket = (struct socket){
        .transport = { .ops = &ops, .can_finish = true },
        .loop = loop,
        .fd = fd,
        .close = { close_completed },
        .parked = { .retry = retry },
    };
    names_open(&socket->names, fd);
    note_owned(loop, fd);
    receive_open(socket);
    send_open(socket);
}
