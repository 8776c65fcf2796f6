/* The reader (asyncio.StreamReader): what was received waits in `in`; a record is lent from
 * there. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "stream/stream.h"

/* While more is awaited than the pool could hold, it is joined in portions of this many bytes. */
enum { PORTION = LIMIT_LARGE };

/* ---- Receiving ------------------------------------------------------------------------------- */

static void wake(struct weir_reader *reader)
{
    struct stream *stream = stream_of_reader(reader);
    struct wait *wait = reader->waiter;
    if (likely(wait != NULL)) {
        reader->waiter = NULL;
        wait_wake(wait, 0);
    } else if (stream->start == START_NEWS) {
        stream_start_handler(stream);
    }
}

static void set_receiving(struct stream *stream)
{
    struct weir_reader *reader = &stream->reader;
    bool wanted = !reader->paused && !reader->held && !stream->closing;
    if (wanted != stream->transport->receiving)
        stream->transport->ops->receive(stream->transport, wanted);
}

/* How much is read ahead of the program: asyncio's twice the limit, but never less than a
 * buffer. */
static size_t most_ahead(const struct weir_reader *reader)
{
    return max_size(2 * reader->limit, LIMIT_SMALL);
}

void reader_received(struct stream *stream, struct weir_segment *segment, const char *data,
                     size_t size)
{
    struct weir_reader *reader = &stream->reader;
    if (reader->ended) { /* we have closed, or it was fed an end */
        segment_drop(segment);
        return;
    }
    if (chain_receive(&reader->in, segment, data, size) < 0) {
        segment_drop(segment);
        stream_fail(stream, -ENOMEM);
        return;
    }
    if (reader->in.size >= reader->wanted || stream->start == START_NEWS)
        wake(reader);
    bool awaited = reader->waiter != NULL;
    if (reader->in.size > most_ahead(reader) && !awaited && !reader->paused) {
        reader->paused = true;
        metrics.reads_paused++;
        set_receiving(stream);
    }
}

void reader_end(struct stream *stream)
{
    stream->reader.ended = true;
    wake(&stream->reader);
}

void reader_resume(struct stream *stream)
{
    struct weir_reader *reader = &stream->reader;
    if (reader->paused && reader->in.size <= reader->limit) {
        reader->paused = false;
        set_receiving(stream);
    }
}

/* ---- Waiting --------------------------------------------------------------------------------- */

void reader_drop_lent(struct weir_reader *reader)
{
    if (reader->lent != NULL)
        segment_drop(reader->lent);
    reader->lent = NULL;
}

int reader_enter(struct weir_reader *reader)
{
    if (reader->busy)
        return -EBUSY;
    reader->busy = true;
    stream_enter(stream_of_reader(reader));
    int rc = task_begin();
    if (unlikely(rc < 0)) {
        reader_leave(reader);
        return rc;
    }
    reader_drop_lent(reader);
    return 0;
}

void reader_leave(struct weir_reader *reader)
{
    struct stream *stream = stream_of_reader(reader);
    reader->busy = false;
    if (reader->paused)
        reader_resume(stream);
    stream_leave(stream);
}

int reader_wait(struct weir_reader *reader, size_t wanted)
{
    struct stream *stream = stream_of_reader(reader);
    while (reader->in.size < wanted && !reader->ended) {
        if (reader->paused) {
            reader->paused = false;
            set_receiving(stream);
        }
        struct wait wait = { 0 };
        reader->waiter = &wait;
        reader->wanted = wanted;
        int rc = wait_suspend(&wait, NULL);
        reader->waiter = NULL;
        if (rc < 0)
            return rc;
    }
    return 0;
}

ssize_t reader_at_end(const struct weir_reader *reader, ssize_t otherwise)
{
    int error = stream_of_reader(reader)->error;
    return error != 0 ? error : otherwise;
}

ssize_t reader_lend(struct weir_reader *reader, size_t n, struct weir_slice *ret_data)
{
    *ret_data = chain_take(&reader->in, n);
    reader->lent = ret_data->segment_;
    return (ssize_t)n;
}

ssize_t reader_lend_rest(struct weir_reader *reader, ssize_t code, struct weir_slice *ret_data)
{
    *ret_data = (struct weir_slice){ .data = "" };
    if (reader->in.size == 0)
        return code;
    if (chain_gather(&reader->in, reader->in.size, 0) < 0)
        return -ENOMEM;
    reader_lend(reader, reader->in.size, ret_data);
    return code;
}

/* ---- Reads ----------------------------------------------------------------------------------- */

static ssize_t read_some(struct weir_reader *reader, size_t n, struct weir_slice *ret_data)
{
    int rc = reader_wait(reader, 1);
    if (rc < 0)
        return rc;
    if (reader->in.size == 0) {
        ssize_t end = reader_at_end(reader, 0);
        if (end == 0)
            *ret_data = (struct weir_slice){ .data = "" };
        return end;
    }
    return reader_lend(reader, min_size(n, reader->in.first->size), ret_data);
}

