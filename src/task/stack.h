/* Stacks for tasks: mapped in slabs, reused last in first out, each with a guard page at its end.
 *
 *   |guard|............usable............top|guard|............usable............top| ...
 *
 * What a task needs while it waits lies near the top, so that an idle one touches one page. A stack
 * and its guard are not a power of two, and tops are staggered within their page: so the tops of
 * neighbours fall on different lines of the processor's cache. */
#ifndef WEIR_TASK_STACK_H
#define WEIR_TASK_STACK_H

#include <stddef.h>

struct slab;

struct stack {
    struct stack *next; /* while free */
    char *bottom;       /* of the usable bytes */
    size_t size;        /* from bottom to this record, which lies at the top */
};

struct stacks {
    struct stack *free;
    struct slab *slabs;
    size_t size, page;
    unsigned fresh; /* stacks of the first slab never used yet */
};

void stacks_open(struct stacks *stacks, size_t size);
void stacks_close(struct stacks *stacks);

/* The record at a stack's top, with room for `extra` bytes behind it; NULL without memory. */
struct stack *stack_take(struct stacks *stacks, size_t extra);
void stack_give_back(struct stacks *stacks, struct stack *stack);

#endif
