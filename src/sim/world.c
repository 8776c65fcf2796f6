#include "sim/world.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/event.h"
#include "sim/file.h"
#include "sim/memory.h"
#include "sim/ring.h"
#include "sim/socket.h"
#include "sim/sys.h"
#include "sim/thread.h"

enum { FDS = 1024, DAY = 24 * 3600 };

/* A world that does so much in so little time, turns in circles. */
enum { MOST_STEPS = 3000000, MOST_AT_ONCE = 300000 };

static const struct profile profiles[] = {
    { .name = "6.18",
      .no_sqarray = true,
      .no_iowait = true,
      .defer_taskrun = true,
      .version = 618 },
    { .name = "6.12", .no_sqarray = true, .defer_taskrun = true, .version = 612 },
    { .name = "6.6", .no_sqarray = true, .defer_taskrun = true, .version = 606 },
    { .name = "6.1", .defer_taskrun = true, .version = 601 },
    { .name = "6.0", .version = 600 },
    { .name = "EPERM", .setup_error = -EPERM, .version = 618 },
    { .name = "disabled", .setup_error = -EPERM, .disabled = 2, .version = 618 },
    { .name = "ENOSYS", .setup_error = -ENOSYS, .version = 618 },
};
enum { USUAL_PROFILES = 5, PROFILES = sizeof profiles / sizeof *profiles };

static struct {
    const struct profile *profile;
    uint64_t seed;
    pthread_t machine; /* the real thread that it has */
    bool running;
} world;

bool trace_is_on;
void (*world_violated)(const char *what);

const struct profile *world_profile(void)
{
    return world.profile;
}

/* ---- Telling --------------------------------------------------------------------------------- */

void trace(const char *format, ...)
{
    va_list arguments;
    if (!trace_is_on)
        return;
    const struct thread *thread = thread_this();
    fprintf(stderr, "%14.6f ms  ", (double)events_now() / 1e6);
    if (thread != NULL)
        fprintf(stderr, "thread %-2u ", thread_number(thread));
    else
        fprintf(stderr, "kernel    ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void violation(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "violation: %s\n", text);
    if (world.running)
        fprintf(stderr, "  seed %llu, after %.6f ms of virtual time\n",
                (unsigned long long)world.seed, (double)events_now() / 1e6);
    if (world_violated != NULL)
        world_violated(text);
    abort();
}

PUBLIC void weir_sim_fail(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    violation("%s", text);
}

PUBLIC void weir_sim_note(const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (!trace_is_on)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    trace("%s", text);
}

/* ---- One world ------------------------------------------------------------------------------- */

void world_expect(const char *what)
{
    if (!world.running || thread_this() == NULL)
        violation("%s outside of a world: in a program that is linked with libweir-sim it belongs "
                  "into what weir_sim_run() or weir_sim_main() runs",
                  what);
    if (!pthread_equal(pthread_self(), world.machine))
        violation("%s in a thread that is not the world's: make that by weir_sim_thread(), "
                  "weir_to_thread() or weir_run(), not by pthread_create()",
                  what);
}

struct first {
    weir_task_fn *main;
    void *argument;
    const struct weir_run_options *options;
    int result;
};

static void *first_thread(void *argument)
{
    struct first *first = argument;
    first->result = weir_run(first->main, first->argument, first->options);
    return NULL;
}

static const struct profile *profile_named(const char *name)
{
    if (name == NULL)
        return &profiles[choose(USUAL_PROFILES, "kernel")];
    for (int i = 0; i < PROFILES; i++) {
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    }
    violation(
        "there is no kernel \"%s\": \"6.18\", \"6.12\", \"6.6\", \"6.1\", \"6.0\", \"EPERM\", "
        "\"disabled\" and \"ENOSYS\" there are",
        name);
}

static void check_progress(int64_t duration)
{
    static int64_t last;
    static uint64_t since;
    if (events_now() != last || events_steps() < since) {
        last = events_now();
        since = events_steps();
    }
    if (events_now() - events_jumped() > duration) {
        threads_tell();
        violation("it hangs: %lld s have passed, and it has not ended",
                  (long long)(events_now() / WEIR_SECOND));
    }
    if (events_steps() > MOST_STEPS || events_steps() - since > MOST_AT_ONCE)
        violation("it turns in circles: %llu steps, and %llu of them at one time",
                  (unsigned long long)events_steps(), (unsigned long long)(events_steps() - since));
}

static void live(const struct weir_sim_options *options)
{
    int64_t duration = options->duration != 0 ? options->duration : DAY * WEIR_SECOND;
    while (!threads_are_done()) {
        if (!events_step()) {
            threads_tell();
            violation("nothing can happen any more, and somebody waits");
        }
        check_progress(duration);
    }
}

static void check_end(void)
{
    if (rings_count() > 0)
        violation("%u rings are open still", rings_count());
    if (fd_count() > 0) {
        fds_tell();
        violation("%u fds are open still", fd_count());
    }
    if (memory_blocks() > 0) {
        memory_tell();
        violation("%zu blocks of memory have not been freed", memory_blocks());
    }
    if (names_entries() > 0)
        violation("%u addresses of names have not been freed", names_entries());
    if (sys_maps() > 0)
        violation("%u mappings are there still", sys_maps());
}

static void open_all(const struct world_plan *plan)
{
    const struct weir_sim_options *options = plan->options;
    world.running = true;
    world.seed = plan->source.seed;
    world.machine = pthread_self();
    trace_is_on = options->trace;
    events_open();
    choice_open(&plan->source, plan->record);
    threads_open();
    memory_open();
    files_open(options->fds != 0 ? options->fds : FDS);
    sockets_open();
    names_reset();
    rings_open();
    sys_open(plan->source.seed);
    world.profile = profile_named(options->kernel);
    trace("a world with the kernel of %s", world.profile->name);
}

int world_run(const struct world_plan *plan, weir_task_fn *main, void *argument)
{
    if (world.running)
        return -EBUSY;
    open_all(plan);
    struct first first = { main, argument, plan->options->run, 0 };
    thread_start(first_thread, &first);
    live(plan->options);
    check_end();
    choice_mix((uint64_t)events_now() ^ (uint64_t)first.result << 32);
    threads_close();
    sockets_close();
    files_close();
    events_close();
    memory_close();
    trace("the end: %d", first.result);
    world.running = false;
    return first.result;
}

PUBLIC int weir_sim_run(uint64_t seed, weir_task_fn *main, void *argument,
                        const struct weir_sim_options *options)
{
    static const struct weir_sim_options none;
    struct choice_record record = { 0 };
    struct world_plan plan = { .record = &record, .options = options != NULL ? options : &none };
    plan.source = (struct choice_source){ .kind = seed != 0 ? CHOICE_SEED : CHOICE_LIST,
                                          .seed = seed,
                                          .calm = plan.options->calm || seed == 0 };
    return world_run(&plan, main, argument);
}
