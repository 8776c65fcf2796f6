/* The writer (asyncio.StreamWriter): what is written goes into the transport's queue, and leaves at
 * the end of the turn. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "stream/stream.h"

static struct chain *queue_of(const struct weir_writer *writer)
{
    return &stream_of_writer(writer)->transport->out;
}

/* ---- Queueing -------------------------------------------------------------------------------- */

int writer_check(const struct weir_writer *writer)
{
    const struct stream *stream = stream_of_writer(writer);
    if (unlikely(stream->error != 0))
        return stream->error;
    return unlikely(stream->closing || writer->ended) ? -EPIPE : 0;
}

void writer_queued(struct weir_writer *writer)
{
    struct transport *transport = stream_of_writer(writer)->transport;
    if (transport_queued(transport) > writer->high)
        writer->paused = true;
    transport->ops->send(transport);
}

PUBLIC int weir_write(struct weir_writer *writer, const void *data, size_t size)
{
    int rc = writer_check(writer);
    if (rc < 0 || size == 0)
        return rc;
    rc = chain_copy(queue_of(writer), data, size);
    if (rc == 0)
        writer_queued(writer);
    return rc;
}

static int append_slice(struct chain *chain, struct weir_slice slice)
{
    if (slice.size == 0)
        return 0;
    if (slice.segment_ == NULL)
        return chain_copy(chain, slice.data, slice.size);
    int rc = chain_append(chain, slice.segment_, slice.data, slice.size);
    if (rc == 0)
        segment_hold(slice.segment_);
    return rc;
}

PUBLIC int weir_write_slice(struct weir_writer *writer, struct weir_slice slice)
{
    if (slice.segment_ == NULL)
        return weir_write(writer, slice.data, slice.size);
    int rc = writer_check(writer);
    if (rc == 0)
        rc = append_slice(queue_of(writer), slice);
    if (rc == 0 && slice.size > 0)
        writer_queued(writer);
    return rc;
}

PUBLIC int weir_writelines(struct weir_writer *writer, const struct weir_slice *lines, size_t count)
{
    int rc = writer_check(writer);
    if (rc < 0)
        return rc;
    struct chain lot = { 0 }; /* all of the call, or nothing */
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = append_slice(&lot, lines[i]);
    if (rc < 0 || lot.size == 0) {
        chain_clear(&lot);
        return rc;
    }
    chain_move(queue_of(writer), &lot, lot.size);
    writer_queued(writer);
    return 0;
}

PUBLIC int weir_printf(struct weir_writer *writer, const char *format, ...)
{
    int rc = writer_check(writer);
    if (rc < 0)
        return rc;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (size < 0)
        return -EINVAL;
    if ((size_t)size < sizeof line)
        return weir_write(writer, line, (size_t)size);

    char *text = malloc((size_t)size + 1);
    if (text == NULL)
        return -ENOMEM;
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    rc = weir_write(writer, text, (size_t)size);
    free(text);
    return rc;
}

/* ---- Draining -------------------------------------------------------------------------------- */

/* What a drain that need not wait returns. */
static int drained(const struct stream *stream)
{
    if (stream->error != 0)
        return stream->error;
    if (stream->aborted)
        return -ECONNABORTED;
    return stream->lost ? -ECONNRESET : 0;
}

static bool must_wait(const struct stream *stream)
{
    return !stream->lost && (stream->writer.paused || transport_pressed(stream->transport));
}

PUBLIC int weir_drain(struct weir_writer *writer)
{
    struct stream *stream = stream_of_writer(writer);
    stream_enter(stream);
    int rc = task_begin();
    if (rc == 0 && must_wait(stream)) {
        struct wait wait;
        metrics.drains_waited++;
        list_append(&writer->drains, &wait.node);
        rc = wait_suspend(&wait, NULL);
    } else if (rc == 0) {
        rc = drained(stream);
    }
    stream_leave(stream);
    return rc;
}

/* ---- write_all: from the caller's own memory ------------------------------------------------- */

struct loan {
    struct weir_segment segment;
    struct weir_writer *writer;
    struct wait wait;
    struct list_node node; /* among the writer's loans to be given back */
    bool waiting;
    bool taken_back;
    bool dropped; /* by a loss: not all has left */
};

static void loan_returned(struct weir_segment *segment)
{
    struct loan *loan = container_of(segment, struct loan, segment);
    list_remove(&loan->node);
    loan->dropped = stream_of_writer(loan->writer)->lost;
    if (!loan->waiting)
        return;
    loan->waiting = false;
    wait_wake(&loan->wait, 0);
}

