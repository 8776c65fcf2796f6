#include "sim/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/tell.h"

static const char campaigns_marker[] = "<!-- ledger -->", faults_marker[] = "<!-- faults -->";
static const char campaigns_head[] =
    "| Date | Commit | Build | First seed | Seeds | Violations | Faults fired |\n"
    "|---|---|---|--:|--:|--:|--:|\n";
static const char faults_head[] = "| Fault | Fired |\n|---|--:|\n";

/* ---- git ------------------------------------------------------------------------------------- */

/* Its exit code, and the first line of what it says. -1 if it cannot be run. */
static int run_git(char *const argv[], char *line, int size)
{
    int ends[2];
    line[0] = '\0';
    if (pipe(ends) < 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(127);
        execvp("git", argv);
        _exit(127);
    }
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    if (output == NULL)
        close(ends[0]);
    else if (fgets(line, size, output) != NULL)
        line[strcspn(line, "\n")] = '\0';
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (output != NULL)
        fclose(output);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The ledger itself is written by campaigns: it does not count as a difference. */
static void find_commit(const char *path, char commit[64])
{
    char ignored[8], without[4200];
    snprintf(without, sizeof without, ":(exclude)%s", path);
    char *revision[] = { "git", "rev-parse", "--short", "HEAD", NULL };
    char *difference[] = { "git", "diff", "--quiet", "HEAD", "--", ":/", without, NULL };
    if (run_git(revision, commit, 63) != 0) {
        strcpy(commit, "-");
        return;
    }
    int rc = run_git(difference, ignored, sizeof ignored);
    if (rc != 0 && rc != 1) { /* the ledger lies elsewhere */
        difference[4] = NULL;
        rc = run_git(difference, ignored, sizeof ignored);
    }
    if (rc != 0)
        strcat(commit, "+");
}

/* ---- The file -------------------------------------------------------------------------------- */

static char *read_all(const char *path, const char **ret_wrong)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        *ret_wrong = strerror(errno);
        return NULL;
    }
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (n > 0)
        return text;
    free(text);
    *ret_wrong = "it is empty";
    return NULL;
}

static const char *next_line(const char *at)
{
    at += strcspn(at, "\n");
    return *at == '\n' ? at + 1 : at;
}

/* The table after a marker: from its first row, or where it should be, to the end of its last. */
static bool find_table(const char *text, const char *marker, const char **ret_begin,
                       const char **ret_end)
{
    const char *at = strstr(text, marker);
    if (at == NULL)
        return false;
    const char *begin = next_line(at);
    for (at = begin; *at == '\n';)
        at++;
    if (*at == '|')
        begin = at;
    for (at = begin; *at == '|';)
        at = next_line(at);
    *ret_begin = begin;
    *ret_end = at;
    return true;
}

const char *ledger_check(const char *path, struct ledger_row *ret_row)
{
    const char *wrong = NULL, *begin, *end;
    char *text = read_all(path, &wrong);
    if (text == NULL)
        return wrong;
    if (!find_table(text, campaigns_marker, &begin, &end))
        wrong = "it has no line '<!-- ledger -->': write one where the table of campaigns is to be";
    else if (!find_table(text, faults_marker, &begin, &end))
        wrong = "it has no line '<!-- faults -->': write one where the table of faults is to be";
    else if (access(path, W_OK) < 0)
        wrong = strerror(errno);
    free(text);
    if (wrong == NULL)
        find_commit(path, ret_row->commit);
    return wrong;
}

static void write_row(FILE *out, const struct ledger_row *row, const struct totals *totals)
{
    char date[32], first[TEXT], seeds[TEXT], faults[TEXT];
    struct timespec now; /* not time(): that is the simulation's */
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now.tv_sec));
    const char *build = getenv("SIM_BUILD");
    fprintf(out, "| %s | %s | %s | %s | %s | %d | %s |\n", date, row->commit,
            build != NULL && *build != '\0' ? build : "-", commas(first, row->first),
            commas(seeds, row->seeds), row->violations, commas(faults, faults_sum(totals)));
}

/* The number in the second column of a row, whose first is `name`; 0 if there is none. */
static uint64_t find_number(const char *begin, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = begin; line < end; line = next_line(line)) {
        const char *at = line + 1 + strspn(line + 1, " ");
        if (strncmp(at, name, length) != 0)
            continue;
        at += length + strspn(at + length, " ");
        if (*at != '|')
            continue;
        uint64_t number = 0;
        for (at++; *at == ' ' || *at == ',' || (*at >= '0' && *at <= '9'); at++) {
            if (*at >= '0')
                number = 10 * number + (uint64_t)(*at - '0');
        }
        return number;
    }
    return 0;
}

static void write_faults(FILE *out, const char *begin, const char *end, const struct totals *totals)
{
    fputs(faults_head, out);
    for (int i = 0; i < FAULTS; i++) {
        char text[TEXT];
        uint64_t before = find_number(begin, end, fault_names[i]);
        fprintf(out, "| %s | %s |\n", fault_names[i], commas(text, before + totals->faults[i]));
    }
}

static void write_all(FILE *out, const char *text, const struct ledger_row *row,
                      const struct totals *totals)
{
    const char *begin, *end, *faults_begin, *faults_end;
    find_table(text, campaigns_marker, &begin, &end);
    find_table(text, faults_marker, &faults_begin, &faults_end);
    for (const char *at = text;;) {
        if (at == faults_begin) {
            write_faults(out, faults_begin, faults_end, totals);
            at = faults_end;
        }
        if ((at == begin || at == end) && at > text && at[-1] != '\n')
            fputc('\n', out);
        if (at == begin && begin == end)
            fputs(campaigns_head, out);
        if (at == end)
            write_row(out, row, totals);
        if (*at == '\0')
            return;
        const char *next = next_line(at);
        fwrite(at, 1, (size_t)(next - at), out);
        at = next;
    }
}

const char *ledger_add(const char *path, const struct ledger_row *row, const struct totals *totals)
{
    char aside[4200];
    const char *wrong = NULL, *begin, *end;
    char *text = read_all(path, &wrong);
    if (text == NULL)
        return wrong;
    snprintf(aside, sizeof aside, "%s.new", path);
    FILE *out = NULL;
    if (!find_table(text, campaigns_marker, &begin, &end) ||
        !find_table(text, faults_marker, &begin, &end))
        wrong = "its markers have gone";
    else if ((out = fopen(aside, "we")) == NULL)
        wrong = strerror(errno);
    if (out != NULL) {
        write_all(out, text, row, totals);
        bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed || rename(aside, path) < 0) {
            wrong = strerror(errno);
            unlink(aside);
        }
    }
    free(text);
    return wrong;
}
