/* Sockets and fds by system calls: kinds, names, options, numbers. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include "conformance.h"

static void families(void)
{
    say("IPv4: %s", verdict(keep(sys_socket(AF_INET, 0))));
    say("IPv4, TCP: %s", verdict(keep(sys_socket(AF_INET, IPPROTO_TCP))));
    say("IPv4, UDP: %s", verdict(keep(sys_socket(AF_INET, IPPROTO_UDP))));
    say("IPv6: %s", verdict(keep(sys_socket(AF_INET6, 0))));
    say("Unix: %s", verdict(keep(sys_socket(AF_UNIX, 0))));
    say("Unix, TCP: %s", verdict(keep(sys_socket(AF_UNIX, IPPROTO_TCP))));
    say("unknown: %s", verdict(keep(sys_socket(99, 0))));
}

static void check(void)
{
    static const int families_known[] = { AF_INET, AF_INET6, AF_UNIX };
    for (int i = 0; i < 3; i++) {
        int family = -1;
        int rc = sys_socket_check(keep(sys_socket(families_known[i], 0)), &family);
        say("%s, the family: %s", outcome(rc), family == families_known[i] ? "same" : "another");
    }
    int family = -1;
    say("eventfd: %s", outcome(sys_socket_check(keep(sys_event_fd()), &family)));
    say("bad fd: %s", outcome(sys_socket_check(999, &family)));
    say("negative: %s", outcome(sys_socket_check(-1, &family)));
}

static void names_of_the_unbound(void)
{
    struct sockaddr_storage name;
    socklen_t length = 0;
    int fd = keep(sys_socket(AF_INET, 0));
    say("own: %s", outcome(sys_socket_name(fd, false, &name, &length)));
    say("family %s, length %u", name.ss_family == AF_INET ? "IPv4" : "another", length);
    say("peer: %s", outcome(sys_socket_name(fd, true, &name, &length)));
    fd = keep(sys_socket(AF_UNIX, 0));
    say("Unix, own: %s", outcome(sys_socket_name(fd, false, &name, &length)));
    say("length %u", length);
    say("Unix, peer: %s", outcome(sys_socket_name(fd, true, &name, &length)));
}

static void names_of_no_socket(void)
{
    struct sockaddr_storage name;
    socklen_t length;
    int event = keep(sys_event_fd());
    say("%s, %s", outcome(sys_socket_name(event, false, &name, &length)),
        outcome(sys_socket_name(event, true, &name, &length)));
    say("%s, %s", outcome(sys_socket_name(999, false, &name, &length)),
        outcome(sys_socket_name(999, true, &name, &length)));
}

static void names_of_a_listener(void)
{
    struct place place = loopback(0);
    struct sockaddr_storage name;
    socklen_t length;
    int fd = listener(&place, 1);
    say("peer: %s", outcome(sys_socket_name(fd, true, &name, &length)));
    struct place own = name_of(fd);
    say("own: port %s, length %u", port_of(&own) != 0 ? "yes" : "no", own.length);
}

static void names_after_the_end(void)
{
    struct pair pair = pair_tcp();
    struct sockaddr_storage name;
    socklen_t length;
    sys_shutdown(pair.a, SHUT_WR);
    drop(pair.b);
    settle();
    say("peer: %s", outcome(sys_socket_name(pair.a, true, &name, &length)));
}

static void names_after_the_peers_end(void)
{
    struct pair pair = pair_tcp();
    struct sockaddr_storage name;
    socklen_t length;
    drop(pair.b);
    settle();
    say("peer: %s", outcome(sys_socket_name(pair.a, true, &name, &length)));
}

static void options(void)
{
    int fd = keep(sys_socket(AF_INET, 0));
    static const struct {
        const char *name;
        int level, option;
    } some[] = {
        { "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR },
        { "SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT },
        { "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE },
        { "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY },
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int before = sys_get_option(fd, some[i].level, some[i].option);
        int rc = sys_set_option(fd, some[i].level, some[i].option, 1);
        say("%s: %d, set: %s, %d", some[i].name, before, outcome(rc),
            sys_get_option(fd, some[i].level, some[i].option));
    }
    say("SO_ERROR: %d", sys_get_option(fd, SOL_SOCKET, SO_ERROR));
    say("SO_TYPE: %s", sys_get_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM ? "stream" : "?");
    say("SO_DOMAIN: %s", sys_get_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET ? "IPv4" : "?");
}

static void options_of_others(void)
{
    int un = keep(sys_socket(AF_UNIX, 0));
    say("Unix, no delay: %s", outcome(sys_set_option(un, IPPROTO_TCP, TCP_NODELAY, 1)));
    say("Unix, SO_DOMAIN: %s", sys_get_option(un, SOL_SOCKET, SO_DOMAIN) == AF_UNIX ? "Unix" : "?");
    int four = keep(sys_socket(AF_INET, 0));
    say("IPv4, IPv6 only: %s", outcome(sys_set_option(four, IPPROTO_IPV6, IPV6_V6ONLY, 1)));
    int event = keep(sys_event_fd());
    say("eventfd: %s, %s", outcome(sys_set_option(event, SOL_SOCKET, SO_REUSEADDR, 1)),
        outcome(sys_get_option(event, SOL_SOCKET, SO_TYPE)));
    say("bad fd: %s, %s", outcome(sys_set_option(999, SOL_SOCKET, SO_REUSEADDR, 1)),
        outcome(sys_get_option(999, SOL_SOCKET, SO_TYPE)));
}

static void set_blocking(void)
{
    struct pair pair = pair_tcp();
    say("socket: %s", outcome(sys_set_blocking(pair.a)));
    say("eventfd: %s", outcome(sys_set_blocking(keep(sys_event_fd()))));
    say("bad fd: %s", outcome(sys_set_blocking(999)));
}

static void shutdown_wrongly(void)
{
    int fd = keep(sys_socket(AF_INET, 0));
    say("not connected: %s", outcome(sys_shutdown(fd, SHUT_WR)));
    say("Unix: %s", outcome(sys_shutdown(keep(sys_socket(AF_UNIX, 0)), SHUT_WR)));
    say("no socket: %s", outcome(sys_shutdown(keep(sys_event_fd()), SHUT_WR)));
    say("bad fd: %s", outcome(sys_shutdown(999, SHUT_WR)));
    struct pair pair = pair_tcp();
    say("bad direction: %s", outcome(sys_shutdown(pair.a, 7)));
}

static void shutdown_twice(void)
{
    struct pair pair = pair_tcp();
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    say("%s", outcome(sys_shutdown(pair.a, SHUT_RDWR)));
    drop(pair.b);
    settle();
    say("after the peer's end: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
}

static void shutdown_twice_on_unix(void)
{
    struct pair pair = pair_unix();
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    drop(pair.b);
    say("after the peer's end: %s", outcome(sys_shutdown(pair.a, SHUT_WR)));
}

static void shutdown_after_the_peers_end(void)
{
    struct pair pair = pair_tcp();
    drop(pair.b);
    settle();
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    settle();
    say("%s", outcome(sys_shutdown(pair.a, SHUT_WR)));
    say("%s", outcome(sys_shutdown(pair.a, SHUT_RDWR)));
}

static void numbers(void)
{
    int first = sys_socket(AF_INET, 0), second = sys_event_fd(), third = sys_event_fd();
    say("they rise: %s", first < second && second < third ? "yes" : "no");
    sys_close(second);
    int again = sys_socket(AF_UNIX, 0);
    say("the lowest is taken: %s", again == second ? "yes" : "no");
    sys_close(first);
    sys_close(again);
    int twin = sys_duplicate(third);
    say("by a duplicate, too: %s", twin == first ? "yes" : "no");
    sys_close(twin);
    sys_close(third);
}

static void number_of_an_accepted(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 1);
    place = name_of(fd);
    int peer = client(&place);
    settle();
    int hole = sys_socket(AF_INET, 0);
    sys_close(hole);
    accept_one('a', fd);
    submit_and_show(1);
    say("the lowest: %s, not the peer's: %s", last_accepted() == hole ? "yes" : "no",
        last_accepted() != peer ? "yes" : "no");
}

static void close_wrongly(void)
{
    int fd = sys_socket(AF_INET, 0);
    say("%s", outcome(sys_close(fd)));
    say("again: %s", outcome(sys_close(fd)));
    say("negative: %s", outcome(sys_close(-1)));
}

static void duplicate(void)
{
    struct pair pair = pair_tcp();
    int twin = keep(sys_duplicate(pair.a));
    say("close: %s", outcome(drop(pair.a)));
    peer_reads(pair.b, 0); /* the connection stays */
    say("send: %s", outcome(sys_send(twin, "hello", 5, 0)));
    peer_reads(pair.b, 5);
    drop(twin);
    peer_reads(pair.b, 0);
}

