/* Who asks is answered at once, and who comes first is served first: in worlds in which nothing
 * fails, and nothing is late but by weir's doing. */
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
    int64_t asked = weir_sim_now();
    weir_sim_check(ask(reader, writer) == 9);
    if (weir_sim_now() - asked > WEIR_SECOND)
        weir_sim_fail("an answer took %d ms", (int)((weir_sim_now() - asked) / WEIR_MILLISECOND));
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

/* A client says which it is, in the order in which they have connected. */
static void serve_slowly(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice number;
    (void)unused;
    if (weir_readexactly(reader, 1, &number) != 1)
        return;
    if ((unsigned char)number.data[0] != served)
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
    char number = (char)(uintptr_t)argument;
    weir_sleep((uintptr_t)argument * WEIR_MILLISECOND);
    weir_sim_check(weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer) == 0);
    weir_sim_check(weir_write(writer, &number, 1) == 0);
    weir_sim_check(weir_readexactly(reader, 1, &answer) == 1);
    return weir_wait_closed(writer);
}

int scenario_in_line(void *unused)
{
    struct weir_server *server;
    struct weir_group group = { 0 };
    struct weir_server_options options = { .max_connections = 1, .backlog = CLIENTS };
    (void)unused;
    served = 0;
    weir_sim_check(weir_start_server(serve_slowly, NULL, "127.0.0.1", 7000, &options, &server) ==
                   0);
    for (uintptr_t i = 0; i < CLIENTS; i++)
        weir_sim_check(weir_group_start(&group, wait_in_line, (void *)i) == 0);
    weir_sim_check(weir_group_wait(&group) == 0);
    weir_sim_check(served == CLIENTS);
    weir_sim_check(weir_server_shutdown(server, WEIR_SECOND) == 0);
    return 0;
}
