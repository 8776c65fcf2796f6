#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_GRACE = 86400, /* seconds */
    HELP_COLUMN = 24,
};

/* Each returns NULL, or what it expected instead of the value. */
typedef const char *parse_fn(struct settings *settings, const char *value);

static bool parse_number(const char *text, unsigned long most, unsigned long *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret_number = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 && *ret_number <= most;
}

static const char *parse_listen(struct settings *settings, const char *value)
{
    static const char forms[] = "HOST:PORT, [IPv6]:PORT, unix:PATH or unix:@NAME";
    if (settings->address_count == MAX_ADDRESSES)
        return "no more than 16 addresses";

    struct address *address = &settings->addresses[settings->address_count];
    address->text = value;
    if (strncmp(value, "unix:", 5) == 0) {
        address->path = value + 5;
        settings->address_count += *address->path != '\0';
        return *address->path != '\0' ? NULL : forms;
    }

    const char *colon = strrchr(value, ':');
    unsigned long port;
    if (colon == NULL || !parse_number(colon + 1, UINT16_MAX, &port))
        return forms;

    const char *host = value;
    size_t size = (size_t)(colon - value);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host += 1;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        return forms; /* an IPv6 address without brackets: its last group is no port */
    }
    if (size >= sizeof address->host)
        return forms;

    memcpy(address->host, host, size);
    address->host[size] = '\0';
    address->port = (uint16_t)port;
    settings->address_count++;
    return NULL;
}

static const char *parse_threads(struct settings *settings, const char *value)
{
    unsigned long threads;
    if (!parse_number(value, MAX_THREADS, &threads) || threads == 0)
        return "a number from 1 to 1024";
    settings->threads = (unsigned)threads;
    return NULL;
}

static const char *parse_grace(struct settings *settings, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    bool number = end != value && *end == '\0' && strspn(value, "0123456789.") == strlen(value);
    if (!number || seconds > MAX_GRACE)
        return "seconds from 0 to 86400, as 5 or 0.5";
    settings->grace = (weir_duration)(seconds * (double)WEIR_SECOND);
    return NULL;
}

static const char *parse_tls_cert(struct settings *settings, const char *value)
{
    settings->tls_options.certificate_file = value;
    return *value != '\0' ? NULL : "a file";
}

static const char *parse_tls_key(struct settings *settings, const char *value)
{
    settings->tls_options.key_file = value;
    return *value != '\0' ? NULL : "a file";
}

static const char *parse_tls_client_ca(struct settings *settings, const char *value)
{
    settings->tls_options.ca_file = value;
    settings->tls_options.require_client_certificate = true;
    return *value != '\0' ? NULL : "a file";
}

static const char *parse_tls_min(struct settings *settings, const char *value)
{
    bool newest = strcmp(value, "1.3") == 0;
    settings->tls_options.minimum_version = newest ? WEIR_TLS_1_3 : WEIR_TLS_1_2;
    return newest || strcmp(value, "1.2") == 0 ? NULL : "1.2 or 1.3";
}

static const char *parse_metrics(struct settings *settings, const char *value)
{
    settings->metrics = true;
    return value; /* it takes none */
}

static const struct option {
    const char *name;
    const char *value; /* NULL: it takes none */
    parse_fn *parse;   /* NULL: it prints something, and that is all */
    const char *help;
} option_table[] = {
    { "--listen", "ADDRESS", parse_listen,
      "HOST:PORT, [IPv6]:PORT, unix:PATH or unix:@NAME (abstract);\n"
      "no HOST: every address of the machine; port 0: a free one;\n"
      "may be repeated" },
    { "--threads", "N", parse_threads,
      "loops, one a thread, which share all listening sockets (1)" },
    { "--grace", "SECONDS", parse_grace,
      "how long clients may go on after SIGINT or SIGTERM (5);\n"
      "a second signal ends at once" },
    { "--tls-cert", "FILE", parse_tls_cert,
      "serve TLS: the certificate, and those that vouch for it\n"
      "(PEM); SIGHUP makes it read all these files again" },
    { "--tls-key", "FILE", parse_tls_key,
      "its key (PEM, not encrypted); else it is in --tls-cert" },
    { "--tls-client-ca", "FILE", parse_tls_client_ca,
      "let in only those that present a certificate by one of\n"
      "these authorities (PEM)" },
    { "--tls-min", "VERSION", parse_tls_min, "1.2 or 1.3 (1.2)" },
    { "--metrics", NULL, parse_metrics,
      "print the library's counters at the end, as a line of JSON:\n"
      "weir.h's struct weir_metrics, summed over the threads,\n"
      "and how many connections each thread has accepted" },
    { "--help", NULL, NULL, "print this, and exit" },
    { "--version", NULL, NULL, "print the version, and exit" },
};
enum { OPTION_COUNT = sizeof option_table / sizeof option_table[0] };

static void print_help(const struct cli_tool *tool)
{
    printf("Usage: %s [OPTION]...\n%s\nListens on %s unless told otherwise.\n\n", tool->name,
           tool->purpose, tool->listen);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        const char *line = option->help;
        int used = printf("  %s %s", option->name, option->value ? option->value : "");
        printf("%*s", HELP_COLUMN - used, "");
        for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
            printf("%.*s\n%*s", (int)(end - line), line, HELP_COLUMN, "");
        printf("%s\n", line);
    }
}

static const struct option *find_option(const char *name, size_t size)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(option_table[i].name) == size && memcmp(option_table[i].name, name, size) == 0)
            return &option_table[i];
    }
    return NULL;
}

/* Obeys argv[*index], as "--name value" or "--name=value". Returns -1 to go on, or the status to
 * exit with. */
static int parse_option(struct settings *settings, char **argv, int *index)
{
    const char *tool = settings->tool->name, *word = argv[*index];
    if (*word != '-') {
        fprintf(stderr, "%s: unexpected argument %s (see --help)\n", tool, word);
        return 2;
    }
    int size = (int)strcspn(word, "=");
    const struct option *option = find_option(word, (size_t)size);
    if (option == NULL) {
        fprintf(stderr, "%s: unknown option %.*s (see --help)\n", tool, size, word);
        return 2;
    }

    const char *value = word[size] == '=' ? word + size + 1 : NULL;
    if (option->value == NULL && value != NULL) {
        fprintf(stderr, "%s: %s takes no value (see --help)\n", tool, option->name);
        return 2;
    }
    if (option->parse == NULL) {
        if (strcmp(option->name, "--help") == 0)
            print_help(settings->tool);
        else
            printf("%s %s\n", tool, weir_version());
        return 0;
    }

    if (value == NULL && option->value != NULL)
        value = argv[++*index];
    if (value == NULL && option->value != NULL) {
        fprintf(stderr, "%s: %s needs a value: %s %s (see --help)\n", tool, option->name,
                option->name, option->value);
        return 2;
    }
    const char *expected = option->parse(settings, value);
    if (expected == NULL)
        return -1;
    fprintf(stderr, "%s: %s '%s': expected %s\n", tool, option->name, value, expected);
    return 2;
}

int options_parse(struct settings *settings, char **argv, int argc)
{
    for (int i = 1; i < argc; i++) {
        int status = parse_option(settings, argv, &i);
        if (status >= 0)
            return status;
    }
    if (settings->address_count == 0)
        parse_listen(settings, settings->tool->listen);
    return -1;
}
