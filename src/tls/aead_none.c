/* Built without libipsec-mb: AES is left to wolfSSL. */
#include <assert.h>

#include "tls/aead.h"

bool aead_is_available(void)
{
    return false;
}

void aead_set_key(struct aead_key *key, const void *raw, size_t size)
{
    (void)key, (void)raw, (void)size;
    assert(!"no AEAD");
}

void aead_begin(const struct aead_key *key, struct aead_state *state, const void *nonce,
                const void *associated, size_t size)
{
    (void)key, (void)state, (void)nonce, (void)associated, (void)size;
    assert(!"no AEAD");
}

void aead_seal(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size)
{
    (void)key, (void)state, (void)out, (void)in, (void)size;
    assert(!"no AEAD");
}

void aead_open(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size)
{
    (void)key, (void)state, (void)out, (void)in, (void)size;
    assert(!"no AEAD");
}

void aead_sealed(const struct aead_key *key, struct aead_state *state, void *ret_tag)
{
    (void)key, (void)state, (void)ret_tag;
    assert(!"no AEAD");
}

void aead_opened(const struct aead_key *key, struct aead_state *state, void *ret_tag)
{
    (void)key, (void)state, (void)ret_tag;
    assert(!"no AEAD");
}
