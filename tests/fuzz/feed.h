/* A stream without a socket: what it receives is fed by hand, in pieces. A flat copy of all that
 * has arrived stays beside it, for oracles. */
#ifndef WEIR_TESTS_FUZZ_FEED_H
#define WEIR_TESTS_FUZZ_FEED_H

#include "fuzz.h"
#include "stream/stream.h"

struct feed {
    struct stream stream;
    struct transport transport;
    char *bytes; /* all that has arrived */
    size_t size;
    size_t read; /* of them, what the reader has handed out: kept by the target */
    bool ended;  /* nothing more arrives */
    int error;   /* because of this */
};

void feed_open(struct feed *feed, size_t limit);
void feed_close(struct feed *feed);

/* A piece arrives, or is dropped after the end. `room`: behind it in its segment. */
void feed_bytes(struct feed *feed, const void *data, size_t size, size_t room);
/* The same, in two pieces of one segment, with a byte between them that is neither's, as records of
 * TLS have headers. The first has `first` bytes. */
void feed_parts(struct feed *feed, const void *data, size_t size, size_t first, size_t room);
void feed_end(struct feed *feed, int error); /* 0: the peer has ended */

static inline struct weir_reader *feed_reader(struct feed *feed)
{
    return &feed->stream.reader;
}

/* What has arrived, and was not handed out. */
static inline const char *feed_rest(const struct feed *feed)
{
    return feed->bytes + feed->read;
}

static inline size_t feed_rest_size(const struct feed *feed)
{
    return feed->size - feed->read;
}

#endif