/* Waits until `n` bytes are there, joined as they come: the pool need not hold them all. */
static int fill(struct weir_reader *reader, size_t n)
{
    struct chain *in = &reader->in;
    while (in->size < n && !reader->ended) {
        size_t next = n - in->size > PORTION ? in->size + PORTION : n;
        int rc = reader_wait(reader, next);
        if (rc == 0 && in->size < n && n - in->size > 0 && in->size >= PORTION)
            rc = chain_gather(in, in->size, n);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static ssize_t read_exactly(struct weir_reader *reader, size_t n, struct weir_slice *ret_data)
{
    int rc = fill(reader, n);
    if (rc < 0)
        return rc;
    if (reader->in.size < n) {
        ssize_t end = reader_at_end(reader, WEIR_INCOMPLETE);
        return end == WEIR_INCOMPLETE ? reader_lend_rest(reader, end, ret_data) : end;
    }
    rc = chain_gather(&reader->in, n, 0);
    return rc < 0 ? rc : reader_lend(reader, n, ret_data);
}

/* Room is doubled as it fills, so that each byte is copied about once. */
static ssize_t read_all(struct weir_reader *reader, struct weir_slice *ret_data)
{
    struct chain *in = &reader->in;
    size_t room = PORTION;
    while (!reader->ended) {
        int rc = reader_wait(reader, in->size + 1);
        if (rc == 0 && in->size > 0) {
            while (room < in->size)
                room *= 2;
            rc = chain_gather(in, in->size, room);
        }
        if (rc < 0)
            return rc;
    }
    ssize_t end = reader_at_end(reader, 0);
    if (end < 0)
        return end;
    size_t size = in->size;
    end = reader_lend_rest(reader, 0, ret_data);
    return end < 0 ? end : (ssize_t)size;
}

PUBLIC ssize_t weir_read(struct weir_reader *reader, size_t n, struct weir_slice *ret_data)
{
    int rc = reader_enter(reader);
    if (rc < 0)
        return rc;
    ssize_t result = 0;
    if (n == 0)
        *ret_data = (struct weir_slice){ .data = "" };
    else if (n == WEIR_UNTIL_EOF)
        result = read_all(reader, ret_data);
    else
        result = read_some(reader, n, ret_data);
    reader_leave(reader);
    return result;
}

PUBLIC ssize_t weir_readexactly(struct weir_reader *reader, size_t n, struct weir_slice *ret_data)
{
    if (n > SSIZE_MAX)
        return -EINVAL;
    int rc = reader_enter(reader);
    if (rc < 0)
        return rc;
    ssize_t result = 0;
    if (n == 0)
        *ret_data = (struct weir_slice){ .data = "" };
    else
        result = read_exactly(reader, n, ret_data);
    reader_leave(reader);
    return result;
}

PUBLIC ssize_t weir_read_into(struct weir_reader *reader, void *buffer, size_t size)
{
    int rc = reader_enter(reader);
    if (rc < 0)
        return rc;
    ssize_t result = 0;
    if (size > 0) {
        result = reader_wait(reader, 1);
        if (result == 0 && reader->in.size == 0) {
            result = reader_at_end(reader, 0);
        } else if (result == 0) {
            size_t n = min_size(size, reader->in.size);
            chain_peek(&reader->in, buffer, n);
            chain_drop(&reader->in, n);
            metrics.bytes_copied += n;
            result = (ssize_t)n;
        }
    }
    reader_leave(reader);
    return result;
}

/* ---- The rest of weir.h ---------------------------------------------------------------------- */

PUBLIC size_t weir_overrun(const struct weir_reader *reader)
{
    return reader->overrun;
}

PUBLIC bool weir_at_eof(const struct weir_reader *reader)
{
    return reader->ended && reader->in.size == 0 && weir_exception(reader) == 0;
}

PUBLIC int weir_exception(const struct weir_reader *reader)
{
    return stream_of_reader(reader)->error;
}

PUBLIC void weir_feed_eof(struct weir_reader *reader)
{
    reader_end(stream_of_reader(reader));
}

PUBLIC void weir_pause_reading(struct weir_reader *reader)
{
    reader->held = true;
    set_receiving(stream_of_reader(reader));
}

PUBLIC void weir_resume_reading(struct weir_reader *reader)
{
    reader->held = false;
    set_receiving(stream_of_reader(reader));
}

PUBLIC bool weir_is_reading(const struct weir_reader *reader)
{
    const struct stream *stream = stream_of_reader(reader);
    return !reader->held && !reader->paused && !stream->closing && !reader->ended;
}

PUBLIC struct weir_slice weir_slice_keep(struct weir_slice slice)
{
    if (slice.segment_ != NULL)
        segment_hold(slice.segment_);
    return slice;
}

PUBLIC void weir_slice_drop(struct weir_slice slice)
{
    if (slice.segment_ != NULL)
        segment_drop(slice.segment_);
}
