/* Servers: weir_start_server() and what becomes of its clients, after asyncio's test_server,
 * test_streams and test_base_events. A client is a plain socket (`peer` of a struct pair, whose
 * other members are unused) or, where there are many, a stream of the same loop. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

TestSuite(server, .timeout = 20);

/* ---- A server and what its handlers tell ------------------------------------------------------*/

struct service {
    struct weir_server *server;
    int started, live, most;  /* handlers: so far, now, and at most at a time */
    ssize_t result;           /* of the last call of a handler */
    struct weir_event go;     /* what a handler may wait for */
    struct weir_group *group; /* what a handler may cancel */
    size_t size;
    int64_t number;
};

static void enter(struct service *service)
{
    service->started++;
    service->live++;
    if (service->live > service->most)
        service->most = service->live;
}

static void leave(struct service *service, ssize_t result)
{
    service->live--;
    service->result = result;
}

/* Sends back all that comes. */
static void echo(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice data;
    ssize_t n;
    enter(argument);
    while ((n = weir_read(reader, 4096, &data)) > 0) {
        weir_write_slice(writer, data);
        weir_drain(writer);
    }
    leave(argument, n);
}

static void echo_line(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice line;
    enter(argument);
    ssize_t n = weir_readline(reader, &line);
    if (n > 0)
        weir_write_slice(writer, line);
    leave(argument, n);
}

static void wait_for_go(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    enter(service);
    leave(service, weir_event_wait(&service->go));
}

static void serve(struct service *service, weir_client_connected_fn *handler,
                  const struct weir_server_options *options)
{
    expect_result(weir_start_server(handler, service, "127.0.0.1", 0, options, &service->server),
                  0);
}

static void service_end(struct service *service)
{
    weir_server_close(service->server);
    expect_result(weir_server_wait_closed(service->server), 0);
    cr_assert(eq(int, service->live, 0), "a handler outlives its server");
}

/* ---- Clients ----------------------------------------------------------------------------------*/

static int try_connect_to(const char *address, uint16_t port)
{
    struct sockaddr_storage name = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&name;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else {
        cr_assert(eq(int, inet_pton(AF_INET6, address, &v6->sin6_addr), 1));
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    }
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, fd, 0));
    int small = 4096, on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct timeval limit = { .tv_sec = 5 };
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* A blocking socket that is connected to the server, which may not know yet. */
static struct pair connect_to(const struct service *service)
{
    struct pair client = { .peer = try_connect_to("127.0.0.1", weir_server_port(service->server)) };
    cr_assert(ge(int, client.peer, 0), "connect: %s", weir_strerror(client.peer));
    return client;
}

static void send_text(const struct pair *client, const char *text)
{
    cr_assert(eq(sz, send(client->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text)));
}

static void expect_echo(struct pair *client, const char *text)
{
    send_text(client, text);
    peer_expect(client, text);
}

/* The end, whether in order or not, as unread data may turn it into a reset. */
static void expect_end(struct pair *client)
{
    char buffer[256];
    for (int polls = 0; polls < 5000; polls++) {
        ssize_t n = recv(client->peer, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return;
        expect_result(weir_sleep(WEIR_MILLISECOND), 0);
    }
    cr_fatal("the connection has not ended");
}

static bool have_ipv6(void)
{
    struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0;
    if (fd >= 0)
        close(fd);
    return have;
}

#define NEED_IPV6()                                                                                \
    do {                                                                                           \
        if (!have_ipv6())                                                                          \
            cr_skip("no ::1 on this machine");                                                     \
    } while (0)

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until a number that another task changes is this one. */
#define until(number, wanted)                                                                      \
    do {                                                                                           \
        int polls_ = 0;                                                                            \
        while ((number) != (wanted) && polls_++ < 5000)                                            \
            expect_result(weir_sleep(WEIR_MILLISECOND), 0);                                        \
        cr_assert(eq(int, (number), (wanted)));                                                    \
    } while (0)

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    cr_assert(eq(int, getsockopt(fd, level, name, &value, &size), 0));
    return value;
}

/* ---- test_streams -----------------------------------------------------------------------------*/

TaskTest(server, start_server)
{
    struct service service = { 0 };
    serve(&service, echo_line, NULL);
    struct pair client = connect_to(&service);
    expect_echo(&client, "hello\n");
    peer_expect_eof(&client);
    close(client.peer);
    service_end(&service);
    cr_assert(eq(int, service.started, 1));
    return 0;
}

static void write_and_return(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    enter(argument);
    leave(argument, weir_write(writer, "bye", 3));
}

TaskTest(server, handler_return_closes)
{
    struct service service = { 0 };
    serve(&service, write_and_return, NULL);
    struct pair client = connect_to(&service);
    peer_expect(&client, "bye");
    peer_expect_eof(&client);
    close(client.peer);
    service_end(&service);
    return 0;
}

static void fail(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice line;
    enter(argument);
    leave(argument, weir_readline(reader, &line));
}

TaskTest(server, unhandled_exception)
{
    struct service service = { 0 };
    struct weir_server_options options = { .limit = 4 };
    serve(&service, fail, &options);
    struct pair client = connect_to(&service);
    send_text(&client, "more than four\n");
    expect_end(&client);
    expect_result(service.result, WEIR_LIMIT_OVERRUN);
    close(client.peer);
    service_end(&service);
    return 0;
}

/* Nobody ends the server: it and its client go with the task that owns them. */
TaskTest(server, unclosed_server)
{
    static struct service service;
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    expect_echo(&client, "x");
    close(client.peer);
    return 0;
}

Test(server, outside_a_task)
{
    struct service service = { 0 };
    expect_result(weir_start_server(echo, &service, "127.0.0.1", 0, NULL, &service.server), -EPERM);
    cr_assert(eq(ptr, service.server, NULL));
}

TaskTest(server, invalid_arguments)
{
    static const char *const none[] = { NULL };
    static const char *const one[] = { "127.0.0.1", NULL };
    struct weir_server *server = NULL;
    struct weir_server_options options = { .hosts = none };
    expect_result(weir_start_server(NULL, NULL, "127.0.0.1", 0, NULL, &server), -EINVAL);
    expect_result(weir_start_server(echo, NULL, NULL, 0, &options, &server), -EINVAL);
    options.hosts = one;
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", 0, &options, &server), -EINVAL);
    options = (struct weir_server_options){ .backlog = -1 };
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", 0, &options, &server), -EINVAL);
    cr_assert(eq(ptr, server, NULL));
    return 0;
}

TaskTest(server, ending_null_does_nothing)
{
    weir_server_close(NULL);
    expect_result(weir_server_wait_closed(NULL), 0);
    expect_result(weir_server_shutdown(NULL, 0), 0);
    weir_close(NULL);
    expect_result(weir_wait_closed(NULL), 0);
    return 0;
}

/* ---- Serving (test_server) --------------------------------------------------------------------*/

struct forever {
    struct weir_server *server;
    int result;
};

static int serve_forever(void *argument)
{
    struct forever *forever = argument;
    forever->result = weir_server_serve_forever(forever->server);
    return 0;
}

static void acknowledge_and_cancel(struct weir_reader *reader, struct weir_writer *writer,
                                   void *argument)
{
    struct service *service = argument;
    struct weir_slice byte;
    enter(service);
    expect_result(weir_readexactly(reader, 1, &byte), 1);
    weir_write(writer, "ack", 3);
    weir_group_cancel(service->group);
    leave(service, 0);
}

