/* One world in this very process, where a debugger can look at it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/decisions.h"
#include "sim/event.h"
#include "sim/tell.h"
#include "sim/world.h"

enum { EXIT_FOUND = 1, EXIT_TROUBLE = 2 };

static struct choice_record record;
static char where[256];

static void print_figures(void)
{
    char decisions[TEXT], steps[TEXT], time[TEXT];
    printf("  %s decisions, %s steps, %s of virtual time, hash %016" PRIx64 "\n",
           commas(decisions, record.count), commas(steps, events_steps()),
           time_words(time, (uint64_t)events_now() / 1000), record.hash);
    for (int i = 0; i < FAULTS; i++) {
        if (record.faults[i] > 0)
            printf("  %-28s %10" PRIu64 "\n", fault_names[i], record.faults[i]);
    }
}

static void violated(const char *what)
{
    fflush(stderr);
    printf("violation: %s\n  %s\n", where, what);
    print_figures();
    fflush(stdout);
    _exit(EXIT_FOUND);
}

static const struct weir_sim_scenario *find(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->scenario_count; i++) {
        if (strcmp(settings->scenarios[i]->name, name) == 0)
            return settings->scenarios[i];
    }
    return NULL;
}

static bool use_decisions(struct settings *settings, struct decisions *decisions,
                          struct unit *ret_unit)
{
    const char *wrong = decisions_load(settings->decisions, decisions);
    if (wrong != NULL) {
        fprintf(stderr, "%s: %s\n", settings->decisions, wrong);
        return false;
    }
    *ret_unit = decisions->unit;
    settings->calm |= decisions->unit.source.calm;
    if (settings->kernel == NULL && decisions->kernel[0] != '\0')
        settings->kernel = decisions->kernel;
    ret_unit->scenario = find(settings, decisions->scenario);
    if (ret_unit->scenario == NULL)
        fprintf(stderr, "%s: it is of scenario '%s', which is not here, or not asked for\n",
                settings->decisions, decisions->scenario);
    return ret_unit->scenario != NULL;
}

int search_one(const struct settings *asked)
{
    static struct decisions decisions;
    struct settings settings = *asked;
    struct unit unit = { .source.kind = CHOICE_SEED };
    if (settings.decisions != NULL) {
        if (!use_decisions(&settings, &decisions, &unit))
            return EXIT_TROUBLE;
    } else {
        unit.source.seed = settings.seed != 0 ? settings.seed : settings.first;
        unit.source.torturing = settings.one_call;
        unit.source.torture = (struct torture){ settings.at, settings.onward };
        unit.scenario = settings.scenarios[(unit.source.seed - 1) % settings.scenario_count];
    }
    unit_words(&unit, where, sizeof where);
    world_violated = violated;
    int result = unit_run(&settings, &unit, settings.trace, &record);
    free(decisions.list);
    if (settings.one_call && settings.at > record.fallible) {
        fprintf(stderr, "%s: there is no such call: %" PRIu64 " can fail\n", where,
                record.fallible);
        return EXIT_TROUBLE;
    }
    if (!settings.quiet) {
        printf("fine: %s, its main returned %d%s%s\n", where, result, result < 0 ? ": " : "",
               result < 0 ? weir_strerror(result) : "");
        print_figures();
    }
    return 0;
}
