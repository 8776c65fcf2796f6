#include "tls/engine.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

/* Alerts (RFC 8446, 6; RFC 7301). */
enum {
    HANDSHAKE_FAILURE = 40,
    CERTIFICATE_UNKNOWN = 46,
    ILLEGAL_PARAMETER = 47,
    NO_APPLICATION_PROTOCOL = 120
};

static struct wolf_engine *engine_of(struct engine *engine)
{
    return container_of(engine, struct wolf_engine, engine);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static int certificate_error(int error)
{
    switch (error) {
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
        return WEIR_TLS_UNTRUSTED;
    case ASN_BEFORE_DATE_E:
    case ASN_AFTER_DATE_E:
        return WEIR_TLS_EXPIRED;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
        return WEIR_TLS_HOSTNAME;
    case VERIFY_CERT_ERROR:
    case ASN_NAME_INVALID_E:
    case ASN_PATHLEN_SIZE_E:
    case ASN_PATHLEN_INV_E:
    case NO_PEER_CERT:
    case NO_PEER_KEY:
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E:
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
    case KEYUSE_ENCIPHER_E:
    case CRL_CERT_REVOKED:
    case MAX_CHAIN_ERROR:
        return WEIR_TLS_CERTIFICATE;
    }
    bool parsing = error <= ASN_PARSE_E && error >= ASN_NO_PEM_HEADER;
    return parsing ? WEIR_TLS_CERTIFICATE : 0;
}

/* That error may also be wolfSSL's own. */
static bool has_received_alert(const struct wolf_engine *engine)
{
    WOLFSSL_ALERT_HISTORY history;
    return wolfSSL_get_alert_history(engine->wolf, &history) == WOLFSSL_SUCCESS &&
           history.last_rx.level == alert_fatal;
}

int engine_error(const struct wolf_engine *engine, int error)
{
    int certificate = certificate_error(error);
    if (engine->wrong_name)
        return WEIR_TLS_HOSTNAME;
    if (certificate != 0)
        return certificate;
    if (error == FATAL_ERROR && has_received_alert(engine))
        return WEIR_TLS_ALERT;
    switch (error) {
    case MEMORY_E:
    case MEMORY_ERROR:
        return -ENOMEM;
    case AES_GCM_AUTH_E:
    case MAC_CMP_FAILED_E:
    case DECRYPT_ERROR:
    case VERIFY_MAC_ERROR:
        return WEIR_TLS_RECORD;
    }
    return engine->info.version != NULL ? WEIR_TLS_RECORD : WEIR_TLS_HANDSHAKE;
}

/* The same, and the peer is told, where wolfSSL has not done so. */
static int refuse(struct wolf_engine *engine, int wolf_error)
{
    WOLFSSL_ALERT_HISTORY history;
    int error = engine_error(engine, wolf_error);
    if (error != WEIR_TLS_ALERT &&
        wolfSSL_get_alert_history(engine->wolf, &history) == WOLFSSL_SUCCESS &&
        history.last_tx.level != alert_fatal)
        records_refuse(&engine->engine, HANDSHAKE_FAILURE);
    return error;
}

/* ---- Calls of wolfSSL ------------------------------------------------------------------------ */

static void begin_input(struct wolf_engine *engine, const void *record, size_t size)
{
    device_enter(engine);
    engine->input = record;
    engine->input_size = size;
}

/* wolfSSL keeps room for the peer's certificates with every connection, 37 KB of it, and a server's
 * has none: what are whole pages of zeros goes back to the system, and reads as zeros again. */
static void give_back_zeros(const void *block)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)block + malloc_usable_size((void *)(uintptr_t)block)) & ~(page - 1);
    uintptr_t first = 0;
    for (uintptr_t at = ((uintptr_t)block + page - 1) & ~(page - 1); at <= end; at += page) {
        const char *bytes = (const char *)at;
        bool zero = at < end && bytes[0] == 0 && memcmp(bytes, bytes + 1, page - 1) == 0;
        if (zero && first == 0)
            first = at;
        if (!zero && first != 0)
            madvise((void *)first, at - first, MADV_DONTNEED);
        if (!zero)
            first = 0;
    }
}

/* wolfSSL, as Debian builds it, goes along with a TLS 1.2 server that chooses another suite. */
static bool is_offered(int suite)
{
    static const int offered[] = { 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c,
                                   0xc02f, 0xc030, 0xcca8, 0xcca9 };
    for (size_t i = 0; i < sizeof offered / sizeof *offered; i++) {
        if (offered[i] == suite)
            return true;
    }
    return false;
}

