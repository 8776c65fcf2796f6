/* Unix sockets: weir_open_unix_connection() and weir_start_unix_server(), after asyncio's
 * test_unix_events, test_server and test_streams. Each test has an empty directory of its own. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

static char directory[32], path[64];

static void directory_make(void)
{
    strcpy(directory, "/tmp/weir-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(directory), NULL));
    snprintf(path, sizeof path, "%s/socket", directory);
}

static void directory_remove(void)
{
    unlink(path);
    rmdir(directory);
}

TestSuite(unix_socket, .timeout = 20, .init = directory_make, .fini = directory_remove);

/* ---- Servers, clients and files ---------------------------------------------------------------*/

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice data;
    while (weir_read(reader, 4096, &data) > 0) {
        weir_write_slice(writer, data);
        weir_drain(writer);
    }
}

static int start(const char *where, struct weir_server **ret_server)
{
    *ret_server = NULL;
    return weir_start_unix_server(echo, NULL, where, NULL, ret_server);
}

static void end(struct weir_server *server)
{
    weir_server_close(server);
    expect_result(weir_server_wait_closed(server), 0);
}

static int client_open(const char *where, struct pair *client)
{
    *client = (struct pair){ .peer = -1 };
    return weir_open_unix_connection(where, NULL, &client->reader, &client->writer);
}

static void client_end(struct pair *client)
{
    weir_close(client->writer);
    expect_result(weir_wait_closed(client->writer), 0);
}

static void expect_echo_at(const char *where)
{
    struct pair client;
    expect_result(client_open(where, &client), 0);
    expect_result(weir_write(client.writer, "hello", 5), 0);
    expect_next(client.reader, "hello");
    client_end(&client);
}

static bool exists(const char *where)
{
    struct stat status;
    return lstat(where, &status) == 0;
}

static ino_t inode_of(const char *where)
{
    struct stat status;
    cr_assert(eq(int, lstat(where, &status), 0));
    return status.st_ino;
}

/* A plain socket bound to the path; with a backlog, listening. */
static int raw_socket(const char *where, int backlog)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    strcpy(name.sun_path, where);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&name, sizeof name), 0));
    if (backlog >= 0)
        cr_assert(eq(int, listen(fd, backlog), 0));
    return fd;
}

static void make_stale(const char *where)
{
    close(raw_socket(where, 1));
    cr_assert(exists(where));
}

static void make_file(const char *where)
{
    int fd = open(where, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(eq(long, write(fd, "precious", 8), 8));
    close(fd);
}

static void expect_file_untouched(const char *where)
{
    char text[16] = "";
    int fd = open(where, O_RDONLY | O_CLOEXEC);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(long, read(fd, text, sizeof text - 1), 8));
    cr_assert(eq(str, text, "precious"));
    close(fd);
}

/* ---- test_streams -----------------------------------------------------------------------------*/

TaskTest(unix_socket, start_unix_server)
{
    struct weir_server *server;
    expect_result(start(path, &server), 0);
    cr_assert(weir_server_is_serving(server));
    expect_echo_at(path);
    end(server);
    return 0;
}

static void serve_http(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice line;
    while (weir_readline(reader, &line) > 2)
        ;
    weir_printf(writer, "HTTP/1.0 200 OK\r\n\r\nbody");
}

TaskTest(unix_socket, open_unix_connection)
{
    struct weir_server *server;
    struct pair client;
    struct weir_slice got;
    expect_result(weir_start_unix_server(serve_http, NULL, path, NULL, &server), 0);
    expect_result(client_open(path, &client), 0);
    expect_result(weir_printf(client.writer, "GET / HTTP/1.0\r\n\r\n"), 0);
    ssize_t n = weir_readline(client.reader, &got);
    expect_slice(n, got, "HTTP/1.0 200 OK\r\n");
    n = weir_read(client.reader, WEIR_UNTIL_EOF, &got);
    expect_slice(n, got, "\r\nbody");
    client_end(&client);
    end(server);
    return 0;
}

/* A peer that goes with our data unread is a reset, here, too. */
TaskTest(unix_socket, open_unix_connection_error)
{
    struct pair client;
    struct weir_slice got;
    int listener = raw_socket(path, 1);
    expect_result(client_open(path, &client), 0);
    client.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    expect_result(weir_write(client.writer, "unread", 6), 0);
    settle();
    close(client.peer);
    expect_result(weir_read(client.reader, 1, &got), -ECONNRESET);
    weir_close(client.writer);
    expect_result(weir_wait_closed(client.writer), -ECONNRESET);
    close(listener);
    return 0;
}

