/* The names of a socket's two ends, as get_extra_info words them. */
#ifndef WEIR_TRANSPORT_ADDRESS_H
#define WEIR_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "127.0.0.1:80", "[::1]:80", a path, "@abstract", "" for an unnamed Unix socket: the caller frees
 * it. NULL without memory, or for another family. */
char *address_text(const struct sockaddr *address, socklen_t length);

/* The port in host order, or 0. */
unsigned address_port(const struct sockaddr *address);

/* The address of a Unix socket: '@' begins an abstract name. -EINVAL, -ENAMETOOLONG. */
int address_of_path(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length);

#endif
