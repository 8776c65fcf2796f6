/* The two directions of TLS: records that have come are opened where they lie, and what is queued
 * is sealed from where it lies into the queue below. */
#include <errno.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "transport/tls.h"

/* Alerts (RFC 8446, 6) that are sent from here; the others are the engine's. */
enum { UNEXPECTED_MESSAGE = 10, RECORD_OVERFLOW = 22 };

/* ---- Opening --------------------------------------------------------------------------------- */

/* Why a record with this header is not for us, or 0; then also the alert to send. */
static int check_header(const struct tls *tls, const unsigned char *header, unsigned *ret_alert)
{
    unsigned type = header[0];
    size_t size = (size_t)header[3] << 8 | header[4];
    *ret_alert = UNEXPECTED_MESSAGE;
    if (type < RECORD_CHANGE_CIPHER_SPEC || type > RECORD_DATA || header[1] != 3)
        return tls->opened ? WEIR_TLS_RECORD : WEIR_TLS_PLAINTEXT;
    if (tls->opened && tls->engine->in_place && type != RECORD_DATA)
        return WEIR_TLS_RECORD;
    if (size == 0 && type != RECORD_DATA)
        return tls->opened ? WEIR_TLS_RECORD : WEIR_TLS_HANDSHAKE;
    *ret_alert = RECORD_OVERFLOW;
    return size > RECORD_BODY_MOST ? WEIR_TLS_RECORD : 0;
}

/* Tells what the first `size` bytes of `in` are: data for the reader, who may be gone. */
static void deliver(struct tls *tls, size_t size)
{
    struct transport *transport = &tls->transport;
    while (size > 0 && tls->state == TLS_OPEN) {
        struct weir_slice data = chain_take(&tls->in, min_size(size, tls->in.first->size));
        size -= data.size;
        transport->events->received(transport->user, data.segment_, data.data, data.size);
    }
    if (!tls->told_lost)
        chain_drop(&tls->in, size);
}

/* In place: the data is lent from the buffer that the record came in. */
static ssize_t unseal(struct tls *tls, const unsigned char *header, size_t size)
{
    struct iovec body[RECORD_PIECES];
    size_t body_size = size - RECORD_HEADER;
    unsigned count = chain_vector(&tls->in, RECORD_HEADER, body_size, body, RECORD_PIECES);
    if (count == 0 && body_size > 0) {
        if (chain_gather(&tls->in, size, 0) < 0)
            return -ENOMEM;
        count = chain_vector(&tls->in, RECORD_HEADER, body_size, body, RECORD_PIECES);
    }
    ssize_t n = tls->engine->ops->unseal(tls->engine, header, body, count);
    if (n > 0) {
        chain_drop(&tls->in, RECORD_HEADER);
        deliver(tls, (size_t)n);
        size = body_size - (size_t)n;
    }
    if (!tls->told_lost)
        chain_drop(&tls->in, size);
    return n;
}

/* A segment with room for `size` bytes behind what it holds: small records are packed into one, so
 * that many of them do not take a segment each. */
static struct weir_segment *find_room(struct tls *tls, size_t size)
{
    struct weir_segment *segment = tls->packing;
    if (segment == NULL || segment->capacity - segment->used < size) {
        segment = segment_new(size);
        if (segment == NULL)
            return NULL;
        if (tls->packing != NULL)
            segment_drop(tls->packing);
        tls->packing = segment;
    }
    return segment;
}

/* By the engine's own way: it copies. */
static ssize_t read_record(struct tls *tls, size_t size)
{
    struct transport *transport = &tls->transport;
    struct weir_segment *segment = find_room(tls, size);
    if (segment == NULL || chain_gather(&tls->in, size, 0) < 0)
        return -ENOMEM;
    char *plain = segment->data + segment->used;
    ssize_t n = tls->engine->ops->read(tls->engine, tls->in.first->data, size, plain);
    chain_drop(&tls->in, size);
    if (n > 0 && tls->state == TLS_OPEN) {
        segment->used += (size_t)n;
        metrics.bytes_copied += (size_t)n;
        transport->events->received(transport->user, segment_hold(segment), plain, (size_t)n);
    }
    return n;
}