TaskTest(unix_socket, much_data)
{
    enum { SIZE = TINY ? 20000 : 1000000 };
    struct weir_server *server;
    struct pair client;
    struct weir_slice got;
    char *data = malloc(SIZE);
    pattern_fill(data, 0, SIZE);
    expect_result(start(path, &server), 0);
    expect_result(client_open(path, &client), 0);
    expect_result(weir_write(client.writer, data, SIZE), 0);
    expect_result(weir_write_eof(client.writer), 0);
    expect_result(weir_readexactly(client.reader, SIZE, &got), SIZE);
    expect_pattern(got.data, 0, SIZE);
    expect_result(weir_read(client.reader, 1, &got), 0);
    client_end(&client);
    end(server);
    free(data);
    return 0;
}

Test(unix_socket, outside_a_task)
{
    struct pair client;
    struct weir_server *server;
    expect_result(client_open(path, &client), -EPERM);
    expect_result(start(path, &server), -EPERM);
    cr_assert(not(exists(path)));
}

/* ---- The path ---------------------------------------------------------------------------------*/

TaskTest(unix_socket, existing_path_sock)
{
    struct weir_server *server;
    make_stale(path);
    expect_result(start(path, &server), 0);
    expect_echo_at(path);
    end(server);
    return 0;
}

TaskTest(unix_socket, existing_path_sock_of_a_live_server)
{
    struct weir_server *server, *thief;
    expect_result(start(path, &server), 0);
    ino_t inode = inode_of(path);
    expect_result(start(path, &thief), -EADDRINUSE);
    cr_assert(eq(ptr, thief, NULL));
    cr_assert(eq(ulong, inode_of(path), inode));
    expect_echo_at(path);
    end(server);
    return 0;
}

/* Alive, too, although it takes nobody more at present. */
TaskTest(unix_socket, existing_path_sock_of_a_full_server)
{
    struct weir_server *thief;
    int listener = raw_socket(path, 0), fds[4], count = 0;
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    strcpy(name.sun_path, path);
    do {
        cr_assert(lt(int, count, 4));
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    } while (connect(fds[count++], (struct sockaddr *)&name, sizeof name) == 0);
    expect_result(start(path, &thief), -EADDRINUSE);
    cr_assert(exists(path));
    while (count > 0)
        close(fds[--count]);
    close(listener);
    return 0;
}

TaskTest(unix_socket, existing_path_nonsock)
{
    struct weir_server *server;
    make_file(path);
    expect_result(start(path, &server), -EADDRINUSE);
    expect_file_untouched(path);
    return 0;
}

TaskTest(unix_socket, existing_path_is_a_directory)
{
    struct weir_server *server;
    expect_result(start(directory, &server), -EADDRINUSE);
    cr_assert(exists(directory));
    return 0;
}

/* nopath_nosock, connection_nopath_nosock */
TaskTest(unix_socket, no_path)
{
    struct weir_server *server;
    struct pair client;
    expect_result(start(NULL, &server), -EINVAL);
    expect_result(start("", &server), -EINVAL);
    expect_result(client_open(NULL, &client), -EINVAL);
    expect_result(client_open("", &client), -EINVAL);
    cr_assert(eq(ptr, client.writer, NULL));
    return 0;
}

TaskTest(unix_socket, path_too_long)
{
    struct weir_server *server;
    struct pair client;
    char name[200];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    expect_result(client_open(name, &client), -ENAMETOOLONG);
    expect_result(start(name, &server), -ENAMETOOLONG);
    name[0] = '@';
    expect_result(client_open(name, &client), -ENAMETOOLONG);
    expect_result(start(name, &server), -ENAMETOOLONG);
    return 0;
}

/* 107 bytes and the terminator are all that the address holds. */
TaskTest(unix_socket, path_of_the_greatest_length)
{
    struct weir_server *server;
    char name[108];
    size_t used = (size_t)snprintf(name, sizeof name, "%s/", directory);
    memset(name + used, 'x', sizeof name - 1 - used);
    name[sizeof name - 1] = '\0';
    expect_result(start(name, &server), 0);
    cr_assert(eq(str, (char *)weir_server_sockname(server, 0), name));
    expect_echo_at(name);
    end(server);
    cr_assert(not(exists(name)));
    return 0;
}

