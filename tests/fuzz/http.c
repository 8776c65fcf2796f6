/* Target: the parser of weir-http's request heads, as the server uses it: over a stream whose bytes
 * arrive in pieces. However they are cut, the requests must be the same as of the flat bytes; and
 * what is accepted must be so by RFC 9112, read by an oracle that works line by line. */
#include "http.h"
#include "feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

enum { REQUESTS = 16, LIMIT = 512 };

/* What one exchange came to: `size` as of readuntil. */
struct outcome {
    ssize_t size;
    int status;
    struct http_request request;
};

static struct run {
    struct feed feed;
    struct outcome outcomes[REQUESTS];
    unsigned count;
    bool done;
} run;

/* ---- The oracle: one line after the other ---------------------------------------------------- */

struct facts {
    unsigned hosts, lengths, encodings;
    bool close, keep_alive, expect;
    unsigned long long length;
};

static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool is_token(const char *text)
{
    return *text != '\0' && text[strspn(text, token)] == '\0';
}

/* Whatever is no token parts two words. */
static void note_connection(struct facts *facts, const char *value)
{
    for (size_t size; *value != '\0'; value += size + (value[size] != '\0')) {
        size = strspn(value, token);
        facts->close |= size == 5 && strncasecmp(value, "close", 5) == 0;
        facts->keep_alive |= size == 10 && strncasecmp(value, "keep-alive", 10) == 0;
    }
}

static bool note_length(struct facts *facts, const char *value)
{
    if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
        return false;
    value += strspn(value, "0");
    unsigned long long length = strlen(value) > 9 ? 9999999999 : strtoull(value, NULL, 10);
    bool same = facts->lengths++ == 0 || facts->length == length;
    facts->length = length;
    return same;
}

static bool read_field(struct facts *facts, char *line)
{
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    char *value = colon + 1;
    value += strspn(value, " \t");
    for (size_t n = strlen(value); n > 0 && strchr(" \t", value[n - 1]) != NULL; n--)
        value[n - 1] = '\0';
    for (const char *at = value; *at != '\0'; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return false;
    }
    facts->hosts += strcasecmp(line, "host") == 0;
    facts->encodings += strcasecmp(line, "transfer-encoding") == 0;
    facts->expect |= strcasecmp(line, "expect") == 0;
    if (strcasecmp(line, "connection") == 0)
        note_connection(facts, value);
    bool sound = strcasecmp(line, "content-length") != 0 || note_length(facts, value);
    return is_token(line) && sound;
}

/* "GET /path HTTP/1.1". What `request` must say, if it is accepted. */
static bool read_request_line(char *line, struct http_request *ret_request)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
    if (version == NULL)
        return false;
    *target++ = *version++ = '\0';
    ret_request->method = strcmp(line, "GET") == 0    ? HTTP_GET
                          : strcmp(line, "HEAD") == 0 ? HTTP_HEAD
                                                      : HTTP_OTHER;
    for (const char *at = target; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f)
            return false;
    }
    const char *path = target;
    bool absolute = strncasecmp(target, "http://", 7) == 0 && target[7] != '\0';
    if (absolute)
        path = target + 7 + strcspn(target + 7, "/?");
    bool bare = absolute && *path != '/';
    ret_request->root = bare || (*path == '/' && (path[1] == '\0' || path[1] == '?'));
    ret_request->version_1_0 = strcmp(version, "HTTP/1.0") == 0;
    bool known = ret_request->version_1_0 || strcmp(version, "HTTP/1.1") == 0;
    bool origin = bare || *path == '/' || ret_request->method == HTTP_OTHER;
    return is_token(line) && *target != '\0' && known && origin;
}

static bool read_head(const char *head, size_t size, struct http_request *ret_request)
{
    struct facts facts = { 0 };
    char text[LIMIT + 8];
    memcpy(text, head, size);
    text[size] = '\0';
    char *line = text + (size > 2 && memcmp(text, "\r\n", 2) == 0 ? 2 : 0);
    bool sound = strlen(text) == size;
    *ret_request = (struct http_request){ 0 };
    for (unsigned number = 0; sound && strcmp(line, "\r\n") != 0; number++) {
        char *end = strstr(line, "\r\n");
        sound = end != NULL;
        if (!sound)
            break;
        *end = '\0';
        sound = strpbrk(line, "\r\n") == NULL &&
                (number == 0 ? read_request_line(line, ret_request) : read_field(&facts, line));
        line = end + 2;
    }
    bool old = ret_request->version_1_0;
    ret_request->body = facts.length;
    ret_request->keep_alive =
        (!old || facts.keep_alive) && !facts.close && !(facts.expect && facts.length > 0);
    return sound && facts.encodings == 0 && facts.hosts <= 1 && (old || facts.hosts == 1) &&
           facts.length <= HTTP_BODY_MOST;
}

