/* A proxy by hand on epoll: joins each client to a connection of its own to another server.
 *
 * It receives into one hot buffer and sends at once from it. What the other side does not take
 * waits in that side's queue, and until it is sent no more is received for it. Both sockets of a
 * pair are registered once, edge-triggered, for all events.
 */
#include "raw_epoll.h"

#define PROGRAM "raw_epoll_proxy"

enum { BUFFER_SIZE = 64 * 1024 };

/* A socket has its fd as its index. */
struct side {
    int other;  /* the pair's other socket; 0: this is none of a pair */
    bool ended; /* its own end was received, and passed on */
    struct queue queue;
};

static struct {
    int epoll, listener;
    struct address to;
    struct side *sides;
    unsigned char buffer[BUFFER_SIZE];
} server;

/* ---- Pairs ----------------------------------------------------------------------------------- */

static void end_side(int fd)
{
    free(server.sides[fd].queue.bytes);
    server.sides[fd] = (struct side){ .other = 0 };
    close(fd); /* which takes it out of the epoll set */
}

static void end_pair(int fd)
{
    int other = server.sides[fd].other;
    end_side(fd);
    end_side(other);
}

/* The connection need not be there yet: until then the socket is full. */
static int start_connection(void)
{
    int on = 1;
    int fd = socket(server.to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&server.to.storage, server.to.size) < 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void accept_all(void)
{
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    int client, other;
    while ((client = accept_one(server.listener)) >= 0) {
        other = start_connection();
        if (other < 0) {
            close(client);
            continue;
        }
        server.sides[client].other = other;
        server.sides[other].other = client;
        watch(PROGRAM, server.epoll, client, events);
        watch(PROGRAM, server.epoll, other, events);
    }
}

/* ---- Passing on: false says that the pair is over -------------------------------------------- */

/* Receives until nothing is left, or until the other side takes no more; see raw_epoll.c. */
static bool pass(int from, bool hung_up)
{
    struct side *side = &server.sides[from], *other = &server.sides[side->other];
    while (!other->queue.bytes && !side->ended) {
        ssize_t received = recv(from, server.buffer, sizeof server.buffer, 0);
        if (received < 0)
            return is_full(received);
        if (received == 0) {
            side->ended = true;
            shutdown(side->other, SHUT_WR);
            return !other->ended;
        }
        if (!send_or_queue(side->other, &other->queue, server.buffer, (size_t)received))
            return false;
        if (!hung_up && received < (ssize_t)sizeof server.buffer)
            return true;
    }
    return true;
}

/* What waited for this side leaves, and then the other is received from again: the edge of what
 * came from it meanwhile, or of its end, is past. */
static bool send_what_waits(int fd)
{
    struct side *side = &server.sides[fd];
    if (!side->queue.bytes)
        return true;
    return send_queue(fd, &side->queue) && (side->queue.bytes || pass(side->other, true));
}

static void handle_side(int fd, uint32_t events)
{
    if (!server.sides[fd].other)
        return; /* its pair ended in this turn */
    bool hung_up = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    bool lives = send_what_waits(fd);
    if (lives && (hung_up || (events & EPOLLIN)))
        lives = pass(fd, hung_up);
    if (!lives)
        end_pair(fd);
}

int main(int argc, char **argv)
{
    static const struct server_program program = {
        .name = PROGRAM,
        .what = "a proxy on epoll, written by hand",
        .modes = MODE_PROXY,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    server.to = options.to;
    server.sides = calloc(raise_descriptor_limit(), sizeof *server.sides);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!server.sides || server.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    server.listener = listen_on(PROGRAM, &options.address);
    watch(PROGRAM, server.epoll, server.listener, EPOLLIN);
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        struct epoll_event events[EVENT_COUNT];
        int count = epoll_wait(server.epoll, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == server.listener)
                accept_all();
            else
                handle_side(events[i].data.fd, events[i].events);
        }
    }
}
