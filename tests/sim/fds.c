/* Too few fds. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

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
#define LONGEST_PAUSE (1100 * WEIR_MILLISECOND)

static bool timed; /* nothing fails in this world, or is late */

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
    int64_t begun = weir_sim_now();
    struct weir_reader *reader;
    struct weir_writer *writer;
    if (weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer) < 0)
        return;
    bool heard = hears(reader) || hears(reader);
    if (!heard && weir_sim_faults() <= 1 && weir_sim_stalls() == 0)
        weir_sim_fail("nobody has told the client that there is no fd");
    if (timed && weir_sim_now() - begun > LONGEST_PAUSE)
        weir_sim_fail("told only after %d ms", (int)((weir_sim_now() - begun) / WEIR_MILLISECOND));
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
    if (weir_sim_choose(3, "whether it lasts") == 2)
        weir_sleep(300 * WEIR_SECOND);
    knock();
    while (count > 0)
        end_server(hogs[--count]);
    knock();
}

/* A server that has no fd for a client lets it in and out, so that it hears; and the next one, when
 * there have been some meanwhile. It looks for one every second, however long it had none. */
int scenario_shown_out(void *argument)
{
    struct weir_server *server;
    timed = argument != NULL;
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
