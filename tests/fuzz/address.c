/* Target: whatever takes addresses and numbers apart: the command line of the servers, paths of
 * Unix sockets ('@' begins an abstract name), socket addresses to be put into words, and names that
 * certificates are compared with. */
#include "fuzz.h"
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tls/names.h"
#include "transport/address.h"

enum { WORDS = 40, PATH = sizeof((struct sockaddr_un *)0)->sun_path };

static struct input rest;

/* On the heap, with its end where it is; ends at a newline. The caller frees it. */
static char *next_word(void)
{
    const uint8_t *from = rest.at;
    while (rest.at < rest.end && *rest.at != '\n' && *rest.at != '\0')
        rest.at++;
    char *word = strndup((const char *)from, (size_t)(rest.at - from));
    rest.at += rest.at < rest.end;
    return word;
}

/* ---- The command line ------------------------------------------------------------------------ */

/* Digits only, at most `most`: -1 if it is something else. */
static long number_of(const char *text, size_t size, long most)
{
    long number = size > 0 ? 0 : -1;
    for (size_t i = 0; i < size && number >= 0; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        number = digit && number <= most ? number * 10 + text[i] - '0' : -1;
    }
    return number <= most ? number : -1;
}

/* Whether it is one, and what is said of it. */
static bool is_listen(const char *text, struct address *ret_address)
{
    *ret_address = (struct address){ .text = text };
    if (strncmp(text, "unix:", 5) == 0) {
        ret_address->path = text + 5;
        return text[5] != '\0';
    }
    size_t size = strlen(text), port = size;
    while (port > 0 && text[port - 1] != ':')
        port--;
    long number = port > 0 ? number_of(text + port, size - port, 65535) : -1;
    if (number < 0)
        return false;
    size_t host_size = port - 1;
    bool brackets = host_size >= 2 && text[0] == '[' && text[host_size - 1] == ']';
    if (!brackets && memchr(text, ':', host_size) != NULL)
        return false;
    if (brackets)
        host_size -= 2;
    if (host_size > 255)
        return false;
    memcpy(ret_address->host, text + brackets, host_size);
    ret_address->port = (uint16_t)number;
    return true;
}

static bool is_grace(const char *text, double *ret_seconds)
{
    char copy[64];
    const char *dot = strchr(text, '.');
    size_t whole = dot != NULL ? (size_t)(dot - text) : strlen(text);
    size_t part = dot != NULL ? strlen(dot + 1) : 0;
    bool digits = strspn(text, "0123456789") == whole &&
                  (dot == NULL || strspn(dot + 1, "0123456789") == part) && whole + part > 0;
    if (!digits)
        return false;
    text += strspn(text, "0");
    snprintf(copy, sizeof copy, "%s", text);
    *ret_seconds = strlen(text) < sizeof copy ? atof(copy) : strtod(text, NULL);
    return *ret_seconds <= 86400;
}

/* What all the words together mean: -1 to serve, or the status to exit with. */
static int judge(char **words, int count, struct settings *expected)
{
    for (int i = 1; i < count; i++) {
        char name[16] = "";
        const char *word = words[i];
        size_t size = strcspn(word, "=");
        bool flag, valued = word[size] == '=';
        if (size < sizeof name)
            memcpy(name, word, size);
        flag = strcmp(name, "--metrics") == 0;
        if (!valued && (strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0))
            return 0;
        if (flag && !valued) {
            expected->metrics = true;
            continue;
        }
        const char *value = valued ? word + size + 1 : flag || i + 1 == count ? NULL : words[++i];
        if (value == NULL || flag)
            return 2;
        double seconds;
        struct weir_tls_options *tls = &expected->tls_options;
        bool good = false;
        if (strcmp(name, "--listen") == 0 && expected->address_count < MAX_ADDRESSES) {
            good = is_listen(value, &expected->addresses[expected->address_count]);
            expected->address_count += good;
        } else if (strcmp(name, "--threads") == 0) {
            long threads = number_of(value, strlen(value), MAX_THREADS);
            good = threads > 0;
            expected->threads = (unsigned)threads;
        } else if (strcmp(name, "--grace") == 0) {
            good = is_grace(value, &seconds);
            expected->grace = good ? (weir_duration)(seconds * 1e9) : 0;
        } else if (strcmp(name, "--tls-cert") == 0) {
            good = *(tls->certificate_file = value) != '\0';
        } else if (strcmp(name, "--tls-key") == 0) {
            good = *(tls->key_file = value) != '\0';
        } else if (strcmp(name, "--tls-client-ca") == 0) {
            good = *(tls->ca_file = value) != '\0';
        } else if (strcmp(name, "--tls-min") == 0) {
            good = strcmp(value, "1.2") == 0 || strcmp(value, "1.3") == 0;
            tls->minimum_version = strcmp(value, "1.3") == 0 ? WEIR_TLS_1_3 : WEIR_TLS_1_2;
        }
        if (!good)
            return 2;
    }
    return -1;
}

