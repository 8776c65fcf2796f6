#include "sim/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/child.h"

enum { HELP_COLUMN = 24 };

enum option_key {
    OPTION_SCENARIO = 1,
    OPTION_LIST,
    OPTION_SEEDS,
    OPTION_FIRST,
    OPTION_JOBS,
    OPTION_CALM,
    OPTION_KERNEL,
    OPTION_SEED,
    OPTION_DECISIONS,
    OPTION_TRACE,
    OPTION_REPLAY,
    OPTION_TORTURE,
    OPTION_SHALLOW,
    OPTION_AT,
    OPTION_ONWARD,
    OPTION_NO_SHRINK,
    OPTION_SHRINK_SECONDS,
    OPTION_HANG_SECONDS,
    OPTION_STATS,
    OPTION_LEDGER,
    OPTION_RESUME,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_WORKER
};

struct option_row {
    enum option_key key;
    const char *name, *value; /* NULL: takes none; "[...": may be left out */
    const char *help;         /* NULL: not told of */
};

static const struct option_row rows[] = {
    { 0, "Which worlds", NULL, NULL },
    { OPTION_LIST, "list", NULL, "list the scenarios and end" },
    { OPTION_SCENARIO, "scenario", "NAME[,NAME]", "only these; * and ? stand for others (all)" },
    { OPTION_SEEDS, "seeds", "N", "how many seeds to run (1000)" },
    { OPTION_FIRST, "first", "N", "the first of them (1)" },
    { OPTION_KERNEL, "kernel", "P",
      "6.18, 6.12, 6.6, 6.1, 6.0, EPERM, disabled or ENOSYS (the seed's)" },
    { OPTION_CALM, "calm", NULL, "nothing fails: only order, sizes and delays vary" },
    { 0, "One world, in this process, for a debugger ('break violation')", NULL, NULL },
    { OPTION_SEED, "seed", "N", "run this seed" },
    { OPTION_DECISIONS, "decisions", "FILE", "run the decisions of a file" },
    { OPTION_TRACE, "trace", NULL, "tell on stderr what happens" },
    { 0, "Other ways to go through worlds", NULL, NULL },
    { OPTION_REPLAY, "check-replay", "N",
      "run N seeds twice and compare: equal seeds, equal runs" },
    { OPTION_TORTURE, "torture", "[=once|onward|both]", NULL },
    { OPTION_TORTURE, NULL, NULL, "each call that can fail, fails: once, with all" },
    { OPTION_TORTURE, NULL, NULL, "calls after it, or both (both)" },
    { OPTION_SHALLOW, "shallow", "N", "with --torture: only N of those, at random" },
    { OPTION_AT, "at", "N", "with --torture: only the N-th call, in this process" },
    { OPTION_ONWARD, "onward", NULL, "with --at: and all calls after it" },
    { 0, "How", NULL, NULL },
    { OPTION_JOBS, "jobs", "N", "worker processes (as many as CPUs)" },
    { OPTION_NO_SHRINK, "no-shrink", NULL, "do not make a violation's decisions fewer" },
    { OPTION_SHRINK_SECONDS, "shrink-seconds", "N", "how long to try to (10)" },
    { OPTION_HANG_SECONDS, "hang-seconds", "N", "real time after which a world hangs (20)" },
    { 0, "What is told", NULL, NULL },
    { OPTION_STATS, "stats", "FILE", "write the figures as JSON" },
    { OPTION_LEDGER, "ledger", "FILE", "add the campaign to the tables of a Markdown file" },
    { OPTION_RESUME, "resume", "FILE", "keep there how far it is; go on there if stopped" },
    { OPTION_QUIET, "quiet", NULL, "only violations" },
    { OPTION_HELP, "help", NULL, "this" },
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- Help ------------------------------------------------------------------------------------ */

void options_help(const char *program)
{
    printf(
        "Usage: %s [OPTION]...\n\n"
        "Runs scenarios in a simulated kernel, in which a seed decides who goes next, where data\n"
        "is split, and what fails. Seed n runs scenario (n - 1) %% count. A violation is run\n"
        "again, its decisions are made as few as can be, and its trace is kept.\n",
        program);
    for (int i = 0; i < ROWS; i++) {
        char text[64] = "";
        const struct option_row *row = &rows[i];
        if (row->key == 0) {
            printf("\n%s:\n", row->name);
            continue;
        }
        if (row->name != NULL)
            snprintf(text, sizeof text, "--%s%s%s", row->name,
                     row->value != NULL && *row->value != '[' ? " " : "",
                     row->value != NULL ? row->value : "");
        if (row->help == NULL)
            printf("  %s\n", text);
        else if (strlen(text) < HELP_COLUMN)
            printf("  %-*s%s\n", HELP_COLUMN, text, row->help);
        else
            printf("  %s\n  %-*s%s\n", text, HELP_COLUMN, "", row->help);
    }
    printf(
        "\nA violation leaves sim-SCENARIO-SEED.trace and .decisions in the current directory, or "
        "in\n$SIM_TRACE_DIR. A row of the ledger names the build that $SIM_BUILD says. $NO_COLOR "
        "is\nhonoured. Ctrl-C or SIGTERM stops, and what was done is told.\n\n"
        "Exit code: 0 all is well; 1 a violation; 2 wrong arguments, or no files or processes;\n"
        "130 stopped.\n");
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 && *ret_number >= least && *ret_number <= most;
}

static bool parse_worker(struct settings *settings, const char *value)
{
    return sscanf(value, "%d,%u", &settings->shared_fd, &settings->worker) == 2 &&
           settings->worker < MOST_JOBS;
}

static bool parse_kernel(struct settings *settings, const char *value)
{
    static const char *const known[] = { "6.18", "6.12",  "6.6",      "6.1",
                                         "6.0",  "EPERM", "disabled", "ENOSYS" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(value, known[i]) == 0)
            settings->kernel = known[i];
    }
    return settings->kernel != NULL;
}

