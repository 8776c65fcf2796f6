/* Connecting. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "conformance.h"

static struct place place;

static int listening(int backlog)
{
    struct place any = loopback(0);
    int fd = listener(&any, backlog);
    place = name_of(fd);
    return fd;
}

/* A port where nobody listens. */
static void nobody(void)
{
    drop(listening(1));
}

static int fresh(void)
{
    return keep(sys_socket(place.at.any.sa_family, 0));
}

static void to_a_listener(void)
{
    listening(4);
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void refused(void)
{
    nobody();
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void refused_then_again(void)
{
    nobody();
    int fd = fresh();
    connect_to('n', fd, &place);
    submit_and_show(1);
    say("SO_ERROR: %d", sys_get_option(fd, SOL_SOCKET, SO_ERROR));
    listening(4);
    connect_to('n', fd, &place);
    submit_and_show(1);
}

static void twice(void)
{
    listening(4);
    int fd = fresh();
    connect_to('n', fd, &place);
    submit_and_show(1);
    connect_to('n', fd, &place);
    submit_and_show(1);
}

/* The queue takes one more than the backlog says; then nobody answers. */
static void full_backlog(void)
{
    listening(1);
    client(&place);
    client(&place);
    connect_to('n', fresh(), &place);
    submit();
    none();
    cancel('c', 'n');
    submit_and_show(2);
}

static void cancelled_then_closed(void)
{
    listening(1);
    client(&place);
    client(&place);
    int fd = fresh();
    connect_to('n', fd, &place);
    submit();
    none();
    cancel('c', 'n');
    submit_and_show(2);
    say("close: %s", outcome(drop(fd)));
}

static void shut_down_in_flight(void)
{
    listening(1);
    client(&place);
    client(&place);
    int fd = fresh();
    connect_to('n', fd, &place);
    submit();
    none();
    say("shutdown: %s", outcome(sys_shutdown(fd, SHUT_RDWR)));
    show(1);
}

static void of_a_listener(void)
{
    struct place any = loopback(0);
    int fd = listening(4);
    connect_to('n', listener(&any, 1), &place);
    submit_and_show(1);
    connect_to('n', fd, &place);
    submit_and_show(1);
}

static void wrong_family(void)
{
    listening(4);
    connect_to('n', keep(sys_socket(AF_INET6, 0)), &place);
    connect_to('u', keep(sys_socket(AF_UNIX, 0)), &place);
    submit_and_show(2);
}

static void of_no_socket(void)
{
    listening(4);
    connect_to('n', keep(sys_event_fd()), &place);
    connect_to('m', 999, &place);
    submit_and_show(2);
}

static void short_address(void)
{
    listening(4);
    place.length = 8;
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void to_any_address(void)
{
    listening(4);
    place.at.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    int fd = fresh();
    connect_to('n', fd, &place);
    submit_and_show(1);
    char text[INET_ADDRSTRLEN];
    struct sockaddr_storage name;
    socklen_t length;
    sys_socket_name(fd, true, &name, &length);
    inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&name)->sin_addr, text, sizeof text);
    say("peer: %s", text);
}

static void to_port_0(void)
{
    place = loopback(0);
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

/* A listener of one address is not there at another. */
static void to_another_address(void)
{
    listening(4);
    place.at.v4.sin_addr.s_addr = htonl(0x7f000005);
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void from_a_bound_address(void)
{
    listening(4);
    int fd = fresh();
    struct place own = loopback(0);
    own.at.v4.sin_addr.s_addr = htonl(0x7f000007);
    say("bind: %s", outcome(sys_bind(fd, &own.at.any, own.length)));
    unsigned port_before = port_of(&(struct place){ .at = name_of(fd).at });
    connect_to('n', fd, &place);
    submit_and_show(1);
    char text[INET_ADDRSTRLEN];
    struct place after = name_of(fd);
    inet_ntop(AF_INET, &after.at.v4.sin_addr, text, sizeof text);
    say("own: %s, the same port: %s", text, port_of(&after) == port_before ? "yes" : "no");
}

static void names(void)
{
    int fd = listening(4);
    int peer = client(&place);
    accept_one('a', fd);
    submit_and_show(1);
    struct sockaddr_storage far;
    socklen_t length;
    struct place own = name_of(peer), inner = name_of(last_accepted());
    sys_socket_name(last_accepted(), true, &far, &length);
    say("length: %u", length);
    say("the peer of the one is the other: %s",
        memcmp(&far, &own.at, sizeof own.at.v4) == 0 ? "yes" : "no");
    say("accepted at the listener's: %s", port_of(&inner) == port_of(&place) ? "yes" : "no");
    say("an own port: %s", port_of(&own) != 0 && port_of(&own) != port_of(&place) ? "yes" : "no");
}

static void over_ipv6(void)
{
    struct place any = loopback6(0);
    int fd = listener(&any, 4);
    place = name_of(fd);
    connect_to('n', fresh(), &place);
    accept_one('a', fd);
    submit_and_show(2);
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage far;
    socklen_t length;
    sys_socket_name(last_accepted(), true, &far, &length);
    inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)&far)->sin6_addr, text, sizeof text);
    say("from %s, length %u", text, length);
}

