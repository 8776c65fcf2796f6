/* A load generator for HTTPS servers, for bench/bench-tls and for anyone by hand.
 *
 * It speaks TLS by OpenSSL, so that what it tells about weir's TLS does not rest on weir's, and is
 * one thread on epoll. Each connection has one request on its way at a time: for a hello, for a
 * long body, or with one; what comes back is compared byte by byte. Or each request has a
 * connection of its own (--handshakes): what is then loaded is the server's handshake.
 */
#include "common.h"
#include "tls_pattern.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#define PROGRAM "load_tls"
#define HELLO "Hello, World!"

enum {
    EVENT_COUNT = 512,
    HEAD_MOST = 1024,
    RECEIVE_SIZE = PATTERN_PIECE,
    READ_AHEAD = 128 * 1024, /* bytes of records in one receive */
    STEPS_IN_A_ROW = 64,     /* of one connection, before the others have their turn */
    HANDSHAKES_AT_A_TIME = 64,
    LAST_SECONDS = 10, /* that the requests on their way at the end may take */
};

struct options {
    struct address address;
    const char *address_text, *ca_file, *name, *cipher;
    unsigned connections;
    double seconds, warmup;
    uint64_t download, upload;
    bool handshakes, resume, idle, json;
};

enum failure {
    FAILED_CONNECT,
    FAILED_HANDSHAKE,
    FAILED_SEND,
    FAILED_RECEIVE,
    CLOSED_EARLY,
    WRONG_ANSWER,
    TIMED_OUT,
    FAILURE_COUNT
};
static const char *const failure_names[FAILURE_COUNT] = {
    "connect", "handshake", "send", "receive", "closed_by_server", "wrong_answer", "timed_out"
};

enum state { CLOSED, HANDSHAKE, SENDING, RECEIVING, RESTING, CLOSING };

struct connection {
    int fd;
    enum state state;
    SSL *ssl;
    SSL_SESSION *session; /* the last that the server gave us, with --resume */
    bool again;           /* it had its turn, and could go on */
    uint64_t served;
    uint64_t sent;           /* of the request: head, then body */
    uint64_t received, size; /* of the answer's body */
    size_t head_size;        /* of the answer's head so far; HEAD_MOST once it is whole */
    char head[HEAD_MOST];
};

static struct {
    struct options options;
    SSL_CTX *tls;
    int epoll;
    struct connection *connections;
    unsigned opened, open, handshaking; /* begun ever; now; of those not through it yet */
    unsigned *again, again_count;
    char request[256];
    size_t request_size;
    uint64_t answer_size;
    unsigned char received[RECEIVE_SIZE];
    bool measuring, ending;
    uint64_t requests, bytes, requests_total, bytes_total; /* bytes of bodies, either way */
    uint64_t handshakes_total, resumed_total;
    uint64_t unlike;          /* connections that did not agree on the same as the first */
    uint64_t no_close_notify; /* connections that the server ended without */
    const char *version, *cipher;
    int group;
    uint64_t failures[FAILURE_COUNT];
    char last_failure[256];
    volatile sig_atomic_t stopped;
} load;

/* What main() reports of the measured window. */
struct result {
    double seconds, cpu;
    unsigned unserved;
};

/* ---- Opening and ending ---------------------------------------------------------------------- */

static void end_connection(struct connection *connection)
{
    load.handshaking -= connection->state == HANDSHAKE;
    load.open--;
    SSL_free(connection->ssl);
    close(connection->fd); /* which takes it out of the epoll set */
    connection->ssl = NULL;
    connection->fd = -1;
    connection->state = CLOSED;
}

