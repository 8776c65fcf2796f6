#include "peer.h"

#include "../common.h"
#include "../pattern.h"

/* ---- Starting -------------------------------------------------------------------------------- */

static enum peer_mode peer_mode_of(enum server_mode mode)
{
    switch (mode) {
    case MODE_ECHO:
        return PEER_ECHO;
    case MODE_HTTP:
        return PEER_HTTP;
    case MODE_HTTP_CLOSE:
        return PEER_HTTP_CLOSE;
    case MODE_SINK:
        return PEER_SINK;
    case MODE_SOURCE:
        return PEER_SOURCE;
    case MODE_PROXY:
        return PEER_PROXY;
    }
    abort();
}

struct peer peer_start(int argc, char **argv, const char *program, const char *what)
{
    struct server_program description = {
        .name = program,
        .what = what,
        .modes = MODE_ECHO | MODE_HTTP | MODE_HTTP_CLOSE | MODE_SINK | MODE_SOURCE | MODE_PROXY,
    };
    struct server_options options = parse_server_options(&description, argc, argv);
    raise_descriptor_limit();
    return (struct peer){
        .mode = peer_mode_of(options.mode),
        .listener = listen_on(program, &options.address),
        .is_unix = options.address.path != NULL,
        .to = options.to.storage,
        .to_size = options.to.size,
    };
}

void peer_announce(const struct peer *peer, const char *program)
{
    struct address address = { .path = peer->is_unix ? unix_path_to_remove : NULL };
    announce(program, peer->listener, &address);
}

void peer_die(const char *program, const char *what, const char *why)
{
    die(program, EXIT_FAILED, "%s: %s", what, why);
}

/* ---- Answers --------------------------------------------------------------------------------- */

struct peer_bytes peer_answer(enum peer_mode mode, uint32_t *window, const void *bytes, size_t size)
{
    static unsigned char *answers; /* as many as requests can end in a block */
    if (!answers)
        answers = http_repeat_answer(PEER_BLOCK_SIZE / 4 + 1);
    unsigned count = http_count_requests(window, bytes, size);
    if (count > 1 && mode == PEER_HTTP_CLOSE)
        count = 1;
    return (struct peer_bytes){ (const char *)answers, (size_t)count * HTTP_ANSWER_SIZE };
}

void peer_put_count(uint64_t count, void *ret_bytes)
{
    uint64_t number = htobe64(count);
    memcpy(ret_bytes, &number, PEER_COUNT_SIZE);
}

/* ---- The source ------------------------------------------------------------------------------ */

bool peer_source_receive(struct peer_source *source, const void *bytes, size_t size)
{
    size_t missing = sizeof source->request - source->received;
    if (size > missing)
        size = missing;
    memcpy(source->request + source->received, bytes, size);
    source->received += size;
    if (source->received < sizeof source->request)
        return false;
    struct source_request asked = { .total = 0, .block = 1 }; /* nothing, if it asks for nonsense */
    source_request_decode(source->request, &asked);
    source->total = asked.total;
    source->block = asked.block;
    return true;
}

struct peer_bytes peer_source_next(struct peer_source *source)
{
    static const unsigned char *pattern;
    if (!pattern)
        pattern = bench_pattern(PATTERN_SIZE);
    struct source_request asked = { .total = source->total, .block = source->block };
    size_t size = source_left(&asked, source->sent);
    source->sent += size;
    return (struct peer_bytes){ (const char *)pattern, size };
}
