/* A stream's handler: it runs in a task that owns the stream. While it is parked a stream has
 * neither task nor stack, and counts as a task to the loop; the handler it will get is called once,
 * whatever comes: data, the end, a failure or a close. */
#include <errno.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "stream/stream.h"

/* The handler may free the stream, or park it: then the task's argument is cleared. */
static int run_handler(void *argument)
{
    struct stream *stream = argument;
    stream->handler(&stream->reader, &stream->writer, stream->argument);
    stream = task_current()->argument;
    if (stream != NULL)
        stream->task = NULL;
    return 0;
}

void stream_forget_handler(struct stream *stream)
{
    if (stream->task != NULL)
        stream->task->argument = NULL;
    stream->task = NULL;
}

void stream_start_handler(struct stream *stream)
{
    struct weir_loop *loop = stream->socket.loop;
    if (stream->start == START_NEWS) {
        loop->tasks--;
        metrics.streams_parked--;
    }
    stream->start = START_NEVER;
    stream->task = task_start(loop, run_handler, stream);
    if (stream->task != NULL) {
        stream->released = false;
        stream_own(stream, stream->task);
    } else {
        stream_abort(stream);
    }
}

PUBLIC int weir_park(struct weir_writer *writer, weir_client_connected_fn *handler, void *argument)
{
    struct stream *stream = stream_of_writer(writer);
    if (handler == NULL)
        return -EINVAL;
    if (task_current() == NULL)
        return -EPERM;
    if (stream->inside > 0 || stream->start != START_NEVER)
        return -EBUSY;
    stream_forget_handler(stream);
    task_disown(&stream->owned);
    reader_drop_lent(&stream->reader);
    stream->released = true;
    stream->handler = handler;
    stream->argument = argument;
    stream->start = START_NEWS;
    stream->socket.loop->tasks++;
    metrics.streams_parked++;
    if (stream->reader.in.size > 0 || stream->reader.ended)
        stream_start_handler(stream);
    return 0;
}
