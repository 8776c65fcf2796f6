/* Connecting is given up: at any moment, and above all in that in which it succeeds, or has hardly
 * begun. Whatever it has opened by then is closed. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { ADDRESSES = 4, IMPATIENT = 24 };

static const char *const addresses[ADDRESSES] = { "10.0.0.1", "fd00::2", "10.0.0.3", "fd00::4" };
static bool given_up; /* all of this round */

/* The name has all of them, and some do not answer. */
static void make_host(void)
{
    static const int errors[] = { 0, -ETIMEDOUT, -EHOSTUNREACH };
    for (unsigned i = 0; i < ADDRESSES; i++)
        weir_sim_route(addresses[i], errors[weir_sim_choose(3, "route")]);
}

/* A name takes up to 50 ms, in steps of one: often it has just answered when the time is over. */
static int connect_impatiently(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_timeout timeout;
    struct weir_connect_options options = { .happy_eyeballs_delay = WEIR_MILLISECOND };
    bool limited = weir_sim_choose(3, "a limit") > 0;
    unsigned which = weir_sim_choose(3, "whom to call");
    const char *host = which == 0 ? "127.0.0.1" : which == 1 ? "localhost" : "many.test";
    (void)unused;
    if (limited)
        weir_timeout_start(&timeout, weir_sim_choose(25, "how long") * WEIR_MILLISECOND);
    int rc = weir_open_connection(host, scene.port, &options, &reader, &writer);
    if (limited)
        rc = (int)weir_timeout_stop(&timeout, rc);
    if (rc == 0) {
        weir_abort(writer);
        weir_wait_closed(writer);
    } else if (!(limited && rc == -ETIMEDOUT) && !(given_up && rc == -ECANCELED) && which < 2) {
        excuse(NULL, rc, host);
    }
    return 0;
}

/* They are given up together: in the turn in which they begin, soon after, or when some are in. */
static void one_round(void)
{
    struct weir_group group = { 0 };
    make_host();
    given_up = false;
    for (unsigned count = 1 + weir_sim_choose(IMPATIENT, "how many connect"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, connect_impatiently, NULL), "group_start");
    unsigned when = weir_sim_choose(4, "when to give up");
    for (unsigned turns = when == 1 ? weir_sim_choose(8, "after turns") : 0; turns > 0; turns--)
        weir_yield();
    if (when == 2)
        weir_sleep(weir_sim_choose(50, "after ms") * WEIR_MILLISECOND);
    if (when > 0) {
        given_up = true;
        weir_group_cancel(&group);
    }
    weir_group_wait(&group);
}

static int rounds(void *unused)
{
    (void)unused;
    for (unsigned count = 1 + weir_sim_choose(16, "how many rounds"); count > 0; count--)
        one_round();
    return 0;
}

int scenario_impatient(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    weir_sim_name("many.test", "10.0.0.1 fd00::2 10.0.0.3 fd00::4");
    if (scene_serve_everywhere() < 0)
        return 0;
    scene_patiently(rounds, NULL);
    return scene_end();
}
