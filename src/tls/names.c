#include "tls/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <wolfssl/wolfcrypt/asn.h>

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

static bool is_name(const WOLFSSL_GENERAL_NAME *name, const char *host, struct address address)
{
    if (name->type != ASN_DNS_TYPE && name->type != ASN_IP_TYPE)
        return false;
    const unsigned char *data = wolfSSL_ASN1_STRING_get0_data(name->d.ia5);
    size_t size = (size_t)wolfSSL_ASN1_STRING_length(name->d.ia5);
    if (name->type == ASN_IP_TYPE)
        return address.size == size && memcmp(address.bytes, data, size) == 0;
    return address.size == 0 && matches((const char *)data, size, host);
}

static WOLFSSL_GENERAL_NAMES *names_of(WOLFSSL_X509 *certificate)
{
    return wolfSSL_X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}

bool names_include(WOLFSSL_X509 *certificate, const char *host)
{
    WOLFSSL_GENERAL_NAMES *names = names_of(certificate);
    struct address address = address_of(host);
    bool found = false;
    for (int i = 0; !found && i < wolfSSL_sk_GENERAL_NAME_num(names); i++)
        found = is_name(wolfSSL_sk_GENERAL_NAME_value(names, i), host, address);
    wolfSSL_sk_GENERAL_NAME_pop_free(names, wolfSSL_GENERAL_NAME_free);
    return found;
}

/* Bytes that a name should not hold are shown as '?'. */
static void word(FILE *text, const WOLFSSL_GENERAL_NAME *name)
{
    const unsigned char *data = wolfSSL_ASN1_STRING_get0_data(name->d.ia5);
    size_t size = (size_t)wolfSSL_ASN1_STRING_length(name->d.ia5);
    char address[INET6_ADDRSTRLEN];
    const char *separator = ftell(text) > 0 ? ", " : "";
    if (name->type == ASN_DNS_TYPE) {
        fprintf(text, "%sDNS:", separator);
        for (size_t i = 0; i < size; i++)
            fputc(data[i] > ' ' && data[i] < 127 ? data[i] : '?', text);
    } else if (name->type == ASN_IP_TYPE && (size == 4 || size == 16)) {
        inet_ntop(size == 4 ? AF_INET : AF_INET6, data, address, sizeof address);
        fprintf(text, "%sIP Address:%s", separator, address);
    }
}

char *names_word(WOLFSSL_X509 *certificate)
{
    char *words = NULL;
    size_t size;
    FILE *text = open_memstream(&words, &size);
    if (text == NULL)
        return NULL;
    WOLFSSL_GENERAL_NAMES *names = names_of(certificate);
    for (int i = 0; i < wolfSSL_sk_GENERAL_NAME_num(names); i++)
        word(text, wolfSSL_sk_GENERAL_NAME_value(names, i));
    wolfSSL_sk_GENERAL_NAME_pop_free(names, wolfSSL_GENERAL_NAME_free);
    bool failed = ferror(text) != 0;
    if (fclose(text) != 0 || failed || size == 0) {
        free(words);
        words = NULL;
    }
    return words;
}
