/* Accepting. */
#include <errno.h>
#include <netinet/tcp.h>

#include "conformance.h"

static struct place place; /* of the listener */

static int listening(int backlog)
{
    struct place any = loopback(0);
    int fd = listener(&any, backlog);
    place = name_of(fd);
    return fd;
}

static void one(void)
{
    int fd = listening(4);
    accept_one('a', fd);
    submit();
    none();
    client(&place);
    show(1);
    client(&place);
    none();
}

static void one_that_waits(void)
{
    int fd = listening(4);
    client(&place);
    settle();
    accept_one('a', fd);
    submit_and_show(1);
}

static void several(void)
{
    int fd = listening(4);
    accept_multi('a', fd);
    submit();
    for (int i = 0; i < 3; i++) {
        client(&place);
        show(1);
    }
}

static void several_that_wait(void)
{
    int fd = listening(4);
    for (int i = 0; i < 3; i++)
        client(&place);
    settle();
    accept_multi('a', fd);
    submit_and_show(3);
    none();
}

/* First come, first served. */
static void in_their_order(void)
{
    int fd = listening(4);
    put(client(&place), "first");
    put(client(&place), "second");
    for (int i = 0; i < 2; i++) {
        accept_one('a', fd);
        submit_and_show(1);
        peer_reads(last_accepted(), i == 0 ? 5 : 6);
    }
}

static void two_at_once(void)
{
    int fd = listening(4);
    accept_one('a', fd);
    accept_one('a', fd);
    submit();
    client(&place);
    show(1);
    none();
    client(&place);
    show(1);
}

static void shut_down(void)
{
    int fd = listening(4);
    accept_one('a', fd);
    submit();
    say("shutdown: %s", outcome(sys_shutdown(fd, SHUT_RDWR)));
    show(1);
}

static void shut_down_multi(void)
{
    int fd = listening(4);
    accept_multi('a', fd);
    submit();
    client(&place);
    show(1);
    say("shutdown: %s", outcome(sys_shutdown(fd, SHUT_RDWR)));
    show(1);
}

static void shut_down_before(void)
{
    int fd = listening(4);
    sys_shutdown(fd, SHUT_RDWR);
    accept_one('a', fd);
    submit_and_show(1);
}

static void shut_down_refuses(void)
{
    int fd = listening(4);
    sys_shutdown(fd, SHUT_RDWR);
    connect_to('n', keep(sys_socket(AF_INET, 0)), &place);
    submit_and_show(1);
}

/* Those who wait are reset. */
static void shut_down_with_clients(void)
{
    int fd = listening(4);
    int peer = client(&place);
    settle();
    sys_shutdown(fd, SHUT_RDWR);
    settle();
    peer_reads(peer, 0);
}

static void closed_with_clients(void)
{
    int fd = listening(4);
    int peer = client(&place);
    settle();
    drop(fd);
    settle();
    peer_reads(peer, 0);
}

static void closed_unix_with_clients(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    int peer = client(&place);
    drop(fd);
    settle();
    peer_reads(peer, 0);
    peer_reads(peer, 0);
}

/* Other than with TCP, a multishot accept that waits is not told: it must be cancelled. */
static void shut_down_unix(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    accept_multi('a', fd);
    submit();
    say("shutdown: %s", outcome(sys_shutdown(fd, SHUT_RDWR)));
    none();
    connect_to('n', keep(sys_socket(AF_UNIX, 0)), &place);
    submit_and_show(1);
    cancel('c', 'a');
    submit_and_show(2);
}

static void shut_down_unix_one(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    accept_one('a', fd);
    submit();
    sys_shutdown(fd, SHUT_RDWR);
    show(1);
}

static void shut_down_unix_with_clients(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    int peer = client(&place);
    sys_shutdown(fd, SHUT_RDWR);
    settle();
    peer_reads(peer, 0);
    accept_one('a', fd); /* they are still to be had */
    submit_and_show(1);
}

static void on_unix(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    accept_multi('a', fd);
    submit();
    for (int i = 0; i < 2; i++) {
        client(&place);
        show(1);
    }
    cancel('c', 'a');
    submit_and_show(2);
}

static void cancelled_then_again(void)
{
    int fd = listening(4);
    accept_multi('a', fd);
    submit();
    client(&place);
    show(1);
    cancel('c', 'a');
    submit_and_show(2);
    client(&place);
    accept_one('a', fd);
    submit_and_show(1);
}

static void client_unseen_at_cancel(void)
{
    int fd = listening(4);
    accept_one('a', fd);
    submit();
    client(&place);
    settle();
    flush_cq();
    cancel('c', 'a');
    submit_and_show(2);
}