static void check_request(const char *head, size_t size, const struct outcome *outcome)
{
    struct http_request expected;
    const struct http_request *request = &outcome->request;
    bool sound = read_head(head, size, &expected);
    fuzz_check(sound == (outcome->status == 0));
    fuzz_check(outcome->status == 0 || strcmp(http_reason(outcome->status), "Unknown") != 0);
    if (!sound)
        return;
    fuzz_check(request->method == expected.method && request->root == expected.root);
    fuzz_check(request->version_1_0 == expected.version_1_0 && request->body == expected.body);
    fuzz_check(request->keep_alive == expected.keep_alive);
}

/* ---- From the flat bytes --------------------------------------------------------------------- */

/* On the heap, with nothing behind it: the parser must not look there. */
static struct outcome parse(const char *head, size_t size)
{
    struct outcome outcome = { .size = (ssize_t)size };
    char *copy = malloc(size);
    memcpy(copy, head, size);
    outcome.status = http_parse_head(copy, size, &outcome.request);
    free(copy);
    check_request(head, size, &outcome);
    return outcome;
}

static struct outcome next_of(const char *bytes, size_t size)
{
    const char *end = size > 0 ? memmem(bytes, size, "\r\n\r\n", 4) : NULL;
    if (end != NULL && end - bytes > LIMIT)
        return (struct outcome){ .size = WEIR_LIMIT_OVERRUN };
    if (end == NULL)
        return (struct outcome){ .size = WEIR_INCOMPLETE };
    return parse(bytes, (size_t)(end - bytes) + 4);
}

/* The same fields, not the same padding. */
static bool same(const struct outcome *a, const struct outcome *b)
{
    const struct http_request *x = &a->request, *y = &b->request;
    return a->size == b->size && a->status == b->status && x->method == y->method &&
           x->root == y->root && x->version_1_0 == y->version_1_0 &&
           x->keep_alive == y->keep_alive && x->body == y->body;
}

static void compare(void)
{
    const char *at = run.feed.bytes;
    size_t left = run.feed.size;
    for (unsigned i = 0; i < run.count; i++) {
        struct outcome expected = next_of(at, left);
        const struct outcome *outcome = &run.outcomes[i];
        bool cut =
            outcome->size == WEIR_LIMIT_OVERRUN && expected.size < 0; /* not yet at its end */
        fuzz_check(cut || same(outcome, &expected));
        if (expected.size < 0 || expected.status != 0 || !expected.request.keep_alive) {
            fuzz_check(i + 1 == run.count);
            return;
        }
        at += expected.size;
        left -= (size_t)expected.size;
        size_t body = min_size(expected.request.body, left);
        at += body;
        left -= body;
    }
}

/* ---- Over the stream, as weir-http does ------------------------------------------------------ */

static void skip_body(size_t size)
{
    struct weir_slice part;
    while (size > 0) {
        ssize_t n = weir_read(feed_reader(&run.feed), size, &part);
        if (n <= 0)
            return; /* what comes next is the end */
        size -= (size_t)n;
    }
}

static int serve(void *unused)
{
    (void)unused;
    bool more = true;
    while (more && run.count < REQUESTS) {
        struct outcome *outcome = &run.outcomes[run.count++];
        struct weir_slice head;
        outcome->size = weir_readuntil(feed_reader(&run.feed), "\r\n\r\n", &head);
        if (outcome->size > 0)
            outcome->status = http_parse_head(head.data, head.size, &outcome->request);
        more = outcome->size > 0 && outcome->status == 0 && outcome->request.keep_alive;
        if (more)
            skip_body(outcome->request.body);
    }
    run.done = true;
    return 0;
}

/* The first byte says how many of the next are sizes of pieces; what is left is the text. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { bytes, bytes + size };
    size_t cuts_size;
    const uint8_t *cuts = input_take(&input, input_below(&input, 16), &cuts_size);
    run = (struct run){ .done = false };
    feed_open(&run.feed, LIMIT);
    fuzz_check(task_start(fuzz_loop(), serve, NULL) != NULL);
    fuzz_settle();
    for (size_t i = 0; input_left(&input) > 0; i++) {
        size_t piece = cuts_size > 0 ? 1u + cuts[i % cuts_size] % 64u : input_left(&input);
        const uint8_t *data = input_take(&input, piece, &piece);
        feed_bytes(&run.feed, data, piece, i % 3);
        fuzz_settle();
    }
    feed_end(&run.feed, 0);
    fuzz_settle();
    fuzz_check(run.done);
    compare();
    feed_close(&run.feed);
    return 0;
}
