/* TLS whose peer, or network, does not keep to it: a connection that is ended in the middle by somebody
 * who cannot say close_notify, and clients that say nothing. */
#include "scenarios.h"
#include "tls.h"

/* ---- A relay that cuts: it passes on what comes, and ends in order, but too early ------------- */

enum { PART = 700 };

struct way {
    struct weir_reader *reader;
    struct weir_writer *writer;
    size_t left; /* bytes until it has had enough */
};

static uint16_t beyond; /* the port of the real server */

static int pass_on(void *argument)
{
    struct way *way = argument;
    struct weir_slice data;
    int rc = 0;
    while (rc == 0 && way->left > 0) {
        ssize_t n = weir_read(way->reader, way->left < PART ? way->left : PART, &data);
        if (n <= 0)
            return n < 0 ? (int)n : weir_write_eof(way->writer);
        rc = weir_write_slice(way->writer, data);
        if (rc == 0)
            rc = weir_drain(way->writer);
        way->left -= (size_t)n;
    }
    return rc < 0 ? rc : -ECANCELED; /* the other way ends with it */
}

static void relay(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct way up = { .reader = reader }, down = { .writer = writer };
    struct weir_group group = { 0 };
    (void)unused;
    up.left = weir_sim_choose(20 * 1000, "bytes that the client gets through");
    down.left = weir_sim_choose(20 * 1000, "bytes that the server gets through");
    if (weir_open_connection(scene.host, beyond, NULL, &down.reader, &up.writer) < 0)
        return;
    if (weir_group_start(&group, pass_on, &up) == 0)
        weir_group_start(&group, pass_on, &down);
    weir_group_wait(&group);
}

/* Its errors are the relay's doing; that an end is one is what counts here. */
static int cut_client(void *argument)
{
    struct talk *talk = argument;
    talk->up.disturbed = talk->down.disturbed = true;
    return tls_client(talk);
}

static void check_ends(const struct flow *flow)
{
    if (flow->eof && flow->read != flow->written)
        weir_sim_fail("flow %u: cut after %zu bytes of %zu, and told as its end", flow->id,
                      flow->read, flow->written);
}

int scenario_tls_cut(void *unused)
{
    (void)unused;
    struct weir_server *server;
    scene_begin(tls_client);
    struct weir_server_options options = { .tls = NULL };
    int rc = tls_open_contexts();
    options.tls = server_tls;
    if (rc == 0)
        rc = scene_serve(talk_exchange, &options);
    if (rc == 0) {
        beyond = scene.port;
        scene.strangers = true;
        rc = weir_start_server(relay, NULL, scene.host, 0, NULL, &server);
        if (rc == 0) {
            scene.port = weir_server_port(server);
            scene.client = cut_client;
            scene_clients(1 + weir_sim_choose(4, "how many clients"));
            weir_server_shutdown(server, WEIR_SECOND);
        }
        for (unsigned i = 0; i < scene.begun; i++) {
            check_ends(&scene.talks[i].up);
            check_ends(&scene.talks[i].down);
        }
        scene.client = tls_client;
        scene.port = beyond;
        return tls_end();
    }
    tls_close_contexts();
    return 0;
}

/* ---- Silence: a client that says nothing, or not enough, is put out in time ------------------- */

enum { SILENT = 3, PATIENCE = 60 };

static unsigned silent_left;

static void silent_client(void *unused)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    char byte;
    (void)unused;
    weir_sim_sleep((int64_t)weir_sim_choose(1000, "when a silent client comes") * WEIR_MILLISECOND);
    int fd = weir_sim_connect("127.0.0.1", scene.port);
    int64_t begun = weir_sim_now();
    if (fd >= 0) {
        size_t size = weir_sim_choose(sizeof hello, "how much of a hello");
        ssize_t n = weir_sim_send(fd, hello, size);
        while (n >= 0 && (n = weir_sim_receive(fd, &byte, 1)) > 0)
            continue;
        int64_t took = weir_sim_now() - begun;
        if (took > (PATIENCE + 10) * WEIR_SECOND && weir_sim_faults() == 0)
            weir_sim_fail("a client that says nothing is let in for %d s",
                          (int)(took / WEIR_SECOND));
        weir_sim_close(fd);
    }
    silent_left--;
}

int scenario_tls_silent(void *unused)
{
    (void)unused;
    scene_begin(tls_client);
    struct weir_server_options options = { .tls = NULL };
    int rc = tls_open_contexts();
    options.tls = server_tls;
    if (rc == 0)
        rc = weir_start_server(talk_echo, NULL, "127.0.0.1", 0, &options, &scene.server);
    if (rc < 0) {
        excuse(NULL, rc, "start_server");
        tls_close_contexts();
        return 0;
    }
    scene.host = "127.0.0.1";
    scene.port = weir_server_port(scene.server);
    silent_left = 0;
    for (unsigned i = 0; i < SILENT; i++)
        silent_left += weir_sim_thread(silent_client, NULL) == 0;
    scene_clients(1);
    for (unsigned minutes = 0; silent_left > 0 && minutes < 5; minutes++)
        weir_sleep(60 * WEIR_SECOND);
    weir_sim_check(silent_left == 0 || weir_sim_faults() > 0);
    return tls_end();
}