static void gone_client(void)
{
    int fd = listening(4);
    int peer = client(&place);
    put(peer, "bye");
    drop(peer);
    settle();
    accept_one('a', fd);
    submit_and_show(1);
    peer_reads(last_accepted(), 0);
}

static void not_listening(void)
{
    accept_one('a', keep(sys_socket(AF_INET, 0)));
    accept_one('b', keep(sys_socket(AF_UNIX, 0)));
    accept_multi('c', keep(sys_socket(AF_INET, 0)));
    submit_and_show(3);
}

static void of_a_connection(void)
{
    struct pair pair = pair_tcp();
    accept_one('a', pair.a);
    submit_and_show(1);
}

static void of_no_socket(void)
{
    accept_one('a', keep(sys_event_fd()));
    accept_one('b', 999);
    submit_and_show(2);
}

static void bad_fields(void)
{
    int fd = listening(4);
    accept_one('a', fd)->accept_flags = 1;
    accept_one('b', fd)->len = 1;
    accept_one('c', fd)->ioprio = 1 << 14;
    submit_and_show(3);
}

static void inherits_options(void)
{
    int fd = listening(4);
    say("set: %s", outcome(sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)));
    say("set: %s", outcome(sys_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1)));
    client(&place);
    accept_one('a', fd);
    submit_and_show(1);
    say("no delay: %d", sys_get_option(last_accepted(), IPPROTO_TCP, TCP_NODELAY));
    say("kept alive: %d", sys_get_option(last_accepted(), SOL_SOCKET, SO_KEEPALIVE));
}

static void and_close(void)
{
    int fd = listening(4);
    say("nobody waits: %s", outcome(sys_accept_and_close(fd)));
    int peer = client(&place);
    settle();
    say("one waits: %s", outcome(sys_accept_and_close(fd)));
    settle();
    peer_reads(peer, 0);
    say("nobody waits: %s", outcome(sys_accept_and_close(fd)));
    client(&place); /* the listener is as before */
    accept_one('a', fd);
    submit_and_show(1);
}

static void and_close_wrongly(void)
{
    struct pair pair = pair_tcp();
    say("a connection: %s", outcome(sys_accept_and_close(pair.a)));
    say("not listening: %s", outcome(sys_accept_and_close(keep(sys_socket(AF_INET, 0)))));
    say("no socket: %s", outcome(sys_accept_and_close(keep(sys_event_fd()))));
    say("bad fd: %s", outcome(sys_accept_and_close(999)));
}

static void and_close_unix(void)
{
    place = unix_abstract();
    int fd = listener(&place, 4);
    say("nobody waits: %s", outcome(sys_accept_and_close(fd)));
    int peer = client(&place);
    say("one waits: %s", outcome(sys_accept_and_close(fd)));
    peer_reads(peer, 0);
}

static void by_a_duplicate(void)
{
    int fd = listening(4);
    int twin = keep(sys_duplicate(fd));
    drop(fd);
    client(&place);
    accept_one('a', twin);
    submit_and_show(1);
    sys_shutdown(twin, SHUT_RDWR);
    connect_to('n', keep(sys_socket(AF_INET, 0)), &place);
    submit_and_show(1);
}

const struct vector accept_vectors[] = {
    { "accept/one", one },
    { "accept/one-that-waits", one_that_waits },
    { "accept/several", several },
    { "accept/several-that-wait", several_that_wait },
    { "accept/in-their-order", in_their_order },
    { "accept/two-at-once", two_at_once },
    { "accept/shut-down", shut_down },
    { "accept/shut-down-multi", shut_down_multi },
    { "accept/shut-down-before", shut_down_before },
    { "accept/shut-down-refuses", shut_down_refuses },
    { "accept/shut-down-with-clients", shut_down_with_clients },
    { "accept/closed-with-clients", closed_with_clients },
    { "accept/closed-unix-with-clients", closed_unix_with_clients },
    { "accept/shut-down-unix", shut_down_unix },
    { "accept/shut-down-unix-one", shut_down_unix_one },
    { "accept/shut-down-unix-with-clients", shut_down_unix_with_clients },
    { "accept/on-unix", on_unix },
    { "accept/cancelled-then-again", cancelled_then_again },
    { "accept/client-unseen-at-cancel", client_unseen_at_cancel },
    { "accept/gone-client", gone_client },
    { "accept/not-listening", not_listening },
    { "accept/of-a-connection", of_a_connection },
    { "accept/of-no-socket", of_no_socket },
    { "accept/bad-fields", bad_fields },
    { "accept/inherits-options", inherits_options },
    { "accept/and-close", and_close },
    { "accept/and-close-wrongly", and_close_wrongly },
    { "accept/and-close-unix", and_close_unix },
    { "accept/by-a-duplicate", by_a_duplicate },
    { 0 },
};
