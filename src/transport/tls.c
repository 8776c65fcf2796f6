#include "transport/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"

/* ---- The one place where its state moves on -------------------------------------------------- */

static void set_receiving(struct tls *tls)
{
    struct transport *lower = tls->transport.lower;
    bool wanted = tls->state != TLS_OPEN || tls->transport.receiving || tls->ended;
    if (tls_owes_replies(tls))
        wanted = false;
    if (tls->state < TLS_CLOSING && wanted != lower->receiving)
        lower->ops->receive(lower, wanted);
}

bool tls_owes_replies(const struct tls *tls)
{
    return tls->opened && !tls->told_lost && tls->replies > LIMIT_TLS_REPLIES;
}

static void finish(struct tls *tls)
{
    tls->finished = true;
    tls->all_left = !tls->data_below;
    int rc = tls->engine->ops->finish(tls->engine);
    if (rc < 0)
        tls_fail(tls, rc);
}

static void begin(struct tls *tls)
{
    tls->begun = true;
    int rc = tls->engine->ops->handshake(tls->engine, NULL, 0);
    if (rc < 0)
        tls_fail(tls, rc);
}

static void move(struct tls *tls)
{
    struct chain *out = &tls->transport.out;
    if (tls->transport.lower->out.size == 0) {
        tls->replies = 0;
        tls->data_below = false;
    }
    if (!tls->begun && tls->state == TLS_HANDSHAKE)
        begin(tls);
    tls_take_records(tls);
    tls_put_records(tls);
    bool ending = tls->finish || tls->state == TLS_FLUSHING;
    if (ending && !tls->finished && out->size == 0 && tls->state > TLS_HANDSHAKE &&
        tls->state < TLS_ENDING)
        finish(tls);
    if (tls->out_of_memory && tls->state < TLS_CLOSING)
        tls_give_up(tls, -ENOMEM);
    if (tls->state == TLS_FLUSHING && tls->finished)
        tls_await_end(tls);
    bool alone = tls->ended && !tls->transport.lower->can_finish;
    if (tls->state == TLS_ENDING && (tls->lower_ended || alone))
        tls_close_lower(tls);
    set_receiving(tls);
    struct transport *lower = tls->transport.lower;
    if (lower->out.size > 0 && tls->state < TLS_CLOSING)
        lower->ops->send(lower);
    if (tls->finished && !tls->all_left && transport_queued(lower) == 0) {
        tls->all_left = true;
        tls_hurry_if_over(tls);
    }
}

static void move_later(struct deferred *deferred)
{
    move(container_of(deferred, struct tls, deferred));
}

/* ---- What is below tells --------------------------------------------------------------------- */

void tls_handshaken(struct tls *tls)
{
    tls->state = TLS_OPEN;
    tls_set_limit(tls, LIMIT_TLS_SETTLE * WEIR_SECOND);
    tls->opened = true;
    tls->idle_records = 0;
    tls->replies = 0;
    tls->transport.can_finish = tls->engine->can_finish;
    metrics.tls_handshakes++;
    metrics.tls_resumed += tls->engine->resumed;
    tls->transport.events->opened(tls->transport.user);
}

/* TLS 1.2 cannot go on in one direction: what is queued still leaves, then it ends. */
void tls_peer_ended(struct tls *tls)
{
    if (tls->ended)
        return;
    tls->ended = true;
    tls_hurry_if_over(tls);
    chain_clear(&tls->in);
    if (tls->state == TLS_OPEN)
        tls->transport.events->ended(tls->transport.user);
    if (tls->state == TLS_OPEN && !tls->transport.can_finish)
        tls_begin_to_end(tls);
}

static void on_received(void *user, struct weir_segment *segment, const char *data, size_t size)
{
    struct tls *tls = user;
    if (tls->ended || tls->told_lost || tls->state == TLS_CLOSING) {
        segment_drop(segment);
        return;
    }
    if (chain_receive(&tls->in, segment, data, size) < 0) {
        segment_drop(segment);
        tls_give_up(tls, -ENOMEM);
        return;
    }
    move(tls);
}

static void on_ended(void *user)
{
    struct tls *tls = user;
    tls->lower_ended = true;
    tls->replies = 0; /* no need to wait for the peer: what it has sent is all */
    tls_take_records(tls);
    if (tls->state == TLS_HANDSHAKE)
        tls_give_up(tls, -ECONNRESET);
    else if (tls->state == TLS_OPEN && !tls->ended && !tls->allow_truncation)
        tls_give_up(tls, WEIR_TLS_TRUNCATED);
    else if (tls->state < TLS_CLOSING)
        tls_peer_ended(tls);
    if (tls->state < TLS_CLOSING)
        move(tls);
}