static bool parse_torture(struct settings *settings, const char *value)
{
    settings->torture = 0;
    if (value == NULL || strcmp(value, "both") == 0)
        settings->torture = TORTURE_ONCE | TORTURE_ONWARD;
    else if (strcmp(value, "once") == 0)
        settings->torture = TORTURE_ONCE;
    else if (strcmp(value, "onward") == 0)
        settings->torture = TORTURE_ONWARD;
    return settings->torture != 0;
}

/* ---- Options --------------------------------------------------------------------------------- */

struct number {
    enum option_key key;
    size_t offset; /* of the setting */
    uint64_t least, most;
    const char *expected;
};

static const struct number numbers[] = {
    { OPTION_SEEDS, offsetof(struct settings, seeds), 1, INT64_MAX / 2, "a number, 1 to 2^62-1" },
    { OPTION_FIRST, offsetof(struct settings, first), 1, INT64_MAX / 2, "a number, 1 to 2^62-1" },
    { OPTION_SEED, offsetof(struct settings, seed), 1, INT64_MAX, "a number, 1 to 2^63-1" },
    { OPTION_JOBS, offsetof(struct settings, jobs), 1, MOST_JOBS, "a number, 1 to 256" },
    { OPTION_REPLAY, offsetof(struct settings, check_replay), 1, 100000000,
      "a number, 1 to 100000000" },
    { OPTION_SHALLOW, offsetof(struct settings, shallow), 1, INT64_MAX, "a number, 1 to 2^63-1" },
    { OPTION_AT, offsetof(struct settings, at), 0, INT64_MAX, "a number; 0: no call fails" },
    { OPTION_SHRINK_SECONDS, offsetof(struct settings, shrink_seconds), 1, 86400,
      "seconds, 1 to 86400" },
    { OPTION_HANG_SECONDS, offsetof(struct settings, hang_seconds), 1, 86400,
      "seconds, 1 to 86400" },
};

/* Returns NULL, or what was expected instead of the value. */
static const char *apply_number(struct settings *settings, enum option_key key, const char *value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct number *number = &numbers[i];
        if (number->key != key)
            continue;
        uint64_t *setting = (uint64_t *)((char *)settings + number->offset);
        settings->one_call |= key == OPTION_AT;
        return parse_number(value, number->least, number->most, setting) ? NULL : number->expected;
    }
    return "nothing";
}

