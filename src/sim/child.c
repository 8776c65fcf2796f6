/* A world in a process: starting it, waiting for it, and wording how it ended. */
#include "sim/child.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/event.h"
#include "sim/process.h"
#include "sim/world.h"

enum { EXIT_VIOLATED = 77 };

/* A trace must not fill the disk when a world goes round for ever. */
static const rlim_t most_written = (rlim_t)1 << 28;

static struct desk *desk;   /* of the world that runs in this process */
static struct desk *alone;  /* shared with a child that runs one world */
static uint32_t *decisions; /* of that */
static sigset_t mask_before;

/* ---- The parent's side ----------------------------------------------------------------------- */

void children_prepare(void)
{
    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGINT);
    sigaddset(&waited, SIGTERM);
    sigprocmask(SIG_BLOCK, &waited, &mask_before);
    signal(SIGCHLD, SIG_DFL); /* if it were ignored, we would not learn how they ended */
}

bool process_wait(int milliseconds)
{
    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGINT);
    sigaddset(&waited, SIGTERM);
    struct timespec time = { .tv_sec = milliseconds / 1000,
                             .tv_nsec = (long)(milliseconds % 1000) * 1000000 };
    int which = sigtimedwait(&waited, NULL, &time);
    return which != SIGINT && which != SIGTERM;
}

int errors_open(void)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return fd < 0 ? -errno : fd;
}

static void errors_read(int fd, char text[ERRORS_SIZE])
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size < ERRORS_SIZE ? 0 : size - ERRORS_SIZE + 1;
    ssize_t n = size < 0 ? 0 : pread(fd, text, ERRORS_SIZE - 1, from);
    text[n < 0 ? 0 : n] = '\0';
}

/* One line of `text`, without what differs from process to process at its beginning. */
static void copy_line(char what[WHAT_SIZE], const char *text)
{
    snprintf(what, WHAT_SIZE, "%.*s", (int)strcspn(text, "\n"), text);
}

/* The line in which a sanitizer says what it found. */
static bool find_report(const char *errors, char what[WHAT_SIZE])
{
    const char *report = strstr(errors, "ERROR: ");
    if (report != NULL) {
        copy_line(what, report + strlen("ERROR: "));
        return true;
    }
    report = strstr(errors, "runtime error: ");
    while (report != NULL && report > errors && report[-1] != '\n')
        report--;
    if (report != NULL)
        copy_line(what, report);
    return report != NULL;
}

void outcome_fill(struct outcome *outcome, const struct desk *from, int status, int errors_fd)
{
    *outcome = (struct outcome){
        .record = from->record, .steps = from->steps, .time = from->time, .result = from->result
    };
    if (errors_fd >= 0)
        errors_read(errors_fd, outcome->errors);
    if (status == 0 && from->at == 0)
        return;
    outcome->verdict = VERDICT_CRASHED;
    if (from->violated) {
        outcome->verdict = VERDICT_VIOLATED;
        copy_line(outcome->what, from->what);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        outcome->verdict = VERDICT_HANGS;
        copy_line(outcome->what, "hangs: it goes on, and does not end in time");
    } else if (find_report(outcome->errors, outcome->what)) {
        return;
    } else if (WIFSIGNALED(status)) {
        snprintf(outcome->what, WHAT_SIZE, "crashed: %s", strsignal(WTERMSIG(status)));
    } else {
        snprintf(outcome->what, WHAT_SIZE, "ended the process, with exit code %d",
                 WEXITSTATUS(status));
    }
}

/* ---- The child's side ------------------------------------------------------------------------ */

static void violated(const char *what)
{
    snprintf(desk->what, WHAT_SIZE, "%s", what);
    desk->steps = events_steps();
    desk->time = events_now();
    desk->violated = true;
    _exit(EXIT_VIOLATED);
}

void process_begin(struct desk *own, int errors_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* these two are the parent's matter */
    signal(SIGTERM, SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    struct rlimit no_core = { 0 }, most = { most_written, most_written };
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_FSIZE, &most);
    if (errors_fd >= 0)
        dup2(errors_fd, STDERR_FILENO);
    desk = own;
    world_violated = violated;
}