static int shake_hands(struct tls *tls, size_t size)
{
    if (chain_gather(&tls->in, size, 0) < 0)
        return -ENOMEM;
    int rc = tls->engine->ops->handshake(tls->engine, tls->in.first->data, size);
    chain_drop(&tls->in, size);
    if (rc > 0)
        tls_handshaken(tls);
    return rc < 0 ? rc : 0;
}

static bool is_idling(struct tls *tls, ssize_t result)
{
    unsigned most = tls->opened ? LIMIT_TLS_IDLE : 16 * LIMIT_TLS_IDLE;
    tls->idle_records = result > 0 ? 0 : tls->idle_records + 1;
    return tls->idle_records > most;
}

/* Opens the next, if it is whole: false if there is nothing more to do. */
static bool take_record(struct tls *tls)
{
    unsigned char header[RECORD_HEADER];
    if (tls->in.size < sizeof header)
        return false;
    chain_peek(&tls->in, header, sizeof header);
    size_t size = RECORD_HEADER + ((size_t)header[3] << 8 | header[4]);
    unsigned alert;
    ssize_t rc = check_header(tls, header, &alert);
    if (rc == 0 && tls->in.size < size)
        return false;
    if (rc < 0)
        tls->engine->ops->refuse(tls->engine, alert);
    else if (!tls->opened)
        rc = shake_hands(tls, size);
    else if (tls->engine->in_place)
        rc = unseal(tls, header, size);
    else
        rc = read_record(tls, size);
    if (rc == ENGINE_ENDED) {
        tls_peer_ended(tls);
    } else if (rc >= 0 && is_idling(tls, rc)) {
        tls->engine->ops->refuse(tls->engine, UNEXPECTED_MESSAGE);
        rc = WEIR_TLS_RECORD;
    }
    if (rc < 0 && rc != ENGINE_ENDED)
        tls_fail(tls, (int)rc);
    return rc >= 0 && !tls->told_lost;
}

void tls_take_records(struct tls *tls)
{
    bool may = !tls->told_lost && !tls->ended && tls->state < TLS_CLOSING;
    while (may && !tls_owes_replies(tls) && take_record(tls))
        ;
}

/* ---- Sealing --------------------------------------------------------------------------------- */

static int seal(struct tls *tls)
{
    struct engine *engine = tls->engine;
    struct chain *out = &tls->transport.out;
    if (engine->records_to_seal == 0) {
        int rc = engine->ops->renew(engine);
        if (rc < 0)
            return rc;
    }
    struct iovec plain[RECORD_PIECES];
    size_t size = min_size(out->size, RECORD_PLAIN_MOST);
    unsigned count = chain_vector(out, 0, size, plain, RECORD_PIECES);
    if (count == 0) {
        if (chain_gather(out, size, 0) < 0)
            return -ENOMEM;
        count = chain_vector(out, 0, size, plain, RECORD_PIECES);
    }
    size_t more = min_size(out->size - size, 3 * RECORD_PLAIN_MOST);
    more += more > 0 ? 3 * RECORD_OVERHEAD : 0;
    char *record = chain_extend(&tls->transport.lower->out, RECORD_OVERHEAD + size, more);
    if (record == NULL)
        return -ENOMEM;
    engine->ops->seal(engine, plain, count, size, record);
    chain_drop(out, size);
    return 0;
}

static int write_record(struct tls *tls)
{
    struct chain *out = &tls->transport.out;
    size_t size = min_size(out->size, RECORD_PLAIN_MOST);
    if (chain_gather(out, size, 0) < 0)
        return -ENOMEM;
    size_t replies = tls->replies; /* this is none */
    int rc = tls->engine->ops->write(tls->engine, out->first->data, size);
    tls->replies = replies;
    chain_drop(out, size);
    return rc;
}

void tls_put_records(struct tls *tls)
{
    bool may = tls->state == TLS_OPEN || tls->state == TLS_FLUSHING;
    struct chain *out = &tls->transport.out;
    const struct chain *below = &tls->transport.lower->out;
    while (may && !tls->finished && out->size > 0 && below->size < LIMIT_TLS_AHEAD) {
        int rc = tls->engine->in_place ? seal(tls) : write_record(tls);
        tls->data_below = true;
        if (rc < 0) {
            tls_fail(tls, rc);
            return;
        }
    }
}
