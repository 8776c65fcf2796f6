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
    stream->start = START_NEVER;
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

static int start_task(struct stream *stream)
{
    struct weir_task *task = task_start(stream->socket.loop, run_handler, stream);
    if (task == NULL)
        return -ENOMEM;
    stream_forget_handler(stream);
    task_disown(&stream->owned);
    stream->task = task;
    stream->start = START_SOON;
    stream->released = false;
    stream_own(stream, task);
    return 0;
}

static void unpark(struct stream *stream)
{
    stream->start = START_NEVER;
    stream->reader.busy = false;
    stream->socket.loop->tasks--;
    metrics.streams_parked--;
}

void stream_start_handler(struct stream *stream)
{
    if (stream->start == START_NEWS)
        unpark(stream);
    stream->start = START_NEVER;
    if (start_task(stream) < 0)
        stream_abort(stream);
}

/* Nobody reads it meanwhile: the news are the handler's. */
void stream_park(struct stream *stream)
{
    stream_forget_handler(stream);
    task_disown(&stream->owned);
    stream->released = true;
    stream->start = START_NEWS;
    stream->reader.busy = true;
    stream->socket.loop->tasks++;
    metrics.streams_parked++;
}

void stream_leave_when_parked(struct stream *stream)
{
    stream->leaving = true;
    if (stream->start == START_NEWS)
        stream_close(stream);
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
    if (stream->leaving)
        stream_close(stream);
    else
        weir_resume_reading(&stream->reader);
    stream->handler = handler;
    stream->argument = argument;
    if (stream->reader.in.size == 0 && !stream->reader.ended)
        stream_park(stream);
    else if (start_task(stream) < 0)
        return -ENOMEM;
    reader_drop_lent(&stream->reader);
    return 0;
}
