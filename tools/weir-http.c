/* weir-http: an HTTP/1.1 server that says hello at "/", with keep-alive and pipelining, and takes
 * nothing it does not understand. */
#include "cli.h"
#include "http.h"

#include <string.h>

enum { HEAD_MOST = 16 * 1024 };                         /* bytes of a request's head */
static const weir_duration PATIENCE = 75 * WEIR_SECOND; /* for one request, idle time included */
static const weir_duration LINGER = 2 * WEIR_SECOND;    /* for a client to take our last answer */

static const char hello[] = "HTTP/1.1 200 OK\r\n"
                            "Server: weir\r\n"
                            "Content-Type: text/plain\r\n"
                            "Content-Length: 13\r\n"
                            "\r\n"
                            "Hello, World!";

static int respond(struct weir_writer *writer, const struct http_request *request, int status)
{
    bool plain = request->keep_alive && !request->version_1_0;
    if (status == 200 && plain && request->method == HTTP_GET)
        return weir_write(writer, hello, sizeof hello - 1);

    const char *body = status == 200 ? "Hello, World!" : http_reason(status);
    const char *allow = status == 405 ? "Allow: GET, HEAD\r\n" : "";
    const char *connection = plain                 ? ""
                             : request->keep_alive ? "Connection: keep-alive\r\n"
                                                   : "Connection: close\r\n";
    return weir_printf(writer,
                       "HTTP/1.1 %d %s\r\nServer: weir\r\n%s%s"
                       "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                       status, http_reason(status), allow, connection, strlen(body),
                       request->method == HTTP_HEAD ? "" : body);
}

/* Reads `size` bytes and forgets them. Returns 0, or negative if they do not come. */
static int discard(struct weir_reader *reader, size_t size)
{
    struct weir_slice part;
    while (size > 0) {
        ssize_t n = weir_read(reader, size, &part);
        if (n <= 0)
            return n < 0 ? (int)n : WEIR_INCOMPLETE;
        size -= (size_t)n;
    }
    return 0;
}

/* Ends our direction, then takes what the client still sends, up to a body's size: closing a socket
 * with unread data resets the connection, and a reset can overtake the answer. TLS 1.2 cannot end
 * one direction alone: there closing does all that. Returns 0. */
static int linger(struct weir_reader *reader, struct weir_writer *writer)
{
    struct weir_timeout timeout;
    if (weir_write_eof(writer) < 0)
        return 0;
    weir_timeout_start(&timeout, LINGER);
    weir_timeout_stop(&timeout, discard(reader, HTTP_BODY_MOST + HEAD_MOST));
    return 0;
}

static int status_of(const struct http_request *request)
{
    if (request->method == HTTP_OTHER)
        return 405;
    return request->root ? 200 : 404;
}

/* One request and its response. Returns 1 if the client may send another. */
static int exchange(struct weir_reader *reader, struct weir_writer *writer)
{
    struct weir_slice head;
    struct http_request request = { 0 };
    int status;
    ssize_t size = weir_readuntil(reader, "\r\n\r\n", &head);
    if (size > 0)
        status = http_parse_head(head.data, head.size, &request);
    else if (size == WEIR_LIMIT_OVERRUN)
        status = 431;
    else if (size == WEIR_INCOMPLETE && head.size > 0)
        status = 400;
    else
        return 0; /* it has gone, has been silent for too long, or we are to end */

    /* The body is passed over after the response, which does not depend on it. */
    if (respond(writer, &request, status != 0 ? status : status_of(&request)) < 0)
        return 0;
    if (!request.keep_alive)
        return linger(reader, writer);
    if (discard(reader, request.body) < 0 || weir_drain(writer) < 0)
        return 0;
    return 1;
}

static void serve(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct weir_timeout timeout;
    ssize_t more;
    do {
        weir_timeout_start(&timeout, PATIENCE);
        more = weir_timeout_stop(&timeout, exchange(reader, writer));
    } while (more > 0);
}

int main(int argc, char **argv)
{
    static const struct cli_tool tool = {
        .name = "weir-http",
        .purpose = "Answers GET and HEAD of / with \"Hello, World!\", over HTTP/1.1.",
        .listen = "127.0.0.1:8080",
        .tls_scheme = "https://",
        .client_connected = serve,
        .limit = HEAD_MOST,
    };
    return cli_main(&tool, argc, argv);
}