static void duplicate_shares_shutdown(void)
{
    struct pair pair = pair_tcp();
    int twin = keep(sys_duplicate(pair.a));
    sys_shutdown(twin, SHUT_WR);
    say("send: %s", outcome(sys_send(pair.a, "x", 1, 0)));
    peer_reads(pair.b, 0);
}

static void duplicate_wrongly(void)
{
    say("%s", outcome(sys_duplicate(999)));
    say("%s", outcome(sys_duplicate(-1)));
}

static void clock_goes_on(void)
{
    int64_t begin = sys_now();
    settle();
    say("later: %s", sys_now() > begin ? "yes" : "no");
}

static void memory(void)
{
    size_t size = 4 * sys_page_size();
    char *map = sys_map(size);
    say("mapped: %s, at a page: %s", map != NULL ? "yes" : "no",
        (uintptr_t)map % sys_page_size() == 0 ? "yes" : "no");
    say("zeros: %s", map[0] == 0 && map[size - 1] == 0 ? "yes" : "no");
    map[0] = map[size - 1] = 1;
    sys_discard(map, size);
    say("zeros again: %s", map[0] == 0 && map[size - 1] == 0 ? "yes" : "no");
    say("guard: %s", outcome(sys_guard(map, sys_page_size())));
    sys_unmap(map, size);
    sys_guards_gone(1);
    say("a limit of fds: %s", sys_fd_limit() >= 64 ? "yes" : "no");
}