/* No peer goes unchecked, by whatever way wolfSSL came to be content with it. */
static int check_peer(const struct wolf_engine *engine)
{
    const struct context *context = engine->context;
    const struct weir_tls_options *options = &context->options;
    bool due = context->tls.server ? options->require_client_certificate
                                   : !options->insecure_skip_verification;
    if (engine->engine.resumed && context->tls.server)
        return due ? WEIR_TLS_CERTIFICATE : 0;
    if (engine->engine.resumed) /* sessions are kept of peers that were checked */
        return engine->offered && engine->engine.can_finish ? 0 : WEIR_TLS_CERTIFICATE;
    if (due)
        return engine->verified ? 0 : WEIR_TLS_CERTIFICATE;
    return !context->tls.server && engine->info.certificate.pem == NULL ? WEIR_TLS_CERTIFICATE : 0;
}

static int handshaken(struct wolf_engine *engine)
{
    WOLFSSL *wolf = engine->wolf;
    engine->engine.resumed = wolfSSL_session_reused(wolf);
    engine->engine.can_finish = wolfSSL_version(wolf) == TLS1_3_VERSION;
    peer_keep_info(engine);
    int rc = is_offered(wolfSSL_get_current_cipher_suite(wolf)) ? check_peer(engine)
                                                                : WEIR_TLS_HANDSHAKE;
    if (rc < 0) {
        records_refuse(&engine->engine, CERTIFICATE_UNKNOWN);
        return rc;
    }
    engine->engine.in_place = records_begin(engine);
    engine->path =
        engine->hardware && strstr(engine->info.cipher, "_GCM_") ? "callback" : "software";
    return 1;
}

/* The suite that a server's hello names, where the record holds one; else one that was offered. */
static int suite_of_hello(const unsigned char *record, size_t size)
{
    enum { MESSAGE = RECORD_HEADER, SESSION = MESSAGE + 4 + 2 + 32, SERVER_HELLO = 2 };
    size_t at = SESSION + 1u + (size > SESSION ? record[SESSION] : 0);
    bool hello = size >= at + 2 && record[0] == RECORD_HANDSHAKE && record[MESSAGE] == SERVER_HELLO;
    return hello ? record[at] << 8 | record[at + 1] : 0x1301;
}

static int op_handshake(struct engine *base, const void *record, size_t size)
{
    struct wolf_engine *engine = engine_of(base);
    if (!engine->context->tls.server && !is_offered(suite_of_hello(record, size))) {
        records_refuse(base, ILLEGAL_PARAMETER);
        return WEIR_TLS_HANDSHAKE;
    }
    begin_input(engine, record, size);
    int rc =
        engine->context->tls.server ? wolfSSL_accept(engine->wolf) : wolfSSL_connect(engine->wolf);
    if (engine->no_protocol) {
        records_refuse(base, NO_APPLICATION_PROTOCOL);
        return WEIR_TLS_HANDSHAKE;
    }
    if (rc == WOLFSSL_SUCCESS)
        return handshaken(engine);
    int error = wolfSSL_get_error(engine->wolf, rc);
    return error == WOLFSSL_ERROR_WANT_READ ? 0 : refuse(engine, error);
}

static ssize_t op_read(struct engine *base, const void *record, size_t size, void *plain)
{
    struct wolf_engine *engine = engine_of(base);
    begin_input(engine, record, size);
    int n = wolfSSL_read(engine->wolf, plain, (int)size);
    if (n > 0)
        return n;
    int error = wolfSSL_get_error(engine->wolf, n);
    if (error == WOLFSSL_ERROR_ZERO_RETURN)
        return ENGINE_ENDED;
    return error == WOLFSSL_ERROR_WANT_READ ? 0 : engine_error(engine, error);
}

static int op_write(struct engine *base, const void *plain, size_t size)
{
    struct wolf_engine *engine = engine_of(base);
    begin_input(engine, NULL, 0);
    int n = wolfSSL_write(engine->wolf, plain, (int)size);
    return n == (int)size ? 0 : engine_error(engine, wolfSSL_get_error(engine->wolf, n));
}

/* Not right after the handshake: to touch the memory again when it ends costs more than a short
 * connection gains. */
static void op_settle(struct engine *base)
{
    give_back_zeros(wolfSSL_get_session(engine_of(base)->wolf));
}

/* Called once: a second call of wolfSSL_shutdown() may have reset all. */
static int op_finish(struct engine *base)
{
    struct wolf_engine *engine = engine_of(base);
    begin_input(engine, NULL, 0);
    int rc = wolfSSL_shutdown(engine->wolf);
    return rc >= 0 ? 0 : engine_error(engine, wolfSSL_get_error(engine->wolf, rc));
}

/* ---- The end --------------------------------------------------------------------------------- */

