/* Connecting: weir_open_connection() and weir_open_socket(), after asyncio's test_streams,
 * test_base_events, test_events and test_staggered. Names resolve through a getaddrinfo() of this
 * file, for the whole test program: so a name has the addresses that a test wants, the other names
 * under .invalid do not exist, and no query ever leaves the machine. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

TestSuite(connect, .timeout = 20);

/* ---- Names ------------------------------------------------------------------------------------*/

enum { NAME_ADDRESSES = 9 };

/* What the resolver answers: addresses in this order, or an error. Set before a test connects. */
static struct {
    const char *name;
    const char *addresses[NAME_ADDRESSES + 1];
    int error;
    bool nothing;      /* success, but no address */
    unsigned delay_us; /* before it answers */
    _Atomic unsigned calls;
    pthread_mutex_t lock;  /* of what follows */
    struct addrinfo hints; /* those of the last call */
} resolver = { .lock = PTHREAD_MUTEX_INITIALIZER };

static socklen_t address_of(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    abort();
}

/* One node in one block, as glibc makes them, so that its freeaddrinfo() frees ours. */
static struct addrinfo *node_of(const char *text, const char *service)
{
    struct addrinfo *node = calloc(1, sizeof *node + sizeof(struct sockaddr_storage));
    struct sockaddr_storage *address = (struct sockaddr_storage *)(node + 1);
    node->ai_addrlen = address_of(text, (uint16_t)(service != NULL ? atoi(service) : 0), address);
    node->ai_family = address->ss_family;
    node->ai_socktype = SOCK_STREAM;
    node->ai_protocol = IPPROTO_TCP;
    node->ai_addr = (struct sockaddr *)address;
    return node;
}

static void remember(const struct addrinfo *hints)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.hints = *hints;
    pthread_mutex_unlock(&resolver.lock);
}

static int resolve_ours(const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    remember(hints);
    usleep(resolver.delay_us);
    if (resolver.error != 0)
        return resolver.error;
    struct addrinfo **tail = ret;
    *ret = NULL;
    for (size_t i = 0; resolver.addresses[i] != NULL; i++) {
        *tail = node_of(resolver.addresses[i], service);
        if (hints->ai_family == AF_UNSPEC || hints->ai_family == (*tail)->ai_family) {
            tail = &(*tail)->ai_next;
        } else {
            free(*tail);
            *tail = NULL;
        }
    }
    return *ret != NULL || resolver.nothing ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    static const struct addrinfo none;
    union {
        void *symbol;
        int (*call)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    } libc;
    if (hints == NULL)
        hints = &none;
    bool ask = name != NULL && (hints->ai_flags & AI_NUMERICHOST) == 0;
    resolver.calls += ask; /* otherwise it only parses */
    if (ask && resolver.name != NULL && strcmp(name, resolver.name) == 0)
        return resolve_ours(service, hints, ret);
    const char *top = name != NULL ? strrchr(name, '.') : NULL;
    if (top != NULL && strcmp(top, ".invalid") == 0)
        return EAI_NONAME;
    libc.symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    return libc.call(name, service, hints, ret);
}

static const char NAME[] = "many.invalid";

static void name_has_these(const char *const *addresses, size_t count)
{
    cr_assert(le(sz, count, NAME_ADDRESSES));
    resolver.name = NAME;
    for (size_t i = 0; i <= NAME_ADDRESSES; i++)
        resolver.addresses[i] = i < count ? addresses[i] : NULL;
}

#define name_has(...)                                                                              \
    name_has_these((const char *const[]){ __VA_ARGS__ },                                           \
                   sizeof(const char *[]){ __VA_ARGS__ } / sizeof(const char *))

/* ---- Listeners --------------------------------------------------------------------------------*/

static bool have_ipv6(void)
{
    struct sockaddr_storage address;
    socklen_t length = address_of("::1", 0, &address);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0;
    if (fd >= 0)
        close(fd);
    return have;
}

#define NEED_IPV6()                                                                                \
    do {                                                                                           \
        if (!have_ipv6())                                                                          \
            cr_skip("no ::1 on this machine");                                                     \
    } while (0)

/* A socket bound to this address, which refuses whoever connects; -1 if it is in use. */
static int bind_on(const char *address, uint16_t port)
{
    struct sockaddr_storage name;
    socklen_t length = address_of(address, port, &name);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, fd, 0));
    if (bind(fd, (struct sockaddr *)&name, length) == 0)
        return fd;
    cr_assert(eq(int, errno, EADDRINUSE), "bind to %s: %s", address, strerror(errno));
    close(fd);
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&name, &length), 0));
    return ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                            : ((struct sockaddr_in *)&name)->sin_port);
}

/* Binds to each address, all on one port that is free on all; returns it. */
static uint16_t bind_each(const char *const *addresses, size_t count, int *fds)
{
    for (int attempt = 0; attempt < 50; attempt++) {
        fds[0] = bind_on(addresses[0], 0);
        uint16_t port = port_of(fds[0]);
        size_t made = 1;
        while (made < count && (fds[made] = bind_on(addresses[made], port)) >= 0)
            made++;
        if (made == count)
            return port;
        while (made > 0)
            close(fds[--made]);
    }
    cr_fatal("no port is free on all addresses");
    return 0;
}

static int listen_on(const char *address, uint16_t *ret_port)
{
    int fd = bind_on(address, 0);
    cr_assert(eq(int, listen(fd, 10), 0));
    *ret_port = port_of(fd);
    return fd;
}

/* Fills a listener's backlog: from now on whoever connects waits for an answer. `fillers` are the
 * two sockets that do it, the caller's to close. */
