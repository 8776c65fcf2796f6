#include "tls/names.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Comparing ------------------------------------------------------------------------------- */

struct address {
    unsigned char bytes[16];
    size_t size; /* 4, 16; 0: none */
};

static struct address address_of(const char *host)
{
    struct address address = { .size = 0 };
    if (inet_pton(AF_INET, host, address.bytes) == 1)
        address.size = 4;
    else if (inet_pton(AF_INET6, host, address.bytes) == 1)
        address.size = 16;
    return address;
}

bool name_is_address(const char *host)
{
    return address_of(host).size > 0;
}

/* A dot at the end of either means nothing here. */
static size_t length_of(const char *name, size_t size)
{
    return size > 0 && name[size - 1] == '.' ? size - 1 : size;
}

static bool matches(const char *pattern, size_t size, const char *host)
{
    size_t length = length_of(host, strlen(host));
    size = length_of(pattern, size);
    if (size == 0 || memchr(pattern, '\0', size) != NULL)
        return false;
    if (size > 2 && memcmp(pattern, "*.", 2) == 0) {
        const char *dot = memchr(host, '.', length);
        if (dot == NULL || dot == host || memchr(pattern + 2, '.', size - 2) == NULL)
            return false;
        length -= (size_t)(dot - host);
        host = dot;
        pattern++;
        size--;
    }
    return size == length && strncasecmp(pattern, host, size) == 0;
}

static bool is_name(const DNS_entry *name, const char *host, const struct address *address)
{
    size_t size = (size_t)name->len;
    if (name->type == ASN_IP_TYPE)
        return address->size == size && memcmp(address->bytes, name->name, size) == 0;
    return name->type == ASN_DNS_TYPE && address->size == 0 && matches(name->name, size, host);
}

/* ---- Certificates, taken apart by wolfCrypt -------------------------------------------------- */

static bool take_apart(DecodedCert *parts, const void *der, size_t size)
{
    wc_InitDecodedCert(parts, der, (word32)size, NULL);
    if (wc_ParseCert(parts, CERT_TYPE, NO_VERIFY, NULL) == 0)
        return true;
    wc_FreeDecodedCert(parts);
    return false;
}

bool names_include(const void *der, size_t size, const char *host)
{
    DecodedCert parts;
    struct address address = address_of(host);
    if (!take_apart(&parts, der, size))
        return false;
    bool found = false;
    for (const DNS_entry *name = parts.altNames; !found && name != NULL; name = name->next)
        found = is_name(name, host, &address);
    wc_FreeDecodedCert(&parts);
    return found;
}

/* Bytes that a name should not hold are shown as '?'. */
static void word_name(FILE *text, const DNS_entry *name)
{
    char address[INET6_ADDRSTRLEN];
    const char *separator = ftell(text) > 0 ? ", " : "";
    if (name->type == ASN_DNS_TYPE) {
        fprintf(text, "%sDNS:", separator);
        for (int i = 0; i < name->len; i++)
            fputc(name->name[i] > ' ' && name->name[i] < 127 ? name->name[i] : '?', text);
    } else if (name->type == ASN_IP_TYPE && (name->len == 4 || name->len == 16)) {
        inet_ntop(name->len == 4 ? AF_INET : AF_INET6, name->name, address, sizeof address);
        fprintf(text, "%sIP Address:%s", separator, address);
    }
}

static char *word_names(const DNS_entry *names)
{
    char *words = NULL;
    size_t size;
    FILE *text = open_memstream(&words, &size);
    if (text == NULL)
        return NULL;
    for (; names != NULL; names = names->next)
        word_name(text, names);
    bool failed = ferror(text) != 0;
    if (fclose(text) != 0 || failed || size == 0) {
        free(words);
        words = NULL;
    }
    return words;
}

static char *word_pem(const void *der, size_t size)
{
    int length = wc_DerToPem(der, (word32)size, NULL, 0, CERT_TYPE);
    char *pem = length > 0 ? malloc((size_t)length + 1) : NULL;
    if (pem == NULL)
        return NULL;
    length = wc_DerToPem(der, (word32)size, (unsigned char *)pem, (word32)length, CERT_TYPE);
    pem[length > 0 ? length : 0] = '\0';
    return pem;
}

struct certificate_words certificate_words(const void *der, size_t size)
{
    DecodedCert parts;
    struct certificate_words words = { .pem = word_pem(der, size) };
    if (words.pem == NULL || !take_apart(&parts, der, size)) /* then it is asked for once more */
        return words;
    words.subject = strndup(parts.subject, sizeof parts.subject);
    words.issuer = strndup(parts.issuer, sizeof parts.issuer);
    words.names = word_names(parts.altNames);
    wc_FreeDecodedCert(&parts);
    return words;
}
