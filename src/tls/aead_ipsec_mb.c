/* AES-GCM through libipsec-mb, which is looked for at run time: a program that has it is faster. */
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <string.h>

#include "tls/aead.h"

_Static_assert(sizeof(struct gcm_key_data) <= sizeof(((struct aead_key *)0)->schedule), "key");
_Static_assert(sizeof(struct gcm_context_data) <= sizeof(struct aead_state), "state");

/* The functions for this processor, of one key size. */
struct functions {
    aes_gcm_pre_t prepare;
    aes_gcm_init_t begin;
    aes_gcm_enc_dec_update_t seal, open;
    aes_gcm_enc_dec_finalize_t sealed, opened;
};

static struct functions aes128, aes256;
static bool available;

static const struct functions *functions_of(const struct aead_key *key)
{
    return key->size == 16 ? &aes128 : &aes256;
}

static const struct gcm_key_data *schedule_of(const struct aead_key *key)
{
    return (const struct gcm_key_data *)(const void *)key->schedule;
}

static struct gcm_context_data *state_of(struct aead_state *state)
{
    return (struct gcm_context_data *)(void *)state->bytes;
}

void aead_set_key(struct aead_key *key, const void *raw, size_t size)
{
    memcpy(key->raw, raw, size);
    key->size = size;
    functions_of(key)->prepare(raw, (struct gcm_key_data *)(void *)key->schedule);
}

void aead_begin(const struct aead_key *key, struct aead_state *state, const void *nonce,
                const void *associated, size_t size)
{
    functions_of(key)->begin(schedule_of(key), state_of(state), nonce, associated, size);
}

void aead_seal(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size)
{
    functions_of(key)->seal(schedule_of(key), state_of(state), out, in, size);
}

void aead_open(const struct aead_key *key, struct aead_state *state, void *out, const void *in,
               size_t size)
{
    functions_of(key)->open(schedule_of(key), state_of(state), out, in, size);
}

void aead_sealed(const struct aead_key *key, struct aead_state *state, void *ret_tag)
{
    functions_of(key)->sealed(schedule_of(key), state_of(state), ret_tag, AEAD_TAG);
}

void aead_opened(const struct aead_key *key, struct aead_state *state, void *ret_tag)
{
    functions_of(key)->opened(schedule_of(key), state_of(state), ret_tag, AEAD_TAG);
}

/* ---- Known answers: test cases 4 and 16 of the specification of GCM -------------------------- */

static const unsigned char known_key[32] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const unsigned char known_nonce[AEAD_NONCE] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                                       0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
static const unsigned char known_associated[20] = {
    0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
};
static const unsigned char known_plain[60] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};
static const unsigned char known_128[60 + AEAD_TAG] = {
    0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0, 0xd4, 0x9c,
    0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac, 0xa1, 0x2e,
    0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05,
    0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91, 0x5b, 0xc9, 0x4f, 0xbc,
    0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47,
};
static const unsigned char known_256[60 + AEAD_TAG] = {
    0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42, 0x7d,
    0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa,
    0x8c, 0xb0, 0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
    0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62, 0x76, 0xfc, 0x6e, 0xce,
    0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b,
};

/* In place, and in pieces that split a block. */
static bool answers(size_t key_size, const unsigned char *known)
{
    enum { SIZE = sizeof known_plain, SPLIT = 23 };
    static struct aead_key key;
    struct aead_state state;
    unsigned char bytes[SIZE + AEAD_TAG];
    memcpy(bytes, known_plain, SIZE);
    aead_set_key(&key, known_key, key_size);
    aead_begin(&key, &state, known_nonce, known_associated, sizeof known_associated);
    aead_seal(&key, &state, bytes, bytes, SPLIT);
    aead_seal(&key, &state, bytes + SPLIT, bytes + SPLIT, SIZE - SPLIT);
    aead_sealed(&key, &state, bytes + SIZE);
    if (memcmp(bytes, known, sizeof bytes) != 0)
        return false;
    aead_begin(&key, &state, known_nonce, known_associated, sizeof known_associated);
    aead_open(&key, &state, bytes, bytes, SPLIT);
    aead_open(&key, &state, bytes + SPLIT, bytes + SPLIT, SIZE - SPLIT);
    aead_opened(&key, &state, bytes + SIZE);
    return memcmp(bytes, known_plain, SIZE) == 0 &&
           memcmp(bytes + SIZE, known + SIZE, AEAD_TAG) == 0;
}

/* ---- Finding it ------------------------------------------------------------------------------ */

static void choose(const IMB_MGR *manager)
{
    aes128 = (struct functions){ manager->gcm128_pre,          manager->gcm128_init,
                                 manager->gcm128_enc_update,   manager->gcm128_dec_update,
                                 manager->gcm128_enc_finalize, manager->gcm128_dec_finalize };
    aes256 = (struct functions){ manager->gcm256_pre,          manager->gcm256_init,
                                 manager->gcm256_enc_update,   manager->gcm256_dec_update,
                                 manager->gcm256_enc_finalize, manager->gcm256_dec_finalize };
}

/* The layout of its manager is that of one minor version; the functions need no manager to run. */
static void look(void)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    unsigned (*version)(void) = (unsigned (*)(void))dlsym(library, "imb_get_version");
    IMB_MGR *(*allocate)(uint64_t) = (IMB_MGR * (*)(uint64_t)) dlsym(library, "alloc_mb_mgr");
    void (*release)(IMB_MGR *) = (void (*)(IMB_MGR *))dlsym(library, "free_mb_mgr");
    void (*start)(IMB_MGR *, IMB_ARCH *) =
        (void (*)(IMB_MGR *, IMB_ARCH *))dlsym(library, "init_mb_mgr_auto");
    if (version == NULL || allocate == NULL || release == NULL || start == NULL ||
        version() >> 8 != IMB_VERSION_NUM >> 8)
        return;
    IMB_MGR *manager = allocate(0);
    if (manager == NULL)
        return;
    start(manager, NULL);
    if ((manager->features & needed) == needed) {
        choose(manager);
        available = answers(16, known_128) && answers(32, known_256);
    }
    release(manager);
}

bool aead_is_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    return available;
}
