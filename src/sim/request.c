/* An operation, from its submission to its last completion. */
#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/ring.h"
#include "sim/world.h"
#include "task/loop.h"

static void request_free(struct request *request)
{
    event_stop(&request->go);
    file_unwatch(&request->watcher);
    list_remove(&request->node);
    list_remove(&request->turn);
    if (request->file != NULL)
        file_drop(request->file);
    free(request->vector);
    free(request);
}

void request_drop_all(struct sim_ring *ring)
{
    struct list_node *node;
    while ((node = list_first(&ring->requests)) != NULL) {
        struct request *request = container_of(node, struct request, node);
        for (struct request *next = request->next, *after; next != NULL; next = after) {
            after = next->next;
            request_free(next);
        }
        request_free(request);
    }
}

/* ---- The end of one -------------------------------------------------------------------------- */

static void cancel_chain(struct sim_ring *ring, struct request *request)
{
    while (request != NULL) {
        struct request *next = request->next;
        ring_post(ring, request->sqe.user_data, -ECANCELED, 0);
        request_free(request);
        request = next;
    }
}

/* The ring's owner has to do that: until it does, nobody finds it. */
static void begin_linked(struct request *request)
{
    list_append(&request->ring->requests, &request->node);
    event_enable(&request->go);
}

static void finish(struct request *request, int result, uint32_t flags)
{
    struct sim_ring *ring = request->ring;
    struct request *next = request->next;
    bool broken =
        operation_has_failed(request, result) && !(request->sqe.flags & IOSQE_IO_HARDLINK);
    trace("ring %d: %s fd %d: %d", ring->fd, "ends", request->sqe.fd, result);
    ring_post(ring, request->sqe.user_data, result, flags);
    request_free(request);
    if (next != NULL && broken)
        cancel_chain(ring, next);
    else if (next != NULL)
        begin_linked(next);
}

/* ---- Its life -------------------------------------------------------------------------------- */

/* What a correct program never asks for: told, but to those who test the ring itself. */
static void check_use(const struct request *request, int result)
{
    bool refused = result == -EBADF || result == -EINVAL || result == -EFAULT;
    bool ended = request->sqe.opcode == IORING_OP_ACCEPT && result == -EINVAL; /* by a shutdown */
    bool meant = request->sqe.fd == -1;
    if (loop_this() != NULL && refused && !ended && !meant)
        violation("operation %u on fd %d is refused with %d", request->sqe.opcode, request->sqe.fd,
                  result);
}

/* The file is looked up when the operation begins, so what is linked sees what was before it. */
static int look_up(struct request *request)
{
    if (request->file != NULL || !operation_needs_file(request))
        return 0;
    struct file *file = fd_file(request->sqe.fd);
    if (file == NULL)
        return -EBADF;
    request->file = file_hold(file);
    return 0;
}

void request_try(struct request *request)
{
    uint32_t flags = 0;
    int result = look_up(request);
    if (result == 0) {
        do {
            flags = 0;
            result = operation_try(request, &flags);
        } while (result == GOES_ON && choose(2, "it goes on later") == 0);
    }
    if ((result == WAITS || result == GOES_ON) && request->doomed) {
        result = request->sent > 0 ? (int)request->sent : -ECANCELED;
        flags = request->pinned_flags;
    }
    if (result == GOES_ON) {
        event_enable(&request->go);
    } else if (result == WAITS) {
        if (!list_holds(&request->watcher.node))
            file_watch(request->file, &request->watcher);
    } else {
        check_use(request, result);
        finish(request, result, flags);
    }
}

void request_go(struct request *request)
{
    list_remove(&request->turn);
    if (request->cancelled && request->blocked)
        finish(request, request->sent > 0 ? (int)request->sent : -EINTR, request->pinned_flags);
    else if (request->cancelled)
        finish(request, request->sent > 0 ? (int)request->sent : -ECANCELED, 0);
    else
        request_try(request);
}

/* With deferred task work, only what the ring's owner is waiting for is done meanwhile; all else is
 * done when it enters. */
static void go(struct event *event)
{
    struct request *request = container_of(event, struct request, go);
    struct sim_ring *ring = request->ring;
    if (!(ring->flags & IORING_SETUP_DEFER_TASKRUN) || ring->sleeper != NULL) {
        request_go(request);
        return;
    }
    if (!list_holds(&request->turn))
        list_append(&ring->turns, &request->turn);
    if (ring->flags & IORING_SETUP_TASKRUN_FLAG)
        *ring->sq_flags |= IORING_SQ_TASKRUN;
}

static void changed(struct watcher *watcher)
{
    event_enable(&container_of(watcher, struct request, watcher)->go);
}

/* At once, as the kernel does where it can, or after something else: it may have no room just then,
 * and what has been submitted must be good until it completes. */
static void begin(struct request *request)
{
    list_append(&request->ring->requests, &request->node);
    look_up(request);                                             /* or fails later, as told then */
    bool cancels = request->sqe.opcode == IORING_OP_ASYNC_CANCEL; /* never what comes after it */
    if (request->ring->submitting && (cancels || choose(2, "later") == 0))
        request_try(request);
    else
        event_enable(&request->go);
}

void request_start(struct request *request)
{
    bool broken = false;
    for (const struct request *part = request; part != NULL; part = part->next)
        broken |= part->failure != 0;
    if (!broken) {
        begin(request);
        return;
    }
    struct sim_ring *ring = request->ring;
    while (request != NULL) {
        struct request *next = request->next;
        int result = request->failure != 0 ? request->failure : -ECANCELED;
        check_use(request, result);
        ring_post(ring, request->sqe.user_data, result, 0);
        request_free(request);
        request = next;
    }
}

void request_submit(struct sim_ring *ring, const struct io_uring_sqe *sqe, struct request **chain)
{
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL)
        abort();
    *request = (struct request){ .go = { .run = go, .wire = true },
                                 .watcher = { .changed = changed },
                                 .ring = ring,
                                 .sqe = *sqe };
    request->failure = operation_prepare(request);
    trace("ring %d: operation %u on fd %d, %u bytes, flags %x", ring->fd, sqe->opcode, sqe->fd,
          sqe->len, sqe->flags);
    struct request *head = *chain != NULL ? *chain : request;
    if (*chain != NULL) {
        struct request *last = *chain;
        while (last->next != NULL)
            last = last->next;
        last->next = request;
    }
    bool linked = sqe->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
    *chain = linked ? head : NULL;
    if (!linked)
        request_start(head);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

/* Only what has been tried, and waits, can be found. */
struct request *request_find(struct sim_ring *ring, uint64_t user_data)
{
    struct list *all = &ring->requests;
    for (struct list_node *node = list_first(all); node != NULL; node = list_next(all, node)) {
        struct request *request = container_of(node, struct request, node);
        if (request->sqe.user_data == user_data && request->tried &&
            request->sqe.opcode != IORING_OP_ASYNC_CANCEL)
            return request;
    }
    return NULL;
}

void request_cancel(struct request *request, bool late)
{
    request->cancelled = !late;
    request->doomed = late;
    event_enable(&request->go);
}
