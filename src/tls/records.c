/* TLS 1.3 records with AES-GCM, sealed and opened where they lie. wolfSSL makes the keys, and
 * handles whatever is not application data; it sees those records only, so that their numbers are
 * counted here. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "tls/engine.h"

enum { BAD_RECORD_MAC = 20, OVERFLOW = 22, UNEXPECTED = 10 };
enum { NEW_SESSION_TICKET = 4, KEY_UPDATE = 24, MESSAGE_HEADER = 4 };

static struct wolf_engine *engine_of(struct engine *engine)
{
    return container_of(engine, struct wolf_engine, engine);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static void follow(struct direction *direction, const unsigned char *key, const unsigned char *iv,
                   size_t size)
{
    if (direction->key.size == size && memcmp(direction->key.raw, key, size) == 0)
        return;
    aead_set_key(&direction->key, key, size);
    memcpy(direction->iv, iv, sizeof direction->iv);
    direction->sequence = 0;
}

void records_follow(struct wolf_engine *engine)
{
    WOLFSSL *wolf = engine->wolf;
    size_t size = (size_t)wolfSSL_GetKeySize(wolf);
    const unsigned char *keys[] = { wolfSSL_GetClientWriteKey(wolf),
                                    wolfSSL_GetServerWriteKey(wolf) };
    const unsigned char *ivs[] = { wolfSSL_GetClientWriteIV(wolf), wolfSSL_GetServerWriteIV(wolf) };
    bool server = engine->context->tls.server;
    follow(&engine->sending, keys[server], ivs[server], size);
    follow(&engine->receiving, keys[!server], ivs[!server], size);
}

bool records_begin(struct wolf_engine *engine)
{
    WOLFSSL *wolf = engine->wolf;
    word64 sent, received;
    if (!engine->hardware || wolfSSL_version(wolf) != TLS1_3_VERSION ||
        strstr(engine->info.cipher, "_GCM_") == NULL)
        return false;
    /* They return 1 for the number 0. */
    if (wolfSSL_GetSequenceNumber(wolf, &sent) < 0 ||
        wolfSSL_GetPeerSequenceNumber(wolf, &received) < 0)
        return false;
    engine->sending.key.size = engine->receiving.key.size = 0;
    records_follow(engine);
    engine->sending.sequence = sent;
    engine->receiving.sequence = received;
    engine->engine.records_to_seal = LIMIT_TLS_KEY;
    return true;
}

void records_next_nonce(struct direction *direction, unsigned char *ret_nonce)
{
    uint64_t sequence = __builtin_bswap64(direction->sequence++);
    unsigned char number[sizeof sequence];
    memcpy(number, &sequence, sizeof number);
    memcpy(ret_nonce, direction->iv, AEAD_NONCE);
    for (size_t i = 0; i < sizeof number; i++)
        ret_nonce[AEAD_NONCE - sizeof number + i] ^= number[i];
}

/* ---- Sealing --------------------------------------------------------------------------------- */

static void seal(struct wolf_engine *engine, unsigned char type, const struct iovec *plain,
                 unsigned count, size_t size, unsigned char *record)
{
    struct direction *direction = &engine->sending;
    struct aead_state state;
    unsigned char nonce[AEAD_NONCE];
    size_t body = size + 1 + AEAD_TAG;
    unsigned char *to = record + RECORD_HEADER;
    record[0] = RECORD_DATA;
    record[1] = record[2] = 3;
    record[3] = (unsigned char)(body >> 8);
    record[4] = (unsigned char)body;
    records_next_nonce(direction, nonce);
    aead_begin(&direction->key, &state, nonce, record, RECORD_HEADER);
    for (unsigned i = 0; i < count; i++) {
        aead_seal(&direction->key, &state, to, plain[i].iov_base, plain[i].iov_len);
        to += plain[i].iov_len;
    }
    aead_seal(&direction->key, &state, to, &type, 1);
    aead_sealed(&direction->key, &state, to + 1);
}

void records_seal(struct engine *engine, const struct iovec *plain, unsigned count, size_t size,
                  void *record)
{
    engine->records_to_seal--;
    seal(engine_of(engine), RECORD_DATA, plain, count, size, record);
}

int records_renew(struct engine *engine)
{
    struct wolf_engine *own = engine_of(engine);
    device_enter(own);
    if (wolfSSL_update_keys(own->wolf) != WOLFSSL_SUCCESS)
        return engine_error(own, wolfSSL_get_error(own->wolf, 0));
    records_follow(own);
    engine->records_to_seal = LIMIT_TLS_KEY;
    return 0;
}

/* wolfSSL sends alerts of its own accord only: it is shown a record that does not decrypt. */
static void have_wolfssl_refuse(struct wolf_engine *engine)
{
    static const unsigned char bad[RECORD_HEADER + 64] = { RECORD_DATA, 3, 3, 0, 64 };
    unsigned char none;
    engine->input = bad;
    engine->input_size = sizeof bad;
    device_enter(engine);
    wolfSSL_read(engine->wolf, &none, 1);
}

/* Before there are keys an alert is in plain text. */
void records_refuse(struct engine *engine, unsigned alert)
{
    struct wolf_engine *own = engine_of(engine);
    unsigned char message[2] = { 2, (unsigned char)alert };
    unsigned char record[RECORD_OVERHEAD + sizeof message] = {
        RECORD_ALERT, 3, 3, 0, sizeof message, message[0], message[1]
    };
    size_t size = RECORD_HEADER + sizeof message;
    if (engine->in_place) {
        struct iovec plain = { message, sizeof message };
        seal(own, RECORD_ALERT, &plain, 1, sizeof message, record);
        size = sizeof record;
    } else if (wolfSSL_is_init_finished(own->wolf)) {
        have_wolfssl_refuse(own);
        return;
    }
    own->emit(own->user, record, size);
}