static void fill_backlog(int listener, int fillers[2])
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    cr_assert(eq(int, listen(listener, 0), 0));
    cr_assert(eq(int, getsockname(listener, (struct sockaddr *)&name, &length), 0));
    for (int i = 0; i < 2; i++) {
        fillers[i] = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&name, length);
    }
    struct pollfd first = { .fd = fillers[0], .events = POLLOUT };
    cr_assert(eq(int, poll(&first, 1, 5000), 1));
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* How many of the process's fds are sockets: what an attempt may leak. */
static int count_sockets(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct stat status;
        if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode))
            count++;
    }
    return count;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Connections ------------------------------------------------------------------------------*/

struct client {
    struct weir_reader *reader;
    struct weir_writer *writer;
};

static int client_open(struct client *client, const char *host, uint16_t port,
                       const struct weir_connect_options *options)
{
    *client = (struct client){ NULL, NULL };
    return weir_open_connection(host, port, options, &client->reader, &client->writer);
}

static void client_close(struct client *client)
{
    weir_close(client->writer);
    expect_result(weir_wait_closed(client->writer), 0);
}

/* The connection leads to the listener: a byte each way. Accepts it and closes the raw end. */
static void expect_talks(struct client *client, int listener)
{
    struct pair raw = { client->reader, client->writer, -1 };
    raw.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(ge(int, raw.peer, 0), "accept: %s", strerror(errno));
    expect_result(weir_write(client->writer, "ping", 4), 0);
    peer_expect(&raw, "ping");
    feed(&raw, "pong");
    expect_next(client->reader, "pong");
    close(raw.peer);
}

static void expect_connects(const char *host, const char *listen_address,
                            const struct weir_connect_options *options)
{
    uint16_t port;
    int listener = listen_on(listen_address, &port);
    struct client client;
    expect_result(client_open(&client, host, port, options), 0);
    expect_talks(&client, listener);
    client_close(&client);
    close(listener);
}

/* Fails with this error, sets nothing and leaves no socket. */
static void expect_fails(const char *host, uint16_t port,
                         const struct weir_connect_options *options, int error)
{
    int sockets = count_sockets();
    struct client client;
    expect_result(client_open(&client, host, port, options), error);
    cr_assert(eq(ptr, client.reader, NULL));
    cr_assert(eq(ptr, client.writer, NULL));
    cr_assert(eq(int, count_sockets(), sockets), "a socket was left open");
}

/* ---- test_streams -----------------------------------------------------------------------------*/

static void serve_http(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice line;
    while (weir_readline(reader, &line) > 2)
        ;
    weir_printf(writer, "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody");
}

TaskTest(connect, open_connection)
{
    struct weir_server *server;
    expect_result(weir_start_server(serve_http, NULL, "127.0.0.1", 0, NULL, &server), 0);
    struct client client;
    struct weir_slice got;
    expect_result(client_open(&client, "127.0.0.1", weir_server_port(server), NULL), 0);
    expect_result(weir_printf(client.writer, "GET / HTTP/1.0\r\n\r\n"), 0);
    ssize_t n = weir_readline(client.reader, &got);
    expect_slice(n, got, "HTTP/1.0 200 OK\r\n");
    n = weir_read(client.reader, WEIR_UNTIL_EOF, &got);
    expect_slice(n, got, "Content-Length: 4\r\n\r\nbody");
    client_close(&client);
    weir_server_close(server);
    return weir_server_wait_closed(server);
}

TaskTest(connect, open_connection_error)
{
    uint16_t port;
    struct client client;
    struct weir_slice got;
    int listener = listen_on("127.0.0.1", &port);
    expect_result(client_open(&client, "127.0.0.1", port, NULL), 0);
    struct pair raw = { client.reader, client.writer, accept4(listener, NULL, NULL, SOCK_CLOEXEC) };
    feed_reset(&raw);
    expect_result(weir_read(client.reader, 10, &got), -ECONNRESET);
    expect_result(weir_exception(client.reader), -ECONNRESET);
    weir_close(client.writer);
    expect_result(weir_wait_closed(client.writer), -ECONNRESET);
    close(listener);
    return 0;
}

TaskTest(connect, limit_is_the_readers)
{
    uint16_t port;
    struct client client;
    struct weir_slice got;
    int listener = listen_on("127.0.0.1", &port);
    struct weir_connect_options options = { .limit = 4 };
    expect_result(client_open(&client, "127.0.0.1", port, &options), 0);
    struct pair raw = { client.reader, client.writer, accept4(listener, NULL, NULL, SOCK_CLOEXEC) };
    feed(&raw, "12345\n");
    expect_result(weir_readline(client.reader, &got), WEIR_LIMIT_OVERRUN);
    client_close(&client);
    close(raw.peer);
    close(listener);
    return 0;
}

/* happy_eyeball_refcycles: a race that nobody wins leaves nothing behind. */
TaskTest(connect, open_connection_happy_eyeballs_all_fail_leaks_nothing)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "127.0.0.4" };
    int bound[3];
    uint16_t port = bind_each(addresses, 3, bound);
    name_has("127.0.0.2", "127.0.0.3", "127.0.0.4");
    struct weir_connect_options options = { .happy_eyeballs_delay = 1 };
    for (int i = 0; i < 20; i++)
        expect_fails(NAME, port, &options, -ECONNREFUSED);
    close_all(bound, 3);
    return 0;
}

Test(connect, outside_a_task)
{
    struct client client;
    expect_result(client_open(&client, "127.0.0.1", 80, NULL), -EPERM);
    int fds[2];
    tcp_pair(fds);
    expect_result(weir_open_socket(fds[0], NULL, &client.reader, &client.writer), -EPERM);
    cr_assert(ge(int, fcntl(fds[0], F_GETFD), 0), "the fd is still the caller's");
    close_all(fds, 2);
}

/* ---- Hosts and names --------------------------------------------------------------------------*/

/* ipaddr_info, no_getaddrinfo's counterpart: a literal needs no resolver. */
TaskTest(connect, ipaddr_info_v4)
{
    expect_connects("127.0.0.1", "127.0.0.1", NULL);
    cr_assert(eq(uint, resolver.calls, 0), "a literal was looked up");
    return 0;
}

