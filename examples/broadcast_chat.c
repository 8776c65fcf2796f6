/* A chat room, as often written with asyncio's start_server(): every line goes to all the others.
 * A client that reads too slowly misses lines; it never holds up the room, nor fills its memory.
 *     broadcast_chat [PORT]      (8888; 0: a free one) */
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

enum { BACKLOG = 256 * 1024 }; /* bytes that a client may be behind */

struct client {
    struct weir_writer *writer;
    const char *name;
    struct client *next;
};

static struct client *room; /* those who are here */

static void enter(struct client *client)
{
    client->next = room;
    room = client;
    printf("%s came\n", client->name);
}

static void leave(struct client *client)
{
    struct client **link = &room;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    printf("%s left\n", client->name);
}

static void tell_others(const struct client *from, struct weir_slice line)
{
    for (struct client *to = room; to; to = to->next) {
        size_t high, low;
        weir_get_write_buffer_limits(to->writer, &high, &low);
        if (to == from || weir_get_write_buffer_size(to->writer) > high)
            continue; /* too far behind: this line is lost for it */
        weir_printf(to->writer, "%s: ", from->name);
        weir_write_slice(to->writer, line); /* one buffer for all: nothing is copied */
    }
}

static void chat(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct client self = { writer, weir_get_extra_info(writer, "peername"), NULL };
    weir_set_write_buffer_limits(writer, BACKLOG, WEIR_DEFAULT);
    enter(&self);

    struct weir_slice line; /* only whole lines: readline would bring a torn last one, too */
    while (weir_readuntil(reader, "\n", &line) > 0)
        tell_others(&self, line); /* no drain: nobody waits for anybody */
    leave(&self);
}

static int serve(void *port)
{
    struct weir_server *server;
    int rc = weir_start_server(chat, NULL, "127.0.0.1", *(uint16_t *)port, NULL, &server);
    if (rc < 0)
        return rc;
    printf("Chat on %s\n", weir_server_sockname(server, 0));
    return weir_server_serve_forever(server);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? atoi(argv[1]) : 8888;
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also to a file */
    int rc = weir_run(serve, &port, NULL);
    if (rc < 0)
        fprintf(stderr, "broadcast_chat: %s\n", weir_strerror(rc));
    return rc < 0;
}
