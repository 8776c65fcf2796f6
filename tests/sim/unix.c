/* Unix sockets: a path or an abstract name, stale files, and files that go with their server. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* A client that is cancelled may close without ever reading what comes back: an echo would wait for
 * it, and nobody else would be let in. */
static int serve(const struct weir_server_options *options)
{
    bool capped = options != NULL && options->max_connections > 0;
    weir_client_connected_fn *handler = capped ? talk_exchange : talk_echo;
    int rc = -1;
    for (unsigned tries = 0; rc < 0 && tries < 5; tries++) {
        rc = excuse(NULL, weir_start_unix_server(handler, NULL, scene.path, options, &scene.server),
                    "start_unix_server");
        if (rc < 0)
            weir_sleep(50 * WEIR_MILLISECOND);
    }
    if (rc < 0)
        scene_leave();
    return rc;
}

/* A server that leaves its file behind, as one that was killed. */
static int leave_stale_file(void)
{
    static const struct weir_server_options keep = { .keep_socket_file = true };
    int rc = serve(&keep);
    if (rc < 0)
        return rc;
    weir_server_close(scene.server);
    return weir_server_wait_closed(scene.server);
}

/* Where somebody listens, nobody else can. */
static void try_second_server(void)
{
    struct weir_server *second;
    int rc = weir_start_unix_server(talk_echo, NULL, scene.path, NULL, &second);
    weir_sim_check(rc < 0);
    weir_sim_check(rc == -EADDRINUSE || weir_sim_faults() > 0);
}

/* While the first server is busy, and may have no room for who asks whether it is there. */
static int client_or_rival(void *talk)
{
    if (weir_sim_choose(4, "whether it is a rival") < 3)
        return talk_client(talk);
    if (nap(20, "when a rival comes") == 0)
        try_second_server();
    return 0;
}

/* Its server has closed: it is as if it had never been. */
static void try_without_server(bool abstract)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_unix_connection(scene.path, NULL, &reader, &writer);
    weir_sim_check(rc == -ENOENT || rc == -ECONNREFUSED);
    if (weir_sim_faults() == 0)
        weir_sim_check(rc == (abstract ? -ECONNREFUSED : -ENOENT));
}

int scenario_unix(void *unused)
{
    bool abstract = weir_sim_choose(2, "abstract") == 1;
    (void)unused;
    scene_begin(talk_client);
    scene.strangers = true; /* who wants its address looks whether somebody answers there */
    scene.path = abstract ? "@weir-sim" : "/tmp/weir-sim.sock";
    if (weir_sim_choose(2, "stale file") == 1 && leave_stale_file() < 0)
        return 0;
    struct weir_server_options options = { .limit = some_limit(),
                                           .backlog = weir_sim_choose(3, "backlog"),
                                           .max_connections = weir_sim_choose(3, "how many") };
    if (serve(&options) < 0)
        return 0;
    try_second_server();
    scene.client = client_or_rival;
    scene_clients(1 + weir_sim_choose(12, "how many clients"));
    scene.client = talk_client;
    scene_recover();
    scene_close();
    try_without_server(abstract);
    scene_check();
    return 0;
}

/* ---- A path that somebody else has taken ----------------------------------------------------- */

static void close_server(struct weir_server *server)
{
    weir_server_close(server);
    weir_sim_check(weir_server_wait_closed(server) == 0);
}

/* A server that does not listen yet looks like one that is gone: another takes its path, and keeps
 * it when the first goes. */
int scenario_replaced(void *unused)
{
    static const struct weir_server_options idle = { .no_start_serving = true };
    struct weir_server *first;
    (void)unused;
    scene_begin(talk_client);
    scene.strangers = true;
    scene.path = "/tmp/weir-sim.sock";
    int rc = weir_start_unix_server(talk_echo, NULL, scene.path, &idle, &first);
    if (excuse(NULL, rc, "start_unix_server") < 0) {
        scene_leave();
        return 0;
    }
    rc = serve(NULL);
    close_server(first);
    if (rc < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    return scene_end();
}
