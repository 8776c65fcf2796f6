/* Connecting to a name of several addresses, in a world in which nothing fails but what the
 * scenario has told to: the order of the attempts, who wins, when, and with which error all have
 * failed are exactly as documented. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

enum { ADDRESSES = 6, UNANSWERED = 127 /* s, until a connect gives up */ };

struct host {
    char addresses[ADDRESSES][16];
    int errors[ADDRESSES]; /* of the route to each; 0: it can be reached */
    bool six[ADDRESSES];
    unsigned count;
    unsigned order[ADDRESSES]; /* in which they are tried */
};

static void make_host(struct host *host)
{
    static const int errors[] = { -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -ECONNREFUSED, 0 };
    unsigned kinds = 4 + weir_sim_choose(2, "whether any can be reached");
    char list[ADDRESSES * sizeof host->addresses[0]] = "";
    *host = (struct host){ .count = 2 + weir_sim_choose(ADDRESSES - 1, "how many addresses") };
    for (unsigned i = 0; i < host->count; i++) {
        host->six[i] = weir_sim_choose(2, "family") == 1;
        host->errors[i] = errors[weir_sim_choose(kinds, "route")];
        snprintf(host->addresses[i], sizeof host->addresses[i],
                 host->six[i] ? "fd00::%u" : "10.0.0.%u", i + 1);
        weir_sim_route(host->addresses[i], host->errors[i]);
        strcat(list, i > 0 ? " " : "");
        strcat(list, host->addresses[i]);
    }
    weir_sim_name("some.test", list);
}

/* The next from `index` on that is of this family; none: count. */
static unsigned next_of(const struct host *host, unsigned index, bool six)
{
    while (index < host->count && host->six[index] != six)
        index++;
    return index;
}

/* So many of the first one's family, and from then on by turns, as long as there are both. */
static void put_in_order(struct host *host, unsigned first)
{
    bool six = host->six[0];
    unsigned next[2] = { next_of(host, 0, false), next_of(host, 0, true) };
    for (unsigned i = 0; i < host->count; i++) {
        bool turn = i < first ? six : ((i - first) % 2 == 0) != six;
        if (next[turn] == host->count)
            turn = !turn;
        host->order[i] = next[turn];
        next[turn] = next_of(host, next[turn] + 1, turn);
    }
}

/* Who wins, or -1; and when. After a failure the next is tried at once; who does not answer keeps
 * it waiting for the delay, and if that is negative, for its end. */
static int expect(const struct host *host, weir_duration delay, int64_t *ret_took)
{
    int64_t now = 0, last_end = 0;
    for (unsigned i = 0; i < host->count; i++) {
        unsigned index = host->order[i];
        if (host->errors[index] == 0) {
            *ret_took = now;
            return (int)index;
        }
        if (host->errors[index] != -ETIMEDOUT)
            continue;
        last_end = now + UNANSWERED * WEIR_SECOND;
        now = delay < 0 ? last_end : now + delay;
    }
    *ret_took = last_end;
    return -1;
}

/* The one that most of them share, the first such. */
static int expected_error(const struct host *host)
{
    int error = 0;
    unsigned most = 0;
    for (unsigned i = 0; i < host->count; i++) {
        unsigned same = 0;
        for (unsigned j = 0; j < host->count; j++)
            same += host->errors[j] == host->errors[host->order[i]];
        if (same > most) {
            most = same;
            error = host->errors[host->order[i]];
        }
    }
    return error;
}

static void check_peer(const struct weir_writer *writer, const char *address)
{
    const char *peer = weir_get_extra_info(writer, "peername");
    const char *found = peer != NULL ? strstr(peer, address) : NULL;
    if (found == NULL || strchr(":]", found[strlen(address)]) == NULL)
        weir_sim_fail("connected to %s, not to %s", peer, address);
}

static void race(void)
{
    static const weir_duration delays[] = { 0, -1, WEIR_SECOND, 20 * WEIR_SECOND };
    struct host host;
    struct weir_connect_options options = {
        .happy_eyeballs_delay = delays[weir_sim_choose(4, "delay")],
        .interleave = (int)weir_sim_choose(4, "interleave"),
    };
    struct weir_reader *reader;
    struct weir_writer *writer;
    int64_t wanted, begun = weir_sim_now();
    weir_duration delay = options.happy_eyeballs_delay;
    make_host(&host);
    put_in_order(&host, options.interleave > 0 ? (unsigned)options.interleave : 1);
    int winner = expect(&host, delay != 0 ? delay : 250 * WEIR_MILLISECOND, &wanted);
    int rc = weir_open_connection("some.test", scene.port, &options, &reader, &writer);
    int64_t late = weir_sim_now() - begun - wanted;
    if (late < 0 || late > 100 * WEIR_MILLISECOND) /* the name itself takes half of that */
        weir_sim_fail("connecting took %d ms more than it should", (int)(late / WEIR_MILLISECOND));
    weir_sim_check((rc == 0) == (winner >= 0));
    if (rc < 0) {
        weir_sim_check(rc == expected_error(&host));
        return;
    }
    check_peer(writer, host.addresses[winner]);
    weir_sim_check(weir_wait_closed(writer) == 0);
}

int scenario_attempts(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.strangers = true;
    scene.host = "localhost";
    scene.port = 7000;
    int rc = weir_start_server(talk_echo, NULL, NULL, scene.port, NULL, &scene.server);
    weir_sim_check(rc == 0);
    for (unsigned count = 2 + weir_sim_choose(8, "how many races"); count > 0; count--)
        race();
    return scene_end();
}
