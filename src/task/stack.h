/* Stacks for tasks: mapped in slabs, reused last in first out, each with a guard page at its end.
 *
 *   |guard|............usable............top|guard|............usable............top| ...
 *
 * What a task needs while it waits lies near the top, so that an idle one touches one page. A stack
 * and its guard are not a power of two, and tops are staggered within their page: so the tops of
 * neighbours fall on different lines of the processor's cache.
 *
 * A stack that is free keeps its pages for the next task, as long as it is used now and then: those
 * that a peak has left behind are given back to the system, some at a time (stacks_trim). */
#ifndef WEIR_TASK_STACK_H
#define WEIR_TASK_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct slab;

struct stack {
    struct list_node node; /* while free */
    struct slab *slab;
    char *bottom; /* of the usable bytes */
    size_t size;  /* from bottom to this record, which lies at the top */
};

struct stacks {
    struct list free;  /* stack: those that have pages, the last used last */
    struct list roomy; /* slab: those with stacks that have no pages */
    struct list full;  /* slab */
    size_t size, page;
    unsigned free_count;
    unsigned idle; /* of the free ones, so many have not been used since the last look */
};

void stacks_open(struct stacks *stacks, size_t size);
void stacks_close(struct stacks *stacks);

/* The record at a stack's top, with room for `extra` bytes behind it; NULL without memory. */
struct stack *stack_take(struct stacks *stacks, size_t extra);
void stack_give_back(struct stacks *stacks, struct stack *stack);

/* More are free than are worth keeping: stacks_trim() is to be called now and then. */
bool stacks_are_many(const struct stacks *stacks);

/* Gives back the pages of some that were not used since the last call that returned false. True:
 * there are more of them. */
bool stacks_trim(struct stacks *stacks);

#endif
