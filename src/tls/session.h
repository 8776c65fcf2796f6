/* What a client keeps of former connections, to resume them: a session for each peer, each used
 * once (RFC 8446, C.4), the oldest given up for a new one. */
#ifndef WEIR_TLS_SESSION_H
#define WEIR_TLS_SESSION_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "base/list.h"

/* The caller sees to it that one thread at a time is here. */
struct sessions {
    struct list all; /* session, the oldest first */
    unsigned count;
};

/* Without memory, nothing is kept. */
void session_keep(struct sessions *sessions, const char *peer, WOLFSSL_SESSION *session);

/* The peer's, which is not kept any more; NULL if there is none. The caller frees it. */
WOLFSSL_SESSION *session_take(struct sessions *sessions, const char *peer);
void sessions_free(struct sessions *sessions);

#endif
