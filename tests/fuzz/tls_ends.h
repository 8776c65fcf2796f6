/* Two ends of a TLS connection without sockets: weir's own transport and engine at each, over a
 * wire in memory that the target may cut, change and delay. */
#ifndef WEIR_TESTS_FUZZ_TLS_ENDS_H
#define WEIR_TESTS_FUZZ_TLS_ENDS_H

#include "fuzz.h"
#include "transport/tls.h"

/* Bytes in a row; zeroed: none. */
struct bytes {
    uint8_t *data;
    size_t size;
};
void bytes_append(struct bytes *bytes, const void *data, size_t size);
void bytes_drop(struct bytes *bytes, size_t at, size_t size);
void bytes_free(struct bytes *bytes);

struct end {
    struct transport lower; /* instead of a socket */
    struct transport *tls;
    struct end *peer;
    struct bytes wire;     /* from here, on its way to the peer */
    struct bytes sent;     /* data that was written here, in the clear */
    struct bytes received; /* and that has come here */
    bool stalled;          /* nothing leaves for the wire */
    bool finishing;        /* our direction of the wire is to end when all has left, */
    bool finished;         /* and has */
    bool closing;          /* the same for both */
    bool end_told;         /* to the peer */
    bool may_end;          /* close_notify may have been sent from here */
    bool opened, ended, lost, closed;
    bool lower_lost;
    int error;
};

/* A handshake that begins: `context` is a client's or a server's. */
void end_open(struct end *end, struct weir_tls *context, const char *server_hostname);
void end_close(struct end *end); /* at once, and frees what it has */

/* What is queued leaves for the wire, if it may. */
void end_flush(struct end *end);

/* The peer's next `size` bytes arrive here, or as many as there are; then, if there are no more and
 * never will be, the end of the wire. */
void end_deliver(struct end *end, size_t size);
void end_receive(struct end *end, const void *data, size_t size); /* of the caller's own */
void end_break(struct end *end, int error); /* the wire breaks; 0: the peer sends no more */

/* How many bytes the first record on the wire has, header included; or all there are. */
size_t wire_record(const struct bytes *wire);

/* What the program does. */
void end_write(struct end *end, size_t size);
void end_craft(struct end *end, unsigned type, const void *data, size_t size, size_t padding);
void end_check(const struct end *end);

/* fixed.c: from here on chance is what it was the last time. */
void chance_reset(void);

#endif