TaskTest(server, start_server_1)
{
    struct weir_group group = { 0 };
    struct service service = { .group = &group };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&service, acknowledge_and_cancel, &options);
    uint16_t port = weir_server_port(service.server);
    cr_assert(not(weir_server_is_serving(service.server)));
    cr_assert(ne(ptr, (void *)weir_server_sockname(service.server, 0), NULL));
    expect_result(try_connect_to("127.0.0.1", port), -ECONNREFUSED);

    struct forever forever = { service.server, 1 };
    expect_result(weir_group_start(&group, serve_forever, &forever), 0);
    settle();
    cr_assert(weir_server_is_serving(service.server));
    struct pair client = connect_to(&service);
    send_text(&client, "x");
    peer_expect(&client, "ack");
    peer_expect_eof(&client);
    close(client.peer);
    expect_result(weir_group_wait(&group), 0);
    expect_result(forever.result, -ECANCELED);

    cr_assert(not(weir_server_is_serving(service.server)));
    cr_assert(eq(ptr, (void *)weir_server_sockname(service.server, 0), NULL));
    expect_result(try_connect_to("127.0.0.1", port), -ECONNREFUSED);
    expect_result(weir_server_serve_forever(service.server), -EPIPE);
    return weir_server_wait_closed(service.server);
}

TaskTest(server, start_serving_is_the_default)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    cr_assert(weir_server_is_serving(service.server));
    service_end(&service);
    return 0;
}

TaskTest(server, start_serving_twice)
{
    struct service service = { 0 };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&service, echo, &options);
    for (int i = 0; i < 2; i++) {
        expect_result(weir_server_start_serving(service.server), 0);
        cr_assert(weir_server_is_serving(service.server));
    }
    struct pair client = connect_to(&service);
    expect_echo(&client, "once");
    close(client.peer);
    service_end(&service);
    cr_assert(eq(int, service.started, 1));
    return 0;
}

TaskTest(server, start_serving_after_close)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    weir_server_close(service.server);
    cr_assert(not(weir_server_is_serving(service.server)));
    expect_result(weir_server_start_serving(service.server), -EPIPE);
    expect_result(weir_server_serve_forever(service.server), -EPIPE);
    return weir_server_wait_closed(service.server);
}

/* Bound, but another one listens first: it can still be closed, and serves no one. */
TaskTest(server, start_serving_too_late)
{
    struct service first = { 0 }, second = { 0 };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&first, echo, &options);
    expect_result(weir_start_server(echo, &second, "127.0.0.1", weir_server_port(first.server),
                                    &options, &second.server),
                  0);
    expect_result(weir_server_start_serving(first.server), 0);
    expect_result(weir_server_start_serving(second.server), -EADDRINUSE);
    cr_assert(not(weir_server_is_serving(second.server)));
    struct pair client = connect_to(&first);
    expect_echo(&client, "the first");
    close(client.peer);
    service_end(&first);
    service_end(&second);
    return 0;
}

/* All of its addresses listen, or none does: else clients would wait at one where nobody accepts. */
TaskTest(server, start_serving_too_late_at_one_address)
{
    static const char *const hosts[] = { "127.0.0.2", "127.0.0.1", NULL };
    struct service first = { 0 }, second = { 0 };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&first, echo, &options);
    uint16_t port = weir_server_port(first.server);
    options.hosts = hosts;
    expect_result(weir_start_server(echo, &second, NULL, port, &options, &second.server), 0);
    expect_result(weir_server_start_serving(first.server), 0);
    expect_result(weir_server_start_serving(second.server), -EADDRINUSE);
    cr_assert(lt(int, try_connect_to("127.0.0.2", port), 0));
    weir_server_close(first.server); /* now it can */
    expect_result(weir_server_wait_closed(first.server), 0);
    expect_result(weir_server_start_serving(second.server), 0);
    int fd = try_connect_to("127.0.0.2", port);
    cr_assert(ge(int, fd, 0));
    close(fd);
    service_end(&second);
    return 0;
}

TaskTest(server, close_twice)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    weir_server_close(service.server);
    service_end(&service);
    return 0;
}

TaskTest(server, close_before_serving)
{
    struct service service = { 0 };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&service, echo, &options);
    service_end(&service);
    return 0;
}

TaskTest(server, serve_forever_until_closed)
{
    struct service service = { 0 };
    struct weir_group group = { 0 };
    serve(&service, echo, NULL);
    struct forever forever = { service.server, 1 };
    expect_result(weir_group_start(&group, serve_forever, &forever), 0);
    settle();
    cr_assert(eq(int, forever.result, 1), "it has not waited");
    weir_server_close(service.server);
    expect_result(weir_group_wait(&group), 0);
    expect_result(forever.result, 0);
    service_end(&service);
    return 0;
}

TaskTest(server, serve_forever_timeout)
{
    struct service service = { 0 };
    struct weir_timeout timeout;
    serve(&service, echo, NULL);
    weir_timeout_start(&timeout, 20 * WEIR_MILLISECOND);
    int rc = weir_server_serve_forever(service.server);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    service_end(&service);
    return 0;
}

TaskTest(server, serve_forever_twice_at_a_time)
{
    struct service service = { 0 };
    struct weir_group group = { 0 };
    serve(&service, echo, NULL);
    struct forever forever = { service.server, 1 };
    expect_result(weir_group_start(&group, serve_forever, &forever), 0);
    settle();
    expect_result(weir_server_serve_forever(service.server), -EBUSY);
    struct pair client = connect_to(&service);
    expect_echo(&client, "still served");
    close(client.peer);
    weir_server_close(service.server);
    expect_result(weir_group_wait(&group), 0);
    expect_result(forever.result, 0);
    service_end(&service);
    return 0;
}

static void close_server(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    enter(service);
    weir_server_close(service->server);
    weir_write(writer, "closed", 6);
    leave(service, 0);
}

TaskTest(server, handler_closes_its_server)
{
    struct service service = { 0 };
    serve(&service, close_server, NULL);
    struct pair client = connect_to(&service);
    expect_result(weir_server_serve_forever(service.server), 0);
    expect_result(weir_server_wait_closed(service.server), 0);
    peer_expect(&client, "closed");
    peer_expect_eof(&client);
    close(client.peer);
    return 0;
}

/* ---- wait_closed ------------------------------------------------------------------------------*/

struct waiter {
    struct weir_group group;
    struct weir_server *server;
    int result; /* 1: still waiting */
};

static int wait_for_server(void *argument)
{
    struct waiter *waiter = argument;
    waiter->result = weir_server_wait_closed(waiter->server);
    return 0;
}

static void waiter_start(struct waiter *waiter, struct weir_server *server)
{
    *waiter = (struct waiter){ .server = server, .result = 1 };
    expect_result(weir_group_start(&waiter->group, wait_for_server, waiter), 0);
    settle();
}

static void expect_waits(const struct waiter *waiter)
{
    settle();
    cr_assert(eq(int, waiter->result, 1), "wait_closed has returned");
}

static void expect_released(struct waiter *waiter)
{
    expect_result(weir_group_wait(&waiter->group), 0);
    expect_result(waiter->result, 0);
}

TaskTest(server, wait_closed_open_without_clients)
{
    struct service service = { 0 };
    struct waiter waiter;
    serve(&service, echo, NULL);
    waiter_start(&waiter, service.server);
    expect_waits(&waiter);
    weir_server_close(service.server);
    expect_released(&waiter);
    return 0;
}

TaskTest(server, wait_closed_client_comes_and_goes)
{
    struct service service = { 0 };
    struct waiter waiter;
    serve(&service, echo, NULL);
    waiter_start(&waiter, service.server);
    struct pair client = connect_to(&service);
    expect_echo(&client, "x");
    expect_waits(&waiter);
    close(client.peer);
    until(service.live, 0);
    expect_waits(&waiter);
    weir_server_close(service.server);
    expect_released(&waiter);
    return 0;
}

