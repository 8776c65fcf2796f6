/* The beginning and the end of a scenario. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>

struct scene scene;

/* ---- The beginning --------------------------------------------------------------------------- */

/* What fails for ever would keep a scenario for ever: after some minutes nothing fails any more. */
static _Thread_local struct {
    struct weir_group group;
    bool started;
} guard;

static int guard_task(void *unused)
{
    (void)unused;
    for (unsigned minutes = 0; minutes < 6 || weir_sim_faults() == 0; minutes++) {
        int rc = weir_sleep(60 * WEIR_SECOND);
        if (rc < 0)
            return 0;
    }
    weir_sim_calm();
    return 0;
}

static void start_guard(void)
{
    memset(&guard, 0, sizeof guard);
    for (unsigned tries = 0; !guard.started; tries++) {
        int rc = excuse(NULL, weir_group_start(&guard.group, guard_task, NULL), "group_start");
        guard.started = rc == 0;
        if (rc < 0 && tries == 3)
            weir_sim_calm();
    }
}

void scene_begin(weir_task_fn *client)
{
    start_guard();
    memset(&scene, 0, sizeof scene);
    scene.client = client;
    scene.most = 30 * 1000;
    for (unsigned i = 0; i < TALKS; i++) {
        scene.talks[i].id = i;
        scene.talks[i].up.id = 2 * i;
        scene.talks[i].down.id = 2 * i + 1;
    }
}

struct talk *scene_talk(void)
{
    weir_sim_check(scene.begun < TALKS);
    return &scene.talks[scene.begun++];
}

static int serve(weir_client_connected_fn *handler, const char *host, uint16_t port,
                 const struct weir_server_options *options)
{
    int rc = 0;
    for (unsigned tries = 0; tries < 5; tries++) {
        rc = weir_start_server(handler, NULL, host, port, options, &scene.server);
        if (rc == 0) {
            scene.port = weir_server_port(scene.server);
            return 0;
        }
        excuse(NULL, rc, "start_server");
        weir_sleep(50 * WEIR_MILLISECOND);
    }
    scene_leave();
    return rc;
}

int scene_serve(weir_client_connected_fn *handler, const struct weir_server_options *options)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", "localhost", NULL };
    unsigned where = weir_sim_choose(4, "where to serve");
    scene.host = hosts[where];
    if (where >= 2) /* several addresses are raced: who comes second leaves without a word */
        scene.strangers = true;
    scene.both = where >= 2;
    return serve(handler, hosts[where], where < 2 ? 0 : 7000, options);
}

int scene_serve_everywhere(void)
{
    scene.host = "localhost";
    scene.strangers = scene.both = true;
    return serve(talk_echo, NULL, 7000, NULL);
}

size_t some_limit(void)
{
    return weir_sim_choose(2, "whether a limit is small") == 1
               ? 16 + weir_sim_choose(3000, "small limit")
               : 0;
}

void some_marks(struct weir_writer *writer)
{
    if (weir_sim_choose(2, "whether marks are low") == 0)
        return;
    size_t high = weir_sim_choose(5000, "high mark");
    weir_sim_check(weir_set_write_buffer_limits(writer, high, high / 3) == 0);
}

int scene_start(struct weir_group *group, weir_task_fn *run, void *argument)
{
    int rc = -1;
    for (unsigned tries = 0; rc < 0 && tries < 3; tries++)
        rc = excuse(NULL, weir_group_start(group, run, argument), "group_start");
    return rc;
}

/* ---- Clients --------------------------------------------------------------------------------- */

struct attempt {
    weir_task_fn *run;
    void *argument;
    struct weir_event ended;
    bool done;
    int result;
};

static int attempt_task(void *argument)
{
    struct attempt *attempt = argument;
    attempt->result = attempt->run(attempt->argument);
    attempt->done = true;
    weir_event_set(&attempt->ended);
    return 0;
}

/* A peer may stall for ever, but only by a fault: without any, what hangs is not hidden here. And
 * one call that has failed is the matter of one task: all others must get through. */
static bool may_hang(unsigned minutes)
{
    if (weir_sim_faults() == 1 && weir_sim_stalls() == 0) {
        if (minutes > 60)
            weir_sim_fail("after one fault, and no stall, somebody waits for ever");
        return false;
    }
    return minutes > 3 && weir_sim_faults() > 0;
}