/* ---- What is not application data ------------------------------------------------------------ */

/* Whether a record of handshake messages holds only such as may come now. A change of keys must
 * end its record (RFC 8446, 5.1): one that holds hundreds would have us compute for long. */
static bool may_come(struct wolf_engine *engine, const unsigned char *messages, size_t size)
{
    size_t at = min_size(engine->unfinished, size);
    engine->unfinished -= at;
    if (size == 0)
        return false;
    while (at < size) {
        if (size - at < MESSAGE_HEADER)
            return false;
        unsigned type = messages[at];
        size_t length =
            (size_t)messages[at + 1] << 16 | (size_t)messages[at + 2] << 8 | messages[at + 3];
        bool ticket = type == NEW_SESSION_TICKET && !engine->context->tls.server;
        bool rekey = type == KEY_UPDATE && length == 1 && at + MESSAGE_HEADER + 1 == size;
        if (!ticket && !rekey)
            return false;
        at += MESSAGE_HEADER;
        engine->unfinished = length > size - at ? length - (size - at) : 0;
        at = length > size - at ? size : at + length;
    }
    return true;
}

/* wolfSSL is given the record as it came, but for its content, which is open now. */
static ssize_t control(struct wolf_engine *engine, const void *header, const struct iovec *body,
                       unsigned count, unsigned char type, size_t size)
{
    unsigned char record[RECORD_HEADER + RECORD_BODY_MOST];
    unsigned char *end = record + RECORD_HEADER;
    unsigned char none;
    memcpy(record, header, RECORD_HEADER);
    for (unsigned i = 0; i < count; i++) {
        memcpy(end, body[i].iov_base, body[i].iov_len);
        end += body[i].iov_len;
    }
    bool fits = (type == RECORD_ALERT && size == 2) ||
                (type == RECORD_HANDSHAKE && may_come(engine, record + RECORD_HEADER, size));
    if (!fits) {
        records_refuse(&engine->engine, UNEXPECTED);
        return WEIR_TLS_RECORD;
    }
    engine->input = record;
    engine->input_size = (size_t)(end - record);
    engine->input_is_open = true;
    device_enter(engine);
    int n = wolfSSL_read(engine->wolf, &none, 1);
    int error = wolfSSL_get_error(engine->wolf, n);
    engine->input_is_open = false;
    engine->input_size = 0;
    if (error == WOLFSSL_ERROR_ZERO_RETURN)
        return ENGINE_ENDED;
    if (n > 0 || error != WOLFSSL_ERROR_WANT_READ)
        return engine_error(engine, error);
    records_follow(engine);
    return 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static size_t sum(const struct iovec *body, unsigned count)
{
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += body[i].iov_len;
    return size;
}

/* Opens the first `size` bytes of the body where they lie, and compares what follows with the tag:
 * in a time that does not tell where they differ. */
static bool open_pieces(struct direction *direction, const void *header, const struct iovec *body,
                        unsigned count, size_t size)
{
    struct aead_state state;
    unsigned char nonce[AEAD_NONCE], tag[AEAD_TAG], differences = 0;
    size_t tag_at = 0;
    records_next_nonce(direction, nonce);
    aead_begin(&direction->key, &state, nonce, header, RECORD_HEADER);
    size_t left = size;
    for (unsigned i = 0; i < count && left > 0; i++) {
        size_t part = min_size(left, body[i].iov_len);
        aead_open(&direction->key, &state, body[i].iov_base, body[i].iov_base, part);
        left -= part;
    }
    aead_opened(&direction->key, &state, tag);
    for (unsigned i = 0; i < count; i++) {
        const unsigned char *bytes = body[i].iov_base;
        size_t skip = min_size(size, body[i].iov_len);
        size -= skip;
        for (size_t at = skip; at < body[i].iov_len; at++)
            differences |= bytes[at] ^ tag[tag_at++];
    }
    return differences == 0;
}

/* A record may be padded with zeros: the size of what is before them and of its type, which is the
 * last byte that is none. Type 0: there is nothing else. */
static size_t strip(const struct iovec *body, unsigned count, size_t size, unsigned char *ret_type)
{
    size_t before = size;
    *ret_type = 0;
    unsigned i = count;
    size_t start = sum(body, count);
    while (i-- > 0) {
        const unsigned char *bytes = body[i].iov_base;
        start -= body[i].iov_len;
        while (before > start) {
            *ret_type = bytes[--before - start];
            if (*ret_type != 0)
                return before;
        }
    }
    return 0;
}

ssize_t records_unseal(struct engine *engine, const void *header, const struct iovec *body,
                       unsigned count)
{
    struct wolf_engine *own = engine_of(engine);
    size_t size = sum(body, count);
    unsigned char type;
    if (size < AEAD_TAG + 1 ||
        !open_pieces(&own->receiving, header, body, count, size - AEAD_TAG)) {
        records_refuse(engine, BAD_RECORD_MAC);
        return WEIR_TLS_RECORD;
    }
    bool fits = size - AEAD_TAG <= RECORD_PLAIN_MOST + 1; /* with what pads it, and the type */
    size = strip(body, count, size - AEAD_TAG, &type);
    bool interrupts = own->unfinished > 0 && type != RECORD_HANDSHAKE;
    if (!fits || type == 0 || interrupts) {
        records_refuse(engine, fits ? UNEXPECTED : OVERFLOW);
        return WEIR_TLS_RECORD;
    }
    if (likely(type == RECORD_DATA))
        return (ssize_t)size;
    return control(own, header, body, count, type, size);
}