const struct vector socket_vectors[] = {
    { "socket/families", families },
    { "socket/check", check },
    { "socket/names-of-the-unbound", names_of_the_unbound },
    { "socket/names-of-no-socket", names_of_no_socket },
    { "socket/names-of-a-listener", names_of_a_listener },
    { "socket/names-after-the-end", names_after_the_end },
    { "socket/names-after-the-peers-end", names_after_the_peers_end },
    { "socket/options", options },
    { "socket/options-of-others", options_of_others },
    { "socket/set-blocking", set_blocking },
    { "socket/shutdown-wrongly", shutdown_wrongly },
    { "socket/shutdown-twice", shutdown_twice },
    { "socket/shutdown-twice-on-unix", shutdown_twice_on_unix },
    { "socket/shutdown-after-the-peers-end", shutdown_after_the_peers_end },
    { "socket/numbers", numbers },
    { "socket/number-of-an-accepted", number_of_an_accepted },
    { "socket/close-wrongly", close_wrongly },
    { "socket/duplicate", duplicate },
    { "socket/duplicate-shares-shutdown", duplicate_shares_shutdown },
    { "socket/duplicate-wrongly", duplicate_wrongly },
    { "socket/clock-goes-on", clock_goes_on },
    { "socket/memory", memory },
    { 0 },
};
