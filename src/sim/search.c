/* The ways to go through many worlds: seeds, the same seeds twice, and each call that can fail. */
#include "sim/search.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "sim/failure.h"
#include "sim/ledger.h"
#include "sim/process.h"
#include "sim/resume.h"
#include "sim/tell.h"
#include "sim/world.h"

enum { EXIT_FOUND = 1, EXIT_TROUBLE = 2, EXIT_INTERRUPTED = 130, SECONDS_OF_RESUME = 10 };

static int trouble(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    return EXIT_TROUBLE;
}

static struct unit seed_unit(const struct settings *settings, uint64_t index, const void *unused)
{
    uint64_t seed = settings->first + index;
    return (struct unit){ settings->scenarios[(seed - 1) % settings->scenario_count],
                          { .kind = CHOICE_SEED, .seed = seed } };
}

/* A crew has failed: where, and why. */
static int pursue(struct crew *crew)
{
    if (crew->failed_index == UINT64_MAX) {
        tell_failure("violation", "at the end of a process, after all its worlds", &crew->outcome);
        return EXIT_FOUND;
    }
    struct unit unit = crew->unit(crew->settings, crew->failed_index, crew->plan);
    return failure_pursue(crew->settings, &unit, &crew->outcome);
}

/* ---- Seeds ----------------------------------------------------------------------------------- */

struct watch {
    struct campaign campaign;
    double saved;
    int save_error;
};

/* What runs at this moment is not among the `done`, but may be in the totals when it is read: they
 * are too high by a few worlds then, if this process is killed and another goes on. */
static void watch_seeds(struct crew *crew)
{
    struct watch *watch = crew->watcher;
    campaign_progress(&watch->campaign, crew);
    double now = seconds_now();
    if (crew->settings->resume == NULL || now - watch->saved < SECONDS_OF_RESUME)
        return;
    watch->saved = now;
    uint64_t done = crew_done(crew);
    struct totals totals = campaign_totals(&watch->campaign, crew);
    watch->save_error = resume_save(crew->settings, done, &totals);
}

/* The figures, into all places where they are wanted. */
static int report(struct watch *watch, const struct totals *totals, const char *ending,
                  struct ledger_row *row)
{
    const struct settings *settings = watch->campaign.settings;
    int rc = campaign_stats(&watch->campaign, totals, row->violations);
    campaign_summary(&watch->campaign, totals, ending, row->violations);
    if (rc < 0)
        return trouble(settings->stats, rc);
    if (settings->ledger == NULL)
        return 0;
    row->first = settings->first;
    row->seeds = totals->worlds + (uint64_t)row->violations;
    const char *wrong = ledger_add(settings->ledger, row, totals);
    if (wrong != NULL)
        fprintf(stderr, "%s: %s\n", settings->ledger, wrong);
    return wrong != NULL ? EXIT_TROUBLE : 0;
}

static int stop_here(struct watch *watch, const struct crew *crew, const struct totals *totals)
{
    const struct settings *settings = watch->campaign.settings;
    campaign_stats(&watch->campaign, totals, 0);
    campaign_summary(&watch->campaign, totals, "stopped: ", 0);
    if (settings->resume != NULL) {
        int rc = resume_save(settings, crew_done(crew), totals);
        if (rc < 0)
            return trouble(settings->resume, rc);
        printf("The same command goes on from here (%s).\n", settings->resume);
    }
    return EXIT_INTERRUPTED;
}

static int finish(struct watch *watch, struct crew *crew, struct ledger_row *row)
{
    const struct settings *settings = watch->campaign.settings;
    struct totals totals = campaign_totals(&watch->campaign, crew);
    campaign_clear(&watch->campaign);
    if (!crew->failed && crew->interrupted)
        return stop_here(watch, crew, &totals);
    row->violations = crew->failed;
    int found = crew->failed ? pursue(crew) : 0;
    if (crew->failed && !settings->quiet)
        printf("\n");
    int rc = report(watch, &totals, crew->failed ? "violated: " : "done: ", row);
    if (settings->resume != NULL) /* what comes next, is another campaign */
        unlink(settings->resume);
    return found != 0 ? found : rc;
}

