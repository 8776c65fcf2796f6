/* transfer: one end of a transfer, so that a campaign can kill it, or the other end, at any point.
 *
 * The sender announces how much will come, sends it, ends its direction, and waits until the
 * receiver has confirmed it; with --until-eof nothing is announced, and the end of the stream is
 * all that the receiver has to go by. Each prints, on a line of its own:
 *
 *   listening: ADDRESS                  it waits for the other end
 *   begun                               the first bytes have gone, or come
 *   end: VERDICT CODE STAGE BYTES       VERDICT is complete, incomplete or error; STAGE is sending,
 *                                       confirming or receiving
 *   closed: CODE                        what weir_wait_closed() returned
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

enum {
    PERIOD = 251, /* what is sent repeats itself after so many bytes: no power of two */
    PART = 48 * 1024,
    READ_MOST = 1 << 20,
    LIFETIME = 120, /* seconds, then SIGALRM ends it: nothing is left of a broken campaign */
};

enum { COMPLETE = 0, NOT_RUN = 1, USAGE = 2, INCOMPLETE = 3, ERROR = 4 }; /* exit statuses */

static const char confirmation[] = "complete\n";

static struct settings {
    bool send, listen, until_eof, slow;
    uint16_t port;
    uint64_t length, die_at;
    const char *certificate, *key, *authority;
    struct weir_tls *tls;
    char data[PART + PERIOD]; /* begins anywhere in the pattern */
    struct weir_event ended;
    int status;
} settings = { .length = UINT64_C(1) << 36, .die_at = UINT64_MAX };

static int verdict(int status, ssize_t code, const char *stage, uint64_t bytes)
{
    const char *word = status == COMPLETE     ? "complete"
                       : status == INCOMPLETE ? "incomplete"
                                              : "error";
    printf("end: %s %zd %s %" PRIu64 "%s%s\n", word, code, stage, bytes, code < 0 ? ": " : "",
           code < 0 ? weir_strerror(code) : "");
    return status;
}

/* As the kernel's out-of-memory killer would: no handler, no destructor, no close. */
static void die_if_due(uint64_t bytes)
{
    if (bytes == settings.die_at)
        kill(getpid(), SIGKILL);
}

