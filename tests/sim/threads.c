/* Several loops, which serve one port together, send each other tasks, and have blocking code run
 * by helper threads. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { LOOPS = 4, STAGES = 4, CALLS = 3 };

/* One of blocking code. It is not the task's, so that who is too late is seen. */
struct call {
    unsigned number;
    bool begun, ended;
    bool returned; /* for its task it is over */
};

static struct {
    struct weir_loop *loops[LOOPS];
    unsigned count;       /* of loops */
    unsigned arrived;     /* of them */
    unsigned met[STAGES]; /* how many have come to each stage */
    unsigned serving;     /* loops that have a server */
    unsigned sent, delivered;
    struct call calls[LOOPS * CALLS];
    unsigned made, called, returned;
} team;

/* Waits until all loops are here. None leaves before the last stage; but one that had no memory for
 * its first task never comes. */
static void meet(unsigned stage)
{
    team.met[stage]++;
    for (unsigned turns = 0; team.met[stage] < team.count; turns++) {
        weir_sleep(10 * WEIR_MILLISECOND);
        if (stage == 0 && turns > 2000 && weir_sim_faults() > 0)
            team.count = team.met[stage];
    }
}

/* ---- Tasks from loop to loop ----------------------------------------------------------------- */

static int delivered(void *loop)
{
    weir_sim_check(weir_this_loop() == loop);
    team.delivered++;
    return 0;
}

static int send_tasks(void *unused)
{
    unsigned count = weir_sim_choose(20, "how many tasks to send");
    (void)unused;
    for (unsigned i = 0; i < count; i++) {
        struct weir_loop *loop = team.loops[weir_sim_choose(team.arrived, "which loop")];
        if (loop == NULL)
            continue;
        int rc = weir_call_soon_threadsafe(loop, delivered, loop);
        team.sent += rc == 0;
        excuse(NULL, rc, "call_soon_threadsafe");
        if (nap(3, "pause between tasks") < 0)
            return -ECANCELED;
    }
    return 0;
}

/* ---- Blocking code --------------------------------------------------------------------------- */

static int block(void *argument)
{
    struct call *call = argument;
    weir_sim_check(weir_this_loop() == NULL);
    weir_sim_check(!call->returned);
    call->begun = true;
    weir_sim_sleep(weir_sim_choose(50, "how long to block") * WEIR_MILLISECOND);
    call->ended = true;
    team.called++;
    return (int)++call->number;
}

/* Its result is passed on, and what it did is seen. What has begun is waited for, whatever comes. */
static int call_blocking(void *unused)
{
    struct call *call = &team.calls[team.made++];
    unsigned before = weir_sim_choose(100, "a number");
    (void)unused;
    call->number = before;
    int rc = weir_to_thread(block, call);
    call->returned = true;
    team.returned += rc > 0;
    weir_sim_check(call->begun == call->ended);
    if (rc < 0)
        return rc == -ECANCELED ? rc : excuse(NULL, rc, "to_thread");
    weir_sim_check((unsigned)rc == call->number && call->number == before + 1);
    return 0;
}

static int work_together(void *unused)
{
    struct weir_group group = { 0 };
    unsigned calls = weir_sim_choose(CALLS + 1, "how many blocking calls");
    (void)unused;
    excuse(NULL, weir_group_start(&group, send_tasks, NULL), "group_start");
    for (unsigned i = 0; i < calls; i++)
        excuse(NULL, weir_group_start(&group, call_blocking, NULL), "group_start");
    if (weir_sim_choose(3, "whether to cancel") == 2) {
        nap(30, "when to cancel");
        weir_group_cancel(&group);
    }
    weir_group_wait(&group);
    return 0;
}

/* ---- One loop -------------------------------------------------------------------------------- */

static void arrive(unsigned count)
{
    if (team.arrived == 0) {
        memset(&team, 0, sizeof team);
        scene_begin(talk_client);
        scene.most = 5000;
        scene.host = "127.0.0.1";
        team.count = count;
    }
    team.loops[team.arrived++] = weir_this_loop();
}

/* The port is one and the same, though none was asked for. */
static struct weir_server *serve(void)
{
    struct weir_server *server = NULL;
    int rc = excuse(NULL, weir_start_server(talk_echo, NULL, "127.0.0.1", 0, NULL, &server),
                    "start_server");
    if (rc < 0)
        return NULL;
    weir_sim_check(scene.port == 0 || scene.port == weir_server_port(server));
    scene.port = weir_server_port(server);
    team.serving++;
    return server;
}

/* The first to come here sees to it that nothing fails any more. */
static void be_served(void)
{
    weir_sim_calm();
    int rc = -1;
    for (unsigned tries = 0; rc < 0 && tries < 10; tries++) {
        rc = talk_client(scene_talk());
        if (rc < 0)
            weir_sleep(WEIR_SECOND);
    }
    if (rc < 0)
        weir_sim_fail("not served although nothing fails any more: %s", weir_strerror(rc));
}

int scenario_threads(void *argument)
{
    arrive(*(const unsigned *)argument);
    struct weir_server *server = serve();
    meet(0);
    if (team.serving > 0)
        scene_clients(1 + weir_sim_choose(4, "how many clients"));
    scene_patiently(work_together, NULL);
    meet(1);
    if (team.serving > 0)
        be_served();
    meet(2);
    scene.over = true;
    int rc = weir_server_shutdown(server, 10 * WEIR_SECOND);
    weir_sim_check(rc == 0 || (rc == -ETIMEDOUT && weir_sim_faults() > 0));
    while (team.delivered < team.sent)
        weir_sleep(WEIR_MILLISECOND);
    meet(3);
    scene_check();
    if (--team.arrived == 0) /* the last one */
        weir_sim_check(team.delivered == team.sent && team.returned == team.called);
    return 0;
}
