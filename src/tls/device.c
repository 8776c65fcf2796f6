/* What wolfSSL asks for while it runs: the peer's bytes, AES-GCM, and chance. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "tls/engine.h"

#include <wolfssl/wolfcrypt/cryptocb.h>
#include <wolfssl/wolfcrypt/ecc.h>

enum { DEVICE = 0x77656972 }; /* "weir": wolfSSL's devices are numbers */

static _Thread_local struct wolf_engine *current;
static pthread_key_t thread_end;

struct wolf_engine *device_engine(void)
{
    return current;
}

/* wolfSSL keeps tables of points for each thread, which has to free them. */
static void free_tables(void *unused)
{
    (void)unused;
    wc_ecc_fp_free();
}

void device_enter(struct wolf_engine *engine)
{
    if (current == NULL)
        pthread_setspecific(thread_end, &current);
    current = engine;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static int take_input(WOLFSSL *wolf, char *buffer, int size, void *argument)
{
    struct wolf_engine *engine = current;
    (void)wolf, (void)argument;
    if (engine->input_size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t part = (size_t)size < engine->input_size ? (size_t)size : engine->input_size;
    memcpy(buffer, engine->input, part);
    engine->input += part;
    engine->input_size -= part;
    return (int)part;
}

/* Takes all, always: wolfSSL's ways of trying again lose or double what is sent. */
static int put_output(WOLFSSL *wolf, char *buffer, int size, void *argument)
{
    (void)wolf, (void)argument;
    if (current->no_protocol)
        return size;
    current->emit(current->user, buffer, (size_t)size);
    return size;
}

/* ---- AES-GCM --------------------------------------------------------------------------------- */

static bool is_ours(const Aes *aes, unsigned nonce_size, unsigned tag_size)
{
    return current != NULL && current->hardware && nonce_size == AEAD_NONCE &&
           tag_size == AEAD_TAG && (aes->keylen == 16 || aes->keylen == 32);
}

/* The key that wolfSSL has set: known from the last record, as a rule. */
static void use_key(struct direction *direction, const Aes *aes)
{
    const struct aead_key *key = &direction->key;
    if (key->size == (size_t)aes->keylen && memcmp(key->raw, aes->devKey, key->size) == 0)
        return;
    aead_set_key(&direction->key, aes->devKey, (size_t)aes->keylen);
}

/* In place, records are counted by us: wolfSSL sees only some of them. */
static int seal(const wc_CryptoInfo *info)
{
    struct direction *direction = &current->sending;
    struct aead_state state;
    unsigned char nonce[AEAD_NONCE];
    memcpy(nonce, info->cipher.aesgcm_enc.iv, sizeof nonce);
    if (current->engine.in_place) {
        records_follow(current);
        records_next_nonce(direction, nonce);
    }
    use_key(direction, info->cipher.aesgcm_enc.aes);
    aead_begin(&direction->key, &state, nonce, info->cipher.aesgcm_enc.authIn,
               info->cipher.aesgcm_enc.authInSz);
    aead_seal(&direction->key, &state, info->cipher.aesgcm_enc.out, info->cipher.aesgcm_enc.in,
              info->cipher.aesgcm_enc.sz);
    aead_sealed(&direction->key, &state, info->cipher.aesgcm_enc.authTag);
    return 0;
}

static int open_record(const wc_CryptoInfo *info)
{
    struct direction *direction = &current->receiving;
    struct aead_state state;
    unsigned char tag[AEAD_TAG];
    if (current->input_is_open) {
        memmove(info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.in,
                info->cipher.aesgcm_dec.sz);
        return 0;
    }
    use_key(direction, info->cipher.aesgcm_dec.aes);
    aead_begin(&direction->key, &state, info->cipher.aesgcm_dec.iv, info->cipher.aesgcm_dec.authIn,
               info->cipher.aesgcm_dec.authInSz);
    aead_open(&direction->key, &state, info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.in,
              info->cipher.aesgcm_dec.sz);
    aead_opened(&direction->key, &state, tag);
    unsigned char differences = 0; /* in a time that does not tell where */
    for (size_t i = 0; i < sizeof tag; i++)
        differences |= tag[i] ^ info->cipher.aesgcm_dec.authTag[i];
    return differences == 0 ? 0 : AES_GCM_AUTH_E;
}

/* ---- The device ------------------------------------------------------------------------------ */

/* Else wolfSSL opens /dev/urandom for each connection. */
static int take_seed(const wc_CryptoInfo *info)
{
    unsigned char *to = info->seed.seed;
    for (size_t left = info->seed.sz; left > 0;) {
        ssize_t n = getrandom(to, left, 0);
        if (n < 0 && errno != EINTR)
            return CRYPTOCB_UNAVAILABLE;
        to += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int run_device(int id, wc_CryptoInfo *info, void *argument)
{
    (void)id, (void)argument;
    if (info->algo_type == WC_ALGO_TYPE_SEED)
        return take_seed(info);
    if (info->algo_type != WC_ALGO_TYPE_CIPHER || info->cipher.type != WC_CIPHER_AES_GCM)
        return CRYPTOCB_UNAVAILABLE;
    if (info->cipher.enc)
        return is_ours(info->cipher.aesgcm_enc.aes, info->cipher.aesgcm_enc.ivSz,
                       info->cipher.aesgcm_enc.authTagSz)
                   ? seal(info)
                   : CRYPTOCB_UNAVAILABLE;
    return is_ours(info->cipher.aesgcm_dec.aes, info->cipher.aesgcm_dec.ivSz,
                   info->cipher.aesgcm_dec.authTagSz)
               ? open_record(info)
               : CRYPTOCB_UNAVAILABLE;
}

static bool registered;

static void start(void)
{
    registered = wolfSSL_Init() == WOLFSSL_SUCCESS &&
                 wc_CryptoCb_RegisterDevice(DEVICE, run_device, NULL) == 0 &&
                 pthread_key_create(&thread_end, free_tables) == 0;
}

int device_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return registered ? DEVICE : -1;
}

void device_set_callbacks(WOLFSSL_CTX *wolf, const struct context *context)
{
    wolfSSL_CTX_SetDevId(wolf, DEVICE);
    wolfSSL_CTX_SetIORecv(wolf, take_input);
    wolfSSL_CTX_SetIOSend(wolf, put_output);
    if (!context->tls.server)
        return;
    wolfSSL_CTX_set_servername_callback(wolf, peer_choose_certificate);
    if (context->options.alpn != NULL)
        wolfSSL_CTX_set_alpn_select_cb(wolf, peer_choose_protocol, NULL);
}