TaskTest(server, wait_closed_closed_with_client)
{
    struct service service = { 0 };
    struct waiter waiter;
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    expect_echo(&client, "x");
    weir_server_close(service.server);
    waiter_start(&waiter, service.server);
    expect_waits(&waiter);
    expect_echo(&client, "clients stay");
    close(client.peer);
    expect_released(&waiter);
    cr_assert(eq(int, service.live, 0));
    return 0;
}

/* wait_closed_race: both happen within one turn of the loop. */
static void race(bool close_first)
{
    struct service service = { 0 };
    struct waiter waiter;
    serve(&service, wait_for_go, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    waiter_start(&waiter, service.server);
    if (close_first)
        weir_server_close(service.server);
    weir_event_set(&service.go);
    if (!close_first)
        weir_server_close(service.server);
    expect_released(&waiter);
    close(client.peer);
}

TaskTest(server, wait_closed_race)
{
    race(true);
    race(false);
    return 0;
}

/* The file descriptor is closed when the client no longer counts: the peer has its end by then. */
TaskTest(server, wait_closed_after_the_last_fd)
{
    struct service service = { 0 };
    serve(&service, wait_for_go, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    weir_event_set(&service.go);
    service_end(&service);
    char byte;
    cr_assert(eq(long, recv(client.peer, &byte, 1, MSG_DONTWAIT), 0));
    close(client.peer);
    return 0;
}

TaskTest(server, wait_closed_cancelled)
{
    struct service service = { 0 };
    struct weir_timeout timeout;
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    expect_echo(&client, "x");
    weir_server_close(service.server);
    weir_timeout_start(&timeout, 20 * WEIR_MILLISECOND);
    int rc = weir_server_wait_closed(service.server);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    expect_echo(&client, "the client is not touched");
    close(client.peer);
    until(service.live, 0);
    return 0;
}

/* ---- close_clients, abort_clients -------------------------------------------------------------*/

TaskTest(server, close_clients)
{
    struct service service = { 0 };
    struct pair clients[3];
    serve(&service, echo, NULL);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_to(&service);
    until(service.live, 3);
    weir_server_close(service.server);
    weir_server_close_clients(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    cr_assert(eq(int, service.live, 0));
    expect_result(service.result, 0); /* the handlers' reads saw the end */
    for (int i = 0; i < 3; i++) {
        peer_expect_eof(&clients[i]);
        close(clients[i].peer);
    }
    return 0;
}

TaskTest(server, close_clients_does_not_stop_listening)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    weir_server_close_clients(service.server);
    peer_expect_eof(&client);
    close(client.peer);
    cr_assert(weir_server_is_serving(service.server));
    client = connect_to(&service);
    expect_echo(&client, "next");
    close(client.peer);
    service_end(&service);
    return 0;
}

/* Queues more than the kernel takes, and waits for it to leave. */
static void write_much(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    char *data = malloc(service->size);
    int small = 4096;
    enter(service);
    setsockopt(weir_fileno(writer), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    pattern_fill(data, 0, service->size);
    weir_write(writer, data, service->size);
    free(data);
    leave(service, weir_drain(writer));
}

enum { MUCH = TINY ? 150 * 1000 : 1000 * 1000 };

static void write_much_and_return(struct weir_reader *reader, struct weir_writer *writer,
                                  void *argument)
{
    struct service *service = argument;
    char *data = malloc(service->size);
    enter(service);
    pattern_fill(data, 0, service->size);
    int rc = weir_write(writer, data, service->size);
    free(data);
    leave(service, rc);
}

TaskTest(server, handler_return_sends_what_is_queued)
{
    struct service service = { .size = MUCH };
    serve(&service, write_much_and_return, NULL);
    struct pair client = connect_to(&service);
    char *data = calloc(1, MUCH);
    cr_assert(eq(sz, peer_read_to_end(&client, data, MUCH), MUCH));
    expect_pattern(data, 0, MUCH);
    free(data);
    close(client.peer);
    service_end(&service);
    return 0;
}

TaskTest(server, close_clients_sends_what_is_queued)
{
    struct service service = { .size = MUCH };
    serve(&service, write_much, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    settle();
    weir_server_close_clients(service.server);
    char *data = calloc(1, MUCH);
    cr_assert(eq(sz, peer_read_to_end(&client, data, MUCH), MUCH));
    expect_pattern(data, 0, MUCH);
    free(data);
    close(client.peer);
    service_end(&service);
    return 0;
}

TaskTest(server, abort_clients)
{
    struct service service = { .size = MUCH };
    serve(&service, write_much, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    settle();
    cr_assert(eq(int, service.live, 1), "the client reads nothing, and yet drain has returned");
    weir_server_close(service.server);
    weir_server_abort_clients(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    cr_assert(eq(int, service.live, 0));
    expect_result(service.result, -ECONNABORTED);
    expect_end(&client);
    close(client.peer);
    return 0;
}

TaskTest(server, abort_clients_ends_a_stuck_close)
{
    struct service service = { .size = MUCH };
    serve(&service, write_much, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    weir_server_close(service.server);
    weir_server_close_clients(service.server);
    settle();
    weir_server_abort_clients(service.server);
    expect_result(weir_server_wait_closed(service.server), 0);
    close(client.peer);
    return 0;
}

/* ---- Addresses --------------------------------------------------------------------------------*/

static uint16_t port_in(const char *sockname)
{
    return (uint16_t)atoi(strrchr(sockname, ':') + 1);
}

/* The server listens on this address, whatever the port, and serves there. */
static void expect_listens(struct service *service, size_t index, const char *address)
{
    const char *name = weir_server_sockname(service->server, index);
    char want[64];
    cr_assert(ne(ptr, (void *)name, NULL), "no address %zu", index);
    snprintf(want, sizeof want, strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port_in(name));
    cr_assert(eq(str, (char *)name, want));
    cr_assert(ne(int, port_in(name), 0));
    struct pair client = { .peer = try_connect_to(address, port_in(name)) };
    cr_assert(ge(int, client.peer, 0));
    expect_echo(&client, "here");
    close(client.peer);
}

static void expect_no_more_addresses(const struct service *service, size_t count)
{
    cr_assert(eq(ptr, (void *)weir_server_sockname(service->server, count), NULL));
    cr_assert(eq(ptr, (void *)weir_server_sockname(service->server, SIZE_MAX), NULL));
}

static void serve_on(struct service *service, const char *host, uint16_t port,
                     const struct weir_server_options *options)
{
    expect_result(weir_start_server(echo, service, host, port, options, &service->server), 0);
}

TaskTest(server, sockets)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    expect_listens(&service, 0, "127.0.0.1");
    expect_no_more_addresses(&service, 1);
    cr_assert(eq(int, weir_server_port(service.server),
                 port_in(weir_server_sockname(service.server, 0))));
    weir_server_close(service.server);
    cr_assert(eq(ptr, (void *)weir_server_sockname(service.server, 0), NULL));
    service_end(&service);
    return 0;
}

TaskTest(server, host_empty_is_the_wildcard)
{
    static const char *const hosts[] = { NULL, "" };
    for (int i = 0; i < 2; i++) {
        struct service service = { 0 };
        struct weir_server_options options = { .family = AF_INET };
        serve_on(&service, hosts[i], 0, &options);
        expect_listens(&service, 0, "0.0.0.0");
        expect_no_more_addresses(&service, 1);
        service_end(&service);
    }
    return 0;
}

TaskTest(server, host_empty_is_every_family)
{
    NEED_IPV6();
    struct service service = { 0 };
    serve_on(&service, NULL, 0, NULL);
    bool v4_first = weir_server_sockname(service.server, 0)[0] == '0';
    expect_listens(&service, v4_first ? 0 : 1, "0.0.0.0");
    expect_listens(&service, v4_first ? 1 : 0, "::");
    expect_no_more_addresses(&service, 2);
    service_end(&service);
    return 0;
}

TaskTest(server, family_ipv6)
{
    NEED_IPV6();
    struct service service = { 0 };
    struct weir_server_options options = { .family = AF_INET6 };
    serve_on(&service, NULL, 0, &options);
    expect_listens(&service, 0, "::");
    expect_no_more_addresses(&service, 1);
    int fd = try_connect_to("127.0.0.1", weir_server_port(service.server));
    expect_result(fd, -ECONNREFUSED); /* IPV6_V6ONLY */
    service_end(&service);
    return 0;
}

TaskTest(server, server_ipv6)
{
    NEED_IPV6();
    struct service service = { 0 };
    serve_on(&service, "::1", 0, NULL);
    expect_listens(&service, 0, "::1");
    service_end(&service);
    return 0;
}

TaskTest(server, host_by_name)
{
    struct service service = { 0 };
    struct weir_server_options options = { .family = AF_INET };
    serve_on(&service, "localhost", 0, &options);
    expect_listens(&service, 0, "127.0.0.1");
    service_end(&service);
    return 0;
}

TaskTest(server, host_unresolvable)
{
    struct service service = { 0 };
    expect_result(weir_start_server(echo, NULL, "nosuch.invalid", 0, NULL, &service.server),
                  WEIR_UNRESOLVED);
    struct weir_server_options options = { .family = AF_INET6 };
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", 0, &options, &service.server),
                  WEIR_UNRESOLVED);
    return 0;
}

TaskTest(server, multiple_hosts_ipv4)
{
    static const char *const hosts[] = { "127.0.0.2", "127.0.0.1", "127.0.0.2", NULL };
    struct service service = { 0 };
    struct weir_server_options options = { .hosts = hosts };
    serve_on(&service, NULL, 0, &options);
    expect_listens(&service, 0, "127.0.0.2");
    expect_listens(&service, 1, "127.0.0.1");
    expect_no_more_addresses(&service, 2);
    service_end(&service);
    return 0;
}

TaskTest(server, multiple_hosts_ipv6)
{
    NEED_IPV6();
    static const char *const hosts[] = { "::1", "127.0.0.1", NULL };
    struct service service = { 0 };
    struct weir_server_options options = { .hosts = hosts };
    serve_on(&service, NULL, 0, &options);
    expect_listens(&service, 0, "::1");
    expect_listens(&service, 1, "127.0.0.1");
    service_end(&service);
    return 0;
}

/* dual_stack: the v6 socket leaves the v4 port alone. */
TaskTest(server, dual_stack_on_one_port)
{
    NEED_IPV6();
    static const char *const hosts[] = { "0.0.0.0", "::", NULL };
    struct weir_server_options options = { .hosts = hosts };
    struct service service = { 0 };
    int rc = -EADDRINUSE;
    for (int attempt = 0; rc == -EADDRINUSE && attempt < 20; attempt++) {
        struct service other = { 0 };
        serve(&other, echo, NULL);
        uint16_t port = weir_server_port(other.server);
        service_end(&other); /* so it is free now, most likely */
        rc = weir_start_server(echo, &service, NULL, port, &options, &service.server);
    }
    expect_result(rc, 0);
    expect_listens(&service, 0, "0.0.0.0");
    expect_listens(&service, 1, "::");
    cr_assert(eq(int, port_in(weir_server_sockname(service.server, 0)),
                 port_in(weir_server_sockname(service.server, 1))));
    service_end(&service);
    return 0;
}

/* cant_bind, addr_in_use: run() asserts that the sockets made before it are closed. */
TaskTest(server, address_in_use)
{
    struct service service = { 0 }, second = { 0 };
    serve(&service, echo, NULL);
    uint16_t port = weir_server_port(service.server);
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", port, NULL, &second.server),
                  -EADDRINUSE);
    static const char *const hosts[] = { "127.0.0.2", "127.0.0.1", NULL };
    struct weir_server_options options = { .hosts = hosts };
    expect_result(weir_start_server(echo, NULL, NULL, port, &options, &second.server), -EADDRINUSE);
    expect_result(try_connect_to("127.0.0.2", port), -ECONNREFUSED);
    cr_assert(eq(ptr, second.server, NULL));
    expect_listens(&service, 0, "127.0.0.1");
    service_end(&service);
    return 0;
}

TaskTest(server, address_not_of_this_machine)
{
    struct service service = { 0 };
    expect_result(weir_start_server(echo, NULL, "203.0.113.1", 0, NULL, &service.server),
                  -EADDRNOTAVAIL);
    static const char *const hosts[] = { "203.0.113.1", "127.0.0.1", NULL };
    struct weir_server_options options = { .hosts = hosts };
    serve_on(&service, NULL, 0, &options);
    expect_listens(&service, 0, "127.0.0.1");
    expect_no_more_addresses(&service, 1);
    service_end(&service);
    return 0;
}

/* ---- Socket options ---------------------------------------------------------------------------*/

TaskTest(server, reuse_port)
{
    struct service first = { 0 }, second = { 0 }, third = { 0 };
    struct weir_server_options shared = { .reuse_port = true };
    serve(&first, echo, &shared);
    uint16_t port = weir_server_port(first.server);
    serve_on(&second, "127.0.0.1", port, &shared);
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", port, NULL, &third.server),
                  -EADDRINUSE);
    service_end(&first);
    service_end(&second);
    return 0;
}

TaskTest(server, no_reuse_port_by_default)
{
    struct service first = { 0 }, second = { 0 };
    struct weir_server_options shared = { .reuse_port = true };
    serve(&first, echo, NULL);
    expect_result(weir_start_server(echo, NULL, "127.0.0.1", weir_server_port(first.server),
                                    &shared, &second.server),
                  -EADDRINUSE);
    service_end(&first);
    return 0;
}

/* A port that closed connections still linger on (TIME_WAIT) is free with reuse_address only. */
TaskTest(server, reuse_address)
{
    struct service service = { 0 };
    serve(&service, write_and_return, NULL);
    uint16_t port = weir_server_port(service.server);
    struct pair client = connect_to(&service);
    peer_expect(&client, "bye");
    peer_expect_eof(&client); /* the server ended first: it lingers */
    close(client.peer);
    service_end(&service);
    settle();

    struct weir_server_options options = { .no_reuse_address = true };
    expect_result(weir_start_server(echo, &service, "127.0.0.1", port, &options, &service.server),
                  -EADDRINUSE);
    serve_on(&service, "127.0.0.1", port, NULL);
    service_end(&service);
    return 0;
}

static void tell_option(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    int fd = weir_fileno(writer);
    enter(service);
    weir_printf(writer, "%d %d %d", option_of(fd, SOL_SOCKET, SO_KEEPALIVE),
                option_of(fd, IPPROTO_TCP, TCP_NODELAY), fcntl(fd, F_GETFD));
    leave(service, 0);
}

static void expect_options(bool keep_alive, const char *text)
{
    struct service service = { 0 };
    struct weir_server_options options = { .keep_alive = keep_alive };
    serve(&service, tell_option, &options);
    struct pair client = connect_to(&service);
    peer_expect(&client, text);
    close(client.peer);
    service_end(&service);
}

TaskTest(server, keep_alive_nodelay_and_no_inheritance)
{
    expect_options(true, "1 1 1");
    expect_options(false, "0 1 1");
    return 0;
}

/* The listening socket: the library shows no fd of it, so that it is searched for. */
static int find_listener(uint16_t port)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in name = { 0 };
        socklen_t size = sizeof name, length = sizeof(int);
        int listening = 0;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening &&
            getsockname(fd, (struct sockaddr *)&name, &size) == 0 && name.sin_family == AF_INET &&
            ntohs(name.sin_port) == port)
            return fd;
    }
    cr_fatal("no listener on port %u", port);
    return -1;
}

