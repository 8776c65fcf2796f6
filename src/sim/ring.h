/* The simulated io_uring: the same memory of SQ and CQ as the kernel's, the same rules of when it
 * is looked at and written. setup.c makes rings; ring.c submits, posts and waits; request.c is an
 * operation from its submission to its last completion; operation.c says what each does; buffers.c
 * holds the provided buffers; check.c compares them with what the library believes. */
#ifndef WEIR_SIM_RING_H
#define WEIR_SIM_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <weir.h>

#include "base/list.h"
#include "kernel/compat.h"
#include "sim/event.h"
#include "sim/file.h"

struct thread;

/* A completion on its way to the CQ. */
struct done {
    struct list_node node;
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

enum { GROUPS = 16 };

/* A ring of provided buffers. */
struct group {
    struct io_uring_buf_ring *shared; /* NULL: not registered */
    unsigned entries;
    uint16_t head; /* what has been taken */
    uint16_t seen; /* of the tail: those before it are ours, and poisoned */
    uint16_t id;
};

struct sim_ring {
    struct file file;
    struct list_node node; /* among all rings */
    struct thread *owner;
    struct thread *sleeper;
    int fd;
    unsigned flags;
    unsigned entries, cq_entries;
    void *memory;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned *sq_head, *sq_tail, *sq_flags, *sq_array;
    unsigned *cq_head, *cq_tail, *cq_overflow;
    struct list work;     /* done: completions whose time has come, until the owner enters */
    struct list overflow; /* done: that did not fit */
    struct list requests; /* in flight */
    struct list turns;    /* of them, those that can go on when the owner enters */
    struct list notices;  /* of zero-copy sends that have completed */
    bool submitting;      /* what completes at once, is posted at once */
    struct group groups[GROUPS];
    struct weir_metrics before; /* its thread's, when it was made */
    bool is_loops;              /* a loop has entered it: not a test by itself */
    uint64_t read, written;     /* bytes, by receives; by sends, and by send(2) of its thread */
    uint64_t posted;
};

/* An operation in flight. */
struct request {
    struct event go; /* it tries, or tries again */
    struct watcher watcher;
    struct list_node node, turn;
    struct sim_ring *ring;
    struct file *file;    /* what it works on, held; NULL: nothing */
    struct request *next; /* linked behind it: begins when it has succeeded */
    struct io_uring_sqe sqe;
    struct sockaddr_storage address; /* connect: copied when submitted, as the ABI allows */
    socklen_t address_length;
    struct iovec *vector; /* sendmsg: copied; the bytes are not */
    struct iovec one;
    size_t count, size, sent;
    uint64_t signals; /* of an eventfd, seen */
    int failure;      /* known when it was submitted */
    bool tried;
    void *pinned; /* of a receive in a worker: its buffer, had before there was anything in it */
    uint32_t pinned_size, pinned_flags;
    bool blocked;   /* within a call of a worker: a cancel interrupts that */
    bool cancelled; /* it ends when it is next looked at, */
    bool doomed;    /* or if it would have to wait then */
};

/* setup.c: a ring lives until it is neither open nor registered any more. */
void rings_open(void);
unsigned rings_count(void); /* open ones, at the end of the world: no thread has any registered */
struct sim_ring *ring_by_fd(int fd, int *ret_error);
struct sim_ring *ring_at_place(int place, int *ret_error); /* registered by this thread */

/* ring.c */
bool ring_post(struct sim_ring *ring, uint64_t user_data, int result, uint32_t flags);

/* request.c */
void request_submit(struct sim_ring *ring, const struct io_uring_sqe *sqe, struct request **chain);
void request_start(struct request *request); /* a chain is complete, or a single one */
void request_drop_all(struct sim_ring *ring);

/* The first that has begun, or NULL. */
struct request *request_find(struct sim_ring *ring, uint64_t user_data);
void request_cancel(struct request *request, bool late); /* late: if it would wait, only */
void request_try(struct request *request);
void request_go(struct request *request); /* or ends, if it is cancelled */

/* ---- What each does (operation.c) ------------------------------------------------------------ */

/* What an operation returns that has to wait for its file, or has more to do at once. */
enum { WAITS = -10001, GOES_ON = -10002 };

static inline void *pointer(uint64_t address) /* as SQEs and buffers have them */
{
    return (void *)(uintptr_t)address;
}

int operation_prepare(struct request *request); /* when submitted: 0, or why it fails at once */

/* Its result, or one of the above. `ret_flags`: of its completion. */
int operation_try(struct request *request, uint32_t *ret_flags);
bool operation_needs_file(const struct request *request);
bool operation_has_failed(const struct request *request, int result); /* so that its links break */
void notices_drop(struct sim_ring *ring);

/* buffers.c */
int group_register(struct sim_ring *ring, const struct io_uring_buf_reg *registration);
int group_unregister(struct sim_ring *ring, const struct io_uring_buf_reg *registration);
struct group *group_find(const struct sim_ring *ring, unsigned id);
void groups_look(struct sim_ring *ring); /* what has been published is poisoned */

/* The next buffer, without taking it: NULL if there is none. */
struct io_uring_buf *group_next(struct group *group);
uint32_t group_take(struct group *group, size_t size);       /* flags for its completion */
void group_lend(struct io_uring_buf *buffer, bool writable); /* while the kernel writes into it */

/* Whether the library and the kernel agree on whose buffers are whose. */
void ring_check(const struct sim_ring *ring);
void ring_check_end(const struct sim_ring *ring); /* the loop is at its end */

#endif
