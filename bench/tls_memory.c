/* Shows what wolfSSL itself takes for a TLS 1.3 connection of a server: for bench/bench-tls, beside
 * what a whole server takes for one.
 *
 * Server and client are both here, and talk through memory. Of each pair the client is freed after
 * the handshake; what the servers then hold is what malloc says that it has given out, and what the
 * kernel says that is resident.
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "tls_memory"

enum { CONNECTIONS = 1000, FLIGHT_MOST = 64 * 1024 };

/* What one side has sent and the other not received. */
struct flight {
    char bytes[FLIGHT_MOST];
    int size;
};
static struct flight to_server, to_client;

static WOLFSSL *servers[CONNECTIONS];

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, PROGRAM ": %s\n", what);
    exit(1);
}

static int put(WOLFSSL *ssl, char *bytes, int size, void *context)
{
    struct flight *flight = context;
    if (flight->size + size > FLIGHT_MOST)
        give_up("a flight is too long");
    memcpy(flight->bytes + flight->size, bytes, (size_t)size);
    flight->size += size;
    return size;
}

static int take(WOLFSSL *ssl, char *bytes, int size, void *context)
{
    struct flight *flight = context;
    int part = size < flight->size ? size : flight->size;
    if (part == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(bytes, flight->bytes, (size_t)part);
    flight->size -= part;
    memmove(flight->bytes, flight->bytes + part, (size_t)flight->size);
    return part;
}

static WOLFSSL *make(WOLFSSL_CTX *context, struct flight *in, struct flight *out)
{
    WOLFSSL *ssl = wolfSSL_new(context);
    if (!ssl)
        give_up("wolfSSL_new failed");
    wolfSSL_SetIOReadCtx(ssl, in);
    wolfSSL_SetIOWriteCtx(ssl, out);
    return ssl;
}

/* A server's connection after its handshake and a byte from its client. */
static WOLFSSL *make_served(WOLFSSL_CTX *server_context, WOLFSSL_CTX *client_context)
{
    to_server.size = to_client.size = 0;
    WOLFSSL *server = make(server_context, &to_server, &to_client);
    WOLFSSL *client = make(client_context, &to_client, &to_server);
    bool connected = false, accepted = false;
    for (int turn = 0; turn < 8 && !(connected && accepted); turn++) {
        connected = connected || wolfSSL_connect(client) == WOLFSSL_SUCCESS;
        accepted = accepted || wolfSSL_accept(server) == WOLFSSL_SUCCESS;
    }
    char byte = 'x';
    if (!connected || !accepted || wolfSSL_write(client, &byte, 1) != 1 ||
        wolfSSL_read(server, &byte, 1) != 1)
        give_up("the handshake failed");
    wolfSSL_free(client);
    return server;
}

static WOLFSSL_CTX *make_context(WOLFSSL_METHOD *method)
{
    static int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1 };
    WOLFSSL_CTX *context = wolfSSL_CTX_new(method);
    if (!context || wolfSSL_CTX_set_groups(context, groups, 2) != WOLFSSL_SUCCESS)
        give_up("wolfSSL does not start");
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL); /* a client's with itself */
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_SetIORecv(context, take);
    wolfSSL_CTX_SetIOSend(context, put);
    return context;
}

static double resident_kib(void)
{
    char line[128];
    double kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && kib == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtod(line + 4, NULL);
    if (file)
        fclose(file);
    return kib;
}

static double given_out_kib(void)
{
    return (double)mallinfo2().uordblks / 1024;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: " PROGRAM " CERTIFICATE KEY\n");
        return 2;
    }
    wolfSSL_Init();
    WOLFSSL_CTX *server_context = make_context(wolfTLSv1_3_server_method());
    WOLFSSL_CTX *client_context = make_context(wolfTLSv1_3_client_method());
    if (wolfSSL_CTX_use_certificate_chain_file(server_context, argv[1]) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(server_context, argv[2], WOLFSSL_FILETYPE_PEM) !=
            WOLFSSL_SUCCESS)
        give_up("the certificate or its key does not load");

    for (int i = 0; i < 4; i++) /* what wolfSSL makes once */
        wolfSSL_free(make_served(server_context, client_context));

    double given_out = given_out_kib(), resident = resident_kib();
    for (int i = 0; i < CONNECTIONS; i++)
        servers[i] = make_served(server_context, client_context);
    given_out = (given_out_kib() - given_out) / CONNECTIONS;
    resident = (resident_kib() - resident) / CONNECTIONS;
    printf("{\"version\": \"%s\", \"connections\": %d, \"malloc_kib\": %.2f, \"pss_kib\": %.2f}\n",
           wolfSSL_lib_version(), CONNECTIONS, given_out, resident);
    for (int i = 0; i < CONNECTIONS; i++)
        wolfSSL_free(servers[i]);
    return 0;
}
