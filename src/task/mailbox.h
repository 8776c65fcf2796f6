/* A loop's mailbox: how another thread hands it something to do, and wakes it. It outlives the loop
 * for as long as somebody may still post: then what is posted is discarded. */
#ifndef WEIR_TASK_MAILBOX_H
#define WEIR_TASK_MAILBOX_H

#include <stdbool.h>
#include <weir.h>

struct mailbox;

struct message {
    struct message *next;
    void (*deliver)(struct message *message); /* on the loop's thread */
    void (*discard)(struct message *message); /* on the poster's, if the loop has ended */
};

/* Makes the loop's, if there is none yet: on the loop's thread. -errno. */
int mailbox_open(struct weir_loop *loop);

/* The same, with a hold for the caller. */
int mailbox_hold(struct weir_loop *loop, struct mailbox **ret_mailbox);
void mailbox_drop(struct mailbox *mailbox);
void mailbox_post(struct mailbox *mailbox, struct message *message); /* any thread */

/* Delivers what has been posted: false if nothing was. On the loop's thread. */
bool mailbox_deliver(struct weir_loop *loop);

void mailbox_close(struct weir_loop *loop); /* the loop ends */

#endif