/* What has not left is copied, so that the caller's memory is the caller's again. */
static void take_back(struct stream *stream)
{
    struct list_node *node;
    while ((node = list_take_first(&stream->writer.loans)) != NULL) {
        struct weir_segment *segment = &container_of(node, struct loan, node)->segment;
        segment_hold(segment);
        if (chain_disown(&stream->transport->out, segment) < 0)
            stream_fail(stream, -ENOMEM);
        segment_drop(segment);
    }
    stream->transport->ops->send(stream->transport);
}

static void cancel_loan(struct wait *wait)
{
    struct loan *loan = container_of(wait, struct loan, wait);
    struct stream *stream = stream_of_writer(loan->writer);
    wait->cancel = NULL;
    loan->taken_back = true;
    list_append(&stream->writer.loans, &loan->node);
    if (!stream->transport->ops->recall(stream->transport))
        take_back(stream);
}

static int lend_all(struct weir_writer *writer, const void *data, size_t size)
{
    struct loan loan = {
        .segment = { .data = (char *)(uintptr_t)data,
                     .capacity = size,
                     .used = size,
                     .references = 1,
                     .release = loan_returned },
        .writer = writer,
    };
    int rc = chain_append(queue_of(writer), &loan.segment, data, size);
    if (rc < 0)
        return rc;
    writer_queued(writer);
    loan.waiting = true;
    writer->lending++;
    rc = wait_suspend(&loan.wait, cancel_loan);
    writer->lending--;
    if (rc == 0 && loan.taken_back)
        rc = task_interrupted(task_current());
    const struct stream *stream = stream_of_writer(writer);
    bool ended_in_order = stream->lost && stream->error == 0 && !stream->aborted;
    if (rc == 0 && !(ended_in_order && !loan.dropped)) /* else it left, and a close followed */
        rc = drained(stream);
    return rc;
}

PUBLIC int weir_write_all(struct weir_writer *writer, const void *data, size_t size)
{
    struct stream *stream = stream_of_writer(writer);
    if (task_current() == NULL)
        return -EPERM;
    stream_enter(stream);
    int interrupted = task_begin();
    if (interrupted == 0)
        interrupted = task_interrupted(task_current());
    int rc = writer_check(writer);
    if (rc == 0 && interrupted < 0)
        rc = weir_write(writer, data, size); /* it stays queued, as when it is interrupted later */
    else if (rc == 0 && size > 0)
        rc = lend_all(writer, data, size);
    stream_leave(stream);
    return rc < 0 ? rc : interrupted;
}

/* ---- Events ---------------------------------------------------------------------------------- */

void writer_sent(struct stream *stream)
{
    struct weir_writer *writer = &stream->writer;
    struct transport *transport = stream->transport;
    if (!list_is_empty(&writer->loans) && !transport->ops->recall(transport))
        take_back(stream);
    if (writer->paused && transport_queued(transport) <= writer->low)
        writer->paused = false;
    if (!must_wait(stream))
        wait_wake_all(&writer->drains, drained(stream));
}

void writer_lost(struct stream *stream)
{
    bool orderly = stream->error == 0 && !stream->aborted;
    wait_wake_all(&stream->writer.drains, orderly ? 0 : drained(stream));
}

/* ---- Ending, and the transport's ------------------------------------------------------------- */

PUBLIC bool weir_can_write_eof(const struct weir_writer *writer)
{
    return stream_of_writer(writer)->transport->can_finish;
}

PUBLIC int weir_write_eof(struct weir_writer *writer)
{
    struct stream *stream = stream_of_writer(writer);
    if (stream->error != 0)
        return stream->error;
    if (!stream->transport->can_finish)
        return -EOPNOTSUPP;
    if (stream->closing || writer->ended)
        return 0;
    writer->ended = true;
    stream->transport->ops->finish(stream->transport);
    return stream->error;
}

PUBLIC int weir_set_write_buffer_limits(struct weir_writer *writer, size_t high, size_t low)
{
    if (high == WEIR_DEFAULT)
        high = low == WEIR_DEFAULT ? LIMIT_HIGH : low > SIZE_MAX / 4 ? SIZE_MAX : 4 * low;
    if (low == WEIR_DEFAULT)
        low = high / 4;
    if (high < low)
        return -EINVAL;
    writer->high = high;
    writer->low = low;
    if (transport_queued(stream_of_writer(writer)->transport) > high)
        writer->paused = true;
    return 0;
}

PUBLIC void weir_get_write_buffer_limits(const struct weir_writer *writer, size_t *ret_high,
                                         size_t *ret_low)
{
    *ret_high = writer->high;
    *ret_low = writer->low;
}

PUBLIC size_t weir_get_write_buffer_size(const struct weir_writer *writer)
{
    const struct stream *stream = stream_of_writer(writer);
    return stream->aborted ? 0 : transport_queued(stream->transport);
}
