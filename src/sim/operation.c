/* What each operation does. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/ring.h"
#include "sim/socket.h"
#include "sim/world.h"

static bool is_unix(const struct request *request)
{
    int family = 0;
    socket_get_option(request->file, SOL_SOCKET, SO_DOMAIN, &family);
    return family == AF_UNIX;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static int receive_into(struct request *request, void *memory, size_t size, bool *ret_more)
{
    if (request->sqe.len > 0 && request->sqe.len < size)
        size = request->sqe.len;
    ssize_t n = socket_receive(request->file, memory, size, ret_more);
    if (n == -EAGAIN)
        return request->sqe.msg_flags & MSG_DONTWAIT ? -EAGAIN : WAITS;
    if (n > 0)
        request->ring->read += (uint64_t)n;
    return (int)n;
}

/* An operation that cannot be polled for waits in a worker's blocking call: when there is no memory
 * to poll with, or when it was woken for nothing 128 times, to which a peer brings a receive by as
 * many urgent bytes. A receive has its buffer then before it waits, and ends with it whatever its
 * result. Multishots do not run there: they end. */
static bool waits_in_worker(struct request *request)
{
    if (!request->blocked)
        request->blocked = fault(FAULT_WORKER, "an operation that waits");
    return request->blocked;
}

/* The buffer is the receive's own, though there is nothing for it yet. */
static void pin_buffer(struct request *request, struct group *group, struct io_uring_buf *buffer)
{
    group_lend(buffer, true);
    request->pinned = pointer(buffer->addr);
    request->pinned_size = buffer->len;
    request->pinned_flags = group_take(group, 0);
}

static int try_receive_pinned(struct request *request, uint32_t *ret_flags)
{
    bool more = false;
    if (!socket_is_readable(request->file))
        return WAITS;
    int n = receive_into(request, request->pinned, request->pinned_size, &more);
    *ret_flags = request->pinned_flags | (more ? IORING_CQE_F_SOCK_NONEMPTY : 0);
    return n;
}

/* At first it looks for a buffer, even if there is nothing to be received; later when there is. */
static int try_receive_selected(struct request *request, bool first, uint32_t *ret_flags)
{
    if (request->pinned != NULL)
        return try_receive_pinned(request, ret_flags);
    struct group *group = group_find(request->ring, request->sqe.buf_group);
    struct io_uring_buf *buffer = group != NULL ? group_next(group) : NULL;
    bool readable = socket_is_readable(request->file);
    if (!first && !readable)
        return WAITS;
    if (buffer == NULL || fault(FAULT_NO_BUFFERS, "a receive"))
        return -ENOBUFS;
    if (!readable && !waits_in_worker(request))
        return WAITS;
    if (!readable && request->sqe.ioprio & IORING_RECV_MULTISHOT)
        return -ECANCELED;
    if (!readable) {
        pin_buffer(request, group, buffer);
        return WAITS;
    }
    bool more = false;
    group_lend(buffer, true);
    int n = receive_into(request, pointer(buffer->addr), buffer->len, &more);
    *ret_flags = more ? IORING_CQE_F_SOCK_NONEMPTY : 0;
    if (n <= 0) {
        group_lend(buffer, false);
        return n;
    }
    *ret_flags |= group_take(group, (size_t)n);
    if (!(request->sqe.ioprio & IORING_RECV_MULTISHOT) || fault(FAULT_MULTISHOT_END, "a receive") ||
        !ring_post(request->ring, request->sqe.user_data, n, *ret_flags | IORING_CQE_F_MORE))
        return n;
    return GOES_ON;
}

