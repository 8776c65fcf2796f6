/* An upgrade to TLS that the peer never answers: whoever waits in the stream meanwhile is told when
 * another task gives it up. */
#include "scenarios.h"
#include "tls.h"

static int upgrade(void *argument)
{
    static const struct weir_start_tls_options names = { .server_hostname = "localhost" };
    struct end *end = argument;
    int rc = weir_start_tls(end->writer, client_tls, &names);
    weir_sim_check(rc < 0);
    return 0;
}

static int write_meanwhile(void *argument)
{
    struct end *end = argument;
    char data[LONGEST] = { 0 };
    nap(5, "when to write");
    if (weir_write(end->writer, data, 1 + weir_sim_choose(LONGEST, "how much to write")) == 0)
        weir_drain(end->writer);
    return 0;
}

static int give_up(void *argument)
{
    struct end *end = argument;
    nap(20, "when to give up");
    if (weir_sim_choose(3, "how to give up") == 2)
        weir_abort(end->writer);
    else
        weir_close(end->writer);
    return 0;
}

/* What was written after the upgrade had begun has not left, and what was before has. */
static int hopeful_client(void *talk)
{
    struct end end;
    struct weir_group group = { 0 };
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    end_break(&end);
    some_marks(end.writer);
    excuse(NULL, weir_group_start(&group, upgrade, &end), "group_start");
    excuse(NULL, weir_group_start(&group, write_meanwhile, &end), "group_start");
    if (excuse(NULL, weir_group_start(&group, give_up, &end), "group_start") < 0)
        weir_close(end.writer);
    rc = weir_group_wait(&group);
    weir_sim_check(rc == 0 || (rc == -ECANCELED && weir_sim_faults() > 0));
    weir_wait_closed(end.writer);
    return rc;
}

/* Listens, and says nothing. */
static void silent_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct weir_slice data;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    while (weir_read(reader, LONGEST, &data) > 0)
        continue;
}

int scenario_tls_given_up(void *unused)
{
    (void)unused;
    scene_begin(hopeful_client);
    scene.strangers = true; /* the greeting may go down with the rest */
    if (tls_open_contexts() < 0) {
        tls_close_contexts();
        return 0;
    }
    if (scene_serve(silent_handler, NULL) < 0) {
        tls_close_contexts();
        return 0;
    }
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    return tls_end();
}
