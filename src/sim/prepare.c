/* What the kernel copies of an operation when it takes the SQE, and what it knows of it then. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ring.h"
#include "sim/socket.h"

static int prepare_sendmsg(struct request *request)
{
    const struct msghdr *message = pointer(request->sqe.addr);
    request->count = message->msg_iovlen;
    request->vector = calloc(request->count + 1, sizeof *request->vector);
    if (request->vector == NULL)
        abort();
    memcpy(request->vector, message->msg_iov, request->count * sizeof *request->vector);
    for (size_t i = 0; i < request->count; i++)
        request->size += request->vector[i].iov_len;
    return 0;
}

static int prepare_connect(struct request *request)
{
    request->address_length = (socklen_t)request->sqe.off;
    if (request->address_length > sizeof request->address || request->sqe.len != 0)
        return -EINVAL;
    memcpy(&request->address, pointer(request->sqe.addr), request->address_length);
    return 0;
}

static int prepare_receive(struct request *request)
{
    const struct io_uring_sqe *sqe = &request->sqe;
    bool multishot = sqe->ioprio & IORING_RECV_MULTISHOT;
    if (sqe->ioprio & ~(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT) || sqe->off != 0 ||
        sqe->file_index != 0)
        return -EINVAL;
    if (multishot && (!(sqe->flags & IOSQE_BUFFER_SELECT) || sqe->msg_flags & MSG_WAITALL))
        return -EINVAL;
    return 0;
}

int operation_prepare(struct request *request)
{
    const struct io_uring_sqe *sqe = &request->sqe;
    bool sends = sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG ||
                 sqe->opcode == IORING_OP_SEND_ZC;
    if (sends && sqe->ioprio & ~IORING_RECVSEND_POLL_FIRST)
        return -EINVAL;
    if (sqe->flags & ~(IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_BUFFER_SELECT | IOSQE_ASYNC))
        return -EINVAL;
    if (sqe->flags & IOSQE_BUFFER_SELECT && sqe->opcode != IORING_OP_RECV)
        return -EOPNOTSUPP;
    switch (sqe->opcode) {
    case IORING_OP_SENDMSG:
        return prepare_sendmsg(request);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        request->one = (struct iovec){ pointer(sqe->addr), sqe->len };
        request->count = 1;
        request->size = sqe->len;
        return 0;
    case IORING_OP_RECV:
        return prepare_receive(request);
    case IORING_OP_CONNECT:
        return prepare_connect(request);
    case IORING_OP_CLOSE:
        return sqe->off != 0 || sqe->addr != 0 || sqe->len != 0 ? -EINVAL : 0;
    case IORING_OP_POLL_ADD:
        return sqe->len & ~IORING_POLL_ADD_MULTI || sqe->addr != 0 ? -EINVAL : 0;
    case IORING_OP_ASYNC_CANCEL:
        return sqe->cancel_flags != 0 || sqe->off != 0 ? -EINVAL : 0;
    case IORING_OP_ACCEPT:
        return sqe->len != 0 || sqe->ioprio & ~IORING_ACCEPT_MULTISHOT ||
                       sqe->accept_flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)
                   ? -EINVAL
                   : 0;
    case IORING_OP_NOP:
        return 0;
    default:
        return -EINVAL;
    }
}

bool operation_needs_file(const struct request *request)
{
    uint8_t opcode = request->sqe.opcode;
    return opcode != IORING_OP_NOP && opcode != IORING_OP_CLOSE && opcode != IORING_OP_ASYNC_CANCEL;
}

bool operation_has_failed(const struct request *request, int result)
{
    uint8_t opcode = request->sqe.opcode;
    bool all = request->sqe.msg_flags & MSG_WAITALL;
    if (opcode == IORING_OP_SEND || opcode == IORING_OP_SENDMSG || opcode == IORING_OP_SEND_ZC)
        return result < 0 || (all && (size_t)result < request->size);
    return result < 0;
}
