/* Contexts where there is no assembly for the processor: libc's, which cost two system calls. */
#include <stdint.h>
#include <ucontext.h>

#include "task/context.h"

struct start {
    ucontext_t context;
    void (*entry)(void *);
    void *argument;
};

/* makecontext() passes ints only. */
static void start(unsigned high, unsigned low)
{
    struct start *start = (struct start *)((uintptr_t)high << 32 | low);
    start->entry(start->argument);
}

void context_jump(struct context *from, const struct context *to)
{
    ucontext_t here;
    from->stack_pointer = &here;
    swapcontext(&here, to->stack_pointer);
}

/* The stack's extent below the record is not known here, nor needed: the kernel never looks. */
void context_prepare(struct context *context, void *top, void (*entry)(void *), void *argument)
{
    const size_t assumed = 8192;
    struct start *record = (struct start *)(((uintptr_t)top - sizeof *record) & ~(uintptr_t)63);
    record->entry = entry;
    record->argument = argument;
    getcontext(&record->context);
    record->context.uc_stack.ss_sp = (char *)record - assumed;
    record->context.uc_stack.ss_size = assumed;
    record->context.uc_link = NULL;
    makecontext(&record->context, (void (*)(void))start, 2, (unsigned)((uintptr_t)record >> 32),
                (unsigned)(uintptr_t)record);
    context->stack_pointer = &record->context;
}
