/* A task that goes on without ever waiting: others are heard nevertheless. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { TURNS = 2 * 1000 * 1000 };

struct question {
    struct weir_reader *reader;
    bool answered;
};

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    (void)unused;
    while (weir_read(reader, LONGEST, &data) > 0)
        weir_write_slice(writer, data);
}

static int hear(void *argument)
{
    struct question *question = argument;
    struct weir_slice line;
    weir_sim_check(weir_readline(question->reader, &line) == 6);
    question->answered = true;
    return 0;
}

/* By yielding, or by waits that need not wait, of which some yield. */
static void go_on(struct weir_event *set)
{
    if (set != NULL)
        weir_sim_check(weir_event_wait(set) == 0);
    else
        weir_yield();
}

int scenario_restless(void *unused)
{
    struct weir_server *server;
    struct weir_writer *writer;
    struct question question = { NULL, false };
    struct weir_group group = { 0 };
    struct weir_timeout timeout;
    struct weir_event event = { 0 }, *set = NULL;
    (void)unused;
    weir_event_set(&event);
    if (weir_sim_choose(2, "how it goes on") == 1)
        set = &event;
    weir_sim_check(weir_start_server(echo, NULL, "127.0.0.1", 7000, NULL, &server) == 0);
    weir_sim_check(weir_open_connection("127.0.0.1", 7000, NULL, &question.reader, &writer) == 0);
    weir_sim_check(weir_group_start(&group, hear, &question) == 0);
    weir_sim_check(weir_sleep(WEIR_MILLISECOND) == 0);
    weir_sim_check(weir_write(writer, "hello\n", 6) == 0);
    weir_timeout_start(&timeout, 60 * WEIR_SECOND); /* so that each turn looks at the clock */
    for (unsigned turns = 0; !question.answered; turns++) {
        weir_sim_check(turns < TURNS);
        go_on(set);
    }
    weir_timeout_stop(&timeout, 0);
    weir_sim_check(weir_group_wait(&group) == 0);
    weir_sim_check(weir_wait_closed(writer) == 0);
    weir_sim_check(weir_server_shutdown(server, WEIR_SECOND) == 0);
    return 0;
}
