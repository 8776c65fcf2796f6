/* What passes through: client - weir_forward - origin, both ways at once, by turns, and with an
 * origin that does not read. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

static struct {
    struct weir_server *origin;
    const char *host;
    uint16_t port;
    size_t limit; /* of the proxy's readers */
    bool watched; /* how much waits in the proxy */
} behind;

struct half {
    struct weir_reader *from;
    struct weir_writer *to;
    int64_t moved;
    bool over;
};

struct halves {
    struct half up, down;
};

/* ---- The proxy ------------------------------------------------------------------------------- */

/* A success says that the source has ended, and not failed. */
static int forward(void *argument)
{
    struct half *half = argument;
    half->moved = weir_forward(half->from, half->to);
    half->over = true;
    weir_sim_check(half->moved < 0 || weir_exception(half->from) == 0);
    return half->moved < 0 ? (int)half->moved : 0;
}

/* What waits is bounded: by the mark, and what the source was allowed to read ahead by then, with
 * what was on its way through the loop's buffers. */
static void check_queue(const struct half *half)
{
    enum { POOL = 64 * 1024 };
    size_t high, low;
    weir_get_write_buffer_limits(half->to, &high, &low);
    size_t queued = weir_get_write_buffer_size(half->to);
    if (queued > high + 2 * behind.limit + 3 * POOL)
        weir_sim_fail("%zu bytes wait to be forwarded: limit %zu, high mark %zu", queued,
                      behind.limit, high);
}

static int watch(void *argument)
{
    const struct halves *halves = argument;
    int rc = 0;
    while (rc == 0 && !(halves->up.over && halves->down.over)) {
        check_queue(&halves->up);
        check_queue(&halves->down);
        rc = weir_sleep(20 * WEIR_MILLISECOND);
    }
    return 0;
}

static int forward_both_ways(struct halves *halves)
{
    struct weir_group group = { 0 };
    int rc = weir_group_start(&group, forward, &halves->up);
    if (rc == 0)
        rc = weir_group_start(&group, forward, &halves->down);
    if (rc == 0 && behind.watched)
        rc = weir_group_start(&group, watch, halves);
    if (rc < 0)
        weir_group_cancel(&group);
    int result = weir_group_wait(&group);
    return rc < 0 ? rc : result;
}

/* When one half fails, both connections end; those at the far ends may see a plain end of what was
 * broken off, so that nothing can be promised of this talk any more. */
static void pass_on(struct end *client, struct end *origin)
{
    struct halves halves = { .up = { client->reader, origin->writer, 0, false },
                             .down = { origin->reader, client->writer, 0, false } };
    int rc = forward_both_ways(&halves);
    if (rc == 0 && weir_sim_faults() == 0) {
        weir_sim_check((size_t)halves.up.moved == client->in->written);
        weir_sim_check((size_t)halves.down.moved == client->out->written);
    }
    if (rc == 0)
        return;
    excuse(client->in, rc, "forward");
    end_break(client);
    weir_abort(client->writer);
    weir_abort(origin->writer);
}

static void proxy(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end client, origin = { 0 };
    struct talk *talk;
    char greeting[16];
    struct weir_connect_options options = { .limit = behind.limit };
    (void)unused;
    if (talk_accept(reader, writer, &client, &talk) < 0)
        return;
    int rc = excuse(
        client.in,
        weir_open_connection(behind.host, behind.port, &options, &origin.reader, &origin.writer),
        "connect to the origin");
    int size = snprintf(greeting, sizeof greeting, "talk %u\n", talk->id);
    origin.in = &talk->down;
    origin.out = &talk->up;
    if (rc == 0)
        rc = end_put(&origin, greeting, (size_t)size);
    if (rc == 0)
        pass_on(&client, &origin);
    else
        end_break(&client);
    /* A failure that only this close tells of has broken the talk, too. */
    if (weir_wait_closed(origin.writer) < 0)
        end_break(&client);
    if (weir_wait_closed(writer) < 0)
        end_break(&client);
}

/* ---- A world with one ------------------------------------------------------------------------ */

static int start_both(weir_client_connected_fn *handler, size_t limit)
{
    struct weir_server_options options = { .limit = limit };
    memset(&behind, 0, sizeof behind);
    int rc = scene_serve(handler, NULL);
    if (rc < 0)
        return rc;
    behind.origin = scene.server;
    behind.host = scene.host;
    behind.port = scene.port;
    behind.limit = limit;
    rc = -1;
    for (unsigned tries = 0; rc < 0 && tries < 5; tries++)
        rc = excuse(NULL, weir_start_server(proxy, NULL, "127.0.0.2", 0, &options, &scene.server),
                    "start_server");
    if (rc < 0) {
        scene_leave();
        return rc;
    }
    scene.both = false;
    scene.host = "127.0.0.2";
    scene.port = weir_server_port(scene.server);
    return 0;
}

static int end_both(void)
{
    scene_recover();
    scene_close();
    scene.server = behind.origin;
    scene_close();
    scene_check();
    return 0;
}

int scenario_proxy(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.most = 60 * 1000;
    if (start_both(talk_exchange, 0) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(4, "how many clients"));
    return end_both();
}

/* ---- By turns: the end of one direction is what the other waits for -------------------------- */

static int say_all(struct end *end)
{
    size_t left = weir_sim_choose(20 * 1000, "how much to say");
    int rc = 0;
    for (size_t part; rc == 0 && left > 0; left -= part) {
        part = left < LONGEST ? left : LONGEST;
        rc = end_write(end, part);
    }
    return rc == 0 ? end_finish(end) : rc;
}

static int end_turn(struct end *end, int rc)
{
    if (rc < 0) {
        end_break(end);
        weir_abort(end->writer);
    }
    int closed = end_close(end);
    return rc < 0 ? rc : closed;
}

static int ask_first(void *talk)
{
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    rc = say_all(&end);
    return end_turn(&end, rc == 0 ? end_read_all(&end) : rc);
}

static void answer_then(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    int rc = end_read_all(&end);
    end_turn(&end, rc == 0 ? say_all(&end) : rc);
}

int scenario_turns(void *unused)
{
    (void)unused;
    scene_begin(ask_first);
    if (start_both(answer_then, some_limit()) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    return end_both();
}

/* ---- More than the origin reads -------------------------------------------------------------- */

static int generous_client(void *talk)
{
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    end.total = scene.most;
    rc = end_exchange(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

static void late_reader(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    weir_pause_reading(reader);
    weir_sleep(2 * WEIR_SECOND);
    weir_resume_reading(reader);
    int rc = end_exchange(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

int scenario_overfed(void *unused)
{
    (void)unused;
    scene_begin(generous_client);
    scene.most = 800 * 1000;
    if (start_both(late_reader, 100 + weir_sim_choose(10 * 1000, "limit")) < 0)
        return 0;
    behind.watched = true;
    scene_clients(1);
    scene.most = 1000;
    return end_both();
}
