/* The weir end of tests/interop: a TLS client or server that performs the actions in its arguments,
 * in their order, on each connection, and prints what it sees as lines "name: value". */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

enum {
    LIFETIME = 60,           /* s, whatever happens */
    SENT_AT_ONCE = 65521,    /* a prime: what is sent ends anywhere within records */
    READ_MOST = 1024 * 1024, /* more than ever lies together */
    CERTIFICATES = 8,
    PROTOCOLS = 8,
};

static struct {
    bool server, plain, default_context;
    const char *host, *path; /* of a Unix socket; NULL: TCP */
    uint16_t port;
    int connections; /* a client's, one after the other */
    const char *server_hostname;
    weir_duration handshake_timeout, shutdown_timeout;
    struct weir_tls_options tls_options;
    struct weir_tls_certificate more[CERTIFICATES + 1];
    const char *alpn[PROTOCOLS + 1];
    char **actions; /* ended by NULL */
    struct weir_tls *tls;
} peer = { .host = "127.0.0.1", .connections = 1 };

struct conversation {
    struct weir_reader *reader;
    struct weir_writer *writer;
    const char *value; /* of the action in progress, "" without one */
};

/* ---- What it prints ---------------------------------------------------------------------------*/

static const char *error_name(int error)
{
    static const char *const names[] = {
        "INCOMPLETE",    "LIMIT_OVERRUN", "UNRESOLVED",    "RING_DISABLED",   "RING_BLOCKED",
        "RING_MISSING",  "RING_MEMORY",   "TLS_HANDSHAKE", "TLS_ALERT",       "TLS_PLAINTEXT",
        "TLS_UNTRUSTED", "TLS_EXPIRED",   "TLS_HOSTNAME",  "TLS_CERTIFICATE", "TLS_TRUNCATED",
        "TLS_RECORD",    "TLS_FILE",
    };
    if (error > WEIR_INCOMPLETE)
        return strerrorname_np(-error);
    return names[WEIR_INCOMPLETE - error];
}

/* "name: 0", or of an error "name: NAME (text)". Returns it. */
static int report(const char *name, int error)
{
    if (error < 0)
        printf("%s: %s (%s)\n", name, error_name(error), weir_strerror(error));
    else
        printf("%s: 0\n", name);
    return error;
}

static uint32_t crc32_table[256];

static void crc32_prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xEDB88320 : 0);
        crc32_table[byte] = value;
    }
}

/* Goes on from the checksum of what came before, or from 0. It is that of Python's zlib.crc32(). */
static uint32_t crc32_update(uint32_t crc, const char *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ crc32_table[(crc ^ (unsigned char)data[i]) & 0xFF];
    return ~crc;
}

/* ---- Actions: each returns 0, or the error that ends the conversation -------------------------*/

static int do_info(struct conversation *c)
{
    static const char *const names[] = {
        "peername",    "version",          "cipher",          "alpn",
        "resumed",     "server_hostname",  "peercert",        "peercert_names",
        "record_path", "peercert_subject", "peercert_issuer",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = weir_get_extra_info(c->writer, names[i]);
        if (!value)
            continue;
        printf("%s: ", names[i]);
        for (; *value; value++)
            putchar(*value == '\n' ? '|' : *value);
        putchar('\n');
    }
    return report("info", 0);
}

/* send:N sends N bytes that never repeat themselves. */
static int do_send(struct conversation *c)
{
    uint64_t size = strtoull(c->value, NULL, 10), left = size;
    uint64_t random = 88172645463325252;
    union {
        uint64_t words[(SENT_AT_ONCE + 7) / 8];
        char bytes[1];
    } *block = malloc(sizeof *block);
    if (!block)
        return -ENOMEM;

    uint32_t crc = 0;
    int rc = 0;
    while (left > 0 && rc == 0) {
        for (size_t i = 0; i < sizeof block->words / sizeof block->words[0]; i++) {
            random ^= random << 13; /* xorshift64 */
            random ^= random >> 7;
            random ^= random << 17;
            block->words[i] = random;
        }
        size_t n = left < SENT_AT_ONCE ? left : SENT_AT_ONCE;
        crc = crc32_update(crc, block->bytes, n);
        left -= n;
        rc = weir_write_all(c->writer, block->bytes, n);
    }
    free(block);
    if (rc == 0)
        printf("sent: %" PRIu64 " %08" PRIx32 "\n", size, crc);
    return rc;
}

