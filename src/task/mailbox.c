#include "task/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/macros.h"
#include "kernel/sys.h"
#include "task/loop.h"

struct mailbox {
    struct op op;              /* a multishot poll of event_fd */
    struct ring_waiter parked; /* for a slot for that */
    struct weir_loop *loop;
    pthread_mutex_t lock; /* of what follows */
    struct message *first, *last;
    int event_fd;
    unsigned holds;
    bool closed;
};

static void listen_for_bell(struct mailbox *mailbox)
{
    struct ring *ring = &mailbox->loop->ring;
    struct io_uring_sqe *sqe = ring_sqe(ring, &mailbox->op);
    if (sqe == NULL) {
        ring_park(ring, &mailbox->parked);
        return;
    }
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = mailbox->event_fd;
    sqe->len = IORING_POLL_ADD_MULTI; /* never read: each write of it completes the poll once */
    sqe->poll32_events = POLLIN;
}

static void retry(struct ring_waiter *waiter)
{
    listen_for_bell(container_of(waiter, struct mailbox, parked));
}

static struct message *take_all(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct message *message = mailbox->first;
    mailbox->first = mailbox->last = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    return message;
}

static void rung(struct op *op, int result, unsigned flags)
{
    struct mailbox *mailbox = container_of(op, struct mailbox, op);
    (void)result;
    if (!(flags & IORING_CQE_F_MORE))
        listen_for_bell(mailbox);
    mailbox_deliver(mailbox->loop);
}

bool mailbox_deliver(struct weir_loop *loop)
{
    struct message *first = loop->mailbox != NULL ? take_all(loop->mailbox) : NULL;
    struct message *next;
    for (struct message *message = first; message != NULL; message = next) {
        next = message->next;
        message->deliver(message);
    }
    return first != NULL;
}

int mailbox_open(struct weir_loop *loop)
{
    if (loop->mailbox != NULL)
        return 0;
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL)
        return -ENOMEM;
    mailbox->event_fd = sys_event_fd();
    if (mailbox->event_fd < 0) {
        int rc = mailbox->event_fd;
        free(mailbox);
        return rc;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->op.complete = rung;
    mailbox->parked.retry = retry;
    mailbox->loop = loop;
    mailbox->holds = 1;
    loop->mailbox = mailbox;
    listen_for_bell(mailbox);
    return 0;
}

static struct mailbox *hold(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->holds++;
    pthread_mutex_unlock(&mailbox->lock);
    return mailbox;
}

int mailbox_hold(struct weir_loop *loop, struct mailbox **ret_mailbox)
{
    int rc = mailbox_open(loop);
    if (rc == 0)
        *ret_mailbox = hold(loop->mailbox);
    return rc;
}

void mailbox_drop(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    unsigned left = --mailbox->holds;
    pthread_mutex_unlock(&mailbox->lock);
    if (left > 0)
        return;
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    bool closed = mailbox->closed;
    if (!closed) {
        if (mailbox->last != NULL)
            mailbox->last->next = message;
        else
            mailbox->first = message;
        mailbox->last = message;
        sys_event_signal(mailbox->event_fd); /* under the lock: it is open while not closed */
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (closed)
        message->discard(message);
}

void mailbox_close(struct weir_loop *loop)
{
    struct mailbox *mailbox = loop->mailbox;
    if (mailbox == NULL)
        return;
    loop->mailbox = NULL;
    pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = true;
    sys_close(mailbox->event_fd);
    pthread_mutex_unlock(&mailbox->lock);
    struct message *next;
    for (struct message *message = take_all(mailbox); message != NULL; message = next) {
        next = message->next;
        message->discard(message);
    }
    mailbox_drop(mailbox);
}

/* ---- call_soon_threadsafe -------------------------------------------------------------------- */

struct call {
    struct message message;
    struct timer again; /* there was no memory for the task: it is tried again, and again */
    struct mailbox *mailbox;
    weir_task_fn *run;
    void *argument;
};

static void discard_call(struct message *message)
{
    struct call *call = container_of(message, struct call, message);
    mailbox_drop(call->mailbox);
    free(call);
}

static void deliver_call(struct message *message);

static void try_again(struct timer *timer)
{
    struct call *call = container_of(timer, struct call, again);
    call->mailbox->loop->tasks--;
    deliver_call(&call->message);
}

/* Until there is memory it counts as the task that it will be. */
static void deliver_call(struct message *message)
{
    struct call *call = container_of(message, struct call, message);
    struct weir_loop *loop = call->mailbox->loop;
    if (task_start(loop, call->run, call->argument) != NULL) {
        discard_call(message);
        return;
    }
    loop->tasks++;
    timer_start(&loop->timers, &call->again, loop_deadline(loop, WEIR_MILLISECOND), try_again);
}

PUBLIC int weir_call_soon_threadsafe(struct weir_loop *loop, weir_task_fn *run, void *argument)
{
    struct call *call = malloc(sizeof *call);
    if (call == NULL)
        return -ENOMEM;
    *call = (struct call){
        .message = { .deliver = deliver_call, .discard = discard_call },
        .mailbox = hold(loop->mailbox), /* weir_this_loop() has made it */
        .run = run,
        .argument = argument,
    };
    mailbox_post(call->mailbox, &call->message);
    return 0;
}
