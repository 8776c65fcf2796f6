/* Forwarding: what one stream brings goes to another, piece by piece, without being copied. */
#include <errno.h>

#include "base/macros.h"
#include "stream/stream.h"

/* Moves what is there: how many bytes, 0 at the end, or an error. */
static int64_t move_some(struct weir_reader *reader, struct weir_writer *writer)
{
    int rc = reader_wait(reader, 1);
    if (rc < 0)
        return rc;
    if (reader->in.size == 0)
        return stream_of_reader(reader)->error;
    rc = writer_check(writer);
    if (rc < 0)
        return rc;
    size_t before = reader->in.size;
    rc = chain_move(&stream_of_writer(writer)->transport->out, &reader->in, before);
    writer_queued(writer);
    reader_resume(stream_of_reader(reader));
    return rc < 0 ? rc : (int64_t)(before - reader->in.size);
}

PUBLIC int64_t weir_forward(struct weir_reader *reader, struct weir_writer *writer)
{
    int rc = reader_enter(reader);
    if (rc < 0)
        return rc;
    stream_enter(stream_of_writer(writer));
    int64_t moved = 0, part;
    while ((part = move_some(reader, writer)) > 0) {
        moved += part;
        rc = weir_drain(writer);
        if (rc < 0)
            part = rc;
        if (rc < 0)
            break;
    }
    if (part == 0)
        part = weir_write_eof(writer);
    if (part == -EOPNOTSUPP) { /* over TLS 1.2 the end of one direction is that of both */
        weir_close(writer);
        part = 0;
    }
    stream_leave(stream_of_writer(writer));
    reader_leave(reader);
    return part < 0 ? part : moved;
}
