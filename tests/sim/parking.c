/* Parked clients. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

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

/* ---- What the parked take -------------------------------------------------------------------- */

enum { QUIET = 6 };

static unsigned answered;

static void echo_and_park(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    ssize_t n = weir_read(reader, LONGEST, &data);
    if (n <= 0)
        return;
    weir_sim_check(weir_write(writer, data.data, data.size) == 0);
    weir_sim_check(weir_park(writer, echo_and_park, unused) == 0);
}

static void quiet_peer(void *unused)
{
    char data[500] = "";
    int fd = weir_sim_connect("127.0.0.1", 7000);
    (void)unused;
    weir_sim_check(fd >= 0);
    size_t size = 1 + weir_sim_choose(sizeof data, "how much it says");
    weir_sim_check(weir_sim_send(fd, data, size) == (ssize_t)size);
    while (size > 0) {
        ssize_t n = weir_sim_receive(fd, data, size);
        weir_sim_check(n > 0);
        size -= (size_t)n;
    }
    answered++;
    weir_sim_sleep(10 * WEIR_SECOND);
    weir_sim_close(fd);
}

/* A parked stream holds neither a task nor a buffer. */
int scenario_parked_lightly(void *unused)
{
    struct weir_server *server;
    struct weir_metrics now;
    (void)unused;
    answered = 0;
    weir_sim_check(weir_start_server(echo_and_park, NULL, "127.0.0.1", 7000, NULL, &server) == 0);
    unsigned count = 1 + weir_sim_choose(QUIET, "how many peers");
    for (unsigned i = 0; i < count; i++)
        weir_sim_check(weir_sim_thread(quiet_peer, NULL) == 0);
    while (answered < count)
        weir_sleep(10 * WEIR_MILLISECOND);
    weir_sleep(WEIR_SECOND);
    weir_get_metrics(&now);
    weir_sim_check(now.streams_parked == count);
    weir_sim_check(now.tasks_open == 1);
    weir_sim_check(now.segments_open == 0);
    return weir_server_shutdown(server, 20 * WEIR_SECOND);
}
