#include "task/stack.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/macros.h"
#include "kernel/sys.h"

/* A bit for each stack of a slab. */
typedef uint64_t stack_set;
enum { LINE = 64, STAGGERS = 16 };
_Static_assert(LIMIT_SLAB <= 64, "a slab's stacks fit into a set");
#define ALL_STACKS (~(stack_set)0 >> (64 - LIMIT_SLAB))

struct slab {
    struct list_node node;
    char *memory;
    stack_set bare;    /* have no pages: never used, or trimmed */
    stack_set guarded; /* have their guard page */
};

static size_t stride(const struct stacks *stacks)
{
    return stacks->page + stacks->size;
}

void stacks_open(struct stacks *stacks, size_t size)
{
    size_t page = sys_page_size();
    *stacks = (struct stacks){ .size = (size + page - 1) / page * page, .page = page };
}

static void slab_free(struct stacks *stacks, struct slab *slab)
{
    list_remove(&slab->node);
    sys_unmap(slab->memory, LIMIT_SLAB * stride(stacks));
    sys_guards_gone((unsigned)__builtin_popcountll(slab->guarded));
    free(slab);
}

static void free_all(struct stacks *stacks, struct list *slabs)
{
    struct list_node *node;
    while ((node = list_first(slabs)) != NULL)
        slab_free(stacks, container_of(node, struct slab, node));
}

void stacks_close(struct stacks *stacks)
{
    free_all(stacks, &stacks->roomy);
    free_all(stacks, &stacks->full);
}

/* ---- Taking ---------------------------------------------------------------------------------- */

static struct slab *slab_new(struct stacks *stacks)
{
    struct slab *slab = malloc(sizeof *slab);
    char *memory = slab != NULL ? sys_map(LIMIT_SLAB * stride(stacks)) : NULL;
    if (memory == NULL) {
        free(slab);
        return NULL;
    }
    *slab = (struct slab){ .memory = memory, .bare = ALL_STACKS };
    list_append(&stacks->roomy, &slab->node);
    return slab;
}

/* A stack without a guard would make an overflow silent: rather none. */
static bool guard(struct stacks *stacks, struct slab *slab, unsigned index)
{
    stack_set bit = (stack_set)1 << index;
    if (!(slab->guarded & bit) &&
        sys_guard(slab->memory + index * stride(stacks), stacks->page) == 0)
        slab->guarded |= bit;
    return slab->guarded & bit;
}

static struct stack *stack_new(struct stacks *stacks, size_t extra)
{
    struct list_node *node = list_first(&stacks->roomy);
    struct slab *slab = node != NULL ? container_of(node, struct slab, node) : slab_new(stacks);
    if (slab == NULL)
        return NULL;
    unsigned index = (unsigned)__builtin_ctzll(slab->bare);
    if (!guard(stacks, slab, index))
        return NULL;
    slab->bare &= slab->bare - 1;
    if (slab->bare == 0) {
        list_remove(&slab->node);
        list_append(&stacks->full, &slab->node);
    }
    char *bottom = slab->memory + index * stride(stacks) + stacks->page;
    char *top = bottom + stacks->size - index % STAGGERS * LINE;
    size_t record = (sizeof(struct stack) + extra + LINE - 1) / LINE * LINE;
    struct stack *stack = (struct stack *)(void *)(top - record);
    *stack = (struct stack){ .slab = slab, .bottom = bottom };
    stack->size = (size_t)((char *)stack - bottom);
    return stack;
}

struct stack *stack_take(struct stacks *stacks, size_t extra)
{
    struct list_node *node = list_last(&stacks->free);
    if (node == NULL)
        return stack_new(stacks, extra);
    list_remove(node);
    stacks->free_count--;
    if (stacks->idle > stacks->free_count)
        stacks->idle = stacks->free_count;
    return container_of(node, struct stack, node);
}

void stack_give_back(struct stacks *stacks, struct stack *stack)
{
    list_append(&stacks->free, &stack->node);
    stacks->free_count++;
}

/* ---- Trimming -------------------------------------------------------------------------------- */

bool stacks_are_many(const struct stacks *stacks)
{
    return stacks->free_count > LIMIT_SPARE;
}

/* The record lies in these pages, too. A slab with no pages at all goes, if it is not the only one
 * that has room. */
static void make_bare(struct stacks *stacks, struct stack *stack)
{
    struct slab *slab = stack->slab;
    char *bottom = stack->bottom;
    size_t index = (size_t)(bottom - slab->memory) / stride(stacks);
    sys_discard(bottom, stacks->size);
    list_remove(&slab->node);
    slab->bare |= (stack_set)1 << index;
    bool only = list_is_empty(&stacks->roomy);
    list_append(&stacks->roomy, &slab->node);
    if (slab->bare == ALL_STACKS && !only)
        slab_free(stacks, slab);
}

bool stacks_trim(struct stacks *stacks)
{
    for (unsigned i = 0; i < LIMIT_TRIM && stacks->idle > 0 && stacks_are_many(stacks); i++) {
        struct list_node *node = list_first(&stacks->free);
        list_remove(node);
        stacks->free_count--;
        stacks->idle--;
        make_bare(stacks, container_of(node, struct stack, node));
    }
    if (stacks->idle > 0 && stacks_are_many(stacks))
        return true;
    stacks->idle = stacks->free_count;
    return false;
}