static unsigned backlog_with(int backlog)
{
    struct service service = { 0 };
    struct weir_server_options options = { .backlog = backlog };
    serve(&service, echo, &options);
    int fd = find_listener(weir_server_port(service.server));
    cr_assert(eq(int, fcntl(fd, F_GETFD), FD_CLOEXEC));
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    cr_assert(eq(int, getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0));
    service_end(&service);
    return info.tcpi_sacked; /* of a listener: the size of its backlog */
}

TaskTest(server, backlog)
{
    cr_assert(eq(uint, backlog_with(0), 100));
    cr_assert(eq(uint, backlog_with(7), 7));
    return 0;
}

/* ---- sock= ------------------------------------------------------------------------------------*/

static int bound_socket(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&name, sizeof name), 0));
    return fd;
}

static void expect_socket_serves(int fd, const char *address)
{
    struct service service = { 0 };
    expect_result(weir_start_socket_server(echo, &service, fd, NULL, &service.server), 0);
    cr_assert(weir_server_is_serving(service.server));
    expect_listens(&service, 0, address);
    expect_no_more_addresses(&service, 1);
    service_end(&service);
    cr_assert(eq(int, fcntl(fd, F_GETFD), -1), "the socket was the server's to close");
}

TaskTest(server, sock_bound)
{
    expect_socket_serves(bound_socket(), "127.0.0.1");
    return 0;
}

