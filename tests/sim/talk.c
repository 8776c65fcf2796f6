/* Both sides of a talk: the greeting, by which the server learns whom it talks to, and the ordinary
 * client and handlers. */
#include <stdio.h>

#include "scene.h"

/* ---- The greeting ---------------------------------------------------------------------------- */

/* A server that has an address of each family is reached by either. */
static const char *some_host(void)
{
    static const char *const either[] = { "127.0.0.1", "::1" };
    unsigned which = scene.both ? weir_sim_choose(3, "which address") : 0;
    return which > 0 ? either[which - 1] : scene.host;
}

static int open_connection(const struct talk *talk, const struct weir_connect_options *options,
                           struct end *end)
{
    int rc = 0;
    for (unsigned tries = 0; tries < 3; tries++) {
        rc = scene.path != NULL
                 ? weir_open_unix_connection(scene.path, options, &end->reader, &end->writer)
                 : weir_open_connection(some_host(), scene.port, options, &end->reader,
                                        &end->writer);
        if (rc == 0 || rc == -ECANCELED)
            return rc;
        excuse(&talk->up, rc, "connect");
        rc = weir_sleep(20 * WEIR_MILLISECOND) < 0 ? -ECANCELED : rc;
    }
    return rc;
}

void talk_begin(struct talk *talk)
{
    talk->up.begun = talk->down.begun = true;
    if (scene.tls)
        talk->up.patient_until = talk->down.patient_until =
            weir_sim_now() + TLS_PATIENCE * WEIR_SECOND;
}

int talk_connect(struct talk *talk, struct end *end, const struct weir_connect_options *options)
{
    memset(end, 0, offsetof(struct end, scratch));
    end->in = &talk->down;
    end->out = &talk->up;
    int rc = open_connection(talk, options, end);
    if (rc < 0)
        return rc;
    talk_begin(talk);
    char greeting[16];
    int size = snprintf(greeting, sizeof greeting, "talk %u\n", talk->id);
    rc = end_put(end, greeting, (size_t)size);
    if (rc < 0) {
        end_break(end); /* perhaps nobody will ever know whom this was */
        end_close(end);
    }
    return rc;
}

/* Nobody greets: a stranger, a fault, or (with the end at once) who lost a race of addresses. */
static int turn_away(struct weir_writer *writer, ssize_t n)
{
    weir_sim_check(n == 0 || scene.strangers || scene.over || weir_sim_faults() > 0);
    weir_wait_closed(writer);
    return n < 0 ? (int)n : -EPROTO;
}

int talk_accept(struct weir_reader *reader, struct weir_writer *writer, struct end *end,
                struct talk **ret_talk)
{
    unsigned id = TALKS;
    char newline = '\0';
    struct weir_slice line;
    memset(end, 0, offsetof(struct end, scratch));
    ssize_t n;
    do {
        n = weir_readline(reader, &line);
    } while (n == -ENOMEM && weir_exception(reader) == 0 && weir_sleep(WEIR_MILLISECOND) == 0);
    if (n > 0 && n < 16) {
        char text[17] = { 0 };
        memcpy(text, line.data, line.size);
        if (sscanf(text, "talk %u%c", &id, &newline) != 2 || newline != '\n')
            id = TALKS;
    }
    if (id >= scene.begun || scene.talks[id].down.written > 0)
        return turn_away(writer, n);
    struct talk *talk = &scene.talks[id];
    end->reader = reader;
    end->writer = writer;
    end->in = &talk->up;
    end->out = &talk->down;
    if (ret_talk != NULL)
        *ret_talk = talk;
    return 0;
}

/* ---- The client ------------------------------------------------------------------------------ */

int talk_client(void *argument)
{
    struct talk *talk = argument;
    struct end end;
    struct weir_connect_options options = { .limit = some_limit() };
    if (nap(10, "when a client comes") < 0)
        return -ECANCELED;
    int rc = talk_connect(talk, &end, &options);
    if (rc < 0)
        return rc;
    some_marks(end.writer);
    end.slow = weir_sim_choose(5, "how slow a client is");
    end.total = weir_sim_choose((unsigned)scene.most, "what a client writes");
    rc = end_exchange(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

/* ---- Handlers -------------------------------------------------------------------------------- */

/* What has been read goes back as it is, without a copy. */
static int echo(struct end *end)
{
    struct weir_slice data;
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = end_read(end, &data)) != 0) {
        if (n < 0)
            return (int)n;
        end->out->written += data.size;
        unsigned tries = 0;
        do {
            rc = weir_write_slice(end->writer, data);
        } while (rc == -ENOMEM && weir_exception(end->reader) == 0 && tries++ < 100 &&
                 weir_sleep(WEIR_MILLISECOND) == 0);
        if (rc == 0)
            rc = weir_drain(end->writer);
    }
    if (rc < 0 && rc != -ECANCELED)
        return excuse(end->out, rc, "echo");
    return rc < 0 ? rc : end_finish(end);
}

static void finish(struct end *end, int rc)
{
    if (rc < 0) {
        end_break(end);
        weir_abort(end->writer);
    }
    if (weir_sim_choose(4, "whether to wait for the close") == 3)
        end->out->unwatched = true; /* left to the task's end */
    else
        end_close(end);
    scene.handlers--;
}

void talk_echo_on(struct end *end, struct talk *talk)
{
    scene.handlers++;
    talk->down.id = talk->up.id;
    some_marks(end->writer);
    finish(end, echo(end));
}

void talk_echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    struct talk *talk;
    (void)unused;
    if (talk_accept(reader, writer, &end, &talk) < 0)
        return;
    talk_echo_on(&end, talk);
}

void talk_exchange(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    scene.handlers++;
    some_marks(writer);
    end.slow = weir_sim_choose(5, "how slow a server is");
    end.total = weir_sim_choose((unsigned)scene.most, "what a server writes");
    finish(&end, end_exchange(&end));
}
