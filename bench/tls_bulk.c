/* The server of bench/bench-tls that carries bulk over weir's TLS: it answers as much of HTTP as
 * bench/load_tls asks for, in the same pieces of 16 KiB that the others read and write.
 *
 *   GET /       "Hello, World!"
 *   GET /bulk   the file, read anew for each request unless --memory
 *   POST /      takes the body, the pattern, and says hello
 */
#include "common.h"
#include "tls_pattern.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <weir.h>

#define PROGRAM "tls_bulk"

enum { PIECE = 16 * 1024, HEAD_MOST = 16 * 1024, BACKLOG = 4096 };

static const char hello[] = HTTP_ANSWER;

static struct {
    const char *host;
    uint16_t port;
    const char *file_name;
    bool memory;
    struct weir_tls_options tls;
    int file;
    size_t file_size;
    char *file_bytes; /* with --memory */
} bulk = { .host = "127.0.0.1", .file = -1 };

static int send_file(struct weir_writer *writer)
{
    char buffer[PIECE];
    int rc = weir_printf(writer, "HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Length: %zu\r\n\r\n",
                         bulk.file_size);
    for (size_t at = 0; at < bulk.file_size && rc >= 0;) {
        size_t left = bulk.file_size - at, piece = left < PIECE ? left : PIECE;
        const char *bytes = buffer;
        if (bulk.memory)
            bytes = bulk.file_bytes + at;
        else if (pread(bulk.file, buffer, piece, (off_t)at) != (ssize_t)piece)
            return -EIO;
        rc = weir_write(writer, bytes, piece);
        if (rc == 0)
            rc = weir_drain(writer);
        at += piece;
    }
    return rc;
}

/* The first and the last byte of each part are compared: enough to notice what is lost, doubled or
 * out of place, and too little to cost anything. */
static int take_body(struct weir_reader *reader, uint64_t size)
{
    for (uint64_t at = 0; at < size;) {
        struct weir_slice part;
        ssize_t n = weir_read(reader, size - at, &part);
        if (n <= 0)
            return n < 0 ? (int)n : WEIR_INCOMPLETE;
        if ((unsigned char)part.data[0] != *pattern_at(at) ||
            (unsigned char)part.data[n - 1] != *pattern_at(at + (uint64_t)n - 1))
            return -EBADMSG;
        at += (uint64_t)n;
    }
    return 0;
}

static bool starts_with(struct weir_slice head, const char *text)
{
    size_t size = strlen(text);
    return head.size >= size && memcmp(head.data, text, size) == 0;
}

/* Of a head that load_tls has made: the field is there, and in these words. */
static uint64_t content_length(struct weir_slice head)
{
    static const char field[] = "\r\nContent-Length: ";
    const char *found = memmem(head.data, head.size, field, sizeof field - 1);
    return found ? strtoull(found + sizeof field - 1, NULL, 10) : 0;
}

static int answer(struct weir_reader *reader, struct weir_writer *writer, struct weir_slice head)
{
    if (starts_with(head, "GET /bulk ") && bulk.file >= 0)
        return send_file(writer);
    int rc = 0;
    if (starts_with(head, "POST / "))
        rc = take_body(reader, content_length(head));
    else if (!starts_with(head, "GET / "))
        rc = -EBADMSG;
    return rc < 0 ? rc : weir_write(writer, hello, sizeof hello - 1);
}

static void serve(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct weir_slice head;
    int rc = 0;
    while (rc == 0 && weir_readuntil(reader, "\r\n\r\n", &head) > 0) {
        rc = answer(reader, writer, head);
        if (rc == 0)
            rc = weir_drain(writer);
    }
    if (rc == -EBADMSG || rc == -EIO)
        fprintf(stderr, PROGRAM ": %s\n",
                rc == -EIO ? "the file has shrunk" : "wrong bytes, or request");
}

