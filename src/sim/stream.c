/* What a program does with a connection: receiving, sending, ending its directions, looking. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/socket_state.h"
#include "sim/world.h"

static struct socket_totals totals;

/* ---- Receiving ------------------------------------------------------------------------------- */

static int take_error(struct socket *socket)
{
    int error = socket->error;
    socket->error = 0;
    return error;
}

static bool is_at_end(const struct socket *socket)
{
    return socket->in.fin || socket->shut_read || socket->reset_seen;
}

bool socket_is_readable(struct file *file)
{
    const struct socket *socket = socket_of(file);
    return socket->state != STATE_CONNECTING &&
           (socket->state != STATE_CONNECTED || socket->in.arrived.size > 0 || socket->error != 0 ||
            is_at_end(socket));
}

/* The end that has arrived is told before a failure that came behind it, but not on Unix. */
static ssize_t receive_nothing(struct socket *socket, bool *ret_more)
{
    bool tcp = socket->family != AF_UNIX;
    if (tcp && socket->in.fin) {
        *ret_more = !socket->shut_read;
        return 0;
    }
    if (socket->error != 0)
        return take_error(socket);
    return is_at_end(socket) ? 0 : -EAGAIN;
}

ssize_t socket_receive(struct file *file, void *buffer, size_t size, bool *ret_more)
{
    struct socket *socket = socket_of(file);
    struct inflow *in = &socket->in;
    *ret_more = false;
    if (socket->state == STATE_CONNECTING)
        return -EAGAIN;
    if (socket->state != STATE_CONNECTED)
        return socket->error != 0          ? take_error(socket)
               : socket->family == AF_UNIX ? -EINVAL
                                           : -ENOTCONN;
    if (in->arrived.size == 0)
        return receive_nothing(socket, ret_more);
    size = size < in->arrived.size ? size : in->arrived.size;
    if (size > 1 && fault(FAULT_SHORT_RECEIVE, "a receive"))
        size = 1 + choose((unsigned)size - 1, "how many bytes");
    memcpy(buffer, in->arrived.data + in->arrived.begin, size);
    bytes_drop(&in->arrived, size);
    totals.received += size;
    *ret_more =
        in->arrived.size > 0 || (in->fin && socket->family != AF_UNIX && !socket->shut_read);
    wire_schedule(socket);
    if (socket->peer != NULL && socket->family == AF_UNIX)
        file_changed(&socket->peer->file);
    return (ssize_t)size;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static int why_not_send(struct socket *socket)
{
    if (socket->state == STATE_CONNECTING)
        return -EAGAIN;
    if (socket->state != STATE_CONNECTED)
        return socket->error != 0          ? take_error(socket)
               : socket->family == AF_UNIX ? -ENOTCONN
                                           : -EPIPE;
    const struct socket *peer = socket->peer;
    if (socket->family == AF_UNIX)
        return socket->shut_write || peer == NULL || peer->shut_read ? -EPIPE : 0;
    if (socket->error != 0)
        return take_error(socket);
    return socket->shut_write || socket->reset_seen ? -EPIPE : 0;
}

static size_t copy_out(struct socket *to, const struct iovec *vector, size_t count, size_t skip,
                       size_t most)
{
    size_t taken = 0;
    for (size_t i = 0; i < count && taken < most; i++) {
        if (skip >= vector[i].iov_len) {
            skip -= vector[i].iov_len;
            continue;
        }
        const char *data = (const char *)vector[i].iov_base + skip;
        size_t part = min_size(vector[i].iov_len - skip, most - taken);
        wire_look(to, data, part);
        bytes_add(&to->in.wire, data, part);
        taken += part;
        skip = 0;
    }
    return taken;
}

ssize_t socket_send(struct file *file, const struct iovec *vector, size_t count, size_t skip,
                    int flags)
{
    struct socket *socket = socket_of(file);
    int rc = why_not_send(socket);
    if (rc < 0)
        return rc;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += vector[i].iov_len;
    size -= skip;
    if (size == 0)
        return 0;
    struct socket *peer = socket->peer;
    if (peer == NULL) { /* it has closed, and says so */
        totals.sent += size;
        if (socket->in.reset.place == 0)
            event_enable(&socket->in.reset);
        return (ssize_t)size;
    }
    size_t room = wire_room(peer);
    if (room == 0)
        return -EAGAIN;
    size = min_size(size, room);
    if (size > 1 && fault(FAULT_SHORT_SEND, "a send"))
        size = 1 + choose((unsigned)size - 1, "how many bytes");
    size = copy_out(peer, vector, count, skip, size);
    totals.sent += size;
    peer->in.held = flags & MSG_MORE && socket->family != AF_UNIX ? peer->in.held + size : 0;
    trace("tcp %u: %zu bytes are sent", socket->number, size);
    wire_schedule(peer);
    return (ssize_t)size;
}

/* ---- Ending directions, and looking ---------------------------------------------------------- */

/* Both ends have been told, or a reset: then it is not connected any more. */
bool stream_is_connected(const struct socket *socket)
{
    bool over = socket->reset_seen || (socket->in.fin && socket->shut_write);
    return socket->state == STATE_CONNECTED && (socket->family == AF_UNIX || !over);
}

int socket_shutdown(struct file *file, int how)
{
    struct socket *socket = socket_of(file);
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    if (socket->state == STATE_LISTENING) {
        if (how != SHUT_WR)
            listener_shut(socket);
        return 0;
    }
    if (socket->state == STATE_CONNECTING && socket->family != AF_UNIX) {
        handshake_stop(socket);
        return 0;
    }
    if (socket->family == AF_UNIX && socket->state != STATE_CONNECTED)
        return 0;
    if (!stream_is_connected(socket))
        return -ENOTCONN;
    socket->shut_read |= how != SHUT_WR;
    if (socket->family == AF_UNIX && how != SHUT_WR && socket->peer != NULL)
        file_changed(&socket->peer->file);
    if (how != SHUT_RD && !socket->shut_write) {
        socket->shut_write = true;
        if (socket->peer != NULL) {
            stream_finish(socket, socket->peer);
            wire_schedule(socket->peer);
        }
    }
    file_changed(file);
    return 0;
}

short stream_poll(struct socket *socket)
{
    const struct inflow *in = &socket->in;
    short mask = 0;
    if (in->arrived.size > 0 || is_at_end(socket) || socket->error != 0)
        mask |= POLLIN;
    if (in->fin || socket->shut_read || socket->reset_seen)
        mask |= POLLRDHUP;
    if (socket->reset_seen || (in->fin && socket->shut_write))
        mask |= POLLHUP;
    if (socket->error != 0)
        mask |= POLLERR;
    if (socket->reset_seen || socket->shut_write || socket->peer == NULL ||
        wire_room(socket->peer) > 0)
        mask |= POLLOUT;
    return mask;
}

void streams_open(void)
{
    totals = (struct socket_totals){ 0 };
    sockets_forbid(NULL, 0);
}

struct socket_totals socket_totals(void)
{
    return totals;
}

void stream_accepted(void)
{
    totals.accepted++;
}
