/* The names of a socket's two ends, as get_extra_info words them. */
#ifndef WEIR_TRANSPORT_ADDRESS_H
#define WEIR_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

enum name { NAME_PEER, NAME_OWN, NAMES };

/* The names of both ends of a socket, as they were at the beginning; a text is made when first
 * wanted. */
struct names {
    char *texts[NAMES];
    union inet {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } inet[NAMES];
};

void names_open(struct names *names, int fd);
void names_close(struct names *names);
const char *names_text(struct names *names, enum name which); /* NULL without memory */

/* "127.0.0.1:80", "[::1]:80", a path, "@abstract", "" for an unnamed Unix socket: the caller frees
 * it. NULL without memory, or for another family. */
char *address_text(const struct sockaddr *address, socklen_t length);

/* The port in host order, or 0. */
unsigned address_port(const struct sockaddr *address);

/* The address of a Unix socket: '@' begins an abstract name. -EINVAL, -ENAMETOOLONG. */
int address_of_path(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length);

#endif
