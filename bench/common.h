/* What the programs of the benchmark share: addresses, listening, the servers' options and their
 * HTTP, the clock. In one header, so that each bench/NAME.c still is a program by itself. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- Messages -------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4), noreturn)) static inline void die(const char *program,
                                                                       int status,
                                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Of this process, user and kernel together. */
static inline double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The value of the option --NAME. */
static inline double parse_number(const char *program, const char *name, const char *text,
                                  double least, double most)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= least && number <= most))
        die(program, EXIT_USAGE, "--%s takes a number from %.10g to %.10g, not '%s'", name, least,
            most, text);
    return number;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
    const char *path; /* of a Unix socket, else NULL */
};

static inline bool address_parse_unix(const char *path, struct address *ret_address)
{
    struct sockaddr_un *unix_address = (struct sockaddr_un *)&ret_address->storage;
    if (path[0] == '\0' || strlen(path) >= sizeof unix_address->sun_path)
        return false;
    unix_address->sun_family = AF_UNIX;
    memcpy(unix_address->sun_path, path, strlen(path) + 1);
    ret_address->size = sizeof *unix_address;
    ret_address->path = path;
    return true;
}

/* HOST:PORT, [HOST]:PORT or unix:PATH. */
static inline bool address_parse(const char *text, struct address *ret_address)
{
    memset(ret_address, 0, sizeof *ret_address);
    if (strncmp(text, "unix:", 5) == 0)
        return address_parse_unix(text + 5, ret_address);
    const char *colon = strrchr(text, ':');
    if (!colon || colon[1] == '\0')
        return false;
    char host[256];
    size_t length = (size_t)(colon - text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (length >= sizeof host)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *found;
    if (getaddrinfo(length ? host : NULL, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(&ret_address->storage, found->ai_addr, found->ai_addrlen);
    ret_address->size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* The line that bench/bench waits for, and reads the port from when --listen said 0. */
static inline void announce(const char *program, int listener, const struct address *address)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (address->path)
        printf("%s: listening on unix:%s\n", program, address->path);
    else if (getsockname(listener, (struct sockaddr *)&bound, &size) == 0 &&
             getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        printf(bound.ss_family == AF_INET6 ? "%s: listening on [%s]:%s\n"
                                           : "%s: listening on %s:%s\n",
               program, host, port);
    fflush(stdout);
}

/* TCP_NODELAY is set on the listener: accepted sockets inherit it, which saves a call for each. */
static inline int listen_on(const char *program, const struct address *address)
{
    int family = address->storage.ss_family, on = 1;
    int listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        die(program, EXIT_FAILED, "socket: %s", strerror(errno));
    if (address->path) {
        unlink(address->path);
    } else {
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (bind(listener, (const struct sockaddr *)&address->storage, address->size) < 0)
        die(program, EXIT_FAILED, "bind: %s", strerror(errno));
    if (listen(listener, 4096) < 0)
        die(program, EXIT_FAILED, "listen: %s", strerror(errno));
    return listener;
}

/* As many descriptors as the hard limit allows. Returns how many: the size of a table by fd. */
static inline unsigned raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
    setrlimit(RLIMIT_NOFILE, &limit);
    return (unsigned)limit.rlim_cur;
}

/* ---- The servers' command line, and their end ------------------------------------------------ */

enum server_mode {
    MODE_ECHO = 1 << 0,
    MODE_HTTP = 1 << 1,
    MODE_HTTP_CLOSE = 1 << 2,
    MODE_SINK = 1 << 3,
    MODE_SOURCE = 1 << 4,
    MODE_PROXY = 1 << 5,
};

static const struct {
    enum server_mode mode;
    const char *name, *what;
} server_modes[] = {
    { MODE_ECHO, "echo", "send back what comes" },
    { MODE_HTTP, "http", "answer every request with the 13 bytes \"Hello, World!\"" },
    { MODE_HTTP_CLOSE, "http-close", "answer one request with these, and close" },
    { MODE_SINK, "sink", "take all that comes, then send how much it was (8 bytes) and close" },
    { MODE_SOURCE, "source", "told how much, and the size of a block (8 bytes each): send that" },
    { MODE_PROXY, "proxy", "join each client to a connection of its own to --to" },
};
enum { SERVER_MODE_COUNT = sizeof server_modes / sizeof server_modes[0] };

struct server_program {
    const char *name, *what; /* for messages, and for the first line of --help */
    unsigned modes;          /* that it has; the first of them is the default */
    bool has_metrics;        /* it takes --metrics */
};

struct server_options {
    struct address address, to; /* `to` is empty without --to */
    enum server_mode mode;
    bool metrics;
};

static const char *unix_path_to_remove;

static inline void exit_on_signal(int number)
{
    (void)number;
    if (unix_path_to_remove)
        unlink(unix_path_to_remove);
    _exit(EXIT_OK);
}

static inline void print_server_help(const struct server_program *program)
{
    printf(
        "%s: %s\n\n"
        "usage: %s [OPTION...]\n\n"
        "  --listen ADDRESS  HOST:PORT or unix:PATH (127.0.0.1:0, a port that the system picks)\n"
        "  --mode MODE       what to do, the first unless told otherwise:\n",
        program->name, program->what, program->name);
    for (int i = 0; i < SERVER_MODE_COUNT; i++)
        if (program->modes & server_modes[i].mode)
            printf("                    %-10s  %s\n", server_modes[i].name, server_modes[i].what);
    if (program->modes & MODE_PROXY)
        printf("  --to ADDRESS      whom to join clients to, HOST:PORT\n");
    if (program->has_metrics)
        printf("  --metrics         at the end print weir's counters, as one line of JSON\n");
    printf("  --help            this text\n\n"
           "Prints \"%s: listening on ADDRESS\" once it listens. SIGTERM and SIGINT end it.\n",
           program->name);
}

static inline enum server_mode parse_server_mode(const struct server_program *program,
                                                 const char *text)
{
    for (int i = 0; i < SERVER_MODE_COUNT; i++)
        if ((program->modes & server_modes[i].mode) && strcmp(text, server_modes[i].name) == 0)
            return server_modes[i].mode;
    die(program->name, EXIT_USAGE, "no mode '%s' here; see --help", text);
}

static inline struct server_options parse_server_options(const struct server_program *program,
                                                         int argc, char **argv)
{
    static const struct option known[] = {
        { "listen", required_argument, NULL, 'l' }, { "mode", required_argument, NULL, 'm' },
        { "to", required_argument, NULL, 't' },     { "metrics", no_argument, NULL, 'c' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    struct server_options options = { .mode = program->modes & -program->modes };
    const char *listen_text = "127.0.0.1:0", *to_text = NULL;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'h') {
            print_server_help(program);
            exit(EXIT_OK);
        } else if (option == 'l') {
            listen_text = optarg;
        } else if (option == 'm') {
            options.mode = parse_server_mode(program, optarg);
        } else if (option == 't' && (program->modes & MODE_PROXY)) {
            to_text = optarg;
        } else if (option == 'c' && program->has_metrics) {
            options.metrics = true;
        } else {
            die(program->name, EXIT_USAGE, "wrong option; see %s --help", program->name);
        }
    }
    if (optind != argc)
        die(program->name, EXIT_USAGE, "unexpected argument '%s'; see --help", argv[optind]);
    if (!address_parse(listen_text, &options.address))
        die(program->name, EXIT_USAGE, "'%s' is no HOST:PORT or unix:PATH", listen_text);
    if (options.mode == MODE_PROXY && !to_text)
        die(program->name, EXIT_USAGE, "mode proxy needs --to");
    if (to_text && (!address_parse(to_text, &options.to) || options.to.path))
        die(program->name, EXIT_USAGE, "'%s' is no HOST:PORT", to_text);
    unix_path_to_remove = options.address.path;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, exit_on_signal);
    signal(SIGINT, exit_on_signal);
    return options;
}

/* ---- HTTP, as far as a hello needs it -------------------------------------------------------- */

#define HTTP_ANSWER                                                                                \
    "HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n"    \
    "Hello, World!"
enum { HTTP_ANSWER_SIZE = sizeof HTTP_ANSWER - 1 };

/* Counts the requests that end in these bytes. `window` holds the last four bytes of the
 * connection, so that a request may come in any pieces, and several in one. */
static inline unsigned http_count_requests(uint32_t *window, const unsigned char *bytes, size_t n)
{
    const uint32_t end_of_head = 0x0d0a0d0a;
    uint32_t last = *window;
    unsigned count = 0;
    for (size_t i = 0; i < n; i++) {
        last = last << 8 | bytes[i];
        if (last == end_of_head) {
            count++;
            last = 0;
        }
    }
    *window = last;
    return count;
}

/* `count` answers in a row, so that those to pipelined requests leave in one send. */
static inline unsigned char *http_repeat_answer(unsigned count)
{
    unsigned char *answers = malloc((size_t)count * HTTP_ANSWER_SIZE);
    if (!answers)
        abort();
    for (unsigned i = 0; i < count; i++)
        memcpy(answers + (size_t)i * HTTP_ANSWER_SIZE, HTTP_ANSWER, HTTP_ANSWER_SIZE);
    return answers;
}

/* ---- What a client asks of a source ---------------------------------------------------------- */

enum { SOURCE_REQUEST_SIZE = 16, SOURCE_BLOCK_MOST = 1 << 20 };

/* `total` bytes, in blocks that are the first `block` bytes of the pattern each. */
struct source_request {
    uint64_t total, block;
};

/* Both come as 8 bytes, big-endian. False: no such block. */
static inline bool source_request_decode(const void *bytes, struct source_request *ret_request)
{
    uint64_t numbers[2];
    memcpy(numbers, bytes, sizeof numbers);
    uint64_t total = be64toh(numbers[0]), block = be64toh(numbers[1]);
    if (block < 1 || block > SOURCE_BLOCK_MOST)
        return false;
    *ret_request = (struct source_request){ .total = total, .block = block };
    return true;
}

/* Of the block that place `sent` of the stream lies in, what is left to send; 0 at the end. */
static inline size_t source_left(const struct source_request *request, uint64_t sent)
{
    uint64_t in_block = request->block - sent % request->block, left = request->total - sent;
    return in_block < left ? in_block : left;
}

#endif