static const char *apply(struct settings *settings, enum option_key key, const char *value)
{
    switch (key) {
    case OPTION_HELP:
        settings->help = true;
        return NULL;
    case OPTION_LIST:
        settings->list = true;
        return NULL;
    case OPTION_SCENARIO:
        settings->names = value;
        return NULL;
    case OPTION_CALM:
        settings->calm = true;
        return NULL;
    case OPTION_TRACE:
        settings->trace = true;
        return NULL;
    case OPTION_ONWARD:
        settings->onward = true;
        return NULL;
    case OPTION_NO_SHRINK:
        settings->no_shrink = true;
        return NULL;
    case OPTION_QUIET:
        settings->quiet = true;
        return NULL;
    case OPTION_DECISIONS:
        settings->decisions = value;
        return NULL;
    case OPTION_STATS:
        settings->stats = value;
        return NULL;
    case OPTION_LEDGER:
        settings->ledger = value;
        return NULL;
    case OPTION_RESUME:
        settings->resume = value;
        return NULL;
    case OPTION_WORKER:
        return parse_worker(settings, value) ? NULL : "what the program itself gives";
    case OPTION_KERNEL:
        return parse_kernel(settings, value)
                   ? NULL
                   : "6.18, 6.12, 6.6, 6.1, 6.0, EPERM, disabled or ENOSYS";
    case OPTION_TORTURE:
        return parse_torture(settings, value) ? NULL : "once, onward or both";
    default:
        return apply_number(settings, key, value);
    }
}

bool options_wrong(const struct settings *settings, const char *what)
{
    fprintf(stderr, "%s: %s\nTry '%s --help'.\n", settings->argv[0], what, settings->argv[0]);
    return false;
}

static const struct option_row *find_row(enum option_key key)
{
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].key == key)
            return &rows[i];
    }
    return NULL;
}

static void make_options(struct option options[ROWS + 2])
{
    int count = 0;
    options[count++] = (struct option){ "worker", required_argument, NULL, OPTION_WORKER };
    for (int i = 0; i < ROWS; i++) {
        const char *value = rows[i].value;
        int has = value == NULL   ? no_argument
                  : *value == '[' ? optional_argument
                                  : required_argument;
        if (rows[i].key != 0 && rows[i].name != NULL)
            options[count++] = (struct option){ rows[i].name, has, NULL, (int)rows[i].key };
    }
    options[count] = (struct option){ 0 };
}

/* An option that getopt_long() does not know, or that lacks its value. */
static bool tell_bad_option(const struct settings *settings, int key)
{
    char text[256];
    const char *given = settings->argv[optind - 1];
    if (key == ':')
        snprintf(text, sizeof text, "%s needs a value: %s", given,
                 find_row((enum option_key)optopt)->value);
    else if (strchr(given, '=') != NULL && optopt != 0)
        snprintf(text, sizeof text, "'%s': this option takes no value", given);
    else
        snprintf(text, sizeof text, "there is no option '%s'", given);
    return options_wrong(settings, text);
}

bool options_take(struct settings *settings)
{
    struct option options[ROWS + 2];
    int key;
    make_options(options);
    optind = 0; /* the program may have looked at its arguments before */
    opterr = 0;
    while ((key = getopt_long(settings->argc, settings->argv, "+:", options, NULL)) != -1) {
        if (key == ':' || key == '?')
            return tell_bad_option(settings, key);
        const char *expected = apply(settings, (enum option_key)key, optarg);
        if (expected == NULL)
            continue;
        char text[512];
        snprintf(text, sizeof text, "--%s cannot be '%s': it needs %s",
                 key == OPTION_WORKER ? "worker" : find_row((enum option_key)key)->name,
                 optarg != NULL ? optarg : "", expected);
        return options_wrong(settings, text);
    }
    if (optind == settings->argc)
        return true;
    char text[256];
    snprintf(text, sizeof text, "'%s' is no option", settings->argv[optind]);
    return options_wrong(settings, text);
}
