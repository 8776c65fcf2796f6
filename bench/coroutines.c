/* A million coroutines on one loop: created, each switched to ten times, ended.
 *
 * They are weir's tasks, with the stacks that every task gets: 64 KiB of address space and a guard
 * page each. That so many are possible at all rests on two things: what a waiting task needs lies
 * in one page at the top of its stack, and a guard (of Linux 6.13 and later) is no mapping of its
 * own, so that vm.max_map_count can stay as it is.
 *
 * The main task takes its turn last, behind all others: when it is back, each has been switched to
 * once more. Whether that is so is counted, not assumed.
 */
#include "common.h"

#include <weir.h>

#define PROGRAM "coroutines"

struct options {
    unsigned tasks, switches;
    bool json;
};

static struct {
    struct options options;
    unsigned started, ended;
    uint64_t resumed;                       /* a task, by the loop: its start is one, too */
    uint64_t owned;                         /* the sum of what each task kept on its stack */
    const char *failure;                    /* of a check */
    int64_t begun, created, switched, gone; /* when */
    long page_tables_kib, maps;             /* while all tasks are there */
} run;

/* ---- The tasks ------------------------------------------------------------------------------- */

static int work(void *unused)
{
    (void)unused;
    volatile unsigned own = run.started++; /* on the stack: it must survive every switch */
    for (unsigned i = 0; i < run.options.switches; i++) {
        run.resumed++;
        int rc = weir_yield();
        if (rc < 0)
            return rc;
    }
    run.owned += own;
    run.ended++;
    return 0;
}

/* The number in the line of /proc/self/status that begins with `name`. */
static long status_kib(const char *name)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

static long count_maps(void)
{
    long lines = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    for (int byte; file && (byte = getc(file)) != EOF;)
        lines += byte == '\n';
    if (file)
        fclose(file);
    return lines;
}

static void check(bool holds, const char *what)
{
    if (!holds && !run.failure)
        run.failure = what;
}

static int create_all(struct weir_group *group)
{
    for (unsigned i = 0; i < run.options.tasks; i++) {
        int rc = weir_group_start(group, work, NULL);
        if (rc < 0) {
            fprintf(stderr, PROGRAM ": there is no task after %u\n", i);
            weir_group_cancel(group);
            return rc;
        }
    }
    return 0;
}

static int run_all(void *unused)
{
    (void)unused;
    struct weir_group group = { 0 };
    uint64_t all = (uint64_t)run.options.tasks * run.options.switches;
    int rc = create_all(&group);
    run.created = now_ns();
    for (unsigned i = 0; i < run.options.switches && rc == 0; i++)
        rc = weir_yield();
    run.switched = now_ns();
    check(run.resumed == all, "not every task was switched to as often as it should have been");
    check(run.ended == 0, "a task ended early");
    run.page_tables_kib = status_kib("VmPTE:");
    run.maps = count_maps();
    int failed = weir_group_wait(&group);
    return rc < 0 ? rc : failed;
}

/* ---- The report ------------------------------------------------------------------------------ */

static double seconds(int64_t from, int64_t to)
{
    return (double)(to - from) / 1e9;
}

static double switch_ns(void)
{
    return (double)(run.switched - run.created) / (double)run.options.tasks / run.options.switches;
}

static void print_json(double cpu, long peak_kib)
{
    printf("{\"tasks\": %u, \"switches\": %u, \"seconds\": %.6f, \"create_seconds\": %.6f, "
           "\"switch_seconds\": %.6f, \"end_seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"ns_per_switch\": %.2f, \"peak_rss_kib\": %ld, \"page_tables_kib\": %ld, "
           "\"maps\": %ld}\n",
           run.options.tasks, run.options.switches, seconds(run.begun, run.gone),
           seconds(run.begun, run.created), seconds(run.created, run.switched),
           seconds(run.switched, run.gone), cpu, switch_ns(), peak_kib, run.page_tables_kib,
           run.maps);
}

static void print_text(double cpu, long peak_kib)
{
    double tasks = run.options.tasks;
    printf("%u tasks on one loop, each switched to %u times and then ended: %.2f s (CPU: %.2f s)\n",
           run.options.tasks, run.options.switches, seconds(run.begun, run.gone), cpu);
    printf("  created     %.3f s, %.0f ns each: its stack's first page is in that\n",
           seconds(run.begun, run.created), (double)(run.created - run.begun) / tasks);
    printf("  switched    %.3f s, %.1f ns a switch, to the task and back to the loop\n",
           seconds(run.created, run.switched), switch_ns());
    printf("  ended       %.3f s, %.0f ns each: giving the memory back is in that\n",
           seconds(run.switched, run.gone), (double)(run.gone - run.switched) / tasks);
    printf("  memory      %ld KiB at most (%.2f each), page tables %ld KiB (%.2f each), %ld maps\n",
           peak_kib, (double)peak_kib / tasks, run.page_tables_kib,
           (double)run.page_tables_kib / tasks, run.maps);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void print_help(void)
{
    printf("coroutines: a million tasks of weir on one loop\n\n"
           "usage: coroutines [--tasks N] [--switches N] [--json]\n\n"
           "  --tasks N     how many, all there at once (1000000)\n"
           "  --switches N  how often each is switched to before the switch in which it ends (10)\n"
           "  --json        the report as one line of JSON\n"
           "  --help        this text\n\n"
           "Each takes 68 KiB of address space, and 4 KiB of memory. More than about 28,000 need\n"
           "Linux 6.13 or later, or a higher vm.max_map_count.\n\n"
           "Exit status: 0 all ended and the counts are right, 1 not so, 2 usage.\n");
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "tasks", required_argument, NULL, 't' },
        { "switches", required_argument, NULL, 's' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .tasks = 1000000, .switches = 10 };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'h') {
            print_help();
            exit(EXIT_OK);
        } else if (option == 't') {
            options.tasks = (unsigned)parse_number(PROGRAM, "tasks", optarg, 1, 1e8);
        } else if (option == 's') {
            options.switches = (unsigned)parse_number(PROGRAM, "switches", optarg, 1, 1e6);
        } else if (option == 'j') {
            options.json = true;
        } else {
            die(PROGRAM, EXIT_USAGE, "wrong option; see coroutines --help");
        }
    }
    if (optind != argc)
        die(PROGRAM, EXIT_USAGE, "unexpected argument '%s'; see --help", argv[optind]);
    return options;
}

int main(int argc, char **argv)
{
    run.options = parse_options(argc, argv);
    run.begun = now_ns();
    int rc = weir_run(run_all, NULL, NULL);
    run.gone = now_ns();
    if (rc < 0)
        die(PROGRAM, EXIT_FAILED, "%s", weir_strerror(rc));
    uint64_t last = run.options.tasks - 1;
    check(run.ended == run.options.tasks, "not all tasks ended");
    check(run.owned == last * (last + 1) / 2, "a task lost what was on its stack");
    if (run.failure)
        die(PROGRAM, EXIT_FAILED, "%s", run.failure);

    double cpu = cpu_seconds();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (run.options.json)
        print_json(cpu, usage.ru_maxrss);
    else
        print_text(cpu, usage.ru_maxrss);
    return EXIT_OK;
}
