/* A crew of workers: each takes the next unit that nobody has taken, and runs it in its process,
 * which goes on to the next. What it has come to lies in shared memory, where the parent looks when
 * a worker has died. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/process.h"

enum { TICK = 200 /* ms */, TICKS_TO_STOP = 10 };

struct worker {
    pid_t pid; /* 0: it has ended */
    int errors;
};

/* ---- Shared memory --------------------------------------------------------------------------- */

int shared_open(int fd, struct shared **ret_shared)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    void *memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_shared = memory;
    return 0;
}

static int shared_new(struct crew *crew)
{
    uint64_t digests = crew->keep_digests ? crew->end - crew->begin : 0;
    size_t size = sizeof(struct shared) + digests * sizeof(struct digest);
    crew->shared_fd = memfd_create("weir-sim", MFD_CLOEXEC);
    if (crew->shared_fd < 0)
        return -errno;
    if (ftruncate(crew->shared_fd, (off_t)size) < 0)
        return -errno;
    int rc = shared_open(crew->shared_fd, &crew->shared);
    if (rc < 0)
        return rc;
    crew->shared->begin = crew->shared->next = crew->begin;
    crew->shared->end = crew->end;
    crew->shared->digest_count = digests;
    crew->shared->backward = crew->anew;
    return 0;
}

void crew_close(struct crew *crew)
{
    if (crew->shared != NULL)
        munmap(crew->shared,
               sizeof(struct shared) + crew->shared->digest_count * sizeof(struct digest));
    if (crew->shared_fd >= 0)
        close(crew->shared_fd);
    crew->shared = NULL;
    crew->shared_fd = -1;
}

uint64_t crew_done(const struct crew *crew)
{
    const struct shared *shared = crew->shared;
    uint64_t next = __atomic_load_n(&shared->next, __ATOMIC_ACQUIRE);
    uint64_t done = next < shared->end ? next : shared->end;
    for (unsigned i = 0; i < MOST_JOBS; i++) {
        uint64_t at = __atomic_load_n(&shared->desks[i].at, __ATOMIC_ACQUIRE);
        if (at != 0 && at - 1 < done)
            done = at - 1;
    }
    return done;
}

static void totals_add(struct totals *sum, const struct totals *more)
{
    sum->worlds += more->worlds;
    sum->decisions += more->decisions;
    sum->steps += more->steps;
    sum->microseconds += more->microseconds;
    for (int i = 0; i < FAULTS; i++)
        sum->faults[i] += more->faults[i];
}

struct totals crew_totals(const struct crew *crew)
{
    struct totals sum = { 0 };
    for (unsigned i = 0; i < MOST_JOBS; i++)
        totals_add(&sum, &crew->shared->desks[i].totals);
    return sum;
}

/* ---- A worker -------------------------------------------------------------------------------- */

/* Only what the world at hand has written is of interest. */
static void forget_errors(void)
{
    if (lseek(STDERR_FILENO, 0, SEEK_END) > 0 && ftruncate(STDERR_FILENO, 0) < 0)
        return;
}

static void note_world(struct shared *shared, struct desk *own, uint64_t index)
{
    struct totals one = { 1, own->record.count, own->steps, (uint64_t)own->time / 1000, { 0 } };
    memcpy(one.faults, own->record.faults, sizeof one.faults);
    totals_add(&own->totals, &one);
    if (index - shared->begin < shared->digest_count)
        shared->digests[index - shared->begin] =
            (struct digest){ own->record.hash, own->record.count, own->steps, own->time,
                             own->result };
}

void crew_work(struct crew *crew, unsigned worker)
{
    struct shared *shared = crew->shared;
    struct desk *own = &shared->desks[worker];
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        uint64_t lowest = __atomic_load_n(&shared->next, __ATOMIC_ACQUIRE); /* for crew_done() */
        __atomic_store_n(&own->at, lowest + 1, __ATOMIC_RELEASE);
        uint64_t taken = __atomic_fetch_add(&shared->next, 1, __ATOMIC_ACQ_REL);
        if (taken >= shared->end)
            break;
        uint64_t index = shared->backward ? shared->begin + (shared->end - 1 - taken) : taken;
        __atomic_store_n(&own->at, index + 1, __ATOMIC_RELEASE);
        struct unit unit = crew->unit(crew->settings, index, crew->plan);
        forget_errors();
        process_limit((double)crew->settings->hang_seconds);
        desk_run(crew->settings, &unit, false);
        note_world(shared, own, index);
    }
    __atomic_store_n(&own->at, 0, __ATOMIC_RELEASE);
    process_limit(0);
}