/* receive:N receives N bytes, and receive all until the end. */
static int do_receive(struct conversation *c)
{
    uint64_t most = *c->value ? strtoull(c->value, NULL, 10) : UINT64_MAX, size = 0;
    uint32_t crc = 0;
    ssize_t n = 0;
    while (size < most) {
        uint64_t left = most - size;
        struct weir_slice data;
        n = weir_read(c->reader, left < READ_MOST ? left : READ_MOST, &data);
        if (n <= 0)
            break;
        crc = crc32_update(crc, data.data, n);
        size += n;
    }
    printf("received: %" PRIu64 " %08" PRIx32 "\n", size, crc);
    return n < 0 ? n : 0;
}

static int send_task(void *conversation)
{
    return do_send(conversation);
}

static int receive_task(void *conversation)
{
    return do_receive(conversation);
}

/* duplex:N sends and receives N bytes at the same time. */
static int do_duplex(struct conversation *c)
{
    struct weir_group group = { 0 };
    int rc = weir_group_start(&group, send_task, c);
    if (rc == 0)
        rc = weir_group_start(&group, receive_task, c);
    int failure = weir_group_wait(&group);
    return rc < 0 ? rc : failure;
}

/* Sends back what comes, uncopied, until the end. */
static int do_echo(struct conversation *c)
{
    uint64_t size = 0;
    ssize_t n;
    struct weir_slice data;
    while ((n = weir_read(c->reader, READ_MOST, &data)) > 0) {
        int rc = weir_write_slice(c->writer, data);
        if (rc == 0)
            rc = weir_drain(c->writer);
        if (rc < 0)
            return rc;
        size += n;
    }
    printf("echoed: %" PRIu64 "\n", size);
    return n;
}

static int do_line(struct conversation *c)
{
    struct weir_slice line;
    ssize_t n = weir_readline(c->reader, &line);
    if (n < 0)
        return n;
    while (line.size > 0 && strchr("\r\n", line.data[line.size - 1]))
        line.size--;
    printf("line: %.*s\n", n > 0 ? (int)line.size : 5, n > 0 ? line.data : "(end)");
    return 0;
}

/* Reads the head of an HTTP request or response. */
static int do_head(struct conversation *c)
{
    struct weir_slice head;
    ssize_t n = weir_readuntil(c->reader, "\r\n\r\n", &head);
    if (n > 0)
        printf("head: %.*s\n", (int)strcspn(head.data, "\r"), head.data);
    return n < 0 ? n : 0;
}

/* say:TEXT queues the text, as it is. */
static int do_say(struct conversation *c)
{
    return weir_write(c->writer, c->value, strlen(c->value));
}

static int do_drain(struct conversation *c)
{
    return weir_drain(c->writer);
}

static int do_eof(struct conversation *c)
{
    printf("can_write_eof: %s\n", weir_can_write_eof(c->writer) ? "true" : "false");
    return report("write_eof", weir_write_eof(c->writer));
}

static int do_abort(struct conversation *c)
{
    weir_abort(c->writer);
    return 0;
}

static int do_start_tls(struct conversation *c)
{
    const struct weir_start_tls_options options = {
        .server_hostname = peer.server_hostname,
        .tls_handshake_timeout = peer.handshake_timeout,
        .tls_shutdown_timeout = peer.shutdown_timeout,
    };
    int rc = weir_start_tls(c->writer, peer.tls, peer.server ? NULL : &options);
    return rc < 0 ? rc : report("start_tls", rc);
}

static const struct action {
    const char *name;
    int (*run)(struct conversation *c);
} actions[] = {
    { "info", do_info },     { "send", do_send },   { "receive", do_receive },
    { "duplex", do_duplex }, { "echo", do_echo },   { "line", do_line },
    { "head", do_head },     { "say", do_say },     { "drain", do_drain },
    { "eof", do_eof },       { "abort", do_abort }, { "start_tls", do_start_tls },
};

static const struct action *action_named(const char *text)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcspn(text, ":") == strlen(actions[i].name) &&
            strncmp(text, actions[i].name, strlen(actions[i].name)) == 0)
            return &actions[i];
    }
    return NULL;
}

static int converse(struct weir_reader *reader, struct weir_writer *writer)
{
    struct conversation conversation = { .reader = reader, .writer = writer };
    int rc = 0;
    for (char **text = peer.actions; *text && rc == 0; text++) {
        const struct action *action = action_named(*text);
        const char *colon = strchr(*text, ':');
        conversation.value = colon ? colon + 1 : "";
        rc = action->run(&conversation);
        if (rc < 0)
            report(action->name, rc);
    }
    int closed = report("closed", weir_wait_closed(writer));
    return rc < 0 ? rc : closed;
}

