/* A context's options: whether they go together, and a copy of them with strings of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls/context.h"

static unsigned count_certificates(const struct weir_tls_certificate *certificates)
{
    unsigned count = 0;
    while (certificates != NULL && certificates[count].certificate_file != NULL)
        count++;
    return count;
}

static unsigned count_protocols(const char *const *protocols)
{
    unsigned count = 0;
    while (protocols != NULL && protocols[count] != NULL)
        count++;
    return count;
}

/* Each 1 to 255 bytes (RFC 7301), and no comma, which separates them in wolfSSL's list. */
static bool are_protocols(const char *const *protocols)
{
    for (unsigned i = 0; i < count_protocols(protocols); i++) {
        size_t length = strlen(protocols[i]);
        if (length == 0 || length > 255 || strchr(protocols[i], ',') != NULL)
            return false;
    }
    return true;
}

int options_check(const struct weir_tls_options *options, bool server)
{
    bool ask = options->request_client_certificate || options->require_client_certificate;
    bool version = options->minimum_version == 0 || options->minimum_version == WEIR_TLS_1_2 ||
                   options->minimum_version == WEIR_TLS_1_3;
    if (!version || !are_protocols(options->alpn))
        return -EINVAL;
    if (options->key_file != NULL && options->certificate_file == NULL)
        return -EINVAL;
    if (server)
        return options->certificate_file == NULL || ask != (options->ca_file != NULL) ||
                       options->insecure_skip_verification || options->insecure_skip_hostname
                   ? -EINVAL
                   : 0;
    return ask || count_certificates(options->more_certificates) > 0 ? -EINVAL : 0;
}

/* NULL stays NULL. */
static bool copy_string(const char **string)
{
    if (*string != NULL)
        *string = strdup(*string);
    return *string != NULL;
}

static int copy_certificates(struct weir_tls_options *options)
{
    const struct weir_tls_certificate *from = options->more_certificates;
    unsigned count = count_certificates(from);
    struct weir_tls_certificate *copy = calloc(count + 1, sizeof *copy);
    options->more_certificates = copy;
    for (unsigned i = 0; copy != NULL && i < count; i++) {
        copy[i] = from[i];
        if (copy[i].key_file != NULL && !copy_string(&copy[i].key_file)) {
            copy[i].certificate_file = NULL;
            return -ENOMEM;
        }
        if (!copy_string(&copy[i].certificate_file)) {
            free((char *)(uintptr_t)copy[i].key_file);
            return -ENOMEM;
        }
    }
    return copy != NULL ? 0 : -ENOMEM;
}

static int copy_protocols(struct weir_tls_options *options)
{
    const char *const *from = options->alpn;
    if (from == NULL)
        return 0;
    unsigned count = count_protocols(from);
    const char **copy = calloc(count + 1, sizeof *copy);
    options->alpn = copy;
    for (unsigned i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(from[i]);
        if (copy[i] == NULL)
            return -ENOMEM;
    }
    return copy != NULL ? 0 : -ENOMEM;
}

int options_copy(struct weir_tls_options *to, const struct weir_tls_options *from)
{
    *to = *from;
    const char **strings[] = { &to->ca_file, &to->certificate_file, &to->key_file };
    to->more_certificates = NULL;
    to->alpn = NULL;
    int rc = 0;
    for (unsigned i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (*strings[i] != NULL && !copy_string(strings[i]))
            rc = -ENOMEM;
    }
    if (rc == 0) {
        to->more_certificates = from->more_certificates;
        rc = copy_certificates(to);
    }
    if (rc == 0) {
        to->alpn = from->alpn;
        rc = copy_protocols(to);
    }
    return rc;
}

void options_free(struct weir_tls_options *options)
{
    free((char *)(uintptr_t)options->ca_file);
    free((char *)(uintptr_t)options->certificate_file);
    free((char *)(uintptr_t)options->key_file);
    for (unsigned i = 0; i < count_certificates(options->more_certificates); i++) {
        free((char *)(uintptr_t)options->more_certificates[i].certificate_file);
        free((char *)(uintptr_t)options->more_certificates[i].key_file);
    }
    for (unsigned i = 0; i < count_protocols(options->alpn); i++)
        free((char *)(uintptr_t)options->alpn[i]);
    free((void *)(uintptr_t)options->more_certificates);
    free((void *)(uintptr_t)options->alpn);
}