static int run(void *unused)
{
    struct weir_server_options options = { .backlog = BACKLOG, .limit = HEAD_MOST };
    struct weir_server *server;
    int rc = weir_tls_server(&bulk.tls, &options.tls);
    if (rc < 0)
        return rc;
    rc = weir_start_server(serve, NULL, bulk.host, bulk.port, &options, &server);
    if (rc == 0) {
        printf(PROGRAM ": listening on %s\n", weir_server_sockname(server, 0));
        fflush(stdout);
        rc = weir_server_serve_forever(server);
    }
    weir_tls_free(options.tls);
    return rc;
}

/* ---- The command line ------------------------------------------------------------------------ */

static void print_help(void)
{
    printf(
        "tls_bulk: serves a file over HTTPS, and takes uploads\n\n"
        "usage: tls_bulk --tls-cert FILE --tls-key FILE [OPTION...]\n\n"
        "  --listen ADDRESS   IPV4:PORT (127.0.0.1:0, a port that the system picks)\n"
        "  --file FILE        what GET /bulk sends\n"
        "  --memory           read it once, at the start; otherwise for each request\n"
        "  --no-hardware-aes  leave AES-GCM to wolfSSL's software\n"
        "  --help             this text\n\n"
        "Prints \"tls_bulk: listening on ADDRESS\" once it listens. SIGTERM and SIGINT end it.\n");
}

static void take_address(char *text)
{
    char *colon = strrchr(text, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : UINT16_MAX + 1UL;
    if (port > UINT16_MAX)
        die(PROGRAM, EXIT_USAGE, "'%s' is no IPV4:PORT", text);
    *colon = '\0';
    bulk.host = text;
    bulk.port = (uint16_t)port;
}

static void take_option(int option)
{
    switch (option) {
    case 'l':
        take_address(optarg);
        break;
    case 'c':
        bulk.tls.certificate_file = optarg;
        break;
    case 'k':
        bulk.tls.key_file = optarg;
        break;
    case 'f':
        bulk.file_name = optarg;
        break;
    case 'm':
        bulk.memory = true;
        break;
    case 's':
        bulk.tls.no_hardware_aes = true;
        break;
    case 'h':
        print_help();
        exit(EXIT_OK);
    default:
        die(PROGRAM, EXIT_USAGE, "wrong option; see tls_bulk --help");
    }
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "listen", required_argument, NULL, 'l' },  { "tls-cert", required_argument, NULL, 'c' },
        { "tls-key", required_argument, NULL, 'k' }, { "file", required_argument, NULL, 'f' },
        { "memory", no_argument, NULL, 'm' },        { "no-hardware-aes", no_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        take_option(option);
    if (optind != argc)
        die(PROGRAM, EXIT_USAGE, "unexpected argument '%s'; see --help", argv[optind]);
    if (!bulk.tls.certificate_file || !bulk.tls.key_file)
        die(PROGRAM, EXIT_USAGE, "--tls-cert and --tls-key are missing; see --help");
}

static void open_file(void)
{
    struct stat status;
    bulk.file = open(bulk.file_name, O_RDONLY | O_CLOEXEC);
    if (bulk.file < 0 || fstat(bulk.file, &status) < 0)
        die(PROGRAM, EXIT_FAILED, "%s: %s", bulk.file_name, strerror(errno));
    bulk.file_size = (size_t)status.st_size;
    if (!bulk.memory)
        return;
    bulk.file_bytes = malloc(bulk.file_size);
    for (size_t at = 0; at < bulk.file_size;) {
        ssize_t n = pread(bulk.file, bulk.file_bytes + at, bulk.file_size - at, (off_t)at);
        if (n <= 0)
            die(PROGRAM, EXIT_FAILED, "%s does not read", bulk.file_name);
        at += (size_t)n;
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    pattern_fill();
    if (bulk.file_name)
        open_file();
    signal(SIGTERM, exit_on_signal);
    signal(SIGINT, exit_on_signal);
    int rc = weir_run(run, NULL, NULL);
    if (rc < 0)
        fprintf(stderr, PROGRAM ": %s\n", weir_strerror(rc));
    return rc < 0 ? EXIT_FAILED : EXIT_OK;
}
