/* weir_sim_main(): from arguments to what is to be done. */
#include <errno.h>
#include <fnmatch.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/child.h"
#include "sim/options.h"

enum { EXIT_ARGUMENTS = 2, SEEDS = 1000 };

/* ---- What to run ----------------------------------------------------------------------------- */

static bool is_selected(const char *name, const char *names)
{
    char pattern[128];
    for (; *names != '\0'; names += *names == ',') {
        size_t length = strcspn(names, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, names);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
        names += length;
    }
    return false;
}

/* Each part of the list must be of use. */
static bool select_scenarios(struct settings *settings, const char *names)
{
    size_t kept = 0;
    for (const char *at = names; *at != '\0'; at += *at == ',') {
        char pattern[128];
        size_t length = strcspn(at, ","), found = 0;
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, at);
        for (size_t i = 0; i < settings->scenario_count; i++)
            found += fnmatch(pattern, settings->scenarios[i]->name, 0) == 0;
        if (found == 0) {
            fprintf(stderr, "%s: there is no scenario '%s': --list tells which there are\n",
                    settings->argv[0], pattern);
            return false;
        }
        at += length;
    }
    for (size_t i = 0; i < settings->scenario_count; i++) {
        if (is_selected(settings->scenarios[i]->name, names))
            settings->scenarios[kept++] = settings->scenarios[i];
    }
    settings->scenario_count = kept;
    return kept > 0;
}

/* Options that make no sense together. */
static bool check(const struct settings *settings)
{
    bool one = settings->seed != 0 || settings->decisions != NULL || settings->one_call;
    bool seeds = !one && settings->check_replay == 0 && settings->torture == 0;
    if ((settings->seed != 0) + (settings->decisions != NULL) + (settings->check_replay != 0) +
            (settings->torture != 0) >
        1)
        return options_wrong(settings,
                             "--seed, --decisions, --check-replay and --torture are different "
                             "things to do: give one of them");
    if (settings->trace && !one)
        return options_wrong(settings,
                             "--trace tells of one world: name it with --seed or --decisions");
    if (settings->one_call && (settings->torture == 0 || settings->scenario_count != 1))
        return options_wrong(settings, "--at goes with --torture and a --scenario");
    if (settings->onward && !settings->one_call)
        return options_wrong(settings,
                             "--onward goes with --at; for all calls, say --torture=onward");
    if (settings->shallow != 0 && (settings->torture == 0 || settings->one_call))
        return options_wrong(settings, "--shallow goes with --torture, and without --at");
    if (settings->calm && settings->torture != 0)
        return options_wrong(settings,
                             "--torture makes calls fail, and with --calm none does: give one");
    if ((settings->ledger != NULL || settings->resume != NULL) && !seeds)
        return options_wrong(settings, "--ledger and --resume are for campaigns of --seeds");
    if (settings->seeds != 0 && !seeds)
        return options_wrong(settings,
                             "--seeds goes from one seed to the next: it does not go with --seed, "
                             "--decisions, --check-replay and --torture");
    if (settings->stats != NULL && (one || settings->check_replay != 0))
        return options_wrong(settings, "--stats is for --seeds and --torture");
    return true;
}

/* ---- The program ----------------------------------------------------------------------------- */

/* Better known now than after a long campaign. */
static bool can_write_stats(const struct settings *settings)
{
    FILE *file = settings->stats != NULL ? fopen(settings->stats, "ae") : NULL;
    if (file == NULL && settings->stats != NULL)
        fprintf(stderr, "%s: %s\n", settings->stats, strerror(errno));
    if (file != NULL)
        fclose(file);
    return file != NULL || settings->stats == NULL;
}

static int run(struct settings *settings)
{
    if (!options_take(settings))
        return EXIT_ARGUMENTS;
    if (settings->help) {
        options_help(settings->argv[0]);
        return 0;
    }
    if (settings->names != NULL && !select_scenarios(settings, settings->names))
        return EXIT_ARGUMENTS;
    for (size_t i = 0; settings->list && i < settings->scenario_count; i++)
        printf("%s\n", settings->scenarios[i]->name);
    if (settings->list)
        return 0;
    if (!check(settings) || !can_write_stats(settings))
        return EXIT_ARGUMENTS;
    if (settings->seeds == 0)
        settings->seeds = SEEDS;
    if (settings->shared_fd >= 0)
        return search_worker(settings);
    if (settings->seed != 0 || settings->decisions != NULL || settings->one_call)
        return search_one(settings);
    children_prepare();
    if (settings->check_replay != 0)
        return search_replay(settings);
    return settings->torture != 0 ? search_torture(settings) : search_seeds(settings);
}

static uint64_t cpu_count(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count < MOST_JOBS ? (uint64_t)count : MOST_JOBS;
}

PUBLIC int weir_sim_main(int argc, char **argv, const struct weir_sim_scenario *scenarios)
{
    struct settings settings = {
        .argc = argc,
        .argv = argv,
        .first = 1,
        .jobs = cpu_count(),
        .shrink_seconds = 10,
        .hang_seconds = 20,
        .shared_fd = -1,
    };
    while (scenarios[settings.scenario_count].name != NULL)
        settings.scenario_count++;
    if (settings.scenario_count == 0) {
        fprintf(stderr, "%s: weir_sim_main() was given no scenarios\n", argv[0]);
        return EXIT_ARGUMENTS;
    }
    settings.scenarios = calloc(settings.scenario_count, sizeof *settings.scenarios);
    if (settings.scenarios == NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(ENOMEM));
        return EXIT_ARGUMENTS;
    }
    for (size_t i = 0; i < settings.scenario_count; i++)
        settings.scenarios[i] = &scenarios[i];
    int rc = run(&settings);
    free(settings.scenarios);
    return rc;
}
