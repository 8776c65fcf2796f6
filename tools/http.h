/* The head of an HTTP/1 request: a strict parser that makes one pass and copies nothing. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_BODY_MOST = 1 << 20 }; /* bytes; a longer request body is refused */

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_HEAD };

struct http_request {
    enum http_method method;
    bool root;        /* the target's path is "/" */
    bool version_1_0; /* else 1.1 */
    bool keep_alive;  /* the client wants to go on after this one, and may */
    size_t body;      /* bytes of body that follow the head */
    bool host_;       /* from here on: what has been seen so far, the parser's own */
    bool length_;
    bool encoding_;
    bool expect_;
    bool connection_close_;
    bool connection_keep_alive_;
};

/* Parses a head, which ends with the only "\r\n\r\n" in it. Returns 0, or the status to refuse it
 * with: the connection must then end, since nobody knows where the next request begins. Of a
 * refused request the method may be known. */
int http_parse_head(const char *head, size_t size, struct http_request *ret_request);

const char *http_reason(int status); /* "Not Found" */

#endif
