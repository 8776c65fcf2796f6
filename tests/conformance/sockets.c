/* Sockets for the vectors, and what their peers do. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"
#include "internal.h"

/* ---- What is open ---------------------------------------------------------------------------- */

enum { MOST = 64 };
static int open_fds[MOST];
static unsigned open_count;

int keep(int fd)
{
    if (fd >= 0 && open_count < MOST)
        open_fds[open_count++] = fd;
    return fd;
}

void forget(int fd)
{
    for (unsigned i = 0; i < open_count; i++) {
        if (open_fds[i] == fd)
            open_fds[i--] = open_fds[--open_count];
    }
}

int drop(int fd)
{
    forget(fd);
    return sys_close(fd);
}

void fds_close(void)
{
    while (open_count > 0)
        sys_close(open_fds[--open_count]);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

struct place loopback(unsigned port)
{
    struct place place = { .length = sizeof place.at.v4 };
    place.at.v4.sin_family = AF_INET;
    place.at.v4.sin_port = htons((uint16_t)port);
    place.at.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return place;
}

struct place loopback6(unsigned port)
{
    struct place place = { .length = sizeof place.at.v6 };
    place.at.v6.sin6_family = AF_INET6;
    place.at.v6.sin6_port = htons((uint16_t)port);
    place.at.v6.sin6_addr = in6addr_loopback;
    return place;
}

static unsigned first_file, files; /* of this vector, and of all so far */

static void unix_path(char *path, size_t size, unsigned number)
{
    snprintf(path, size, "/tmp/weir-conformance-%d-%u", (int)getpid(), number);
}

struct place unix_file(void)
{
    struct place place = { .at.un.sun_family = AF_UNIX };
    unix_path(place.at.un.sun_path, sizeof place.at.un.sun_path, files++);
    place.length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(place.at.un.sun_path) + 1);
    return place;
}

struct place unix_abstract(void)
{
    struct place place = unix_file();
    place.at.un.sun_path[0] = '\0';
    place.length--;
    return place;
}

void files_unlink(void)
{
    char path[64];
    for (; first_file < files; first_file++) {
        unix_path(path, sizeof path, first_file);
        sys_unlink(path);
    }
}

struct place name_of(int fd)
{
    struct place place = { .length = 0 };
    struct sockaddr_storage name;
    memset(&name, 0, sizeof name);
    int rc = sys_socket_name(fd, false, &name, &place.length);
    if (rc < 0)
        say("name: %s", outcome(rc));
    memcpy(&place.at, &name, sizeof place.at);
    return place;
}