/* ---- Client and server ------------------------------------------------------------------------*/

static int client(void *unused)
{
    const struct weir_connect_options options = {
        .tls = peer.plain ? NULL : peer.tls,
        .server_hostname = peer.plain ? NULL : peer.server_hostname,
        .tls_handshake_timeout = peer.plain ? 0 : peer.handshake_timeout,
        .tls_shutdown_timeout = peer.plain ? 0 : peer.shutdown_timeout,
    };
    for (int i = 0; i < peer.connections; i++) {
        struct weir_reader *reader;
        struct weir_writer *writer;
        int rc = peer.path ? weir_open_unix_connection(peer.path, &options, &reader, &writer)
                           : weir_open_connection(peer.host, peer.port, &options, &reader, &writer);
        report("connected", rc);
        if (rc == 0)
            rc = converse(reader, writer);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void client_connected(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    report("connected", 0);
    converse(reader, writer);
}

static void print_changed(const char *name, uint64_t *seen, uint64_t now)
{
    if (now != *seen)
        printf("%s: %" PRIu64 "\n", name, now);
    *seen = now;
}

/* Prints the counters of TLS as they change: of a client that fails nothing else tells. */
static int watch_metrics(void *unused)
{
    struct weir_metrics seen = { 0 }, now;
    bool cancelled;
    do {
        cancelled = weir_sleep(5 * WEIR_MILLISECOND) < 0;
        weir_get_metrics(&now);
        print_changed("tls_handshakes", &seen.tls_handshakes, now.tls_handshakes);
        print_changed("tls_resumed", &seen.tls_resumed, now.tls_resumed);
        print_changed("tls_failures", &seen.tls_failures, now.tls_failures);
    } while (!cancelled);
    return 0;
}

static int server(void *unused)
{
    const struct weir_server_options options = {
        .tls = peer.plain ? NULL : peer.tls,
        .tls_handshake_timeout = peer.plain ? 0 : peer.handshake_timeout,
        .tls_shutdown_timeout = peer.plain ? 0 : peer.shutdown_timeout,
    };
    struct weir_server *server;
    int rc =
        peer.path
            ? weir_start_unix_server(client_connected, NULL, peer.path, &options, &server)
            : weir_start_server(client_connected, NULL, peer.host, peer.port, &options, &server);
    if (rc < 0)
        return report("listening", rc);
    printf("listening: %s\n", weir_server_sockname(server, 0));

    struct weir_group group = { 0 };
    rc = weir_group_start(&group, watch_metrics, NULL);
    weir_wait_signal(SIGTERM, SIGINT);
    weir_server_shutdown(server, WEIR_SECOND);
    weir_group_cancel(&group);
    weir_group_wait(&group);
    return rc;
}

/* ---- Options ----------------------------------------------------------------------------------*/

static const char usage[] =
    "Usage: interop-peer serve|connect [OPTION]... [ACTION]...\n"
    "       interop-peer build\n"
    "Options: --port N, --unix PATH, --host HOST, --ca FILE, --cert FILE, --key FILE,\n"
    "  --more CERT,KEY, --alpn NAME,..., --tls-1.3, --request-client-cert, --require-client-cert,\n"
    "  --server-hostname NAME, --no-tickets, --no-hardware-aes, --skip-verification,\n"
    "  --skip-hostname, --allow-truncation, --default (weir_tls_default()), --plain (until\n"
    "  start_tls), --handshake-timeout MS, --shutdown-timeout MS, --connections N\n"
    "Actions: info, send:N, receive[:N], duplex:N, echo, line, head, say:TEXT, drain, eof, abort,\n"
    "  start_tls\n"
    "A server ends by SIGTERM. `build` prints how it was built.\n";

static void fail_usage(const char *what, const char *argument)
{
    fprintf(stderr, "interop-peer: %s %s\n%s", what, argument, usage);
    exit(2);
}

static char *argument_of(char ***argv)
{
    char *option = *(*argv)++;
    if (!**argv)
        fail_usage("a value is missing after", option);
    return *(*argv)++;
}

/* Splits at the commas, into at most `most` parts; the rest of `parts` stays NULL. */
static void split(char *text, const char **parts, size_t most)
{
    for (size_t i = 0; i < most && text; i++)
        parts[i] = strsep(&text, ",");
}

static void add_certificate(char *pair)
{
    const char *files[2] = { NULL, NULL };
    split(pair, files, 2);
    size_t i = 0;
    while (i < CERTIFICATES && peer.more[i].certificate_file)
        i++;
    if (i == CERTIFICATES)
        fail_usage("too many", "--more");
    peer.more[i] = (struct weir_tls_certificate){ files[0], files[1] };
    peer.tls_options.more_certificates = peer.more;
}

/* Leaves peer.actions at what follows the options. */
static void parse_options(char **argv)
{
    struct weir_tls_options *tls = &peer.tls_options;
    const struct {
        const char *name;
        bool *flag;
        const char **text;
        weir_duration *milliseconds;
    } options[] = {
        { "--unix", .text = &peer.path },
        { "--host", .text = &peer.host },
        { "--ca", .text = &tls->ca_file },
        { "--cert", .text = &tls->certificate_file },
        { "--key", .text = &tls->key_file },
        { "--server-hostname", .text = &peer.server_hostname },
        { "--handshake-timeout", .milliseconds = &peer.handshake_timeout },
        { "--shutdown-timeout", .milliseconds = &peer.shutdown_timeout },
        { "--plain", .flag = &peer.plain },
        { "--default", .flag = &peer.default_context },
        { "--request-client-cert", .flag = &tls->request_client_certificate },
        { "--require-client-cert", .flag = &tls->require_client_certificate },
        { "--no-tickets", .flag = &tls->no_session_tickets },
        { "--no-hardware-aes", .flag = &tls->no_hardware_aes },
        { "--skip-verification", .flag = &tls->insecure_skip_verification },
        { "--skip-hostname", .flag = &tls->insecure_skip_hostname },
        { "--allow-truncation", .flag = &tls->insecure_allow_truncation },
    };
    while (*argv && strncmp(*argv, "--", 2) == 0) {
        size_t i = 0, count = sizeof options / sizeof options[0];
        while (i < count && strcmp(*argv, options[i].name) != 0)
            i++;
        if (i < count && options[i].flag) {
            *options[i].flag = true;
            argv++;
        } else if (i < count && options[i].text) {
            *options[i].text = argument_of(&argv);
        } else if (i < count) {
            *options[i].milliseconds = atoi(argument_of(&argv)) * WEIR_MILLISECOND;
        } else if (strcmp(*argv, "--port") == 0) {
            peer.port = atoi(argument_of(&argv));
        } else if (strcmp(*argv, "--connections") == 0) {
            peer.connections = atoi(argument_of(&argv));
        } else if (strcmp(*argv, "--tls-1.3") == 0) {
            tls->minimum_version = WEIR_TLS_1_3;
            argv++;
        } else if (strcmp(*argv, "--more") == 0) {
            add_certificate(argument_of(&argv));
        } else if (strcmp(*argv, "--alpn") == 0) {
            split(argument_of(&argv), peer.alpn, PROTOCOLS);
            tls->alpn = peer.alpn;
        } else {
            fail_usage("there is no option", *argv);
        }
    }
    peer.actions = argv;
}

static int make_context(void)
{
    if (peer.default_context) {
        peer.tls = weir_tls_default();
        return 0;
    }
    return peer.server ? weir_tls_server(&peer.tls_options, &peer.tls)
                       : weir_tls_client(&peer.tls_options, &peer.tls);
}

/* Nothing may be left of any connection, however it ended. */
static void print_left(void)
{
    struct weir_metrics metrics;
    weir_get_metrics(&metrics);
    printf("left: %" PRIu64 " tasks, %" PRIu64 " streams, %" PRIu64 " segments\n",
           metrics.tasks_open, metrics.streams_open, metrics.segments_open);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "build") == 0) {
#ifdef WEIR_TINY
        printf("build: tiny\n");
#else
        printf("build: normal\n");
#endif
        return 0;
    }
    if (argc < 2 || (strcmp(argv[1], "serve") != 0 && strcmp(argv[1], "connect") != 0))
        fail_usage("serve or connect? in", argv[0]);
    peer.server = strcmp(argv[1], "serve") == 0;
    parse_options(argv + 2);
    for (char **text = peer.actions; *text; text++) {
        if (!action_named(*text))
            fail_usage("there is no action", *text);
    }

    alarm(LIFETIME);
    crc32_prepare();
    int rc = make_context();
    if (rc < 0) {
        report("context", rc);
        return 1;
    }
    rc = weir_run(peer.server ? server : client, NULL, NULL);
    print_left();
    if (!peer.default_context)
        weir_tls_free(peer.tls);
    report("end", rc);
    return rc < 0;
}
