/* Peers that are no programs of weir's, and do as they like; and one that sends more than anybody
 * reads. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Strangers: blocking programs, in threads of their own ----------------------------------- */

enum { STRANGERS = 6, PART = 1000 };

struct stranger {
    struct talk *talk;
    unsigned kind;
};

static struct {
    struct stranger strangers[STRANGERS];
    unsigned started, ended;
} street;

static ssize_t greet(int fd, struct talk *talk)
{
    char text[16];
    int size = snprintf(text, sizeof text, "talk %u\n", talk->id);
    talk_begin(talk);
    return weir_sim_send(fd, text, (size_t)size);
}

/* So many bytes of the pattern, in parts. */
static ssize_t say(int fd, struct flow *flow, size_t size, size_t part)
{
    char data[PART];
    ssize_t n = 0;
    while (n >= 0 && size > 0) {
        size_t some = size < part ? size : part;
        flow_fill(flow, flow->written, data, some);
        flow->written += some;
        n = weir_sim_send(fd, data, some);
        size -= some;
    }
    return n;
}

static ssize_t hear(int fd, struct flow *flow)
{
    char data[PART];
    ssize_t n;
    while ((n = weir_sim_receive(fd, data, 1 + weir_sim_choose(PART, "how much to receive"))) > 0)
        flow_check(flow, data, (size_t)n);
    if (n == 0)
        flow->eof = true;
    return n;
}

/* It knows its manners, but is slow: byte for byte, or at least piece for piece. */
static void converse(int fd, struct talk *talk)
{
    bool drip = weir_sim_choose(2, "whether to drip") == 1;
    ssize_t n =
        say(fd, &talk->up, weir_sim_choose(drip ? 100 : 5000, "how much to say"), drip ? 1 : PART);
    if (n >= 0)
        n = weir_sim_shutdown(fd);
    if (n == 0)
        talk->up.ended = true;
    if (n >= 0)
        n = hear(fd, &talk->down);
    if (n < 0)
        talk->up.write_error = (int)n;
    excuse(&talk->up, n, "a stranger's talk");
}

static void misbehave(int fd, struct stranger *stranger)
{
    char garbage[PART];
    switch (stranger->kind) {
    case 1: /* garbage */
        flow_fill(&stranger->talk->down, 0, garbage, sizeof garbage);
        weir_sim_send(fd, garbage, 1 + weir_sim_choose(PART, "how much garbage"));
        break;
    case 2: /* not a word */
        break;
    case 3: /* it falls silent in the middle */
        greet(fd, stranger->talk);
        say(fd, &stranger->talk->up, weir_sim_choose(5000, "how much to say"), PART);
        weir_sim_sleep(weir_sim_choose(20, "how long to stall") * WEIR_SECOND);
        break;
    default: /* it asks and never listens */
        greet(fd, stranger->talk);
        say(fd, &stranger->talk->up, 30 * 1000, PART);
        weir_sim_sleep(weir_sim_choose(5000, "how long not to listen") * WEIR_MILLISECOND);
    }
}

static void stranger_program(void *argument)
{
    struct stranger *stranger = argument;
    struct talk *talk = stranger->talk;
    weir_sim_sleep(weir_sim_choose(50, "when a stranger comes") * WEIR_MILLISECOND);
    int fd = weir_sim_connect(scene.host, scene.port);
    excuse(NULL, fd, "a stranger's connect");
    talk->up.disturbed = talk->down.disturbed = stranger->kind > 0;
    if (fd >= 0 && stranger->kind == 0) {
        if (greet(fd, talk) >= 0)
            converse(fd, talk);
        weir_sim_close(fd);
    } else if (fd >= 0) {
        misbehave(fd, stranger);
        if (weir_sim_choose(2, "how to leave") == 0)
            weir_sim_close(fd);
        else
            weir_sim_reset(fd);
    }
    street.ended++;
}

static void start_strangers(void)
{
    unsigned count = 1 + weir_sim_choose(STRANGERS, "how many strangers");
    memset(&street, 0, sizeof street);
    for (unsigned i = 0; i < count; i++) {
        struct stranger *stranger = &street.strangers[street.started];
        *stranger = (struct stranger){ scene_talk(), weir_sim_choose(5, "what kind of stranger") };
        int rc = weir_sim_thread(stranger_program, stranger);
        street.started += rc == 0;
        excuse(NULL, rc, "a stranger's thread");
    }
}

/* They block: where a fault has stalled one, only the calm ends it. */
static void wait_for_strangers(void)
{
    int64_t begun = weir_sim_now();
    while (street.ended < street.started) {
        weir_sleep(10 * WEIR_MILLISECOND);
        if (weir_sim_now() - begun > 300 * WEIR_SECOND && weir_sim_faults() > 0)
            weir_sim_calm();
    }
}

int scenario_strangers(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.strangers = true;
    scene.host = "127.0.0.1";
    scene.port = 7000;
    int rc = excuse(NULL, weir_start_server(talk_echo, NULL, scene.host, 7000, NULL, &scene.server),
                    "start_server");
    if (rc < 0) {
        scene_leave();
        return 0;
    }
    start_strangers();
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    wait_for_strangers();
    return scene_end();
}

/* ---- More than anybody reads ----------------------------------------------------------------- */

/* What is held for a reader that does not read is bounded: twice its limit, and what was on its way
 * through the loop's buffers when that was seen, and until the receive was cancelled. */
enum { POOL = 64 * 1024 };

static size_t limit;

static uint64_t bytes_read(void)
{
    struct weir_metrics now;
    weir_get_metrics(&now);
    return now.bytes_read;
}

static void lazy_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    uint64_t before = bytes_read();
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    if (weir_sim_choose(2, "whether to pause") == 1)
        weir_pause_reading(reader);
    int rc = weir_sleep(2 * WEIR_SECOND);
    uint64_t held = bytes_read() - before;
    if (scene.begun == 1 && held > 2 * limit + 3 * POOL)
        weir_sim_fail("%u bytes are held for a reader with a limit of %u", (unsigned)held,
                      (unsigned)limit);
    weir_resume_reading(reader);
    end.total = 0;
    if (rc == 0)
        rc = end_exchange(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

static int insistent_client(void *argument)
{
    struct end end;
    int rc = talk_connect(argument, &end, NULL);
    if (rc < 0)
        return rc;
    end.total = scene.most;
    rc = end_exchange(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_unread(void *unused)
{
    (void)unused;
    scene_begin(insistent_client);
    scene.most = 400 * 1000;
    limit = 100 + weir_sim_choose(20 * 1000, "limit");
    struct weir_server_options options = { .limit = limit };
    if (scene_serve(lazy_handler, &options) < 0)
        return 0;
    scene_clients(1);
    scene.most = 1000;
    return scene_end();
}
