#include "sim/tell.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS_OF_LOG = 10, LINES_OF_ERRORS = 30 };

/* ---- Words ----------------------------------------------------------------------------------- */

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *commas(char text[TEXT], uint64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *to = text;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

const char *time_words(char text[TEXT], uint64_t microseconds)
{
    double seconds = (double)microseconds / 1e6;
    if (seconds < 120)
        snprintf(text, TEXT, "%.3g s", seconds);
    else if (seconds < 7200)
        snprintf(text, TEXT, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(text, TEXT, "%.1f h", seconds / 3600);
    else
        snprintf(text, TEXT, "%.1f days", seconds / 86400);
    return text;
}

uint64_t faults_sum(const struct totals *totals)
{
    uint64_t sum = 0;
    for (int i = 0; i < FAULTS; i++)
        sum += totals->faults[i];
    return sum;
}

void unit_words(const struct unit *unit, char *text, size_t size)
{
    const struct choice_source *source = &unit->source;
    int n =
        snprintf(text, size, "scenario '%s', seed %" PRIu64, unit->scenario->name, source->seed);
    if (source->torturing && source->torture.at != 0 && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, ", call %" PRIu64 " fails%s", source->torture.at,
                 source->torture.onward ? ", and all after it" : ", once");
}

/* ---- Progress -------------------------------------------------------------------------------- */

bool tell_on_terminal(int fd)
{
    const char *kind = getenv("TERM");
    return isatty(fd) == 1 && kind != NULL && strcmp(kind, "dumb") != 0;
}

struct campaign campaign_begin(const struct settings *settings, const char *noun, uint64_t count)
{
    double now = seconds_now();
    return (struct campaign){ .settings = settings,
                              .noun = noun,
                              .count = count,
                              .begun = now,
                              .told = now,
                              .terminal = tell_on_terminal(STDERR_FILENO) };
}

struct totals campaign_totals(const struct campaign *campaign, const struct crew *crew)
{
    struct totals sum = crew_totals(crew);
    const struct totals *before = &campaign->totals_before;
    sum.worlds += before->worlds;
    sum.decisions += before->decisions;
    sum.steps += before->steps;
    sum.microseconds += before->microseconds;
    for (int i = 0; i < FAULTS; i++)
        sum.faults[i] += before->faults[i];
    return sum;
}

static double rate(const struct campaign *campaign, uint64_t worlds)
{
    double seconds = seconds_now() - campaign->begun;
    return seconds > 0 ? (double)(worlds - campaign->totals_before.worlds) / seconds : 0;
}

void campaign_progress(struct campaign *campaign, const struct crew *crew)
{
    double now = seconds_now();
    if (campaign->settings->quiet ||
        now - campaign->told < (campaign->terminal ? 0.2 : SECONDS_OF_LOG))
        return;
    campaign->told = now;
    struct totals totals = campaign_totals(campaign, crew);
    char done[TEXT], count[TEXT], speed[TEXT], faults[TEXT], time[TEXT], line[256];
    double percent =
        campaign->count > 0 ? 100.0 * (double)totals.worlds / (double)campaign->count : 100;
    snprintf(line, sizeof line, "%s of %s %s (%.0f %%), %s/s, %s faults, %s virtual",
             commas(done, totals.worlds), commas(count, campaign->count), campaign->noun, percent,
             commas(speed, (uint64_t)rate(campaign, totals.worlds)),
             commas(faults, faults_sum(&totals)), time_words(time, totals.microseconds));
    if (campaign->terminal)
        fprintf(stderr, "\r%-79.79s", line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    campaign->line = campaign->terminal;
}

void campaign_clear(struct campaign *campaign)
{
    if (campaign->line)
        fprintf(stderr, "\r%-100s\r", "");
    fflush(stderr);
    campaign->line = false;
}

/* ---- The end --------------------------------------------------------------------------------- */

void campaign_summary(const struct campaign *campaign, const struct totals *totals,
                      const char *ending, int violations)
{
    char a[TEXT], b[TEXT];
    if (campaign->settings->quiet)
        return;
    printf("%s%s %s of %s", ending, commas(a, totals->worlds), campaign->noun,
           commas(b, campaign->count));
    if (campaign->settings->torture == 0)
        printf(" (from %s on)", commas(a, campaign->settings->first));
    printf(", %d violation%s\n", violations, violations == 1 ? "" : "s");
    if (violations > 0) /* the figures are not of interest now */
        return;
    printf("  %-28s %15s\n", "worlds a second",
           commas(a, (uint64_t)rate(campaign, totals->worlds)));
    printf("  %-28s %15s\n", "decisions", commas(a, totals->decisions));
    printf("  %-28s %15s\n", "steps", commas(a, totals->steps));
    printf("  %-28s %15s\n", "virtual time", time_words(a, totals->microseconds));
    printf("  %-28s %15s\n", "faults", commas(a, faults_sum(totals)));
    for (int i = 0; i < FAULTS; i++) {
        if (totals->faults[i] == 0 && campaign->settings->torture != 0)
            continue; /* torture knows a few only; of seeds, a 0 is news */
        printf("    %-26s %15s\n", fault_names[i], commas(a, totals->faults[i]));
    }
    fflush(stdout);
}

int campaign_stats(const struct campaign *campaign, const struct totals *totals, int violations)
{
    if (campaign->settings->stats == NULL)
        return 0;
    FILE *file = fopen(campaign->settings->stats, "we");
    if (file == NULL)
        return -errno;
    fprintf(file, "{\n  \"what\": \"%s\",\n", campaign->noun);
    fprintf(file, "  \"first_seed\": %" PRIu64 ",\n", campaign->settings->first);
    fprintf(file, "  \"asked\": %" PRIu64 ",\n", campaign->count);
    fprintf(file, "  \"worlds\": %" PRIu64 ",\n", totals->worlds);
    fprintf(file, "  \"violations\": %d,\n", violations);
    fprintf(file, "  \"seconds\": %.3f,\n", seconds_now() - campaign->begun);
    fprintf(file, "  \"worlds_per_second\": %.1f,\n", rate(campaign, totals->worlds));
    fprintf(file, "  \"decisions\": %" PRIu64 ",\n", totals->decisions);
    fprintf(file, "  \"steps\": %" PRIu64 ",\n", totals->steps);
    fprintf(file, "  \"virtual_seconds\": %.6f,\n", (double)totals->microseconds / 1e6);
    fprintf(file, "  \"faults\": {\n    \"all\": %" PRIu64, faults_sum(totals));
    for (int i = 0; i < FAULTS; i++)
        fprintf(file, ",\n    \"%s\": %" PRIu64, fault_names[i], totals->faults[i]);
    fprintf(file, "\n  }\n}\n");
    bool failed = ferror(file) != 0;
    return fclose(file) == 0 && !failed ? 0 : -EIO;
}

/* A sanitizer says the most in its first lines, all others in the last. */
static const char *worth_reading(const char *errors)
{
    const char *report = strstr(errors, "ERROR: ");
    if (report != NULL) {
        while (report > errors && report[-1] != '\n')
            report--;
        return report;
    }
    const char *from = errors + strlen(errors);
    for (int lines = 0; from > errors; from--) {
        if (from[-1] == '\n' && lines++ == LINES_OF_ERRORS)
            break;
    }
    return from;
}

void tell_failure(const char *kind, const char *where, const struct outcome *outcome)
{
    const char *none = getenv("NO_COLOR");
    bool colour = tell_on_terminal(STDOUT_FILENO) && (none == NULL || *none == '\0');
    printf("\n%s%s:%s %s\n  %s\n", colour ? "\033[1;31m" : "", kind, colour ? "\033[0m" : "", where,
           outcome->what);
    const char *line = worth_reading(outcome->errors);
    if (*line != '\0')
        printf("\nWhat it wrote on stderr:\n");
    for (int lines = 0; *line != '\0' && lines < LINES_OF_ERRORS; lines++) {
        int length = (int)strcspn(line, "\n");
        printf("  | %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    fflush(stdout);
}
