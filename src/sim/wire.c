/* The wire of connections: what is on its way, what arrives of it and when, their ends, and what
 * breaks them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/socket_state.h"
#include "sim/world.h"

enum { CALM_ROOM = 64 * 1024, CORK = 200 };

static char forbidden[64];
static size_t forbidden_size;

/* ---- Queues of bytes ------------------------------------------------------------------------- */

void bytes_add(struct bytes *bytes, const char *data, size_t size)
{
    if (bytes->begin > 0 && bytes->begin + bytes->size + size > bytes->room) {
        memmove(bytes->data, bytes->data + bytes->begin, bytes->size);
        bytes->begin = 0;
    }
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * (bytes->size + size) + 64;
        bytes->data = realloc(bytes->data, bytes->room);
        if (bytes->data == NULL)
            abort();
    }
    memcpy(bytes->data + bytes->begin + bytes->size, data, size);
    bytes->size += size;
}

void bytes_drop(struct bytes *bytes, size_t size)
{
    bytes->begin += size;
    bytes->size -= size;
    if (bytes->size == 0)
        bytes->begin = 0;
}

static void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

/* ---- What must not be on the wire ------------------------------------------------------------ */

void sockets_forbid(const void *bytes, size_t size)
{
    if (bytes != NULL && size > sizeof forbidden)
        violation("%zu bytes are too many to look for: %zu at most", size, sizeof forbidden);
    forbidden_size = bytes != NULL ? size : 0;
    if (forbidden_size > 0)
        memcpy(forbidden, bytes, size);
}

void wire_look(struct socket *to, const char *data, size_t size)
{
    struct inflow *in = &to->in;
    char seam[2 * sizeof in->tail];
    if (forbidden_size == 0) {
        in->tail_size = 0;
        return;
    }
    size_t some = size < forbidden_size ? size : forbidden_size;
    memcpy(seam, in->tail, in->tail_size);
    memcpy(seam + in->tail_size, data, some);
    if (memmem(data, size, forbidden, forbidden_size) != NULL ||
        memmem(seam, in->tail_size + some, forbidden, forbidden_size) != NULL)
        violation("connection %u carries what must not be on the wire: \"%.*s\"", to->number,
                  (int)forbidden_size, forbidden);
    size_t keep = forbidden_size - 1;
    if (size >= keep) {
        memcpy(in->tail, data + size - keep, keep);
        in->tail_size = keep;
    } else {
        size_t all = in->tail_size + size;
        memcpy(seam + in->tail_size, data, size);
        size_t left = all < keep ? all : keep;
        memcpy(in->tail, seam + all - left, left);
        in->tail_size = left;
    }
}

/* ---- Breaking -------------------------------------------------------------------------------- */

/* An end that is behind what is lost does not arrive either: it would look as if all had. */
static void drop_wire(struct socket *socket)
{
    if (socket->in.wire.size > 0)
        socket->in.fin_sent = false;
    socket->in.lost += socket->in.wire.size;
    socket->in.wire.size = socket->in.wire.begin = 0;
    socket->in.held = 0;
    event_stop(&socket->in.deliver);
}

/* What is on its way to it is lost; what has arrived is there still. */
void stream_reset(struct socket *socket, int error)
{
    if (socket->state != STATE_CONNECTED || socket->reset_seen)
        return;
    trace("tcp %u: an end learns of %d", socket->number, error);
    socket->reset_seen = true;
    socket->error =
        error == -ECONNRESET && socket->in.fin && socket->family != AF_UNIX ? -EPIPE : error;
    drop_wire(socket);
    file_changed(&socket->file);
}

static void reset_arrives(struct event *event)
{
    stream_reset(container_of(event, struct socket, in.reset), -ECONNRESET);
}

static void learn_of_reset(struct socket *peer)
{
    if (fault(FAULT_DELAY, "a reset"))
        event_after(&peer->in.reset, (int64_t)choose(200, "how long") * WEIR_MILLISECOND);
    else
        event_enable(&peer->in.reset);
}

void stream_reset_peer(struct socket *socket)
{
    if (socket->peer != NULL)
        learn_of_reset(socket->peer);
}

