/* Parses request heads as RFC 9112 says, and refuses whatever two servers might read differently:
 * that is how requests are smuggled.
 *
 * No loop below looks for the end of the head. Each stops at the first byte that does not belong to
 * what it scans, and '\r' belongs to nothing, so the last "\r\n\r\n" stops them all. */
#include "http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* RFC 9110's token characters: methods and field names are made of them. */
static const unsigned char is_token[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* control characters */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* control characters */
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, /* !#$%&'*+-. */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* 0-9 */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* A-O */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, /* P-Z ^_ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* `a-o */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, /* p-z |~ */
};

static const char *skip_token(const char *at)
{
    while (is_token[(unsigned char)*at])
        at++;
    return at;
}

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

/* Text of `size` bytes is `word`, which is in lower case. */
static bool is_word(const char *text, size_t size, const char *word)
{
    return strncasecmp(text, word, size) == 0 && word[size] == '\0';
}

static enum http_method method_of(const char *name, size_t size)
{
    if (size == 3 && memcmp(name, "GET", 3) == 0)
        return HTTP_GET;
    if (size == 4 && memcmp(name, "HEAD", 4) == 0)
        return HTTP_HEAD;
    return HTTP_OTHER;
}

/* Whether a target names "/", in the form of a request to an origin ("/?query") or to a proxy
 * ("http://host/"). Returns 0 or a status. */
static int parse_target(const char *target, size_t size, struct http_request *request)
{
    const char *end = target + size;
    if (size > 7 && strncasecmp(target, "http://", 7) == 0) {
        target += 7;
        while (target < end && *target != '/' && *target != '?')
            target++;
        if (target == end || *target == '?') {
            request->root = true;
            return 0;
        }
    }
    if (*target != '/' && request->method != HTTP_OTHER)
        return 400; /* only OPTIONS and CONNECT have others */
    request->root = *target == '/' && (target + 1 == end || target[1] == '?');
    return 0;
}

/* "HTTP/1.1\r\n", after which there is an empty line at least. Returns 0 or a status. */
static int parse_version(const char *at, const char *end, struct http_request *request)
{
    if (end - at < 12)
        return 400;
    if (memcmp(at, "HTTP/1.1\r\n", 10) == 0)
        return 0;

    bool digits = at[5] >= '0' && at[5] <= '9' && at[7] >= '0' && at[7] <= '9';
    if (memcmp(at, "HTTP/", 5) != 0 || !digits || at[6] != '.' || memcmp(at + 8, "\r\n", 2) != 0)
        return 400;
    request->version_1_0 = at[5] == '1' && at[7] == '0';
    return request->version_1_0 ? 0 : 505;
}

/* Leaves `at` behind the line. Returns 0 or a status. */
static int parse_request_line(const char **at, const char *end, struct http_request *request)
{
    const char *method = *at, *blank = skip_token(method);
    if (blank == method || *blank != ' ')
        return 400;
    request->method = method_of(method, (size_t)(blank - method));

    const char *target = blank + 1;
    for (blank = target; *blank > ' ' && *blank < 0x7f;)
        blank++;
    if (blank == target || *blank != ' ')
        return 400;
    int status = parse_target(target, (size_t)(blank - target), request);
    if (status != 0)
        return status;

    *at = blank + 1 + strlen("HTTP/1.1\r\n");
    return parse_version(blank + 1, end, request);
}

/* Digits and nothing else. Above the most we take, it stays at the first number too large. */
static int parse_length(const char *value, size_t size, struct http_request *request)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return 400;
        if (length <= HTTP_BODY_MOST)
            length = length * 10 + (size_t)(value[i] - '0');
    }
    if (size == 0 || (request->length_ && request->body != length))
        return 400;
    request->length_ = true;
    request->body = length;
    return 0;
}

static void parse_connection(const char *value, size_t size, struct http_request *request)
{
    const char *end = value + size;
    while (value < end) {
        const char *word = value;
        while (value < end && is_token[(unsigned char)*value])
            value++;
        size_t word_size = (size_t)(value - word);
        request->connection_close_ |= word_size == 5 && is_word(word, 5, "close");
        request->connection_keep_alive_ |= word_size == 10 && is_word(word, 10, "keep-alive");
        value += value == word; /* over a comma, a blank, or nonsense */
    }
}

/* What a field means to us; most mean nothing. Their lengths tell them apart. Returns 0 or a
 * status. */
static int note_field(const char *name, size_t name_size, const char *value, size_t size,
                      struct http_request *request)
{
    switch (name_size) {
    case 4:
        if (is_word(name, name_size, "host")) {
            if (request->host_)
                return 400;
            request->host_ = true;
        }
        return 0;
    case 6:
        request->expect_ |= is_word(name, name_size, "expect");
        return 0;
    case 10:
        if (is_word(name, name_size, "connection"))
            parse_connection(value, size, request);
        return 0;
    case 14:
        return is_word(name, name_size, "content-length") ? parse_length(value, size, request) : 0;
    case 17:
        request->encoding_ |= is_word(name, name_size, "transfer-encoding");
        return 0;
    default:
        return 0;
    }
}

/* "Name: value\r\n". Blanks before the colon or the name fail, as neither is part of a token.
 * Leaves `at` behind the line. Returns 0 or a status. */
static int parse_field(const char **at, struct http_request *request)
{
    const char *name = *at, *colon = skip_token(name);
    if (colon == name || *colon != ':')
        return 400;

    const char *value = skip_blanks(colon + 1), *end = value;
    while ((unsigned char)*end >= ' ' ? *end != 0x7f : *end == '\t')
        end++;
    if (end[0] != '\r' || end[1] != '\n')
        return 400;
    *at = end + 2;

    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return note_field(name, (size_t)(colon - name), value, (size_t)(end - value), request);
}

/* What the fields mean together. Returns 0 or a status. */
static int judge(struct http_request *request)
{
    if (request->encoding_)
        return request->length_ ? 400 : 501;
    if (!request->host_ && !request->version_1_0)
        return 400;
    if (request->body > HTTP_BODY_MOST)
        return 413;

    /* Answered without a "100 Continue", a client may send the body or leave it out: only the end
     * of the connection settles which. */
    bool unsure = request->expect_ && request->body > 0;
    bool wanted = !request->version_1_0 || request->connection_keep_alive_;
    request->keep_alive = wanted && !request->connection_close_ && !unsure;
    return 0;
}

int http_parse_head(const char *head, size_t size, struct http_request *ret_request)
{
    *ret_request = (struct http_request){ 0 };
    const char *at = head, *end = head + size;
    if (at[0] == '\r' && at[1] == '\n')
        at += 2; /* RFC 9112, 2.2: an empty line before the request is to be forgiven */

    int status = parse_request_line(&at, end, ret_request);
    while (status == 0 && *at != '\r')
        status = parse_field(&at, ret_request);
    if (status != 0)
        return status;
    return at + 2 == end ? judge(ret_request) : 400;
}

const char *http_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}
