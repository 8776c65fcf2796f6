#include "sim/failure.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/decisions.h"
#include "sim/shrink.h"
#include "sim/tell.h"

enum { LINES_OF_TRACE = 60, MOST_SHOWN = 200, INTERRUPTED = 130 };

struct pursuit {
    const struct settings *settings;
    struct unit unit; /* as it was found */
    struct unit list; /* its decisions */
    struct outcome first, again;
    char where[256], trace_path[512], decisions_path[512];
    double seconds; /* that a run takes */
};

static void make_path(const struct pursuit *pursuit, const char *suffix, char path[512])
{
    const char *directory = getenv("SIM_TRACE_DIR");
    const struct choice_source *source = &pursuit->unit.source;
    char name[128], call[64] = "";
    snprintf(name, sizeof name, "%s", pursuit->unit.scenario->name);
    for (char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_')
            *c = '-';
    }
    if (source->torturing)
        snprintf(call, sizeof call, "-call-%" PRIu64 "%s", source->torture.at,
                 source->torture.onward ? "-onward" : "");
    bool here = directory == NULL || *directory == '\0';
    snprintf(path, 512, "%.256s%ssim-%s-%" PRIu64 "%s.%s", here ? "" : directory, here ? "" : "/",
             name, source->seed, call, suffix);
}

/* What says which world: for commands that run it again. */
static void print_command(const struct pursuit *pursuit, const char *rest)
{
    const struct settings *settings = pursuit->settings;
    const struct choice_source *source = &pursuit->unit.source;
    printf("  %s --scenario %s", settings->argv[0], pursuit->unit.scenario->name);
    if (rest != NULL) {
        printf(" --decisions %s --trace\n", rest);
        return;
    }
    if (source->torturing)
        printf(" --torture --at %" PRIu64 "%s --first %" PRIu64, source->torture.at,
               source->torture.onward ? " --onward" : "", source->seed);
    else
        printf(" --seed %" PRIu64, source->seed);
    if (settings->kernel != NULL)
        printf(" --kernel %s", settings->kernel);
    printf("%s --trace\n", settings->calm ? " --calm" : "");
}

static int run(struct pursuit *pursuit, const struct unit *unit, bool trace, int fd)
{
    double began = seconds_now();
    int rc = unit_run_alone(pursuit->settings, unit, trace, (double)pursuit->settings->hang_seconds,
                            fd, &pursuit->again);
    pursuit->seconds = seconds_now() - began;
    if (rc < 0 && rc != -EINTR)
        printf("It could not be run again: %s.\n", strerror(-rc));
    return rc;
}

static void tell_unrepeated(struct pursuit *pursuit)
{
    if (pursuit->again.verdict == VERDICT_FINE)
        snprintf(pursuit->again.what, WHAT_SIZE, "run again, nothing was wrong");
    tell_failure("does not repeat: not deterministic", pursuit->where, &pursuit->again);
    printf("\nEqual seeds must give equal runs: something decides beside choose() (an address, a "
           "real\nclock, memory that nobody set), or a world leaves something to the next. "
           "Compare the traces of\n");
    print_command(pursuit, NULL);
}

/* Keeps what the run has decided. False if there is no list to go on with. */
static bool keep_decisions(struct pursuit *pursuit)
{
    size_t count = pursuit->again.record.count;
    if (count > MOST_DECISIONS) {
        printf("It made %zu decisions, which are too many to be kept.\n", count);
        return false;
    }
    uint32_t *list = malloc((count + 1) * sizeof *list);
    if (list == NULL)
        return false;
    memcpy(list, decisions_recorded(), count * sizeof *list);
    pursuit->list = pursuit->unit;
    pursuit->list.source.kind = CHOICE_LIST;
    pursuit->list.source.list = list;
    pursuit->list.source.count = count;
    return true;
}

static void tell_decisions(const struct pursuit *pursuit)
{
    const struct choice_source *source = &pursuit->list.source;
    size_t shown = 0, column = 0;
    for (size_t i = 0; i < source->count && shown < MOST_SHOWN; i++) {
        char text[48];
        if (source->list[i] == 0)
            continue;
        int length = snprintf(text, sizeof text, "  %zu=%" PRIu32, i, source->list[i]);
        if (column + (size_t)length > 98) {
            printf("\n");
            column = 0;
        }
        column += (size_t)printf("%s", text);
        shown++;
    }
    size_t chosen = count_chosen(source->list, source->count);
    printf("%s\n", chosen == 0 ? "  all are 0: it fails when nothing unusual happens" : "");
    if (chosen > shown)
        printf("  and %zu more\n", chosen - shown);
}

