/* Tasks among themselves: groups of which one fails, events that many wait for, several that wait
 * for one stream, and one that leaves all it has to its end. */
#include "scenarios.h"
#include "scene.h"

/* ---- Groups: the first error is what counts, and nobody outlives it -------------------------- */

enum { MEMBERS = 6, ROUNDS = 4 };

struct member {
    enum { SUCCEEDS, FAILS, WAITS, PROTESTS, FATES } fate;
    unsigned number;
};

static struct {
    struct member members[MEMBERS];
    struct weir_event never;
    unsigned running;
    int error; /* of the first to fail */
} team;

/* Who waits is told by nothing but a cancel, and some then have an error of their own. */
static int live(struct member *member)
{
    int rc;
    switch (member->fate) {
    case SUCCEEDS:
        rc = nap(5, "how long a task takes");
        return rc < 0 ? -3000 - (int)member->number : 0;
    case FAILS:
        rc = nap(5, "how long it takes to fail");
        return rc < 0 ? rc : -1000 - (int)member->number;
    default:
        rc = weir_event_wait(&team.never);
        weir_sim_check(rc == (team.error < 0 ? -ECANCELED : 0));
        return rc < 0 && member->fate == PROTESTS ? -2000 - (int)member->number : rc;
    }
}

static int member_task(void *argument)
{
    int rc = live(argument);
    team.running--;
    if (rc < 0 && team.error == 0)
        team.error = rc;
    return rc;
}

/* Some join only when another has failed already. */
static int one_team(void)
{
    struct weir_group group = { 0 };
    bool fails = false;
    memset(&team, 0, sizeof team);
    unsigned count = 1 + weir_sim_choose(MEMBERS, "how many tasks");
    for (unsigned i = 0; i < count; i++) {
        team.members[i].fate = weir_sim_choose(FATES, "a task's fate");
        team.members[i].number = i;
        if (weir_sim_choose(3, "whether to join late") == 2 && nap(5, "how late") < 0)
            break;
        int rc =
            excuse(NULL, weir_group_start(&group, member_task, &team.members[i]), "group_start");
        team.running += rc == 0;
        fails = fails || (rc == 0 && team.members[i].fate == FAILS);
    }
    if (!fails)
        weir_event_set(&team.never);
    int rc = weir_group_wait(&group);
    if (rc != team.error)
        weir_sim_fail("the group's error is %d, and the first was %d", rc, team.error);
    weir_sim_check(team.running == 0);
    return 0;
}

int scenario_groups(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++)
        one_team();
    return 0;
}

/* ---- Events: who waits for one that is set, returns ------------------------------------------ */

enum { STAGES = 20, RUNNERS = 4 };

static struct {
    struct weir_event stages[STAGES];
    struct weir_event always;
    unsigned reached; /* how many stages are open */
} course;

static int run_course(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < STAGES; i++) {
        for (unsigned calls = weir_sim_choose(4, "calls that need not wait"); calls > 0; calls--)
            weir_sim_check(weir_event_wait(&course.always) == 0);
        if (weir_sim_choose(4, "whether to yield") == 3)
            weir_sim_check(weir_yield() == 0);
        weir_sim_check(weir_event_wait(&course.stages[i]) == 0);
        weir_sim_check(course.reached > i);
    }
    return 0;
}

static int open_course(void *unused)
{
    (void)unused;
    while (course.reached < STAGES) {
        for (unsigned turns = weir_sim_choose(4, "turns to wait"); turns > 0; turns--)
            weir_sim_check(weir_yield() == 0);
        weir_event_set(&course.stages[course.reached++]);
    }
    return 0;
}

int scenario_events(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    memset(&course, 0, sizeof course);
    weir_event_set(&course.always);
    unsigned count = 1 + weir_sim_choose(RUNNERS, "how many tasks");
    for (unsigned i = 0; i < count; i++)
        excuse(NULL, weir_group_start(&group, run_course, NULL), "group_start");
    int rc = excuse(NULL, weir_group_start(&group, open_course, NULL), "group_start");
    if (rc < 0)
        open_course(NULL);
    weir_sim_check(weir_group_wait(&group) == 0);
    return 0;
}

/* ---- Drains: all who wait are told ----------------------------------------------------------- */

enum { DRAINS = 4 };

static int drain_once(void *argument)
{
    struct end *end = argument;
    int rc = weir_drain(end->writer);
    return rc == 0 || rc == -ECANCELED ? rc : excuse(end->out, rc, "drain");
}

/* The stream is not closed before all have returned. */
static int drain_together(struct end *end)
{
    struct weir_group group = { 0 };
    char data[LONGEST];
    size_t size = 1 + weir_sim_choose(LONGEST, "how much is queued");
    flow_fill(end->out, end->out->written, data, size);
    int rc = weir_write(end->writer, data, size);
    if (rc < 0)
        return excuse(end->out, rc, "write");
    end->out->written += size;
    unsigned count = 1 + weir_sim_choose(DRAINS, "how many drain");
    for (unsigned i = 0; i < count; i++)
        excuse(NULL, weir_group_start(&group, drain_once, end), "group_start");
    return weir_group_wait(&group);
}

static int draining_client(void *argument)
{
    struct end end;
    int rc = talk_connect(argument, &end, NULL);
    if (rc < 0)
        return rc;
    unsigned rounds = 1 + weir_sim_choose(4, "how many rounds");
    size_t high = weir_sim_choose(3000, "high mark");
    weir_sim_check(weir_set_write_buffer_limits(end.writer, high, high / 3) == 0);
    while (rc == 0 && rounds-- > 0)
        rc = drain_together(&end);
    if (rc == 0)
        rc = end_exchange(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(end.writer);
    }
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_drains(void *unused)
{
    (void)unused;
    scene_begin(draining_client);
    if (scene_serve(talk_echo, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    return scene_end();
}

/* ---- What a task leaves ---------------------------------------------------------------------- */

/* Several streams at once, none of which it closes: all that was written arrives, and an end. */
static int leave(void *argument)
{
    enum { STREAMS = 3, SIZE = 2000 };
    struct talk *talk = argument;
    struct end end;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < STREAMS && scene.begun < TALKS; i++) {
        struct talk *next = i == 0 ? talk : scene_talk();
        rc = talk_connect(next, &end, NULL);
        if (rc < 0)
            return rc;
        next->up.unwatched = true;
        rc = end_write(&end, 1 + weir_sim_choose(SIZE, "what a client writes"));
        if (rc < 0)
            end_break(&end);
        next->up.ended = rc == 0;
        next->down.disturbed = true; /* nobody reads it */
    }
    return rc;
}

/* In a task of its own, which ends. A server that shuts down first does not hear who has not been
 * let in yet. */
static int leaving_client(void *talk)
{
    struct weir_group group = { 0 };
    unsigned before = scene.begun - 1;
    int rc = excuse(NULL, weir_group_start(&group, leave, talk), "group_start");
    int result = weir_group_wait(&group);
    for (unsigned i = before; i < scene.begun; i++) {
        const struct flow *up = &scene.talks[i].up;
        for (unsigned turns = 0; turns < 50 && up->ended && !up->eof; turns++)
            weir_sleep(10 * turns * WEIR_MILLISECOND);
    }
    return rc < 0 ? rc : result;
}

/* Says nothing, so that the client's close is an orderly one. */
static void listening_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    if (end_read_all(&end) < 0) {
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

int scenario_leaving(void *unused)
{
    (void)unused;
    scene_begin(leaving_client);
    if (scene_serve(listening_handler, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(4, "how many clients"));
    return scene_end();
}