/* How much of `left` comes next: never past the point of death. */
static size_t next_part(uint64_t done, uint64_t left)
{
    uint64_t until_death = settings.die_at > done ? settings.die_at - done : UINT64_MAX;
    uint64_t part = left < PART ? left : PART;
    return (size_t)(part < until_death ? part : until_death);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* By turns queued and drained, or sent from where it lies: both must learn of a loss. */
static int send_part(struct weir_writer *writer, uint64_t sent, size_t size)
{
    const char *data = settings.data + sent % PERIOD;
    if (sent / PART % 2)
        return weir_write_all(writer, data, size);
    int rc = weir_write(writer, data, size);
    return rc < 0 ? rc : weir_drain(writer);
}

static int send_data(struct weir_writer *writer, uint64_t *sent)
{
    int rc = settings.until_eof ? 0 : weir_printf(writer, "%" PRIu64 "\n", settings.length);
    if (rc == 0)
        puts("begun");
    while (rc == 0 && *sent < settings.length) {
        die_if_due(*sent);
        size_t size = next_part(*sent, settings.length - *sent);
        rc = send_part(writer, *sent, size);
        *sent += size;
    }
    return rc;
}

static int send_all(struct weir_reader *reader, struct weir_writer *writer)
{
    uint64_t sent = 0;
    int rc = send_data(writer, &sent);
    if (rc == 0)
        rc = weir_write_eof(writer);
    if (rc < 0)
        return verdict(ERROR, rc, "sending", sent);

    struct weir_slice line;
    ssize_t n = weir_readline(reader, &line);
    if (n < 0)
        return verdict(ERROR, n, "confirming", sent);
    bool confirmed = n == sizeof confirmation - 1 && memcmp(line.data, confirmation, n) == 0;
    return verdict(confirmed ? COMPLETE : INCOMPLETE, 0, "confirming", sent);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static bool is_expected(struct weir_slice data, uint64_t offset)
{
    for (size_t i = 0; i < data.size;) {
        size_t size = data.size - i < PART ? data.size - i : PART;
        if (memcmp(data.data + i, settings.data + (offset + i) % PERIOD, size) != 0)
            return false;
        i += size;
    }
    return true;
}

/* Returns 1 once there is an announcement, 0 at the end of the stream. */
static ssize_t read_announcement(struct weir_reader *reader, uint64_t *ret_length)
{
    struct weir_slice line;
    *ret_length = UINT64_MAX;
    if (settings.until_eof)
        return 1;
    ssize_t n = weir_readline(reader, &line);
    if (n <= 0 || line.data[n - 1] != '\n')
        return n < 0 ? n : 0;
    *ret_length = strtoull(line.data, NULL, 10);
    return 1;
}

static ssize_t receive_data(struct weir_reader *reader, uint64_t length, uint64_t *received)
{
    ssize_t n = 1;
    struct weir_slice data;
    while (n > 0 && *received < length) {
        uint64_t left = length - *received, until_death = settings.die_at - *received;
        uint64_t most = left < until_death ? left : until_death;
        die_if_due(*received);
        n = weir_read(reader, most < READ_MOST ? most : READ_MOST, &data);
        if (n > 0 && !is_expected(data, *received))
            return -EPROTO;
        *received += n > 0 ? n : 0;
        if (settings.slow && n > 0)
            weir_sleep(WEIR_MILLISECOND);
    }
    return n;
}

static int receive_all(struct weir_reader *reader, struct weir_writer *writer)
{
    uint64_t received = 0, length;
    ssize_t n = read_announcement(reader, &length);
    if (n > 0) {
        puts("begun");
        n = receive_data(reader, length, &received);
    }
    die_if_due(received);
    if (n < 0)
        return verdict(ERROR, n, "receiving", received);
    if (n == 0 && !settings.until_eof)
        return verdict(INCOMPLETE, 0, "receiving", received);

    int rc = weir_write(writer, confirmation, sizeof confirmation - 1);
    if (rc == 0)
        rc = weir_write_eof(writer);
    return rc < 0 ? verdict(ERROR, rc, "confirming", received)
                  : verdict(COMPLETE, 0, "receiving", received);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void transfer(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    settings.status = settings.send ? send_all(reader, writer) : receive_all(reader, writer);
    printf("closed: %d\n", weir_wait_closed(writer));
    weir_event_set(&settings.ended);
}

static int serve(void)
{
    struct weir_server *server;
    struct weir_server_options options = { .tls = settings.tls, .max_connections = 1 };
    int rc = weir_start_server(transfer, NULL, "127.0.0.1", settings.port, &options, &server);
    if (rc < 0)
        return rc;
    printf("listening: %s\n", weir_server_sockname(server, 0));
    weir_event_wait(&settings.ended);
    weir_server_close(server);
    return weir_server_wait_closed(server);
}

static int run(void *unused)
{
    (void)unused;
    if (settings.listen)
        return serve();
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_connect_options options = {
        .tls = settings.tls,
        .server_hostname = settings.tls ? "localhost" : NULL,
    };
    int rc = weir_open_connection("127.0.0.1", settings.port, &options, &reader, &writer);
    if (rc < 0)
        return rc;
    transfer(reader, writer, NULL);
    return 0;
}

static int make_tls(void)
{
    struct weir_tls_options options = {
        .ca_file = settings.authority,
        .certificate_file = settings.certificate,
        .key_file = settings.key,
    };
    if (settings.certificate)
        return weir_tls_server(&options, &settings.tls);
    return settings.authority ? weir_tls_client(&options, &settings.tls) : 0;
}

static int usage(FILE *stream, int status)
{
    fprintf(stream,
            "Usage: transfer send|receive listen|PORT [OPTION]...\n"
            "One end of a transfer on the loopback, to be killed, or to see the other end die.\n\n"
            "  --length N     bytes that the sender announces (2^36)\n"
            "  --until-eof    announce nothing: the end of the stream is the end\n"
            "  --die-at N     end by SIGKILL once so many bytes are written or read\n"
            "  --slow         receive with a pause after each read\n"
            "  --tls-cert FILE, --tls-key FILE   TLS, when it listens\n"
            "  --tls-ca FILE                     TLS, when it connects: whom to trust\n\n"
            "Exit status: 0 complete, 3 incomplete, 4 error, 1 it could not begin, 2 usage.\n");
    return status;
}

static bool parse_option(int letter)
{
    switch (letter) {
    case 'l':
        settings.length = strtoull(optarg, NULL, 10);
        break;
    case 'd':
        settings.die_at = strtoull(optarg, NULL, 10);
        break;
    case 'e':
        settings.until_eof = true;
        break;
    case 's':
        settings.slow = true;
        break;
    case 'c':
        settings.certificate = optarg;
        break;
    case 'k':
        settings.key = optarg;
        break;
    case 'a':
        settings.authority = optarg;
        break;
    default:
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "length", 1, NULL, 'l' }, { "until-eof", 0, NULL, 'e' }, { "die-at", 1, NULL, 'd' },
        { "slow", 0, NULL, 's' },   { "tls-cert", 1, NULL, 'c' },  { "tls-key", 1, NULL, 'k' },
        { "tls-ca", 1, NULL, 'a' }, { "help", 0, NULL, 'h' },      { 0 },
    };
    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (letter == 'h')
            return usage(stdout, 0);
        if (!parse_option(letter))
            return usage(stderr, USAGE);
    }
    if (argc - optind != 2)
        return usage(stderr, USAGE);
    settings.send = strcmp(argv[optind], "send") == 0;
    settings.listen = strcmp(argv[optind + 1], "listen") == 0;
    settings.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);

    alarm(LIFETIME);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < PART + PERIOD; i++)
        settings.data[i] = (char)(i % PERIOD);
    int rc = make_tls();
    if (rc == 0)
        rc = weir_run(run, NULL, NULL);
    weir_tls_free(settings.tls);
    if (rc < 0)
        fprintf(stderr, "transfer: %s\n", weir_strerror(rc));
    return rc < 0 ? NOT_RUN : settings.status;
}
