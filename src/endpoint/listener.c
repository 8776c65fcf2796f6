/* Accepting. One multishot accept serves a listener; near the server's cap single ones do,
 * since the kernel goes on letting in for a multishot until that is cancelled. When no fd can
 * be had (EMFILE) it backs off, and uses the server's spare fd to let the first waiting client
 * in and out, so that it hears at once. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "endpoint/server.h"
#include "kernel/sys.h"
#include "transport/address.h"

static bool is_wanted(const struct listener *listener)
{
    const struct weir_server *server = listener->server;
    return server->serving && server->open < server->options.max_connections &&
           listener->backoff.previous == NULL;
}

/* How many more may come in before a cancelled multishot accept has surely ended. */
static bool is_near_cap(const struct weir_server *server)
{
    unsigned left = server->options.max_connections - server->open;
    return left / server->listener_count <= 2 * (unsigned)server->options.backlog;
}

static void arm(struct listener *listener)
{
    struct weir_server *server = listener->server;
    struct ring *ring = &server->loop->ring;
    struct io_uring_sqe *sqe = ring_sqe(ring, &listener->accept);
    if (sqe == NULL) {
        ring_park(ring, &listener->parked);
        return;
    }
    server_spare_fd(server); /* it may have been lost to another thread */
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener->fd;
    sqe->accept_flags = SOCK_CLOEXEC;
    listener->multishot = !is_near_cap(server);
    sqe->ioprio = listener->multishot ? IORING_ACCEPT_MULTISHOT : 0;
    listener->accepting = true;
}

static void cancel(struct listener *listener)
{
    struct ring *ring = &listener->server->loop->ring;
    if (!ring_cancel(ring, &listener->accept, &listener->cancel))
        ring_park(ring, &listener->parked);
}

/* The file is removed only if it is still the one we made, and nobody else is behind it. */
static void remove_file(struct listener *listener)
{
    struct stat now;
    if (listener->path != NULL && !listener->shared && sys_stat(listener->path, &now) == 0 &&
        now.st_dev == listener->device && now.st_ino == listener->inode)
        sys_unlink(listener->path);
    free(listener->path);
    listener->path = NULL;
}

/* The last of those who share a path stays with a socket that is its own. */
static void leave_others(struct listener *listener)
{
    struct weir_server *server = listener->server;
    if (server->member.path != NULL && shared_leave(server->loop->shared, &server->member))
        listener->shared = false;
}

static void finish(struct listener *listener)
{
    sys_close(listener->fd);
    listener->fd = -1;
    list_remove(&listener->parked.node);
    server_listener_closed(listener->server); /* the server may be gone now */
}

void listener_move(struct listener *listener)
{
    if (listener->fd < 0)
        return;
    bool wanted = is_wanted(listener);
    bool over = !listener->accepting && !listener->cancel.asked;
    if (wanted && over)
        arm(listener);
    else if (listener->accepting &&
             (!wanted || (listener->multishot && is_near_cap(listener->server))))
        cancel(listener);
    if (listener->server->closed && over)
        finish(listener);
}

/* ---- When no fd can be had ------------------------------------------------------------------- */

static void backed_off(struct timer *timer)
{
    listener_move(container_of(timer, struct listener, backoff));
}

static void tell_first_client(struct listener *listener)
{
    struct weir_server *server = listener->server;
    if (server->spare_fd < 0 || listener->shared) /* an accept by another could make ours wait */
        return;
    sys_close(server->spare_fd);
    sys_accept_and_close(listener->fd);
    server->spare_fd = sys_event_fd();
}

static void back_off(struct listener *listener)
{
    struct weir_loop *loop = listener->server->loop;
    metrics.accepts_failed++;
    tell_first_client(listener);
    timer_start(&loop->timers, &listener->backoff, loop_deadline(loop, listener->delay),
                backed_off);
    listener->delay *= 2;
    if (listener->delay > LIMIT_ACCEPT_BACKOFF_MAX * WEIR_MILLISECOND)
        listener->delay = LIMIT_ACCEPT_BACKOFF_MAX * WEIR_MILLISECOND;
}

void listener_retry(struct listener *listener)
{
    if (listener->backoff.previous == NULL)
        return;
    timer_stop(&listener->server->loop->timers, &listener->backoff);
    listener_move(listener);
}

/* ---- Accepting ------------------------------------------------------------------------------- */

static void accepted(struct op *op, int result, unsigned flags)
{
    struct listener *listener = container_of(op, struct listener, accept);
    if (!(flags & IORING_CQE_F_MORE))
        listener->accepting = listener->cancel.found = false;
    if (result >= 0) {
        listener->delay = LIMIT_ACCEPT_BACKOFF * WEIR_MILLISECOND;
        server_let_in(listener->server, result);
    } else if (listener->server->serving) {
        switch (result) {
        case -ECANCELED:    /* as we wished */
        case -ECONNABORTED: /* that client has gone already */
        case -EINTR:
        case -EAGAIN:
        case -EPROTO:
            break;
        default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM; or it will not get better by haste */
            back_off(listener);
        }
    }
    listener_move(listener);
}

static void cancelled(struct op *op, int result, unsigned flags)
{
    struct listener *listener = container_of(op, struct listener, cancel.op);
    (void)flags;
    cancel_completed(&listener->cancel, result, listener->accepting);
    listener_move(listener);
}

static void retry(struct ring_waiter *waiter)
{
    listener_move(container_of(waiter, struct listener, parked));
}

void listener_open(struct listener *listener, struct weir_server *server, int fd)
{
    *listener = (struct listener){
        .server = server,
        .fd = fd,
        .accept = { accepted },
        .cancel = { .op = { cancelled } },
        .parked = { .retry = retry },
        .delay = LIMIT_ACCEPT_BACKOFF * WEIR_MILLISECOND,
    };
}

/* A socket bound by nobody gets its port when it listens: so this is done twice. */
int listener_look_up_name(struct listener *listener)
{
    struct sockaddr_storage name;
    struct sockaddr *generic = (struct sockaddr *)&name;
    socklen_t length;
    int rc = sys_socket_name(listener->fd, false, &name, &length);
    if (rc < 0)
        return rc;
    free(listener->name);
    listener->port = (uint16_t)address_port(generic);
    listener->name = address_text(generic, length);
    return listener->name != NULL ? 0 : -ENOMEM;
}

/* A shutdown refuses new clients from this moment on, but on every duplicate of the socket. */
void listener_stop(struct listener *listener)
{
    if (!listener->shared)
        sys_shutdown(listener->fd, SHUT_RDWR);
}

void listener_close(struct listener *listener)
{
    leave_others(listener);
    listener_stop(listener);
    remove_file(listener);
    timer_stop(&listener->server->loop->timers, &listener->backoff);
    listener_move(listener);
}

void listener_free(struct listener *listener)
{
    leave_others(listener);
    remove_file(listener);
    if (listener->fd >= 0)
        sys_close(listener->fd);
    free(listener->name);
}
