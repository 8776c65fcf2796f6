/* What the loads share: the options that all have, connecting, what failed, and the window of time
 * that is measured. */
#ifndef BENCH_LOAD_COMMON_H
#define BENCH_LOAD_COMMON_H

#include "common.h"

#include <fcntl.h>

enum { CONNECT_SECONDS = 5 };

/* ---- The end by a signal --------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static inline void stop_on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static inline void catch_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, stop_on_signal);
    signal(SIGTERM, stop_on_signal);
}

/* ---- Options --------------------------------------------------------------------------------- */

struct load_options {
    struct address address;
    const char *address_text;
    double seconds, warmup;
    bool json, quiet;
};

/* A load, and the options that only it has. */
struct load_program {
    const char *name, *help; /* the first part of the help: all but the last options */
    struct option options[8];
    void (*take)(int option, const char *argument);
};

static inline void take_load_option(const struct load_program *program, int option,
                                    struct load_options *options)
{
    switch (option) {
    case 'c':
        options->address_text = optarg;
        break;
    case 't':
        options->seconds = parse_number(program->name, "seconds", optarg, 0.01, 1e6);
        break;
    case 'w':
        options->warmup = parse_number(program->name, "warmup", optarg, 0, 1e6);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'h':
        printf("%s"
               "  --json           the report as one line of JSON\n"
               "  --quiet          no progress, no advice\n"
               "  --help           this text\n\n"
               "Exit status: 0 all served and equal, 1 errors or unserved connections, 2 usage.\n"
               "SIGINT and SIGTERM end it early, with the report of what was measured so far.\n",
               program->help);
        exit(EXIT_OK);
    case '?':
        die(program->name, EXIT_USAGE, "wrong option; see %s --help", program->name);
    default:
        program->take(option, optarg);
    }
}

static inline struct load_options parse_load_options(const struct load_program *program, int argc,
                                                     char **argv)
{
    struct option known[6 + sizeof program->options / sizeof program->options[0]] = {
        { "connect", required_argument, NULL, 'c' }, { "seconds", required_argument, NULL, 't' },
        { "warmup", required_argument, NULL, 'w' },  { "json", no_argument, NULL, 'j' },
        { "quiet", no_argument, NULL, 'q' },         { "help", no_argument, NULL, 'h' },
    };
    memcpy(known + 6, program->options, sizeof program->options);
    struct load_options options = { .seconds = 2, .warmup = 0.5 };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        take_load_option(program, option, &options);
    if (optind != argc)
        die(program->name, EXIT_USAGE, "unexpected argument '%s'; see %s --help", argv[optind],
            program->name);
    if (!options.address_text)
        die(program->name, EXIT_USAGE, "--connect is missing; see %s --help", program->name);
    if (!address_parse(options.address_text, &options.address))
        die(program->name, EXIT_USAGE, "'%s' is no HOST:PORT or unix:PATH", options.address_text);
    return options;
}

/* ---- What failed ----------------------------------------------------------------------------- */

enum failure {
    FAILED_CONNECT,
    FAILED_SEND,
    FAILED_RECEIVE,
    CLOSED_EARLY,
    MISMATCH,
    TIMED_OUT,
    FAILURE_COUNT
};
static const char *const failure_names[FAILURE_COUNT] = {
    [FAILED_CONNECT] = "connect",        [FAILED_SEND] = "send",  [FAILED_RECEIVE] = "receive",
    [CLOSED_EARLY] = "closed_by_server", [MISMATCH] = "mismatch", [TIMED_OUT] = "timed_out",
};

static struct {
    uint64_t counts[FAILURE_COUNT];
    int last_errno;
} failures;

/* errno is that of the call that failed; of the last three, none did. */
static inline void count_failure(enum failure failure)
{
    failures.counts[failure]++;
    failures.last_errno = failure < CLOSED_EARLY ? errno : 0;
}

static inline uint64_t failure_total(void)
{
    uint64_t total = 0;
    for (int i = 0; i < FAILURE_COUNT; i++)
        total += failures.counts[i];
    return total;
}

/* A member of a JSON object. */
static inline void print_failures_json(void)
{
    printf("\"errors\": {");
    for (int i = 0; i < FAILURE_COUNT; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", failure_names[i],
               (unsigned long long)failures.counts[i]);
    printf("}");
}

