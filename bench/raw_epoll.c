/* The same servers as raw_ring.c, written by hand for epoll: what an expert gets without io_uring.
 *
 * One thread, one epoll set, receive into one hot buffer, send at once from it. What the socket
 * does not take waits in a queue of the connection, which is read again when the queue is sent.
 *
 * Edge-triggered, each connection registered once for all events. Level-triggered was tried: 3 to
 * 7 % more CPU per request, as epoll then polls every served socket again. With a connection a
 * request, MSG_MORE, by which answer and end leave in one segment, saves some 6 % of a connection.
 * Left out there is TCP_DEFER_ACCEPT, which any server can have its listener do.
 */
#include "raw_epoll.h"

#define PROGRAM "raw_epoll"

enum { BUFFER_SIZE = 64 * 1024 };

/* A connection has its fd as its index. */
struct connection {
    uint32_t window; /* http: see http_count_requests() */
    struct queue queue;
};

static struct {
    int epoll, listener;
    enum server_mode mode;
    struct connection *connections;
    unsigned char *answers;
    unsigned char buffer[BUFFER_SIZE];
} server;

static void end_connection(int fd)
{
    free(server.connections[fd].queue.bytes);
    server.connections[fd] = (struct connection){ .window = 0 };
    close(fd); /* which takes it out of the epoll set */
}

/* ---- Echo and HTTP --------------------------------------------------------------------------- */

static bool answer(int fd, size_t size)
{
    struct connection *connection = &server.connections[fd];
    if (server.mode == MODE_ECHO)
        return send_or_queue(fd, &connection->queue, server.buffer, size);
    unsigned count = http_count_requests(&connection->window, server.buffer, size);
    return count == 0 ||
           send_or_queue(fd, &connection->queue, server.answers, (size_t)count * HTTP_ANSWER_SIZE);
}

/* Receives until nothing is left, or until the peer takes no more. A receive that did not fill the
 * buffer took all there was, so that another, only to see EAGAIN, is saved; an EOF behind the bytes
 * it would miss, hence `hung_up`. False: the connection is over. */
static bool receive_all(int fd, bool hung_up)
{
    while (!server.connections[fd].queue.bytes) {
        ssize_t received = recv(fd, server.buffer, sizeof server.buffer, 0);
        if (received < 0)
            return is_full(received);
        if (received == 0 || !answer(fd, (size_t)received))
            return false;
        if (!hung_up && received < (ssize_t)sizeof server.buffer)
            return true;
    }
    return true;
}

static void handle_connection(int fd, uint32_t events)
{
    struct queue *queue = &server.connections[fd].queue;
    bool waited = queue->bytes != NULL;
    if (waited && !send_queue(fd, queue)) {
        end_connection(fd);
        return;
    }
    /* After a wait the edge of bytes that came meanwhile, or of an EOF, is past: look for both. */
    bool hung_up = waited || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if ((hung_up || (events & EPOLLIN)) && !receive_all(fd, hung_up))
        end_connection(fd);
}

/* ---- HTTP, a connection a request ------------------------------------------------------------ */

/* Called at once for an accepted socket, too: where the request is there already, which is the rule
 * under load, the socket is never watched. False: the rest of the request is still to come. */
static bool answer_once(int fd)
{
    struct connection *connection = &server.connections[fd];
    ssize_t received = recv(fd, server.buffer, sizeof server.buffer, 0);
    if (is_full(received))
        return false;
    if (received > 0) {
        if (http_count_requests(&connection->window, server.buffer, (size_t)received) == 0)
            return false;
        /* A new socket has room for it; MSG_MORE, so that the end leaves in the same segment. */
        send(fd, HTTP_ANSWER, HTTP_ANSWER_SIZE, MSG_NOSIGNAL | MSG_MORE);
    }
    end_connection(fd);
    return true;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void accept_all(void)
{
    int fd;
    while ((fd = accept_one(server.listener)) >= 0) {
        if (server.mode != MODE_HTTP_CLOSE)
            watch(PROGRAM, server.epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        else if (!answer_once(fd))
            watch(PROGRAM, server.epoll, fd, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    static const struct server_program program = {
        .name = PROGRAM,
        .what = "echo and HTTP hello on epoll, written by hand",
        .modes = MODE_ECHO | MODE_HTTP | MODE_HTTP_CLOSE,
    };
    struct server_options options = parse_server_options(&program, argc, argv);
    server.mode = options.mode;
    if (server.mode == MODE_HTTP) /* as many answers as requests can end in one buffer */
        server.answers = http_repeat_answer(BUFFER_SIZE / 4 + 1);
    server.connections = calloc(raise_descriptor_limit(), sizeof *server.connections);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!server.connections || server.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    server.listener = listen_on(PROGRAM, &options.address);
    watch(PROGRAM, server.epoll, server.listener, EPOLLIN);
    announce(PROGRAM, server.listener, &options.address);
    for (;;) {
        struct epoll_event events[EVENT_COUNT];
        int count = epoll_wait(server.epoll, events, EVENT_COUNT, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == server.listener)
                accept_all();
            else if (server.mode == MODE_HTTP_CLOSE)
                answer_once(fd);
            else
                handle_connection(fd, events[i].events);
        }
    }
}