TaskTest(connect, ipaddr_info_v6)
{
    NEED_IPV6();
    expect_connects("::1", "::1", NULL);
    cr_assert(eq(uint, resolver.calls, 0), "a literal was looked up");
    return 0;
}

TaskTest(connect, ipaddr_info_with_family_and_proto)
{
    struct weir_connect_options options = { .family = AF_INET, .proto = IPPROTO_TCP };
    expect_connects("127.0.0.1", "127.0.0.1", &options);
    return 0;
}

TaskTest(connect, ipaddr_info_of_the_wrong_family)
{
    struct weir_connect_options options = { .family = AF_INET6 };
    expect_fails("127.0.0.1", 9, &options, WEIR_UNRESOLVED);
    options.family = AF_INET;
    expect_fails("::1", 9, &options, WEIR_UNRESOLVED);
    return 0;
}

TaskTest(connect, ipaddr_info_of_another_proto)
{
    struct weir_connect_options options = { .proto = IPPROTO_UDP };
    struct client client;
    cr_assert(lt(int, client_open(&client, "127.0.0.1", 9, &options), 0));
    return 0;
}

TaskTest(connect, ipv6_scope)
{
    NEED_IPV6();
    expect_connects("::1%1", "::1", NULL);
    return 0;
}

TaskTest(connect, host_by_name)
{
    expect_connects("localhost", "127.0.0.1", NULL);
    cr_assert(ge(uint, resolver.calls, 1));
    return 0;
}

TaskTest(connect, host_null_is_the_loopback)
{
    expect_connects(NULL, "127.0.0.1", NULL);
    return 0;
}

TaskTest(connect, host_empty_is_the_loopback)
{
    expect_connects("", "127.0.0.1", NULL);
    return 0;
}

TaskTest(connect, host_null_is_the_loopback_of_both_families)
{
    NEED_IPV6();
    expect_connects(NULL, "::1", NULL);
    struct weir_connect_options options = { .family = AF_INET };
    expect_connects(NULL, "127.0.0.1", &options);
    return 0;
}

TaskTest(connect, unresolvable_name)
{
    static const int errors[] = { EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_NODATA };
    resolver.name = NAME;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        resolver.error = errors[i];
        expect_fails(NAME, 9, NULL, WEIR_UNRESOLVED);
    }
    return 0;
}

TaskTest(connect, no_getaddrinfo)
{
    resolver.name = NAME;
    resolver.nothing = true;
    expect_fails(NAME, 9, NULL, WEIR_UNRESOLVED);
    return 0;
}

TaskTest(connect, hints_reach_the_resolver)
{
    struct weir_connect_options options = { .family = AF_INET,
                                            .proto = IPPROTO_TCP,
                                            .flags = AI_ADDRCONFIG };
    name_has("127.0.0.1");
    expect_connects(NAME, "127.0.0.1", &options);
    cr_assert(eq(int, resolver.hints.ai_family, AF_INET));
    cr_assert(eq(int, resolver.hints.ai_protocol, IPPROTO_TCP));
    cr_assert(eq(int, resolver.hints.ai_socktype, SOCK_STREAM));
    cr_assert(eq(int, resolver.hints.ai_flags &AI_ADDRCONFIG, AI_ADDRCONFIG));
    return 0;
}

TaskTest(connect, flags_numeric_host_refuses_a_name)
{
    struct weir_connect_options options = { .flags = AI_NUMERICHOST };
    name_has("127.0.0.1");
    expect_fails(NAME, 9, &options, WEIR_UNRESOLVED);
    return 0;
}

TaskTest(connect, port_zero_is_refused)
{
    expect_fails("127.0.0.1", 0, NULL, -ECONNREFUSED);
    return 0;
}

/* ---- Errors -----------------------------------------------------------------------------------*/

TaskTest(connect, refused)
{
    int bound = bind_on("127.0.0.1", 0);
    expect_fails("127.0.0.1", port_of(bound), NULL, -ECONNREFUSED);
    close(bound);
    return 0;
}

TaskTest(connect, unreachable)
{
    expect_fails("127.255.255.255", 9, NULL, -ENETUNREACH); /* a broadcast address: never sent */
    return 0;
}

TaskTest(connect, multiple_errors_share_one)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    int bound[2];
    uint16_t port = bind_each(addresses, 2, bound);
    name_has("127.255.255.255", "127.0.0.2", "127.0.0.3");
    expect_fails(NAME, port, NULL, -ECONNREFUSED);
    close_all(bound, 2);
    return 0;
}

TaskTest(connect, multiple_errors_first_of_equals)
{
    int bound = bind_on("127.0.0.2", 0);
    name_has("127.255.255.255", "127.0.0.2");
    expect_fails(NAME, port_of(bound), NULL, -ENETUNREACH);
    resolver.addresses[0] = "127.0.0.2";
    resolver.addresses[1] = "127.255.255.255";
    expect_fails(NAME, port_of(bound), NULL, -ECONNREFUSED);
    close(bound);
    return 0;
}

TaskTest(connect, next_address_after_a_failure)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    struct client client;
    int fds[2];
    uint16_t port = bind_each(addresses, 2, fds);
    cr_assert(eq(int, listen(fds[1], 1), 0));
    name_has("127.255.255.255", "127.0.0.2", "127.0.0.3");
    int sockets = count_sockets();
    expect_result(client_open(&client, NAME, port, NULL), 0);
    cr_assert(eq(int, count_sockets(), sockets + 1), "a failed attempt's socket is left");
    expect_talks(&client, fds[1]);
    client_close(&client);
    close_all(fds, 2);
    return 0;
}