static inline void print_failures(const char *program)
{
    for (int i = 0; i < FAILURE_COUNT; i++)
        if (failures.counts[i] > 0)
            fprintf(stderr, "%s: %llu connections failed: %s%s%s\n", program,
                    (unsigned long long)failures.counts[i], failure_names[i],
                    failures.last_errno ? ", the last with: " : "",
                    failures.last_errno ? strerror(failures.last_errno) : "");
}

static inline void print_unserved(const char *program, unsigned unserved, unsigned connections)
{
    if (unserved > 0)
        fprintf(stderr, "%s: %u of %u connections were not served%s\n", program, unserved,
                connections, stopped ? ", stopped by a signal" : "");
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static inline void raise_limit_for(const char *program, unsigned connections)
{
    unsigned limit = raise_descriptor_limit();
    if (limit < connections + 16)
        die(program, EXIT_FAILED, "%u connections need more descriptors than ulimit -n allows: %u",
            connections, limit);
}

/* Blocking, with a limit: then neither a full backlog nor a Unix socket's EAGAIN is a case. */
static inline int connect_one(const struct address *address)
{
    struct timeval limit = { .tv_sec = CONNECT_SECONDS };
    int on = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (!address->path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->size) < 0) {
        int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
        close(fd);
        errno = error;
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return fd;
}

/* ---- The measured window --------------------------------------------------------------------- */

struct window {
    int64_t start, from, end; /* of the load; where measuring is to begin, and to end */
    int64_t now;
    bool measuring;
    int64_t begun; /* when measuring did begin */
    double cpu;    /* seconds used until then; in the end: CPUs used within */
    double seconds;
};

static inline void window_begin(struct window *window, const struct load_options *options)
{
    *window = (struct window){ .start = now_ns() };
    window->from = window->start + (int64_t)(options->warmup * 1e9);
    window->end = window->from + (int64_t)(options->seconds * 1e9);
}

/* Looks at the clock, at each turn of the load's loop. Returns false at the end. */
static inline bool window_goes_on(struct window *window)
{
    window->now = now_ns();
    if (window->now >= window->end || stopped)
        return false;
    if (!window->measuring && window->now >= window->from) {
        window->measuring = true;
        window->begun = window->now;
        window->cpu = cpu_seconds();
    }
    return true;
}

static inline void window_finish(struct window *window)
{
    window->seconds = window->measuring ? (double)(window->now - window->begun) / 1e9 : 0;
    window->cpu = window->seconds > 0 ? (cpu_seconds() - window->cpu) / window->seconds : 0;
    window->measuring = false;
}

/* Of something that there is so much of in the window. */
static inline double window_rate(const struct window *window, double amount)
{
    return window->seconds > 0 ? amount / window->seconds : 0;
}

/* Members of a JSON object. `begun` is of the monotonic clock, which the system has once: another
 * program can tell by it what a server used meanwhile. */
static inline void window_print_json(const struct window *window)
{
    printf("\"begun\": %.6f, \"seconds\": %.6f, \"cpu\": %.3f", (double)window->begun / 1e9,
           window->seconds, window->cpu);
}

/* Once a second, where a person looks. `done` is since the start. */
static inline void show_progress(const struct load_options *options, const struct window *window,
                                 double done, const char *unit)
{
    static int64_t last;
    static double last_done;
    if (options->quiet || options->json || !isatty(STDERR_FILENO))
        return;
    if (last == 0)
        last = window->start;
    if (window->now - last < 1000000000)
        return;
    double rate = (done - last_done) * 1e9 / (double)(window->now - last);
    fprintf(stderr, "\r%5.0f s  %9.0f %s/s  %llu errors ",
            (double)(window->now - window->start) / 1e9, rate, unit,
            (unsigned long long)failure_total());
    last = window->now;
    last_done = done;
}

static inline void end_progress(const struct load_options *options)
{
    if (!options->quiet && !options->json && isatty(STDERR_FILENO))
        fputc('\n', stderr);
}

/* `unit` is what the server's CPU time is divided by. */
static inline void advise(const char *program, const struct load_options *options,
                          const struct window *window, const char *unit)
{
    if (window->cpu >= 0.95 && !options->quiet)
        fprintf(stderr,
                "%s: the generator is the bottleneck: compare server CPU per %s, not %ss/s\n",
                program, unit, unit);
}

#endif
