/* Torture: each call that can fail for want of memory, fds or threads is made to fail, one world
 * for each; and again with all the calls after it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/failure.h"
#include "sim/tell.h"

enum { EXIT_FOUND = 1, EXIT_TROUBLE = 2, EXIT_INTERRUPTED = 130 };

struct pair {
    uint64_t at;
    uint32_t scenario;
    bool onward;
};

struct plan {
    struct pair *pairs;
    uint64_t count, room;
    uint64_t *calls; /* that can fail, of each scenario */
};

static struct unit torture_unit(const struct settings *settings, uint32_t scenario, uint64_t at,
                                bool onward)
{
    return (struct unit){ settings->scenarios[scenario],
                          { .kind = CHOICE_SEED,
                            .seed = settings->first,
                            .torturing = true,
                            .torture = { at, onward } } };
}

static struct unit pair_unit(const struct settings *settings, uint64_t index, const void *plan)
{
    const struct pair *pair = &((const struct plan *)plan)->pairs[index];
    return torture_unit(settings, pair->scenario, pair->at, pair->onward);
}

/* ---- The plan -------------------------------------------------------------------------------- */

static int add_pairs(struct plan *plan, unsigned modes, uint32_t scenario, uint64_t calls)
{
    uint64_t needed = plan->count + 2 * calls;
    if (needed > plan->room) {
        struct pair *pairs = realloc(plan->pairs, 2 * needed * sizeof *pairs);
        if (pairs == NULL)
            return -ENOMEM;
        plan->pairs = pairs;
        plan->room = 2 * needed;
    }
    for (uint64_t at = 1; at <= calls; at++) {
        if (modes & TORTURE_ONCE)
            plan->pairs[plan->count++] = (struct pair){ at, scenario, false };
        if (modes & TORTURE_ONWARD)
            plan->pairs[plan->count++] = (struct pair){ at, scenario, true };
    }
    return 0;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Leaves `count` pairs of all, any of them, but the same for the same first seed. */
static void pick(struct plan *plan, uint64_t count, uint64_t seed)
{
    uint64_t state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    if (count >= plan->count)
        return;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t other = i + next_random(&state) % (plan->count - i);
        struct pair pair = plan->pairs[i];
        plan->pairs[i] = plan->pairs[other];
        plan->pairs[other] = pair;
    }
    plan->count = count;
}

/* Runs each scenario once with nothing failing, to count. 0, or what main() should return. */
static int make_plan(const struct settings *settings, struct plan *plan)
{
    static struct outcome outcome;
    for (uint32_t i = 0; i < settings->scenario_count; i++) {
        struct unit unit = torture_unit(settings, i, 0, false);
        int rc =
            unit_run_alone(settings, &unit, false, (double)settings->hang_seconds, -1, &outcome);
        if (rc == -EINTR)
            return EXIT_INTERRUPTED;
        if (rc == 0 && outcome.verdict != VERDICT_FINE)
            return failure_pursue(settings, &unit, &outcome);
        plan->calls[i] = outcome.record.fallible;
        if (rc == 0)
            rc = add_pairs(plan, settings->torture, i, outcome.record.fallible);
        if (rc < 0) {
            fprintf(stderr, "%s: %s\n", settings->scenarios[i]->name, strerror(-rc));
            return EXIT_TROUBLE;
        }
    }
    if (settings->shallow != 0)
        pick(plan, settings->shallow, settings->first);
    return 0;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void watch(struct crew *crew)
{
    campaign_progress(crew->watcher, crew);
}

/* Of each scenario, how many of its pairs are among the first `done` of the plan. */
static void tell_scenarios(const struct settings *settings, const struct plan *plan, uint64_t done)
{
    if (settings->quiet)
        return;
    for (uint32_t i = 0; i < settings->scenario_count; i++) {
        uint64_t pairs = 0;
        char a[TEXT], b[TEXT];
        for (uint64_t p = 0; p < done; p++)
            pairs += plan->pairs[p].scenario == i;
        printf("  %-40s %10s calls can fail %10s pairs run\n", settings->scenarios[i]->name,
               commas(a, plan->calls[i]), commas(b, pairs));
    }
}

static int report(struct campaign *campaign, struct crew *crew, const struct plan *plan)
{
    const struct settings *settings = campaign->settings;
    struct totals totals = campaign_totals(campaign, crew);
    int rc = 0;
    campaign_clear(campaign);
    if (crew->failed && crew->failed_index == UINT64_MAX) {
        tell_failure("violation", "at the end of a process, after all its worlds", &crew->outcome);
        rc = EXIT_FOUND;
    } else if (crew->failed) {
        struct unit unit = pair_unit(settings, crew->failed_index, plan);
        rc = failure_pursue(settings, &unit, &crew->outcome);
    } else if (crew->interrupted) {
        rc = EXIT_INTERRUPTED;
    }
    tell_scenarios(settings, plan, crew_done(crew));
    campaign_summary(campaign, &totals,
                     crew->failed        ? "violated: "
                     : crew->interrupted ? "stopped: "
                                         : "done: ",
                     crew->failed);
    int written = campaign_stats(campaign, &totals, crew->failed);
    if (written < 0)
        fprintf(stderr, "%s: %s\n", settings->stats, strerror(-written));
    return rc == 0 && written < 0 ? EXIT_TROUBLE : rc;
}

int search_torture(const struct settings *settings)
{
    struct plan plan = { .calls = calloc(settings->scenario_count, sizeof *plan.calls) };
    struct crew *crew = calloc(1, sizeof *crew);
    int rc = EXIT_TROUBLE;
    if (plan.calls != NULL && crew != NULL)
        rc = make_plan(settings, &plan);
    if (rc == 0) {
        struct campaign campaign = campaign_begin(settings, "pairs", plan.count);
        *crew = (struct crew){ .settings = settings,
                               .unit = pair_unit,
                               .plan = &plan,
                               .end = plan.count,
                               .progress = watch,
                               .watcher = &campaign };
        rc = crew_run(crew);
        if (rc < 0)
            fprintf(stderr, "worker processes: %s\n", strerror(-rc));
        rc = rc < 0 ? EXIT_TROUBLE : report(&campaign, crew, &plan);
        crew_close(crew);
    }
    free(crew);
    free(plan.pairs);
    free(plan.calls);
    return rc;
}