static int shrink_list(struct pursuit *pursuit)
{
    struct unit *list = &pursuit->list;
    struct shrunk shrunk;
    size_t count = list->source.count;
    double limit = pursuit->first.verdict == VERDICT_HANGS ? 2 : 2 + 10 * pursuit->seconds;
    int rc = shrink(pursuit->settings, list, &pursuit->first, limit, &shrunk);
    if (shrunk.list == NULL)
        return rc;
    printf("\nShrunk from %zu decisions (%zu not 0) to %zu (%zu not 0), in %" PRIu64 " runs%s\n",
           count, count_chosen(list->source.list, count), shrunk.count,
           count_chosen(shrunk.list, shrunk.count), shrunk.runs,
           shrunk.in_time ? ":" : ", until the time was over (--shrink-seconds gives it more):");
    free((void *)list->source.list);
    list->source.list = shrunk.list;
    list->source.count = shrunk.count;
    tell_decisions(pursuit);
    return rc;
}

static void save_decisions(struct pursuit *pursuit)
{
    make_path(pursuit, "decisions", pursuit->decisions_path);
    int rc = decisions_save(pursuit->decisions_path, pursuit->settings, &pursuit->list);
    if (rc < 0) {
        printf("The decisions could not be written to %s: %s.\n", pursuit->decisions_path,
               strerror(-rc));
        pursuit->decisions_path[0] = '\0';
    }
}

static void print_tail(const char *text)
{
    const char *from = text + strlen(text);
    for (int lines = 0; from > text; from--) {
        if (from[-1] == '\n' && lines++ == LINES_OF_TRACE)
            break;
    }
    fputs(from, stdout);
}

/* Runs what is left of it once more, and shows what happens. */
static int trace_it(struct pursuit *pursuit)
{
    const struct unit *unit = pursuit->list.source.list != NULL ? &pursuit->list : &pursuit->unit;
    make_path(pursuit, "trace", pursuit->trace_path);
    int fd = open(pursuit->trace_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        printf("The trace could not be written to %s: %s.\n", pursuit->trace_path, strerror(errno));
        pursuit->trace_path[0] = '\0';
    }
    int rc = run(pursuit, unit, true, fd);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return rc;
    printf("\nThe end of the trace%s%s:\n\n", fd >= 0 ? ", of which all is in " : "",
           pursuit->trace_path);
    print_tail(pursuit->again.errors);
    if (!outcome_same(&pursuit->again, &pursuit->first))
        printf("\nWith the trace on, it ended otherwise: %s\n",
               pursuit->again.verdict == VERDICT_FINE ? "nothing was wrong" : pursuit->again.what);
    return 0;
}

/* From the seed to the decisions that matter. */
static int pursue(struct pursuit *pursuit)
{
    int rc = run(pursuit, &pursuit->unit, false, -1);
    if (rc < 0)
        return rc;
    if (!outcome_same(&pursuit->again, &pursuit->first)) {
        tell_unrepeated(pursuit);
        return 1;
    }
    if (keep_decisions(pursuit)) {
        rc = run(pursuit, &pursuit->list, false, -1);
        if (rc < 0)
            return rc;
        if (!outcome_same(&pursuit->again, &pursuit->first)) {
            printf("\nThe decisions that were recorded do not bring it back, so that they cannot "
                   "be shrunk:\nsomething decides beside choose().\n");
            free((void *)pursuit->list.source.list);
            pursuit->list.source.list = NULL;
        }
    }
    if (pursuit->list.source.list != NULL && !pursuit->settings->no_shrink)
        rc = shrink_list(pursuit);
    if (pursuit->list.source.list != NULL)
        save_decisions(pursuit);
    return rc < 0 ? rc : trace_it(pursuit);
}

int failure_pursue(const struct settings *settings, const struct unit *unit,
                   const struct outcome *outcome)
{
    static struct pursuit pursuit;
    pursuit = (struct pursuit){ .settings = settings, .unit = *unit, .first = *outcome };
    unit_words(unit, pursuit.where, sizeof pursuit.where);
    tell_failure("violation", pursuit.where, outcome);
    int rc = pursue(&pursuit);
    if (rc == 1)
        return 1;
    printf("\n%s%s\n  %s\nAgain, for a debugger or the whole trace:\n",
           "violation: ", pursuit.where, outcome->what);
    print_command(&pursuit, NULL);
    if (pursuit.decisions_path[0] != '\0') {
        printf("with the decisions %s:\n", settings->no_shrink ? "recorded" : "that are left");
        print_command(&pursuit, pursuit.decisions_path);
    }
    fflush(stdout);
    free((void *)pursuit.list.source.list);
    return rc == -EINTR ? INTERRUPTED : 1;
}
