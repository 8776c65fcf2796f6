#include "transport/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/sys.h"

static char *inet_text(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    char host[INET6_ADDRSTRLEN];
    enum { LONGEST = INET6_ADDRSTRLEN + sizeof "[]:65535" + sizeof "%4294967295" };
    char *text = malloc(LONGEST);
    if (text == NULL)
        return NULL;
    if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, LONGEST, "%s:%u", host, ntohs(v4->sin_port));
        return text;
    }
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    if (v6->sin6_scope_id != 0)
        snprintf(text, LONGEST, "[%s%%%u]:%u", host, v6->sin6_scope_id, ntohs(v6->sin6_port));
    else
        snprintf(text, LONGEST, "[%s]:%u", host, ntohs(v6->sin6_port));
    return text;
}

static char *unix_text(const struct sockaddr_un *address, socklen_t length)
{
    size_t size = length > offsetof(struct sockaddr_un, sun_path)
                      ? length - offsetof(struct sockaddr_un, sun_path)
                      : 0;
    char *text = malloc(size + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, address->sun_path, size);
    text[size] = '\0';
    if (size > 0 && text[0] == '\0')
        text[0] = '@';
    return text;
}

char *address_text(const struct sockaddr *address, socklen_t length)
{
    switch (address->sa_family) {
    case AF_INET:
    case AF_INET6:
        return inet_text(address);
    case AF_UNIX:
        return unix_text((const struct sockaddr_un *)(const void *)address, length);
    }
    return NULL;
}

unsigned address_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

int address_of_path(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length)
{
    if (path == NULL || path[0] == '\0')
        return -EINVAL;
    size_t size = strlen(path);
    bool abstract = path[0] == '@';
    if (size + !abstract > sizeof ret_address->sun_path)
        return -ENAMETOOLONG;
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(ret_address->sun_path, path, size);
    if (abstract)
        ret_address->sun_path[0] = '\0';
    *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !abstract);
    return 0;
}

static void look_up(struct names *names, int fd, enum name which)
{
    struct sockaddr_storage address;
    struct sockaddr *generic = (struct sockaddr *)&address;
    socklen_t length;
    if (sys_socket_name(fd, which == NAME_PEER, &address, &length) < 0)
        names->texts[which] = strdup("");
    else if (length <= sizeof names->inet[which] && generic->sa_family != AF_UNIX)
        memcpy(&names->inet[which], &address, length);
    else
        names->texts[which] = address_text(generic, length);
}

void names_open(struct names *names, int fd)
{
    *names = (struct names){ 0 };
    look_up(names, fd, NAME_PEER);
    look_up(names, fd, NAME_OWN);
}

void names_close(struct names *names)
{
    free(names->texts[NAME_PEER]);
    free(names->texts[NAME_OWN]);
}

const char *names_text(struct names *names, enum name which)
{
    const union inet *inet = &names->inet[which];
    if (names->texts[which] == NULL && inet->any.sa_family != AF_UNSPEC)
        names->texts[which] = address_text(&inet->any, sizeof *inet);
    return names->texts[which];
}