TaskTest(server, sock_unbound)
{
    expect_socket_serves(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "0.0.0.0");
    return 0;
}

/* As a service manager passes them on: listening, and perhaps non-blocking. */
TaskTest(server, sock_listening)
{
    int fd = bound_socket();
    cr_assert(eq(int, listen(fd, 5), 0));
    cr_assert(eq(int, fcntl(fd, F_SETFL, O_NONBLOCK), 0));
    expect_socket_serves(fd, "127.0.0.1");
    return 0;
}

TaskTest(server, sock_nonblocking_does_not_spin)
{
    struct service service = { 0 };
    int fd = bound_socket();
    cr_assert(eq(int, fcntl(fd, F_SETFL, O_NONBLOCK), 0));
    expect_result(weir_start_socket_server(echo, &service, fd, NULL, &service.server), 0);
    uint64_t before = metrics_now().enters;
    expect_result(weir_sleep(100 * WEIR_MILLISECOND), 0);
    cr_assert(lt(u64, metrics_now().enters - before, 20));
    service_end(&service);
    return 0;
}

TaskTest(server, sock_listening_with_a_client_waiting)
{
    struct service service = { 0 };
    int fd = bound_socket();
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    cr_assert(eq(int, listen(fd, 5), 0));
    cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&name, &size), 0));
    struct pair client = { .peer = try_connect_to("127.0.0.1", ntohs(name.sin_port)) };
    cr_assert(ge(int, client.peer, 0));
    expect_result(weir_start_socket_server(echo, &service, fd, NULL, &service.server), 0);
    expect_echo(&client, "early");
    close(client.peer);
    service_end(&service);
    return 0;
}

/* asyncio leaves it off for the clients of a passed socket. */
TaskTest(server, sock_clients_have_nodelay)
{
    struct service service = { 0 };
    expect_result(
        weir_start_socket_server(tell_option, &service, bound_socket(), NULL, &service.server), 0);
    struct pair client = connect_to(&service);
    peer_expect(&client, "0 1 1");
    close(client.peer);
    service_end(&service);
    return 0;
}

static void expect_refused(int fd, int error)
{
    struct weir_server *server = NULL;
    expect_result(weir_start_socket_server(echo, NULL, fd, NULL, &server), error);
    cr_assert(eq(ptr, server, NULL));
    cr_assert(ge(int, fcntl(fd, F_GETFD), 0), "the fd was closed");
    close(fd);
}

TaskTest(server, sock_of_the_wrong_type)
{
    struct weir_server *server;
    int fds[2];
    expect_refused(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -EINVAL);
    cr_assert(eq(int, pipe(fds), 0));
    expect_refused(fds[0], -ENOTSOCK);
    close(fds[1]);
    expect_result(weir_start_socket_server(echo, NULL, -1, NULL, &server), -EBADF);
    return 0;
}

/* ---- max_connections --------------------------------------------------------------------------*/

enum { CROWD = 12 };

static void expect_cap(unsigned cap)
{
    struct pair clients[CROWD];
    struct service service = { 0 };
    struct weir_server_options options = { .max_connections = cap };
    uint64_t accepted = metrics_now().connections_accepted;
    serve(&service, wait_for_go, &options);
    for (int i = 0; i < CROWD; i++)
        clients[i] = connect_to(&service);
    until(service.started, (int)cap);
    settle();
    cr_assert(eq(int, service.started, (int)cap), "more are served than the cap");
    accepted = metrics_now().connections_accepted - accepted;
    cr_assert(eq(u64, accepted, cap), "more are accepted: they do not wait in the backlog");
    weir_event_set(&service.go); /* from now on each handler returns at once */
    for (int i = 0; i < CROWD; i++) {
        peer_expect_eof(&clients[i]);
        close(clients[i].peer);
    }
    cr_assert(eq(int, service.started, CROWD));
    cr_assert(eq(int, service.most, (int)cap));
    service_end(&service);
}

TaskTest(server, max_connections)
{
    expect_cap(3);
    return 0;
}

TaskTest(server, max_connections_one)
{
    expect_cap(1);
    return 0;
}

/* The cap is the server's, not each address's. */
TaskTest(server, max_connections_over_all_addresses)
{
    static const char *const hosts[] = { "127.0.0.1", "127.0.0.2", NULL };
    struct pair clients[4];
    struct service service = { 0 };
    struct weir_server_options options = { .hosts = hosts, .max_connections = 2 };
    expect_result(weir_start_server(wait_for_go, &service, NULL, 0, &options, &service.server), 0);
    for (int i = 0; i < 4; i++) {
        const char *name = weir_server_sockname(service.server, (size_t)i % 2);
        clients[i].peer = try_connect_to(hosts[i % 2], port_in(name));
        cr_assert(ge(int, clients[i].peer, 0));
    }
    until(service.live, 2);
    settle();
    cr_assert(eq(int, service.started, 2));
    weir_event_set(&service.go);
    for (int i = 0; i < 4; i++) {
        peer_expect_eof(&clients[i]);
        close(clients[i].peer);
    }
    cr_assert(le(int, service.most, 2));
    service_end(&service);
    return 0;
}

/* Closed while full: those who wait in the backlog are refused, not served. */
TaskTest(server, max_connections_and_close)
{
    struct service service = { 0 };
    struct weir_server_options options = { .max_connections = 1 };
    serve(&service, wait_for_go, &options);
    struct pair first = connect_to(&service), second = connect_to(&service);
    until(service.started, 1);
    weir_server_close(service.server);
    weir_event_set(&service.go);
    service_end(&service);
    cr_assert(eq(int, service.started, 1));
    expect_end(&second);
    close(first.peer);
    close(second.peer);
    return 0;
}

