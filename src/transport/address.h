/* The names of a socket's two ends, as get_extra_info words them. */
#ifndef WEIR_TRANSPORT_ADDRESS_H
#define WEIR_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The name of one end of a socket, as it was when asked for; its text is made when first wanted. */
struct name {
    char *text;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } inet;
};

/* That of the peer, or our own. What the kernel does not tell has no text. */
void name_open(struct name *name, int fd, bool peer);
void name_close(struct name *name);
const char *name_text(struct name *name); /* NULL if there is none */

/* "127.0.0.1:80", "[::1]:80", a path, "@abstract", "" for an unnamed Unix socket: the caller frees
 * it. NULL without memory, or for another family. */
char *address_text(const struct sockaddr *address, socklen_t length);

/* The port in host order, or 0. */
unsigned address_port(const struct sockaddr *address);

/* The address of a Unix socket: '@' begins an abstract name. -EINVAL, -ENAMETOOLONG. */
int address_of_path(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length);

#endif
