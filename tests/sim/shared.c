/* A Unix server in several loops, which share one listening socket, and go one after the other. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { LOOPS = 4, STAGES = 3 };

static struct {
    unsigned count, arrived; /* loops */
    unsigned met[STAGES];
    bool lacking; /* one has no server */
    bool keeps;   /* the file of the socket */
    struct member {
        struct weir_server *server;
        bool closing, closed;  /* now; for some time */
        unsigned called, last; /* with so many clients it closes */
    } members[LOOPS];
} team;

static void meet(unsigned stage)
{
    team.met[stage]++;
    for (unsigned turns = 0; team.met[stage] < team.count; turns++) {
        weir_sleep(10 * WEIR_MILLISECOND);
        if (stage == 0 && turns > 2000 && weir_sim_faults() > 0) {
            team.count = team.met[stage];
            team.lacking = true;
        }
    }
}

/* ---- Clients: any loop may serve them --------------------------------------------------------- */

static void greet(struct weir_reader *reader, struct weir_writer *writer, void *member)
{
    struct weir_slice line;
    weir_sim_check(!((struct member *)member)->closed);
    ssize_t n = weir_readline(reader, &line);
    if (n > 0)
        weir_write_slice(writer, line);
    nap(5, "how long a handler takes");
    weir_wait_closed(writer);
}

static void close_one(struct member *member)
{
    scene.over = member->closing = true;
    weir_server_close(member->server);
    if (weir_yield() == 0) /* whom it had let in has been seen by now */
        member->closed = true;
}

/* Somebody does, and has all the time. */
static bool somebody_serves(void)
{
    bool open = false;
    for (unsigned i = 0; i < team.count; i++)
        open |= !team.members[i].closing;
    return open && !team.lacking;
}

/* Its line comes back, or the servers have gone meanwhile. */
static int call(void *argument)
{
    struct member *member = argument;
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice line;
    if (nap(20, "when a client comes") < 0)
        return 0;
    int rc = weir_open_unix_connection(scene.path, NULL, &reader, &writer);
    if (rc < 0 && rc != -ECANCELED && somebody_serves())
        excuse(NULL, rc, "connect");
    if (rc < 0)
        return 0;
    if (++member->called == member->last)
        close_one(member);
    ssize_t n = weir_write(writer, "hello\n", 6);
    if (n == 0)
        n = weir_readline(reader, &line);
    if (n > 0)
        weir_sim_check(memcmp(line.data, "hello\n", (size_t)n) == 0);
    if (n < 6 && n != -ECANCELED && !scene.over)
        weir_sim_check(weir_sim_faults() > 0);
    weir_wait_closed(writer);
    return 0;
}

static int call_many(void *member)
{
    struct weir_group group = { 0 };
    for (unsigned count = 1 + weir_sim_choose(8, "how many clients"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, call, member), "group_start");
    return weir_group_wait(&group);
}

/* ---- A loop ---------------------------------------------------------------------------------- */

/* All have closed: whether a file is left or not, nobody is there. */
static void call_nobody(void)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_unix_connection(scene.path, NULL, &reader, &writer);
    if (rc == 0)
        weir_wait_closed(writer);
    if (rc == 0 && !team.lacking)
        weir_sim_fail("somebody still listens");
    weir_sim_check(rc == 0 || rc == -ECONNREFUSED || rc == -ENOENT || weir_sim_faults() > 0);
    if (!team.keeps && scene.path[0] != '@')
        weir_sim_check(rc == -ENOENT || weir_sim_faults() > 0);
}

static unsigned arrive(unsigned count)
{
    if (team.arrived == 0) {
        memset(&team, 0, sizeof team);
        scene_begin(NULL);
        scene.path = weir_sim_choose(2, "abstract") == 1 ? "@weir-sim" : "/tmp/weir-sim.sock";
        team.count = count;
        team.keeps = weir_sim_choose(2, "whether the file stays") == 1;
    }
    return team.arrived++;
}

int scenario_shared(void *argument)
{
    unsigned index = arrive(*(const unsigned *)argument);
    struct member *member = &team.members[index];
    struct weir_server_options options = { .keep_socket_file = team.keeps,
                                           .max_connections = weir_sim_choose(3, "how many") };
    member->last = weir_sim_choose(8, "with how many clients it closes");
    int rc =
        excuse(NULL, weir_start_unix_server(greet, member, scene.path, &options, &member->server),
               "start_unix_server");
    team.lacking |= rc < 0;
    meet(0);
    scene_patiently(call_many, member);
    close_one(member);
    rc = weir_server_shutdown(member->server, 10 * WEIR_SECOND);
    weir_sim_check(rc == 0 || weir_sim_faults() > 0);
    meet(1);
    if (index == 0)
        weir_sim_calm();
    call_nobody();
    meet(2);
    scene_check();
    team.arrived--;
    return 0;
}
