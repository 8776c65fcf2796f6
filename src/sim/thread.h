/* The threads of the world: stacks within one thread of the machine, of which one runs until it
 * waits. Each has its own values of the program's _Thread_local variables. */
#ifndef WEIR_SIM_THREAD_H
#define WEIR_SIM_THREAD_H

#include <stdbool.h>
#include <stdint.h>

struct thread;

void threads_open(void);
void threads_close(void);

/* NULL: no memory, or chance wills it. Its first step comes when chance wills. */
struct thread *thread_start(void *(*run)(void *argument), void *argument);
struct thread *thread_this(void); /* NULL: outside of the world */
unsigned thread_number(const struct thread *thread);

/* Until somebody calls thread_wake(), or the time has come (-1: never). True if woken. A wake
 * before the sleep counts; so who sleeps looks, again and again, at what it waits for. */
bool thread_sleep(int64_t wait);
void thread_wake(struct thread *thread);

/* Lets others go first, if chance wills it. */
void thread_yield(const char *tag);

bool threads_are_done(void);
void threads_tell(void);            /* who waits for what, on the trace's stream */
void thread_says(const char *what); /* why this thread is going to sleep: for threads_tell() */

#endif