/* What one listener has let in while another took the last place is closed, too. */
TaskTest(server, max_connections_over_all_addresses_and_close)
{
    static const char *const hosts[] = { "127.0.0.1", "127.0.0.2", NULL };
    struct pair clients[4];
    struct service service = { 0 };
    struct weir_server_options options = { .hosts = hosts, .max_connections = 1 };
    expect_result(weir_start_server(wait_for_go, &service, NULL, 0, &options, &service.server), 0);
    for (int i = 0; i < 4; i++) {
        const char *name = weir_server_sockname(service.server, (size_t)i % 2);
        clients[i].peer = try_connect_to(hosts[i % 2], port_in(name));
        cr_assert(ge(int, clients[i].peer, 0));
    }
    until(service.live, 1);
    settle();
    weir_server_close(service.server);
    weir_event_set(&service.go);
    service_end(&service);
    cr_assert(eq(int, service.started, 1));
    for (int i = 0; i < 4; i++) {
        expect_end(&clients[i]);
        close(clients[i].peer);
    }
    return 0;
}

/* ---- Handlers ---------------------------------------------------------------------------------*/

static void remember_bytes_read(struct weir_reader *reader, struct weir_writer *writer,
                                void *argument)
{
    struct service *service = argument;
    enter(service);
    service->number = (int64_t)metrics_now().bytes_read;
    expect_next(reader, "first");
    leave(service, 0);
}

TaskTest(server, handler_starts_before_the_first_byte)
{
    struct service service = { .number = -1 };
    serve(&service, remember_bytes_read, NULL);
    int64_t before = (int64_t)metrics_now().bytes_read;
    struct pair client = connect_to(&service);
    send_text(&client, "first");
    peer_expect_eof(&client);
    cr_assert(eq(i64, service.number, before));
    close(client.peer);
    service_end(&service);
    return 0;
}

static void pause_first(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    weir_pause_reading(reader);
    enter(service);
    expect_result(weir_event_wait(&service->go), 0);
    weir_resume_reading(reader);
    expect_next(reader, "first");
    leave(service, 0);
}

/* pause from the connection callback holds */
TaskTest(server, handler_pauses_reading_at_its_start)
{
    struct service service = { 0 };
    serve(&service, pause_first, NULL);
    uint64_t before = metrics_now().bytes_read;
    struct pair client = connect_to(&service);
    until(service.live, 1);
    settle();
    send_text(&client, "first");
    settle();
    cr_assert(eq(u64, metrics_now().bytes_read, before), "bytes were received although paused");
    weir_event_set(&service.go);
    peer_expect_eof(&client);
    close(client.peer);
    service_end(&service);
    return 0;
}

static void tell_names(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    enter(argument);
    weir_printf(writer, "%s %s\n", weir_get_extra_info(writer, "peername"),
                weir_get_extra_info(writer, "sockname"));
    leave(argument, 0);
}

TaskTest(server, extra_info_of_a_client)
{
    char want[128];
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    struct service service = { 0 };
    serve(&service, tell_names, NULL);
    struct pair client = connect_to(&service);
    cr_assert(eq(int, getsockname(client.peer, (struct sockaddr *)&name, &size), 0));
    snprintf(want, sizeof want, "127.0.0.1:%u 127.0.0.1:%u\n", ntohs(name.sin_port),
             weir_server_port(service.server));
    peer_expect(&client, want);
    close(client.peer);
    service_end(&service);
    return 0;
}

static void abort_at_once(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    enter(argument);
    weir_write(writer, "never", 5);
    weir_abort(writer);
    leave(argument, 0);
}

/* uvloop: abort in the connection callback */
TaskTest(server, handler_aborts_at_once)
{
    struct service service = { 0 };
    serve(&service, abort_at_once, NULL);
    for (int i = 0; i < 5; i++) {
        struct pair client = connect_to(&service);
        expect_end(&client);
        close(client.peer);
    }
    service_end(&service);
    cr_assert(eq(int, service.started, 5));
    return 0;
}

static void wait_closed_itself(struct weir_reader *reader, struct weir_writer *writer,
                               void *argument)
{
    enter(argument);
    weir_write(writer, "done", 4);
    weir_close(writer);
    leave(argument, weir_wait_closed(writer));
}

TaskTest(server, handler_waits_for_its_own_close)
{
    struct service service = { .result = 1 };
    serve(&service, wait_closed_itself, NULL);
    struct pair client = connect_to(&service);
    peer_expect(&client, "done");
    peer_expect_eof(&client);
    close(client.peer);
    service_end(&service);
    expect_result(service.result, 0);
    return 0;
}

TaskTest(server, accepted_are_counted)
{
    struct service service = { 0 };
    uint64_t before = metrics_now().connections_accepted;
    serve(&service, write_and_return, NULL);
    for (int i = 0; i < 3; i++) {
        struct pair client = connect_to(&service);
        peer_expect(&client, "bye");
        close(client.peer);
    }
    service_end(&service);
    cr_assert(eq(u64, metrics_now().connections_accepted - before, 3));
    return 0;
}

/* ---- Shutdown ---------------------------------------------------------------------------------*/

TaskTest(server, shutdown_without_clients)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 10 * WEIR_SECOND), 0);
    cr_assert(lt(i64, milliseconds() - before, 3000));
    return 0;
}

struct finish {
    struct pair client;
    uint16_t port;
    int second; /* what a second client got */
};

static int finish_soon(void *argument)
{
    struct finish *finish = argument;
    weir_sleep(30 * WEIR_MILLISECOND);
    finish->second = try_connect_to("127.0.0.1", finish->port);
    send_text(&finish->client, "last words\n");
    return 0;
}

TaskTest(server, shutdown_lets_clients_finish)
{
    struct service service = { 0 };
    struct weir_group group = { 0 };
    serve(&service, echo_line, NULL);
    struct finish finish = { connect_to(&service), weir_server_port(service.server), 0 };
    until(service.live, 1);
    expect_result(weir_group_start(&group, finish_soon, &finish), 0);
    int64_t before = milliseconds();
    expect_result(weir_server_shutdown(service.server, 10 * WEIR_SECOND), 0);
    cr_assert(lt(i64, milliseconds() - before, 5000));
    expect_result(weir_group_wait(&group), 0);
    expect_result(finish.second, -ECONNREFUSED);
    peer_expect(&finish.client, "last words\n");
    close(finish.client.peer);
    return 0;
}

TaskTest(server, shutdown_cancels_the_idle)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    int64_t before = milliseconds();
    int rc = weir_server_shutdown(service.server, 50 * WEIR_MILLISECOND);
    int64_t took = milliseconds() - before;
    cr_assert(ne(int, rc, 0), "not all had finished");
    cr_assert(ge(i64, took, 49));
    cr_assert(lt(i64, took, 900));
    cr_assert(eq(int, service.live, 0));
    expect_result(service.result, -ECANCELED);
    peer_expect_eof(&client);
    close(client.peer);
    return 0;
}

struct late_reader {
    struct pair client;
    char *data;
    size_t got;
};

static int read_late(void *argument)
{
    struct late_reader *late = argument;
    expect_result(weir_sleep(100 * WEIR_MILLISECOND), 0);
    late->got = peer_read_to_end(&late->client, late->data, MUCH);
    return 0;
}

