/* Names, and addresses written as numbers, as getaddrinfo(3) would have them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

#include "sim/choice.h"
#include "sim/event.h"
#include "sim/socket.h"
#include "sim/thread.h"
#include "sim/world.h"

enum { NAMES = 32 };

static struct {
    char host[64], addresses[256];
} names[NAMES];
static unsigned count;
static unsigned entries; /* handed out, and not freed yet */

/* One allocation each: the entry and its address. */
struct entry {
    struct addrinfo info;
    struct sockaddr_storage address;
};

unsigned names_entries(void)
{
    return entries;
}

void names_reset(void)
{
    count = entries = 0;
    names_add("localhost", "127.0.0.1 ::1");
}

static void check_addresses(const char *host, const char *addresses)
{
    char text[sizeof names->addresses], *rest = text;
    struct in6_addr address;
    snprintf(text, sizeof text, "%s", addresses);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word != '\0' && inet_pton(AF_INET, word, &address) != 1 &&
            inet_pton(AF_INET6, word, &address) != 1)
            violation("weir_sim_name(\"%s\"): \"%s\" is no address written as a number", host,
                      word);
    }
}

void names_add(const char *host, const char *addresses)
{
    unsigned i = 0;
    while (i < count && strcasecmp(names[i].host, host) != 0)
        i++;
    if (i == NAMES)
        violation("there is room for %d names only", NAMES);
    if (strlen(host) >= sizeof names[i].host || strlen(addresses) >= sizeof names[i].addresses)
        violation("the name \"%s\", or its addresses, are too long", host);
    check_addresses(host, addresses);
    snprintf(names[i].host, sizeof names[i].host, "%s", host);
    snprintf(names[i].addresses, sizeof names[i].addresses, "%s", addresses);
    if (i == count)
        count++;
}

static struct addrinfo *entry_new(int family, const void *address, uint16_t port)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        abort();
    entries++;
    struct sockaddr_in *in = (struct sockaddr_in *)&entry->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&entry->address;
    entry->info = (struct addrinfo){
        .ai_family = family,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
        .ai_addr = (struct sockaddr *)&entry->address,
        .ai_addrlen = family == AF_INET ? sizeof *in : sizeof *in6,
    };
    entry->address.ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, address, sizeof in->sin_addr);
    } else {
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, address, sizeof in6->sin6_addr);
    }
    return &entry->info;
}

void names_free(struct addrinfo *addresses)
{
    while (addresses != NULL) {
        struct addrinfo *next = addresses->ai_next;
        free(addresses);
        entries--;
        addresses = next;
    }
}

/* Appends the address that is written there, if it is one and of the family that is wanted: whether
 * it is one. */
static bool add(const char *text, uint16_t port, int family, struct addrinfo ***end)
{
    struct in_addr in;
    struct in6_addr in6;
    bool four = inet_pton(AF_INET, text, &in) == 1;
    bool six = !four && inet_pton(AF_INET6, text, &in6) == 1;
    if (!four && !six)
        return false;
    if (family == AF_UNSPEC || family == (four ? AF_INET : AF_INET6)) {
        **end = four ? entry_new(AF_INET, &in, port) : entry_new(AF_INET6, &in6, port);
        *end = &(**end)->ai_next;
    }
    return true;
}

static int look_up(const char *host)
{
    thread_says("for a name");
    int64_t wait = (int64_t)choose(50, "how long a name takes") * WEIR_MILLISECOND;
    if (fault(FAULT_SLOW_NAME, "a name"))
        wait = (int64_t)(1 + choose(60, "how slow a name is")) * WEIR_SECOND;
    trace("\"%s\" is looked up for %lld ms", host, (long long)(wait / WEIR_MILLISECOND));
    for (int64_t until = events_now() + wait; events_now() < until;)
        thread_sleep(until - events_now());
    if (fault(FAULT_NAME, "a name"))
        return choose(2, "why a name fails") == 0 ? WEIR_UNRESOLVED : -ENOMEM;
    return 0;
}

static void add_all(const char *addresses, uint16_t port, int family, struct addrinfo **list)
{
    char text[256], *rest = text;
    struct addrinfo **end = list;
    snprintf(text, sizeof text, "%s", addresses);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word != '\0')
            add(word, port, family, &end);
    }
}

int names_resolve(const char *host, const char *service, const struct addrinfo *hints,
                  struct addrinfo **ret_addresses)
{
    char *rest = NULL;
    uint16_t port = service != NULL ? (uint16_t)strtoul(service, &rest, 10) : 0;
    struct addrinfo *list = NULL, **end = &list;
    int family = hints->ai_family;
    if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    if (rest != NULL && (rest == service || *rest != '\0')) /* services have no names here */
        return WEIR_UNRESOLVED;
    if (fault_call(FAULT_CALL, "getaddrinfo"))
        return -ENOMEM;
    if (host == NULL) {
        bool passive = hints->ai_flags & AI_PASSIVE;
        add_all(passive ? "0.0.0.0 ::" : "::1 127.0.0.1", port, family, &list);
    } else if (!add(host, port, family, &end)) {
        if (hints->ai_flags & AI_NUMERICHOST)
            return WEIR_UNRESOLVED;
        int rc = look_up(host);
        if (rc < 0)
            return rc;
        for (unsigned i = 0; i < count; i++) {
            if (strcasecmp(names[i].host, host) == 0)
                add_all(names[i].addresses, port, family, &list);
        }
    }
    *ret_addresses = list;
    return list != NULL ? 0 : WEIR_UNRESOLVED;
}
