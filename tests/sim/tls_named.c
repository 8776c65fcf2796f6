/* TLS with a server of another name than was asked for: its certificate is good, and it is refused. */
#include "scenarios.h"
#include "tls.h"

static int connect_by_name(void *unused)
{
    static const char *const names[] = { "localhost", "example.test", "another.test", "localhos" };
    unsigned which = weir_sim_choose(4, "which name");
    struct weir_connect_options options = { .tls = client_tls, .server_hostname = names[which] };
    struct weir_reader *reader;
    struct weir_writer *writer;
    (void)unused;
    int rc = weir_open_connection(scene.host, scene.port, &options, &reader, &writer);
    if (rc == 0) {
        if (which >= 2)
            weir_sim_fail("the server of localhost passes as %s", names[which]);
        weir_abort(writer);
        weir_wait_closed(writer);
    } else if (which < 2) {
        excuse(NULL, rc, names[which]);
    }
    return 0;
}

static int connect_all(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    for (unsigned count = 1 + weir_sim_choose(6, "how many connect"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, connect_by_name, NULL), "group_start");
    return weir_group_wait(&group);
}

int scenario_tls_named(void *unused)
{
    (void)unused;
    scene_begin(tls_client);
    scene.strangers = true;
    if (tls_open_contexts() < 0) {
        tls_close_contexts();
        return 0;
    }
    struct weir_server_options options = { .tls = server_tls };
    if (scene_serve(talk_echo, &options) < 0) {
        tls_close_contexts();
        return 0;
    }
    scene_patiently(connect_all, NULL);
    return tls_end();
}