static void on_unix(void)
{
    place = unix_abstract();
    listener(&place, 4);
    int fd = fresh();
    connect_to('n', fd, &place);
    submit_and_show(1);
    connect_to('n', fd, &place);
    submit_and_show(1);
}

static void unix_without_a_file(void)
{
    place = unix_file();
    connect_to('n', fresh(), &place);
    submit_and_show(1);
    place = unix_abstract();
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void unix_nobody_listens(void)
{
    place = unix_file();
    int fd = fresh();
    sys_bind(fd, &place.at.any, place.length);
    connect_to('n', fresh(), &place);
    submit_and_show(1);
    drop(fd);
    connect_to('n', fresh(), &place);
    submit_and_show(1);
}

static void unix_by_call(void)
{
    place = unix_file();
    say("no file: %s", outcome(sys_connect(fresh(), &place.at.any, place.length)));
    int fd = listener(&place, 1);
    int peer = fresh();
    say("listening: %s", outcome(sys_connect(peer, &place.at.any, place.length)));
    say("again: %s", outcome(sys_connect(peer, &place.at.any, place.length)));
    say("one more: %s", outcome(sys_connect(fresh(), &place.at.any, place.length)));
    say("full: %s", outcome(sys_connect(fresh(), &place.at.any, place.length)));
    sys_accept_and_close(fd);
    say("not full: %s", outcome(sys_connect(fresh(), &place.at.any, place.length)));
    drop(fd);
    say("nobody: %s", outcome(sys_connect(fresh(), &place.at.any, place.length)));
}

static void by_call(void)
{
    listening(4);
    int fd = fresh();
    say("first: %s", outcome(sys_connect(fd, &place.at.any, place.length)));
    settle();
    say("asked again: %s", outcome(sys_connect(fd, &place.at.any, place.length)));
    say("asked again: %s", outcome(sys_connect(fd, &place.at.any, place.length)));
    say("bad fd: %s", outcome(sys_connect(999, &place.at.any, place.length)));
}

const struct vector connect_vectors[] = {
    { "connect/to-a-listener", to_a_listener },
    { "connect/refused", refused },
    { "connect/refused-then-again", refused_then_again },
    { "connect/twice", twice },
    { "connect/full-backlog", full_backlog },
    { "connect/cancelled-then-closed", cancelled_then_closed },
    { "connect/shut-down-in-flight", shut_down_in_flight },
    { "connect/of-a-listener", of_a_listener },
    { "connect/wrong-family", wrong_family },
    { "connect/of-no-socket", of_no_socket },
    { "connect/short-address", short_address },
    { "connect/to-any-address", to_any_address },
    { "connect/to-port-0", to_port_0 },
    { "connect/to-another-address", to_another_address },
    { "connect/from-a-bound-address", from_a_bound_address },
    { "connect/names", names },
    { "connect/over-ipv6", over_ipv6 },
    { "connect/on-unix", on_unix },
    { "connect/unix-without-a-file", unix_without_a_file },
    { "connect/unix-nobody-listens", unix_nobody_listens },
    { "connect/unix-by-call", unix_by_call },
    { "connect/by-call", by_call },
    { 0 },
};
