/* A certificate in words, and whether the names in it (subjectAltName) include the one asked for.
 * The subject's common name is none of them. */
#ifndef WEIR_TLS_NAMES_H
#define WEIR_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

bool name_is_address(const char *host); /* an IPv4 or IPv6 literal */

/* RFC 6125: a DNS name, where "*." stands for one label; an address is compared as such. `der` is
 * the certificate, as it came. */
bool names_include(const void *der, size_t size, const char *host);

/* NULL for what there is not, or no memory for. The caller frees all. */
struct certificate_words {
    char *pem;
    char *subject, *issuer; /* "/CN=..." */
    char *names;            /* "DNS:a.example, IP Address:127.0.0.1" */
};
struct certificate_words certificate_words(const void *der, size_t size);

#endif