/* The handler is cancelled in its drain, but what it has queued has a second to leave. */
TaskTest(server, shutdown_sends_what_is_queued)
{
    struct service service = { .size = MUCH };
    struct weir_group group = { 0 };
    serve(&service, write_much, NULL);
    struct late_reader late = { connect_to(&service), calloc(1, MUCH), 0 };
    until(service.live, 1);
    expect_result(weir_group_start(&group, read_late, &late), 0);
    cr_assert(ne(int, weir_server_shutdown(service.server, 0), 0));
    expect_result(service.result, -ECANCELED);
    expect_result(weir_group_wait(&group), 0);
    cr_assert(eq(sz, late.got, MUCH));
    expect_pattern(late.data, 0, MUCH);
    free(late.data);
    close(late.client.peer);
    return 0;
}

TaskTest(server, shutdown_aborts_who_does_not_read)
{
    struct service service = { .size = MUCH };
    serve(&service, write_much, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    int64_t before = milliseconds();
    cr_assert(ne(int, weir_server_shutdown(service.server, 0), 0));
    int64_t took = milliseconds() - before;
    cr_assert(ge(i64, took, 900));
    cr_assert(lt(i64, took, 4000));
    expect_end(&client);
    close(client.peer);
    return 0;
}

/* Cancelled itself, it leaves the clients alone, and the server is freed when they have gone. */
TaskTest(server, shutdown_timeout)
{
    struct service service = { 0 };
    struct weir_timeout timeout;
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    weir_timeout_start(&timeout, 30 * WEIR_MILLISECOND);
    int rc = weir_server_shutdown(service.server, 10 * WEIR_SECOND);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    expect_echo(&client, "not touched");
    close(client.peer);
    until(service.live, 0);
    return 0;
}

TaskTest(server, shutdown_before_serving)
{
    struct service service = { 0 };
    struct weir_server_options options = { .no_start_serving = true };
    serve(&service, echo, &options);
    return weir_server_shutdown(service.server, 0);
}

TaskTest(server, shutdown_after_close)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    weir_server_close(service.server);
    return weir_server_shutdown(service.server, 0);
}

TaskTest(server, shutdown_ends_serve_forever)
{
    struct service service = { 0 };
    struct weir_group group = { 0 };
    serve(&service, echo, NULL);
    struct forever forever = { service.server, 1 };
    expect_result(weir_group_start(&group, serve_forever, &forever), 0);
    settle();
    expect_result(weir_server_shutdown(service.server, 0), 0);
    expect_result(weir_group_wait(&group), 0);
    expect_result(forever.result, 0);
    return 0;
}

/* ---- Peers that reset -------------------------------------------------------------------------*/

static void expect_still_serves(struct service *service)
{
    struct pair client = connect_to(service);
    expect_echo(&client, "still here");
    close(client.peer);
    service_end(service);
}

static void reset(struct pair *client)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(client->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client->peer);
}

/* All within one turn: the server meets connections that have already gone. */
TaskTest(server, reset_before_accept)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    for (int i = 0; i < 10; i++) {
        struct pair client = connect_to(&service);
        reset(&client);
    }
    settle();
    until(service.live, 0);
    expect_still_serves(&service);
    return 0;
}

static void name_the_peer(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    (void)reader;
    service->started++;
    const char *name = weir_get_extra_info(writer, "peername"); /* as text, whoever it was */
    service->result = name != NULL && name[0] == '\0' ? 0 : -EIO;
}

TaskTest(server, reset_before_accept_has_no_name)
{
    struct service service = { .result = 1 };
    serve(&service, name_the_peer, NULL);
    struct pair client = connect_to(&service);
    reset(&client);
    until(service.started, 1);
    expect_result(service.result, 0);
    service_end(&service);
    return 0;
}

TaskTest(server, closed_before_accept)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    for (int i = 0; i < 10; i++) {
        struct pair client = connect_to(&service);
        send_text(&client, "and gone");
        close(client.peer);
    }
    expect_still_serves(&service);
    return 0;
}

TaskTest(server, reset_after_connect)
{
    struct service service = { .result = 1 };
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    reset(&client);
    until(service.live, 0);
    expect_result(service.result, -ECONNRESET);
    expect_still_serves(&service);
    return 0;
}

TaskTest(server, reset_after_data)
{
    struct service service = { .result = 1 };
    serve(&service, echo, NULL);
    struct pair client = connect_to(&service);
    expect_echo(&client, "data");
    reset(&client);
    until(service.live, 0);
    expect_result(service.result, -ECONNRESET);
    expect_still_serves(&service);
    return 0;
}

/* The data is there before the reset: it is delivered first. */
static void read_then_fail(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice data;
    struct service *service = argument;
    enter(service);
    expect_result(weir_event_wait(&service->go), 0);
    expect_next(reader, "data");
    leave(service, weir_read(reader, 1, &data));
}