TaskTest(unix_socket, path_in_no_directory)
{
    struct weir_server *server;
    struct pair client;
    char name[64];
    snprintf(name, sizeof name, "%s/none/socket", directory);
    expect_result(start(name, &server), -ENOENT);
    expect_result(client_open(name, &client), -ENOENT);
    expect_result(client_open(path, &client), -ENOENT);
    return 0;
}

TaskTest(unix_socket, path_that_nobody_listens_on)
{
    struct pair client;
    make_stale(path);
    expect_result(client_open(path, &client), -ECONNREFUSED);
    unlink(path);
    make_file(path);
    expect_result(client_open(path, &client), -ECONNREFUSED);
    expect_file_untouched(path);
    return 0;
}

TaskTest(unix_socket, path_relative)
{
    struct weir_server *server;
    cr_assert(eq(int, chdir(directory), 0));
    expect_result(start("socket", &server), 0);
    cr_assert(eq(str, (char *)weir_server_sockname(server, 0), "socket"));
    cr_assert(exists(path));
    expect_echo_at("socket");
    end(server);
    cr_assert(not(exists(path)));
    cr_assert(eq(int, chdir("/"), 0));
    return 0;
}

TaskTest(unix_socket, no_start_serving)
{
    struct weir_server *server;
    struct pair client;
    struct weir_server_options options = { .no_start_serving = true };
    expect_result(weir_start_unix_server(echo, NULL, path, &options, &server), 0);
    cr_assert(not(weir_server_is_serving(server)));
    cr_assert(eq(str, (char *)weir_server_sockname(server, 0), path));
    expect_result(client_open(path, &client), -ECONNREFUSED);
    expect_result(weir_server_start_serving(server), 0);
    expect_echo_at(path);
    end(server);
    return 0;
}

TaskTest(unix_socket, server_close_refuses)
{
    struct weir_server *server;
    struct pair client, late;
    expect_result(start(path, &server), 0);
    expect_result(client_open(path, &client), 0);
    expect_result(weir_write(client.writer, "in", 2), 0);
    expect_next(client.reader, "in");
    weir_server_close(server);
    settle();
    cr_assert(lt(int, client_open(path, &late), 0));
    expect_result(weir_write(client.writer, "clients stay", 12), 0);
    expect_next(client.reader, "clients stay");
    client_end(&client);
    return weir_server_wait_closed(server);
}

/* ---- cleanup_socket ---------------------------------------------------------------------------*/

TaskTest(unix_socket, unix_server_addr_cleanup)
{
    struct weir_server *server;
    expect_result(start(path, &server), 0);
    cr_assert(exists(path));
    weir_server_close(server);
    cr_assert(not(exists(path)), "the file is left after close");
    end(server);
    return 0;
}

TaskTest(unix_socket, unix_server_cleanup_prevented)
{
    struct weir_server *server;
    struct weir_server_options options = { .keep_socket_file = true };
    expect_result(weir_start_unix_server(echo, NULL, path, &options, &server), 0);
    end(server);
    cr_assert(exists(path));
    return 0;
}

TaskTest(unix_socket, unix_server_cleanup_gone)
{
    struct weir_server *server;
    expect_result(start(path, &server), 0);
    unlink(path);
    end(server);
    cr_assert(not(exists(path)));
    return 0;
}

TaskTest(unix_socket, unix_server_cleanup_replaced)
{
    struct weir_server *server;
    expect_result(start(path, &server), 0);
    unlink(path);
    make_file(path);
    end(server);
    expect_file_untouched(path);
    return 0;
}

/* As a new version of a program does that takes over from the old one. */
TaskTest(unix_socket, unix_server_cleanup_replaced_by_another_socket)
{
    char other[80];
    struct weir_server *server;
    snprintf(other, sizeof other, "%s.new", path);
    expect_result(start(path, &server), 0);
    int listener = raw_socket(other, 1);
    cr_assert(eq(int, rename(other, path), 0));
    end(server);
    cr_assert(exists(path), "another server's socket was removed");
    close(listener);
    return 0;
}