/* A connection that failed stays closed: the run is lost, but the others show how far it goes. */
static void fail(struct connection *connection, enum failure failure)
{
    int error = errno;
    unsigned long tls_error = ERR_peek_error();
    load.failures[failure]++;
    if (tls_error)
        ERR_error_string_n(tls_error, load.last_failure, sizeof load.last_failure);
    else if (failure != CLOSED_EARLY && failure != WRONG_ANSWER && failure != TIMED_OUT)
        snprintf(load.last_failure, sizeof load.last_failure, "%s", strerror(error));
    ERR_clear_error();
    end_connection(connection);
}

/* After a call of OpenSSL that did not do what was asked. True: it would have waited. */
static bool is_waiting(const struct connection *connection, int result)
{
    int error = SSL_get_error(connection->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static int connect_socket(const struct address *address)
{
    int on = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (!address->path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&address->storage, address->size) < 0 &&
        errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void open_connection(struct connection *connection)
{
    int fd = connect_socket(&load.options.address);
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u32 = (uint32_t)(connection - load.connections),
    };
    if (fd < 0 || epoll_ctl(load.epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        load.failures[FAILED_CONNECT]++;
        snprintf(load.last_failure, sizeof load.last_failure, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    SSL *ssl = SSL_new(load.tls);
    if (!ssl || SSL_set_fd(ssl, fd) != 1)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    SSL_set_app_data(ssl, connection);
    SSL_set_tlsext_host_name(ssl, load.options.name);
    SSL_set1_host(ssl, load.options.name);
    if (connection->session)
        SSL_set_session(ssl, connection->session);
    connection->fd = fd;
    connection->ssl = ssl;
    connection->state = HANDSHAKE;
    load.handshaking++;
    load.open++;
}

/* OpenSSL has a session for us. Returns 1: it is ours. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct connection *connection = SSL_get_app_data(ssl);
    SSL_SESSION_free(connection->session);
    connection->session = session;
    return 1;
}

/* ---- The steps of a request ------------------------------------------------------------------ */

/* Each returns true if it got on; false if the connection waits, or has ended. */

static bool begin_request(struct connection *connection)
{
    connection->state = SENDING;
    connection->sent = 0;
    connection->received = 0;
    connection->head_size = 0;
    return true;
}

/* What the first handshake agreed on all others must, or the run is no measurement. */
static void note_agreement(const struct connection *connection)
{
    const char *version = SSL_get_version(connection->ssl);
    const char *cipher = SSL_get_cipher_name(connection->ssl);
    int group = (int)SSL_get_negotiated_group(connection->ssl);
    if (!load.version) {
        load.version = version;
        load.cipher = cipher;
        load.group = group;
    }
    load.unlike += strcmp(version, load.version) != 0 || strcmp(cipher, load.cipher) != 0 ||
                   group != load.group;
    load.handshakes_total++;
    load.resumed_total += (unsigned)SSL_session_reused(connection->ssl);
}

static bool step_handshake(struct connection *connection)
{
    int result = SSL_connect(connection->ssl);
    if (result != 1) {
        if (!is_waiting(connection, result))
            fail(connection, FAILED_HANDSHAKE);
        return false;
    }
    load.handshaking--;
    note_agreement(connection);
    return begin_request(connection);
}

static bool step_sending(struct connection *connection)
{
    const void *bytes = load.request + connection->sent;
    uint64_t left = load.request_size - connection->sent;
    bool body = connection->sent >= load.request_size;
    if (body) {
        uint64_t place = connection->sent - load.request_size;
        bytes = pattern_at(place);
        left = load.options.upload - place;
    }
    int result =
        SSL_write(connection->ssl, bytes, left < PATTERN_PIECE ? (int)left : PATTERN_PIECE);
    if (result <= 0) {
        if (!is_waiting(connection, result))
            fail(connection, FAILED_SEND);
        return false;
    }
    connection->sent += (uint64_t)result;
    if (body) {
        load.bytes_total += (uint64_t)result;
        load.bytes += load.measuring ? (uint64_t)result : 0;
    }
    if (connection->sent == load.request_size + load.options.upload)
        connection->state = RECEIVING;
    return true;
}

static bool begin_closing(struct connection *connection)
{
    SSL_shutdown(connection->ssl); /* sends close_notify; the server's is waited for by reading */
    ERR_clear_error();
    connection->state = CLOSING;
    return true;
}

static bool finish_request(struct connection *connection)
{
    connection->served++;
    load.requests_total++;
    load.requests += load.measuring;
    if (load.options.handshakes || load.ending)
        return begin_closing(connection);
    if (!load.options.idle)
        return begin_request(connection);
    connection->state = RESTING;
    return true;
}

/* The body's size from a whole head, or -1 if this is not the answer that was asked for. */
static int64_t parse_head(const char *head)
{
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (strncmp(head, "HTTP/1.1 200 ", 13) != 0 || !length)
        return -1;
    return strtoll(length + strlen("\r\ncontent-length:"), NULL, 10);
}

/* Takes what is the head's of these bytes. Returns how many that were, or -1 for a wrong head. */
static ssize_t take_head(struct connection *connection, const unsigned char *bytes, size_t n)
{
    size_t before = connection->head_size;
    size_t room = HEAD_MOST - 1 - before, part = n < room ? n : room;
    memcpy(connection->head + before, bytes, part);
    connection->head[before + part] = '\0';
    connection->head_size += part;
    const char *end = strstr(connection->head, "\r\n\r\n");
    if (!end)
        return connection->head_size < HEAD_MOST - 1 ? (ssize_t)n : -1;
    int64_t size = parse_head(connection->head);
    if (size != (int64_t)load.answer_size)
        return -1;
    connection->size = (uint64_t)size;
    connection->head_size = HEAD_MOST;
    return (ssize_t)((size_t)(end - connection->head) + 4 - before);
}

static bool is_of_body(const struct connection *connection, const unsigned char *bytes, size_t n)
{
    if (n > connection->size - connection->received)
        return false;
    if (load.options.download)
        return memcmp(bytes, pattern_at(connection->received), n) == 0;
    return memcmp(bytes, HELLO + connection->received, n) == 0;
}

/* Takes bytes of the answer. Returns false for wrong ones. */
static bool take_answer(struct connection *connection, const unsigned char *bytes, size_t n)
{
    if (connection->head_size < HEAD_MOST) {
        ssize_t head = take_head(connection, bytes, n);
        if (head < 0)
            return false;
        bytes += head, n -= (size_t)head;
    }
    if (n == 0)
        return true;
    if (!is_of_body(connection, bytes, n))
        return false;
    connection->received += n;
    load.bytes_total += n;
    load.bytes += load.measuring ? n : 0;
    return true;
}

static bool step_receiving(struct connection *connection)
{
    int result = SSL_read(connection->ssl, load.received, RECEIVE_SIZE);
    if (result <= 0) {
        if (!is_waiting(connection, result))
            fail(connection, SSL_get_shutdown(connection->ssl) ? CLOSED_EARLY : FAILED_RECEIVE);
        return false;
    }
    if (!take_answer(connection, load.received, (size_t)result)) {
        fail(connection, WRONG_ANSWER);
        return false;
    }
    if (connection->head_size == HEAD_MOST && connection->received == connection->size)
        return finish_request(connection);
    return true;
}

/* Nothing may come but what TLS has to say to itself. */
static bool step_resting(struct connection *connection)
{
    int result = SSL_read(connection->ssl, load.received, RECEIVE_SIZE);
    if (result > 0)
        fail(connection, WRONG_ANSWER);
    else if (!is_waiting(connection, result))
        fail(connection, CLOSED_EARLY);
    return false;
}

/* Waits for the server's end, so that its work for the connection is done when the next begins. */
static bool step_closing(struct connection *connection)
{
    int result = SSL_read(connection->ssl, load.received, RECEIVE_SIZE);
    if (result > 0)
        return true;
    if (is_waiting(connection, result))
        return false;
    load.no_close_notify += SSL_get_error(connection->ssl, result) != SSL_ERROR_ZERO_RETURN;
    ERR_clear_error();
    end_connection(connection);
    if (load.ending)
        return false;
    open_connection(connection);
    return connection->ssl != NULL;
}

static bool step_closed(struct connection *connection)
{
    return false;
}

static bool (*const steps[])(struct connection *) = {
    [CLOSED] = step_closed,       [HANDSHAKE] = step_handshake, [SENDING] = step_sending,
    [RECEIVING] = step_receiving, [RESTING] = step_resting,     [CLOSING] = step_closing,
};

/* Goes on until it waits: the events are edges. */
static void advance(struct connection *connection)
{
    for (int count = 0; steps[connection->state](connection); count++) {
        if (count < STEPS_IN_A_ROW)
            continue;
        if (!connection->again)
            load.again[load.again_count++] = (unsigned)(connection - load.connections);
        connection->again = true;
        return;
    }
}

/* ---- The runs -------------------------------------------------------------------------------- */

static void open_more(void)
{
    while (load.opened < load.options.connections && load.handshaking < HANDSHAKES_AT_A_TIME)
        open_connection(&load.connections[load.opened++]);
}

static void go_on(void)
{
    unsigned count = load.again_count;
    unsigned *turn = load.again;
    static unsigned *spare;
    if (!spare && !(spare = calloc(load.options.connections, sizeof *spare)))
        die(PROGRAM, EXIT_FAILED, "out of memory");
    load.again = spare;
    load.again_count = 0;
    spare = turn;
    for (unsigned i = 0; i < count; i++) {
        load.connections[turn[i]].again = false;
        advance(&load.connections[turn[i]]);
    }
}

/* Handles the events there are, after waiting for one. */
static void handle_events(void)
{
    struct epoll_event events[EVENT_COUNT];
    int count = epoll_wait(load.epoll, events, EVENT_COUNT, load.again_count ? 0 : 10);
    for (int i = 0; i < count; i++)
        advance(&load.connections[events[i].data.u32]);
    go_on();
}

static uint64_t failure_total(void)
{
    uint64_t total = 0;
    for (int i = 0; i < FAILURE_COUNT; i++)
        total += load.failures[i];
    return total;
}

/* Lets what is on its way arrive, and closes in order: every server can then count its work as
 * done, and sees no reset. */
static void end_all(void)
{
    int64_t end = now_ns() + (int64_t)LAST_SECONDS * 1000000000;
    load.ending = true;
    for (unsigned i = 0; i < load.opened; i++) {
        if (load.connections[i].state == RESTING) {
            begin_closing(&load.connections[i]);
            advance(&load.connections[i]);
        }
    }
    while (load.open > 0 && now_ns() < end)
        handle_events();
    for (unsigned i = 0; i < load.opened; i++)
        if (load.connections[i].state != CLOSED)
            fail(&load.connections[i], TIMED_OUT);
}

/* Runs the load for the warm-up and the measured window. */
static struct result run_load(void)
{
    int64_t start = now_ns(), window = 0, now;
    int64_t measure_from = start + (int64_t)(load.options.warmup * 1e9);
    int64_t end = measure_from + (int64_t)(load.options.seconds * 1e9);
    double cpu = 0;
    while ((now = now_ns()) < end && !load.stopped) {
        if (!load.measuring && now >= measure_from) {
            load.measuring = true;
            window = now;
            cpu = cpu_seconds();
        }
        open_more();
        handle_events();
    }
    struct result result = { .seconds = window ? (double)(now - window) / 1e9 : 0 };
    if (result.seconds > 0)
        result.cpu = (cpu_seconds() - cpu) / result.seconds;
    load.measuring = false;
    end_all();
    return result;
}

/* Until each connection has been served so often. */
static void await_served(uint64_t wanted)
{
    int64_t end = now_ns() + (int64_t)LAST_SECONDS * 1000000000;
    wanted *= load.options.connections;
    while (load.requests_total + failure_total() < wanted && now_ns() < end && !load.stopped) {
        open_more();
        handle_events();
    }
}

/* --idle: a request on each connection, silence, and another one: they must still be served. */
static struct result run_idle(void)
{
    await_served(1);
    printf(PROGRAM ": %u connections, %llu served, now idle\n", load.options.connections,
           (unsigned long long)load.requests_total);
    fflush(stdout);
    int64_t start = now_ns(), end = start + (int64_t)(load.options.seconds * 1e9);
    while (now_ns() < end && !load.stopped)
        handle_events(); /* whatever comes is a failure */
    load.stopped = 0;    /* that ended the silence */
    for (unsigned i = 0; i < load.options.connections; i++) {
        if (load.connections[i].state != RESTING)
            continue;
        begin_request(&load.connections[i]);
        advance(&load.connections[i]);
        if (i % 64 == 63)
            handle_events();
    }
    await_served(2);
    struct result result = { .seconds = (double)(now_ns() - start) / 1e9 };
    end_all();
    return result;
}

/* ---- The report ------------------------------------------------------------------------------ */

static void count_unserved(struct result *result)
{
    for (unsigned i = 0; i < load.options.connections; i++)
        result->unserved += load.connections[i].served < (load.options.idle ? 2 : 1);
}

static const char *group_name(void)
{
    const char *name = load.group ? OBJ_nid2sn(load.group) : NULL;
    return name ? name : "unknown";
}

static void print_json(const struct result *result)
{
    printf("{\"connections\": %u, \"seconds\": %.6f, \"requests\": %llu, \"bytes\": %llu, "
           "\"requests_total\": %llu, \"bytes_total\": %llu, \"handshakes_total\": %llu, "
           "\"resumed_total\": %llu, \"unlike\": %llu, \"no_close_notify\": %llu, "
           "\"unserved\": %u, \"cpu\": %.3f, \"version\": \"%s\", \"cipher\": \"%s\", "
           "\"group\": \"%s\", \"errors\": {",
           load.options.connections, result->seconds, (unsigned long long)load.requests,
           (unsigned long long)load.bytes, (unsigned long long)load.requests_total,
           (unsigned long long)load.bytes_total, (unsigned long long)load.handshakes_total,
           (unsigned long long)load.resumed_total, (unsigned long long)load.unlike,
           (unsigned long long)load.no_close_notify, result->unserved, result->cpu,
           load.version ? load.version : "", load.cipher ? load.cipher : "", group_name());
    for (int i = 0; i < FAILURE_COUNT; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", failure_names[i],
               (unsigned long long)load.failures[i]);
    printf("}}\n");
}

static void print_text(const struct result *result)
{
    double seconds = result->seconds > 0 ? result->seconds : 1;
    printf("%u connections, %.2f s%s; %s, %s, %s\n", load.options.connections, result->seconds,
           load.stopped ? " (stopped early)" : "", load.version ? load.version : "no TLS",
           load.cipher ? load.cipher : "no cipher", group_name());
    printf("  requests    %llu (%.0f/s), %llu with all before and after\n",
           (unsigned long long)load.requests, (double)load.requests / seconds,
           (unsigned long long)load.requests_total);
    printf("  bodies      %.1f MB/s\n", (double)load.bytes / seconds / 1e6);
    printf("  handshakes  %llu, of these resumed %llu\n", (unsigned long long)load.handshakes_total,
           (unsigned long long)load.resumed_total);
    printf("  generator   %.2f CPU\n", result->cpu);
}

static void print_complaints(const struct result *result)
{
    for (int i = 0; i < FAILURE_COUNT; i++)
        if (load.failures[i] > 0)
            fprintf(stderr, PROGRAM ": %llu connections failed: %s%s%s\n",
                    (unsigned long long)load.failures[i], failure_names[i],
                    load.last_failure[0] ? ", the last with: " : "", load.last_failure);
    if (result->unserved > 0)
        fprintf(stderr, PROGRAM ": %u of %u connections were not served%s\n", result->unserved,
                load.options.connections, load.stopped ? ", stopped by a signal" : "");
    if (load.unlike > 0)
        fprintf(stderr, PROGRAM ": %llu connections agreed on another version, cipher or group\n",
                (unsigned long long)load.unlike);
}

/* ---- The command line ------------------------------------------------------------------------ */

static void print_help(void)
{
    printf("load_tls: loads an HTTPS server, checks every byte, and reports rates\n\n"
           "usage: load_tls --connect HOST:PORT|unix:PATH [OPTION...]\n\n"
           "  --connections N   how many at a time (64)\n"
           "  --seconds S       how long to measure (2), or with --idle: to hold\n"
           "  --warmup S        load before that which is not measured (0.5)\n"
           "  --download BYTES  GET /bulk, whose body must be so many bytes of the pattern;\n"
           "                    without it GET /, which must answer \"" HELLO "\"\n"
           "  --upload BYTES    POST / with so many bytes of the pattern\n"
           "  --handshakes      a new connection for each request\n"
           "  --resume          the same, each resuming by the last ticket\n"
           "  --idle            send one request on each connection, say so on stdout, hold them\n"
           "                    silent, and send one more\n"
           "  --ca FILE         whom to trust (PEM); without it any certificate will do\n"
           "  --name NAME       that the certificate must have, with --ca (localhost)\n"
           "  --cipher SUITE    of TLS 1.3, the only one to offer, as TLS_AES_128_GCM_SHA256\n"
           "  --json            the report as one line of JSON\n"
           "  --help            this text\n\n"
           "Exit status: 0 all served and equal, 1 errors or unserved connections, 2 usage.\n");
}

static void take_option(int option, struct options *options)
{
    switch (option) {
    case 'c':
        options->address_text = optarg;
        break;
    case 'n':
        options->connections = (unsigned)parse_number(PROGRAM, "connections", optarg, 1, 1e6);
        break;
    case 't':
        options->seconds = parse_number(PROGRAM, "seconds", optarg, 0, 1e6);
        break;
    case 'w':
        options->warmup = parse_number(PROGRAM, "warmup", optarg, 0, 1e6);
        break;
    case 'd':
        options->download = (uint64_t)parse_number(PROGRAM, "download", optarg, 1, 1e15);
        break;
    case 'u':
        options->upload = (uint64_t)parse_number(PROGRAM, "upload", optarg, 1, 1e15);
        break;
    case 'R':
        options->resume = true;
        options->handshakes = true;
        break;
    case 'H':
        options->handshakes = true;
        break;
    case 'i':
        options->idle = true;
        break;
    case 'a':
        options->ca_file = optarg;
        break;
    case 'N':
        options->name = optarg;
        break;
    case 'C':
        options->cipher = optarg;
        break;
    case 'j':
        options->json = true;
        break;
    case 'h':
        print_help();
        exit(EXIT_OK);
    default:
        die(PROGRAM, EXIT_USAGE, "wrong option; see load_tls --help");
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "connect", required_argument, NULL, 'c' },
        { "connections", required_argument, NULL, 'n' },
        { "seconds", required_argument, NULL, 't' },
        { "warmup", required_argument, NULL, 'w' },
        { "download", required_argument, NULL, 'd' },
        { "upload", required_argument, NULL, 'u' },
        { "handshakes", no_argument, NULL, 'H' },
        { "resume", no_argument, NULL, 'R' },
        { "idle", no_argument, NULL, 'i' },
        { "ca", required_argument, NULL, 'a' },
        { "name", required_argument, NULL, 'N' },
        { "cipher", required_argument, NULL, 'C' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = {
        .connections = 64, .seconds = 2, .warmup = 0.5, .name = "localhost"
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        take_option(option, &options);
    if (optind != argc)
        die(PROGRAM, EXIT_USAGE, "unexpected argument '%s'; see load_tls --help", argv[optind]);
    if (!options.address_text)
        die(PROGRAM, EXIT_USAGE, "--connect is missing; see load_tls --help");
    if (!address_parse(options.address_text, &options.address))
        die(PROGRAM, EXIT_USAGE, "'%s' is no HOST:PORT or unix:PATH", options.address_text);
    if ((options.download > 0) + (options.upload > 0) > 1 || (options.idle && options.handshakes))
        die(PROGRAM, EXIT_USAGE, "these options exclude one another; see load_tls --help");
    return options;
}

static void stop_on_signal(int number)
{
    (void)number;
    load.stopped = 1;
}

static void set_up_tls(void)
{
    const struct options *options = &load.options;
    load.tls = SSL_CTX_new(TLS_client_method());
    if (!load.tls)
        die(PROGRAM, EXIT_FAILED, "OpenSSL does not start");
    SSL_CTX_set_min_proto_version(load.tls, TLS1_2_VERSION);
    SSL_CTX_set_mode(load.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (options->download) {
        SSL_CTX_set_read_ahead(load.tls, 1);
        SSL_CTX_set_default_read_buffer_len(load.tls, READ_AHEAD);
    }
    if (options->cipher && SSL_CTX_set_ciphersuites(load.tls, options->cipher) != 1)
        die(PROGRAM, EXIT_USAGE, "OpenSSL knows no suite %s", options->cipher);
    SSL_CTX_set_session_cache_mode(load.tls, SSL_SESS_CACHE_OFF);
    if (options->resume) {
        SSL_CTX_set_session_cache_mode(load.tls,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(load.tls, keep_session);
    }
    if (!options->ca_file)
        return;
    if (SSL_CTX_load_verify_locations(load.tls, options->ca_file, NULL) != 1)
        die(PROGRAM, EXIT_FAILED, "%s holds no certificate, or does not open", options->ca_file);
    SSL_CTX_set_verify(load.tls, SSL_VERIFY_PEER, NULL);
}

static void set_up_request(void)
{
    const struct options *options = &load.options;
    const char *method = options->upload ? "POST" : "GET";
    const char *target = options->download ? "/bulk" : "/";
    char length[64] = "";
    if (options->upload)
        snprintf(length, sizeof length, "Content-Length: %llu\r\n",
                 (unsigned long long)options->upload);
    int size =
        snprintf(load.request, sizeof load.request, "%s %s HTTP/1.1\r\nHost: %.64s\r\n%s\r\n",
                 method, target, options->name, length);
    load.request_size = (size_t)size;
    load.answer_size = options->download ? options->download : strlen(HELLO);
}

static void set_up(void)
{
    unsigned limit = raise_descriptor_limit();
    if (limit < load.options.connections + 16)
        die(PROGRAM, EXIT_FAILED, "%u connections need more descriptors than ulimit -n allows: %u",
            load.options.connections, limit);
    load.connections = calloc(load.options.connections, sizeof *load.connections);
    load.again = calloc(load.options.connections, sizeof *load.again);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.connections || !load.again || load.epoll < 0)
        die(PROGRAM, EXIT_FAILED, "out of memory or descriptors");
    pattern_fill();
    set_up_request();
    set_up_tls();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, stop_on_signal);
    signal(SIGTERM, stop_on_signal);
}

int main(int argc, char **argv)
{
    load.options = parse_options(argc, argv);
    set_up();
    struct result result = load.options.idle ? run_idle() : run_load();
    count_unserved(&result);
    if (load.options.json)
        print_json(&result);
    else
        print_text(&result);
    print_complaints(&result);
    bool good = failure_total() == 0 && result.unserved == 0 && load.unlike == 0;
    return good ? EXIT_OK : EXIT_FAILED;
}
