/* StreamWriter.start_tls(), as mail servers use it (STARTTLS of RFC 3207): a server, and two
 * clients. One upgrades its connection in order. The other sends a command right behind STARTTLS,
 * for the server to obey it as if it had come over TLS; but such bytes go to TLS, which takes them
 * for a broken handshake, and never to the reader.
 *     start_tls CERTIFICATE KEY CA      (of "localhost": `make certs` makes them) */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static bool begins(struct weir_slice line, const char *word)
{
    return line.size >= strlen(word) && memcmp(line.data, word, strlen(word)) == 0;
}

static void serve_mail(struct weir_reader *reader, struct weir_writer *writer, void *tls)
{
    struct weir_slice line;
    weir_printf(writer, "220 welcome\r\n");
    while (weir_readline(reader, &line) > 0) {
        const char *version = weir_get_extra_info(writer, "version");
        printf("server, %s: %.*s", version ? version : "plain", (int)line.size, line.data);
        if (begins(line, "QUIT")) {
            weir_printf(writer, "221 bye\r\n");
            return;
        } else if (begins(line, "EHLO")) {
            weir_printf(writer,
                        version ? "250 localhost\r\n" : "250-localhost\r\n250 STARTTLS\r\n");
        } else if (begins(line, "STARTTLS") && !version) {
            weir_printf(writer, "220 go ahead\r\n"); /* leaves before, in plain text */
            int rc = weir_start_tls(writer, tls, NULL);
            if (rc < 0) {
                printf("server, STARTTLS: %s\n", weir_strerror(rc));
                return;
            }
        } else {
            weir_printf(writer, version ? "250 ok\r\n" : "530 STARTTLS first\r\n");
        }
        if (weir_drain(writer) < 0)
            return;
    }
}

/* Reads one reply: lines with a dash after the code, and one without. */
static int hear(struct weir_reader *reader)
{
    struct weir_slice line;
    do {
        ssize_t size = weir_readuntil(reader, "\n", &line);
        if (size < 0)
            return (int)size;
        printf("client hears: %.*s", (int)line.size, line.data);
    } while (line.size > 3 && line.data[3] == '-');
    return 0;
}

static int ask(struct weir_reader *reader, struct weir_writer *writer, const char *commands)
{
    int rc = weir_printf(writer, "%s", commands);
    return rc < 0 ? rc : hear(reader);
}

/* Says `commands`, the last of which is STARTTLS; then over TLS who it is, and goodbye. */
static int send_mail(uint16_t port, struct weir_tls *tls, const char *commands)
{
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_connection("127.0.0.1", port, NULL, &reader, &writer);
    if (rc < 0)
        return rc;

    struct weir_start_tls_options options = { .server_hostname = "localhost" };
    rc = hear(reader);
    if (rc == 0)
        rc = ask(reader, writer, "EHLO me\r\n");
    if (rc == 0)
        rc = ask(reader, writer, commands);
    if (rc == 0)
        rc = weir_start_tls(writer, tls, &options);
    if (rc == 0)
        rc = ask(reader, writer, "EHLO me\r\n"); /* anew: what came before may have been forged */
    if (rc == 0)
        rc = ask(reader, writer, "QUIT\r\n");
    int closed = weir_wait_closed(writer);
    return rc < 0 ? rc : closed;
}

struct contexts {
    struct weir_tls *server, *client;
};

static int run(void *argument)
{
    struct contexts *tls = argument;
    struct weir_server *server;
    int rc = weir_start_server(serve_mail, tls->server, "127.0.0.1", 0, NULL, &server);
    if (rc < 0)
        return rc;
    int attack = send_mail(weir_server_port(server), tls->client,
                           "STARTTLS\r\nMAIL FROM:<mallory@example.org>\r\n");
    printf("the attack %s\n\n", attack < 0 ? "fails" : "succeeds");

    rc = send_mail(weir_server_port(server), tls->client, "STARTTLS\r\n");
    printf("the upgrade %s\n", rc < 0 ? "fails" : "succeeds");
    weir_server_close(server);
    weir_server_wait_closed(server);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: start_tls CERTIFICATE KEY CA\n");
        return 2;
    }
    struct weir_tls_options server = { .certificate_file = argv[1], .key_file = argv[2] };
    struct weir_tls_options client = { .ca_file = argv[3] };
    struct contexts tls = { 0 };
    int rc = weir_tls_server(&server, &tls.server);
    if (rc == 0)
        rc = weir_tls_client(&client, &tls.client);
    if (rc == 0)
        rc = weir_run(run, &tls, NULL);
    if (rc < 0)
        fprintf(stderr, "start_tls: %s\n", weir_strerror(rc));
    weir_tls_free(tls.client);
    weir_tls_free(tls.server);
    return rc < 0;
}
