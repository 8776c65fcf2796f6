/* Endings that are not orderly on both sides: a peer that resets, an abort after a close, and a
 * loop whose last task has returned. The peers are blocking programs, which do as they like. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { PEERS = 3, PART = 4000 };

static const uint16_t port = 7000;

/* What the peers and the handlers of a world share. */
static struct {
    struct flow flows[PEERS]; /* to each peer that reads */
    unsigned accepted;        /* of them */
    unsigned started, ended;  /* peers */
    unsigned handled;         /* connections */
    size_t size;              /* of what is written to each */
    int64_t patience;         /* ns until the peers read */
    int64_t news, busy;       /* ns until there is a task again, and that it takes */
    struct weir_loop *loop;
    struct weir_event all_handled;
} world;

static void start_peers(void (*program)(void *), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int rc = excuse(NULL, weir_sim_thread(program, NULL), "a peer's thread");
        world.started += rc == 0;
    }
}

/* They block: where a fault has stalled one, only the calm ends it. */
static void wait_for_peers(void)
{
    int64_t begun = weir_sim_now();
    while (world.ended < world.started) {
        weir_sleep(10 * WEIR_MILLISECOND);
        if (weir_sim_now() - begun > 300 * WEIR_SECOND && weir_sim_faults() > 0)
            weir_sim_calm();
    }
}

static void handled(void)
{
    if (++world.handled == world.started)
        weir_event_set(&world.all_handled);
}

/* ---- Resets: who sends no end, has not ended ------------------------------------------------- */

static int reset_one(void)
{
    char data[PART];
    int fd = weir_sim_connect("127.0.0.1", port);
    if (fd < 0)
        return fd;
    memset(data, 'x', sizeof data);
    weir_sim_send(fd, data, 1 + weir_sim_choose(PART, "how much it sends"));
    for (unsigned i = weir_sim_choose(3, "how often it receives"); i > 0; i--)
        weir_sim_receive(fd, data, sizeof data);
    weir_sim_sleep(weir_sim_choose(10, "when it resets") * WEIR_MILLISECOND / 4);
    weir_sim_reset(fd);
    return 0;
}

static void resetting_peer(void *unused)
{
    (void)unused;
    for (unsigned i = 1 + weir_sim_choose(12, "how often a peer comes"); i > 0; i--)
        excuse(NULL, reset_one(), "a peer's connect");
    world.ended++;
}

static void check_failure(const struct end *end)
{
    int error = weir_exception(end->reader);
    weir_sim_check(error < 0 && error != -ECANCELED);
}

static int write_on(void *argument)
{
    struct end *end = argument;
    char data[PART];
    unsigned most = weir_sim_choose(2, "whether it writes much") == 1 ? PART : 50;
    int rc = 0;
    memset(data, 'y', sizeof data);
    while (rc == 0) {
        rc = weir_write(end->writer, data, 1 + weir_sim_choose(most, "how much to write"));
        if (rc == 0 && weir_sim_choose(2, "whether to drain") == 0)
            rc = weir_drain(end->writer);
        if (rc == -ENOMEM && weir_exception(end->reader) == 0)
            rc = weir_sleep(WEIR_MILLISECOND);
        if (rc == 0 && weir_sim_choose(3, "whether to pause") > 0)
            rc = nap(1, "pause of a writer");
    }
    check_failure(end);
    return 0;
}

static int read_on(struct end *end)
{
    struct weir_slice data;
    ssize_t n;
    do {
        n = weir_read(end->reader, PART, &data);
        weir_sim_check(n != 0);
    } while (n > 0 || (n == -ENOMEM && weir_exception(end->reader) == 0 &&
                       weir_sleep(WEIR_MILLISECOND) == 0));
    check_failure(end);
    return (int)n;
}

static void reset_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end = { .reader = reader, .writer = writer };
    struct weir_group group = { 0 };
    (void)unused;
    some_marks(writer);
    int rc = excuse(NULL, weir_group_start(&group, write_on, &end), "group_start");
    if (rc == 0)
        rc = read_on(&end);
    int error = weir_exception(reader);
    weir_group_wait(&group);
    weir_sim_check(weir_wait_closed(writer) == error || error == 0);
}

int scenario_resets(void *unused)
{
    (void)unused;
    scene_begin(NULL);
    memset(&world, 0, sizeof world);
    int rc =
        excuse(NULL, weir_start_server(reset_handler, NULL, "127.0.0.1", port, NULL, &scene.server),
               "start_server");
    if (rc == 0) {
        start_peers(resetting_peer, 1 + weir_sim_choose(PEERS, "how many peers"));
        wait_for_peers();
        weir_sim_calm();
        scene_close();
    }
    scene_check();
    return 0;
}

/* ---- The last words: what closing streams have, leaves after the last task ------------------- */

static void hear_out(int fd)
{
    char data[PART];
    struct flow *flow = &world.flows[world.accepted++];
    ssize_t n;
    while ((n = weir_sim_receive(fd, data, sizeof data)) > 0)
        flow_check(flow, data, (size_t)n);
    if (n < 0 || flow->read != world.size)
        weir_sim_fail("%zu bytes of the last %zu have come, and then %zd", flow->read, world.size,
                      n);
}

static void reading_peer(void *unused)
{
    (void)unused;
    int fd = weir_sim_connect("127.0.0.1", port);
    weir_sim_check(fd >= 0);
    weir_sim_sleep(world.patience);
    hear_out(fd);
    weir_sim_close(fd);
    world.ended++;
}