int scene_patiently(weir_task_fn *run, void *argument)
{
    struct attempt attempt = { .run = run, .argument = argument, .result = -ECANCELED };
    struct weir_group group = { 0 };
    int rc = excuse(NULL, weir_group_start(&group, attempt_task, &attempt), "group_start");
    if (rc < 0)
        return rc;
    for (unsigned minutes = 1; !attempt.done; minutes++) {
        struct weir_timeout timeout;
        weir_timeout_start(&timeout, 60 * WEIR_SECOND);
        rc = (int)weir_timeout_stop(&timeout, weir_event_wait(&attempt.ended));
        weir_sim_check(rc == 0 || rc == -ETIMEDOUT);
        if (may_hang(minutes))
            weir_group_cancel(&group);
    }
    weir_sim_check(weir_group_wait(&group) == 0);
    return attempt.result;
}

static int ordinary_client(void *talk)
{
    scene.client(talk);
    return 0; /* its failure is not the others' */
}

static int all_clients(void *argument)
{
    unsigned count = *(unsigned *)argument;
    struct weir_group group = { 0 };
    for (unsigned i = 0; i < count; i++)
        scene_start(&group, ordinary_client, scene_talk());
    return weir_group_wait(&group);
}

void scene_clients(unsigned count)
{
    scene_patiently(all_clients, &count);
}

/* ---- The end --------------------------------------------------------------------------------- */

void scene_recover(void)
{
    weir_sim_calm();
    int rc = -1;
    int64_t begun = weir_sim_now();
    for (unsigned tries = 0; rc < 0 && tries < 10; tries++) {
        if (tries > 0)
            weir_sleep(WEIR_SECOND);
        rc = scene.client(scene_talk());
    }
    if (rc < 0)
        weir_sim_fail("not served although nothing fails any more: %s", weir_strerror(rc));
    int64_t took = weir_sim_now() - begun;
    if (took > 60 * WEIR_SECOND)
        weir_sim_fail("served only after %d s", (int)(took / WEIR_SECOND));
}

void scene_empty(void)
{
    struct weir_metrics now;
    int64_t begun = weir_sim_now();
    do {
        weir_sleep(10 * WEIR_MILLISECOND);
        weir_get_metrics(&now);
    } while (now.streams_open > 0 && weir_sim_now() - begun < 300 * WEIR_SECOND);
    weir_sim_check(now.streams_open == 0);
}

/* By now all clients have gone, so nobody's time is cut short, unless by a fault. */
void scene_close(void)
{
    scene.over = true;
    uint64_t faults = weir_sim_faults();
    int64_t begun = weir_sim_now();
    int rc = weir_server_shutdown(scene.server, 10 * WEIR_SECOND);
    weir_sim_check(rc == 0 || (rc == -ETIMEDOUT && faults > 0));
    weir_sim_check(weir_sim_now() - begun <= 20 * WEIR_SECOND);
    scene.server = NULL;
}

void scene_leave(void)
{
    if (!guard.started)
        return;
    guard.started = false;
    weir_group_cancel(&guard.group);
    weir_sim_check(weir_group_wait(&guard.group) == 0);
}

/* What a cancelled task left closes behind it; and a handler may outlive its stream, as a server
 * waits for streams only. */
void scene_check(void)
{
    struct weir_metrics now;
    for (unsigned turns = 0; turns < 250; turns++) { /* five minutes: a slow name takes one */
        weir_get_metrics(&now);
        if (now.streams_open == 0 && now.segments_open == 0 && scene.handlers == 0)
            break;
        weir_sleep(turns * 10 * WEIR_MILLISECOND);
    }
    weir_get_metrics(&now);
    weir_sim_check(now.streams_open == 0);
    weir_sim_check(now.streams_parked == 0);
    weir_sim_check(now.segments_open == 0);
    weir_sim_check(scene.handlers == 0);
    scene_leave();
    for (unsigned i = 0; i < TALKS; i++) {
        flow_finish(&scene.talks[i].up);
        flow_finish(&scene.talks[i].down);
    }
}

int scene_end(void)
{
    scene_recover();
    scene_close();
    scene_check();
    return 0;
}
