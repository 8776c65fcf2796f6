/* The end of a server: who leaves when, once it shuts down; what becomes of those who came too
 * late, or in too great a number; and that nobody is served any more. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Who leaves when, exactly: in a world in which nothing takes time by itself --------------- */

enum kind { PARKED, PARKS_LATER, FINISHES, STAYS, TAKES_NOTHING, KINDS };

enum { MUCH = 700 * 1000 }; /* more than both ends of a connection hold */

static struct {
    enum kind kind;
    int64_t until; /* it is done with something */
} visits[TALKS];

static void park_again(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)reader, (void)unused;
    weir_wait_closed(writer);
}

static void write_much(struct weir_writer *writer)
{
    char *data = calloc(1, MUCH);
    weir_sim_check(data != NULL);
    weir_sim_check(weir_write(writer, data, MUCH) == 0);
    free(data);
    weir_drain(writer);
}

static void receive_visit(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    enum kind kind = visits[talk->id].kind;
    int rc = 0;
    end_break(&end);
    if (kind == PARKS_LATER || kind == FINISHES)
        rc = weir_sleep(visits[talk->id].until - weir_sim_now());
    else if (kind == STAYS)
        rc = weir_sleep(1000 * WEIR_SECOND);
    else if (kind == TAKES_NOTHING)
        write_much(writer);
    if (rc == 0 && (kind == PARKED || kind == PARKS_LATER))
        weir_sim_check(weir_park(writer, park_again, NULL) == 0);
}

static int visit(void *argument)
{
    static const struct weir_connect_options small = { .limit = 1000 };
    struct talk *talk = argument;
    struct end end;
    weir_sim_check(talk_connect(talk, &end, &small) == 0);
    end_break(&end);
    if (visits[talk->id].kind == TAKES_NOTHING) {
        weir_pause_reading(end.reader);
        weir_sleep(60 * WEIR_SECOND);
        weir_abort(end.writer);
    }
    end_read_all(&end);
    end_close(&end);
    return 0;
}

/* How long after the server's end it leaves. */
static int64_t leaves_after(unsigned id, int64_t now, int64_t grace)
{
    int64_t left = visits[id].until - now;
    switch (visits[id].kind) {
    case PARKED:
        return 0;
    case PARKS_LATER:
    case FINISHES:
        return left <= 0 ? 0 : left < grace ? left : grace;
    case TAKES_NOTHING:
        return grace + WEIR_SECOND;
    default:
        return grace;
    }
}

static int64_t last_leaves_after(int64_t grace)
{
    int64_t last = 0;
    for (unsigned i = 0; i < scene.begun; i++) {
        int64_t after = leaves_after(i, weir_sim_now(), grace);
        last = after > last ? after : last;
    }
    return last;
}

static int shut_down_all(void *unused)
{
    (void)unused;
    weir_sleep(WEIR_SECOND); /* until all are in */
    int64_t begun = weir_sim_now();
    int64_t grace =
        2 * (1 + weir_sim_choose(2000, "grace")) * WEIR_MILLISECOND; /* an even number */
    int64_t wanted = last_leaves_after(grace);
    int rc = weir_server_shutdown(scene.server, grace);
    int64_t late = weir_sim_now() - begun - wanted;
    scene.server = NULL;
    if (late < -WEIR_MILLISECOND || late > WEIR_MILLISECOND)
        weir_sim_fail("the shutdown took %d ms too long", (int)(late / WEIR_MILLISECOND));
    weir_sim_check(rc == (wanted >= grace ? -ETIMEDOUT : 0));
    return 0;
}

int scenario_departures(void *unused)
{
    struct weir_group group = { 0 };
    unsigned kinds = 2 + weir_sim_choose(KINDS - 1, "how many kinds of visits");
    (void)unused;
    scene_begin(talk_client);
    weir_sim_check(scene_serve(receive_visit, NULL) == 0);
    int64_t second = weir_sim_now() + WEIR_SECOND;
    for (unsigned count = 1 + weir_sim_choose(5, "how many visits"); count > 0; count--) {
        struct talk *talk = scene_talk();
        visits[talk->id].kind = weir_sim_choose(kinds < KINDS ? kinds : KINDS, "what kind");
        visits[talk->id].until =
            second + (2 * weir_sim_choose(2000, "until when") + 1) * WEIR_MILLISECOND; /* odd */
        weir_sim_check(weir_group_start(&group, visit, talk) == 0);
    }
    weir_sim_check(weir_group_start(&group, shut_down_all, NULL) == 0);
    weir_sim_check(weir_group_wait(&group) == 0);
    scene_check();
    return 0;
}

/* ---- A full house is closed ------------------------------------------------------------------ */

static struct {
    struct weir_server_options options;
    unsigned inside, come;
    unsigned last; /* with so many it closes */
    bool closed;   /* since some time */
} house;

static void close_house(void)
{
    if (scene.server == NULL)
        return;
    weir_server_close(scene.server);
    weir_sim_check(!weir_server_is_serving(scene.server));
    if (weir_yield() == 0) /* who had been let in has been seen by now */
        house.closed = true;
}

/* Some go by themselves, and others come in for them. */
static void let_in(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    (void)unused;
    weir_sim_check(!house.closed);
    house.inside++;
    if (weir_sim_faults() == 0) /* else a stream may have been lost under its handler's hands */
        weir_sim_check(house.inside <= house.options.max_connections);
    if (weir_sim_choose(2, "whether it stays") == 0)
        nap(30, "how long it stays");
    else
        while (weir_read(reader, LONGEST, &data) > 0)
            ;
    house.inside--;
    weir_wait_closed(writer);
}

/* Whatever becomes of it, it hears of it. */
static int guest(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    talk->up.disturbed = talk->down.disturbed = true;
    if (nap(10, "when a guest comes") < 0)
        return -ECANCELED;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return 0;
    if (++house.come == house.last)
        close_house();
    end_read_all(&end);
    end_close(&end);
    return 0;
}

static int close_and_shut_down(void *unused)
{
    (void)unused;
    nap(60, "when to close");
    if (!house.closed)
        close_house();
    nap(60, "when to shut down");
    int64_t begun = weir_sim_now();
    int rc = weir_server_shutdown(scene.server, weir_sim_choose(1000, "grace") * WEIR_MILLISECOND);
    scene.server = NULL;
    weir_sim_check(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED);
    if (weir_sim_faults() == 0)
        weir_sim_check(weir_sim_now() - begun <= 3 * WEIR_SECOND);
    return 0;
}

static int fill_house(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    for (unsigned count = 2 + weir_sim_choose(16, "how many guests"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, guest, scene_talk()), "group_start");
    scene_start(&group, close_and_shut_down, NULL);
    return weir_group_wait(&group);
}

int scenario_full_house(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    memset(&house, 0, sizeof house);
    house.options.max_connections = 1 + weir_sim_choose(3, "how many may be in");
    house.last = weir_sim_choose(12, "with how many it closes");
    if (scene_serve(let_in, &house.options) < 0)
        return 0;
    scene.strangers = true;
    scene_patiently(fill_house, NULL);
    if (scene.server != NULL) { /* the task for it was never started */
        house.closed = true;
        scene_close();
    }
    weir_sim_calm();
    scene.over = false;
    if (scene_serve(talk_echo, NULL) < 0)
        weir_sim_fail("no second server");
    return scene_end();
}
