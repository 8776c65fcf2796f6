#include "sim/shrink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/tell.h"

struct search {
    const struct settings *settings;
    const struct unit *unit;
    const struct outcome *wanted;
    double run_limit, deadline, told;
    uint32_t *best, *trial;
    size_t count;
    uint64_t runs;
    int error;
};

size_t count_chosen(const uint32_t *list, size_t count)
{
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++)
        chosen += list[i] != 0;
    return chosen;
}

static bool is_over(const struct search *search)
{
    return search->error < 0 || seconds_now() >= search->deadline;
}

static void tell(struct search *search)
{
    double now = seconds_now();
    if (search->settings->quiet || !tell_on_terminal(STDERR_FILENO) || now - search->told < 0.2)
        return;
    search->told = now;
    fprintf(stderr, "\rshrinking: %zu decisions, %zu of them not 0, after %zu runs    \r",
            search->count, count_chosen(search->best, search->count), (size_t)search->runs);
}

/* The list is what the world made of it: past its end all was 0 anyway. */
static void adopt(struct search *search, size_t recorded, size_t tried)
{
    size_t count = recorded < tried ? recorded : tried;
    memcpy(search->best, decisions_recorded(), count * sizeof *search->best);
    while (count > 0 && search->best[count - 1] == 0)
        count--;
    search->count = count;
}

/* Runs the first `count` of the trial's decisions. If it fails as before, it is the best now. */
static bool attempt(struct search *search, size_t count)
{
    static struct outcome outcome;
    struct unit unit = *search->unit;
    unit.source.list = search->trial;
    unit.source.count = count;
    search->runs++;
    search->error = unit_run_alone(search->settings, &unit, false, search->run_limit, -1, &outcome);
    if (search->error < 0 || !outcome_same(&outcome, search->wanted))
        return false;
    adopt(search, outcome.record.count, count);
    tell(search);
    return true;
}

static void copy_best(struct search *search)
{
    memcpy(search->trial, search->best, search->count * sizeof *search->best);
}

/* Fewer decisions often do: the world then goes on as usual. */
static bool truncate_tail(struct search *search)
{
    size_t before = search->count, low = 0;
    while (low < search->count && !is_over(search)) {
        size_t middle = low + (search->count - low) / 2;
        copy_best(search);
        if (!attempt(search, middle))
            low = middle + 1;
    }
    return search->count < before;
}

static bool is_zero(const uint32_t *list, size_t count)
{
    return count_chosen(list, count) == 0;
}

/* From the end: the later a decision is, the less depends on it. */
static bool zero_blocks(struct search *search, size_t size)
{
    bool better = false;
    size_t blocks = (search->count + size - 1) / size;
    while (blocks-- > 0 && !is_over(search)) {
        size_t at = blocks * size;
        if (at >= search->count)
            continue;
        size_t length = size < search->count - at ? size : search->count - at;
        if (is_zero(search->best + at, length))
            continue;
        copy_best(search);
        memset(search->trial + at, 0, length * sizeof *search->trial);
        better |= attempt(search, search->count);
    }
    return better;
}

/* The lowest value of one decision that does, if failing goes with being high. */
static bool lower_one(struct search *search, size_t at)
{
    uint32_t before = search->best[at], low = 1;
    while (at < search->count && low < search->best[at] && !is_over(search)) {
        uint32_t middle = low + (search->best[at] - low) / 2;
        copy_best(search);
        search->trial[at] = middle;
        if (!attempt(search, search->count))
            low = middle + 1;
    }
    return at >= search->count || search->best[at] < before;
}

static bool one_round(struct search *search)
{
    bool better = truncate_tail(search);
    size_t size = 1;
    while (size < search->count / 2)
        size *= 2;
    for (; size > 0 && !is_over(search); size /= 2)
        better |= zero_blocks(search, size);
    for (size_t i = search->count; i-- > 0 && !is_over(search);) {
        if (i < search->count && search->best[i] > 1)
            better |= lower_one(search, i);
    }
    return better;
}

int shrink(const struct settings *settings, const struct unit *unit, const struct outcome *wanted,
           double run_limit, struct shrunk *ret_shrunk)
{
    size_t count = unit->source.count;
    struct search search = {
        .settings = settings,
        .unit = unit,
        .wanted = wanted,
        .run_limit = run_limit,
        .deadline = seconds_now() + (double)settings->shrink_seconds,
        .best = malloc((count + 1) * sizeof *search.best),
        .trial = malloc((count + 1) * sizeof *search.trial),
        .count = count,
    };
    *ret_shrunk = (struct shrunk){ 0 };
    if (search.best == NULL || search.trial == NULL) {
        free(search.best);
        free(search.trial);
        return -ENOMEM;
    }
    memcpy(search.best, unit->source.list, count * sizeof *search.best);
    while (!is_over(&search) && one_round(&search))
        continue;
    if (tell_on_terminal(STDERR_FILENO) && !settings->quiet)
        fprintf(stderr, "\r%-79s\r", "");
    free(search.trial);
    *ret_shrunk = (struct shrunk){ search.best, search.count, search.runs, !is_over(&search) };
    return search.error;
}
