/* What is being sent is called back while its peer reads nothing any more: a cancelled write and an
 * aborted close return at once, also in the turn in which a part of it has just left. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { BULK = 700 * 1000, PIECES = 120 };

static char bulk[BULK];
static struct weir_writer *writer;
static size_t thirst; /* the bytes that the peer reads */
static bool timed;    /* nothing fails in this world, or is late */

static void drink(struct weir_reader *reader, struct weir_writer *unused, void *nothing)
{
    struct weir_slice data;
    (void)unused;
    (void)nothing;
    for (size_t drunk = 0; drunk < thirst; drunk += data.size) {
        if (weir_read(reader, 64 * 1024, &data) <= 0)
            return;
    }
    weir_pause_reading(reader);
    weir_sleep(3600 * WEIR_SECOND);
}

static int write_all(void *unused)
{
    (void)unused;
    return weir_write_all(writer, bulk, BULK);
}

/* Pieces that do not lie together: a link has room for a few of them. */
static void write_pieces(void)
{
    int rc = 0;
    for (unsigned i = 0; i < PIECES && rc == 0; i++) {
        struct weir_slice piece = { .data = bulk + (size_t)i * (BULK / PIECES),
                                    .size = 1 + weir_sim_choose(1000, "size of a piece") };
        rc = excuse(NULL, weir_write_slice(writer, piece), "write_slice");
    }
}

/* Until some has left, perhaps once more, and in that very turn; or nothing does any more. */
static void watch(void)
{
    for (unsigned times = 1 + weir_sim_choose(3, "how often some leaves"); times > 0; times--) {
        size_t queued = weir_get_write_buffer_size(writer);
        for (unsigned turns = 500; turns > 0 && queued > 0; turns--) {
            weir_yield();
            if (weir_get_write_buffer_size(writer) < queued)
                break;
        }
    }
}

/* The peer would take an hour. */
static void check_soon(int64_t begun, const char *what)
{
    int64_t took = weir_sim_now() - begun;
    if (took > (timed ? 100 * WEIR_MILLISECOND : 600 * WEIR_SECOND))
        weir_sim_fail("%s took %d ms", what, (int)(took / WEIR_MILLISECOND));
}

static void cancel_a_write(void)
{
    struct weir_group group = { 0 };
    excuse(NULL, weir_group_start(&group, write_all, NULL), "group_start");
    weir_yield();
    watch();
    int64_t begun = weir_sim_now();
    weir_group_cancel(&group);
    int rc = weir_group_wait(&group);
    if (rc != -ECANCELED)
        excuse(NULL, rc, "write_all");
    check_soon(begun, "a cancelled write");
}

static void abort_a_close(void)
{
    write_pieces();
    if (weir_sim_choose(2, "whether it closes at once") == 0)
        weir_yield();
    weir_close(writer);
    watch();
}

static int call_back(void)
{
    struct weir_reader *reader;
    bool closes = weir_sim_choose(2, "what is called back") == 1;
    thirst = weir_sim_choose(closes ? 60 * 1000 : BULK, "how much the peer reads");
    int rc = weir_open_connection("127.0.0.1", 7000, NULL, &reader, &writer);
    if (rc < 0)
        return excuse(NULL, rc, "connect");
    if (closes)
        abort_a_close();
    else
        cancel_a_write();
    int64_t begun = weir_sim_now();
    weir_abort(writer);
    rc = weir_wait_closed(writer);
    if (rc != -ECONNABORTED)
        excuse(NULL, rc, "wait_closed");
    check_soon(begun, "the close of an aborted stream");
    return 0;
}

int scenario_recalls(void *argument)
{
    struct weir_server *server;
    timed = argument != NULL;
    int rc = weir_start_server(drink, NULL, "127.0.0.1", 7000, NULL, &server);
    if (rc < 0)
        return excuse(NULL, rc, "start_server");
    for (unsigned times = 1 + weir_sim_choose(4, "how often"); times > 0; times--)
        call_back();
    int64_t begun = weir_sim_now();
    rc = weir_server_shutdown(server, WEIR_SECOND); /* who drinks no more sleeps */
    weir_sim_check(rc == 0 || rc == -ETIMEDOUT);
    check_soon(begun + WEIR_SECOND, "the shutdown");
    return 0;
}
