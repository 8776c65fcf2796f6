/* The names in a certificate (subjectAltName), and whether they are those asked for. The subject's
 * common name is none. */
#ifndef WEIR_TLS_NAMES_H
#define WEIR_TLS_NAMES_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <stdbool.h>

bool name_is_address(const char *host); /* an IPv4 or IPv6 literal */

/* RFC 6125: a DNS name, where "*." stands for one label; an address is compared as such. */
bool names_include(WOLFSSL_X509 *certificate, const char *host);

/* "DNS:a.example, IP Address:127.0.0.1"; NULL if there are none, or no memory. The caller frees. */
char *names_word(WOLFSSL_X509 *certificate);

#endif
