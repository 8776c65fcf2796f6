/* Sockets that somebody else has connected become streams (weir_open_socket), whose numbers are
 * used again and again. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* The program connects, one socket at a time, and closes what is not taken. */
static struct {
    unsigned rounds;
    int fd; /* that is offered; -1: none */
    bool refused, ended;
} office;

static void connecting_program(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < office.rounds; i++) {
        weir_sim_sleep(weir_sim_choose(5, "when to connect") * WEIR_MILLISECOND);
        int fd = weir_sim_connect(scene.host, scene.port);
        if (excuse(NULL, fd, "a program's connect") < 0)
            continue;
        office.refused = false;
        office.fd = fd;
        while (office.fd >= 0)
            weir_sim_sleep(WEIR_MILLISECOND);
        if (office.refused)
            weir_sim_close(fd);
    }
    office.ended = true;
}

/* It is owned, as long as the stream lives; what it has not got is not. */
static void check_owned(int fd, const struct end *end)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    weir_sim_check(weir_fileno(end->writer) == fd);
    if (weir_sim_faults() > 0) /* then it may not have been noted */
        return;
    weir_sim_check(weir_open_socket(fd, NULL, &reader, &writer) == -EEXIST);
    weir_sim_check(weir_open_socket(1000000, NULL, &reader, &writer) == -EBADF);
}

static int talk_by(int fd, struct talk *talk)
{
    struct end end = { .in = &talk->down, .out = &talk->up };
    char greeting[16];
    struct weir_connect_options options = { .limit = some_limit() };
    int rc = weir_open_socket(fd, &options, &end.reader, &end.writer);
    office.refused = rc < 0;
    office.fd = -1;
    if (rc < 0)
        return excuse(NULL, rc, "open_socket");
    talk_begin(talk);
    check_owned(fd, &end);
    int size = snprintf(greeting, sizeof greeting, "talk %u\n", talk->id);
    rc = end_put(&end, greeting, (size_t)size);
    end.total = weir_sim_choose(3000, "what a client writes");
    if (rc == 0)
        rc = end_exchange(&end);
    if (rc < 0)
        end_break(&end);
    weir_close(end.writer);
    weir_sim_check(weir_fileno(end.writer) == -1);
    end_close(&end);
    return 0;
}

/* What is offered now is not taken, and nothing more is. */
static void leave_office(void)
{
    office.rounds = 0;
    if (office.fd >= 0) {
        office.refused = true;
        office.fd = -1;
    }
}

static int adopt_all(void *unused)
{
    (void)unused;
    while (!office.ended) {
        if (office.fd >= 0)
            talk_by(office.fd, scene_talk());
        if (weir_sleep(WEIR_MILLISECOND) < 0) { /* no more */
            leave_office();
            break;
        }
    }
    return 0;
}

/* Streams of other kinds come and go meanwhile. */
static int adopt_among_others(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    scene_start(&group, adopt_all, NULL);
    for (unsigned count = weir_sim_choose(4, "how many clients"); count > 0; count--)
        excuse(NULL, weir_group_start(&group, scene.client, scene_talk()), "group_start");
    return weir_group_wait(&group);
}

int scenario_adopted(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.most = 3000;
    scene.host = "127.0.0.1";
    scene.port = 7000;
    scene.strangers = true;
    memset(&office, 0, sizeof office);
    office.fd = -1;
    office.rounds = 2 + weir_sim_choose(8, "how many sockets");
    int rc = excuse(NULL, weir_start_server(talk_echo, NULL, scene.host, 7000, NULL, &scene.server),
                    "start_server");
    if (rc < 0) {
        scene_leave();
        return 0;
    }
    office.ended = excuse(NULL, weir_sim_thread(connecting_program, NULL), "thread") < 0;
    scene_patiently(adopt_among_others, NULL);
    while (!office.ended) {
        leave_office();
        weir_sleep(10 * WEIR_MILLISECOND);
    }
    return scene_end();
}
