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