static void compare(const struct settings *settings, const struct settings *expected)
{
    fuzz_check(settings->address_count == max_size(expected->address_count, 1));
    for (size_t i = 0; i < expected->address_count; i++) {
        const struct address *a = &settings->addresses[i], *b = &expected->addresses[i];
        fuzz_check(a->text == b->text && a->path == b->path);
        fuzz_check(a->path != NULL || (strcmp(a->host, b->host) == 0 && a->port == b->port));
    }
    const struct weir_tls_options *a = &settings->tls_options, *b = &expected->tls_options;
    fuzz_check(settings->threads == expected->threads && settings->metrics == expected->metrics);
    fuzz_check(llabs(settings->grace - expected->grace) <= 1);
    fuzz_check(a->certificate_file == b->certificate_file && a->key_file == b->key_file);
    fuzz_check(a->ca_file == b->ca_file && a->minimum_version == b->minimum_version);
    fuzz_check(a->require_client_certificate == (b->ca_file != NULL));
}

static void try_options(void)
{
    static const struct cli_tool tool = {
        .name = "weir-fuzz", .purpose = "", .listen = "127.0.0.1:8080", .tls_scheme = ""
    };
    static struct settings settings, expected;
    char *words[WORDS + 2] = { strdup("weir-fuzz") };
    int count = 1;
    settings = expected = (struct settings){ .tool = &tool, .threads = 1, .grace = WEIR_SECOND };
    while (count <= WORDS && input_left(&rest) > 0)
        words[count++] = next_word();
    int status = options_parse(&settings, words, count);
    fuzz_check(status == judge(words, count, &expected));
    if (status < 0)
        compare(&settings, &expected);
    while (count > 0)
        free(words[--count]);
}

/* ---- Socket addresses ------------------------------------------------------------------------ */

static void try_path(void)
{
    struct sockaddr_un address;
    socklen_t length = 0;
    char *path = next_word();
    size_t size = strlen(path);
    bool abstract = path[0] == '@';
    int rc = address_of_path(path, &address, &length);
    fuzz_check(rc == (size == 0 ? -EINVAL : size + !abstract > PATH ? -ENAMETOOLONG : 0));
    if (rc == 0) {
        char *text = address_text((const struct sockaddr *)&address, length);
        fuzz_check(strcmp(text, path) == 0);
        free(text);
    }
    free(path);
}

/* As the kernel might have filled it in: the length is never more than what there is. */
static void try_words(void)
{
    static const sa_family_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC };
    size_t size, family = input_below(&rest, 4);
    struct sockaddr_storage address = { 0 };
    const uint8_t *bytes = input_take(&rest, sizeof(struct sockaddr_un), &size);
    memcpy(&address, bytes, size);
    address.ss_family = families[family];
    socklen_t length = family == 0   ? sizeof(struct sockaddr_in)
                       : family == 1 ? sizeof(struct sockaddr_in6)
                                     : (socklen_t)max_size(size, sizeof(sa_family_t));
    struct sockaddr *exact = malloc(length);
    memcpy(exact, &address, length);
    char *text = address_text(exact, length);
    fuzz_check((text == NULL) == (family == 3));
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    if (family < 2) {
        unsigned char again[sizeof(struct in6_addr)];
        fuzz_check(address_port(exact) == (unsigned)atoi(colon + 1));
        char *host = strndup(text + family, (size_t)(colon - text) - 2 * family);
        char *scope = strchr(host, '%');
        if (scope != NULL)
            *scope = '\0';
        fuzz_check(inet_pton(family == 0 ? AF_INET : AF_INET6, host, again) == 1);
        const char *raw = (const char *)exact + (family == 0 ? 4 : 8);
        fuzz_check(memcmp(again, raw, family == 0 ? 4 : 16) == 0);
        fuzz_check(name_is_address(host));
        free(host);
    } else {
        fuzz_check(address_port(exact) == 0);
    }
    free(text);
    free(exact);
}

/* Messages, of which each input has some, go nowhere; those of sanitizers do not come this way. */
static void silence(void)
{
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    fuzz_check(nowhere != NULL);
    stdout = stderr = nowhere;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    FILE *out = stdout, *errors = stderr;
    rest = (struct input){ bytes, bytes + size };
    silence();
    switch (input_below(&rest, 4)) {
    case 0:
        try_path();
        break;
    case 1:
        try_words();
        break;
    default:
        try_options();
    }
    stdout = out;
    stderr = errors;
    return 0;
}
