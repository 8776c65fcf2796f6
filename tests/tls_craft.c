/* Records that no peer would send, protected as the peer's would be. See tls_peer.h. */
#include <stdlib.h>

#include "tls_peer.h"

#include <wolfssl/wolfcrypt/aes.h>

enum { TAG = 16, SALT = 4, EXPLICIT = 8, NONCE = SALT + EXPLICIT };

static void number_write(unsigned char to[8], uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        to[i] = (unsigned char)number;
}

static uint64_t next_sequence(struct tls_pair *tls)
{
    word64 now;
    wolfSSL_GetSequenceNumber(tls->ssl, &now);
    if (now != tls->sequence) { /* wolfSSL has sent, or changed its key */
        tls->sequence = now;
        tls->crafted = 0;
    }
    return tls->sequence + tls->crafted++;
}

static void seal(struct tls_pair *tls, unsigned char *to, const void *plain, size_t size,
                 const unsigned char nonce[NONCE], const void *header, size_t header_size)
{
    bool client = tls->setup.role == WEIR_SERVER;
    const unsigned char *key =
        client ? wolfSSL_GetClientWriteKey(tls->ssl) : wolfSSL_GetServerWriteKey(tls->ssl);
    static Aes aes; /* large, for a task's stack */
    cr_assert(eq(int, wc_AesInit(&aes, NULL, INVALID_DEVID), 0));
    cr_assert(eq(int, wc_AesGcmSetKey(&aes, key, (word32)wolfSSL_GetKeySize(tls->ssl)), 0));
    cr_assert(eq(int,
                 wc_AesGcmEncrypt(&aes, to, plain, (word32)size, nonce, NONCE, to + size, TAG,
                                  header, (word32)header_size),
                 0));
    wc_AesFree(&aes);
}

static void craft_1_3(struct tls_pair *tls, const struct bytes *inner, const unsigned char *iv)
{
    size_t size = inner->size + TAG;
    unsigned char number[8], nonce[NONCE], *record = malloc(RECORD_HEAD + size);
    number_write(number, next_sequence(tls));
    memcpy(nonce, iv, NONCE);
    for (int i = 0; i < 8; i++)
        nonce[SALT + i] ^= number[i];
    memcpy(record, "\x17\3\3", 3);
    record[3] = (unsigned char)(size >> 8);
    record[4] = (unsigned char)size;
    seal(tls, record + RECORD_HEAD, inner->data, inner->size, nonce, record, RECORD_HEAD);
    bytes_append(&tls->out, record, RECORD_HEAD + size);
    free(record);
}

static void craft_1_2(struct tls_pair *tls, int type, const struct bytes *inner,
                      const unsigned char *salt)
{
    unsigned char nonce[NONCE], header[8 + RECORD_HEAD] = { 0 }, *body;
    size_t size = EXPLICIT + inner->size + TAG;
    number_write(header, next_sequence(tls));
    memcpy(header + 8, (unsigned char[]){ (unsigned char)type, 3, 3 }, 3);
    header[11] = (unsigned char)(inner->size >> 8);
    header[12] = (unsigned char)inner->size;
    memcpy(nonce, salt, SALT);
    number_write(nonce + SALT, ~tls->crafted); /* unlike any that wolfSSL has used */
    body = malloc(size);
    memcpy(body, nonce + SALT, EXPLICIT);
    seal(tls, body + EXPLICIT, inner->data, inner->size, nonce, header, sizeof header);
    record_append(&tls->out, type, 0x0303, body, size);
    free(body);
}

void tls_peer_craft(struct tls_pair *tls, int type, const void *data, size_t size, size_t padding)
{
    bool client = tls->setup.role == WEIR_SERVER;
    const unsigned char *iv =
        client ? wolfSSL_GetClientWriteIV(tls->ssl) : wolfSSL_GetServerWriteIV(tls->ssl);
    struct bytes inner = { 0 };
    bytes_append(&inner, data, size);
    if (tls->setup.version == WEIR_TLS_1_2) {
        craft_1_2(tls, type, &inner, iv);
    } else {
        unsigned char *end = calloc(1, 1 + padding);
        end[0] = (unsigned char)type;
        bytes_append(&inner, end, 1 + padding);
        craft_1_3(tls, &inner, iv);
        free(end);
    }
    bytes_free(&inner);
}
