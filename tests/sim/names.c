/* Names: addresses of which only some can be reached, and names that take their time, or do not
 * resolve. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Happy eyeballs -------------------------------------------------------------------------- */

enum { ADDRESSES = 6 };

struct host {
    char addresses[ADDRESSES][16];
    int errors[ADDRESSES]; /* of the route to each; 0: it can be reached */
    unsigned count, good;
};

/* Each may be of either family and reachable or not. */
static void make_host(struct host *host)
{
    static const int errors[] = { 0, -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH };
    char list[ADDRESSES * sizeof host->addresses[0]] = "";
    *host = (struct host){ .count = 1 + weir_sim_choose(ADDRESSES, "how many addresses") };
    for (unsigned i = 0; i < host->count; i++) {
        bool six = weir_sim_choose(2, "family") == 1;
        snprintf(host->addresses[i], sizeof host->addresses[i], six ? "fd00::%u" : "10.0.0.%u",
                 i + 1);
        host->errors[i] = errors[weir_sim_choose(4, "route")];
        host->good += host->errors[i] == 0;
        weir_sim_route(host->addresses[i], host->errors[i]);
        strcat(list, i > 0 ? " " : "");
        strcat(list, host->addresses[i]);
    }
    weir_sim_name("many.test", list);
}

/* The peer's name begins with one that can be reached. */
static void check_peer(const struct host *host, const struct weir_writer *writer)
{
    const char *peer = weir_get_extra_info(writer, "peername");
    for (unsigned i = 0; peer != NULL && i < host->count; i++) {
        const char *found = strstr(peer, host->addresses[i]);
        bool whole = found != NULL && strchr(":]", found[strlen(host->addresses[i])]) != NULL;
        if (whole && host->errors[i] == 0)
            return;
    }
    weir_sim_check(weir_sim_faults() > 0); /* no memory for it, or gone before it could be asked */
    weir_sim_check(peer == NULL || peer[0] == '\0');
}

static bool is_one_of(const struct host *host, int error)
{
    for (unsigned i = 0; i < host->count; i++) {
        if (host->errors[i] == error)
            return true;
    }
    return false;
}

/* `timed`: time is measured, as it does not jump in this world. */
static void race(bool timed)
{
    struct host host;
    struct weir_reader *reader;
    struct weir_writer *writer;
    make_host(&host);
    int64_t begun = weir_sim_now();
    int rc = weir_open_connection("many.test", scene.port, NULL, &reader, &writer);
    int64_t took = weir_sim_now() - begun;
    weir_sim_note("raced in %d ms: %d", (int)(took / WEIR_MILLISECOND), rc);
    if (rc == 0) {
        check_peer(&host, writer);
        weir_abort(writer);
        rc = weir_wait_closed(writer);
        if (rc != -ECANCELED)
            excuse(NULL, rc, "wait_closed");
    } else if (rc != -ECANCELED && (host.good > 0 || !is_one_of(&host, rc))) {
        excuse(NULL, rc, "connect to one that can be reached");
    }
    int64_t bound = host.count * 250 * WEIR_MILLISECOND + 5 * WEIR_SECOND;
    if (timed && host.good > 0 && took > bound)
        weir_sim_fail("connecting took %d ms", (int)(took / WEIR_MILLISECOND));
    for (unsigned i = 0; i < host.count; i++)
        weir_sim_route(host.addresses[i], 0);
}

static int races(void *argument)
{
    unsigned count = 1 + weir_sim_choose(3, "how many races");
    while (count-- > 0)
        race(argument != NULL);
    return 0;
}

int scenario_eyeballs(void *argument)
{
    scene_begin(talk_client);
    if (scene_serve_everywhere() < 0)
        return 0;
    scene_patiently(races, argument);
    return scene_end();
}

/* ---- Slow names ------------------------------------------------------------------------------ */

static const char *const slow_names[] = { "one.test", "two.test", "nothing.test", "unknown.test" };

/* Looks up one, perhaps within a limit that is too short, and talks to whom it finds. */
static int look_up(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_timeout timeout;
    unsigned which = weir_sim_choose(4, "which name");
    bool hurried = weir_sim_choose(2, "a limit") == 1;
    (void)unused;
    if (nap(20, "when to look up") < 0)
        return 0;
    if (hurried)
        weir_timeout_start(&timeout, weir_sim_choose(500, "how long") * WEIR_MILLISECOND);
    int rc = weir_open_connection(slow_names[which], scene.port, NULL, &reader, &writer);
    if (hurried)
        rc = (int)weir_timeout_stop(&timeout, rc);
    if (rc == -ECANCELED || (rc == -ETIMEDOUT && hurried))
        return 0;
    if (rc == 0) {
        weir_sim_check(which < 2);
        rc = weir_wait_closed(writer);
        if (rc != -ECANCELED)
            excuse(NULL, rc, "wait_closed");
    } else if (which < 2 || rc != WEIR_UNRESOLVED) {
        excuse(NULL, rc, slow_names[which]);
    }
    return 0;
}

static int look_up_many(void *unused)
{
    struct weir_group group = { 0 };
    unsigned count = 1 + weir_sim_choose(24, "how many look-ups");
    (void)unused;
    for (unsigned i = 0; i < count; i++)
        excuse(NULL, weir_group_start(&group, look_up, NULL), "group_start");
    if (weir_sim_choose(3, "whether to cancel") == 2) {
        nap(100, "when to cancel");
        weir_group_cancel(&group);
    }
    return weir_group_wait(&group);
}

int scenario_slow_names(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    weir_sim_name("one.test", "127.0.0.1");
    weir_sim_name("two.test", "::1 127.0.0.1");
    weir_sim_name("nothing.test", "");
    if (scene_serve_everywhere() < 0)
        return 0;
    scene_patiently(look_up_many, NULL);
    return scene_end();
}

/* ---- Names of our own ------------------------------------------------------------------------ */

/* Of the addresses that one may be bound to, the first is taken by somebody else. */
static int connect_from_either(void *unused)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_connect_options options = { .local_host = "own.test", .local_port = 5000 };
    (void)unused;
    int rc = weir_open_connection("127.0.0.1", scene.port, &options, &reader, &writer);
    if (rc < 0)
        return excuse(NULL, rc, "connect from the second");
    const char *own = weir_get_extra_info(writer, "sockname");
    weir_sim_check(weir_sim_faults() > 0 || strcmp(own, "127.0.0.3:5000") == 0);
    excuse(NULL, weir_wait_closed(writer), "wait_closed");
    return 0;
}

int scenario_own_names(void *unused)
{
    struct weir_server *other;
    (void)unused;
    scene_begin(talk_client);
    weir_sim_name("own.test", "127.0.0.2 127.0.0.3");
    if (scene_serve_everywhere() < 0)
        return 0;
    int rc = weir_start_server(talk_echo, NULL, "127.0.0.2", 5000, NULL, &other);
    if (excuse(NULL, rc, "start_server") == 0) {
        scene_patiently(connect_from_either, NULL);
        weir_server_close(other);
        weir_sim_check(weir_server_wait_closed(other) == 0);
    }
    return scene_end();
}
