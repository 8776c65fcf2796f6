/* Reading certificates, keys and authorities into what wolfSSL makes connections of. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls/context.h"
#include "tls/engine.h"

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

/* Where Debian and most others keep the authorities in one file. */
static const char system_store[] = "/etc/ssl/certs/ca-certificates.crt";

enum { MIN_RSA_BITS = 2048, STACK = 512 * 1024, CERTIFICATE_MOST = 32 * 1024 };

/* Without the processor's AES, ChaCha20 is twice as fast. Which comes first counts. */
#define AES_1_3 "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384"
#define CHACHA_1_3 "TLS13-CHACHA20-POLY1305-SHA256"
#define AES_1_2                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define CHACHA_1_2 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

static int check_readable(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* ---- Whom to trust --------------------------------------------------------------------------- */

/* A bundle may hold some that have expired: those are left out; but one must be good. */
static int trust_file(WOLFSSL_CTX *wolf, const char *path)
{
    int rc = check_readable(path);
    if (rc < 0)
        return rc;
    rc = wolfSSL_CTX_load_verify_locations_ex(wolf, path, NULL, WOLFSSL_LOAD_FLAG_NONE);
    bool dated = rc == ASN_BEFORE_DATE_E || rc == ASN_AFTER_DATE_E;
    if (dated)
        rc = wolfSSL_CTX_load_verify_locations_ex(wolf, path, NULL, WOLFSSL_LOAD_FLAG_IGNORE_ERR);
    if (rc == WOLFSSL_SUCCESS)
        return 0;
    return rc == MEMORY_E ? -ENOMEM : dated ? WEIR_TLS_EXPIRED : WEIR_TLS_FILE;
}

static int trust_system(WOLFSSL_CTX *wolf)
{
    const char *named = secure_getenv("SSL_CERT_FILE");
    if (named != NULL && named[0] != '\0')
        return trust_file(wolf, named);
    int rc = wolfSSL_CTX_load_verify_locations_ex(wolf, system_store, NULL,
                                                  WOLFSSL_LOAD_FLAG_IGNORE_ERR);
    if (rc != WOLFSSL_SUCCESS)
        rc = wolfSSL_CTX_load_system_CA_certs(wolf);
    return rc == WOLFSSL_SUCCESS ? 0 : WEIR_TLS_FILE;
}

static int set_trust(WOLFSSL_CTX *wolf, const struct context *context)
{
    const struct weir_tls_options *options = &context->options;
    int mode = WOLFSSL_VERIFY_PEER;
    if (options->insecure_skip_verification)
        mode = WOLFSSL_VERIFY_NONE;
    else if (options->require_client_certificate)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    else if (context->tls.server && !options->request_client_certificate)
        mode = WOLFSSL_VERIFY_NONE;
    wolfSSL_CTX_set_verify(wolf, mode, mode == WOLFSSL_VERIFY_NONE ? NULL : peer_verify);
    if (mode == WOLFSSL_VERIFY_NONE)
        return 0;
    return options->ca_file != NULL ? trust_file(wolf, options->ca_file) : trust_system(wolf);
}

/* ---- Our own --------------------------------------------------------------------------------- */

/* wolfSSL's own check of a key on an elliptic curve compares no more than its kind. What a
 * certificate's key ends with is its point. */
static bool is_point_of(ecc_key *key, WOLFSSL_X509 *certificate)
{
    unsigned char point[2 * MAX_ECC_BYTES + 1], named[sizeof point + 128];
    unsigned size = sizeof point;
    int named_size = sizeof named;
    return wc_ecc_make_pub(key, NULL) == 0 && wc_ecc_export_x963(key, point, &size) == 0 &&
           wolfSSL_X509_get_pubkey_buffer(certificate, named, &named_size) == WOLFSSL_SUCCESS &&
           (unsigned)named_size >= size && memcmp(named + named_size - size, point, size) == 0;
}

static bool belong_together(WOLFSSL_CTX *wolf)
{
    const WOLFSSL_EVP_PKEY *private = wolfSSL_CTX_get0_privatekey(wolf); /* NULL: Ed25519 */
    WOLFSSL_X509 *certificate = wolfSSL_CTX_get0_certificate(wolf);
    ecc_key key;
    unsigned at = 0;
    if (wolfSSL_CTX_check_private_key(wolf) != WOLFSSL_SUCCESS)
        return false;
    if (private == NULL || certificate == NULL || wc_ecc_init(&key) != 0)
        return true;
    bool elliptic = wc_EccPrivateKeyDecode((const unsigned char *)private->pkey.ptr, &at, &key,
                                           (unsigned)private->pkey_sz) == 0;
    bool good = !elliptic || is_point_of(&key, certificate);
    wc_ecc_free(&key);
    return good;
}

static int use_certificate(WOLFSSL_CTX *wolf, const struct weir_tls_certificate *files)
{
    const char *key = files->key_file != NULL ? files->key_file : files->certificate_file;
    int rc = check_readable(files->certificate_file);
    if (rc == 0)
        rc = check_readable(key);
    if (rc < 0)
        return rc;
    bool good =
        wolfSSL_CTX_use_certificate_chain_file(wolf, files->certificate_file) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_use_PrivateKey_file(wolf, key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
        belong_together(wolf);
    return good ? 0 : WEIR_TLS_FILE;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static bool set_protocol(WOLFSSL_CTX *wolf, const struct context *context)
{
    const struct weir_tls_options *options = &context->options;
    int version = options->minimum_version == WEIR_TLS_1_3 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    const char *ciphers = context->hardware ? AES_1_3 ":" CHACHA_1_3 ":" AES_1_2 ":" CHACHA_1_2
                                            : CHACHA_1_3 ":" AES_1_3 ":" CHACHA_1_2 ":" AES_1_2;
    int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1 };
    return wolfSSL_CTX_SetMinVersion(wolf, version) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(wolf, ciphers) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(wolf, groups, 2) == WOLFSSL_SUCCESS && /* of TLS 1.3 only */
           wolfSSL_CTX_set1_curves_list(wolf, "X25519:P-256") == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_SetMinRsaKey_Sz(wolf, MIN_RSA_BITS) == WOLFSSL_SUCCESS;
}

/* A resumed session does not show the client's certificate again, so whoever asks for one does not
 * resume. wolfSSL's own cache of sessions is one lock for all threads, and is off: tickets do. */
static bool set_sessions(WOLFSSL_CTX *wolf, const struct context *context)
{
    const struct weir_tls_options *options = &context->options;
    bool none = options->no_session_tickets || options->request_client_certificate ||
                options->require_client_certificate;
    wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
    if (none && context->tls.server)
        return wolfSSL_CTX_NoTicketTLSv12(wolf) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_no_ticket_TLSv13(wolf) == 0;
    if (none || context->tls.server)
        return true;
    wolfSSL_CTX_sess_set_new_cb(wolf, peer_new_session);
    return true;
}

static int set_up(WOLFSSL_CTX *wolf, const struct context *context,
                  const struct weir_tls_certificate *files)
{
    if (!set_protocol(wolf, context) || !set_sessions(wolf, context))
        return -ENOMEM;
    device_set_callbacks(wolf, context);
    int rc = set_trust(wolf, context);
    if (rc == 0 && files->certificate_file != NULL)
        rc = use_certificate(wolf, files);
    return rc;
}

/* To look up its names, which wolfSSL's own context does not keep for every kind of key. */
static int keep_certificate(struct credential *credential, const char *file)
{
    unsigned char *der = malloc(CERTIFICATE_MOST);
    if (der == NULL)
        return -ENOMEM;
    int size = wc_PemCertToDer(file, der, CERTIFICATE_MOST);
    if (size <= 0) {
        free(der);
        return WEIR_TLS_FILE;
    }
    unsigned char *shrunk = realloc(der, (size_t)size);
    credential->certificate = shrunk != NULL ? shrunk : der;
    credential->certificate_size = (size_t)size;
    return 0;
}

static int load_one(struct credential *credential, const struct context *context,
                    const struct weir_tls_certificate *files)
{
    credential->wolf =
        wolfSSL_CTX_new(context->tls.server ? wolfTLS_server_method() : wolfTLS_client_method());
    if (credential->wolf == NULL)
        return -ENOMEM;
    int rc = set_up(credential->wolf, context, files);
    if (rc == 0 && context->tls.server)
        rc = keep_certificate(credential, files->certificate_file);
    return rc;
}

/* wolfSSL cannot change to or from a certificate of Ed25519 within a handshake. */
static bool can_choose_among(const struct credentials *credentials)
{
    for (unsigned i = 0; i < credentials->count; i++) {
        if (wolfSSL_CTX_get0_privatekey(credentials->each[i].wolf) == NULL)
            return false;
    }
    return true;
}

/* Tickets of one certificate are good for the others: they are one server's. */
static int share_ticket_keys(struct credentials *credentials)
{
    unsigned char keys[WOLFSSL_TICKET_KEYS_SZ];
    long size = wolfSSL_CTX_get_tlsext_ticket_keys(credentials->each[0].wolf, keys, sizeof keys);
    if (size != WOLFSSL_SUCCESS)
        return -EIO;
    for (unsigned i = 1; i < credentials->count; i++)
        wolfSSL_CTX_set_tlsext_ticket_keys(credentials->each[i].wolf, keys, sizeof keys);
    explicit_bzero(keys, sizeof keys);
    return 0;
}

static int load(const struct context *context, struct credentials **ret_credentials)
{
    const struct weir_tls_options *options = &context->options;
    const struct weir_tls_certificate *more = options->more_certificates;
    unsigned count = 1;
    while (more != NULL && more[count - 1].certificate_file != NULL)
        count++;
    struct credentials *credentials =
        calloc(1, sizeof *credentials + count * sizeof credentials->each[0]);
    if (credentials == NULL)
        return -ENOMEM;
    credentials->references = 1;
    credentials->count = count;
    const struct weir_tls_certificate first = { options->certificate_file, options->key_file };
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = load_one(&credentials->each[i], context, i == 0 ? &first : &more[i - 1]);
    if (rc == 0 && count > 1)
        rc = can_choose_among(credentials) ? share_ticket_keys(credentials) : -EINVAL;
    if (rc < 0)
        credentials_drop(credentials);
    else
        *ret_credentials = credentials;
    return rc;
}

/* ---- On a thread of its own ------------------------------------------------------------------ */

struct job {
    const struct context *context;
    struct credentials *credentials;
    int result;
};

static void *run(void *argument)
{
    struct job *job = argument;
    job->result = load(job->context, &job->credentials);
    wc_ecc_fp_free();
    return NULL;
}

int credentials_load(const struct context *context, struct credentials **ret_credentials)
{
    struct job job = { .context = context };
    pthread_t thread;
    pthread_attr_t attributes;
    if (device_id() < 0)
        return -ENOMEM;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int rc = pthread_create(&thread, &attributes, run, &job);
    pthread_attr_destroy(&attributes);
    if (rc != 0)
        return -rc;
    pthread_join(thread, NULL);
    if (job.result == 0)
        *ret_credentials = job.credentials;
    return job.result;
}
