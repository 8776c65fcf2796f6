/* Conversations between well-behaved ends: echo, requests, bulk both ways, half-close. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

/* ---- Echo: whatever way it is read and written, all comes back ------------------------------- */

int scenario_echo(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    struct weir_server_options options = { .limit = some_limit() };
    if (scene_serve(talk_echo, &options) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(8, "how many clients"));
    return scene_end();
}

/* ---- Requests: pipelined lines, each answered by a length and so many bytes ------------------ */

static int reply(struct end *end, size_t size)
{
    char payload[LONGEST];
    uint32_t length = (uint32_t)size;
    struct weir_slice parts[] = { { .data = (char *)&length, .size = sizeof length },
                                  { .data = payload, .size = size } };
    flow_fill(end->out, end->out->written, payload, size);
    end->out->written += size;
    int rc;
    unsigned tries = 0;
    do {
        rc = weir_writelines(end->writer, parts, 2);
    } while (rc == -ENOMEM && weir_exception(end->reader) == 0 && tries++ < 100 &&
             weir_sleep(WEIR_MILLISECOND) == 0);
    if (rc == 0)
        rc = weir_drain(end->writer);
    return excuse(end->out, rc, "reply");
}

static int answer(struct end *end)
{
    for (;;) {
        struct weir_slice line;
        ssize_t n = end_line(end, &line);
        if (n <= 0)
            return (int)n;
        char text[32] = { 0 };
        unsigned size;
        if (line.data[n - 1] != '\n' && weir_sim_faults() > 0)
            return -EPROTO; /* the client was cut off in the middle of a line */
        weir_sim_check(n < (ssize_t)sizeof text);
        memcpy(text, line.data, (size_t)n);
        weir_sim_check(sscanf(text, "get %u\n", &size) == 1 && size <= LONGEST);
        int rc = reply(end, size);
        if (rc < 0)
            return rc;
    }
}

static void serve_requests(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    some_marks(writer);
    int rc = answer(&end);
    end.in->eof = rc == 0;
    if (rc == 0)
        rc = end_finish(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

static int receive_reply(struct end *end, unsigned size)
{
    struct weir_slice data;
    uint32_t length;
    ssize_t n = end_exactly(end, sizeof length, &data);
    if (n < (ssize_t)sizeof length)
        return n < 0 ? (int)n : excuse(end->in, -EPROTO, "no reply");
    memcpy(&length, data.data, sizeof length);
    weir_sim_check(length == size);
    n = end_exactly(end, size, &data);
    if (n < 0)
        return (int)n;
    flow_check(end->in, data.data, (size_t)n);
    return (size_t)n == size ? 0 : excuse(end->in, -EPROTO, "half a reply");
}

enum { REQUESTS = 20, AT_ONCE = 4 };

static int ask(struct end *end)
{
    unsigned sizes[AT_ONCE];
    unsigned left = 1 + weir_sim_choose(REQUESTS, "how many requests");
    int rc = 0;
    while (rc == 0 && left > 0) {
        unsigned lot = 1 + weir_sim_choose(left < AT_ONCE ? left : AT_ONCE, "how many at once");
        for (unsigned i = 0; rc == 0 && i < lot; i++) {
            char text[32];
            sizes[i] = weir_sim_choose(LONGEST + 1, "size of a reply");
            int size = snprintf(text, sizeof text, "get %u\n", sizes[i]);
            rc = end_put(end, text, (size_t)size);
        }
        for (unsigned i = 0; rc == 0 && i < lot; i++)
            rc = receive_reply(end, sizes[i]);
        if (rc == 0)
            rc = nap(3, "pause between requests");
        left -= lot;
    }
    return rc;
}

static int requesting_client(void *talk)
{
    struct end end;
    struct weir_slice nothing;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    rc = ask(&end);
    if (rc == 0)
        rc = end_finish(&end);
    if (rc == 0)
        rc = (int)end_exactly(&end, 1, &nothing);
    weir_sim_check(rc <= 0);
    end.in->eof = rc == 0;
    if (rc < 0)
        end_break(&end);
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_requests(void *unused)
{
    (void)unused;
    scene_begin(requesting_client);
    if (scene_serve(serve_requests, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(6, "how many clients"));
    return scene_end();
}

/* ---- Bulk: much, both ways at once, past every watermark --------------------------------------*/

int scenario_bulk(void *unused)
{
    (void)unused;
    scene_begin(talk_client);
    scene.most = 300 * 1000;
    struct weir_server_options options = { .limit = some_limit() };
    if (scene_serve(talk_exchange, &options) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(2, "how many clients"));
    scene.most = 1000;
    return scene_end();
}

/* ---- Half-close: one says all, ends, and then listens ---------------------------------------- */

static int say(struct end *end, size_t size)
{
    int rc = 0;
    while (rc == 0 && size > 0) {
        size_t part = size < LONGEST ? size : LONGEST;
        rc = end_write(end, part);
        size -= part;
    }
    return rc == 0 ? end_finish(end) : rc;
}

/* All at once: asyncio's read(-1). */
static int hear_all(struct end *end)
{
    struct weir_slice data;
    if (weir_sim_choose(2, "whether to read all at once") == 0)
        return end_read_all(end);
    ssize_t n;
    unsigned tries = 0;
    do {
        n = weir_read(end->reader, WEIR_UNTIL_EOF, &data);
    } while (n == -ENOMEM && weir_exception(end->reader) == 0 && tries++ < 100 &&
             weir_sleep(WEIR_MILLISECOND) == 0);
    if (n < 0)
        return n == -ECANCELED ? (int)n : excuse(end->in, n, "read(-1)");
    flow_check(end->in, data.data, data.size);
    weir_sim_check(weir_at_eof(end->reader) || weir_exception(end->reader) != 0);
    end->in->eof = true;
    return 0;
}

static int end_half(struct end *end, int rc)
{
    if (rc < 0) {
        end_break(end);
        weir_abort(end->writer);
    }
    int closed = end_close(end);
    return rc < 0 ? rc : closed;
}

static void answer_at_the_end(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    int rc = hear_all(&end);
    if (rc == 0)
        rc = say(&end, weir_sim_choose(60 * 1000, "size of the answer"));
    end_half(&end, rc);
}

static int say_then_hear(void *talk)
{
    struct end end;
    int rc = talk_connect(talk, &end, NULL);
    if (rc < 0)
        return rc;
    rc = say(&end, weir_sim_choose(60 * 1000, "size of the question"));
    if (rc == 0)
        rc = hear_all(&end);
    return end_half(&end, rc);
}

int scenario_half_close(void *unused)
{
    (void)unused;
    scene_begin(say_then_hear);
    if (scene_serve(answer_at_the_end, NULL) < 0)
        return 0;
    scene_clients(1 + weir_sim_choose(4, "how many clients"));
    return scene_end();
}
