/* Binding and listening: who may have which address. */
#include <errno.h>
#include <netinet/tcp.h>

#include "conformance.h"

static int bound(int fd, const struct place *place)
{
    return sys_bind(fd, &place->at.any, place->length);
}

static int fresh(const char *option)
{
    int fd = keep(sys_socket(AF_INET, 0));
    if (option != NULL)
        sys_set_option(fd, SOL_SOCKET, option[0] == 'p' ? SO_REUSEPORT : SO_REUSEADDR, 1);
    return fd;
}

/* Two of them at one address, the first of which listens or not. */
static void two(const char *first_option, bool first_listens, const char *second_option)
{
    struct place place = loopback(0);
    int first = fresh(first_option), second = fresh(second_option);
    bound(first, &place);
    if (first_listens)
        sys_listen(first, 1);
    place = name_of(first);
    int rc = bound(second, &place);
    say("bind: %s", outcome(rc));
    if (rc == 0)
        say("listen: %s", outcome(sys_listen(second, 1)));
}

static void in_use(void)
{
    two(NULL, false, NULL);
    two(NULL, true, NULL);
}

static void in_use_reuse_address(void)
{
    two("address", false, "address");
    two("address", true, "address");
    two("address", true, NULL);
    two(NULL, true, "address");
}

static void reuse_port(void)
{
    two("port", true, "port");
    two("port", true, NULL);
    two("port", true, "address");
    two(NULL, true, "port");
}

static void both_listen_later(void)
{
    struct place place = loopback(0);
    int first = fresh("address"), second = fresh("address");
    bound(first, &place);
    place = name_of(first);
    say("bind: %s", outcome(bound(second, &place)));
    say("first listens: %s", outcome(sys_listen(first, 1)));
    say("second listens: %s", outcome(sys_listen(second, 1)));
}

/* With SO_REUSEPORT the ports that the kernel chooses are not those of others. */
static void port_0_is_new(void)
{
    struct place place = loopback(0);
    int first = fresh("port"), second = fresh("port");
    bound(first, &place);
    sys_listen(first, 1);
    bound(second, &place);
    sys_listen(second, 1);
    struct place one = name_of(first), other = name_of(second);
    say("another port: %s", port_of(&one) != port_of(&other) ? "yes" : "no");
}

static void twice(void)
{
    struct place place = loopback(0);
    int fd = fresh(NULL);
    say("first: %s", outcome(bound(fd, &place)));
    say("second: %s", outcome(bound(fd, &place)));
}

static void other_address_same_port(void)
{
    struct place place = loopback(0);
    int first = fresh(NULL), second = fresh(NULL), third = fresh(NULL);
    bound(first, &place);
    sys_listen(first, 1);
    place = name_of(first);
    place.at.v4.sin_addr.s_addr = htonl(0x7f000002);
    say("another address: %s", outcome(bound(second, &place)));
    place.at.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    say("all of them: %s", outcome(bound(third, &place)));
}

static void address_of_nobody(void)
{
    struct place place = loopback(0);
    place.at.v4.sin_addr.s_addr = htonl(0xc0000201); /* TEST-NET-1 */
    say("bind: %s", outcome(bound(fresh(NULL), &place)));
}

static void wrong_family(void)
{
    struct place four = loopback(0), six = loopback6(0), path = unix_abstract();
    say("IPv6 to IPv4: %s", outcome(bound(fresh(NULL), &six)));
    say("IPv4 to IPv6: %s", outcome(bound(keep(sys_socket(AF_INET6, 0)), &four)));
    say("Unix to IPv4: %s", outcome(bound(fresh(NULL), &path)));
    four.length = 4;
    say("cut short: %s", outcome(bound(fresh(NULL), &four)));
}

static void wrong_fd(void)
{
    struct place place = loopback(0);
    say("no socket: %s", outcome(bound(keep(sys_event_fd()), &place)));
    say("bad fd: %s", outcome(bound(999, &place)));
    say("listen: %s, %s", outcome(sys_listen(keep(sys_event_fd()), 1)),
        outcome(sys_listen(999, 1)));
}

static void after_close(void)
{
    struct place place = loopback(0);
    int first = listener(&place, 1);
    place = name_of(first);
    drop(first);
    say("bind: %s", outcome(bound(fresh(NULL), &place)));
}

/* A connection keeps the port from those without SO_REUSEADDR, and, accepted by a listener without
 * it, from all; also after its end, if that was ours first. */
