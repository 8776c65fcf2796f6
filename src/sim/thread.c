#include "sim/thread.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/list.h"
#include "base/macros.h"
#include "sim/choice.h"
#include "sim/event.h"
#include "sim/world.h"
#include "task/context.h"

enum { STACK = 1024 * 1024, SPARE = 16 };

struct thread {
    struct event go;    /* it can go on */
    struct event alarm; /* its time is over */
    struct list_node node;
    struct context context;
    char *stack;
    char *locals; /* its _Thread_local variables, while another thread has the place of them */
    void *(*run)(void *argument);
    void *argument;
    const char *waits_for;
    unsigned number;
    bool woken, sleeping, done;
};

static struct list all;
static struct thread *current;
static struct context scheduler;
static unsigned started;
static char *spare[SPARE];
static unsigned spare_count;

/* ---- Thread-local variables ------------------------------------------------------------------ */

/* The block of them that this program (or shared library) has in the thread of the machine. */
static struct {
    char *block;
    const char *image; /* what it is initialised with */
    size_t image_size, size;
    struct thread
        *owner; /* whose values are there; NULL: the first's, which are the caller's, too */
} locals;

static _Thread_local char witness;

static int find_locals(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    const char *block = info->dlpi_tls_data;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_TLS || block == NULL || &witness < block ||
            &witness >= block + header->p_memsz)
            continue;
        locals.block = (char *)block;
        locals.size = header->p_memsz;
        locals.image = (const char *)(info->dlpi_addr + header->p_vaddr);
        locals.image_size = header->p_filesz;
        return 1;
    }
    return 0;
}

/* The first thread has the caller's, so that a world of one thread copies nothing. */
static void own_locals(struct thread *thread)
{
    if (thread != NULL && thread->number == 1)
        thread = NULL;
    if (thread == locals.owner)
        return;
    static char *first;
    if (first == NULL)
        first = malloc(locals.size);
    memcpy(locals.owner != NULL ? locals.owner->locals : first, locals.block, locals.size);
    memcpy(locals.block, thread != NULL ? thread->locals : first, locals.size);
    locals.owner = thread;
}

static char *new_locals(void)
{
    if (locals.block == NULL)
        dl_iterate_phdr(find_locals, NULL);
    char *copy = calloc(1, locals.size);
    if (copy == NULL)
        abort();
    memcpy(copy, locals.image, locals.image_size);
    return copy;
}

/* ---- Start and end --------------------------------------------------------------------------- */

static char *take_stack(void)
{
    if (spare_count > 0)
        return spare[--spare_count];
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        abort();
    mprotect(stack, 4096, PROT_NONE);
    return stack;
}

static void free_thread(struct thread *thread)
{
    list_remove(&thread->node);
    context_close(&thread->context);
    if (spare_count < SPARE)
        spare[spare_count++] = thread->stack;
    else
        munmap(thread->stack, STACK);
    free(thread->locals);
    free(thread);
}

static void resume(struct thread *thread)
{
    own_locals(thread);
    current = thread;
    context_switch(&scheduler, &thread->context);
    current = NULL;
    if (thread->done) {
        own_locals(NULL);
        trace("thread %u has ended", thread->number);
        free_thread(thread);
    }
}

static void thread_main(void *argument)
{
    struct thread *thread = argument;
    context_entered(&scheduler);
    thread->run(thread->argument);
    thread->done = true;
    context_leave(&thread->context, &scheduler);
}

static void go(struct event *event)
{
    struct thread *thread = container_of(event, struct thread, go);
    event_stop(&thread->alarm);
    resume(thread);
}

static void timed_out(struct event *event)
{
    struct thread *thread = container_of(event, struct thread, alarm);
    event_enable(&thread->go);
}

struct thread *thread_start(void *(*run)(void *argument), void *argument)
{
    if (current != NULL && fault_call(FAULT_THREAD, "pthread_create"))
        return NULL;
    struct thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL)
        abort();
    *thread = (struct thread){
        .go = { .run = go },
        .alarm = { .run = timed_out },
        .stack = take_stack(),
        .locals = new_locals(),
        .run = run,
        .argument = argument,
        .number = ++started,
    };
    context_open(&thread->context, thread->stack, STACK);
    context_prepare(&thread->context, thread->stack + STACK, thread_main, thread);
    list_append(&all, &thread->node);
    event_enable(&thread->go);
    return thread;
}

void threads_open(void)
{
    all = (struct list){ 0 };
    started = 0;
}

void threads_close(void)
{
    own_locals(NULL);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

bool thread_sleep(int64_t wait)
{
    struct thread *thread = current;
    if (thread == NULL)
        violation("something waits outside of the threads of the world");
    if (!thread->woken) {
        thread->sleeping = true;
        if (wait >= 0)
            event_after(&thread->alarm, wait);
        context_switch(&thread->context, &scheduler);
        thread->sleeping = false;
    }
    bool woken = thread->woken;
    thread->woken = false;
    thread->waits_for = NULL;
    return woken;
}

void thread_wake(struct thread *thread)
{
    thread->woken = true;
    if (thread->sleeping)
        event_enable(&thread->go);
}

void thread_yield(const char *tag)
{
    if (current == NULL || list_first(&all) == list_last(&all) || choose(2, tag) == 0)
        return;
    event_enable(&current->go);
    context_switch(&current->context, &scheduler);
}

/* ---- Looking at them ------------------------------------------------------------------------- */

struct thread *thread_this(void)
{
    return current;
}

unsigned thread_number(const struct thread *thread)
{
    return thread->number;
}

bool threads_are_done(void)
{
    return list_is_empty(&all);
}

void thread_says(const char *what)
{
    current->waits_for = what;
}

void threads_tell(void)
{
    for (struct list_node *node = list_first(&all); node != NULL; node = list_next(&all, node)) {
        const struct thread *thread = container_of(node, struct thread, node);
        fprintf(stderr, "  thread %u waits: %s\n", thread->number,
                thread->waits_for != NULL ? thread->waits_for : "to go on");
    }
}
