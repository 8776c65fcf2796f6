#include "sim/decisions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "weir-sim decisions";

int decisions_save(const char *path, const struct settings *settings, const struct unit *unit)
{
    const struct choice_source *source = &unit->source;
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -errno;
    fprintf(file, "%s\nscenario %s\nseed %" PRIu64 "\n", head, unit->scenario->name, source->seed);
    if (settings->calm)
        fprintf(file, "calm\n");
    if (settings->kernel != NULL)
        fprintf(file, "kernel %s\n", settings->kernel);
    if (source->torturing)
        fprintf(file, "torture %" PRIu64 " %s\n", source->torture.at,
                source->torture.onward ? "onward" : "once");
    fprintf(file, "count %zu\n", source->count);
    for (size_t i = 0; i < source->count; i++) {
        if (source->list[i] != 0)
            fprintf(file, "%zu=%" PRIu32 "\n", i, source->list[i]);
    }
    bool failed = ferror(file) != 0;
    return fclose(file) == 0 && !failed ? 0 : -EIO;
}

static const char *read_head_line(struct decisions *into, const char *line)
{
    struct choice_source *source = &into->unit.source;
    char word[16];
    if (sscanf(line, "scenario %127s", into->scenario) == 1 ||
        sscanf(line, "seed %" SCNu64, &source->seed) == 1 ||
        sscanf(line, "kernel %15s", into->kernel) == 1)
        return NULL;
    if (strcmp(line, "calm\n") == 0) {
        source->calm = true;
        return NULL;
    }
    if (sscanf(line, "torture %" SCNu64 " %15s", &source->torture.at, word) == 2) {
        source->torturing = true;
        source->torture.onward = strcmp(word, "onward") == 0;
        return NULL;
    }
    if (sscanf(line, "count %zu", &source->count) != 1)
        return "it has a line that means nothing";
    if (source->count > MOST_DECISIONS)
        return "it has too many decisions";
    free(into->list);
    source->list = into->list = calloc(source->count + 1, sizeof *into->list);
    return into->list != NULL ? NULL : "there is no memory for it";
}

const char *decisions_load(const char *path, struct decisions *ret_decisions)
{
    *ret_decisions = (struct decisions){ .unit.source.kind = CHOICE_LIST };
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return strerror(errno);
    char line[256];
    const char *wrong = NULL;
    if (fgets(line, sizeof line, file) == NULL || strncmp(line, head, sizeof head - 1) != 0)
        wrong = "it is no file of decisions";
    while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
        size_t index;
        uint32_t value;
        if (sscanf(line, "%zu=%" SCNu32, &index, &value) != 2)
            wrong = line[0] == '#' || line[0] == '\n' ? NULL : read_head_line(ret_decisions, line);
        else if (index >= ret_decisions->unit.source.count)
            wrong = "it has a decision beyond its count";
        else
            ret_decisions->list[index] = value;
    }
    fclose(file);
    if (wrong == NULL && (ret_decisions->list == NULL || ret_decisions->scenario[0] == '\0'))
        wrong = "it lacks its scenario or count";
    if (wrong != NULL)
        free(ret_decisions->list);
    return wrong;
}
