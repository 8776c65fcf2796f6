/* Servers: shutdown with grace, many connections on a small ring, more clients than may be in. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Shutdown: the busy, the idle and the stalled -------------------------------------------- */

static bool timed; /* time does not jump in this world */

/* Waits for what never comes: the server's end is the first to close. */
static int idle_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    rc = end_read_all(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

/* Asks for much and does not read it, until it is cancelled. */
static int stalled_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    weir_pause_reading(end.reader);
    for (unsigned i = 0; rc == 0 && i < 30; i++)
        rc = end_write(&end, LONGEST);
    if (rc == 0)
        rc = weir_sleep(30 * WEIR_SECOND);
    weir_abort(end.writer);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

/* Some are busy with something else than their client, and would be for a while. */
static void busy_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    if (weir_sim_choose(4, "whether a handler is busy") < 3) {
        talk_echo_on(&end, talk);
        return;
    }
    scene.handlers++;
    end_break(&end);
    weir_sleep(60 * WEIR_SECOND);
    scene.handlers--;
}

static int mixed_client(void *argument)
{
    static weir_task_fn *const kinds[] = { talk_client, idle_client, stalled_client };
    kinds[weir_sim_choose(3, "what kind of client")](argument);
    return 0;
}

/* What is cut short by the shutdown promises nothing. */
static void break_all(void)
{
    for (unsigned i = 0; i < scene.begun; i++)
        scene.talks[i].up.disturbed = scene.talks[i].down.disturbed = true;
    scene.over = true;
}

/* Runs beside the clients: within the grace, and a second more, nobody is left. */
static int shut_down(void *unused)
{
    (void)unused;
    if (nap(60, "when to shut down") < 0)
        return 0;
    int64_t grace = weir_sim_choose(2000, "grace") * WEIR_MILLISECOND;
    int64_t begun = weir_sim_now();
    break_all();
    int rc = weir_server_shutdown(scene.server, grace);
    scene.server = NULL;

    weir_sim_check(rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED);
    int64_t took = weir_sim_now() - begun;
    weir_sim_note("shut down in %d ms: %d", (int)(took / WEIR_MILLISECOND), rc);
    if (timed && took > grace + 3 * WEIR_SECOND)
        weir_sim_fail("the shutdown took %d ms", (int)(took / WEIR_MILLISECOND));
    if (weir_sleep(100 * WEIR_MILLISECOND) == 0 && timed)
        weir_sim_check(scene.handlers == 0);
    return 0;
}

static int shut_down_among_clients(void *unused)
{
    struct weir_group group = { 0 };
    unsigned count = 1 + weir_sim_choose(8, "how many clients");
    (void)unused;
    for (unsigned i = 0; i < count; i++)
        scene_start(&group, mixed_client, scene_talk());
    scene_start(&group, shut_down, NULL);
    return weir_group_wait(&group);
}

int scenario_shutdown(void *argument)
{
    timed = argument != NULL;
    scene_begin(talk_client);
    if (scene_serve(busy_handler, NULL) < 0)
        return 0;
    scene_patiently(shut_down_among_clients, NULL);
    break_all();
    if (scene.server != NULL) /* the task for it was never started */
        scene_close();
    weir_sim_calm();
    scene.over = false;
    if (scene_serve(talk_echo, NULL) < 0)
        weir_sim_fail("no second server");
    return scene_end();
}

/* ---- Many connections ------------------------------------------------------------------------ */

int scenario_many(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.most = 3000;
    struct weir_server_options options = { .limit = some_limit(), .backlog = 128 };
    if (scene_serve(talk_exchange, &options) < 0)
        return 0;
    scene_clients(40 + weir_sim_choose(61, "how many clients"));
    return scene_end();
}

/* ---- More clients than may be in at a time --------------------------------------------------- */

int scenario_crowd(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.most = 2000;
    struct weir_server_options options = { .max_connections = 1 + weir_sim_choose(4, "how many"),
                                           .start_parked = weir_sim_choose(2, "parked") };
    if (scene_serve(talk_exchange, &options) < 0)
        return 0;
    scene_clients(8 + weir_sim_choose(16, "how many clients"));
    return scene_end();
}
