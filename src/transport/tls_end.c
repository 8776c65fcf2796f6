/* How TLS ends: in order, refused, too late or lost. */
#include <errno.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/metrics.h"
#include "transport/tls.h"

void tls_give_up(struct tls *tls, int error)
{
    struct transport *lower = tls->transport.lower;
    tls->state = TLS_CLOSING;
    lower->ops->abort(lower, error);
}

void tls_close_lower(struct tls *tls)
{
    struct transport *lower = tls->transport.lower;
    tls->state = TLS_CLOSING;
    lower->ops->close(lower);
}

/* It is to end, and data has not left yet. */
static bool is_leaving(const struct tls *tls)
{
    return !tls->told_lost &&
           (tls->state == TLS_FLUSHING || (tls->state == TLS_ENDING && !tls->all_left));
}

/* A send completes as a whole, which with a slow peer takes long: it is called back, to see whether
 * some of it has left. False if nothing is being sent. */
static bool look_for_progress(struct tls *tls)
{
    struct transport *lower = tls->transport.lower;
    if (tls->looking || !is_leaving(tls))
        return false;
    tls->looking = true;
    tls->left_to_send = transport_queued(lower);
    return lower->ops->recall(lower);
}

void tls_note_sent(struct tls *tls)
{
    if (!is_leaving(tls))
        return;
    if (tls->looking && transport_queued(tls->transport.lower) >= tls->left_to_send) {
        tls_give_up(tls, -ETIMEDOUT);
        return;
    }
    tls->looking = false;
    tls_set_limit(tls, tls->shutdown_timeout);
}

/* A peer that has ended TLS, but keeps its connection, has had all that it will take. */
static void is_late(struct timer *timer)
{
    struct tls *tls = container_of(timer, struct tls, timer);
    if (tls->state == TLS_OPEN)
        tls->engine->ops->settle(tls->engine);
    else if (tls->state == TLS_ENDING && tls->ended && tls->all_left)
        tls_close_lower(tls);
    else if (look_for_progress(tls))
        tls_set_limit(tls, LIMIT_TLS_LAST * WEIR_SECOND);
    else
        tls_give_up(tls, -ETIMEDOUT);
}

void tls_set_limit(struct tls *tls, weir_duration limit)
{
    timer_stop(&tls->loop->timers, &tls->timer);
    timer_start(&tls->loop->timers, &tls->timer, loop_deadline(tls->loop, limit), is_late);
}

void tls_tell_lost(struct tls *tls, int error)
{
    if (tls->told_lost)
        return;
    tls->told_lost = true;
    if (error <= WEIR_TLS_HANDSHAKE || (error != 0 && !tls->opened))
        metrics.tls_failures++;
    tls->engine->ops->end(tls->engine);
    chain_clear(&tls->in);
    if (tls->packing != NULL)
        segment_drop(tls->packing);
    tls->packing = NULL;
    tls->transport.events->lost(tls->transport.user, error);
    chain_clear(&tls->transport.out);
}

void tls_hurry_if_over(struct tls *tls)
{
    if (tls->state == TLS_ENDING && tls->ended && tls->all_left)
        tls_set_limit(tls, LIMIT_TLS_LAST * WEIR_SECOND);
}

/* To close while the peer still sends, be it a change of keys only, would reset the connection,
 * which can overtake what has left: so the peer's end is waited for, up to a limit. */
void tls_await_end(struct tls *tls)
{
    struct transport *lower = tls->transport.lower;
    tls->state = TLS_ENDING;
    if (lower->can_finish)
        lower->ops->finish(lower);
    tls_hurry_if_over(tls);
}

void tls_begin_to_end(struct tls *tls)
{
    tls->state = TLS_FLUSHING;
    tls_set_limit(tls, tls->shutdown_timeout);
}

void tls_fail(struct tls *tls, int error)
{
    if (tls->state == TLS_ENDING && !tls->told_lost)
        tls_give_up(tls, error); /* our end has left already */
    if (tls->state >= TLS_ENDING)
        return;
    tls_await_end(tls);
    tls_set_limit(tls, LIMIT_TLS_LAST * WEIR_SECOND);
    tls_tell_lost(tls, error);
}
