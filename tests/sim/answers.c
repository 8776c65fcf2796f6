/* Servers that answer and close at once, without waiting for the client to end: the answer arrives
 * whole, though the close is right behind it; or nobody wants to hear it. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { LONGEST_ANSWER = 15 * 1000 };

/* The close follows in the turn of the last write, or comes by itself when the handler returns. */
static void answer(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    char data[LONGEST];
    size_t total = weir_sim_choose(LONGEST_ANSWER, "how long an answer is");
    int rc = 0;
    while (rc == 0 && total > 0) {
        size_t size = 1 + weir_sim_choose(sizeof data, "how much to write");
        size = size < total ? size : total;
        flow_fill(end.out, end.out->written, data, size);
        rc = weir_write(writer, data, size);
        end.out->written += rc == 0 ? size : 0;
        total -= size;
    }
    excuse(end.out, rc, "answer");
    if (rc < 0)
        end.out->write_error = rc;
    else
        end.out->ended = true;
    weir_close(writer);
    if (weir_sim_choose(2, "whether to wait for the close") == 1)
        end_close(&end);
    else
        end.out->unwatched = true;
}

/* Some do not want to hear it, and leave. */
static int ask(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    bool leaves = weir_sim_choose(2, "whether it leaves early") == 1;
    struct weir_connect_options options = { .limit = some_limit() };
    if (nap(10, "when a client comes") < 0)
        return -ECANCELED;
    int rc = talk_connect(talk, &end, &options);
    if (rc < 0)
        return rc;
    talk->up.disturbed = true; /* which nobody ends */
    end.slow = weir_sim_choose(5, "how slow a client is");
    if (leaves) {
        end_break(&end);
        weir_pause_reading(end.reader);
        rc = nap(30, "when it leaves");
        if (weir_sim_choose(2, "how it leaves") == 1)
            weir_abort(end.writer);
    } else {
        rc = end_read_all(&end);
    }
    if (rc < 0) {
        end_break(&end);
        weir_abort(end.writer);
    }
    int closed = end_close(&end);
    return rc < 0 ? rc : leaves ? 0 : closed;
}

int scenario_answers(void *unused)
{
    (void)unused;
    scene_begin(ask);
    scene.strangers = true; /* who leaves at once may not even have greeted */
    if (scene_serve(answer, NULL) < 0)
        return 0;
    scene_clients(4 + weir_sim_choose(12, "how many clients"));
    return scene_end();
}

/* ---- Unheard --------------------------------------------------------------------------------- */

/* Much of an answer waits for a client that does not listen, with the close behind it, when the
 * client leaves. Again and again, so that each step of that meets each of what may happen. */
static bool heard;

static void answer_much(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    static const char zeros[64 * 1024];
    struct weir_slice line;
    if (heard) {
        talk_echo(reader, writer, unused);
        return;
    }
    if (weir_readline(reader, &line) <= 0)
        return;
    unsigned parts = 1 + weir_sim_choose(3, "how long an answer is");
    while (parts-- > 0 && weir_write(writer, zeros, sizeof zeros) == 0)
        continue;
    weir_close(writer);
    if (weir_sim_choose(4, "whether the server loses patience") == 3) {
        nap(10, "when it does");
        weir_abort(writer);
    }
}

static int leave_unheard(struct weir_reader *reader, struct weir_writer *writer)
{
    weir_pause_reading(reader);
    int rc = weir_write(writer, "?\n", 2);
    if (rc == 0)
        rc = nap(20, "when it leaves");
    if (weir_sim_choose(2, "how it leaves") == 1)
        weir_abort(writer);
    weir_wait_closed(writer);
    return rc;
}

static int ask_in_vain(void *unused)
{
    static const struct weir_connect_options small = { .limit = 100 };
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = 0;
    (void)unused;
    for (unsigned i = weir_sim_choose(20, "how often to ask"); i > 0 && rc != -ECANCELED; i--) {
        rc = weir_open_connection(scene.host, scene.port, &small, &reader, &writer);
        if (rc == 0)
            rc = leave_unheard(reader, writer);
        else if (rc != -ECANCELED)
            excuse(NULL, rc, "connect");
    }
    return 0;
}

static int ask_all_in_vain(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    for (unsigned count = 4 + weir_sim_choose(5, "how many clients"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, ask_in_vain, NULL), "group_start");
    return weir_group_wait(&group);
}

int scenario_unheard(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.strangers = true;
    heard = false;
    if (scene_serve(answer_much, NULL) < 0)
        return 0;
    scene_patiently(ask_all_in_vain, NULL);
    heard = true;
    return scene_end();
}
