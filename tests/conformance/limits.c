/* When there is no fd left. */
#include <errno.h>

#include "conformance.h"

enum { MOST = 1 << 20 };
static int spares[MOST];
static int spare_count;

/* Takes all numbers that are left; says how that ended. */
static void take_all_fds(void)
{
    spare_count = 0;
    int fd = sys_event_fd();
    for (; fd >= 0 && spare_count < MOST - 1; fd = sys_event_fd())
        spares[spare_count++] = fd;
    say("one more: %s", verdict(fd));
    keep(fd);
}

static void give_one_back(void)
{
    if (spare_count > 0)
        sys_close(spares[--spare_count]);
}

static void give_all_back(void)
{
    while (spare_count > 0)
        give_one_back();
}

static void calls(void)
{
    int fd = keep(sys_socket(AF_INET, 0));
    take_all_fds();
    say("socket: %s", verdict(sys_socket(AF_INET, 0)));
    say("eventfd: %s", verdict(sys_event_fd()));
    say("duplicate: %s", verdict(sys_duplicate(fd)));
    struct lane lane;
    say("ring: %s", verdict(lane_open(&lane, 8, 32, usual_flags())));
    give_one_back();
    say("then, socket: %s", verdict(keep(sys_socket(AF_INET, 0))));
    give_all_back();
}

static void accept_once(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 4);
    place = name_of(fd);
    client(&place);
    settle();
    take_all_fds();
    accept_one('a', fd);
    submit_and_show(1);
    give_all_back();
    accept_one('a', fd); /* the client is still there */
    submit_and_show(1);
}

static void accept_many(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 4);
    place = name_of(fd);
    accept_multi('a', fd);
    submit();
    client(&place);
    show(1);
    int late = keep(sys_socket(AF_INET, 0));
    take_all_fds();
    connect_to('n', late, &place);
    submit_and_show(2);
    give_all_back();
    accept_multi('a', fd);
    submit_and_show(1);
}

/* Nobody waits: the number is asked for when somebody does, or at once? */
static void accept_without_clients(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 4);
    take_all_fds();
    accept_one('a', fd);
    submit();
    none();
    give_all_back();
}

/* As the library does with its spare one. */
static void accept_and_close(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 4);
    place = name_of(fd);
    int peer = client(&place);
    settle();
    take_all_fds();
    say("let in and out: %s", outcome(sys_accept_and_close(fd)));
    give_one_back();
    say("let in and out: %s", outcome(sys_accept_and_close(fd)));
    settle();
    peer_reads(peer, 0);
    give_all_back();
}

/* What needs no number goes on. */
static void receive_goes_on(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    take_all_fds();
    receive_multi('r', pair.a, 0);
    submit();
    put(pair.b, "hello");
    show(1);
    close_fd('k', pair.b);
    submit_and_show(2);
    give_all_back();
}

const struct vector limit_vectors[] = {
    { "limits/calls", calls },
    { "limits/accept-once", accept_once },
    { "limits/accept-many", accept_many },
    { "limits/accept-without-clients", accept_without_clients },
    { "limits/accept-and-close", accept_and_close },
    { "limits/receive-goes-on", receive_goes_on },
    { 0 },
};
