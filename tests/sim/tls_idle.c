/* A TLS server that has been idle for longer than a handshake may take: time limits count from when
 * a client comes, not from when the server fell asleep. Its clients are other programs. */
#include "scenarios.h"
#include "tls.h"

enum { CALLERS = 3 };

static struct {
    uint16_t port;
    unsigned callers, left;
    struct weir_event all_left;
    struct weir_loop *loop;
} world;

static int note_left(void *unused)
{
    (void)unused;
    if (++world.left == world.callers)
        weir_event_set(&world.all_left);
    return 0;
}

static int call(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice line;
    struct weir_connect_options options = { .tls = client_tls, .server_hostname = "localhost" };
    (void)unused;
    int rc = weir_open_connection("127.0.0.1", world.port, &options, &reader, &writer);
    if (rc < 0)
        weir_sim_fail("refused: %s", weir_strerror(rc));
    weir_sim_check(weir_write(writer, "hello\n", 6) == 0);
    weir_sim_check(weir_readline(reader, &line) == 6);
    return weir_wait_closed(writer);
}

static void caller(void *unused)
{
    (void)unused;
    weir_sim_sleep(weir_sim_choose(300, "when a caller comes") * WEIR_SECOND);
    weir_sim_check(weir_run(call, NULL, NULL) == 0);
    weir_sim_check(weir_call_soon_threadsafe(world.loop, note_left, NULL) == 0);
}

static void echo_a_line(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice line;
    (void)unused;
    if (weir_readline(reader, &line) > 0)
        weir_write_slice(writer, line);
    weir_wait_closed(writer);
}

/* While there is a timer, the loop looks at the clock each time before it sleeps. */
static int tick(void *unused)
{
    (void)unused;
    return weir_sleep(3600 * WEIR_SECOND);
}

int scenario_tls_idle(void *unused)
{
    struct weir_server *server;
    struct weir_group group = { 0 };
    (void)unused;
    memset(&world, 0, sizeof world);
    weir_sim_check(tls_open_contexts() == 0);
    struct weir_server_options options = { .tls = server_tls };
    weir_sim_check(weir_start_server(echo_a_line, NULL, "127.0.0.1", 7000, &options, &server) == 0);
    world.port = weir_server_port(server);
    world.loop = weir_this_loop();
    world.callers = 1 + weir_sim_choose(CALLERS, "how many callers");
    if (weir_sim_choose(4, "whether there is a timer") > 0)
        weir_sim_check(weir_group_start(&group, tick, NULL) == 0);
    for (unsigned i = 0; i < world.callers; i++)
        weir_sim_check(weir_sim_thread(caller, NULL) == 0);
    weir_sim_check(weir_event_wait(&world.all_left) == 0);
    weir_group_cancel(&group);
    weir_group_wait(&group);
    weir_sim_check(weir_server_shutdown(server, 10 * WEIR_SECOND) == 0);
    tls_close_contexts();
    return 0;
}
