/* Names to addresses: literals at once, names on a helper thread. */
#ifndef WEIR_ENDPOINT_RESOLVE_H
#define WEIR_ENDPOINT_RESOLVE_H

#include <netdb.h>
#include <stdint.h>

/* Waits. NULL or "" is the loopback, or with AI_PASSIVE the wildcard. The caller frees the list
 * with sys_resolve_free(). WEIR_UNRESOLVED, -ENOMEM, ...; interrupted, it leaves the thread to
 * finish by itself. */
int resolve(const char *host, uint16_t port, const struct addrinfo *hints,
            struct addrinfo **ret_addresses);

/* The order in which to try them (RFC 8305): families alternate, `first` addresses of the first
 * family before the second has its turn. Returns how many, at most `most`. */
unsigned resolve_interleave(const struct addrinfo *addresses, unsigned first,
                            const struct addrinfo **ret_order, unsigned most);

#endif
