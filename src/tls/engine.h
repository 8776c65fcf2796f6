/* The engine on wolfSSL: one WOLFSSL object for each stream, whose input is the record at hand and
 * whose output is emitted at once.
 *
 * engine.c holds its life and the handshake, records.c the records that are sealed and opened in
 * place, device.c what wolfSSL asks of us while it runs, peer.c who is at the other end. */
#ifndef WEIR_TLS_ENGINE_H
#define WEIR_TLS_ENGINE_H

#include "tls/aead.h"
#include "tls/context.h"
#include "tls/names.h"

/* One direction's key. wolfSSL changes it, and we follow by comparing: `key.raw` is which this is
 * for. */
struct direction {
    struct aead_key key;
    unsigned char iv[AEAD_NONCE];
    uint64_t sequence; /* in place: of the next record */
};

/* What get_extra_info tells: copies, since wolfSSL's object goes first. */
struct peer_info {
    const char *version, *cipher;
    char *alpn, *server_hostname;
    struct certificate_words certificate;
};

struct wolf_engine {
    struct engine engine; /* what the library knows of it */
    WOLFSSL *wolf;        /* NULL once it has ended */
    struct context *context;
    struct credentials *credentials;
    engine_emit_fn *emit;
    void *user;

    const unsigned char *input; /* the rest of the record at hand */
    size_t input_size;
    bool input_is_open; /* it has been decrypted already */
    size_t unfinished;  /* bytes of a handshake message that the next record goes on with */
    bool verified;      /* the peer's certificate, by the callback */
    bool wrong_name;    /* and why it was not */
    bool no_protocol;   /* of the client's (ALPN) is one of ours */
    bool hardware;
    bool offered;      /* a session of ours, to be resumed */
    char *session_key; /* a client's: whom a session is for */
    const char *path;  /* of records that are not in place */
    struct peer_info info;
    struct direction sending, receiving;
};

/* Of struct weir_tls. */
int engine_open(struct weir_tls *tls, const struct engine_options *options,
                struct engine **ret_engine);

/* What a failed call of wolfSSL means: an error of ours. */
int engine_error(const struct wolf_engine *engine, int wolf_error);

/* records.c: whether this connection's can be sealed in place; then its keys are ready. */
bool records_begin(struct wolf_engine *engine);
void records_follow(struct wolf_engine *engine); /* after a call of wolfSSL, which may rekey */
ssize_t records_unseal(struct engine *engine, const void *header, const struct iovec *body,
                       unsigned count);
void records_seal(struct engine *engine, const struct iovec *plain, unsigned count, size_t size,
                  void *record);
int records_renew(struct engine *engine);
void records_refuse(struct engine *engine, unsigned alert);
/* The nonce of a direction's next record, which it counts. */
void records_next_nonce(struct direction *direction, unsigned char *ret_nonce);

/* device.c: around every call of wolfSSL: what it asks for, it asks for this engine. */
void device_enter(struct wolf_engine *engine);
int device_id(void); /* registers it, once */
void device_set_callbacks(WOLFSSL_CTX *wolf, const struct context *context);

/* peer.c: the callbacks in which wolfSSL asks about names, and what is kept of the peer. */
int peer_verify(int preverified, WOLFSSL_X509_STORE_CTX *store);
int peer_choose_certificate(WOLFSSL *wolf, int *ret_alert, void *argument);
int peer_choose_protocol(WOLFSSL *wolf, const unsigned char **ret_protocol, unsigned char *ret_size,
                         const unsigned char *offered, unsigned size, void *argument);
int peer_new_session(WOLFSSL *wolf, WOLFSSL_SESSION *session);
void peer_keep_info(struct wolf_engine *engine);
void peer_free_info(struct wolf_engine *engine);
const char *peer_info(const struct engine *engine, const char *name);

struct wolf_engine *device_engine(void); /* the one that wolfSSL runs for */

#endif
