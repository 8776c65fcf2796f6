/* The common half of weir's command-line servers: options, TLS, listening, announcing, ending. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_ADDRESSES = 16,
    MAX_THREADS = 1024,
    MAX_GRACE = 86400, /* seconds */
    HELP_COLUMN = 24,
};

struct address {
    const char *text; /* as it was given, for messages */
    const char *path; /* a Unix socket's; NULL for TCP */
    char host[256];
    uint16_t port;
};

/* Shared by all threads, which only read it but for the atomics. */
struct settings {
    const struct cli_tool *tool;
    struct address addresses[MAX_ADDRESSES];
    size_t address_count;
    unsigned threads;
    weir_duration grace;
    struct weir_tls_options tls_options;
    struct weir_tls *tls; /* NULL: plain */
    atomic_uint threads_waiting;
    bool failure_told; /* under the lock of stderr */
};

/* ---- Options --------------------------------------------------------------------------------- */

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

static const struct option {
    const char *name;
    const char *value; /* NULL: it takes none, and is cli_main()'s to obey */
    parse_fn *parse;
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
    if (option->value == NULL) {
        if (strcmp(option->name, "--help") == 0)
            print_help(settings->tool);
        else
            printf("%s %s\n", tool, weir_version());
        return 0;
    }

    if (value == NULL)
        value = argv[++*index];
    if (value == NULL) {
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

/* ---- TLS ------------------------------------------------------------------------------------- */

/* Says which file cannot be read; what is wrong inside one is for weir_tls_server() to find. */
static bool readable(const struct cli_tool *tool, const char *file)
{
    if (file == NULL || access(file, R_OK) == 0)
        return true;
    fprintf(stderr, "%s: cannot read %s: %s\n", tool->name, file, weir_strerror(-errno));
    return false;
}

static void complain_of_files(const struct settings *settings, const char *what, int error)
{
    const struct weir_tls_options *options = &settings->tls_options;
    const char *authorities = options->ca_file;
    fprintf(stderr, "%s: %s certificate %s, key %s%s%s: %s\n", settings->tool->name, what,
            options->certificate_file, options->key_file, authorities ? ", authorities " : "",
            authorities ? authorities : "", weir_strerror(error));
}

/* Makes the context, if there is to be one. Returns -1 to go on, or the status to exit with. */
static int open_tls(struct settings *settings)
{
    const struct cli_tool *tool = settings->tool;
    struct weir_tls_options *options = &settings->tls_options;
    if (options->certificate_file == NULL) {
        if (options->key_file == NULL && options->ca_file == NULL && options->minimum_version == 0)
            return -1;
        fprintf(stderr, "%s: the other --tls options need --tls-cert (see --help)\n", tool->name);
        return 2;
    }
    if (options->key_file == NULL)
        options->key_file = options->certificate_file;
    if (!readable(tool, options->certificate_file) || !readable(tool, options->key_file) ||
        !readable(tool, options->ca_file))
        return EXIT_FAILURE;

    int rc = weir_tls_server(options, &settings->tls);
    if (rc < 0)
        complain_of_files(settings, "cannot use", rc);
    signal(SIGHUP, SIG_IGN); /* but for the task that waits for it */
    return rc < 0 ? EXIT_FAILURE : -1;
}

static int reload(void *argument)
{
    const struct settings *settings = argument;
    return weir_tls_reload(settings->tls);
}

struct hangups {
    struct settings *settings;
    struct weir_event event;
};

static int reload_after_hangups(void *argument)
{
    struct hangups *hangups = argument;
    while (weir_event_wait(&hangups->event) == 0) {
        weir_event_clear(&hangups->event);
        int rc = weir_to_thread(reload, hangups->settings);
        if (rc < 0)
            complain_of_files(hangups->settings, "goes on as before: cannot reload", rc);
        else
            printf("%s: certificates reloaded\n", hangups->settings->tool->name);
        fflush(stdout);
    }
    return 0;
}

/* Two tasks, since a signal is caught only while somebody waits for it. One between two waits is
 * lost, and does no harm: the reloading that the former asks for has not begun yet. */
static int watch_hangups(struct settings *settings)
{
    struct hangups hangups = { .settings = settings };
    struct weir_group group = { 0 };
    int rc = weir_group_start(&group, reload_after_hangups, &hangups);
    while (rc == 0 && weir_wait_signal(SIGHUP, 0) > 0)
        weir_event_set(&hangups.event);
    weir_group_cancel(&group);
    return weir_group_wait(&group);
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* One thread's: the server at each of the addresses. */
struct listeners {
    struct settings *settings;
    struct weir_server *servers[MAX_ADDRESSES];
};

static int listen_at(struct listeners *listeners, size_t index)
{
    const struct settings *settings = listeners->settings;
    const struct address *address = &settings->addresses[index];
    struct weir_server_options options = {
        .limit = settings->tool->limit,
        .tls = settings->tls,
        .backlog = SOMAXCONN,
    };
    weir_client_connected_fn *connected = settings->tool->client_connected;
    if (address->path)
        return weir_start_unix_server(connected, NULL, address->path, &options,
                                      &listeners->servers[index]);
    return weir_start_server(connected, NULL, address->host, address->port, &options,
                             &listeners->servers[index]);
}

static int listen_at_all(struct listeners *listeners)
{
    struct settings *settings = listeners->settings;
    for (size_t i = 0; i < settings->address_count; i++) {
        int rc = listen_at(listeners, i);
        if (rc < 0) {
            flockfile(stderr); /* no thread exits before it is told, and told once */
            if (!settings->failure_told)
                fprintf(stderr, "%s: cannot listen on %s: %s\n", settings->tool->name,
                        settings->addresses[i].text, weir_strerror(rc));
            settings->failure_told = true;
            funlockfile(stderr);
            return rc;
        }
    }
    return 0;
}

/* Says where we listen, in the last thread to get so far: whoever reads it may then connect, and
 * may send the signal, without being too early for any thread. That thread minds SIGHUP, too. */
static int announce(void *argument)
{
    const struct listeners *listeners = argument;
    struct settings *settings = listeners->settings;
    const char *scheme = settings->tls ? settings->tool->tls_scheme : "";
    if (atomic_fetch_add(&settings->threads_waiting, 1) + 1 < settings->threads)
        return 0;

    for (size_t i = 0; i < settings->address_count; i++) {
        const struct weir_server *server = listeners->servers[i];
        const char *name = settings->addresses[i].text;
        if (settings->addresses[i].path)
            printf("%s: listening on %s\n", settings->tool->name, name);
        else
            for (size_t k = 0; (name = weir_server_sockname(server, k)) != NULL; k++)
                printf("%s: listening on %s%s\n", settings->tool->name, scheme, name);
    }
    fflush(stdout);
    return settings->tls ? watch_hangups(settings) : 0;
}

struct ending {
    struct weir_server *server;
    weir_duration grace;
};

static int end_server(void *argument)
{
    const struct ending *ending = argument;
    weir_server_shutdown(ending->server, ending->grace);
    return 0; /* that clients had to be cut off is no failure of ours */
}

static void end_all(const struct listeners *listeners, weir_duration grace)
{
    struct weir_group group = { 0 };
    struct ending endings[MAX_ADDRESSES];
    for (size_t i = 0; i < MAX_ADDRESSES; i++) {
        if (listeners->servers[i] == NULL)
            continue;
        weir_server_close(listeners->servers[i]);
        endings[i] = (struct ending){ listeners->servers[i], grace };
        if (weir_group_start(&group, end_server, &endings[i]) < 0)
            end_server(&endings[i]);
    }
    weir_group_wait(&group);
}

/* What each thread runs. */
static int serve(void *argument)
{
    struct settings *settings = argument;
    struct listeners listeners = { .settings = settings };
    int rc = listen_at_all(&listeners);
    if (rc < 0) {
        end_all(&listeners, 0);
        if (settings->threads > 1)
            _exit(EXIT_FAILURE); /* the other threads may be serving */
        return rc;
    }

    struct weir_group group = { 0 };
    rc = weir_group_start(&group, announce, &listeners); /* runs once this task waits */
    int signal_number = rc < 0 ? rc : weir_wait_signal(SIGINT, SIGTERM);
    weir_group_cancel(&group);
    weir_group_wait(&group);
    end_all(&listeners, signal_number < 0 ? 0 : settings->grace);
    return signal_number < 0 ? signal_number : 0;
}

int cli_main(const struct cli_tool *tool, int argc, char **argv)
{
    struct settings settings = { .tool = tool, .threads = 1, .grace = 5 * WEIR_SECOND };
    for (int i = 1; i < argc; i++) {
        int status = parse_option(&settings, argv, &i);
        if (status >= 0)
            return status;
    }
    if (settings.address_count == 0)
        parse_listen(&settings, tool->listen);
    int status = open_tls(&settings);
    if (status >= 0)
        return status;

    int rc = weir_run(serve, &settings, &(struct weir_run_options){ .threads = settings.threads });
    if (rc < 0 && !settings.failure_told)
        fprintf(stderr, "%s: %s\n", tool->name, weir_strerror(rc));
    weir_tls_free(settings.tls);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