TaskTest(unix_socket, unix_server_cleanup_with_clients)
{
    struct weir_server *server;
    struct pair client;
    expect_result(start(path, &server), 0);
    expect_result(client_open(path, &client), 0);
    weir_server_close(server);
    cr_assert(not(exists(path)));
    struct weir_server *next;
    expect_result(start(path, &next), 0); /* the path is free, while the old client stays */
    expect_echo_at(path);
    client_end(&client);
    expect_result(weir_server_wait_closed(server), 0);
    cr_assert(exists(path), "the old server's end removed the new one's socket");
    end(next);
    return 0;
}

static int leave_a_server(void *unused)
{
    struct weir_server *server;
    return start(path, &server);
}

Test(unix_socket, unclosed_server_cleanup)
{
    run(leave_a_server, NULL);
    cr_assert(not(exists(path)));
}

TaskTest(unix_socket, server_bind_error_keeps_nothing)
{
    struct weir_server *server;
    make_file(path);
    for (int i = 0; i < 5; i++)
        expect_result(start(path, &server), -EADDRINUSE); /* run() counts the fds */
    return 0;
}

/* ---- sock= ------------------------------------------------------------------------------------*/

TaskTest(unix_socket, sock_bound)
{
    struct weir_server *server;
    expect_result(weir_start_socket_server(echo, NULL, raw_socket(path, -1), NULL, &server), 0);
    cr_assert(eq(str, (char *)weir_server_sockname(server, 0), path));
    cr_assert(eq(int, weir_server_port(server), 0));
    expect_echo_at(path);
    end(server);
    cr_assert(exists(path), "a file that was not ours was removed");
    return 0;
}

static void expect_sock_refused(int fd, int error)
{
    struct weir_server *server = NULL;
    expect_result(weir_start_socket_server(echo, NULL, fd, NULL, &server), error);
    cr_assert(eq(ptr, server, NULL));
    cr_assert(ge(int, fcntl(fd, F_GETFD), 0), "the fd was closed");
    close(fd);
}

/* asyncio crashes here. */
TaskTest(unix_socket, sock_unbound)
{
    expect_sock_refused(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -EINVAL);
    return 0;
}

/* path_dgram */
TaskTest(unix_socket, sock_dgram)
{
    expect_sock_refused(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), -EINVAL);
    expect_sock_refused(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), -EINVAL);
    return 0;
}

/* path_stream_bittype: flags in the type are no reason to refuse. */
TaskTest(unix_socket, sock_nonblocking)
{
    struct weir_server *server;
    int fd = raw_socket(path, -1);
    cr_assert(eq(int, fcntl(fd, F_SETFL, O_NONBLOCK), 0));
    expect_result(weir_start_socket_server(echo, NULL, fd, NULL, &server), 0);
    expect_echo_at(path);
    end(server);
    return 0;
}

/* ---- Names ------------------------------------------------------------------------------------*/

static void tell_names(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    weir_printf(writer, "<%s> <%s>", weir_get_extra_info(writer, "peername"),
                weir_get_extra_info(writer, "sockname"));
}

static void expect_names(const char *where)
{
    struct weir_server *server;
    struct pair client;
    char want[128];
    expect_result(weir_start_unix_server(tell_names, NULL, where, NULL, &server), 0);
    cr_assert(eq(str, (char *)weir_server_sockname(server, 0), (char *)where));
    cr_assert(eq(ptr, (void *)weir_server_sockname(server, 1), NULL));
    cr_assert(eq(int, weir_server_port(server), 0));
    expect_result(client_open(where, &client), 0);
    cr_assert(eq(str, (char *)weir_get_extra_info(client.writer, "peername"), (char *)where));
    cr_assert(eq(str, (char *)weir_get_extra_info(client.writer, "sockname"), ""));
    snprintf(want, sizeof want, "<> <%s>", where);
    expect_next(client.reader, want);
    client_end(&client);
    end(server);
}

TaskTest(unix_socket, extra_info)
{
    expect_names(path);
    return 0;
}

static const char *abstract_name(char buffer[64])
{
    snprintf(buffer, 64, "@weir-test-%d", (int)getpid());
    return buffer;
}

TaskTest(unix_socket, extra_info_abstract)
{
    char buffer[64];
    expect_names(abstract_name(buffer));
    return 0;
}

