/* Reading up to a separator: readline, readuntil. A search goes on where the last one stopped. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "stream/stream.h"

struct match {
    size_t end, length; /* of the separator: where it ends, how long it is */
};

/* Whichever ends first; of those that end together, the shortest. */
static bool find_any(const struct chain *in, size_t from, const struct weir_slice *separators,
                     size_t count, struct match *ret_match)
{
    struct match best = { in->size + 1, 0 };
    for (size_t i = 0; i < count; i++) {
        size_t length = separators[i].size;
        ssize_t end =
            chain_find(in, from, min_size(best.end, in->size), separators[i].data, length);
        if (end < 0)
            continue;
        if ((size_t)end < best.end || length < best.length)
            best = (struct match){ (size_t)end, length };
    }
    *ret_match = best;
    return best.length > 0;
}

static ssize_t overrun(struct weir_reader *reader, size_t consumed)
{
    reader->overrun = consumed;
    return WEIR_LIMIT_OVERRUN;
}

static ssize_t read_until(struct weir_reader *reader, const struct weir_slice *separators,
                          size_t count, size_t longest, struct weir_slice *ret_data)
{
    struct chain *in = &reader->in;
    struct match match;
    size_t searched = 0;
    while (!find_any(in, searched, separators, count, &match)) {
        if (reader->ended) {
            ssize_t end = reader_at_end(reader, WEIR_INCOMPLETE);
            return end == WEIR_INCOMPLETE ? reader_lend_rest(reader, end, ret_data) : end;
        }
        searched = in->size;
        if (searched + 1 > reader->limit + longest)
            return overrun(reader, searched + 1 - longest);
        int rc = reader_wait(reader, searched + 1);
        if (rc < 0)
            return rc;
    }
    if (match.end - match.length > reader->limit)
        return overrun(reader, match.end - match.length);
    int rc = chain_gather(in, match.end, 0);
    return rc < 0 ? rc : reader_lend(reader, match.end, ret_data);
}

PUBLIC ssize_t weir_readuntil_any(struct weir_reader *reader, const struct weir_slice *separators,
                                  size_t count, struct weir_slice *ret_data)
{
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        if (separators[i].size == 0)
            return -EINVAL;
        longest = max_size(longest, separators[i].size);
    }
    if (longest == 0)
        return -EINVAL;
    int rc = reader_enter(reader);
    if (rc < 0)
        return rc;
    ssize_t result = read_until(reader, separators, count, longest, ret_data);
    reader_leave(reader);
    return result;
}

PUBLIC ssize_t weir_readuntil(struct weir_reader *reader, const char *separator,
                              struct weir_slice *ret_data)
{
    struct weir_slice only = { .data = separator, .size = strlen(separator) };
    return weir_readuntil_any(reader, &only, 1, ret_data);
}

PUBLIC ssize_t weir_readline(struct weir_reader *reader, struct weir_slice *ret_line)
{
    struct weir_slice newline = { .data = "\n", .size = 1 };
    ssize_t n = weir_readuntil_any(reader, &newline, 1, ret_line);
    return n == WEIR_INCOMPLETE ? (ssize_t)ret_line->size : n;
}
