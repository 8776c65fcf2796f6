/* TLS, from the first byte and by an upgrade of a plain stream. wolfSSL gets its time and its chance
 * from the world, so that these repeat as the others do. */
#include "tls.h"
#include "scenarios.h"

static const char certs[] = "tests/sim/certs/";

struct weir_tls *server_tls, *client_tls;

/* Fails when no memory can be had; and then there is nothing to be tested. */
int tls_open_contexts(void)
{
    static const struct weir_tls_options server = { .certificate_file =
                                                        "tests/sim/certs/server.pem",
                                                    .key_file = "tests/sim/certs/server.key" };
    static const struct weir_tls_options client = { .ca_file = "tests/sim/certs/ca.pem" };
    server_tls = client_tls = NULL;
    scene.tls = true;
    int rc = weir_tls_server(&server, &server_tls);
    if (rc == 0)
        rc = weir_tls_client(&client, &client_tls);
    if (rc == -ENOENT)
        weir_sim_fail("%s is not there: run this in the project's root", certs);
    excuse(NULL, rc, "a context");
    return rc;
}

void tls_close_contexts(void)
{
    weir_tls_free(server_tls);
    weir_tls_free(client_tls);
}

int tls_end(void)
{
    scene_recover();
    scene_close();
    weir_sim_forbid(NULL, 0);
    scene_check();
    tls_close_contexts();
    return 0;
}

static int converse(struct talk *talk, struct end *end)
{
    some_marks(end->writer);
    end->slow = weir_sim_choose(5, "how slow a client is");
    end->total = weir_sim_choose((unsigned)scene.most, "what a client writes");
    (void)talk;
    int rc = end_exchange(end);
    int closed = end_close(end);
    return rc < 0 ? rc : closed;
}

/* ---- From the first byte --------------------------------------------------------------------- */

int tls_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    struct weir_connect_options options = { .limit = some_limit(),
                                            .tls = client_tls,
                                            .server_hostname = "localhost" };
    if (nap(10, "when a client comes") < 0)
        return -ECANCELED;
    int rc = talk_connect(talk, &end, &options);
    return rc < 0 ? rc : converse(talk, &end);
}

static int serve_tls(bool corrupted)
{
    scene_begin(tls_client);
    if (tls_open_contexts() < 0) {
        tls_close_contexts();
        return 0;
    }
    struct weir_server_options options = { .limit = some_limit(), .tls = server_tls };
    bool echo = weir_sim_choose(2, "whether it echoes") == 0;
    if (scene_serve(echo ? talk_echo : talk_exchange, &options) < 0) {
        tls_close_contexts();
        return 0;
    }
    weir_sim_forbid("talk ", 5);
    weir_sim_corrupt(corrupted);
    if (weir_sim_choose(4, "whether there is much") == 3)
        scene.most = 300 * 1000;
    scene_clients(2 + weir_sim_choose(6, "how many clients"));
    return tls_end();
}

int scenario_tls(void *unused)
{
    (void)unused;
    return serve_tls(false);
}

/* Bits change on the way: what is read is what was written, or an error. */
int scenario_tls_corrupted(void *unused)
{
    (void)unused;
    return serve_tls(true);
}

/* ---- A heap: much is written at once, and the end behind it ---------------------------------- */

static int heaping_client(void *argument)
{
    static char heap[900 * 1000];
    struct talk *talk = argument;
    struct end end;
    struct weir_connect_options options = { .tls = client_tls, .server_hostname = "localhost" };
    int rc = talk_connect(talk, &end, &options);
    if (rc < 0)
        return rc;
    size_t size = weir_sim_choose(sizeof heap, "how large a heap");
    flow_fill(end.out, 0, heap, size);
    end.out->written = size;
    rc = excuse(end.out, weir_write(end.writer, heap, size), "write");
    memset(heap, '!', size);
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

int scenario_tls_heap(void *unused)
{
    (void)unused;
    scene_begin(heaping_client);
    scene.most = 1; /* the server has nothing to say, so that nothing but room makes TLS go on */
    if (tls_open_contexts() < 0) {
        tls_close_contexts();
        return 0;
    }
    struct weir_server_options options = { .tls = server_tls };
    if (scene_serve(talk_exchange, &options) < 0) {
        tls_close_contexts();
        return 0;
    }
    scene_clients(1);
    return tls_end();
}

/* ---- An upgrade ------------------------------------------------------------------------------ */

/* Some clients wait until they are told to go on, others do not: what they have sent by then is TLS
 * that the server's reader has received already. */
static int ask_to_upgrade(struct end *end)
{
    struct weir_slice line;
    bool waits = weir_sim_choose(2, "whether the client hurries") == 0;
    int rc = end_put(end, waits ? "upgrade\n" : "hurry\n", waits ? 8 : 6);
    if (rc == 0 && waits && end_line(end, &line) != 3)
        rc = -ECONNRESET;
    return rc;
}

static int greet(const struct talk *talk, struct end *end)
{
    char greeting[] = "talk 000\n";
    for (unsigned i = 7, id = talk->id; i >= 5; i--, id /= 10)
        greeting[i] = (char)('0' + id % 10);
    return end_put(end, greeting, sizeof greeting - 1);
}

static int upgrading_client(void *argument)
{
    static const struct weir_start_tls_options names = { .server_hostname = "localhost" };
    struct talk *talk = argument;
    struct end end;
    memset(&end, 0, offsetof(struct end, scratch));
    end.in = &talk->down;
    end.out = &talk->up;
    if (nap(10, "when a client comes") < 0)
        return -ECANCELED;
    int rc = weir_open_connection(scene.host, scene.port, NULL, &end.reader, &end.writer);
    if (rc < 0)
        return excuse(&talk->up, rc, "connect");
    talk_begin(talk);
    rc = ask_to_upgrade(&end);
    if (rc == 0)
        rc = weir_start_tls(end.writer, client_tls, &names);
    if (rc == 0)
        rc = greet(talk, &end);
    if (rc == 0)
        return converse(talk, &end);
    excuse(&talk->up, rc, "upgrade");
    end_break(&end);
    weir_abort(end.writer);
    end_close(&end);
    return rc;
}

/* A reader that is paused meanwhile holds up nothing but itself. Who leaves without a word is the
 * second of two addresses that were tried. */
static void upgrade(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice line;
    ssize_t n = weir_readline(reader, &line);
    if (n == 0)
        return;
    int rc = n == 8 || n == 6 ? 0 : -EPROTO;
    if (n == 8)
        rc = weir_write(writer, "go\n", 3);
    bool paused = weir_sim_choose(3, "whether it pauses") == 2;
    if (paused)
        weir_pause_reading(reader);
    if (rc == 0)
        rc = weir_start_tls(writer, server_tls, NULL);
    if (paused)
        weir_resume_reading(reader);
    if (rc < 0) {
        excuse(NULL, rc, "upgrade");
        weir_abort(writer);
        return;
    }
    talk_exchange(reader, writer, unused);
}

int scenario_start_tls(void *unused)
{
    (void)unused;
    scene_begin(upgrading_client);
    if (tls_open_contexts() < 0) {
        tls_close_contexts();
        return 0;
    }
    if (scene_serve(upgrade, NULL) < 0) {
        tls_close_contexts();
        return 0;
    }
    weir_sim_forbid("talk ", 5);
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    return tls_end();
}