static int try_receive(struct request *request, bool first, uint32_t *ret_flags)
{
    if (!file_is_socket(request->file))
        return -ENOTSOCK;
    if (request->sqe.flags & IOSQE_BUFFER_SELECT)
        return try_receive_selected(request, first, ret_flags);
    if (!socket_is_readable(request->file))
        return request->sqe.msg_flags & MSG_DONTWAIT ? -EAGAIN : WAITS;
    bool more = false;
    int n = receive_into(request, pointer(request->sqe.addr), request->sqe.len, &more);
    *ret_flags = more ? IORING_CQE_F_SOCK_NONEMPTY : 0;
    return n;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The bytes are looked at now, which may be long after the submission. */
static int try_send(struct request *request)
{
    const struct iovec *vector = request->vector != NULL ? request->vector : &request->one;
    if (!file_is_socket(request->file))
        return -ENOTSOCK;
    if (!(request->sqe.msg_flags & MSG_NOSIGNAL))
        violation("a send without MSG_NOSIGNAL");
    ssize_t n = socket_send(request->file, vector, request->count, request->sent,
                            (int)request->sqe.msg_flags & MSG_MORE);
    if (n == -EAGAIN && request->sqe.msg_flags & MSG_DONTWAIT)
        return -EAGAIN;
    if (n == -EAGAIN) {
        waits_in_worker(request);
        return WAITS;
    }
    if (n < 0)
        return request->sent > 0 ? (int)request->sent : (int)n;
    request->sent += (size_t)n;
    request->ring->written += (uint64_t)n;
    bool all = request->sqe.msg_flags & MSG_WAITALL;
    return all && request->sent < request->size ? GOES_ON : (int)request->sent;
}

/* A notice tells when the bytes are not needed any more. */
struct notice {
    struct list_node node; /* among its ring's */
    struct event event;
    uint64_t user_data;
    struct sim_ring *ring;
};

static void notice_drop(struct notice *notice)
{
    event_stop(&notice->event);
    list_remove(&notice->node);
    free(notice);
}

void notices_drop(struct sim_ring *ring)
{
    struct list_node *node;
    while ((node = list_first(&ring->notices)) != NULL)
        notice_drop(container_of(node, struct notice, node));
}

static void give_notice(struct event *event)
{
    struct notice *notice = container_of(event, struct notice, event);
    ring_post(notice->ring, notice->user_data, 0, IORING_CQE_F_NOTIF);
    notice_drop(notice);
}

static int try_send_zero_copy(struct request *request, uint32_t *ret_flags)
{
    if (!file_is_socket(request->file))
        return -ENOTSOCK;
    int result = is_unix(request) ? -EOPNOTSUPP : try_send(request);
    if (result == WAITS || result == GOES_ON)
        return result;
    struct notice *notice = calloc(1, sizeof *notice);
    if (notice == NULL)
        abort();
    *notice = (struct notice){ .event = { .run = give_notice },
                               .user_data = request->sqe.user_data,
                               .ring = request->ring };
    list_append(&request->ring->notices, &notice->node);
    if (fault(FAULT_LATE_NOTICE, "a zero-copy send"))
        event_after(&notice->event, (int64_t)(1 + choose(1000, "how late")) * WEIR_MILLISECOND);
    else
        event_enable(&notice->event);
    *ret_flags = IORING_CQE_F_MORE;
    return result;
}

/* ---- Accepting and connecting ---------------------------------------------------------------- */

/* A number is had first: without one nobody is let in, even if nobody waits. */
static int try_accept(struct request *request, bool first, uint32_t *ret_flags)
{
    bool multishot = request->sqe.ioprio & IORING_ACCEPT_MULTISHOT;
    int error = 0;
    if (!file_is_socket(request->file))
        return -ENOTSOCK;
    int rc = fd_wanted();
    if (rc < 0)
        return rc;
    struct file *client = socket_accept(request->file, &error);
    bool untold = !first && multishot && is_unix(request); /* of a shutdown */
    if (client == NULL && error == -EAGAIN && waits_in_worker(request) && multishot)
        return -ECANCELED;
    if (client == NULL)
        return error == -EAGAIN || (error == -EINVAL && untold) ? WAITS : error;
    int fd = fd_give(client);
    bool more = socket_poll(request->file) & POLLIN && !is_unix(request);
    *ret_flags = more ? IORING_CQE_F_SOCK_NONEMPTY : 0;
    if (!multishot || fault(FAULT_MULTISHOT_END, "an accept") ||
        !ring_post(request->ring, request->sqe.user_data, fd, *ret_flags | IORING_CQE_F_MORE))
        return fd;
    return GOES_ON;
}

/* For room in the queue of a Unix listener, it is a worker that waits, and asks again. */
static int try_connect(struct request *request, bool first)
{
    if (!file_is_socket(request->file))
        return -ENOTSOCK;
    const struct sockaddr *address = (struct sockaddr *)&request->address;
    bool begins = first || is_unix(request);
    int rc = begins ? socket_connect(request->file, address, request->address_length)
                    : socket_connect(request->file, NULL, 0);
    request->blocked = rc == -EAGAIN;
    return rc == -EINPROGRESS || rc == -EALREADY || rc == -EAGAIN ? WAITS : rc;
}

/* ---- The others ------------------------------------------------------------------------------ */

static int try_poll(struct request *request)
{
    struct file *file = request->file;
    bool multishot = request->sqe.len & IORING_POLL_ADD_MULTI;
    int mask = (int)(request->sqe.poll32_events | POLLERR | POLLHUP);
    if (file->kind == FILE_EVENT) {
        uint64_t signals = event_file_signals(file);
        if (signals == request->signals)
            return WAITS;
        request->signals = signals;
        mask &= POLLIN;
    } else {
        mask &= file_is_socket(file) ? socket_poll(file) : POLLIN | POLLOUT;
    }
    if (mask == 0)
        return WAITS;
    if (!multishot || fault(FAULT_MULTISHOT_END, "a poll") ||
        !ring_post(request->ring, request->sqe.user_data, mask, IORING_CQE_F_MORE))
        return mask;
    return WAITS;
}

/* Three outcomes: it is found and ends; it has ended just before, or is too far to be stopped. */
static int try_cancel(struct request *request)
{
    struct request *target = request_find(request->ring, request->sqe.addr);
    if (target == NULL)
        return -ENOENT;
    if (!fault(FAULT_CANCEL_RACE, "a cancel")) {
        request_cancel(target, false);
        return target->blocked ? -EALREADY : 0;
    }
    if (choose(2, "too late, or too far") == 0) {
        request_try(target);
        target = request_find(request->ring, request->sqe.addr);
        if (target != NULL)
            request_cancel(target, false);
        return target != NULL ? 0 : -ENOENT;
    }
    request_cancel(target, true);
    return -EALREADY;
}

static int refuse(const struct request *request)
{
    switch (request->sqe.opcode) {
    case IORING_OP_RECV:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_ACCEPT:
    case IORING_OP_CONNECT:
        return fault_call(FAULT_CALL, "an operation") ? -ENOMEM : 0;
    default:
        return 0;
    }
}

int operation_try(struct request *request, uint32_t *ret_flags)
{
    bool first = !request->tried;
    int rc = first ? refuse(request) : 0;
    request->tried = true;
    if (rc < 0)
        return rc;
    switch (request->sqe.opcode) {
    case IORING_OP_RECV:
        return try_receive(request, first, ret_flags);
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
        return try_send(request);
    case IORING_OP_SEND_ZC:
        return try_send_zero_copy(request, ret_flags);
    case IORING_OP_ACCEPT:
        return try_accept(request, first, ret_flags);
    case IORING_OP_CONNECT:
        return try_connect(request, first);
    case IORING_OP_CLOSE:
        return fd_close(request->sqe.fd);
    case IORING_OP_POLL_ADD:
        return try_poll(request);
    case IORING_OP_ASYNC_CANCEL:
        return try_cancel(request);
    default:
        return 0;
    }
}
