#include "task/stack.h"

#include <stdlib.h>

#include "base/limits.h"
#include "kernel/sys.h"

struct slab {
    struct slab *next;
    char *memory;
    size_t size;
};

enum { LINE = 64, STAGGERS = 16 };

void stacks_open(struct stacks *stacks, size_t size)
{
    size_t page = sys_page_size();
    *stacks = (struct stacks){ .size = (size + page - 1) / page * page, .page = page };
}

void stacks_close(struct stacks *stacks)
{
    while (stacks->slabs != NULL) {
        struct slab *slab = stacks->slabs;
        stacks->slabs = slab->next;
        sys_unmap(slab->memory, slab->size);
        sys_guards_gone(LIMIT_SLAB - stacks->fresh);
        stacks->fresh = 0; /* only the first slab has any */
        free(slab);
    }
    stacks->free = NULL;
}

static int add_slab(struct stacks *stacks)
{
    struct slab *slab = malloc(sizeof *slab);
    if (slab == NULL)
        return -1;
    slab->size = LIMIT_SLAB * (stacks->page + stacks->size);
    slab->memory = sys_map(slab->size);
    if (slab->memory == NULL) {
        free(slab);
        return -1;
    }
    slab->next = stacks->slabs;
    stacks->slabs = slab;
    stacks->fresh = LIMIT_SLAB;
    return 0;
}

/* A stack without a guard would make an overflow silent: rather none. */
static struct stack *stack_new(struct stacks *stacks, size_t extra)
{
    if (stacks->fresh == 0 && add_slab(stacks) < 0)
        return NULL;
    char *guard = stacks->slabs->memory + --stacks->fresh * (stacks->page + stacks->size);
    if (sys_guard(guard, stacks->page) < 0) {
        stacks->fresh++;
        return NULL;
    }
    char *bottom = guard + stacks->page;
    char *top = bottom + stacks->size - stacks->fresh % STAGGERS * LINE;
    size_t record = (sizeof(struct stack) + extra + LINE - 1) / LINE * LINE;
    struct stack *stack = (struct stack *)(void *)(top - record);
    stack->bottom = bottom;
    stack->size = (size_t)((char *)stack - bottom);
    return stack;
}

struct stack *stack_take(struct stacks *stacks, size_t extra)
{
    struct stack *stack = stacks->free;
    if (stack == NULL)
        return stack_new(stacks, extra);
    stacks->free = stack->next;
    return stack;
}

void stack_give_back(struct stacks *stacks, struct stack *stack)
{
    stack->next = stacks->free;
    stacks->free = stack;
}
