/* Rings, and the telling of what completes in them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "internal.h"
#include "kernel/compat.h"

struct lane mine, aside;
static struct operation operations[128];
static int newest_accepted;
static char collected[256];

/* ---- Telling --------------------------------------------------------------------------------- */

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

const char *outcome(ssize_t result)
{
    static char texts[8][24];
    static unsigned next;
    if (result < 0)
        return strerrorname_np((int)-result);
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%zd", result);
    return text;
}

const char *verdict(ssize_t result)
{
    return result >= 0 ? "ok" : outcome(result);
}

void quote(char *text, size_t size, const char *data, size_t length)
{
    enum { SHOWN = 40 };
    snprintf(text, size, "\"%.*s\"%s", (int)(length < SHOWN ? length : SHOWN), data,
             length > SHOWN ? "..." : "");
}

/* ---- Rings ----------------------------------------------------------------------------------- */

unsigned usual_flags(void)
{
    return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY |
           IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
}

int lane_open(struct lane *lane, unsigned entries, unsigned cq_entries, unsigned flags)
{
    struct io_uring_params params = { .flags = flags, .cq_entries = cq_entries };
    *lane = (struct lane){ 0 };
    int fd = sys_ring_setup(&lane->uring, entries, &params);
    if (fd < 0)
        return fd;
    lane->fd = fd;
    lane->open = true;
    lane->tail = *lane->uring.sq.ktail;
    if (!(flags & IORING_SETUP_NO_SQARRAY)) {
        for (unsigned i = 0; i < *lane->uring.sq.kring_entries; i++)
            lane->uring.sq.array[i] = i;
    }
    return fd;
}

void lane_close(struct lane *lane)
{
    if (lane->open)
        sys_ring_exit(&lane->uring);
    lane->open = false;
}

void ring_reopen(unsigned entries, unsigned cq_entries)
{
    lane_close(&mine);
    if (lane_open(&mine, entries, cq_entries, usual_flags()) < 0)
        say("no ring");
}

unsigned lane_ready(const struct lane *lane)
{
    return __atomic_load_n(lane->uring.cq.ktail, __ATOMIC_ACQUIRE) - *lane->uring.cq.khead;
}

