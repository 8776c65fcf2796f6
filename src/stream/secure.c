/* start_tls: TLS is put between a stream and the transport it has. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "stream/stream.h"
#include "transport/tls.h"

static bool is_set(const char *name)
{
    return name != NULL && name[0] != '\0';
}

int secure_check(const struct secure_options *options, bool server, const char *host)
{
    bool timed = options->handshake_timeout != 0 || options->shutdown_timeout != 0;
    if (options->tls == NULL)
        return timed || options->server_hostname != NULL ? -EINVAL : 0;
    if (options->handshake_timeout < 0 || options->shutdown_timeout < 0)
        return -EINVAL;
    if (options->tls->server != server)
        return -EINVAL;
    bool named = is_set(options->server_hostname) || is_set(host);
    return options->tls->name_checked && !named ? -EINVAL : 0;
}

int stream_secure(struct stream *stream, const struct secure_options *options)
{
    struct tls_options wishes = {
        .context = options->tls,
        .server_hostname = options->server_hostname,
        .handshake_timeout = options->handshake_timeout,
        .shutdown_timeout = options->shutdown_timeout,
    };
    if (!is_set(wishes.server_hostname))
        wishes.server_hostname = stream->host;
    if (wishes.handshake_timeout == 0)
        wishes.handshake_timeout = LIMIT_TLS_HANDSHAKE * WEIR_SECOND;
    if (wishes.shutdown_timeout == 0)
        wishes.shutdown_timeout = LIMIT_TLS_SHUTDOWN * WEIR_SECOND;
    int rc = tls_open(stream->transport, stream->socket.loop, &wishes, &stream->reader.in,
                      &stream->transport);
    if (rc == 0)
        reader_resume(stream);
    return rc;
}

int stream_secure_and_wait(struct stream *stream, const struct secure_options *options)
{
    int rc = stream_secure(stream, options);
    if (rc < 0)
        return rc;
    struct wait wait = { 0 };
    stream->securer = &wait;
    rc = wait_suspend(&wait, NULL);
    stream->securer = NULL;
    if (rc < 0)
        stream_abort(stream);
    return rc;
}

static void wake(struct stream *stream, int result)
{
    struct wait *wait = stream->securer;
    stream->securer = NULL;
    if (wait != NULL)
        wait_wake(wait, result);
}

void secure_opened(struct stream *stream)
{
    wake(stream, 0);
    if (stream->start == START_SECURED)
        stream_start_handler(stream);
    else if (stream->start == PARK_SECURED)
        stream_park(stream);
    if (stream->leaving)
        stream_leave_when_parked(stream);
}

void secure_lost(struct stream *stream)
{
    wake(stream, stream->error != 0 ? stream->error : -ECONNABORTED);
}

PUBLIC int weir_start_tls(struct weir_writer *writer, struct weir_tls *tls,
                          const struct weir_start_tls_options *options)
{
    struct stream *stream = stream_of_writer(writer);
    struct secure_options wishes = { .tls = tls };
    if (options != NULL) {
        wishes.server_hostname = options->server_hostname;
        wishes.handshake_timeout = options->tls_handshake_timeout;
        wishes.shutdown_timeout = options->tls_shutdown_timeout;
    }
    int rc = tls != NULL ? secure_check(&wishes, tls->server, stream->host) : -EINVAL;
    if (rc == 0)
        rc = reader_enter(&stream->reader); /* nobody else may read, and nothing stays lent */
    if (rc < 0)
        return rc;
    rc = task_interrupted(task_current());
    if (rc == 0)
        rc = writer_check(writer);
    if (rc == 0 && writer->lending > 0)
        rc = -EBUSY;
    if (rc == 0 && stream->reader.ended) /* with whom? */
        rc = -ECONNRESET;
    if (rc == 0)
        rc = stream_secure_and_wait(stream, &wishes);
    reader_leave(&stream->reader);
    return rc;
}