static void network_breaks(struct socket *socket)
{
    fault_happens((enum fault)socket->in.fate, "the network breaks a connection");
    int error = socket->in.breaks_with == -EPIPE ? -ECONNRESET : socket->in.breaks_with;
    trace("tcp %u: the network breaks it", socket->number);
    if (socket->peer != NULL)
        stream_reset(socket->peer, error);
    stream_reset(socket, error);
}

static void break_now(struct event *event)
{
    network_breaks(container_of(event, struct socket, in.broken));
}

static bool breaks_here(const struct socket *to)
{
    const struct inflow *in = &to->in;
    if (!in->breaks || in->total < in->breaks_after)
        return false;
    return in->breaks_with != -EPIPE || (to->peer != NULL && to->peer->in.fin);
}

/* Data for one who has ended both directions is answered by a reset. */
static void refuse_data(struct socket *to)
{
    struct socket *peer = to->peer;
    stream_reset(to, -ECONNRESET);
    if (peer != NULL)
        learn_of_reset(peer);
}

/* ---- Delivering ------------------------------------------------------------------------------ */

/* Something is on the wire that may arrive now, or is to wait a little. */
void wire_schedule(struct socket *to)
{
    struct inflow *in = &to->in;
    bool something = in->wire.size > in->held || (in->fin_sent && !in->fin);
    bool waits = in->deliver.timed && !in->corked;
    if (to->state != STATE_CONNECTED || to->reset_seen || in->stalled || waits)
        return;
    in->corked = !something && in->held > 0;
    if (!something) {
        if (in->corked)
            event_after(&in->deliver, CORK * WEIR_MILLISECOND);
    } else if (fault(FAULT_DELAY, "bytes")) {
        event_after(&in->deliver, (int64_t)choose(300, "how long") * WEIR_MILLISECOND);
    } else {
        event_enable(&in->deliver);
    }
}

static void corrupt(struct socket *to, size_t size)
{
    char *data = to->in.wire.data + to->in.wire.begin;
    data[choose((unsigned)size, "which byte")] ^= (char)(1 << choose(8, "which bit"));
}

/* How many arrive now. */
static size_t portion(struct inflow *in)
{
    size_t room = in->arrived_most > in->arrived.size ? in->arrived_most - in->arrived.size : 0;
    size_t size = in->wire.size - in->held;
    size = size < room ? size : room;
    return size > 1 && fault(FAULT_SHORT_RECEIVE, "delivery")
               ? 1 + choose((unsigned)size, "part") % size
               : size;
}

static void stall(struct inflow *in)
{
    static const int64_t waits[] = { 5, 200, 3000, 70000, 600000 };
    in->stalled = true;
    event_after(&in->deliver, waits[choose(5, "for how long")] * WEIR_MILLISECOND);
}