/* timeout closes socket */
TaskTest(connect, connect_timeout)
{
    uint16_t port;
    int fillers[2], listener = listen_on("127.0.0.1", &port);
    fill_backlog(listener, fillers);
    int sockets = count_sockets();
    struct client client;
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 50 * WEIR_MILLISECOND);
    int rc = client_open(&client, "127.0.0.1", port, NULL);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    cr_assert(eq(int, count_sockets(), sockets));
    close_all(fillers, 2);
    close(listener);
    return 0;
}

struct attempt {
    const char *host;
    uint16_t port;
    const struct weir_connect_options *options;
    int result;
    struct client client;
};

static int attempt(void *argument)
{
    struct attempt *attempt = argument;
    attempt->result = client_open(&attempt->client, attempt->host, attempt->port, attempt->options);
    if (attempt->result == 0)
        client_close(&attempt->client);
    return 0;
}

static void expect_cancelled(struct attempt *one)
{
    struct weir_group group = { 0 };
    int sockets = count_sockets();
    one->result = 1;
    expect_result(weir_group_start(&group, attempt, one), 0);
    settle();
    cr_assert(eq(int, one->result, 1), "it did not wait");
    weir_group_cancel(&group);
    weir_group_cancel(&group); /* repeated cancellation: as once */
    expect_result(weir_group_wait(&group), 0);
    expect_result(one->result, -ECANCELED);
    cr_assert(eq(int, count_sockets(), sockets));
}

TaskTest(connect, connect_cancelled)
{
    struct attempt one = { .host = "127.0.0.1" };
    int fillers[2], listener = listen_on("127.0.0.1", &one.port);
    fill_backlog(listener, fillers);
    expect_cancelled(&one);
    close_all(fillers, 2);
    close(listener);
    return 0;
}

TaskTest(connect, connect_cancelled_before_it_starts)
{
    struct weir_group group = { 0 };
    struct attempt one = { .host = "127.0.0.1" };
    int listener = listen_on("127.0.0.1", &one.port);
    expect_result(weir_group_start(&group, attempt, &one), 0);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(one.result, -ECANCELED);
    close(listener);
    return 0;
}

TaskTest(connect, resolving_cancelled)
{
    struct attempt one = { .host = NAME, .port = 9 };
    name_has("127.0.0.1");
    resolver.delay_us = 200 * 1000;
    expect_cancelled(&one);
    return 0;
}

/* The resolver's thread cannot be stopped, but it is not waited for. */
TaskTest(connect, resolving_timeout)
{
    struct client client;
    struct weir_timeout timeout;
    name_has("127.0.0.1");
    resolver.delay_us = 1000 * 1000;
    int64_t before = milliseconds();
    weir_timeout_start(&timeout, 50 * WEIR_MILLISECOND);
    int rc = client_open(&client, NAME, 9, NULL);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    cr_assert(lt(i64, milliseconds() - before, 800));
    return 0;
}

/* ---- local_addr -------------------------------------------------------------------------------*/

static void expect_local(const struct weir_connect_options *options, const char *local)
{
    uint16_t port;
    struct client client;
    int listener = listen_on("127.0.0.1", &port);
    expect_result(client_open(&client, "127.0.0.1", port, options), 0);
    const char *name = weir_get_extra_info(client.writer, "sockname");
    cr_assert(eq(sz, strncmp(name, local, strlen(local)), 0), "%s is not %s", name, local);
    expect_talks(&client, listener);
    client_close(&client);
    close(listener);
}

TaskTest(connect, local_addr)
{
    struct weir_connect_options options = { .local_host = "127.0.0.9" };
    expect_local(&options, "127.0.0.9:");
    return 0;
}

static uint16_t free_port(const char *address)
{
    int fd = bind_on(address, 0);
    uint16_t port = port_of(fd);
    close(fd);
    return port;
}

TaskTest(connect, local_addr_with_port)
{
    char name[32];
    struct weir_connect_options options = { .local_host = "127.0.0.9",
                                            .local_port = free_port("127.0.0.9") };
    snprintf(name, sizeof name, "127.0.0.9:%u", options.local_port);
    expect_local(&options, name);
    return 0;
}

TaskTest(connect, local_port_alone)
{
    char port[16];
    uint16_t remote;
    struct client client;
    int listener = listen_on("127.0.0.1", &remote);
    struct weir_connect_options options = { 0 };
    int rc = -EADDRINUSE; /* somebody else may take the port before we do */
    for (int tries = 0; rc == -EADDRINUSE && tries < 20; tries++) {
        options.local_port = free_port("0.0.0.0");
        rc = client_open(&client, "127.0.0.1", remote, &options);
    }
    expect_result(rc, 0);
    snprintf(port, sizeof port, ":%u", options.local_port);
    const char *name = weir_get_extra_info(client.writer, "sockname");
    cr_assert(eq(str, strrchr(name, ':'), port));
    client_close(&client);
    close(listener);
    return 0;
}

TaskTest(connect, local_addr_in_use)
{
    uint16_t port, taken;
    int listener = listen_on("127.0.0.1", &port), holder = listen_on("127.0.0.1", &taken);
    struct weir_connect_options options = { .local_host = "127.0.0.1", .local_port = taken };
    expect_fails("127.0.0.1", port, &options, -EADDRINUSE);
    close(listener);
    close(holder);
    return 0;
}

/* multiple_errors_local_addr: no remote address gets as far as to be tried. */
TaskTest(connect, local_addr_in_use_for_every_address)
{
    uint16_t taken;
    int holder = listen_on("127.0.0.1", &taken);
    name_has("127.0.0.2", "127.0.0.3");
    struct weir_connect_options options = { .local_host = "127.0.0.1", .local_port = taken };
    expect_fails(NAME, 9, &options, -EADDRINUSE);
    close(holder);
    return 0;
}

TaskTest(connect, local_addr_not_of_this_machine)
{
    struct weir_connect_options options = { .local_host = "203.0.113.1" };
    expect_fails("127.0.0.1", 9, &options, -EADDRNOTAVAIL);
    return 0;
}

