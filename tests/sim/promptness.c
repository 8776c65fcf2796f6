/* Who asks is answered at once, and who comes first is served first: in worlds in which nothing
 * fails, and nothing is late but by weir's doing. And whatever fails, nobody is forgotten. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

static int ask(struct weir_reader *reader, struct weir_writer *writer)
{
    struct weir_slice line;
    weir_sim_check(weir_write(writer, "question\n", 9) == 0);
    return (int)weir_readline(reader, &line);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void answer(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice line;
    (void)unused;
    while (weir_readline(reader, &line) > 0)
        weir_write_slice(writer, line);
}

int scenario_prompt(void *unused)
{
    struct weir_server *server;
    struct weir_reader *reader;
    struct weir_writer *writer;
    (void)unused;
    weir_sim_check(weir_start_server(answer, NULL, "127.0.0.1", 7000, NULL, &server) == 0);
    weir_sim_check(weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer) == 0);
    for (unsigned count = 1 + weir_sim_choose(20, "how many questions"); count > 0; count--) {
        int64_t asked = weir_sim_now();
        weir_sim_check(ask(reader, writer) == 9);
        int64_t took = weir_sim_now() - asked;
        if (took > 10 * WEIR_MILLISECOND)
            weir_sim_fail("an answer took %d ms", (int)(took / WEIR_MILLISECOND));
    }
    weir_sim_check(weir_wait_closed(writer) == 0);
    weir_sim_check(weir_server_shutdown(server, WEIR_SECOND) == 0);
    return 0;
}

/* Many who are let in at once, for fewer buffers, and most of them say nothing: who does is heard. */
static int talk_or_not(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    (void)unused;
    weir_sim_check(weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer) == 0);
    if (weir_sim_choose(3, "whether it speaks") > 0)
        weir_sleep(10 * WEIR_SECOND);
    for (unsigned count = 1 + weir_sim_choose(4, "how many questions"); count > 0; count--) {
        int64_t asked = weir_sim_now();
        weir_sim_check(ask(reader, writer) == 9);
        int64_t took = weir_sim_now() - asked;
        if (took > WEIR_SECOND)
            weir_sim_fail("an answer took %d ms", (int)(took / WEIR_MILLISECOND));
    }
    return weir_wait_closed(writer);
}

int scenario_crowded(void *unused)
{
    struct weir_server *server;
    struct weir_group group = { 0 };
    (void)unused;
    weir_sim_check(weir_start_server(answer, NULL, "127.0.0.1", 7000, NULL, &server) == 0);
    for (unsigned rounds = 6; rounds > 0; rounds--) {
        for (unsigned count = 24 + weir_sim_choose(60, "how many clients"); count > 0; count--)
            weir_sim_check(weir_group_start(&group, talk_or_not, NULL) == 0);
        weir_sim_check(weir_group_wait(&group) == 0);
    }
    weir_sim_check(weir_server_shutdown(server, WEIR_SECOND) == 0);
    return 0;
}

/* ---- In line --------------------------------------------------------------------------------- */

enum { CLIENTS = 12 };

static unsigned served;
static bool ordered;                   /* nothing is late in this world, and there is one door */
static const char *doors[CLIENTS + 1]; /* one for each client, or one for all */

/* A client says which it is, in the order in which they have connected. */
static void serve_slowly(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice number;
    (void)unused;
    if (weir_readexactly(reader, 1, &number) != 1)
        return;
    if (ordered && (unsigned char)number.data[0] != served)
        weir_sim_fail("client %u is served as number %u", (unsigned char)number.data[0], served);
    served++;
    weir_sleep(weir_sim_choose(5, "how long a client is served") * WEIR_MILLISECOND);
    weir_write(writer, "x", 1);
}

static int wait_in_line(void *argument)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice answer;
    uintptr_t which = (uintptr_t)argument;
    char number = (char)which;
    if (ordered)
        weir_sleep((int64_t)which * WEIR_MILLISECOND);
    const char *door = doors[1] == NULL ? doors[0] : doors[which];
    int rc = weir_open_connection(door, 7000, NULL, &reader, &writer);
    if (rc < 0)
        return excuse(NULL, rc, "connect");
    rc = weir_write(writer, &number, 1);
    ssize_t n = rc < 0 ? rc : weir_readexactly(reader, 1, &answer);
    weir_sim_check(n == 1 || weir_sim_faults() > 0);
    excuse(NULL, weir_wait_closed(writer), "wait_closed");
    return 0;
}

static int line_up(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    for (unsigned rounds = ordered ? 1 : 4; rounds > 0; rounds--) {
        for (uintptr_t i = 0; i < CLIENTS; i++)
            excuse(NULL, weir_group_start(&group, wait_in_line, (void *)i), "group_start");
        weir_group_wait(&group);
    }
    return 0;
}

/* Who comes first is served first, at one door; at many each lets one in at a time, who may have to
 * wait inside, and all are served. */
int scenario_in_line(void *argument)
{
    static const char *const all[] = { "127.0.0.1", "127.0.0.2",  "127.0.0.3",  "127.0.0.4",
                                       "127.0.0.5", "127.0.0.6",  "127.0.0.7",  "127.0.0.8",
                                       "127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.12" };
    struct weir_server_options options = { .max_connections = 1,
                                           .backlog = CLIENTS,
                                           .hosts = doors };
    scene_begin(NULL);
    served = 0;
    memset(doors, 0, sizeof doors);
    memcpy(doors, all, weir_sim_choose(4, "whether many doors") == 0 ? sizeof all[0] : sizeof all);
    ordered = argument != NULL && doors[1] == NULL;
    int rc = weir_start_server(serve_slowly, NULL, NULL, 7000, &options, &scene.server);
    if (excuse(NULL, rc, "start_server") < 0) {
        scene_leave();
        return 0;
    }
    scene_patiently(line_up, NULL);
    weir_sim_check(served % CLIENTS == 0 || weir_sim_faults() > 0);
    weir_sim_calm();
    scene_close();
    scene_check();
    return 0;
}