static void deliver(struct event *event)
{
    struct socket *to = container_of(event, struct socket, in.deliver);
    struct inflow *in = &to->in;
    if (in->wire.size == in->held)
        in->held = 0; /* nothing more came in time */
    if (!in->stalled && fault(FAULT_STALL, "bytes")) {
        stall(in);
        return;
    }
    in->stalled = false;
    if (breaks_here(to)) {
        network_breaks(to);
        return;
    }
    size_t size = portion(in);
    if (size > 0 && to->shut_read && to->shut_write && to->family != AF_UNIX) {
        refuse_data(to);
        return;
    }
    if (size > 0) {
        if (fault(FAULT_CORRUPT, "bytes"))
            corrupt(to, size);
        bytes_add(&in->arrived, in->wire.data + in->wire.begin, size);
        bytes_drop(&in->wire, size);
        in->total += size;
        trace("tcp %u: %zu bytes arrive, %zu on their way", to->number, size, in->wire.size);
    }
    bool at_end = in->wire.size == 0 && in->fin_sent && !in->fin;
    if (at_end) {
        in->fin = true;
        trace("tcp %u: the end arrives", to->number);
    }
    if (size > 0 || at_end) {
        file_changed(&to->file);
        if (to->peer != NULL)
            file_changed(&to->peer->file);
        wire_schedule(to);
    }
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static size_t some_room(bool may_be_tiny)
{
    static const size_t sizes[] = { CALM_ROOM, 256 * 1024, 4096, 600, 40 };
    return sizes[choose(may_be_tiny ? 5 : 4, "size of a socket's buffer")];
}

static void open_inflow(struct socket *socket)
{
    static const int errors[] = { -ECONNRESET, -EPIPE, -ETIMEDOUT };
    static const enum fault fates[] = { FAULT_RESET, FAULT_PIPE, FAULT_TIMED_OUT };
    struct inflow *in = &socket->in;
    in->deliver = (struct event){ .run = deliver, .wire = true };
    in->reset = (struct event){ .run = reset_arrives, .wire = true };
    in->broken = (struct event){ .run = break_now, .wire = true };
    in->wire_most = some_room(true);
    in->arrived_most = some_room(true);
    for (int i = 0; i < 3 && socket->family != AF_UNIX; i++) {
        if (!fault_planned(fates[i]))
            continue;
        in->breaks_with = errors[i];
        in->fate = (int)fates[i];
        if (errors[i] != -EPIPE && choose(3, "what it breaks after") == 1) {
            unsigned most = 1U << choose(17, "after about how many ms");
            event_after(&in->broken, (int64_t)choose(most, "how many") * WEIR_MILLISECOND);
        } else {
            in->breaks = true;
            unsigned most = 1U << choose(15, "after about how many bytes");
            in->breaks_after = choose(most, "how many");
        }
        break;
    }
}

void stream_begin(struct socket *client, struct socket *server)
{
    client->peer = server;
    server->peer = client;
    client->state = server->state = STATE_CONNECTED;
    open_inflow(client);
    open_inflow(server);
}

static void drop_held(struct inflow *in)
{
    in->lost += in->held;
    in->wire.size -= in->held;
    in->held = 0;
}

/* Its end is put on the wire. Who does so first, keeps the address for a while (TIME_WAIT). */
void stream_finish(struct socket *socket, struct socket *peer)
{
    if (peer->in.fin_sent)
        return;
    socket->ends_first = !socket->in.fin;
    peer->in.held = 0;
    peer->in.fin_sent = true;
}

static void arrive_all(struct socket *to)
{
    struct inflow *in = &to->in;
    size_t size = in->wire.size;
    in->fin = true;
    if (size == 0)
        return;
    bytes_add(&in->arrived, in->wire.data + in->wire.begin, size);
    bytes_drop(&in->wire, size);
    in->total += size;
}

/* With something unread it is a reset, and no end; what comes later is answered by one, too.
 * Returns whether it is one. */
static bool part(struct socket *socket)
{
    struct socket *peer = socket->peer;
    bool unread = socket->in.arrived.size > 0;
    bool more = socket->in.wire.size > 0;
    bool tcp = socket->family != AF_UNIX;
    peer->peer = NULL;
    if (socket->reset_seen)
        return true;
    if (unread && tcp)
        drop_held(&peer->in);
    else
        stream_finish(socket, peer);
    if (!tcp && (unread || more || socket->listener != NULL)) {
        arrive_all(peer); /* Unix sockets have no wire: the failure is behind all of it */
        peer->error = -ECONNRESET;
    } else if (unread || more) {
        learn_of_reset(peer);
    }
    wire_schedule(peer);
    file_changed(&peer->file);
    return unread || more;
}

void stream_end(struct socket *socket)
{
    struct inflow *in = &socket->in;
    event_stop(&in->deliver);
    event_stop(&in->reset);
    event_stop(&in->broken);
    if (socket->state == STATE_CONNECTED) {
        bool reset = socket->peer != NULL ? part(socket) : socket->reset_seen;
        if (!reset && socket->ends_first && socket->family != AF_UNIX)
            address_linger(socket);
    }
    bytes_free(&in->wire);
    bytes_free(&in->arrived);
}

void socket_reset(struct file *file)
{
    struct socket *socket = socket_of(file);
    if (socket->state != STATE_CONNECTED || socket->peer == NULL || socket->reset_seen)
        return;
    drop_wire(socket->peer);
    stream_reset_peer(socket);
    socket->reset_seen = true;
    drop_wire(socket);
}

size_t wire_room(const struct socket *peer)
{
    size_t used = peer->in.wire.size + peer->in.lost;
    return peer->in.wire_most > used ? peer->in.wire_most - used : 0;
}

void streams_calm(struct socket *socket)
{
    socket->in.breaks = false;
    event_stop(&socket->in.broken);
    if (socket->in.stalled)
        event_enable(&socket->in.deliver);
}
