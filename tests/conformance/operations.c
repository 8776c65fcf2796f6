/* Operations: each fills a slot as the library does, or as a vector wants it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "conformance.h"
#include "internal.h"

static struct io_uring_sqe *prepare(char name, uint8_t opcode, int fd)
{
    struct io_uring_sqe *sqe = slot(name);
    *operation_of(name) = (struct operation){ .opcode = opcode };
    sqe->opcode = opcode;
    sqe->fd = fd;
    return sqe;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

struct io_uring_sqe *receive(char name, int fd, unsigned group)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_RECV, fd);
    operation_of(name)->group = group;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)group;
    return sqe;
}

struct io_uring_sqe *receive_multi(char name, int fd, unsigned group)
{
    struct io_uring_sqe *sqe = receive(name, fd, group);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    return sqe;
}

struct io_uring_sqe *receive_plain(char name, int fd, unsigned length)
{
    static char memories[128][64];
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_RECV, fd);
    operation_of(name)->memory = memories[name & 127];
    sqe->addr = (uint64_t)(uintptr_t)memories[name & 127];
    sqe->len = length;
    return sqe;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static struct io_uring_sqe *transmit_data(char name, int fd, const char *data, size_t size)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_SEND, fd);
    sqe->addr = (uint64_t)(uintptr_t)data;
    sqe->len = (uint32_t)size;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    return sqe;
}

struct io_uring_sqe *transmit(char name, int fd, const char *text)
{
    return transmit_data(name, fd, text, strlen(text));
}

static char *letters;

const char *bulk(void)
{
    if (letters != NULL)
        return letters;
    letters = sys_map(bulk_size);
    for (size_t i = 0; letters != NULL && i < bulk_size; i++)
        letters[i] = (char)('a' + i % 26);
    return letters;
}

void bulk_discard(void)
{
    if (letters != NULL)
        sys_unmap(letters, bulk_size);
    letters = NULL;
}

struct io_uring_sqe *transmit_bulk(char name, int fd)
{
    struct io_uring_sqe *sqe = transmit_data(name, fd, bulk(), bulk_size);
    operation_of(name)->bulk = true;
    return sqe;
}

struct io_uring_sqe *link_next(struct io_uring_sqe *sqe)
{
    sqe->flags |= IOSQE_IO_LINK;
    return sqe;
}

/* ---- The others ------------------------------------------------------------------------------ */

struct io_uring_sqe *accept_one(char name, int fd)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_ACCEPT, fd);
    sqe->accept_flags = SOCK_CLOEXEC;
    return sqe;
}

struct io_uring_sqe *accept_multi(char name, int fd)
{
    struct io_uring_sqe *sqe = accept_one(name, fd);
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    return sqe;
}

struct io_uring_sqe *connect_to(char name, int fd, const struct place *place)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_CONNECT, fd);
    sqe->addr = (uint64_t)(uintptr_t)&place->at;
    sqe->off = place->length;
    return sqe;
}

struct io_uring_sqe *close_fd(char name, int fd)
{
    forget(fd);
    return prepare(name, IORING_OP_CLOSE, fd);
}

struct io_uring_sqe *cancel(char name, char target)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_ASYNC_CANCEL, -1);
    sqe->addr = (unsigned char)target;
    return sqe;
}

struct io_uring_sqe *nop(char name)
{
    return prepare(name, IORING_OP_NOP, 0);
}

struct io_uring_sqe *poll_one(char name, int fd)
{
    struct io_uring_sqe *sqe = prepare(name, IORING_OP_POLL_ADD, fd);
    sqe->poll32_events = POLLIN;
    return sqe;
}

struct io_uring_sqe *poll_multi(char name, int fd)
{
    struct io_uring_sqe *sqe = poll_one(name, fd);
    sqe->len = IORING_POLL_ADD_MULTI;
    return sqe;
}

/* ---- Buffers --------------------------------------------------------------------------------- */

enum { GROUPS = 4 };
static struct group {
    struct io_uring_buf_ring *shared;
    char *memory;
    unsigned entries, size;
    uint16_t tail;
} groups[GROUPS];

int group_open(unsigned id, unsigned entries, unsigned size)
{
    struct group *group = &groups[id];
    *group = (struct group){ .entries = entries, .size = size };
    group->shared = sys_map(entries * sizeof(struct io_uring_buf));
    group->memory = sys_map((size_t)entries * size);
    if (group->shared == NULL || group->memory == NULL)
        return -ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)group->shared,
        .ring_entries = entries,
        .bgid = (uint16_t)id,
    };
    return sys_ring_register(mine.uring.ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1);
}

void group_give(unsigned id, unsigned buffer)
{
    struct group *group = &groups[id];
    struct io_uring_buf *place = &group->shared->bufs[group->tail & (group->entries - 1)];
    place->addr = (uint64_t)(uintptr_t)(group->memory + (size_t)buffer * group->size);
    place->len = group->size;
    place->bid = (uint16_t)buffer;
    __atomic_store_n(&group->shared->tail, ++group->tail, __ATOMIC_RELEASE);
}

void group_give_some(unsigned id, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        group_give(id, first + i);
}

void buffers(unsigned count)
{
    int rc = group_open(0, 8, 16);
    if (rc < 0)
        say("no buffers: %s", outcome(rc));
    group_give_some(0, 0, count);
}

const char *group_memory(unsigned id, unsigned buffer)
{
    const struct group *group = &groups[id % GROUPS];
    return group->memory != NULL ? group->memory + (size_t)buffer * group->size : NULL;
}

/* The kernel uses them no more. */
void groups_discard(void)
{
    for (unsigned i = 0; i < GROUPS; i++) {
        if (groups[i].shared != NULL)
            sys_unmap(groups[i].shared, groups[i].entries * sizeof(struct io_uring_buf));
        if (groups[i].memory != NULL)
            sys_unmap(groups[i].memory, (size_t)groups[i].entries * groups[i].size);
        groups[i] = (struct group){ 0 };
    }
}
