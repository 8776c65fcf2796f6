/* Opening streams: open_connection, open_unix_connection, sock=. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "base/limits.h"
#include "base/macros.h"
#include "endpoint/race.h"
#include "endpoint/resolve.h"
#include "kernel/sys.h"
#include "stream/stream.h"
#include "transport/address.h"

static const struct weir_connect_options defaults;

static struct secure_options secure_options_of(const struct weir_connect_options *options)
{
    return (struct secure_options){
        .tls = options->tls,
        .server_hostname = options->server_hostname,
        .handshake_timeout = options->tls_handshake_timeout,
        .shutdown_timeout = options->tls_shutdown_timeout,
    };
}

/* The stream owns `fd` from here on, unless this returns NULL, without memory. `host`, which may be
 * NULL, is whom a later start_tls checks. */
static struct stream *make_stream(int fd, const struct weir_connect_options *options,
                                  const char *host)
{
    char *copy = host != NULL ? strdup(host) : NULL;
    if (host != NULL && copy == NULL)
        return NULL;
    struct weir_loop *loop = task_current()->loop;
    struct stream *stream = stream_new(loop, fd, options->limit, sizeof *stream, &loop->lingering);
    if (stream == NULL)
        free(copy);
    else
        stream->host = copy;
    return stream;
}

/* Through the TLS handshake, if there is to be one; a stream that fails it is let go. */
static int hand_out(struct stream *stream, const struct weir_connect_options *options,
                    struct weir_reader **ret_reader, struct weir_writer **ret_writer)
{
    struct secure_options wishes = secure_options_of(options);
    if (options->tls != NULL) {
        stream_enter(stream);
        int rc = stream_secure_and_wait(stream, &wishes);
        if (rc < 0)
            stream_release(stream);
        stream_leave(stream);
        if (rc < 0)
            return rc;
    }
    stream_own(stream, task_current());
    *ret_reader = &stream->reader;
    *ret_writer = &stream->writer;
    return 0;
}

/* `host` is whom the certificate must name, if server_hostname does not say. */
static int begin(const struct weir_connect_options **options, const char *host)
{
    struct weir_task *task = task_current();
    if (task == NULL)
        return -EPERM;
    if (*options == NULL)
        *options = &defaults;
    if ((*options)->limit > SIZE_MAX / 4 || (*options)->interleave < 0)
        return -EINVAL;
    struct secure_options wishes = secure_options_of(*options);
    int rc = secure_check(&wishes, false, host);
    return rc < 0 ? rc : task_interrupted(task);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static int connect_any(const struct addrinfo *remote, const struct addrinfo *local,
                       const struct weir_connect_options *options)
{
    const struct addrinfo *order[LIMIT_ADDRESSES];
    weir_duration delay = options->happy_eyeballs_delay;
    if (delay == 0)
        delay = LIMIT_HAPPY_EYEBALLS * WEIR_MILLISECOND;
    unsigned first = options->interleave != 0 ? (unsigned)options->interleave : 1;
    unsigned count = resolve_interleave(remote, first, order, LIMIT_ADDRESSES);
    int fd = race(order, count, local, delay);
    if (fd >= 0)
        sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

PUBLIC int weir_open_connection(const char *host, uint16_t port,
                                const struct weir_connect_options *options,
                                struct weir_reader **ret_reader, struct weir_writer **ret_writer)
{
    const char *name = host != NULL && host[0] != '\0' ? host : "localhost";
    int rc = begin(&options, name);
    if (rc < 0)
        return rc;
    struct addrinfo hints = { .ai_flags = options->flags,
                              .ai_family = options->family,
                              .ai_socktype = SOCK_STREAM,
                              .ai_protocol = options->proto };
    struct addrinfo *remote = NULL, *local = NULL;
    rc = resolve(host, port, &hints, &remote);
    if (rc == 0 && (options->local_host != NULL || options->local_port != 0)) {
        if (options->local_host == NULL)
            hints.ai_flags |= AI_PASSIVE;
        rc = resolve(options->local_host, options->local_port, &hints, &local);
    }
    if (rc == 0)
        rc = connect_any(remote, local, options);
    if (remote != NULL)
        sys_resolve_free(remote);
    if (local != NULL)
        sys_resolve_free(local);
    if (rc < 0)
        return rc;
    struct stream *stream = make_stream(rc, options, name);
    if (stream == NULL) {
        sys_close(rc);
        return -ENOMEM;
    }
    return hand_out(stream, options, ret_reader, ret_writer);
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

/* The kernel has no way to wait for room in a Unix listener's backlog but a blocked thread: it is
 * asked again, ever less often. */
static int connect_patiently(int fd, const struct sockaddr_un *address, socklen_t length)
{
    const struct sockaddr *generic = (const struct sockaddr *)address;
    weir_duration pause = WEIR_MILLISECOND / 2;
    int rc;
    while ((rc = sys_connect(fd, generic, length)) == -EAGAIN) {
        rc = weir_sleep(pause);
        if (rc < 0)
            return rc;
        if (pause < 50 * WEIR_MILLISECOND)
            pause *= 2;
    }
    return rc;
}

PUBLIC int weir_open_unix_connection(const char *path, const struct weir_connect_options *options,
                                     struct weir_reader **ret_reader,
                                     struct weir_writer **ret_writer)
{
    struct sockaddr_un address;
    socklen_t length;
    int rc = begin(&options, NULL);
    if (rc == 0)
        rc = address_of_path(path, &address, &length);
    if (rc < 0)
        return rc;
    int fd = sys_socket(AF_UNIX, 0);
    if (fd < 0)
        return fd;
    rc = connect_patiently(fd, &address, length);
    struct stream *stream = rc == 0 ? make_stream(fd, options, NULL) : NULL;
    if (stream == NULL) {
        sys_close(fd);
        return rc < 0 ? rc : -ENOMEM;
    }
    return hand_out(stream, options, ret_reader, ret_writer);
}

/* ---- A socket of the caller's ---------------------------------------------------------------- */

PUBLIC int weir_open_socket(int fd, const struct weir_connect_options *options,
                            struct weir_reader **ret_reader, struct weir_writer **ret_writer)
{
    struct sockaddr_storage peer;
    socklen_t length;
    int family = AF_UNSPEC;
    int rc = begin(&options, NULL);
    if (rc == 0)
        rc = sys_socket_check(fd, &family);
    if (rc == 0)
        rc = sys_socket_name(fd, true, &peer, &length);
    if (rc == 0 && socket_owns(loop_this(), fd))
        rc = -EEXIST;
    if (rc == 0)
        rc = sys_set_blocking(fd);
    if (rc < 0)
        return rc;
    if (family == AF_INET || family == AF_INET6)
        sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    struct stream *stream = make_stream(fd, options, NULL);
    return stream != NULL ? hand_out(stream, options, ret_reader, ret_writer) : -ENOMEM;
}