static void op_end(struct engine *base)
{
    struct wolf_engine *engine = engine_of(base);
    if (engine->wolf == NULL)
        return;
    device_enter(engine);
    wolfSSL_free(engine->wolf);
    device_enter(NULL);
    engine->wolf = NULL;
    explicit_bzero(&engine->sending, sizeof engine->sending);
    explicit_bzero(&engine->receiving, sizeof engine->receiving);
    credentials_drop(engine->credentials);
    context_drop(engine->context);
}

static void op_free(struct engine *base)
{
    struct wolf_engine *engine = engine_of(base);
    op_end(base);
    peer_free_info(engine);
    free(engine->session_key);
    free(engine);
}

/* ---- The beginning --------------------------------------------------------------------------- */

/* A name without the dot at its end, which SNI does not allow. */
static char *copy_host(const char *host)
{
    size_t length = strlen(host);
    return strndup(host, length > 1 && host[length - 1] == '.' ? length - 1 : length);
}

static char *offer_list(const char *const *protocols)
{
    char *list = NULL;
    size_t size;
    FILE *text = open_memstream(&list, &size);
    if (text == NULL)
        return NULL;
    for (const char *const *each = protocols; *each != NULL; each++)
        fprintf(text, "%s%s", each > protocols ? "," : "", *each);
    return fclose(text) == 0 ? list : NULL;
}

static int offer_protocols(struct wolf_engine *engine)
{
    const char *const *protocols = engine->context->options.alpn;
    if (protocols == NULL || protocols[0] == NULL)
        return 0;
    char *list = offer_list(protocols);
    if (list == NULL)
        return -ENOMEM;
    int rc = wolfSSL_UseALPN(engine->wolf, list, (unsigned)strlen(list),
                             WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    free(list);
    return rc == WOLFSSL_SUCCESS ? 0 : -ENOMEM;
}

/* An offer to resume what this peer and we had. */
static int offer_session(struct wolf_engine *engine, const char *host, const char *peername)
{
    struct context *context = engine->context;
    if (context->options.no_session_tickets)
        return 0;
    if (asprintf(&engine->session_key, "%s %s", host, peername != NULL ? peername : "") < 0) {
        engine->session_key = NULL;
        return -ENOMEM;
    }
    pthread_mutex_lock(&context->lock);
    WOLFSSL_SESSION *session = session_take(&context->sessions, engine->session_key);
    pthread_mutex_unlock(&context->lock);
    if (session != NULL)
        engine->offered = wolfSSL_set_session(engine->wolf, session) == WOLFSSL_SUCCESS;
    wolfSSL_SESSION_free(session);
    return 0;
}

static int open_client(struct wolf_engine *engine, const struct engine_options *options)
{
    const char *host = options->server_hostname != NULL ? options->server_hostname : "";
    engine->info.server_hostname = copy_host(host);
    if (engine->info.server_hostname == NULL)
        return -ENOMEM;
    host = engine->info.server_hostname;
    if (host[0] != '\0' && !name_is_address(host) &&
        wolfSSL_UseSNI(engine->wolf, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)strlen(host)) !=
            WOLFSSL_SUCCESS)
        return -EINVAL;
    int rc = offer_protocols(engine);
    return rc < 0 ? rc : offer_session(engine, host, options->peername);
}

int engine_open(struct weir_tls *tls, const struct engine_options *options,
                struct engine **ret_engine)
{
    static const struct engine_ops ops = {
        .handshake = op_handshake,
        .read = op_read,
        .write = op_write,
        .unseal = records_unseal,
        .seal = records_seal,
        .renew = records_renew,
        .finish = op_finish,
        .settle = op_settle,
        .refuse = records_refuse,
        .info = peer_info,
        .end = op_end,
        .free = op_free,
    };
    struct context *context = container_of(tls, struct context, tls);
    struct credentials *credentials;
    int rc = context_credentials(context, &credentials);
    if (rc < 0)
        return rc;
    struct wolf_engine *engine = aligned_alloc(64, sizeof *engine);
    if (engine == NULL) {
        credentials_drop(credentials);
        return -ENOMEM;
    }
    memset(engine, 0, sizeof *engine);
    engine->engine.ops = &ops;
    engine->context = context;
    engine->credentials = credentials;
    engine->emit = options->emit;
    engine->user = options->user;
    engine->hardware = context->hardware;
    device_enter(engine);
    engine->wolf = wolfSSL_new(credentials->each[0].wolf);
    if (engine->wolf == NULL) {
        device_enter(NULL);
        credentials_drop(credentials);
        free(engine);
        return -ENOMEM;
    }
    atomic_fetch_add(&context->references, 1);
    rc = tls->server ? 0 : open_client(engine, options);
    if (rc < 0)
        op_free(&engine->engine);
    else
        *ret_engine = &engine->engine;
    return rc;
}