TaskTest(server, reset_with_unread_data)
{
    struct service service = { .result = 1 };
    serve(&service, read_then_fail, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    feed(&client, "data");
    feed_reset(&client);
    weir_event_set(&service.go);
    until(service.live, 0);
    expect_result(service.result, -ECONNRESET);
    service_end(&service);
    return 0;
}

static void write_forever(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service *service = argument;
    char data[1000] = { 0 };
    int rc = 0;
    enter(service);
    while (rc == 0) {
        rc = weir_write(writer, data, sizeof data);
        if (rc == 0)
            rc = weir_drain(writer);
        service->number++;
    }
    leave(service, rc);
}

/* drain_raises, too: an endless loop of writes ends with the loss. */
TaskTest(server, reset_while_the_server_writes)
{
    struct service service = { 0 };
    serve(&service, write_forever, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    settle();
    reset(&client);
    until(service.live, 0);
    cr_assert(service.result == -ECONNRESET || service.result == -EPIPE, "%s",
              weir_strerror(service.result));
    service_end(&service);
    return 0;
}

/* ---- Half-close, and closing while clients send -----------------------------------------------*/

static void reply_at_eof(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice all;
    enter(argument);
    ssize_t n = weir_read(reader, WEIR_UNTIL_EOF, &all);
    if (n >= 0)
        weir_printf(writer, "%zd bytes", n);
    leave(argument, n);
}

TaskTest(server, half_closed_client_gets_its_reply)
{
    struct service service = { 0 };
    serve(&service, reply_at_eof, NULL);
    struct pair client = connect_to(&service);
    send_text(&client, "the request");
    cr_assert(eq(int, shutdown(client.peer, SHUT_WR), 0));
    peer_expect(&client, "11 bytes");
    peer_expect_eof(&client);
    close(client.peer);
    service_end(&service);
    return 0;
}

TaskTest(server, server_close_refuses_and_keeps_clients)
{
    struct service service = { 0 };
    serve(&service, echo, NULL);
    uint16_t port = weir_server_port(service.server);
    struct pair client = connect_to(&service);
    expect_echo(&client, "before");
    weir_server_close(service.server);
    expect_result(try_connect_to("127.0.0.1", port), -ECONNREFUSED); /* at once */
    settle();
    expect_result(try_connect_to("127.0.0.1", port), -ECONNREFUSED);
    for (int i = 0; i < 20; i++)
        expect_echo(&client, "after");
    close(client.peer);
    service_end(&service);
    return 0;
}

static void swallow(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct weir_slice data;
    ssize_t n;
    enter(argument);
    while ((n = weir_read(reader, 4096, &data)) > 0)
        ;
    leave(argument, n);
}

/* Connected to the kernel's backlog, but the server is closed before it takes them. */
TaskTest(server, close_while_clients_come_in)
{
    struct service service = { 0 };
    struct pair clients[20];
    serve(&service, wait_for_go, NULL);
    weir_event_set(&service.go);
    settle();
    for (int i = 0; i < 20; i++)
        clients[i] = connect_to(&service);
    service_end(&service);
    for (int i = 0; i < 20; i++) {
        expect_end(&clients[i]);
        close(clients[i].peer);
    }
    return 0;
}

TaskTest(server, close_clients_while_they_send)
{
    struct service service = { 0 };
    char data[512] = { 0 };
    serve(&service, swallow, NULL);
    struct pair client = connect_to(&service);
    until(service.live, 1);
    for (int i = 0; i < 20; i++) {
        cr_assert(gt(long, send(client.peer, data, sizeof data, MSG_NOSIGNAL | MSG_DONTWAIT), 0));
        expect_result(weir_yield(), 0);
    }
    weir_server_close(service.server);
    weir_server_close_clients(service.server);
    send(client.peer, data, sizeof data, MSG_NOSIGNAL | MSG_DONTWAIT);
    expect_result(weir_server_wait_closed(service.server), 0);
    expect_result(service.result, 0);
    expect_end(&client);
    close(client.peer);
    return 0;
}

/* ---- Many clients -----------------------------------------------------------------------------*/

struct visit {
    uint16_t port;
    int number, rounds, result;
};

/* A client: some lines there and back. Asserts nothing, as it may be on any thread. */
static int visit(void *argument)
{
    struct visit *visit = argument;
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice line;
    char want[64];
    int rc = weir_open_connection("127.0.0.1", visit->port, NULL, &reader, &writer);
    if (rc < 0) {
        visit->result = rc;
        return 0;
    }
    for (int round = 0; rc == 0 && round < visit->rounds; round++) {
        size_t size =
            (size_t)snprintf(want, sizeof want, "client %d, round %d\n", visit->number, round);
        rc = weir_write(writer, want, size);
        ssize_t n = rc == 0 ? weir_readline(reader, &line) : rc;
        if (n != (ssize_t)size || memcmp(line.data, want, size) != 0)
            rc = n < 0 ? (int)n : -EBADMSG;
    }
    weir_close(writer);
    int closed = weir_wait_closed(writer);
    visit->result = rc < 0 ? rc : closed;
    return 0;
}

static void allow_many_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 4096 && limit.rlim_max >= 4096) {
        limit.rlim_cur = 4096;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

TaskTest(server, many_clients_at_once)
{
    enum { COUNT = 500 };
    struct visit *visits = calloc(COUNT, sizeof visits[0]);
    struct service service = { 0 };
    struct weir_group group = { 0 };
    allow_many_files();
    serve(&service, echo, NULL);
    for (int i = 0; i < COUNT; i++) {
        visits[i] = (struct visit){ weir_server_port(service.server), i, 5, 1 };
        expect_result(weir_group_start(&group, visit, &visits[i]), 0);
    }
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        expect_result(visits[i].result, 0);
    cr_assert(eq(int, service.started, COUNT));
    cr_assert(gt(int, service.most, 50), "they were served one after another");
    free(visits);
    service_end(&service);
    return 0;
}

TaskTest(server, many_clients_within_a_cap)
{
    enum { COUNT = 60 };
    struct visit visits[COUNT];
    struct service service = { 0 };
    struct weir_group group = { 0 };
    struct weir_server_options options = { .max_connections = 4 };
    serve(&service, echo, &options);
    for (int i = 0; i < COUNT; i++) {
        visits[i] = (struct visit){ weir_server_port(service.server), i, 3, 1 };
        expect_result(weir_group_start(&group, visit, &visits[i]), 0);
    }
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        expect_result(visits[i].result, 0);
    cr_assert(eq(int, service.started, COUNT));
    cr_assert(le(int, service.most, 4));
    service_end(&service);
    return 0;
}

/* ---- Several threads --------------------------------------------------------------------------*/

enum { THREADS = 4, VISITS = 300 };

/* What the threads tell each other and the test: no assertion may be made on them. */
static struct {
    atomic_int next, ready, done;
    atomic_int ports[THREADS], second_ports[THREADS];
    atomic_int served[THREADS];
    atomic_int failed_visits;
} threads;

static void echo_in_thread(struct weir_reader *reader, struct weir_writer *writer, void *argument)
{
    struct service ignored = { 0 };
    atomic_fetch_add((atomic_int *)argument, 1);
    echo(reader, writer, &ignored);
}

/* Waits until all threads have come here; false after 10 s. */
static bool meet(atomic_int *counter)
{
    atomic_fetch_add(counter, 1);
    for (int polls = 0; polls < 10000; polls++) {
        if (atomic_load(counter) >= THREADS)
            return true;
        weir_sleep(WEIR_MILLISECOND);
    }
    return false;
}

static void visit_many(uint16_t port)
{
    for (int i = 0; i < VISITS; i++) {
        struct visit one = { port, i, 1, 1 };
        visit(&one);
        if (one.result != 0)
            atomic_fetch_add(&threads.failed_visits, 1);
    }
}

static int serve_in_thread(void *unused)
{
    struct weir_server *first, *second;
    int index = atomic_fetch_add(&threads.next, 1);
    int rc =
        weir_start_server(echo_in_thread, &threads.served[index], "127.0.0.1", 0, NULL, &first);
    if (rc < 0)
        return rc;
    rc = weir_start_server(echo_in_thread, &threads.served[index], "127.0.0.1", 0, NULL, &second);
    if (rc < 0)
        return rc;
    atomic_store(&threads.ports[index], weir_server_port(first));
    atomic_store(&threads.second_ports[index], weir_server_port(second));
    if (!meet(&threads.ready))
        return -ETIME;
    if (index == 0)
        visit_many(weir_server_port(first));
    if (!meet(&threads.done))
        return -ETIME;
    weir_server_close(first);
    weir_server_close(second);
    rc = weir_server_wait_closed(first);
    int second_rc = weir_server_wait_closed(second);
    return rc < 0 ? rc : second_rc;
}

Test(server, threads_share_a_port)
{
    struct weir_run_options options = { .threads = THREADS };
    expect_result(run_with(&options, serve_in_thread, NULL), 0);
    cr_assert(eq(int, threads.next, THREADS));
    for (int i = 1; i < THREADS; i++) {
        cr_assert(eq(int, threads.ports[i], threads.ports[0]));
        cr_assert(eq(int, threads.second_ports[i], threads.second_ports[0]));
    }
    cr_assert(ne(int, threads.ports[0], 0));
    cr_assert(ne(int, threads.ports[0], threads.second_ports[0]));
}

Test(server, threads_all_serve)
{
    struct weir_run_options options = { .threads = THREADS };
    expect_result(run_with(&options, serve_in_thread, NULL), 0);
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        cr_assert(gt(int, threads.served[i], 0), "thread %d has served nobody", i);
        sum += threads.served[i];
    }
    cr_assert(eq(int, threads.failed_visits, 0));
    cr_assert(eq(int, sum, VISITS));
}

static int serve_on_taken_port(void *argument)
{
    struct weir_server *server;
    int rc = weir_start_server(echo, NULL, "127.0.0.1", *(uint16_t *)argument, NULL, &server);
    return rc < 0 ? rc : weir_server_shutdown(server, 0);
}

Test(server, threads_do_not_share_with_strangers)
{
    struct weir_run_options options = { .threads = THREADS };
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    int fd = bound_socket();
    cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&name, &size), 0));
    uint16_t port = ntohs(name.sin_port);
    expect_result(run_with(&options, serve_on_taken_port, &port), -EADDRINUSE);
    close(fd);
}
