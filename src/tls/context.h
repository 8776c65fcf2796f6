/* A context: what weir_tls_client() and weir_tls_server() make. It is shared by all threads, and
 * lives until it is freed and the last stream that uses it has ended.
 *
 * What is read from files is its credentials, which weir_tls_reload() replaces as a whole: a stream
 * keeps those that it began with. */
#ifndef WEIR_TLS_CONTEXT_H
#define WEIR_TLS_CONTEXT_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <weir.h>

#include "base/list.h"
#include "tls/session.h"
#include "transport/engine.h"

/* One certificate, or none, with all of a context's other settings. */
struct credential {
    WOLFSSL_CTX *wolf;
    unsigned char *certificate; /* a server's, DER, to look its names up; or NULL */
    size_t certificate_size;
};

struct credentials {
    atomic_uint references;
    unsigned count; /* 1 or more; of a server's several the first is the default */
    struct credential each[];
};

struct context {
    struct weir_tls tls; /* what the library knows of it */
    atomic_uint references;
    struct weir_tls_options options; /* with strings of its own */
    bool hardware;                   /* AES-GCM by libipsec-mb */
    pthread_mutex_t lock;            /* over those below */
    struct credentials *credentials; /* NULL: not loaded yet, the default's */
    struct sessions sessions;        /* a client's */
};

void context_drop(struct context *context);

/* Those in use now, with a hold; loads them if need be. -errno or WEIR_TLS_FILE. */
int context_credentials(struct context *context, struct credentials **ret_credentials);
void credentials_drop(struct credentials *credentials);

/* credentials.c: reads all files that the options name. On a thread of its own, for it takes more
 * stack than a task has. -errno or WEIR_TLS_FILE. */
int credentials_load(const struct context *context, struct credentials **ret_credentials);

/* options.c */
int options_check(const struct weir_tls_options *options, bool server);
int options_copy(struct weir_tls_options *to, const struct weir_tls_options *from);
void options_free(struct weir_tls_options *options);

#endif
