/* Resolving what needs no server: numbers. */
#include <arpa/inet.h>
#include <errno.h>
#include <weir.h>

#include "conformance.h"

static void tell(const struct addrinfo *address)
{
    char text[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0, scope = 0;
    if (address->ai_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address->ai_addr;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = ntohs(v4->sin_port);
    } else if (address->ai_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address->ai_addr;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        port = ntohs(v6->sin6_port);
        scope = v6->sin6_scope_id;
    }
    say("  %s %u, scope %u, length %u, %s, protocol %d", text, port, scope, address->ai_addrlen,
        address->ai_socktype == SOCK_STREAM ? "stream" : "?", address->ai_protocol);
}

static void resolve(const char *host, const char *service, int flags, int family)
{
    struct addrinfo hints = { .ai_flags = flags | AI_NUMERICHOST | AI_NUMERICSERV,
                              .ai_family = family,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses = NULL;
    int rc = sys_resolve(host, service, &hints, &addresses);
    say("%s %s: %s", host != NULL ? host : "-", service != NULL ? service : "-",
        rc == WEIR_UNRESOLVED ? "unresolved" : outcome(rc));
    for (const struct addrinfo *address = rc == 0 ? addresses : NULL; address != NULL;
         address = address->ai_next)
        tell(address);
    if (rc == 0)
        sys_resolve_free(addresses);
}

static void ipv4(void)
{
    resolve("127.0.0.1", "80", 0, AF_UNSPEC);
    resolve("192.0.2.1", "65535", 0, AF_INET);
    resolve("0.0.0.0", "0", 0, AF_UNSPEC);
}

static void ipv6(void)
{
    resolve("::1", "80", 0, AF_UNSPEC);
    resolve("2001:db8::17", "443", 0, AF_INET6);
    resolve("::", "0", 0, AF_UNSPEC);
    resolve("::ffff:127.0.0.1", "80", 0, AF_UNSPEC);
}

static void wrong_family(void)
{
    resolve("127.0.0.1", "80", 0, AF_INET6);
    resolve("::1", "80", 0, AF_INET);
}

static void unknown_family(void)
{
    resolve("127.0.0.1", "80", 0, AF_APPLETALK);
}

/* Both families, for connecting and for listening. */
static void no_host(void)
{
    resolve(NULL, "80", 0, AF_INET);
    resolve(NULL, "80", AI_PASSIVE, AF_INET);
    resolve(NULL, "80", 0, AF_INET6);
    resolve(NULL, "80", AI_PASSIVE, AF_INET6);
}

static void no_host_any_family(void)
{
    resolve(NULL, "80", 0, AF_UNSPEC);
    resolve(NULL, "80", AI_PASSIVE, AF_UNSPEC);
}

static void not_numbers(void)
{
    resolve("localhost", "80", 0, AF_UNSPEC);
    resolve("example.invalid", "80", 0, AF_UNSPEC);
    resolve("127.0.0.1", "http", 0, AF_UNSPEC);
    resolve("1.2.3.4.5", "80", 0, AF_UNSPEC);
    resolve("::1::", "80", 0, AF_UNSPEC);
    resolve("", "80", 0, AF_UNSPEC);
}

const struct vector name_vectors[] = {
    { "names/ipv4", ipv4 },
    { "names/ipv6", ipv6 },
    { "names/wrong-family", wrong_family },
    { "names/unknown-family", unknown_family },
    { "names/no-host", no_host },
    { "names/no-host-any-family", no_host_any_family },
    { "names/not-numbers", not_numbers },
    { 0 },
};
