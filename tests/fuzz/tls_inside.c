/* See tls_inside.h. */
#include "tls_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "fuzz.h"
#include "tls/engine.h"

void inside_age(struct weir_tls *client)
{
    struct context *context = container_of(client, struct context, tls);
    struct credential *credential = &context->credentials->each[0];
    WOLFSSL_CTX *wolf = wolfSSL_CTX_new(wolfTLSv1_2_client_method());
    const char *ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305";
    fuzz_check(wolfSSL_CTX_set_cipher_list(wolf, ciphers) == WOLFSSL_SUCCESS);
    fuzz_check(wolfSSL_CTX_load_verify_locations(wolf, context->options.ca_file, NULL) ==
               WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_PEER, peer_verify);
    wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
    device_set_callbacks(wolf, context);
    wolfSSL_CTX_free(credential->wolf);
    credential->wolf = wolf;
}

void inside_forget(struct weir_tls *client)
{
    sessions_free(&container_of(client, struct context, tls)->sessions);
}

uint8_t *inside_seal(struct engine *engine, unsigned type, const void *data, size_t size,
                     size_t padding, size_t *ret_size)
{
    struct wolf_engine *own = container_of(engine, struct wolf_engine, engine);
    if (own->wolf == NULL || !engine->in_place)
        return NULL;
    struct aead_state state;
    unsigned char nonce[AEAD_NONCE];
    size_t inner = size + 1 + padding, body = inner + AEAD_TAG;
    uint8_t *record = calloc(1, RECORD_HEADER + body), *at = record + RECORD_HEADER;
    memcpy(record, "\x17\3\3", 3);
    record[3] = (uint8_t)(body >> 8);
    record[4] = (uint8_t)body;
    memcpy(at, data, size);
    at[size] = (uint8_t)type;
    records_next_nonce(&own->sending, nonce);
    aead_begin(&own->sending.key, &state, nonce, record, RECORD_HEADER);
    aead_seal(&own->sending.key, &state, at, at, inner);
    aead_sealed(&own->sending.key, &state, at + inner);
    *ret_size = RECORD_HEADER + body;
    return record;
}