static void on_sent(void *user)
{
    struct tls *tls = user;
    tls_note_sent(tls);
    move(tls);
    if (!tls->told_lost)
        tls->transport.events->sent(tls->transport.user);
}

/* A peer that closes without having read our close_notify resets the connection: when all else has
 * left, and nothing is expected any more, that is no failure, as it is none without TLS. */
static void on_lost(void *user, int error)
{
    struct tls *tls = user;
    bool expecting = tls->state == TLS_OPEN && !tls->ended; /* our end alone has ended */
    bool over = tls->all_left && !expecting && (error == -ECONNRESET || error == -EPIPE);
    tls->state = TLS_CLOSING;
    tls_tell_lost(tls, over ? 0 : error);
}

static void on_closed(void *user)
{
    struct tls *tls = user;
    timer_stop(&tls->loop->timers, &tls->timer);
    list_remove(&tls->deferred.node);
    tls->transport.events->closed(tls->transport.user); /* it may be gone now */
}

/* ---- What is above asks for ------------------------------------------------------------------ */

static struct tls *tls_of(struct transport *transport)
{
    return container_of(transport, struct tls, transport);
}

static void op_send(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    loop_defer(tls->loop, &tls->deferred);
}

static void op_finish(struct transport *transport)
{
    tls_of(transport)->finish = true;
    op_send(transport);
}

static void op_receive(struct transport *transport, bool wanted)
{
    transport->receiving = wanted;
    set_receiving(tls_of(transport));
}

static void op_close(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    if (tls->state == TLS_HANDSHAKE)
        tls_give_up(tls, 0);
    if (tls->state != TLS_OPEN)
        return;
    tls_begin_to_end(tls);
    op_send(transport);
}

static void op_abort(struct transport *transport, int error)
{
    tls_give_up(tls_of(transport), error);
}

/* What was sealed is not `out`'s any more: nothing of that is in flight. */
static bool op_recall(struct transport *transport)
{
    (void)transport;
    return false;
}

static const char *op_extra_info(struct transport *transport, const char *name)
{
    struct tls *tls = tls_of(transport);
    const char *info = tls->engine->ops->info(tls->engine, name);
    return info != NULL ? info : transport->lower->ops->extra_info(transport->lower, name);
}

static int op_fileno(const struct transport *transport)
{
    return transport->lower->ops->fileno(transport->lower);
}

static void op_free(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    transport->lower->ops->free(transport->lower);
    tls->engine->ops->free(tls->engine);
    free(tls);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static void emit(void *user, const void *data, size_t size)
{
    struct tls *tls = user;
    tls->replies += size;
    if (chain_copy(&tls->transport.lower->out, data, size) < 0)
        tls->out_of_memory = true;
}

static void take_place_of(struct transport *lower, struct tls *tls)
{
    static const struct transport_events events = {
        .received = on_received,
        .ended = on_ended,
        .sent = on_sent,
        .lost = on_lost,
        .closed = on_closed,
    };
    tls->transport.events = lower->events;
    tls->transport.user = lower->user;
    tls->transport.receiving = lower->receiving;
    lower->events = &events;
    lower->user = tls;
}

int tls_open(struct transport *lower, struct weir_loop *loop, const struct tls_options *options,
             struct chain *in, struct transport **ret_transport)
{
    static const struct transport_ops ops = {
        .send = op_send,
        .finish = op_finish,
        .receive = op_receive,
        .close = op_close,
        .abort = op_abort,
        .recall = op_recall,
        .extra_info = op_extra_info,
        .fileno = op_fileno,
        .free = op_free,
    };
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return -ENOMEM;
    *tls = (struct tls){
        .transport = { .ops = &ops, .lower = lower },
        .loop = loop,
        .allow_truncation = options->context->allow_truncation,
        .deferred = { .run = move_later },
        .shutdown_timeout = options->shutdown_timeout,
    };
    struct engine_options wishes = {
        .server_hostname = options->server_hostname,
        .peername = lower->ops->extra_info(lower, "peername"),
        .emit = emit,
        .user = tls,
    };
    int rc = options->context->open(options->context, &wishes, &tls->engine);
    if (rc < 0) {
        free(tls);
        return rc;
    }
    tls->in = *in;
    *in = (struct chain){ 0 };
    take_place_of(lower, tls);
    tls_set_limit(tls, options->handshake_timeout);
    op_send(&tls->transport);
    *ret_transport = &tls->transport;
    return 0;
}
