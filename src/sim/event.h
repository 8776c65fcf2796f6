/* What can happen next, and virtual time. An event that is enabled may happen now: which of them
 * does, is chosen. When none is, time moves on to the first of those that wait for theirs. A thread
 * that can go on is an event like any other. */
#ifndef WEIR_SIM_EVENT_H
#define WEIR_SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lies in what it is for; zeroed but for `run` at first. */
struct event {
    void (*run)(struct event *event); /* it is neither enabled nor timed any more then */
    int64_t due;
    uint32_t place; /* in its list, plus one; 0: in none */
    bool timed;
    bool wire; /* the network's, or a request's: may also happen within any system call */
};

void events_open(void);
void events_close(void);

void event_enable(struct event *event);              /* from now on; harmless if it is already */
void event_after(struct event *event, int64_t wait); /* ns; instead of what it was before */
void event_stop(struct event *event);

/* Runs one; false if there is none, now or later. */
bool events_step(void);

/* Lets a few of the network's and of the requests' happen, if chance wills it, and in the long run
 * in any case: at each system call, as the world does not stand still meanwhile. */
void events_breathe(void);

int64_t events_now(void);    /* virtual ns */
int64_t events_jumped(void); /* of that, by clock jumps */
uint64_t events_steps(void); /* so far */

#endif
