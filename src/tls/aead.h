/* AES-GCM by the processor's own instructions: through libipsec-mb, if that is installed, the
 * processor has them, and the answers to known questions are right. wolfSSL as Debian builds it
 * computes AES with tables, some fifty times slower.
 *
 * A message is begun, goes through piece by piece (in place where `out` is `in`), and ends with its
 * tag. aead_ipsec_mb.c implements this, or, where its header was not there to build with,
 * aead_none.c. */
#ifndef WEIR_TLS_AEAD_H
#define WEIR_TLS_AEAD_H

#include <stdbool.h>
#include <stddef.h>

enum { AEAD_KEY_MOST = 32, AEAD_NONCE = 12, AEAD_TAG = 16 };

struct aead_key {
    unsigned char schedule[1024] __attribute__((aligned(64)));
    unsigned char raw[AEAD_KEY_MOST];
    size_t size; /* 16 or 32 */
};

struct aead_state {
    unsigned char bytes[128] __attribute__((aligned(64)));
};

/* Looks once; thereafter, of any thread, the same answer. */
bool aead_is_available(void);

/* These only where it is. */
void aead_set_key(struct aead_key *key, const void *raw, size_t size);
void aead_begin(const struct aead_key *key, struct aead_state *state, const void *nonce,
                const void *associated, size_t size);
void aead_seal(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size);
void aead_open(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size);
void aead_sealed(const struct aead_key *key, struct aead_state *state, void *ret_tag);
void aead_opened(const struct aead_key *key, struct aead_state *state, void *ret_tag);

#endif
