/* The stacks of tasks: taken, given back, and trimmed after a peak. */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/macros.h"
#include "harness.h"
#include "task/stack.h"

TestSuite(stack, .timeout = 30);

enum { PEAK = 3 * LIMIT_SPARE + 5, EXTRA = 100 };

static struct stack *taken[PEAK];

static void take_all(struct stacks *stacks)
{
    for (int i = 0; i < PEAK; i++) {
        taken[i] = stack_take(stacks, EXTRA);
        cr_assert(ne(ptr, taken[i], NULL));
        memset(taken[i]->bottom, i, taken[i]->size);
        memset(taken[i] + 1, i, EXTRA);
    }
}

static void give_all_back(struct stacks *stacks)
{
    for (int i = 0; i < PEAK; i++)
        stack_give_back(stacks, taken[i]);
}

/* How many trims that brings, each of which gives back a few. */
static int trim_all(struct stacks *stacks)
{
    int count = 1;
    while (stacks_trim(stacks))
        count++;
    return count;
}

Test(stack, keeps_a_few_after_a_peak)
{
    struct stacks stacks;
    stacks_open(&stacks, LIMIT_STACK_MIN);
    take_all(&stacks);
    cr_assert(not(stacks_are_many(&stacks)));
    give_all_back(&stacks);
    cr_assert(stacks_are_many(&stacks));
    cr_assert(not(stacks_trim(&stacks)), "the first look only begins to count");
    cr_assert(eq(u32, stacks.free_count, PEAK));
    int trims = trim_all(&stacks);
    cr_assert(eq(int, trims, (PEAK - LIMIT_SPARE + LIMIT_TRIM - 1) / LIMIT_TRIM));
    cr_assert(eq(u32, stacks.free_count, LIMIT_SPARE));
    cr_assert(not(stacks_are_many(&stacks)));
    stacks_close(&stacks);
}

Test(stack, what_is_used_now_and_then_is_kept)
{
    struct stacks stacks;
    stacks_open(&stacks, LIMIT_STACK_MIN);
    take_all(&stacks);
    give_all_back(&stacks);
    for (int round = 0; round < 3; round++) {
        trim_all(&stacks);
        cr_assert(eq(u32, stacks.free_count, PEAK));
        take_all(&stacks);
        give_all_back(&stacks);
    }
    stacks_close(&stacks);
}

Test(stack, trimmed_ones_can_be_used_again)
{
    struct stacks stacks;
    stacks_open(&stacks, LIMIT_STACK_MIN);
    for (int round = 0; round < 3; round++) {
        take_all(&stacks);
        give_all_back(&stacks);
        trim_all(&stacks);
        trim_all(&stacks);
        cr_assert(eq(u32, stacks.free_count, LIMIT_SPARE));
    }
    take_all(&stacks);
    for (int i = 0; i < PEAK; i++) {
        cr_assert(eq(chr, taken[i]->bottom[0], (char)i), "each has its own memory");
        cr_assert(eq(chr, ((char *)(taken[i] + 1))[EXTRA - 1], (char)i));
    }
    stacks_close(&stacks);
}

Test(stack, trimmed_ones_have_no_pages)
{
    struct stacks stacks;
    stacks_open(&stacks, LIMIT_STACK_MIN);
    take_all(&stacks);
    char *bottoms[PEAK];
    for (int i = 0; i < PEAK; i++)
        bottoms[i] = taken[i]->bottom;
    give_all_back(&stacks);
    trim_all(&stacks);
    trim_all(&stacks);
    int resident = 0, mapped = 0;
    for (int i = 0; i < PEAK; i++) {
        unsigned char there = 0;
        if (mincore(bottoms[i], 1, &there) == 0)
            mapped++, resident += there & 1;
    }
    cr_assert(eq(int, resident, LIMIT_SPARE));
    cr_assert(lt(int, mapped, PEAK), "slabs without any pages are unmapped");
    stacks_close(&stacks);
}

/* In a process of its own: how it ends depends on the sanitizer, but not that it does. */
Test(stack, has_a_guard_below_it)
{
    struct stacks stacks;
    stacks_open(&stacks, LIMIT_STACK_MIN);
    take_all(&stacks);
    for (int i = 0; i < PEAK; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            ((volatile char *)taken[i]->bottom)[-1] = 0;
            _exit(0);
        }
        cr_assert(eq(int, waitpid(child, &status, 0), child));
        bool went_on = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        cr_assert(not(went_on), "stack %d has none", i);
    }
    give_all_back(&stacks);
    stacks_close(&stacks);
}
