#include "tls/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"

/* Serialized: as wolfSSL holds it, it takes 37 KB. */
struct session {
    struct list_node node;
    char *peer;
    size_t size;
    unsigned char bytes[];
};

static void forget(struct sessions *sessions, struct session *session)
{
    list_remove(&session->node);
    sessions->count--;
    free(session->peer);
    free(session);
}

static struct session *find(const struct sessions *sessions, const char *peer)
{
    for (struct list_node *node = list_first(&sessions->all); node != NULL;
         node = list_next(&sessions->all, node)) {
        struct session *session = container_of(node, struct session, node);
        if (strcmp(session->peer, peer) == 0)
            return session;
    }
    return NULL;
}

void session_keep(struct sessions *sessions, const char *peer, WOLFSSL_SESSION *wolf)
{
    int size = wolfSSL_i2d_SSL_SESSION(wolf, NULL);
    struct session *session = size > 0 ? malloc(sizeof *session + (size_t)size) : NULL;
    char *copy = session != NULL ? strdup(peer) : NULL;
    if (copy == NULL) {
        free(session);
        return;
    }
    unsigned char *end = session->bytes;
    *session =
        (struct session){ .peer = copy, .size = (size_t)wolfSSL_i2d_SSL_SESSION(wolf, &end) };
    struct session *former = find(sessions, peer);
    if (former == NULL && sessions->count == LIMIT_TLS_SESSIONS)
        former = container_of(list_first(&sessions->all), struct session, node);
    if (former != NULL)
        forget(sessions, former);
    list_append(&sessions->all, &session->node);
    sessions->count++;
}

WOLFSSL_SESSION *session_take(struct sessions *sessions, const char *peer)
{
    struct session *session = find(sessions, peer);
    if (session == NULL)
        return NULL;
    const unsigned char *bytes = session->bytes;
    WOLFSSL_SESSION *wolf = wolfSSL_d2i_SSL_SESSION(NULL, &bytes, (long)session->size);
    forget(sessions, session);
    return wolf;
}

void sessions_free(struct sessions *sessions)
{
    while (!list_is_empty(&sessions->all))
        forget(sessions, container_of(list_first(&sessions->all), struct session, node));
}