unsigned port_of(const struct place *place)
{
    return ntohs(place->at.any.sa_family == AF_INET6 ? place->at.v6.sin6_port
                                                     : place->at.v4.sin_port);
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* What the vector's own ring has in flight goes on meanwhile: that takes an enter. */
static bool wait_beside(int64_t timeout, struct io_uring_cqe *ret_cqe)
{
    for (int64_t end = sys_now() + timeout; sys_now() < end;) {
        if (mine.open)
            flush_cq();
        if (lane_wait(&aside, MILLISECOND, ret_cqe))
            return true;
    }
    return false;
}

/* One operation of a peer's, waited for; -ETIME if it does not complete, and it is cancelled. */
static int perform(const struct io_uring_sqe *what, int64_t timeout)
{
    struct io_uring_cqe cqe;
    struct io_uring_sqe *sqe = lane_slot(&aside, 'p');
    *sqe = *what;
    sqe->user_data = 'p';
    lane_submit(&aside);
    if (wait_beside(timeout, &cqe))
        return cqe.res;
    sqe = lane_slot(&aside, 'x');
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = 'p';
    lane_submit(&aside);
    int result = -ECANCELED;
    for (int i = 0; i < 2 && lane_wait(&aside, PATIENCE, &cqe); i++) {
        if (cqe.user_data == 'p')
            result = cqe.res;
    }
    return result == -ECANCELED ? -ETIME : result;
}

int listener(const struct place *place, int backlog)
{
    int fd = keep(sys_socket(place->at.any.sa_family, 0));
    int rc = sys_bind(fd, &place->at.any, place->length);
    if (rc == 0)
        rc = sys_listen(fd, backlog);
    if (fd < 0 || rc < 0)
        say("no listener: %s", outcome(rc));
    return fd;
}

int client(const struct place *place)
{
    int fd = keep(sys_socket(place->at.any.sa_family, 0));
    struct io_uring_sqe sqe = { .opcode = IORING_OP_CONNECT,
                                .fd = fd,
                                .addr = (uint64_t)(uintptr_t)&place->at,
                                .off = place->length };
    int rc = perform(&sqe, PATIENCE);
    if (rc < 0)
        say("no client: %s", outcome(rc));
    return fd;
}

static struct pair pair_at(const struct place *at)
{
    int fd = listener(at, 1);
    struct place place = name_of(fd);
    struct pair pair = { .b = client(&place) };
    struct io_uring_sqe sqe = { .opcode = IORING_OP_ACCEPT,
                                .fd = fd,
                                .accept_flags = SOCK_CLOEXEC };
    pair.a = perform(&sqe, PATIENCE);
    if (pair.a < 0)
        say("no pair: %s", outcome(pair.a));
    keep(pair.a);
    drop(fd);
    return pair;
}

struct pair pair_tcp(void)
{
    struct place place = loopback(0);
    return pair_at(&place);
}

struct pair pair_unix(void)
{
    struct place place = unix_abstract();
    return pair_at(&place);
}

void reset_peer(const struct pair *pair)
{
    sys_send(pair->a, "unread", 6, 0);
    settle();
    drop(pair->b);
    settle();
}

struct pair pair_reset(void)
{
    struct pair pair = pair_tcp();
    reset_peer(&pair);
    return pair;
}

static size_t filling;

size_t filled(void)
{
    return filling;
}

/* Some is still on its way to the peer when the first EAGAIN comes, and acknowledgements are
 * delayed: it is full when nothing has found room for a while. */
struct pair pair_full(bool unix_sockets)
{
    struct pair pair = unix_sockets ? pair_unix() : pair_tcp();
    filling = 0;
    for (int64_t since = sys_now(); sys_now() - since < 3 * quiet_time;) {
        ssize_t sent = sys_send(pair.a, bulk() + filling % 26, 1 << 16, 0);
        if (sent < 0 && sent != -EAGAIN) {
            say("filling: %s", outcome(sent));
            break;
        }
        if (sent < 0) {
            settle();
            continue;
        }
        filling += (size_t)sent;
        since = sys_now();
    }
    return pair;
}

/* ---- What a peer does ------------------------------------------------------------------------ */

void put(int fd, const char *text)
{
    ssize_t sent = sys_send(fd, text, strlen(text), 0);
    if (sent != (ssize_t)strlen(text))
        say("put: %s", outcome(sent));
    settle();
}

static int peer_receive(int fd, char *buffer, size_t size, int64_t timeout)
{
    struct io_uring_sqe sqe = { .opcode = IORING_OP_RECV,
                                .fd = fd,
                                .addr = (uint64_t)(uintptr_t)buffer,
                                .len = (uint32_t)size };
    return perform(&sqe, timeout);
}

static const char *ending(int rc)
{
    return rc > 0 ? "" : rc == 0 ? ", then the end" : rc == -ETIME ? ", then nothing" : ", then ";
}

void peer_reads(int fd, size_t count)
{
    char data[256], text[300];
    size_t have = 0;
    int rc = 1;
    while (rc > 0 && have < sizeof data && (count == 0 || have < count)) {
        rc = peer_receive(fd, data + have, sizeof data - have, count == 0 ? quiet_time : PATIENCE);
        have += rc > 0 ? (size_t)rc : 0;
    }
    quote(text, sizeof text, data, have);
    say("peer: %s%s%s", text, ending(rc), rc < 0 && rc != -ETIME ? outcome(rc) : "");
}

static size_t drained;

void peers_begin(void)
{
    drained = 0;
}

void drain(int fd, size_t count)
{
    static char buffer[1 << 16];
    size_t have = 0;
    bool whole = true;
    int rc = 1;
    while (rc > 0 && have < count) {
        size_t size = count - have < sizeof buffer ? count - have : sizeof buffer;
        rc = peer_receive(fd, buffer, size, PATIENCE);
        for (int i = 0; i < rc; i++)
            whole = whole && buffer[i] == (char)('a' + drained++ % 26);
        have += rc > 0 ? (size_t)rc : 0;
    }
    say("drained: %s, %s%s%s", have == count ? "all" : "a part", whole ? "whole" : "mixed up",
        ending(rc), rc < 0 && rc != -ETIME ? outcome(rc) : "");
}
