/* Who is at the other end: the callbacks in which wolfSSL asks about names, and what is told of the
 * peer later. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tls/engine.h"

/* ---- Callbacks ------------------------------------------------------------------------------- */

/* Called for each certificate of the chain, the peer's own last. */
int peer_verify(int preverified, WOLFSSL_X509_STORE_CTX *store)
{
    struct wolf_engine *engine = device_engine();
    if (!preverified)
        return 0;
    if (wolfSSL_X509_STORE_CTX_get_error_depth(store) > 0)
        return 1;
    const WOLFSSL_BUFFER_INFO *own = &store->certs[0];
    engine->wrong_name = engine->context->tls.name_checked &&
                         !names_include(own->buffer, own->length, engine->info.server_hostname);
    engine->verified = !engine->wrong_name;
    if (engine->verified && engine->info.certificate.pem == NULL)
        engine->info.certificate = certificate_words(own->buffer, own->length);
    return engine->verified;
}

int peer_choose_certificate(WOLFSSL *wolf, int *ret_alert, void *argument)
{
    struct wolf_engine *engine = device_engine();
    struct credentials *credentials = engine->credentials;
    void *asked = NULL;
    size_t size = wolfSSL_SNI_GetRequest(wolf, WOLFSSL_SNI_HOST_NAME, &asked);
    (void)ret_alert, (void)argument;
    bool sane = asked != NULL && size <= 255 && memchr(asked, '\0', size) == NULL;
    if (!sane || engine->info.server_hostname != NULL)
        return SSL_TLSEXT_ERR_OK;
    char *host = strndup(asked, size);
    engine->info.server_hostname = host;
    for (unsigned i = 0; host != NULL && i < credentials->count; i++) {
        const struct credential *each = &credentials->each[i];
        if (!names_include(each->certificate, each->certificate_size, host))
            continue;
        if (i > 0)
            wolfSSL_set_SSL_CTX(wolf, each->wolf);
        break;
    }
    return SSL_TLSEXT_ERR_OK;
}

static bool offers(const unsigned char *offered, unsigned size, const char *protocol,
                   const unsigned char **ret_protocol)
{
    size_t length = strlen(protocol);
    for (unsigned at = 0; at < size && offered[at] < size - at; at += 1u + offered[at]) {
        if (offered[at] == length && memcmp(offered + at + 1, protocol, length) == 0) {
            *ret_protocol = offered + at + 1;
            return true;
        }
    }
    return false;
}

int peer_choose_protocol(WOLFSSL *wolf, const unsigned char **ret_protocol, unsigned char *ret_size,
                         const unsigned char *offered, unsigned size, void *argument)
{
    const char *const *ours = device_engine()->context->options.alpn;
    (void)wolf, (void)argument;
    for (; *ours != NULL; ours++) {
        if (offers(offered, size, *ours, ret_protocol)) {
            *ret_size = (unsigned char)strlen(*ours);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    device_engine()->no_protocol = true; /* wolfSSL would go on without one */
    return SSL_TLSEXT_ERR_NOACK;
}

/* Sessions of TLS 1.3 only: those of 1.2 wolfSSL resumes without comparing what the server now does
 * with what was agreed on. And only once we are content with the peer ourselves. */
int peer_new_session(WOLFSSL *wolf, WOLFSSL_SESSION *session)
{
    struct wolf_engine *engine = device_engine();
    struct context *context = engine->context;
    bool accepted = engine->info.version != NULL && wolfSSL_version(wolf) == TLS1_3_VERSION;
    if (!accepted || engine->session_key == NULL || !wolfSSL_SESSION_has_ticket(session))
        return 0;
    pthread_mutex_lock(&context->lock);
    if (engine->credentials == context->credentials) /* else it was made before a reload */
        session_keep(&context->sessions, engine->session_key, session);
    pthread_mutex_unlock(&context->lock);
    return 0;
}

/* ---- What is told ---------------------------------------------------------------------------- */

/* Where nothing was verified, because a session was resumed or by our own wish, the session has it,
 * unless it is larger than 4 KB. */
static void keep_session_certificate(struct wolf_engine *engine)
{
    WOLFSSL_X509_CHAIN *chain = wolfSSL_get_peer_chain(engine->wolf);
    if (chain == NULL || wolfSSL_get_chain_count(chain) == 0)
        return;
    engine->info.certificate = certificate_words(wolfSSL_get_chain_cert(chain, 0),
                                                 (size_t)wolfSSL_get_chain_length(chain, 0));
}

void peer_keep_info(struct wolf_engine *engine)
{
    struct peer_info *info = &engine->info;
    char *protocol = NULL;
    unsigned short size = 0;
    info->version = wolfSSL_get_version(engine->wolf);
    int suite = wolfSSL_get_current_cipher_suite(engine->wolf);
    info->cipher =
        wolfSSL_get_cipher_name_iana_from_suite((unsigned char)(suite >> 8), (unsigned char)suite);
    if (wolfSSL_ALPN_GetProtocol(engine->wolf, &protocol, &size) == WOLFSSL_SUCCESS)
        info->alpn = strndup(protocol, size);
    if (info->certificate.pem == NULL)
        keep_session_certificate(engine);
}

void peer_free_info(struct wolf_engine *engine)
{
    struct peer_info *info = &engine->info;
    free(info->alpn);
    free(info->server_hostname);
    free(info->certificate.pem);
    free(info->certificate.subject);
    free(info->certificate.issuer);
    free(info->certificate.names);
}

const char *peer_info(const struct engine *engine, const char *name)
{
    const struct wolf_engine *own = container_of(engine, const struct wolf_engine, engine);
    const struct peer_info *info = &own->info;
    bool known = info->version != NULL;
    const struct {
        const char *name, *value;
    } all[] = {
        { "version", info->version },
        { "cipher", info->cipher },
        { "alpn", info->alpn },
        { "resumed", !known            ? NULL
                     : engine->resumed ? "true"
                                       : "false" },
        { "server_hostname", info->server_hostname },
        { "peercert", info->certificate.pem },
        { "peercert_subject", info->certificate.subject },
        { "peercert_issuer", info->certificate.issuer },
        { "peercert_names", info->certificate.names },
        { "record_path", !known             ? NULL
                         : engine->in_place ? "in place"
                                            : own->path },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(name, all[i].name) == 0)
            return all[i].value;
    }
    return NULL;
}