TaskTest(unix_socket, abstract)
{
    char buffer[64];
    const char *name = abstract_name(buffer);
    struct weir_server *server, *second;
    struct pair client;
    cr_assert(eq(int, chdir(directory), 0));
    expect_result(client_open(name, &client), -ECONNREFUSED);
    expect_result(start(name, &server), 0);
    expect_echo_at(name);
    expect_result(start(name, &second), -EADDRINUSE);
    expect_echo_at(name);
    cr_assert(not(exists(name)), "a file was made");
    end(server);
    expect_result(client_open(name, &client), -ECONNREFUSED);
    cr_assert(eq(int, chdir("/"), 0));
    return 0;
}

TaskTest(unix_socket, abstract_cleanup_leaves_files_alone)
{
    char buffer[64], file[128];
    const char *name = abstract_name(buffer);
    struct weir_server *server;
    snprintf(file, sizeof file, "%s/%s", directory, name);
    make_file(file);
    cr_assert(eq(int, chdir(directory), 0));
    expect_result(start(name, &server), 0);
    end(server);
    expect_file_untouched(file);
    unlink(file);
    cr_assert(eq(int, chdir("/"), 0));
    return 0;
}

/* ---- A full backlog ---------------------------------------------------------------------------*/

struct full {
    int listener, fillers[4], count;
};

/* A listener whose backlog has no room left. */
static void full_make(struct full *full)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    strcpy(name.sun_path, path);
    full->listener = raw_socket(path, 0);
    full->count = 0;
    int rc;
    do {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        rc = connect(fd, (struct sockaddr *)&name, sizeof name);
        if (rc < 0)
            close(fd);
        else
            full->fillers[full->count++] = fd;
    } while (rc == 0 && full->count < 4);
    cr_assert(eq(int, rc, -1));
}

static void full_end(struct full *full)
{
    while (full->count > 0)
        close(full->fillers[--full->count]);
    if (full->listener >= 0)
        close(full->listener);
}

struct attempt {
    struct pair client;
    int result; /* 1: not yet */
};

static int attempt(void *argument)
{
    struct attempt *attempt = argument;
    attempt->result = client_open(path, &attempt->client);
    if (attempt->result < 0)
        return 0;
    expect_result(weir_write(attempt->client.writer, "in", 2), 0);
    expect_next(attempt->client.reader, "out");
    client_end(&attempt->client);
    return 0;
}

static void attempt_start(struct attempt *one, struct weir_group *group)
{
    *one = (struct attempt){ .result = 1 };
    expect_result(weir_group_start(group, attempt, one), 0);
    settle();
    cr_assert(eq(int, one->result, 1), "it has not waited");
}

TaskTest(unix_socket, full_backlog_waits_for_room)
{
    struct full full;
    struct attempt one;
    struct weir_group group = { 0 };
    full_make(&full);
    attempt_start(&one, &group);
    for (int i = 0; i < full.count; i++)
        close(accept4(full.listener, NULL, NULL, SOCK_CLOEXEC));
    struct pair raw = { .peer = -1 };
    cr_assert(eq(int, fcntl(full.listener, F_SETFL, O_NONBLOCK), 0));
    for (int polls = 0; raw.peer < 0 && polls < 5000; polls++) {
        expect_result(weir_sleep(WEIR_MILLISECOND), 0);
        raw.peer = accept4(full.listener, NULL, NULL, SOCK_CLOEXEC);
    }
    cr_assert(ge(int, raw.peer, 0), "it does not connect although there is room");
    peer_expect(&raw, "in");
    feed(&raw, "out");
    expect_result(weir_group_wait(&group), 0);
    expect_result(one.result, 0);
    close(raw.peer);
    full_end(&full);
    return 0;
}

TaskTest(unix_socket, full_backlog_timeout)
{
    struct full full;
    struct pair client;
    struct weir_timeout timeout;
    full_make(&full);
    weir_timeout_start(&timeout, 50 * WEIR_MILLISECOND);
    int rc = client_open(path, &client);
    expect_result(weir_timeout_stop(&timeout, rc), -ETIMEDOUT);
    cr_assert(eq(ptr, client.writer, NULL));
    full_end(&full);
    return 0;
}

TaskTest(unix_socket, full_backlog_cancelled)
{
    struct full full;
    struct attempt one;
    struct weir_group group = { 0 };
    full_make(&full);
    attempt_start(&one, &group);
    weir_group_cancel(&group);
    expect_result(weir_group_wait(&group), 0);
    expect_result(one.result, -ECANCELED);
    full_end(&full);
    return 0;
}

