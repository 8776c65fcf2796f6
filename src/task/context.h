/* A context is what a stack needs to go on later: switching between two costs about ten
 * nanoseconds. One file a processor implements the two functions; this one also tells the
 * sanitizers, which must know which stack is in use. */
#ifndef WEIR_TASK_CONTEXT_H
#define WEIR_TASK_CONTEXT_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONTEXT_WATCHED 1
#endif

struct context {
    void *stack_pointer;
#ifdef CONTEXT_WATCHED
    const void *stack;
    size_t stack_size;
    void *shadow; /* the sanitizer's own record of this stack */
#endif
};

/* Saves this context in `from` and goes on in `to`. */
void context_jump(struct context *from, const struct context *to);

/* A context that will call `entry(argument)` on the stack below `top`; `entry` never returns. */
void context_prepare(struct context *context, void *top, void (*entry)(void *), void *argument);

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static inline void context_open(struct context *context, void *stack, size_t size)
{
    context->stack = stack;
    context->stack_size = size;
    context->shadow = NULL;
}

static inline void context_switch(struct context *from, struct context *to)
{
    __sanitizer_start_switch_fiber(&from->shadow, to->stack, to->stack_size);
    context_jump(from, to); /* and back: from where it was left, which may be another stack */
    __sanitizer_finish_switch_fiber(from->shadow, &to->stack, &to->stack_size);
}

/* The first thing on a new stack: learns about the one it came from. */
static inline void context_entered(struct context *from)
{
    __sanitizer_finish_switch_fiber(NULL, &from->stack, &from->stack_size);
}

/* The last thing on a stack. */
static inline void context_leave(struct context *from, struct context *to)
{
    __sanitizer_start_switch_fiber(NULL, to->stack, to->stack_size);
    context_jump(from, to);
}

static inline void context_close(struct context *context)
{
    __asan_unpoison_memory_region(context->stack, context->stack_size);
}

#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

static inline void context_open(struct context *context, void *stack, size_t size)
{
    context->stack = stack;
    context->stack_size = size;
    context->shadow = __tsan_create_fiber(0);
}

static inline void context_switch(struct context *from, struct context *to)
{
    from->shadow = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->shadow, 0);
    context_jump(from, to);
}

static inline void context_entered(struct context *from)
{
    (void)from;
}

static inline void context_leave(struct context *from, struct context *to)
{
    context_switch(from, to);
}

static inline void context_close(struct context *context)
{
    __tsan_destroy_fiber(context->shadow);
}

#else

static inline void context_open(struct context *context, void *stack, size_t size)
{
    (void)context, (void)stack, (void)size;
}

static inline void context_switch(struct context *from, struct context *to)
{
    context_jump(from, to);
}

static inline void context_entered(struct context *from)
{
    (void)from;
}

static inline void context_leave(struct context *from, struct context *to)
{
    context_jump(from, to);
}

static inline void context_close(struct context *context)
{
    (void)context;
}

#endif

#endif
