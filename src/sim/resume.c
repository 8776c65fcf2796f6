#include "sim/resume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the arguments must have in common. */
static void describe(const struct settings *settings, char *text, size_t size)
{
    uint64_t names = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < settings->scenario_count; i++) {
        for (const char *c = settings->scenarios[i]->name; *c != '\0'; c++)
            names = (names ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        names = (names ^ '\n') * UINT64_C(0x100000001b3);
    }
    snprintf(text, size,
             "weir-sim resume: first %" PRIu64 " seeds %" PRIu64 " scenarios %zu %016" PRIx64
             " kernel %s calm %d\n",
             settings->first, settings->seeds, settings->scenario_count, names,
             settings->kernel != NULL ? settings->kernel : "-", settings->calm);
}

static bool read_totals(FILE *file, uint64_t *ret_done, struct totals *ret_totals)
{
    struct totals *totals = ret_totals;
    if (fscanf(file, "done %" SCNu64 " decisions %" SCNu64 " steps %" SCNu64, ret_done,
               &totals->decisions, &totals->steps) != 3 ||
        fscanf(file, " microseconds %" SCNu64 " faults", &totals->microseconds) != 1)
        return false;
    for (int i = 0; i < FAULTS; i++) {
        if (fscanf(file, "%" SCNu64, &totals->faults[i]) != 1)
            return false;
    }
    totals->worlds = *ret_done;
    return true;
}

const char *resume_load(const struct settings *settings, uint64_t *ret_done,
                        struct totals *ret_totals)
{
    *ret_done = 0;
    *ret_totals = (struct totals){ 0 };
    if (settings->resume == NULL)
        return NULL;
    FILE *file = fopen(settings->resume, "re");
    if (file == NULL)
        return errno == ENOENT ? NULL : strerror(errno);
    char wanted[256], line[256];
    const char *wrong = NULL;
    describe(settings, wanted, sizeof wanted);
    if (fgets(line, sizeof line, file) == NULL || strncmp(line, "weir-sim resume:", 16) != 0)
        wrong = "it is no file of this program's; name another";
    else if (strcmp(line, wanted) != 0)
        wrong = "it is of a campaign with other arguments: give those, or remove it";
    else if (!read_totals(file, ret_done, ret_totals) || *ret_done > settings->seeds)
        wrong = "it is damaged: remove it to begin anew";
    fclose(file);
    return wrong;
}

int resume_save(const struct settings *settings, uint64_t done, const struct totals *totals)
{
    char aside[4200], line[256];
    snprintf(aside, sizeof aside, "%s.new", settings->resume);
    FILE *file = fopen(aside, "we");
    if (file == NULL)
        return -errno;
    describe(settings, line, sizeof line);
    fprintf(file,
            "%sdone %" PRIu64 "\ndecisions %" PRIu64 "\nsteps %" PRIu64 "\nmicroseconds %" PRIu64
            "\nfaults",
            line, done, totals->decisions, totals->steps, totals->microseconds);
    for (int i = 0; i < FAULTS; i++)
        fprintf(file, " %" PRIu64, totals->faults[i]);
    fprintf(file, "\n");
    bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed && rename(aside, settings->resume) == 0)
        return 0;
    unlink(aside);
    return -EIO;
}
