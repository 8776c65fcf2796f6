/* A TLS peer in the test's hand: wolfSSL on the raw end of a pair, reading and writing memory only.
 * What it says can be looked at, changed, cut or held back before it is sent, and after the
 * handshake any record can be crafted with its keys.
 *
 * The weir end is a stream upgraded by weir_start_tls(), in a task of its own. */
#ifndef WEIR_TESTS_TLS_PEER_H
#define WEIR_TESTS_TLS_PEER_H

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "tls_both.h"

/* ---- Bytes, records, alerts -------------------------------------------------------------------*/

struct bytes {
    unsigned char *data;
    size_t size, capacity;
};
void bytes_append(struct bytes *bytes, const void *data, size_t size);
void bytes_remove(struct bytes *bytes, size_t from, size_t size);
void bytes_free(struct bytes *bytes);

enum { RECORD_HEAD = 5, RECORD_MOST = 16384, TLS_1_1 = 1 };
enum { CHANGE_CIPHER_SPEC = 20, ALERT, HANDSHAKE, APPLICATION_DATA }; /* types of records */

/* An unprotected record: `version` as 0x0303. */
void record_append(struct bytes *bytes, int type, int version, const void *data, size_t size);

/* Where the record of that number begins among these bytes; their size past the last. */
size_t record_offset(const struct bytes *bytes, size_t number);

/* Alerts by their numbers in RFC 8446, 6. */
enum {
    CLOSE_NOTIFY = 0,
    UNEXPECTED_MESSAGE = 10,
    BAD_RECORD_MAC = 20,
    RECORD_OVERFLOW = 22,
    HANDSHAKE_FAILURE = 40,
    BAD_CERTIFICATE = 42,
    UNSUPPORTED_CERTIFICATE = 43,
    CERTIFICATE_EXPIRED = 45,
    CERTIFICATE_UNKNOWN = 46,
    ILLEGAL_PARAMETER = 47,
    UNKNOWN_CA = 48,
    DECODE_ERROR = 50,
    DECRYPT_ERROR_ALERT = 51,
    PROTOCOL_VERSION = 70,
    INTERNAL_ERROR = 80,
    NO_RENEGOTIATION = 100,
    UNRECOGNIZED_NAME = 112,
    CERTIFICATE_REQUIRED = 116,
    NO_APPLICATION_PROTOCOL = 120,
};

/* ---- The two ends -----------------------------------------------------------------------------*/

struct tls_setup {
    enum tls_role role; /* weir's */
    bool tcp;           /* instead of a socketpair */
    bool narrow;        /* pair_narrow() */
    size_t limit;       /* of weir's reader */

    struct weir_tls_options weir;        /* ca_file "ca" and certificate_file "server" unless set */
    struct weir_start_tls_options start; /* server_hostname "localhost" unless set */

    int version;             /* the peer's one: WEIR_TLS_1_2, TLS_1_1; 0: WEIR_TLS_1_3 */
    const char *certificate; /* NAME of NAME.pem and NAME-key.pem; as a server: "server" */
    bool anonymous;          /* it has no certificate, and offers suites that need none */
    const char *request; /* as a server it requires a certificate of the authority in NAME.pem */
    const char *ciphers; /* NULL: those of AES-128-GCM */
    bool only_p256;      /* its only group; weir's first is another: HelloRetryRequest */
    const char *alpn;    /* one, or several parted by commas */
    const void *sni;     /* a client's; sni_size 0: as a string */
    size_t sni_size;
};

struct tls_pair {
    struct pair pair; /* weir's stream, and the raw fd of the peer */
    struct tls_setup setup;

    struct weir_tls *weir; /* weir's end: the context, and what weir_start_tls() returned */
    struct weir_group group;
    bool ended;
    int result;

    WOLFSSL_CTX *context; /* the peer's end */
    WOLFSSL *ssl;
    struct bytes in, out; /* received; written by wolfSSL and not yet sent */
    size_t given;         /* of `in`, to wolfSSL already */
    bool fin;             /* weir's end has ended */
    bool established;
    int error; /* wolfSSL's, which ended the peer */