void process_limit(double seconds)
{
    time_t whole = (time_t)seconds;
    struct itimerval limit = { .it_value = { whole,
                                             (suseconds_t)((seconds - (double)whole) * 1e6) } };
    setitimer(ITIMER_REAL, &limit, NULL);
}

int unit_run(const struct settings *settings, const struct unit *unit, bool trace,
             struct choice_record *record)
{
    struct weir_sim_options options = unit->scenario->options;
    options.trace = trace;
    options.calm |= settings->calm;
    if (settings->kernel != NULL)
        options.kernel = settings->kernel;
    struct world_plan plan = { .source = unit->source, .record = record, .options = &options };
    plan.source.calm = options.calm;
    int result = world_run(&plan, unit->scenario->main, unit->scenario->argument);
    bool as_usual = choice_visible_faults() == 0 && settings->kernel == NULL;
    if (as_usual && result != unit->scenario->result)
        violation("its main has returned %d (%s), and %d is right while nothing fails", result,
                  result < 0 ? weir_strerror(result) : "no error", unit->scenario->result);
    return result;
}

void desk_run(const struct settings *settings, const struct unit *unit, bool trace)
{
    desk->result = unit_run(settings, unit, trace, &desk->record);
    desk->steps = events_steps();
    desk->time = events_now();
}

/* ---- One world, alone ------------------------------------------------------------------------ */

const uint32_t *decisions_recorded(void)
{
    return decisions;
}

static int map_alone(void)
{
    if (alone != NULL)
        return 0;
    size_t size = sizeof *alone + MOST_DECISIONS * sizeof *decisions;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    alone = memory;
    decisions = (uint32_t *)(alone + 1);
    return 0;
}

/* Waits until the child has ended, or the user has enough: the time limit is the child's own. */
static int await(pid_t pid, int *ret_status)
{
    bool interrupted = false;
    while (waitpid(pid, ret_status, WNOHANG) == 0) {
        if (process_wait(1000))
            continue;
        interrupted = true;
        kill(pid, SIGKILL);
    }
    return interrupted ? -EINTR : 0;
}

int unit_run_alone(const struct settings *settings, const struct unit *unit, bool trace,
                   double seconds, int errors_fd, struct outcome *ret_outcome)
{
    static int kept_errors = -1;
    int rc = map_alone();
    if (rc < 0)
        return rc;
    if (kept_errors < 0 && (kept_errors = errors_open()) < 0)
        return kept_errors;
    if (ftruncate(kept_errors, 0) < 0)
        return -errno;
    int errors = errors_fd < 0 ? kept_errors : errors_fd;
    *alone = (struct desk){ .at = 1, .record = { .list = decisions, .most = MOST_DECISIONS } };
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        process_begin(alone, errors);
        process_limit(seconds);
        desk_run(settings, unit, trace);
        alone->at = 0;
        _exit(0);
    }
    int status = 0;
    rc = await(pid, &status);
    outcome_fill(ret_outcome, alone, status, errors);
    return rc;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* What is said, but for numbers that differ from run to run: those of lines of a file stay. */
static void normalise(const char *text, char out[WHAT_SIZE])
{
    char *to = out;
    while (*text != '\0') {
        bool line = strncmp(text, ".c:", 3) == 0 || strncmp(text, ".h:", 3) == 0;
        size_t plain = line ? 3 + strspn(text + 3, "0123456789") : !isdigit((unsigned char)*text);
        memcpy(to, text, plain);
        to += plain;
        text += plain;
        if (plain > 0)
            continue;
        bool hex = strncmp(text, "0x", 2) == 0;
        text += hex ? 2 + strspn(text + 2, "0123456789abcdef") : strspn(text, "0123456789");
        *to++ = '#';
    }
    *to = '\0';
}

bool outcome_same(const struct outcome *one, const struct outcome *other)
{
    char a[WHAT_SIZE], b[WHAT_SIZE];
    normalise(one->what, a);
    normalise(other->what, b);
    return one->verdict == other->verdict && strcmp(a, b) == 0;
}
