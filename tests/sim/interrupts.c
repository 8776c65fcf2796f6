/* Interruptions at any moment: cancels and time limits, after which not a byte may be missing, and
 * storms of closes and aborts. */
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Cancels: a conversation that is cancelled again and again, and goes on ------------------ */

static int exchange(void *end)
{
    return end_exchange(end);
}

/* -ECANCELED: it is to go on. */
static int exchange_for_a_while(struct end *end)
{
    struct weir_group group = { 0 };
    int rc = excuse(end->out, weir_group_start(&group, exchange, end), "group_start");
    if (rc < 0)
        return -ECANCELED;
    nap(20, "when to cancel");
    weir_group_cancel(&group);
    return weir_group_wait(&group);
}

static int interrupted_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    struct weir_connect_options options = { .limit = some_limit() };
    int rc = talk_connect(talk, &end, &options);
    if (rc < 0)
        return rc;
    some_marks(end.writer);
    end.hasty = true;
    end.slow = weir_sim_choose(5, "how slow a client is");
    end.total = weir_sim_choose(60 * 1000, "what a client writes");
    unsigned rounds = weir_sim_choose(6, "how often to cancel");
    rc = -ECANCELED;
    for (unsigned i = 0; rc == -ECANCELED && i < rounds; i++)
        rc = exchange_for_a_while(&end);
    end.hasty = false;
    if (rc == -ECANCELED)
        rc = end_exchange(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_interrupts(void *unused)
{
    (void)unused;
    scene_begin(interrupted_client);
    if (scene_serve(weir_sim_choose(2, "what serves") == 0 ? talk_echo : talk_exchange, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(4, "how many clients"));
    return scene_end();
}

/* ---- Time limits: never early, and never late ------------------------------------------------ */

static bool timed; /* time does not jump in this world */

struct limit {
    struct weir_timeout timeout;
    weir_duration after;
    int64_t begun;
};

static void limit_start(struct limit *limit, weir_duration after)
{
    limit->after = after;
    limit->begun = weir_sim_now();
    weir_timeout_start(&limit->timeout, after);
}

static void limit_stop(struct limit *limit, ssize_t result)
{
    result = weir_timeout_stop(&limit->timeout, result);
    int64_t took = weir_sim_now() - limit->begun;
    if (result != -ETIMEDOUT)
        return;
    if (took < limit->after && weir_sim_faults() == 0)
        weir_sim_fail("%d ms early", (int)((limit->after - took) / WEIR_MILLISECOND));
    if (timed && took > limit->after + WEIR_SECOND)
        weir_sim_fail("%d ms late", (int)((took - limit->after) / WEIR_MILLISECOND));
}

static weir_duration some_time(void)
{
    return (1 + weir_sim_choose(3000, "limit")) * WEIR_MILLISECOND;
}

/* Nobody answers there. */
static void connect_to_nobody(void)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct limit limit;
    weir_sim_route("10.9.9.9", -ETIMEDOUT);
    limit_start(&limit, some_time());
    int rc = weir_open_connection("10.9.9.9", 7000, NULL, &reader, &writer);
    weir_sim_check(rc < 0);
    limit_stop(&limit, rc);
    if (rc != -ECANCELED && rc != -ETIMEDOUT)
        excuse(NULL, rc, "connect to nobody");
}

/* The peer is silent: the limit ends the read, and an outer one is not touched by an inner one. */
static void read_of_the_silent(struct end *end)
{
    struct weir_slice data;
    struct limit outer, inner;
    bool outer_first = weir_sim_choose(2, "which limit is first") == 1;
    weir_duration time = some_time();
    limit_start(&outer, outer_first ? time : 10 * time);
    limit_start(&inner, outer_first ? 10 * time : time);
    ssize_t n = weir_read(end->reader, 1, &data);
    weir_sim_check(n <= 0);
    if (outer_first)
        weir_timeout_stop(&inner.timeout, n);
    else
        limit_stop(&inner, n);
    int rc = weir_yield(); /* interrupted still, if it is the outer one that has passed */
    if (timed && n == -ETIMEDOUT)
        weir_sim_check(rc == (outer_first ? -ETIMEDOUT : 0));
    limit_stop(&outer, outer_first ? n : 0);
}

static int sleep_long(void *unused)
{
    (void)unused;
    return weir_sleep(1000 * WEIR_SECOND);
}

static void wait_for_long(void)
{
    weir_duration time = some_time();
    int64_t begun = weir_sim_now();
    int rc = weir_wait_for(time, sleep_long, NULL);
    int64_t took = weir_sim_now() - begun;
    weir_sim_check(rc == -ETIMEDOUT || rc == -ECANCELED || weir_sim_faults() > 0 || !timed);
    if (timed && rc == -ETIMEDOUT)
        weir_sim_check(took >= time && took <= time + WEIR_SECOND);
}

/* The peer reads nothing for a while: what is queued then is the stream's, and nobody looks at the
 * caller's memory any more. */
static void write_to_the_busy(struct end *end)
{
    enum { MUCH = 200 * 1000 };
    struct limit limit;
    char *data = malloc(MUCH);
    weir_sim_check(data != NULL);
    flow_fill(end->out, end->out->written, data, MUCH);
    end->out->written += MUCH;
    limit_start(&limit, some_time());
    int rc = weir_write_all(end->writer, data, MUCH);
    limit_stop(&limit, rc);
    memset(data, '!', MUCH);
    free(data);
    bool lost = weir_exception(end->reader) != 0;
    if (rc == -ENOMEM && !lost)
        end->out->written -= MUCH; /* nothing of it was queued */
    if (rc != -ECANCELED && (rc != -ETIMEDOUT || lost))
        excuse(end->out, rc, "write_all");
}

/* Busy with something else at first. */
static void late_echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    weir_pause_reading(reader);
    weir_sleep(weir_sim_choose(5000, "how late") * WEIR_MILLISECOND);
    weir_resume_reading(reader);
    talk_echo_on(&end, talk);
}