TaskTest(unix_socket, full_backlog_of_a_listener_that_goes)
{
    struct full full;
    struct attempt one;
    struct weir_group group = { 0 };
    full_make(&full);
    attempt_start(&one, &group);
    close(full.listener);
    full.listener = -1;
    expect_result(weir_group_wait(&group), 0);
    expect_result(one.result, -ECONNREFUSED);
    full_end(&full);
    return 0;
}

/* ---- Several threads --------------------------------------------------------------------------*/

enum { THREADS = 2, VISITS = 40 };

static struct {
    atomic_int next, ready, left, done, failed;
} threads;

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

/* No assertion may be made here, on a thread of the library's. */
static int visit(const char *address)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_slice got;
    int rc = weir_open_unix_connection(address, NULL, &reader, &writer);
    if (rc < 0)
        return rc;
    weir_write(writer, "hello", 5);
    ssize_t n = weir_readexactly(reader, 5, &got);
    bool same = n == 5 && memcmp(got.data, "hello", 5) == 0;
    weir_close(writer);
    rc = weir_wait_closed(writer);
    return same ? rc : -EBADMSG;
}

static int serve_in_thread(void *unused)
{
    struct weir_server *server;
    int index = atomic_fetch_add(&threads.next, 1);
    int rc = start(path, &server);
    if (rc < 0)
        return rc;
    if (!meet(&threads.ready))
        return -ETIME;
    for (int i = 0; index == 0 && i < VISITS; i++)
        if (visit(path) != 0)
            atomic_fetch_add(&threads.failed, 1);
    if (!meet(&threads.done))
        return -ETIME;
    weir_server_close(server);
    return weir_server_wait_closed(server);
}

Test(unix_socket, threads_share_a_path)
{
    struct weir_run_options options = { .threads = THREADS };
    expect_result(run_with(&options, serve_in_thread, NULL), 0);
    cr_assert(eq(int, threads.ready, THREADS));
    cr_assert(eq(int, threads.failed, 0));
    cr_assert(not(exists(path)));
}

/* The first thread leaves early, and the other is found at the path none the less. */
static int leave_in_turn(void *unused)
{
    struct weir_server *server, *second;
    int index = atomic_fetch_add(&threads.next, 1);
    int rc = start(path, &server);
    if (rc < 0)
        return rc;
    if (start(path, &second) != -EADDRINUSE) /* once a thread */
        atomic_fetch_add(&threads.failed, 1);
    if (!meet(&threads.ready))
        return -ETIME;
    if (index == 0) {
        weir_server_close(server);
        rc = weir_server_wait_closed(server);
    }
    if (!meet(&threads.left))
        return -ETIME;
    for (int i = 0; index == 1 && i < VISITS; i++)
        if (visit(path) != 0)
            atomic_fetch_add(&threads.failed, 1);
    if (index == 1) {
        weir_server_close(server);
        rc = weir_server_wait_closed(server);
    }
    if (!meet(&threads.done))
        return -ETIME;
    if (visit(path) != -ENOENT)
        atomic_fetch_add(&threads.failed, 1);
    return rc;
}

Test(unix_socket, threads_leave_one_after_the_other)
{
    struct weir_run_options options = { .threads = THREADS };
    expect_result(run_with(&options, leave_in_turn, NULL), 0);
    cr_assert(eq(int, threads.failed, 0));
    cr_assert(not(exists(path)));
}

/* One of the threads has no server: those of the other's end all the same, and may begin again. */
static int serve_in_one_thread(void *unused)
{
    char buffer[64];
    const char *name = abstract_name(buffer);
    int index = atomic_fetch_add(&threads.next, 1);
    for (int times = 0; index == 0 && times < 3; times++) {
        struct weir_server *server;
        int rc = start(name, &server);
        if (rc < 0)
            return rc;
        if (visit(name) != 0)
            atomic_fetch_add(&threads.failed, 1);
        weir_server_close(server);
        rc = weir_server_wait_closed(server);
        if (rc < 0)
            return rc;
        if (visit(name) != -ECONNREFUSED)
            atomic_fetch_add(&threads.failed, 1);
    }
    return meet(&threads.done) ? 0 : -ETIME;
}

Test(unix_socket, threads_without_a_server_hold_nothing)
{
    struct weir_run_options options = { .threads = THREADS };
    expect_result(run_with(&options, serve_in_one_thread, NULL), 0);
    cr_assert(eq(int, threads.failed, 0));
}
