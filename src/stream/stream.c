#include "stream/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"

/* ---- The end --------------------------------------------------------------------------------- */

static void free_if_done(struct stream *stream)
{
    if (!stream->closed || !stream->released || stream->inside > 0)
        return;
    chain_clear(&stream->reader.in);
    if (stream->reader.lent != NULL)
        segment_drop(stream->reader.lent);
    stream->transport->ops->free(stream->transport);
    stream_forget_handler(stream);
    free(stream->host);
    free(stream);
}

void stream_leave(struct stream *stream)
{
    stream->inside--;
    free_if_done(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->closing)
        return;
    stream->closing = true;
    reader_end(stream);
    stream->transport->ops->close(stream->transport);
}

static void abort_with(struct stream *stream, int error)
{
    stream->closing = true;
    stream->transport->ops->abort(stream->transport, error);
}

void stream_abort(struct stream *stream)
{
    if (stream->lost)
        return;
    stream->aborted = true;
    abort_with(stream, 0);
}

void stream_fail(struct stream *stream, int error)
{
    if (!stream->lost)
        abort_with(stream, error);
}

void stream_release(struct stream *stream)
{
    task_disown(&stream->owned);
    stream->released = true;
    stream_close(stream);
    free_if_done(stream);
}

/* ---- The transport's events ------------------------------------------------------------------ */

static void on_opened(void *user)
{
    secure_opened(user);
}

static void on_received(void *user, struct weir_segment *segment, const char *data, size_t size)
{
    reader_received(user, segment, data, size);
}

static void on_ended(void *user)
{
    reader_end(user);
}

static void on_sent(void *user)
{
    writer_sent(user);
}

static void on_lost(void *user, int error)
{
    struct stream *stream = user;
    stream->lost = true;
    stream->closing = true;
    if (stream->error == 0)
        stream->error = error;
    reader_end(stream);
    writer_lost(stream);
    secure_lost(stream);
}

static void on_closed(void *user)
{
    struct stream *stream = user;
    stream->closed = true;
    metrics.streams_open--;
    list_remove(&stream->lingering.node);
    wait_wake_all(&stream->closers, 0);
    if (stream->gone != NULL)
        stream->gone(stream);
    free_if_done(stream);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static void give_up(struct lingering *lingering)
{
    stream_abort(container_of(lingering, struct stream, lingering));
}

struct stream *stream_new(struct weir_loop *loop, int fd, size_t limit, size_t size,
                          struct list *siblings)
{
    static const struct transport_events events = {
        .opened = on_opened,
        .received = on_received,
        .ended = on_ended,
        .sent = on_sent,
        .lost = on_lost,
        .closed = on_closed,
    };
    struct stream *stream = calloc(1, size);
    if (stream == NULL)
        return NULL;
    stream->reader.limit = limit != 0 ? limit : LIMIT_READER;
    stream->writer.high = LIMIT_HIGH;
    stream->writer.low = LIMIT_LOW;
    stream->transport = &stream->socket.transport;
    stream->lingering.give_up = give_up;
    socket_open(&stream->socket, loop, fd);
    stream->transport->events = &events;
    stream->transport->user = stream;
    list_append(siblings, &stream->lingering.node);
    metrics.streams_open++;
    stream->transport->ops->receive(stream->transport, true);
    return stream;
}

static void end_owned(struct task_owned *owned)
{
    stream_release(container_of(owned, struct stream, owned));
}

void stream_own(struct stream *stream, struct weir_task *task)
{
    task_own(task, &stream->owned, end_owned);
}

/* ---- weir.h ---------------------------------------------------------------------------------- */

PUBLIC void weir_close(struct weir_writer *writer)
{
    if (writer != NULL)
        stream_close(stream_of_writer(writer));
}

PUBLIC void weir_abort(struct weir_writer *writer)
{
    if (writer != NULL)
        stream_abort(stream_of_writer(writer));
}

PUBLIC bool weir_is_closing(const struct weir_writer *writer)
{
    return stream_of_writer(writer)->closing;
}

PUBLIC int weir_wait_closed(struct weir_writer *writer)
{
    if (writer == NULL)
        return 0;
    struct stream *stream = stream_of_writer(writer);
    int rc = task_current() != NULL ? 0 : -EPERM;
    stream_enter(stream);
    stream_release(stream);
    if (rc == 0 && !stream->closed) {
        struct wait wait;
        list_append(&stream->closers, &wait.node);
        rc = wait_suspend(&wait, NULL);
    }
    int error = rc < 0 ? rc : stream->error;
    stream_leave(stream);
    return error;
}

PUBLIC const char *weir_get_extra_info(const struct weir_writer *writer, const char *name)
{
    struct transport *transport = stream_of_writer(writer)->transport;
    return transport->ops->extra_info(transport, name);
}

PUBLIC int weir_fileno(const struct weir_writer *writer)
{
    const struct transport *transport = stream_of_writer(writer)->transport;
    return transport->ops->fileno(transport);
}