/* no_local_addr */
TaskTest(connect, local_addr_unresolvable)
{
    resolver.name = NAME;
    resolver.error = EAI_NONAME;
    struct weir_connect_options options = { .local_host = NAME };
    expect_fails("127.0.0.1", 9, &options, WEIR_UNRESOLVED);
    return 0;
}

TaskTest(connect, local_addr_skip_different_family)
{
    NEED_IPV6();
    name_has("::1", "127.0.0.1");
    struct weir_connect_options options = { .local_host = "127.0.0.1" };
    expect_connects(NAME, "127.0.0.1", &options);
    return 0;
}

TaskTest(connect, local_addr_tries_each_of_its_family)
{
    name_has("203.0.113.1", "127.0.0.9");
    struct weir_connect_options options = { .local_host = NAME };
    expect_local(&options, "127.0.0.9:");
    return 0;
}

TaskTest(connect, local_addr_nomatch_family)
{
    uint16_t port;
    int listener = listen_on("127.0.0.1", &port);
    struct weir_connect_options options = { .local_host = "::1" };
    struct client client;
    cr_assert(lt(int, client_open(&client, "127.0.0.1", port, &options), 0));
    close(listener);
    return 0;
}

/* ---- Happy eyeballs (test_staggered) ----------------------------------------------------------*/

/* A name with an address that never answers and one that does, on one port. */
struct slow_and_good {
    int fds[2], fillers[2];
    uint16_t port;
};

static void slow_and_good_open(struct slow_and_good *both)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    both->port = bind_each(addresses, 2, both->fds);
    fill_backlog(both->fds[0], both->fillers);
    cr_assert(eq(int, listen(both->fds[1], 10), 0));
    name_has("127.0.0.2", "127.0.0.3");
}

static void slow_and_good_close(struct slow_and_good *both)
{
    close_all(both->fds, 2);
    close_all(both->fillers, 2);
}

static void expect_second_after(weir_duration delay, int64_t least, int64_t most)
{
    struct slow_and_good both;
    struct client client;
    slow_and_good_open(&both);
    struct weir_connect_options options = { .happy_eyeballs_delay = delay };
    int sockets = count_sockets();
    int64_t before = milliseconds();
    expect_result(client_open(&client, NAME, both.port, &options), 0);
    int64_t took = milliseconds() - before;
    cr_assert(ge(i64, took, least));
    cr_assert(le(i64, took, most));
    cr_assert(eq(int, count_sockets(), sockets + 1), "the loser's socket is open");
    expect_talks(&client, both.fds[1]);
    client_close(&client);
    slow_and_good_close(&both);
}

TaskTest(connect, staggered_first_slow_second_after_delay)
{
    expect_second_after(100 * WEIR_MILLISECOND, 95, 900);
    return 0;
}

TaskTest(connect, staggered_delay_is_250_ms_by_default)
{
    expect_second_after(0, 245, 950);
    return 0;
}

TaskTest(connect, staggered_off_one_at_a_time)
{
    struct slow_and_good both;
    struct client client;
    struct weir_timeout timeout;
    slow_and_good_open(&both);
    struct weir_connect_options options = { .happy_eyeballs_delay = -1 };
    weir_timeout_start(&timeout, 500 * WEIR_MILLISECOND);
    int rc = client_open(&client, NAME, both.port, &options);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    slow_and_good_close(&both);
    return 0;
}

TaskTest(connect, staggered_first_fails_second_at_once)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    struct client client;
    int fds[2];
    uint16_t port = bind_each(addresses, 2, fds);
    cr_assert(eq(int, listen(fds[1], 1), 0));
    name_has("127.0.0.2", "127.0.0.3");
    struct weir_connect_options options = { .happy_eyeballs_delay = 10 * WEIR_SECOND };
    int64_t before = milliseconds();
    expect_result(client_open(&client, NAME, port, &options), 0);
    cr_assert(lt(i64, milliseconds() - before, 3000));
    expect_talks(&client, fds[1]);
    client_close(&client);
    close_all(fds, 2);
    return 0;
}

TaskTest(connect, staggered_first_ok_second_not_started)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    struct client client;
    int fds[2];
    uint16_t port = bind_each(addresses, 2, fds);
    cr_assert(eq(int, listen(fds[0], 1), 0));
    cr_assert(eq(int, listen(fds[1], 1), 0));
    name_has("127.0.0.2", "127.0.0.3");
    struct weir_connect_options options = { .happy_eyeballs_delay = WEIR_SECOND };
    expect_result(client_open(&client, NAME, port, &options), 0);
    struct pollfd second = { .fd = fds[1], .events = POLLIN };
    cr_assert(eq(int, poll(&second, 1, 0), 0), "the second address was tried, too");
    expect_talks(&client, fds[0]);
    client_close(&client);
    close_all(fds, 2);
    return 0;
}

/* With no delay to speak of the first has hardly won when the others start. */
TaskTest(connect, staggered_close_race)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "127.0.0.4" };
    int fds[3];
    uint16_t port = bind_each(addresses, 3, fds);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, listen(fds[i], 100), 0));
    name_has("127.0.0.2", "127.0.0.3", "127.0.0.4");
    struct weir_connect_options options = { .happy_eyeballs_delay = 1 };
    for (int round = 0; round < 50; round++) {
        struct client client;
        int sockets = count_sockets();
        expect_result(client_open(&client, NAME, port, &options), 0);
        cr_assert(eq(int, count_sockets(), sockets + 1), "round %d: a loser's is open", round);
        client_close(&client);
    }
    close_all(fds, 3);
    return 0;
}

/* Two attempts wait for an answer, and get it while the loop is held up: both have succeeded when
 * it looks. (A SYN that a full backlog dropped is sent again after a second.) */
