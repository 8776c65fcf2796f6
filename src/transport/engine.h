/* What TLS over a transport needs of an implementation of TLS: bytes in, bytes out, no I/O and no
 * waiting. This is all that the library knows of it; libweir-tls has one, on wolfSSL, and a context
 * (struct weir_tls) carries its functions.
 *
 * All but open, end, free and info run on the loop's own stack, never on a task's: a handshake
 * takes some 50 KB. */
#ifndef WEIR_TRANSPORT_ENGINE_H
#define WEIR_TRANSPORT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    RECORD_HEADER = 5,         /* type, version, size of the body */
    RECORD_PLAIN_MOST = 16384, /* bytes of application data in one record */
    RECORD_BODY_MOST = 16384 + 256,
    RECORD_OVERHEAD = 5 + 1 + 16, /* of one sealed in place: header, inner type, tag */
    RECORD_PIECES = 64,           /* of memory that one record may lie in */
};

enum record_type {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT,
    RECORD_HANDSHAKE,
    RECORD_DATA,
};

/* What a read may return beside a count of bytes (0: a control record) and errors. */
enum { ENGINE_ENDED = -8192 }; /* the peer's close_notify */

/* Bytes for the peer. */
typedef void engine_emit_fn(void *user, const void *data, size_t size);

struct engine_options {
    const char *server_hostname; /* a client's: whom to ask for and to check */
    const char *peername;        /* whom it is connected with, to resume a session with */
    engine_emit_fn *emit;
    void *user;
};

/* What an engine begins with. */
struct engine {
    const struct engine_ops *ops;
    bool in_place;   /* data records are for seal() and unseal() */
    bool can_finish; /* one direction may end before the other */
    bool resumed;
    uint64_t records_to_seal; /* before renew() must be called */
};

struct engine_ops {
    /* Goes on with the handshake: `record` is the next, header included (NULL: begin). 1: done, 0:
     * needs another, or an error, its alert emitted. */
    int (*handshake)(struct engine *engine, const void *record, size_t size);

    /* Not in place: one whole record; its data goes to `plain`, RECORD_PLAIN_MOST at most. And data
     * to send, as much at most. */
    ssize_t (*read)(struct engine *engine, const void *record, size_t size, void *plain);
    int (*write)(struct engine *engine, const void *plain, size_t size);

    /* In place: the body of one record, where it lies. The data is what the body begins with. */
    ssize_t (*unseal)(struct engine *engine, const void *header, const struct iovec *body,
                      unsigned count);
    /* The record of these `size` bytes is written to `record`: RECORD_OVERHEAD more. */
    void (*seal)(struct engine *engine, const struct iovec *plain, unsigned count, size_t size,
                 void *record);
    int (*renew)(struct engine *engine); /* changes our key */

    int (*finish)(struct engine *engine); /* emits close_notify */
    void (*settle)(
        struct engine *engine); /* the connection lasts: give back what it can do without */
    void (*refuse)(struct engine *engine, unsigned alert); /* emits a fatal alert, if it can */

    const char *(*info)(const struct engine *engine, const char *name); /* as get_extra_info */
    void (*end)(struct engine *engine);  /* nothing but info() is asked any more */
    void (*free)(struct engine *engine); /* also one that has not ended */
};

/* A context: what all threads share. */
struct weir_tls {
    void (*hold)(struct weir_tls *tls); /* it is not freed before it is dropped as often */
    void (*drop)(struct weir_tls *tls);
    int (*open)(struct weir_tls *tls, const struct engine_options *options,
                struct engine **ret_engine);
    bool server;
    bool name_checked;     /* a client's, which needs one */
    bool allow_truncation; /* insecure_allow_truncation */
};

#endif