/* ---- The parent ------------------------------------------------------------------------------ */

/* The program from its beginning, at other addresses, with the same arguments and one more. */
static void run_anew(const struct crew *crew, unsigned worker)
{
    const struct settings *settings = crew->settings;
    char option[64];
    snprintf(option, sizeof option, "--worker=%d,%u", crew->shared_fd, worker);
    char **argv = calloc((size_t)settings->argc + 2, sizeof *argv);
    if (argv != NULL) {
        memcpy(argv, settings->argv, (size_t)settings->argc * sizeof *argv);
        argv[settings->argc] = option;
        fcntl(crew->shared_fd, F_SETFD, 0);
        execv("/proc/self/exe", argv);
    }
    fprintf(stderr, "cannot run the program anew: %s\n", strerror(errno));
    _exit(1);
}

static int start(struct crew *crew, struct worker *worker, unsigned number)
{
    worker->errors = errors_open();
    if (worker->errors < 0)
        return worker->errors;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        process_begin(&crew->shared->desks[number], worker->errors);
        if (crew->anew)
            run_anew(crew, number);
        crew_work(crew, number);
        exit(0); /* so that a sanitizer, or a measurement of coverage, can have its say */
    }
    worker->pid = pid;
    return 0;
}

static void kill_all(struct worker *workers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (workers[i].pid == 0)
            continue;
        kill(workers[i].pid, SIGKILL);
        while (waitpid(workers[i].pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        workers[i].pid = 0;
    }
}

static void close_all(struct worker *workers, uint64_t count)
{
    kill_all(workers, count);
    for (uint64_t i = 0; i < count; i++) {
        if (workers[i].errors >= 0)
            close(workers[i].errors);
    }
}

/* Looks who has ended, and how. Returns how many go on. */
static uint64_t reap(struct crew *crew, struct worker *workers, uint64_t count)
{
    uint64_t running = 0;
    for (uint64_t i = 0; i < count; i++) {
        int status;
        if (workers[i].pid == 0)
            continue;
        if (waitpid(workers[i].pid, &status, WNOHANG) == 0) {
            running++;
            continue;
        }
        workers[i].pid = 0;
        const struct desk *desk = &crew->shared->desks[i];
        if (crew->failed || (status == 0 && desk->at == 0))
            continue;
        crew->failed = true;
        crew->failed_index = desk->at - 1; /* or UINT64_MAX */
        outcome_fill(&crew->outcome, desk, status, workers[i].errors);
    }
    return running;
}

/* After Ctrl-C, workers may end their worlds; after two seconds, or another, they are killed. */
static void watch(struct crew *crew, struct worker *workers, uint64_t count)
{
    int patience = TICKS_TO_STOP;
    while (reap(crew, workers, count) > 0 && !crew->failed) {
        if (!process_wait(TICK)) {
            patience -= crew->interrupted ? TICKS_TO_STOP : 0;
            crew->interrupted = true;
            __atomic_store_n(&crew->shared->stop, true, __ATOMIC_RELEASE);
        }
        if (crew->interrupted && patience-- <= 0)
            break;
        if (crew->progress != NULL)
            crew->progress(crew);
    }
    kill_all(workers, count);
}

int crew_run(struct crew *crew)
{
    struct worker workers[MOST_JOBS];
    uint64_t units = crew->end - crew->begin;
    uint64_t count = crew->settings->jobs < units ? crew->settings->jobs : units;
    crew->shared_fd = -1;
    for (uint64_t i = 0; i < count; i++)
        workers[i] = (struct worker){ 0, -1 };
    int rc = shared_new(crew);
    fflush(NULL); /* else each worker would write what waits there again */
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = start(crew, &workers[i], (unsigned)i);
    if (rc == 0)
        watch(crew, workers, count);
    close_all(workers, count);
    return rc;
}