TaskTest(connect, staggered_simultaneous_winners)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    int fds[2], fillers[4];
    struct weir_group group = { 0 };
    struct weir_connect_options options = { .happy_eyeballs_delay = WEIR_MILLISECOND };
    struct attempt one = { .host = NAME, .options = &options, .result = 1 };
    one.port = bind_each(addresses, 2, fds);
    fill_backlog(fds[0], fillers);
    fill_backlog(fds[1], fillers + 2);
    name_has("127.0.0.2", "127.0.0.3");
    int sockets = count_sockets();
    expect_result(weir_group_start(&group, attempt, &one), 0);
    expect_result(weir_sleep(20 * WEIR_MILLISECOND), 0);
    cr_assert(eq(int, count_sockets(), sockets + 2), "not both are being tried");
    for (int i = 0; i < 2; i++) {
        cr_assert(eq(int, listen(fds[i], 10), 0));
        close(accept4(fds[i], NULL, NULL, SOCK_CLOEXEC));
    }
    usleep(1300 * 1000);
    expect_result(weir_group_wait(&group), 0);
    expect_result(one.result, 0);
    cr_assert(eq(int, count_sockets(), sockets));
    close_all(fds, 2);
    close_all(fillers, 4);
    return 0;
}

/* A failure starts the next at once, also while an earlier attempt still waits. */
TaskTest(connect, staggered_second_fails_third_at_once)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "127.0.0.4" };
    int fds[3], fillers[2];
    struct client client;
    uint16_t port = bind_each(addresses, 3, fds);
    fill_backlog(fds[0], fillers);
    cr_assert(eq(int, listen(fds[2], 1), 0));
    name_has("127.0.0.2", "127.0.0.3", "127.0.0.4");
    struct weir_connect_options options = { .happy_eyeballs_delay = 400 * WEIR_MILLISECOND };
    int64_t before = milliseconds();
    expect_result(client_open(&client, NAME, port, &options), 0);
    int64_t took = milliseconds() - before;
    cr_assert(ge(i64, took, 390));
    cr_assert(lt(i64, took, 780));
    expect_talks(&client, fds[2]);
    client_close(&client);
    close_all(fds, 3);
    close_all(fillers, 2);
    return 0;
}

/* No attempt ends by itself: the last one's wait is the caller's. */
TaskTest(connect, staggered_cancelled)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    int fds[2], fillers[4];
    struct weir_connect_options options = { .happy_eyeballs_delay = 1 };
    struct attempt one = { .host = NAME, .options = &options };
    one.port = bind_each(addresses, 2, fds);
    fill_backlog(fds[0], fillers);
    fill_backlog(fds[1], fillers + 2);
    name_has("127.0.0.2", "127.0.0.3");
    expect_cancelled(&one);
    close_all(fds, 2);
    close_all(fillers, 4);
    return 0;
}

/* More losers to cancel than a tiny ring has slots. */
TaskTest(connect, staggered_many_losers)
{
    enum { COUNT = 9 };
    static const char *const addresses[COUNT] = { "127.0.0.2", "127.0.0.3", "127.0.0.4",
                                                  "127.0.0.5", "127.0.0.6", "127.0.0.7",
                                                  "127.0.0.8", "127.0.0.9", "127.0.0.10" };
    int fds[COUNT], fillers[2 * COUNT];
    struct client client;
    uint16_t port = bind_each(addresses, COUNT, fds);
    for (int i = 0; i < COUNT - 1; i++)
        fill_backlog(fds[i], fillers + 2 * i);
    cr_assert(eq(int, listen(fds[COUNT - 1], 1), 0));
    name_has_these(addresses, COUNT);
    struct weir_connect_options options = { .happy_eyeballs_delay = WEIR_MILLISECOND };
    int sockets = count_sockets();
    expect_result(client_open(&client, NAME, port, &options), 0);
    cr_assert(eq(int, count_sockets(), sockets + 1));
    expect_talks(&client, fds[COUNT - 1]);
    client_close(&client);
    close_all(fds, COUNT);
    close_all(fillers, 2 * (COUNT - 1));
    return 0;
}

TaskTest(connect, staggered_many_cancelled)
{
    enum { COUNT = 30 };
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "127.0.0.4" };
    int fds[3], fillers[6];
    struct weir_group group = { 0 };
    struct weir_connect_options options = { .happy_eyeballs_delay = 1 };
    struct attempt all[COUNT];
    uint16_t port = bind_each(addresses, 3, fds);
    for (int i = 0; i < 3; i++)
        fill_backlog(fds[i], fillers + 2 * i);
    name_has_these(addresses, 3);
    int sockets = count_sockets();
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct attempt){ .host = NAME, .port = port, .options = &options, .result = 1 };
        expect_result(weir_group_start(&group, attempt, &all[i]), 0);
    }
    settle();
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        expect_result(all[i].result, -ECANCELED);
    cr_assert(eq(int, count_sockets(), sockets));
    close_all(fds, 3);
    close_all(fillers, 6);
    return 0;
}

/* Which of three addresses is taken: the first refuses, so it is the second in the order. */
static void expect_second(int interleave, int second)
{
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3", "::1" };
    struct client client;
    int fds[3];
    uint16_t port = bind_each(addresses, 3, fds);
    cr_assert(eq(int, listen(fds[1], 1), 0));
    cr_assert(eq(int, listen(fds[2], 1), 0));
    name_has("127.0.0.2", "127.0.0.3", "::1");
    struct weir_connect_options options = { .happy_eyeballs_delay = -1, .interleave = interleave };
    expect_result(client_open(&client, NAME, port, &options), 0);
    const char *peer = weir_get_extra_info(client.writer, "peername");
    cr_assert(eq(chr, peer[0], second == 2 ? '[' : '1'), "connected to %s", peer);
    expect_talks(&client, fds[second]);
    client_close(&client);
    close_all(fds, 3);
}

TaskTest(connect, interleave_by_default)
{
    NEED_IPV6();
    expect_second(0, 2);
    expect_second(1, 2);
    return 0;
}

TaskTest(connect, interleave_two_of_the_first_family)
{
    NEED_IPV6();
    expect_second(2, 1);
    return 0;
}

