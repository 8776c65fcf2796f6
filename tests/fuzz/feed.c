/* See feed.h. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static void op_receive(struct transport *transport, bool wanted)
{
    transport->receiving = wanted;
}

/* Nothing fails but what feed_end() makes fail: there is memory. */
static void op_abort(struct transport *transport, int error)
{
    (void)transport, (void)error;
    fuzz_check(!"aborted");
}

void feed_open(struct feed *feed, size_t limit)
{
    static const struct transport_ops ops = { .receive = op_receive, .abort = op_abort };
    *feed = (struct feed){ .transport = { .ops = &ops, .receiving = true }, .bytes = malloc(1) };
    feed->stream.transport = &feed->transport;
    feed->stream.socket.loop = fuzz_loop();
    feed->stream.reader.limit = limit;
}

void feed_close(struct feed *feed)
{
    chain_clear(&feed->stream.reader.in);
    reader_drop_lent(&feed->stream.reader);
    free(feed->bytes);
    *feed = (struct feed){ 0 };
}

static void note_arrived(struct feed *feed, const void *data, size_t size)
{
    if (feed->ended)
        return;
    feed->bytes = realloc(feed->bytes, feed->size + size + 1);
    memcpy(feed->bytes + feed->size, data, size);
    feed->size += size;
}

void feed_bytes(struct feed *feed, const void *data, size_t size, size_t room)
{
    struct weir_segment *segment = fuzz_segment(data, size, room);
    note_arrived(feed, data, size);
    reader_received(&feed->stream, segment, segment->data, size);
    chain_check(&feed->stream.reader.in);
}

void feed_parts(struct feed *feed, const void *data, size_t size, size_t first, size_t room)
{
    char *all = malloc(size + 1);
    memcpy(all, data, first);
    all[first] = '#';
    memcpy(all + first + 1, (const char *)data + first, size - first);
    struct weir_segment *segment = fuzz_segment(all, size + 1, room);
    free(all);
    note_arrived(feed, data, size);
    reader_received(&feed->stream, segment_hold(segment), segment->data, first);
    reader_received(&feed->stream, segment, segment->data + first + 1, size - first);
    chain_check(&feed->stream.reader.in);
}

void feed_end(struct feed *feed, int error)
{
    if (feed->error == 0)
        feed->error = error;
    feed->ended = true;
    if (error != 0)
        feed->stream.lost = feed->stream.closing = true;
    if (feed->stream.error == 0)
        feed->stream.error = feed->error;
    reader_end(&feed->stream);
}