struct io_uring_sqe *lane_slot(struct lane *lane, char name)
{
    struct io_uring_sqe *sqe = &lane->uring.sq.sqes[lane->tail++ & *lane->uring.sq.kring_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->user_data = (unsigned char)name;
    return sqe;
}

int lane_submit(struct lane *lane)
{
    unsigned queued = lane->tail - __atomic_load_n(lane->uring.sq.khead, __ATOMIC_ACQUIRE);
    __atomic_store_n(lane->uring.sq.ktail, lane->tail, __ATOMIC_RELEASE);
    return sys_ring_enter(lane->fd, queued, 0, IORING_ENTER_GETEVENTS, 0);
}

static int lane_enter(struct lane *lane, unsigned wait, int64_t timeout)
{
    return sys_ring_enter(lane->fd, 0, wait, IORING_ENTER_GETEVENTS, timeout);
}

bool lane_take(struct lane *lane, struct io_uring_cqe *ret_cqe)
{
    if (lane_ready(lane) == 0)
        return false;
    struct io_uring_cq *cq = &lane->uring.cq;
    *ret_cqe = cq->cqes[*cq->khead & *cq->kring_mask];
    __atomic_store_n(cq->khead, *cq->khead + 1, __ATOMIC_RELEASE);
    return true;
}

bool lane_wait(struct lane *lane, int64_t timeout, struct io_uring_cqe *ret_cqe)
{
    int64_t deadline = sys_now() + timeout;
    for (int64_t left = timeout; left > 0 && lane_ready(lane) == 0; left = deadline - sys_now()) {
        int rc = lane_enter(lane, 1, left);
        if (rc < 0 && rc != -ETIME && rc != -EINTR) {
            say("enter: %s", outcome(rc));
            break;
        }
    }
    return lane_take(lane, ret_cqe);
}

struct io_uring_sqe *slot(char name)
{
    return lane_slot(&mine, name);
}

int submit(void)
{
    unsigned queued = mine.tail - *mine.uring.sq.khead;
    int rc = lane_submit(&mine);
    if (rc != (int)queued)
        say("%u queued, submitted: %s", queued, outcome(rc));
    return rc;
}

void flush_cq(void)
{
    lane_enter(&mine, 0, 0);
}

void settle(void)
{
    struct io_uring_cqe cqe;
    if (lane_wait(&aside, settle_time, &cqe))
        say("a completion that nobody has asked for");
}

/* ---- Completions ----------------------------------------------------------------------------- */

struct operation *operation_of(char name)
{
    return &operations[name & 127];
}

void operations_forget(void)
{
    memset(operations, 0, sizeof operations);
    newest_accepted = -1;
    collected[0] = '\0';
}

int last_accepted(void)
{
    return newest_accepted;
}

static void tell_data(const struct io_uring_cqe *cqe, const struct operation *operation)
{
    const char *data = operation->memory;
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    if (cqe->flags & IORING_CQE_F_BUFFER)
        data = group_memory(operation->group, buffer);
    char text[80];
    if (cqe->res > 0 && data != NULL) {
        quote(text, sizeof text, data, (size_t)cqe->res);
        printf(" %s", text);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER)
        printf(" buffer %u", buffer);
}

static void tell(const struct io_uring_cqe *cqe)
{
    const struct operation *operation = operation_of((char)cqe->user_data);
    if (operation->opcode == IORING_OP_ACCEPT && cqe->res >= 0) {
        newest_accepted = keep(cqe->res);
        printf("%c: accepted", (char)cqe->user_data);
    } else if (operation->bulk && cqe->res > 0) {
        printf("%c: %s", (char)cqe->user_data, cqe->res == (int)bulk_size ? "all" : "a part");
    } else {
        printf("%c: %s", (char)cqe->user_data, outcome(cqe->res));
    }
    if (operation->opcode == IORING_OP_RECV)
        tell_data(cqe, operation);
    static const struct {
        unsigned flag;
        const char *word;
    } words[] = {
        { IORING_CQE_F_MORE, "MORE" },
        { IORING_CQE_F_SOCK_NONEMPTY, "NONEMPTY" },
        { IORING_CQE_F_NOTIF, "NOTIF" },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        printf("%s%s", cqe->flags & words[i].flag ? " " : "",
               cqe->flags & words[i].flag ? words[i].word : "");
    putchar('\n');
}

static void tell_all(struct io_uring_cqe *cqes, unsigned count, bool in_order)
{
    for (unsigned i = 1; i < count && !in_order; i++) { /* stable, and they are few */
        struct io_uring_cqe moved = cqes[i];
        unsigned j = i;
        for (; j > 0 && cqes[j - 1].user_data > moved.user_data; j--)
            cqes[j] = cqes[j - 1];
        cqes[j] = moved;
    }
    for (unsigned i = 0; i < count; i++)
        tell(&cqes[i]);
}

static void collect_data(const struct io_uring_cqe *cqe)
{
    const struct operation *operation = operation_of((char)cqe->user_data);
    size_t have = strlen(collected);
    if (operation->opcode != IORING_OP_RECV || !(cqe->flags & IORING_CQE_F_BUFFER))
        return;
    const char *data = group_memory(operation->group, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    snprintf(collected + have, sizeof collected - have, "%.*s", cqe->res, data);
}

const char *collect(unsigned count)
{
    struct io_uring_cqe cqe;
    while (count-- > 0 && lane_wait(&mine, quiet_time, &cqe))
        collect_data(&cqe);
    return collected;
}

bool next_completion(char *ret_name, int *ret_result)
{
    struct io_uring_cqe cqe;
    if (!lane_wait(&mine, PATIENCE, &cqe))
        return false;
    *ret_name = (char)cqe.user_data;
    *ret_result = cqe.res;
    return true;
}

static unsigned gather(unsigned count, int64_t timeout, bool in_order)
{
    enum { MOST = 128 };
    static struct io_uring_cqe cqes[MOST];
    unsigned have = 0;
    while (have < count && lane_wait(&mine, timeout, &cqes[have]))
        have++;
    while (have < MOST && lane_take(&mine, &cqes[have]))
        have++;
    tell_all(cqes, have, in_order);
    return have;
}

void show(unsigned count)
{
    unsigned have = gather(count, PATIENCE, false);
    if (have < count)
        say("no more: %u of %u", have, count);
}

void show_in_order(unsigned count)
{
    unsigned have = gather(count, PATIENCE, true);
    if (have < count)
        say("no more: %u of %u", have, count);
}

void submit_and_show(unsigned count)
{
    submit();
    show(count);
}

void none(void)
{
    if (gather(1, quiet_time, true) == 0)
        say("nothing");
}