TaskTest(connect, several_connect_at_once)
{
    enum { COUNT = 20 };
    static const char *const addresses[] = { "127.0.0.2", "127.0.0.3" };
    struct attempt all[COUNT];
    struct weir_group group = { 0 };
    int fds[2];
    uint16_t port = bind_each(addresses, 2, fds);
    cr_assert(eq(int, listen(fds[1], COUNT), 0));
    name_has("127.0.0.2", "127.0.0.3");
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct attempt){ .host = NAME, .port = port, .result = 1 };
        expect_result(weir_group_start(&group, attempt, &all[i]), 0);
    }
    expect_result(weir_group_wait(&group), 0);
    for (int i = 0; i < COUNT; i++)
        expect_result(all[i].result, 0);
    close_all(fds, 2);
    return 0;
}

/* ---- sock= ------------------------------------------------------------------------------------*/

static void expect_socket_talks(const int fds[2])
{
    struct pair pair = { .peer = fds[1] };
    expect_result(weir_open_socket(fds[0], NULL, &pair.reader, &pair.writer), 0);
    feed(&pair, "in");
    expect_next(pair.reader, "in");
    expect_result(weir_write(pair.writer, "out", 3), 0);
    peer_expect(&pair, "out");
    pair_close(&pair);
    cr_assert(eq(int, fcntl(fds[0], F_GETFD), -1), "the fd was the stream's to close");
}

TaskTest(connect, sock_tcp)
{
    int fds[2];
    tcp_pair(fds);
    expect_socket_talks(fds);
    return 0;
}

TaskTest(connect, sock_socketpair)
{
    int fds[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
    expect_socket_talks(fds);
    return 0;
}

/* The library's side is non-blocking, and yet it waits for what comes later. */
TaskTest(connect, sock_nonblocking)
{
    struct pair pair = { .peer = -1 };
    int fds[2];
    tcp_pair(fds);
    pair.peer = fds[1];
    cr_assert(eq(int, fcntl(fds[0], F_SETFL, O_NONBLOCK), 0));
    expect_result(weir_open_socket(fds[0], NULL, &pair.reader, &pair.writer), 0);
    cr_assert(eq(int, fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0));
    struct weir_timeout timeout;
    struct weir_slice got;
    weir_timeout_start(&timeout, 20 * WEIR_MILLISECOND);
    ssize_t n = weir_read(pair.reader, 1, &got);
    expect_result(weir_timeout_stop(&timeout, n), -ETIMEDOUT);
    feed(&pair, "late");
    expect_next(pair.reader, "late");
    pair_close(&pair);
    return 0;
}

/* Refused, and still the caller's. */
static void expect_refused(int fd, int error)
{
    struct weir_reader *reader = NULL;
    struct weir_writer *writer = NULL;
    expect_result(weir_open_socket(fd, NULL, &reader, &writer), error);
    cr_assert(eq(ptr, writer, NULL));
    cr_assert(ge(int, fcntl(fd, F_GETFD), 0), "the fd was closed");
    close(fd);
}

TaskTest(connect, sock_datagram)
{
    expect_refused(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -EINVAL);
    expect_refused(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), -EINVAL);
    expect_refused(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), -EINVAL);
    return 0;
}

TaskTest(connect, sock_pipe)
{
    int fds[2];
    cr_assert(eq(int, pipe(fds), 0));
    expect_refused(fds[0], -ENOTSOCK);
    close(fds[1]);
    return 0;
}

TaskTest(connect, sock_bad_fd)
{
    struct client client;
    expect_result(weir_open_socket(-1, NULL, &client.reader, &client.writer), -EBADF);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    close(fd);
    expect_result(weir_open_socket(fd, NULL, &client.reader, &client.writer), -EBADF);
    return 0;
}

TaskTest(connect, sock_unconnected)
{
    expect_refused(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -ENOTCONN);
    uint16_t port;
    expect_refused(listen_on("127.0.0.1", &port), -ENOTCONN);
    return 0;
}

TaskTest(connect, sock_of_a_live_stream)
{
    struct pair pair;
    struct client second = { NULL, NULL };
    pair_open_tcp(&pair, 0);
    int fd = weir_fileno(pair.writer);
    expect_result(weir_open_socket(fd, NULL, &second.reader, &second.writer), -EEXIST);
    feed(&pair, "alive");
    expect_next(pair.reader, "alive");
    pair_close(&pair);
    return 0;
}

/* The number may be used again once the stream that owned it has gone. */
TaskTest(connect, sock_number_is_free_after_close)
{
    for (int round = 0; round < 3; round++) {
        struct pair pair;
        pair_open(&pair, 0);
        feed(&pair, "x");
        expect_next(pair.reader, "x");
        pair_close(&pair);
    }
    return 0;
}

/* ---- Extra info -------------------------------------------------------------------------------*/

static void expect_info(struct weir_writer *writer, const char *name, const char *value)
{
    const char *have = weir_get_extra_info(writer, name);
    cr_assert(ne(ptr, (void *)have, NULL), "no %s", name);
    cr_assert(eq(str, (char *)have, (char *)value), "%s", name);
}

static void name_of(int fd, bool v6, char *ret, size_t size)
{
    snprintf(ret, size, v6 ? "[::1]:%u" : "127.0.0.1:%u", port_of(fd));
}

static void expect_names(const char *host, bool v6)
{
    char ours[64], theirs[64];
    uint16_t port;
    struct client client;
    int listener = listen_on(host, &port);
    expect_result(client_open(&client, host, port, NULL), 0);
    name_of(weir_fileno(client.writer), v6, ours, sizeof ours);
    name_of(listener, v6, theirs, sizeof theirs);
    expect_info(client.writer, "sockname", ours);
    expect_info(client.writer, "peername", theirs);
    weir_close(client.writer);
    settle(); /* closed by now */
    expect_info(client.writer, "sockname", ours);
    expect_info(client.writer, "peername", theirs);
    expect_result(weir_wait_closed(client.writer), 0);
    close(listener);
}

