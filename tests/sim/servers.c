/* Servers: shutdown with grace, many connections on a small ring, too few fds, parked clients. */
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
        excuse(NULL, weir_group_start(&group, mixed_client, scene_talk()), "group_start");
    excuse(NULL, weir_group_start(&group, shut_down, NULL), "group_start");
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

/* ---- Too few fds ----------------------------------------------------------------------------- */

/* Clients and server share the few fds there are: some cannot connect, some are shown out. */
static int poor_talk(struct talk *talk)
{
    struct end end;
    talk->up.disturbed = talk->down.disturbed = true;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    end.total = weir_sim_choose(2000, "what a client writes");
    size_t total = end.total;
    rc = end_exchange(&end);
    if (rc == 0 && talk->down.read != total)
        rc = -EPROTO; /* shown out: an end, but nothing came back */
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

/* A server that has lost its spare fd as well shows nobody out: who waits holds what it needs. */
static int poor_client(void *talk)
{
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 60 * WEIR_SECOND);
    return (int)weir_timeout_stop(&timeout, poor_talk(talk));
}

int scenario_fds(void *unused)
{
    (void)unused;
    scene_begin(poor_client);
    scene.strangers = true;
    int rc = weir_start_server(talk_echo, NULL, "127.0.0.1", 7000, NULL, &scene.server);
    if (rc < 0) {
        weir_sim_check(rc == -EMFILE || weir_sim_faults() > 0);
        scene_leave();
        return 0;
    }
    scene.host = "127.0.0.1";
    scene.port = 7000;
    scene_clients(12 + weir_sim_choose(12, "how many clients"));
    return scene_end();
}

/* ---- Shown out ------------------------------------------------------------------------------- */

enum { HOGS = 16, SHORTAGES = 3 };

static void leave_at_once(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)reader;
    (void)writer;
    (void)unused;
}

static void end_server(struct weir_server *server)
{
    weir_server_close(server);
    weir_sim_check(weir_server_wait_closed(server) == 0);
}

static bool hears(struct weir_reader *reader)
{
    struct weir_slice data;
    struct weir_timeout timeout;
    int64_t begun = weir_sim_now();
    weir_timeout_start(&timeout, 10 * WEIR_SECOND);
    weir_timeout_stop(&timeout, weir_read(reader, LONGEST, &data));
    return weir_sim_now() - begun < 10 * WEIR_SECOND;
}

/* The clock may jump, but is no second fault. */
static void knock(void)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    if (weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer) < 0)
        return;
    bool heard = hears(reader) || hears(reader);
    if (!heard && weir_sim_faults() <= 1 && weir_sim_stalls() == 0)
        weir_sim_fail("nobody has told the client that there is no fd");
    weir_abort(writer);
    weir_wait_closed(writer);
}

/* All fds are taken, but for the client's own. */
static void knock_without_fds(void)
{
    static const struct weir_server_options idle = { .no_start_serving = true };
    struct weir_server *hogs[HOGS];
    unsigned count = 0;
    while (count < HOGS &&
           weir_start_server(leave_at_once, NULL, "127.0.0.1", 0, &idle, &hogs[count]) == 0)
        count++;
    if (count > 0)
        end_server(hogs[--count]);
    knock();
    while (count > 0)
        end_server(hogs[--count]);
}

/* A server that has no fd for a client lets it in and out at once, so that it hears; and the next
 * one, when there have been some meanwhile. */
int scenario_shown_out(void *unused)
{
    struct weir_server *server;
    (void)unused;
    int rc = weir_start_server(leave_at_once, NULL, "127.0.0.1", 7000, NULL, &server);
    if (rc < 0)
        return excuse(NULL, rc, "start_server");
    for (unsigned i = 0; i < SHORTAGES; i++) {
        knock_without_fds();
        weir_sleep(5 * WEIR_SECOND);
    }
    end_server(server);
    return 0;
}

/* ---- Parked clients -------------------------------------------------------------------------- */

/* Called each time something comes: echoes what is there, and parks again. */
static void parked_news(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct talk *talk = argument;
    struct end end = { .reader = reader, .writer = writer, .in = &talk->up, .out = &talk->down };
    struct weir_slice data;
    ssize_t n = end_read(&end, &data);
    int rc = n < 0 ? (int)n : 0;
    if (n > 0) {
        talk->down.written += data.size;
        rc = excuse(&talk->down, weir_write_slice(writer, data), "write_slice");
        if (rc == 0)
            rc = weir_drain(writer);
        if (weir_sim_choose(4, "whether reading is paused") == 3)
            weir_pause_reading(reader); /* which ends when it is parked */
        if (rc == 0 && excuse(&talk->down, weir_park(writer, parked_news, talk), "park") == 0)
            return;
    } else if (n == 0) {
        rc = end_finish(&end);
    }
    if (n != 0 || rc < 0) { /* no more of the talk */
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

static void parked_first(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    talk->down.id = talk->up.id;
    talk->down.unwatched = true; /* what fails while it is parked, fails unseen */
    if (excuse(&talk->down, weir_park(writer, parked_news, talk), "park") == 0)
        return;
    end_break(&end);
    end_close(&end);
}

static int patient_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    unsigned pieces = weir_sim_choose(6, "how many pieces");
    for (unsigned i = 0; rc == 0 && i < pieces; i++) {
        rc = nap(100, "pause while it is parked");
        if (rc == 0)
            rc = end_write(&end, 1 + weir_sim_choose(LONGEST, "how much to write"));
    }
    if (rc == 0)
        rc = end_finish(&end);
    if (rc == 0)
        rc = end_read_all(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(end.writer);
    }
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_parked(void *unused)
{
    (void)unused;
    scene_begin(patient_client);
    struct weir_server_options options = { .start_parked = weir_sim_choose(2, "parked at once"),
                                           .limit = some_limit() };
    if (scene_serve(parked_first, &options) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(10, "how many clients"));
    scene_recover();
    scene_empty();
    scene_close();
    scene_check();
    return 0;
}
