/* Worlds in processes of their own, so that whatever a world comes to, who started it can tell of
 * it: one that is run alone, and crews of workers that go through very many. */
#ifndef WEIR_SIM_CHILD_H
#define WEIR_SIM_CHILD_H

#include <sys/types.h>

#include "sim/choice.h"
#include "sim/search.h"

enum {
    WHAT_SIZE = 400,
    ERRORS_SIZE = 16384,
    MOST_JOBS = 256,
    MOST_DECISIONS = 1 << 24, /* of a world that is to be shrunk */
};

/* What is to be run. */
struct unit {
    const struct weir_sim_scenario *scenario;
    struct choice_source source;
};

enum verdict { VERDICT_FINE, VERDICT_VIOLATED, VERDICT_CRASHED, VERDICT_HANGS };

/* What came of it. */
struct outcome {
    enum verdict verdict;
    char what[WHAT_SIZE];     /* one line */
    char errors[ERRORS_SIZE]; /* the end of what it wrote on stderr */
    int result;               /* of the scenario's main; a hint only */
    struct choice_record record;
    uint64_t steps;
    int64_t time; /* virtual ns */
};

/* Sums over worlds. */
struct totals {
    uint64_t worlds, decisions, steps, microseconds; /* virtual */
    uint64_t faults[FAULTS];
};

/* Two runs of a world must have equal ones. */
struct digest {
    uint64_t hash, decisions, steps;
    int64_t time;
    int64_t result;
};

/* What a worker says of itself, in memory that outlives it. */
struct desk {
    uint64_t at; /* the unit it is at, plus one; 0: none */
    struct choice_record record;
    struct totals totals;
    uint64_t steps;
    int64_t time;
    int result;
    bool violated;
    char what[WHAT_SIZE];
};

/* Shared by the workers of a crew, perhaps also with programs started anew: no pointers. */
struct shared {
    uint64_t next, end; /* units that nobody has taken yet */
    uint64_t begin, digest_count;
    bool stop, backward;
    struct desk desks[MOST_JOBS];
    struct digest digests[]; /* of unit `begin` and on */
};

struct crew {
    const struct settings *settings;
    struct unit (*unit)(const struct settings *settings, uint64_t index, const void *plan);
    const void *plan;
    uint64_t begin, end; /* units */
    bool anew;           /* workers run the program anew, and go backward */
    bool keep_digests;
    void (*progress)(struct crew *crew); /* a few times a second; may be NULL */
    void *watcher;                       /* progress()'s own */
    /* Results: */
    struct shared *shared;
    int shared_fd;
    bool interrupted, failed;
    uint64_t failed_index;  /* UINT64_MAX: not in a world, but at a worker's end */
    struct outcome outcome; /* of that */
};

/* How the parent looks at signals: they wait until it asks. */
void children_prepare(void);

/* Runs it in this process. */
int unit_run(const struct settings *settings, const struct unit *unit, bool trace,
             struct choice_record *record);

/* Runs it in a child, whose stderr goes to `errors_fd`, or is kept in the outcome if that is -1.
 * Decisions are recorded in decisions_recorded(). -EINTR after Ctrl-C, -errno. */
int unit_run_alone(const struct settings *settings, const struct unit *unit, bool trace,
                   double seconds, int errors_fd, struct outcome *ret_outcome);
const uint32_t *decisions_recorded(void);

/* Runs all units of a crew, until one fails. 0, or -errno: then nothing was run. */
int crew_run(struct crew *crew);
void crew_close(struct crew *crew);
uint64_t crew_done(const struct crew *crew); /* the first unit that has not been run yet */
struct totals crew_totals(const struct crew *crew);

/* What a worker of a crew does, until there are no more units. */
void crew_work(struct crew *crew, unsigned worker);
int shared_open(int fd, struct shared **ret_shared); /* another process's */

/* Whether two failures are likely to be of one cause: what they say, but for numbers in it. */
bool outcome_same(const struct outcome *one, const struct outcome *other);

#endif