static int limited_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    bool first = weir_sim_choose(2, "whether to write first") == 1;
    if (first)
        write_to_the_busy(&end);
    else
        read_of_the_silent(&end);
    connect_to_nobody();
    wait_for_long();
    end.hasty = true;
    end.total = weir_sim_choose(20 * 1000, "what a client writes");
    rc = end_exchange(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_timeouts(void *argument)
{
    timed = argument != NULL;
    scene_begin(limited_client);
    if (scene_serve(late_echo, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(4, "how many clients"));
    return scene_end();
}

/* ---- Storms ---------------------------------------------------------------------------------- */

static bool storming;

/* Not for ever, as no time passes while somebody can go on. */
static int storm_writer(void *argument)
{
    struct end *end = argument;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < 40; i++)
        rc = end_write(end, 1 + weir_sim_choose(LONGEST, "how much to write"));
    return 0;
}

static int storm_reader(void *argument)
{
    end_read_all(argument);
    return 0;
}

/* What has been closed stays closed. */
static void check_closing(const struct end *end)
{
    weir_sim_check(weir_is_closing(end->writer));
    weir_sim_check(weir_write(end->writer, "!", 1) < 0);
    weir_sim_check(weir_fileno(end->writer) == -1);
}

static void one_blow(struct end *end)
{
    switch (weir_sim_choose(7, "which blow")) {
    case 0:
        weir_close(end->writer);
        check_closing(end);
        break;
    case 1:
        weir_abort(end->writer);
        check_closing(end);
        weir_sim_check(weir_get_write_buffer_size(end->writer) == 0 ||
                       weir_exception(end->reader) != 0);
        break;
    case 2:
        weir_write_eof(end->writer);
        weir_sim_check(weir_write(end->writer, "!", 1) < 0);
        break;
    case 3:
        weir_feed_eof(end->reader);
        break;
    case 4:
        weir_pause_reading(end->reader);
        break;
    case 5:
        weir_resume_reading(end->reader);
        break;
    default:
        some_marks(end->writer);
    }
}

/* In the end it is aborted, so that nobody waits for ever for a reader that is paused. */
static int storm_blows(void *argument)
{
    struct end *end = argument;
    unsigned count = 1 + weir_sim_choose(4, "how many blows");
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = nap(10, "when to strike");
        one_blow(end);
    }
    if (rc == 0)
        rc = nap(10, "when to abort");
    weir_abort(end->writer);
    check_closing(end);
    return 0;
}

static void storm(struct end *end)
{
    struct weir_group group = { 0 };
    end_break(end);
    excuse(NULL, weir_group_start(&group, storm_writer, end), "group_start");
    excuse(NULL, weir_group_start(&group, storm_reader, end), "group_start");
    if (excuse(NULL, weir_group_start(&group, storm_blows, end), "group_start") < 0)
        weir_abort(end->writer);
    weir_group_wait(&group);
    if (weir_sim_choose(2, "whether to wait for the close") == 1)
        end_close(end);
}

/* One call, made by a task of its own, during which somebody else ends the stream. */
struct call {
    struct end *end;
    unsigned *entered;
    unsigned kind;
    char data[100];
};

static int call_once(void *argument)
{
    struct call *call = argument;
    struct weir_reader *reader = call->end->reader;
    struct weir_writer *writer = call->end->writer;
    struct weir_slice data;
    ++*call->entered;
    switch (call->kind) { /* after which the stream may be gone */
    case 0:
        weir_read(reader, 100, &data);
        break;
    case 1:
        flow_fill(call->end->out, call->end->out->written, call->data, sizeof call->data);
        call->end->out->written += sizeof call->data;
        weir_write_all(writer, call->data, sizeof call->data);
        break;
    default:
        weir_drain(writer);
    }
    return 0;
}

/* The stream goes while tasks wait in it: all of them return. */
static void close_over(struct end *end)
{
    enum { CALLS = 5 };
    struct weir_group group = { 0 };
    struct call calls[CALLS];
    unsigned entered = 0, started = 0;
    char data[LONGEST];
    end_break(end);
    for (unsigned i = weir_sim_choose(20, "how much is queued"); i > 0; i--) {
        flow_fill(end->out, end->out->written, data, sizeof data);
        if (weir_write(end->writer, data, sizeof data) == 0)
            end->out->written += sizeof data;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        calls[i] = (struct call){ .end = end, .entered = &entered, .kind = i };
        started += weir_group_start(&group, call_once, &calls[i]) == 0;
    }
    while (entered < started)
        weir_yield();
    if (weir_sim_choose(2, "whether to abort") == 1)
        weir_abort(end->writer);
    end_close(end);
    weir_group_wait(&group);
}

static void storm_handler(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    if (storming)
        storm(&end);
    else
        talk_echo_on(&end, talk);
}

static int storm_client(void *argument)
{
    struct end end;
    int rc = talk_connect(argument, &end, NULL);
    if (rc < 0)
        return rc;
    if (weir_sim_choose(3, "what kind of storm") == 2)
        close_over(&end);
    else
        storm(&end);
    return 0;
}

int scenario_storm(void *unused)
{
    (void)unused;
    scene_begin(storm_client);
    scene.strangers = true; /* the greeting may be aborted */
    storming = true;
    if (scene_serve(storm_handler, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(6, "how many clients"));
    storming = false;
    scene.client = talk_client;
    return scene_end();
}