int search_seeds(const struct settings *settings)
{
    struct watch watch = { .campaign = campaign_begin(settings, "seeds", settings->seeds) };
    struct ledger_row row = { .commit = "-" };
    struct crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return trouble("weir-sim", -ENOMEM);
    uint64_t done;
    const char *wrong = resume_load(settings, &done, &watch.campaign.totals_before);
    const char *file = settings->resume;
    if (wrong == NULL && settings->ledger != NULL) {
        file = settings->ledger;
        wrong = ledger_check(file, &row);
    }
    if (wrong == NULL && settings->resume != NULL) {
        file = settings->resume;
        if (resume_save(settings, done, &watch.campaign.totals_before) < 0)
            wrong = "it cannot be written: name a file in a directory that is there, and yours";
    }
    if (wrong != NULL) {
        fprintf(stderr, "%s: %s\n", file, wrong);
        free(crew);
        return EXIT_TROUBLE;
    }
    watch.saved = watch.campaign.begun;
    *crew = (struct crew){ .settings = settings,
                           .unit = seed_unit,
                           .begin = done,
                           .end = settings->seeds,
                           .progress = watch_seeds,
                           .watcher = &watch };
    int rc = crew_run(crew);
    rc = rc < 0 ? trouble("worker processes", rc) : finish(&watch, crew, &row);
    crew_close(crew);
    free(crew);
    return rc;
}

/* ---- The same twice -------------------------------------------------------------------------- */

static void watch_plainly(struct crew *crew)
{
    campaign_progress(crew->watcher, crew);
}

static int compare(const struct crew crews[2])
{
    const struct digest *first = crews[0].shared->digests, *second = crews[1].shared->digests;
    for (uint64_t i = 0; i < crews[0].end; i++) {
        const struct digest *a = &first[i], *b = &second[i];
        if (a->hash == b->hash && a->decisions == b->decisions && a->steps == b->steps &&
            a->time == b->time && a->result == b->result)
            continue;
        static struct outcome outcome;
        char where[256];
        struct unit unit = seed_unit(crews[0].settings, i, NULL);
        unit_words(&unit, where, sizeof where);
        snprintf(outcome.what, WHAT_SIZE,
                 "hash %016" PRIx64 " then %016" PRIx64 ", decisions %" PRIu64 " then %" PRIu64
                 ", steps %" PRIu64 " then %" PRIu64 ", ns %" PRId64 " then %" PRId64
                 ", result %" PRId64 " then %" PRId64,
                 a->hash, b->hash, a->decisions, b->decisions, a->steps, b->steps, a->time, b->time,
                 a->result, b->result);
        tell_failure("does not repeat: not deterministic", where, &outcome);
        printf("\nCompare the traces of several runs of\n  %s --scenario %s --seed %" PRIu64
               " --trace\n",
               crews[0].settings->argv[0], unit.scenario->name, unit.source.seed);
        return EXIT_FOUND;
    }
    return 0;
}

/* Once in processes that go forward, and once in programs started anew, at other addresses, which
 * go backward: so that what one world leaves to the next shows, too. */
int search_replay(const struct settings *settings)
{
    struct campaign campaigns[2];
    struct crew *crews = calloc(2, sizeof *crews);
    int rc = crews != NULL ? 0 : trouble("weir-sim", -ENOMEM);
    for (int i = 0; i < 2 && rc == 0; i++) {
        campaigns[i] = campaign_begin(settings, "seeds", settings->check_replay);
        crews[i] = (struct crew){ .settings = settings,
                                  .unit = seed_unit,
                                  .end = settings->check_replay,
                                  .anew = i == 1,
                                  .keep_digests = true,
                                  .progress = watch_plainly,
                                  .watcher = &campaigns[i] };
        rc = crew_run(&crews[i]);
        campaign_clear(&campaigns[i]);
        if (rc < 0)
            rc = trouble("worker processes", rc);
        else if (crews[i].failed)
            rc = pursue(&crews[i]);
        else if (crews[i].interrupted)
            rc = EXIT_INTERRUPTED;
    }
    if (rc == EXIT_INTERRUPTED)
        printf("stopped: nothing has been compared yet\n");
    if (rc == 0)
        rc = compare(crews);
    if (rc == 0 && !settings->quiet)
        printf("done: %" PRIu64 " seeds run twice, and the same each time\n",
               settings->check_replay);
    for (int i = 0; crews != NULL && i < 2; i++)
        crew_close(&crews[i]);
    free(crews);
    return rc;
}

int search_worker(const struct settings *settings)
{
    struct crew crew = { .settings = settings, .unit = seed_unit };
    int rc = shared_open(settings->shared_fd, &crew.shared);
    if (rc < 0)
        return trouble("the memory that workers share", rc);
    process_begin(&crew.shared->desks[settings->worker], -1);
    crew_work(&crew, settings->worker);
    return 0;
}

/* ---- A fuzzer's ------------------------------------------------------------------------------ */

PUBLIC int weir_sim_bytes(const struct weir_sim_scenario *scenario, const uint8_t *bytes,
                          size_t size)
{
    struct choice_record record = { 0 };
    struct world_plan plan = {
        .source = { .kind = CHOICE_BYTES,
                    .bytes = bytes,
                    .count = size,
                    .calm = scenario->options.calm },
        .record = &record,
        .options = &scenario->options,
    };
    return world_run(&plan, scenario->main, scenario->argument);
}