    /* Called before each flight of the peer's handshake is sent: it may change `out`. */
    void (*tamper)(struct tls_pair *tls);
    int flight; /* 0: the first */
    const void *argument;
    bool impatient; /* in the handshake the peer ends its direction after 20 ms without news */

    uint64_t sequence, crafted; /* wolfSSL's number of the next record, and how many came since */
};

/* All of it: both contexts, the stream, the handshake, which must succeed; and an orderly end from
 * weir's side, before which no data may come. */
void tls_pair_open(struct tls_pair *tls, const struct tls_setup *setup);
void tls_pair_close(struct tls_pair *tls);

/* The same in steps. Between tls_pair_prepare() and tls_pair_free() the ends may be made by
 * tls_pair_connect() and ended many times: in order by tls_pair_finish(), or by
 * tls_pair_disconnect(), where the peer ends its direction as TCP does, and weir_wait_closed() must
 * return `error`. */
void tls_pair_prepare(struct tls_pair *tls, const struct tls_setup *setup);
void tls_pair_connect(struct tls_pair *tls);
void tls_pair_finish(struct tls_pair *tls);
void tls_pair_disconnect(struct tls_pair *tls, int error);
void tls_pair_free(struct tls_pair *tls);

/* tls_pair_prepare() and tls_pair_connect(): both ends, still in plain text. */
void tls_pair_open_plain(struct tls_pair *tls, const struct tls_setup *setup);

/* Something is said both ways, over TLS. */
void tls_pair_expect_talk(struct tls_pair *tls);

/* tls_pair_disconnect() and tls_pair_free(). */
void tls_pair_end(struct tls_pair *tls, int error);

/* The handshake, until weir's end has a result (which is returned) and the peer has, too. */
int tls_pair_handshake(struct tls_pair *tls);

/* The halves of it: weir_start_tls() in a task, and its result, waiting; one step of the peer's,
 * which leaves in `out` what there is to be sent. False once it has ended, well or not. */
void tls_pair_start(struct tls_pair *tls);
int tls_pair_result(struct tls_pair *tls);
bool tls_pair_negotiate(struct tls_pair *tls);

/* ---- What the peer does -----------------------------------------------------------------------*/

/* Sends `out`, or bytes of its own, and waits until weir's end has received them (or 20 ms). */
void tls_peer_send(struct tls_pair *tls);
void tls_peer_send_bytes(struct tls_pair *tls, const void *data, size_t size);

/* Takes in what weir's end has sent, without waiting. */
void tls_peer_receive(struct tls_pair *tls);

/* As feed() and peer_read(), over TLS. tls_peer_feed_end() sends close_notify. */
void tls_peer_feed(struct tls_pair *tls, const char *text);
void tls_peer_feed_bytes(struct tls_pair *tls, const void *data, size_t size);
void tls_peer_feed_end(struct tls_pair *tls);
void tls_peer_read(struct tls_pair *tls, void *buffer, size_t size);

/* What comes next from weir's end: this text; close_notify; a fatal alert and its end; its end
 * without one. Data before an alert is passed over. */
void tls_peer_expect(struct tls_pair *tls, const char *text);
void tls_peer_expect_end(struct tls_pair *tls);
#define tls_peer_expect_alert(tls, alert) tls_peer_expect_alert_at(__FILE__, __LINE__, tls, alert)
void tls_peer_expect_alert_at(const char *file, int line, struct tls_pair *tls, int alert);
void tls_peer_expect_no_alert(struct tls_pair *tls);

/* The same of what came in plain text, as before there are keys. */
enum { NO_ALERT = -1, ANY_ALERT = -2 };
void tls_peer_expect_plain_alert(struct tls_pair *tls, int alert);

/* Appends to `out` a record protected with the peer's keys, of any type and content, with `padding`
 * zeros (TLS 1.3). wolfSSL does not know of it: from then on nothing but crafted records and
 * tls_peer_feed..() may be sent. */
void tls_peer_craft(struct tls_pair *tls, int type, const void *data, size_t size, size_t padding);

#endif
