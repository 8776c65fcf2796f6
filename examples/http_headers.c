/* asyncio's "Get HTTP headers": asks for the head of a page, and prints it.
 *     http_headers URL      (http:// or https://HOST[:PORT][/PATH])
 * It trusts whom the system trusts, or those in the file that SSL_CERT_FILE names. */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int print_http_headers(void *argument)
{
    const char *url = argument, *authority = strstr(url, "//") + 2;
    bool tls = strncmp(url, "https:", 6) == 0;
    int size = (int)strcspn(authority, "/"); /* of the authority: the path is what follows */
    const char *path = authority[size] ? authority + size : "/";
    char host[256] = "";
    uint16_t port = tls ? 443 : 80;
    if (sscanf(authority, "[%255[^]/]]:%hu", host, &port) < 1)
        sscanf(authority, "%255[^:/]:%hu", host, &port);

    struct weir_connect_options options = { .tls = tls ? weir_tls_default() : NULL };
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_connection(host, port, &options, &reader, &writer);
    if (rc < 0)
        return rc;

    weir_printf(writer, "HEAD %s HTTP/1.0\r\nHost: %.*s\r\n\r\n", path, size, authority);
    struct weir_slice line;
    while (weir_readline(reader, &line) > 2) /* an empty line ends the headers */
        printf("HTTP header> %.*s", (int)line.size, line.data);

    weir_close(writer);
    return weir_wait_closed(writer);
}

int main(int argc, char **argv)
{
    if (argc != 2 ||
        (strncmp(argv[1], "http://", 7) != 0 && strncmp(argv[1], "https://", 8) != 0)) {
        fprintf(stderr, "usage: http_headers http[s]://HOST[:PORT][/PATH]\n");
        return 2;
    }
    int rc = weir_run(print_http_headers, argv[1], NULL);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", argv[1], weir_strerror(rc));
    return rc < 0;
}
