/* The words for every error that weir.h names; those of the system are libc's. */
#include <string.h>
#include <weir.h>

#include "base/macros.h"

static const char *own_error(ssize_t error)
{
    switch (error) {
    case WEIR_INCOMPLETE:
        return "The stream ended before all that was asked for had arrived";
    case WEIR_LIMIT_OVERRUN:
        return "No separator within the reader's limit: raise `limit`, or pass over "
               "weir_overrun() bytes";
    case WEIR_UNRESOLVED:
        return "The host name does not resolve: check its spelling and /etc/resolv.conf";
    case WEIR_RING_DISABLED:
        return "io_uring is switched off here: set sysctl kernel.io_uring_disabled=0, or run as "
               "root or in the group of kernel.io_uring_group";
    case WEIR_RING_BLOCKED:
        return "io_uring is blocked, most likely by a seccomp profile (Docker's and Kubernetes' "
               "default): run with one that allows io_uring_setup, io_uring_enter and "
               "io_uring_register, as by --security-opt seccomp=FILE";
    case WEIR_RING_MISSING:
        return "No io_uring with what weir needs: the kernel is older than 6.1, or a filter hides "
               "it (uname -r tells)";
    case WEIR_RING_MEMORY:
        return "No memory for the ring: raise RLIMIT_MEMLOCK (ulimit -l), or ask for fewer "
               "ring_entries";
    case WEIR_TLS_HANDSHAKE:
        return "TLS handshake failed: no version, cipher or protocol (ALPN) in common with the "
               "peer, or it sent a malformed message";
    case WEIR_TLS_ALERT:
        return "The peer refused TLS by a fatal alert: it does not accept our certificate, the "
               "name asked for, or what we offer (its log tells)";
    case WEIR_TLS_PLAINTEXT:
        return "The peer does not speak TLS: check the port, or whether it wants start_tls first";
    case WEIR_TLS_UNTRUSTED:
        return "The peer's certificate is of no trusted authority: name its authority as ca_file, "
               "or have the peer send its intermediate certificates";
    case WEIR_TLS_EXPIRED:
        return "The peer's certificate, or all in an authority file, have expired or are not "
               "valid yet: check them, and this machine's clock";
    case WEIR_TLS_HOSTNAME:
        return "The peer's certificate is for another name: connect to a name that it has, or set "
               "server_hostname to one";
    case WEIR_TLS_CERTIFICATE:
        return "The peer's certificate is missing, malformed, wrongly signed, or not for this use";
    case WEIR_TLS_TRUNCATED:
        return "The connection ended without TLS's own end (close_notify): data may be missing";
    case WEIR_TLS_RECORD:
        return "A TLS record that does not decrypt, or may not come here: the connection was "
               "tampered with, or the peer is broken";
    case WEIR_TLS_FILE:
        return "A certificate, key or authority file does not hold what it should (PEM, the key "
               "not encrypted), or key and certificate do not belong together";
    }
    return NULL;
}

PUBLIC const char *weir_strerror(ssize_t error)
{
    if (error >= 0)
        return "Success";
    const char *text = own_error(error);
    if (text == NULL && error > -4096)
        text = strerrordesc_np((int)-error);
    return text != NULL ? text : "Unknown error";
}

PUBLIC const char *weir_version(void)
{
    return WEIR_VERSION;
}