static void after_connections(const char *option)
{
    struct place place = loopback(0);
    int first = fresh(option);
    bound(first, &place);
    sys_listen(first, 4);
    place = name_of(first);
    int peer = client(&place);
    accept_one('a', first);
    submit_and_show(1);
    drop(first);
    for (int open = 1; open >= 0; open--) {
        int second = fresh(NULL), third = fresh("address");
        say("%s: %s", open ? "while it is open" : "ended", outcome(bound(second, &place)));
        int rc = bound(third, &place);
        say("with reuse: %s", outcome(rc));
        if (rc == 0)
            say("listen: %s", outcome(sys_listen(third, 1)));
        drop(second);
        drop(third);
        if (!open)
            break;
        drop(last_accepted());
        settle();
        drop(peer);
        settle();
    }
}

static void after_connections_plain(void)
{
    after_connections(NULL);
}

static void after_connections_reuse(void)
{
    after_connections("address");
}

static void listen_unbound(void)
{
    int fd = fresh(NULL);
    struct place before = name_of(fd);
    say("port before: %s", port_of(&before) == 0 ? "none" : "some");
    say("listen: %s", outcome(sys_listen(fd, 1)));
    struct place after = name_of(fd);
    say("port after: %s", port_of(&after) == 0 ? "none" : "some");
    say("of any address: %s", after.at.v4.sin_addr.s_addr == htonl(INADDR_ANY) ? "yes" : "no");
}

static void listen_twice(void)
{
    struct place place = loopback(0);
    int fd = listener(&place, 1);
    say("again: %s", outcome(sys_listen(fd, 8)));
    struct pair pair = pair_tcp();
    say("a connection: %s", outcome(sys_listen(pair.a, 1)));
}

static void ipv6_only(void)
{
    struct place six = loopback6(0), four = loopback(0);
    six.at.v6.sin6_addr = in6addr_any;
    int first = keep(sys_socket(AF_INET6, 0));
    say("set: %s", outcome(sys_set_option(first, IPPROTO_IPV6, IPV6_V6ONLY, 1)));
    say("bind: %s", outcome(bound(first, &six)));
    sys_listen(first, 1);
    six = name_of(first);
    four.at.v4.sin_port = six.at.v6.sin6_port;
    four.at.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    connect_to('n', fresh(NULL), &four);
    submit_and_show(1);
    int second = fresh(NULL);
    say("IPv4 too: %s", outcome(bound(second, &four)));
    say("listen: %s", outcome(sys_listen(second, 1)));
}

/* Without it, it serves IPv4, too. */
static void ipv6_for_both(void)
{
    struct place six = loopback6(0), four = loopback(0);
    six.at.v6.sin6_addr = in6addr_any;
    int first = keep(sys_socket(AF_INET6, 0));
    sys_set_option(first, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    bound(first, &six);
    sys_listen(first, 1);
    six = name_of(first);
    four.at.v4.sin_port = six.at.v6.sin6_port;
    say("IPv4 too: %s", outcome(bound(fresh(NULL), &four)));
    connect_to('n', fresh(NULL), &four);
    submit_and_show(1);
}

/* All who share a port get clients, but each client one of them. */
static void shared_port_serves(void)
{
    struct place place = loopback(0);
    int first = fresh("port"), second = fresh("port");
    bound(first, &place);
    place = name_of(first);
    bound(second, &place);
    sys_listen(first, 16);
    sys_listen(second, 16);
    accept_multi('a', first);
    accept_multi('a', second);
    submit();
    for (int i = 0; i < 4; i++) {
        client(&place);
        show(1);
    }
    drop(first);
    for (int i = 0; i < 2; i++) {
        cancel('c', 'a');
        submit_and_show(2);
    }
}

const struct vector bind_vectors[] = {
    { "bind/in-use", in_use },
    { "bind/in-use-reuse-address", in_use_reuse_address },
    { "bind/reuse-port", reuse_port },
    { "bind/both-listen-later", both_listen_later },
    { "bind/port-0-is-new", port_0_is_new },
    { "bind/twice", twice },
    { "bind/other-address-same-port", other_address_same_port },
    { "bind/address-of-nobody", address_of_nobody },
    { "bind/wrong-family", wrong_family },
    { "bind/wrong-fd", wrong_fd },
    { "bind/after-close", after_close },
    { "bind/after-connections", after_connections_plain },
    { "bind/after-connections-reuse", after_connections_reuse },
    { "bind/listen-unbound", listen_unbound },
    { "bind/listen-twice", listen_twice },
    { "bind/ipv6-only", ipv6_only },
    { "bind/ipv6-for-both", ipv6_for_both },
    { "bind/shared-port-serves", shared_port_serves },
    { 0 },
};
