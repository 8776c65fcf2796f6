/* What all scenarios begin and end with: a server, clients that talk to it, and at the end, when
 * nothing fails any more, one that must be served. The threads of a world take turns, so that all
 * of this may be static and plain. */
#ifndef WEIR_TESTS_SIM_SCENE_H
#define WEIR_TESTS_SIM_SCENE_H

#include "flow.h"

enum { TALKS = 128 };

/* A connection between a client and the server: what the client writes goes up. */
struct talk {
    unsigned id;
    struct flow up, down;
};

struct scene {
    struct talk talks[TALKS];
    unsigned begun;    /* of them */
    unsigned handlers; /* that run now */
    const char *host;  /* of the server, for its clients */
    uint16_t port;
    size_t most;    /* bytes a client writes, at most */
    bool strangers; /* there are peers that do not greet as they should */
    bool both;      /* the server has an address of each family */
    bool tls;       /* what it serves */
    bool over;      /* the server is closing: nobody need be served */
    struct weir_server *server;
    weir_task_fn *client; /* an ordinary one; its argument is a talk */
    const char *path;     /* of a Unix server, instead of the host */
};
extern struct scene scene;

/* Forgets the last world. `client` is what scene_end() calls, too. A task of the scene's own sees
 * to it that what fails does not fail for ever: it ends with scene_check(), or, if the scenario
 * cannot go on, with scene_leave(). */
void scene_begin(weir_task_fn *client);
void scene_leave(void);

/* A talk that nobody has had; and it begins. */
struct talk *scene_talk(void);
void talk_begin(struct talk *talk);

/* The server, at an address of chance's choosing. Negative, after a fault: there is none, and the
 * scenario ends at once, in order. */
int scene_serve(weir_client_connected_fn *handler, const struct weir_server_options *options);

/* One that echoes, on all addresses there are, for clients that try several. */
int scene_serve_everywhere(void);

/* So many clients, and waits for them. Once there have been faults they are cancelled after some
 * minutes; without any they must end by themselves. */
void scene_clients(unsigned count);

/* Starts a task on which others wait: again, if it fails at first. */
int scene_start(struct weir_group *group, weir_task_fn *run, void *argument);

/* The same for any task: its result, or -ECANCELED. */
int scene_patiently(weir_task_fn *run, void *argument);

/* From now on nothing fails, and a client is served within bounds; then the server shuts down, and
 * nothing is left. Returns 0, the scenario's result. */
int scene_end(void);
void scene_recover(void); /* the first part */
void scene_close(void);   /* the second */

/* After the first part: with the last client its stream must go, though the server goes on. For
 * clients who abort what they cannot finish; others may close behind their task, for ever. */
void scene_empty(void);

/* Checks all flows, and that the streams of this loop are gone. */
void scene_check(void);

/* The client's and the server's end of a talk: connected, and through the greeting. 0 or an error,
 * and then the stream is closed. */
int talk_connect(struct talk *talk, struct end *end, const struct weir_connect_options *options);
int talk_accept(struct weir_reader *reader, struct weir_writer *writer, struct end *end,
                struct talk **ret_talk);

/* An ordinary client, which writes up to scene.most bytes and reads to the end, and handlers: one
 * that echoes, and one that writes something of its own. */
int talk_client(void *talk);
void talk_echo_on(struct end *end, struct talk *talk); /* the rest of one that is accepted */
void talk_echo(struct weir_reader *reader, struct weir_writer *writer, void *unused);
void talk_exchange(struct weir_reader *reader, struct weir_writer *writer, void *unused);

/* Limits of chance's choosing, often small ones. */
size_t some_limit(void);
void some_marks(struct weir_writer *writer);

#endif
