/* See tls_ends.h. */
#include "tls_ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tls_inside.h"

/* ---- Bytes ----------------------------------------------------------------------------------- */

void bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    if (size == 0)
        return;
    bytes->data = realloc(bytes->data, bytes->size + size);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void bytes_drop(struct bytes *bytes, size_t at, size_t size)
{
    if (size == 0)
        return;
    memmove(bytes->data + at, bytes->data + at + size, bytes->size - at - size);
    bytes->size -= size;
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

size_t wire_record(const struct bytes *wire)
{
    if (wire->size < RECORD_HEADER)
        return wire->size;
    size_t body = (size_t)wire->data[3] << 8 | wire->data[4];
    return min_size(RECORD_HEADER + body, wire->size);
}

/* ---- The transport below: what a socket would do --------------------------------------------- */

static struct end *end_of(const struct transport *lower)
{
    return container_of((struct transport *)(uintptr_t)lower, struct end, lower);
}

static void lose(struct end *end, int error)
{
    if (end->lower_lost)
        return;
    end->lower_lost = end->finished = true;
    chain_clear(&end->lower.out);
    end->lower.events->lost(end->lower.user, error);
}

static void op_send(struct transport *lower)
{
    (void)lower; /* at the end of the turn */
}

static void op_finish(struct transport *lower)
{
    end_of(lower)->finishing = true;
}

static void op_receive(struct transport *lower, bool wanted)
{
    lower->receiving = wanted;
}

static void op_close(struct transport *lower)
{
    struct end *end = end_of(lower);
    end->closing = true;
    if (lower->out.size == 0)
        lose(end, 0);
}

static void op_abort(struct transport *lower, int error)
{
    lose(end_of(lower), error);
}

static bool op_recall(struct transport *lower)
{
    (void)lower;
    return false;
}

static const char *op_extra_info(struct transport *lower, const char *name)
{
    (void)lower;
    return strcmp(name, "peername") == 0 ? "127.0.0.1:443" : NULL;
}

static void op_free(struct transport *lower)
{
    (void)lower;
}

/* ---- What TLS tells: in the order that it must ----------------------------------------------- */

static void on_opened(void *user)
{
    struct end *end = user;
    fuzz_check(!end->opened && !end->lost);
    end->opened = true;
}

static void on_received(void *user, struct weir_segment *segment, const char *data, size_t size)
{
    struct end *end = user;
    fuzz_check(end->opened && !end->ended && !end->lost && size > 0);
    bytes_append(&end->received, data, size);
    segment_drop(segment);
    end_check(end);
}

static void on_ended(void *user)
{
    struct end *end = user;
    fuzz_check(end->opened && !end->ended && !end->lost);
    fuzz_check(end->peer == NULL || end->peer->may_end);
    end->ended = true;
}

static void on_sent(void *user)
{
    struct end *end = user;
    fuzz_check(!end->lost);
}

static void on_lost(void *user, int error)
{
    struct end *end = user;
    fuzz_check(!end->lost && error <= 0);
    end->lost = true;
    end->error = error;
}

static void on_closed(void *user)
{
    struct end *end = user;
    fuzz_check(end->lost && !end->closed);
    end->closed = true;
}

/* Whatever happens to the wire: what comes is what was sent, so far. */
void end_check(const struct end *end)
{
    const struct bytes *in = &end->received;
    fuzz_check(end->peer != NULL || in->size == 0);
    if (in->size == 0)
        return;
    fuzz_check(in->size <= end->peer->sent.size);
    fuzz_check(memcmp(in->data, end->peer->sent.data, in->size) == 0);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void end_open(struct end *end, struct weir_tls *context, const char *server_hostname)
{
    static const struct transport_ops ops = {
        .send = op_send,
        .finish = op_finish,
        .receive = op_receive,
        .close = op_close,
        .abort = op_abort,
        .recall = op_recall,
        .extra_info = op_extra_info,
        .free = op_free,
    };
    static const struct transport_events events = {
        .opened = on_opened,
        .received = on_received,
        .ended = on_ended,
        .sent = on_sent,
        .lost = on_lost,
        .closed = on_closed,
    };
    struct tls_options options = {
        .context = context,
        .server_hostname = server_hostname,
        .handshake_timeout = 60 * WEIR_SECOND,
        .shutdown_timeout = 30 * WEIR_SECOND,
    };
    struct chain none = { 0 };
    end->lower = (struct transport){
        .ops = &ops, .events = &events, .user = end, .receiving = true, .can_finish = true
    };
    int rc = tls_open(&end->lower, fuzz_loop(), &options, &none, &end->tls);
    fuzz_check(rc == 0);
    fuzz_settle();
}

void end_close(struct end *end)
{
    end->tls->ops->abort(end->tls, -ECONNABORTED);
    fuzz_settle();
    fuzz_check(end->lost && end->lower_lost);
    end->lower.events->closed(end->lower.user);
    fuzz_check(end->closed);
    end->tls->ops->free(end->tls);
    bytes_free(&end->wire);
    bytes_free(&end->sent);
    bytes_free(&end->received);
}

/* ---- The wire -------------------------------------------------------------------------------- */

void end_flush(struct end *end)
{
    struct chain *out = &end->lower.out;
    while (!end->stalled && !end->lower_lost && out->size > 0) {
        bytes_append(&end->wire, out->first->data, out->first->size);
        chain_drop(out, out->first->size);
        if (out->size > 0)
            continue;
        end->lower.events->sent(end->lower.user);
        fuzz_settle();
    }
    if (out->size > 0)
        return;
    if (end->closing)
        lose(end, 0);
    end->finished |= end->finishing;
}

void end_receive(struct end *end, const void *data, size_t size)
{
    if (size == 0 || end->lower_lost)
        return;
    struct weir_segment *segment = fuzz_segment(data, size, 0);
    end->lower.events->received(end->lower.user, segment, segment->data, size);
    fuzz_settle();
}

void end_break(struct end *end, int error)
{
    if (end->lower_lost)
        return;
    if (error != 0)
        lose(end, error);
    else if (!end->end_told)
        end->lower.events->ended(end->lower.user);
    end->end_told = true;
    fuzz_settle();
}

void end_deliver(struct end *end, size_t size)
{
    struct bytes *wire = &end->peer->wire;
    if (!end->lower.receiving || end->end_told)
        return;
    size = min_size(size, wire->size);
    struct bytes now = { 0 };
    bytes_append(&now, wire->data, size);
    bytes_drop(wire, 0, size);
    end_receive(end, now.data, now.size);
    bytes_free(&now);
    if (wire->size == 0 && end->peer->finished && end->lower.receiving)
        end_break(end, 0);
}

/* ---- What is sent ---------------------------------------------------------------------------- */

void end_write(struct end *end, size_t size)
{
    if (!end->opened || end->may_end || end->lost)
        return;
    for (size_t i = 0; i < size; i++) {
        char byte = (char)('a' + (end->sent.size * 7 + 3) % 23);
        bytes_append(&end->sent, &byte, 1);
    }
    if (size > 0)
        fuzz_check(chain_copy(&end->tls->out, end->sent.data + end->sent.size - size, size) == 0);
    end->tls->ops->send(end->tls);
    fuzz_settle();
}

/* A record with content that our engine would not send, but protected as it would be: where records
 * are sealed in place only. */
void end_craft(struct end *end, unsigned type, const void *data, size_t size, size_t padding)
{
    size_t record_size;
    struct engine *engine = container_of(end->tls, struct tls, transport)->engine;
    end_flush(end);
    bool waiting = end->tls->out.size > 0 || end->lower.out.size > 0;
    uint8_t *record = NULL;
    if (end->opened && !end->lost && !waiting)
        record = inside_seal(engine, type, data, size, padding, &record_size);
    if (record == NULL)
        return;
    bytes_append(&end->wire, record, record_size);
    free(record);
    if (type == RECORD_DATA && !end->may_end)
        bytes_append(&end->sent, data, size);
    if (type == RECORD_ALERT)
        end->may_end = true;
}