TaskTest(connect, extra_info_v4)
{
    expect_names("127.0.0.1", false);
    return 0;
}

TaskTest(connect, extra_info_v6)
{
    NEED_IPV6();
    expect_names("::1", true);
    return 0;
}

TaskTest(connect, extra_info_unnamed_unix_socket)
{
    struct pair pair;
    pair_open(&pair, 0);
    expect_info(pair.writer, "peername", "");
    expect_info(pair.writer, "sockname", "");
    pair_close(&pair);
    return 0;
}

TaskTest(connect, extra_info_stays_after_a_reset)
{
    char theirs[64];
    struct pair pair;
    pair_open_tcp(&pair, 0);
    name_of(pair.peer, false, theirs, sizeof theirs);
    feed_reset(&pair);
    expect_info(pair.writer, "peername", theirs);
    pair_close_with(&pair, -ECONNRESET);
    return 0;
}

TaskTest(connect, extra_info_unknown_name)
{
    struct pair pair;
    pair_open(&pair, 0);
    cr_assert(eq(ptr, (void *)weir_get_extra_info(pair.writer, "nonsense"), NULL));
    cr_assert(eq(ptr, (void *)weir_get_extra_info(pair.writer, ""), NULL));
    cr_assert(eq(ptr, (void *)weir_get_extra_info(pair.writer, "peernames"), NULL));
    pair_close(&pair);
    return 0;
}

TaskTest(connect, fileno_until_closing)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    int type = 0;
    socklen_t size = sizeof type;
    int fd = weir_fileno(pair.writer);
    cr_assert(eq(int, getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0));
    cr_assert(eq(int, type, SOCK_STREAM));
    weir_close(pair.writer);
    cr_assert(eq(int, weir_fileno(pair.writer), -1));
    pair_close(&pair);
    return 0;
}

TaskTest(connect, fileno_until_aborted)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    weir_abort(pair.writer);
    cr_assert(eq(int, weir_fileno(pair.writer), -1));
    expect_result(weir_wait_closed(pair.writer), 0);
    close(pair.peer);
    return 0;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    cr_assert(eq(int, getsockopt(fd, level, name, &value, &size), 0));
    return value;
}

TaskTest(connect, tcp_nodelay_of_a_connection)
{
    uint16_t port;
    struct client client;
    int listener = listen_on("127.0.0.1", &port);
    expect_result(client_open(&client, "127.0.0.1", port, NULL), 0);
    cr_assert(ne(int, option_of(weir_fileno(client.writer), IPPROTO_TCP, TCP_NODELAY), 0));
    client_close(&client);
    close(listener);
    return 0;
}

/* asyncio leaves it off here, as the socket's proto is 0. */
TaskTest(connect, tcp_nodelay_of_a_socket)
{
    struct pair pair;
    pair_open_tcp(&pair, 0);
    cr_assert(ne(int, option_of(weir_fileno(pair.writer), IPPROTO_TCP, TCP_NODELAY), 0));
    pair_close(&pair);
    return 0;
}

TaskTest(connect, not_inherited_by_children)
{
    uint16_t port;
    struct client client;
    int listener = listen_on("127.0.0.1", &port);
    expect_result(client_open(&client, "127.0.0.1", port, NULL), 0);
    cr_assert(eq(int, fcntl(weir_fileno(client.writer), F_GETFD), FD_CLOEXEC));
    client_close(&client);
    close(listener);
    return 0;
}

/* ---- Ending -----------------------------------------------------------------------------------*/

static int opens_and_returns(void *argument)
{
    struct client client;
    int rc = client_open(&client, "127.0.0.1", *(uint16_t *)argument, NULL);
    return rc < 0 ? rc : weir_write(client.writer, "rest", 4);
}

/* unclosed_resource_warnings: instead of a warning, the stream is closed and its data sent. */
TaskTest(connect, closed_when_its_task_returns)
{
    uint16_t port;
    struct weir_group group = { 0 };
    int listener = listen_on("127.0.0.1", &port);
    expect_result(weir_group_start(&group, opens_and_returns, &port), 0);
    expect_result(weir_group_wait(&group), 0);
    struct pair raw = { .peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC) };
    peer_expect(&raw, "rest");
    peer_expect_eof(&raw);
    close(raw.peer);
    close(listener);
    return 0;
}

/* ---- How sockets are set up -------------------------------------------------------------------*/

static bool has_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    cr_assert(eq(int, getsockopt(fd, level, name, &value, &size), 0));
    return value != 0;
}

static void expect_set_up(const struct weir_writer *writer)
{
    int fd = weir_fileno(writer);
    cr_assert(has_option(fd, IPPROTO_TCP, TCP_NODELAY));
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void look_at_own_socket(struct weir_reader *reader, struct weir_writer *writer, void *seen)
{
    (void)reader;
    expect_set_up(writer);
    cr_assert(has_option(weir_fileno(writer), SOL_SOCKET, SO_KEEPALIVE));
    *(bool *)seen = true;
}

/* Nothing waits for more to send, and no child process inherits a connection. */
TaskTest(connect, sockets_are_set_up_on_either_side)
{
    bool seen = false;
    struct weir_server *server;
    struct weir_slice all;
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_server_options options = { .keep_alive = true };
    expect_result(weir_start_server(look_at_own_socket, &seen, "127.0.0.1", 0, &options, &server),
                  0);
    expect_result(
        weir_open_connection("127.0.0.1", weir_server_port(server), NULL, &reader, &writer), 0);
    expect_set_up(writer);
    expect_result(weir_read(reader, 1, &all), 0);
    expect_result(weir_wait_closed(writer), 0);
    cr_assert(seen);
    expect_result(weir_server_shutdown(server, WEIR_SECOND), 0);
    return 0;
}