static int be_busy(void *unused)
{
    (void)unused;
    return weir_sleep(world.busy);
}

/* Another thread sends a task, when there has been none for a while. */
static void caller(void *unused)
{
    (void)unused;
    weir_sim_sleep(world.news);
    weir_sim_check(weir_call_soon_threadsafe(world.loop, be_busy, NULL) == 0);
}

static void last_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)reader;
    (void)unused;
    char *data = malloc(world.size);
    weir_sim_check(data != NULL);
    flow_fill(&world.flows[0], 0, data, world.size);
    weir_sim_check(weir_write(writer, data, world.size) == 0);
    free(data);
    handled();
}

/* Nothing fails here, and time is exact. A loop gives closing streams five seconds in which it has
 * no task. Who is called must be there still: it has more to say than is taken unread. */
int scenario_last_words(void *unused)
{
    enum { LINGER = 5000, MUCH = 600 * 1000 };
    struct weir_server *server;
    (void)unused;
    memset(&world, 0, sizeof world);
    world.loop = weir_this_loop();
    world.size = 1 + weir_sim_choose(100 * 1000, "how much is left to say");
    bool calls = weir_sim_choose(4, "whether there is a task again") == 3;
    if (calls) {
        world.size = MUCH;
        world.news = weir_sim_choose(LINGER - 500, "when") * WEIR_MILLISECOND;
        world.busy = weir_sim_choose(2 * LINGER, "for how long") * WEIR_MILLISECOND;
        weir_sim_check(weir_sim_thread(caller, NULL) == 0);
    }
    world.patience = world.news + world.busy +
                     (1 + weir_sim_choose(LINGER - 500, "how long peers wait")) * WEIR_MILLISECOND;
    for (unsigned i = 0; i < PEERS; i++)
        world.flows[i].written = world.size;
    int rc = weir_start_server(last_handler, NULL, "127.0.0.1", port, NULL, &server);
    weir_sim_check(rc == 0);
    start_peers(reading_peer, calls ? 1 : 1 + weir_sim_choose(PEERS, "how many peers"));
    return weir_event_wait(&world.all_handled);
}

/* ---- An abort after a close ------------------------------------------------------------------ */

static void deaf_peer(void *unused)
{
    (void)unused;
    int fd = weir_sim_connect("127.0.0.1", port);
    weir_sim_check(fd >= 0);
    weir_sim_sleep(60 * WEIR_SECOND);
    weir_sim_close(fd);
    world.ended++;
}

/* Whatever is under way to a peer that takes nothing, an abort ends it at once. */
static void aborting_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    char data[PART];
    (void)reader;
    (void)unused;
    memset(data, 'y', sizeof data);
    for (size_t left = world.size, part; left > 0; left -= part) {
        part = left < PART ? left : PART;
        weir_sim_check(weir_write(writer, data, part) == 0);
    }
    if (weir_sim_choose(3, "whether to close first") < 2)
        weir_close(writer);
    nap(20, "when to abort");
    int64_t begun = weir_sim_now();
    weir_abort(writer);
    weir_sim_check(weir_wait_closed(writer) == 0);
    weir_sim_check(weir_sim_now() - begun <= WEIR_SECOND);
    handled();
}

int scenario_aborts(void *unused)
{
    (void)unused;
    scene_begin(NULL);
    memset(&world, 0, sizeof world);
    unsigned most = weir_sim_choose(2, "whether it is little") == 1 ? 2000 : 300 * 1000;
    world.size = 1 + weir_sim_choose(most, "how much is queued");
    int rc = weir_start_server(aborting_handler, NULL, "127.0.0.1", port, NULL, &scene.server);
    weir_sim_check(rc == 0);
    start_peers(deaf_peer, 1 + weir_sim_choose(PEERS, "how many peers"));
    weir_sim_check(weir_event_wait(&world.all_handled) == 0);
    wait_for_peers();
    scene_close();
    scene_check();
    return 0;
}

/* ---- A server that ends while it is out of fds, and another that takes its place ------------- */

/* Comes, and stays for a while: nobody tells it anything. */
static void staying_peer(void *unused)
{
    char byte;
    (void)unused;
    weir_sim_sleep(weir_sim_choose(20, "when it comes") * WEIR_MILLISECOND);
    int fd = weir_sim_connect("127.0.0.1", port);
    if (fd >= 0) {
        weir_sim_receive(fd, &byte, 1);
        weir_sim_close(fd);
    }
    world.ended++;
}

static void patient_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    (void)writer;
    (void)unused;
    weir_read(reader, 1, &data);
}

static int serve_for_a_while(void)
{
    int rc = weir_start_server(patient_handler, NULL, "127.0.0.1", port, NULL, &scene.server);
    if (rc < 0)
        return rc == -EMFILE ? 0 : excuse(NULL, rc, "start_server");
    rc = nap(200, "how long to serve");
    weir_server_close(scene.server);
    weir_server_abort_clients(scene.server);
    return rc < 0 ? rc : excuse(NULL, weir_server_wait_closed(scene.server), "wait_closed");
}

int scenario_restart(void *unused)
{
    (void)unused;
    scene_begin(NULL);
    memset(&world, 0, sizeof world);
    start_peers(staying_peer, 20);
    for (unsigned i = 2 + weir_sim_choose(4, "how many servers"); i > 0; i--)
        serve_for_a_while();
    weir_sim_calm();
    wait_for_peers();
    weir_sleep(3 * WEIR_SECOND);
    scene_check();
    return 0;
}
