#include "tls/context.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "tls/aead.h"
#include "tls/engine.h"

/* ---- Credentials ----------------------------------------------------------------------------- */

void credentials_drop(struct credentials *credentials)
{
    if (credentials == NULL || atomic_fetch_sub(&credentials->references, 1) > 1)
        return;
    for (unsigned i = 0; i < credentials->count; i++) {
        free(credentials->each[i].certificate);
        wolfSSL_CTX_free(credentials->each[i].wolf);
    }
    free(credentials);
}

int context_credentials(struct context *context, struct credentials **ret_credentials)
{
    int rc = 0;
    pthread_mutex_lock(&context->lock);
    if (context->credentials == NULL)
        rc = credentials_load(context, &context->credentials);
    if (rc == 0) {
        atomic_fetch_add(&context->credentials->references, 1);
        *ret_credentials = context->credentials;
    }
    pthread_mutex_unlock(&context->lock);
    return rc;
}

/* ---- Life ------------------------------------------------------------------------------------ */

void context_drop(struct context *context)
{
    if (atomic_fetch_sub(&context->references, 1) > 1)
        return;
    credentials_drop(context->credentials);
    sessions_free(&context->sessions);
    options_free(&context->options);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

static void op_hold(struct weir_tls *tls)
{
    atomic_fetch_add(&container_of(tls, struct context, tls)->references, 1);
}

static void op_drop(struct weir_tls *tls)
{
    context_drop(container_of(tls, struct context, tls));
}

static void set_up(struct context *context, const struct weir_tls_options *options, bool server)
{
    context->references = 1;
    context->hardware = !options->no_hardware_aes && aead_is_available();
    context->tls.hold = op_hold;
    context->tls.drop = op_drop;
    context->tls.open = engine_open;
    context->tls.server = server;
    context->tls.name_checked =
        !server && !options->insecure_skip_verification && !options->insecure_skip_hostname;
    context->tls.allow_truncation = options->insecure_allow_truncation;
}

static int make(const struct weir_tls_options *options, bool server, struct weir_tls **ret_tls)
{
    static const struct weir_tls_options none;
    if (options == NULL)
        options = &none;
    int rc = options_check(options, server);
    if (rc < 0)
        return rc;
    struct context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return -ENOMEM;
    pthread_mutex_init(&context->lock, NULL);
    set_up(context, options, server);
    rc = options_copy(&context->options, options);
    if (rc == 0)
        rc = credentials_load(context, &context->credentials);
    if (rc < 0)
        context_drop(context);
    else
        *ret_tls = &context->tls;
    return rc;
}

PUBLIC int weir_tls_client(const struct weir_tls_options *options, struct weir_tls **ret_tls)
{
    return make(options, false, ret_tls);
}

PUBLIC int weir_tls_server(const struct weir_tls_options *options, struct weir_tls **ret_tls)
{
    return make(options, true, ret_tls);
}

PUBLIC void weir_tls_free(struct weir_tls *tls)
{
    if (tls != NULL && tls != weir_tls_default())
        context_drop(container_of(tls, struct context, tls));
}

/* ---- The default one ------------------------------------------------------------------------- */

static struct context default_context = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void set_up_default(void)
{
    set_up(&default_context, &default_context.options, false);
}

PUBLIC struct weir_tls *weir_tls_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_default);
    return &default_context.tls;
}

PUBLIC int weir_tls_reload(struct weir_tls *tls)
{
    struct context *context = container_of(tls, struct context, tls);
    struct credentials *fresh;
    int rc = credentials_load(context, &fresh);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&context->lock);
    struct credentials *former = context->credentials;
    context->credentials = fresh;
    sessions_free(&context->sessions); /* they were agreed on with the former certificates */
    pthread_mutex_unlock(&context->lock);
    credentials_drop(former);
    return 0;
}
