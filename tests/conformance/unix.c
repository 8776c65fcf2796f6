/* Unix sockets, their files and their names. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance.h"

static int bound(int fd, const struct place *place)
{
    return sys_bind(fd, &place->at.any, place->length);
}

static int fresh(void)
{
    return keep(sys_socket(AF_UNIX, 0));
}

static int reached(const struct place *place)
{
    return sys_connect(fresh(), &place->at.any, place->length);
}

static void file(void)
{
    struct place place = unix_file();
    struct stat now;
    say("stat before: %s", outcome(sys_stat(place.at.un.sun_path, &now)));
    say("bind: %s", outcome(bound(fresh(), &place)));
    say("stat: %s", outcome(sys_stat(place.at.un.sun_path, &now)));
    say("a socket: %s", S_ISSOCK(now.st_mode) ? "yes" : "no");
    say("unlink: %s", outcome(sys_unlink(place.at.un.sun_path)));
    say("again: %s", outcome(sys_unlink(place.at.un.sun_path)));
    say("stat after: %s", outcome(sys_stat(place.at.un.sun_path, &now)));
}

static void file_stays(void)
{
    struct place place = unix_file();
    int fd = fresh();
    struct stat now;
    bound(fd, &place);
    sys_listen(fd, 1);
    drop(fd);
    say("stat: %s", outcome(sys_stat(place.at.un.sun_path, &now)));
    say("connect: %s", outcome(reached(&place)));
    say("bind: %s", outcome(bound(fresh(), &place)));
    sys_unlink(place.at.un.sun_path);
    say("bind: %s", outcome(bound(fresh(), &place)));
}

static void in_use(void)
{
    struct place place = unix_file();
    listener(&place, 1);
    say("bind: %s", outcome(bound(fresh(), &place)));
}

static void bound_twice(void)
{
    struct place place = unix_file(), other = unix_file();
    int fd = fresh();
    say("%s", outcome(bound(fd, &place)));
    say("%s", outcome(bound(fd, &other)));
}

static void listen_unbound(void)
{
    say("listen: %s", outcome(sys_listen(fresh(), 1)));
}

/* The file has gone, the listener serves those who have come. */
static void unlinked(void)
{
    struct place place = unix_file();
    int fd = listener(&place, 4);
    say("connect: %s", outcome(reached(&place)));
    sys_unlink(place.at.un.sun_path);
    say("connect: %s", outcome(reached(&place)));
    accept_one('a', fd);
    submit_and_show(1);
}

static void replaced(void)
{
    struct place place = unix_file();
    struct stat before, after;
    listener(&place, 4);
    sys_stat(place.at.un.sun_path, &before);
    sys_unlink(place.at.un.sun_path);
    int second = listener(&place, 4);
    sys_stat(place.at.un.sun_path, &after);
    say("the same device: %s", before.st_dev == after.st_dev ? "yes" : "no");
    say("connect: %s", outcome(reached(&place)));
    accept_one('a', second);
    submit_and_show(1);
}

static void no_directory(void)
{
    struct place place = { .at.un.sun_family = AF_UNIX };
    strcpy(place.at.un.sun_path, "/weir-is-no-directory/socket");
    place.length = sizeof place.at.un;
    struct stat now;
    say("bind: %s", outcome(bound(fresh(), &place)));
    say("connect: %s", outcome(reached(&place)));
    say("stat: %s", outcome(sys_stat(place.at.un.sun_path, &now)));
    say("unlink: %s", outcome(sys_unlink(place.at.un.sun_path)));
}

static void abstract(void)
{
    struct place place = unix_abstract();
    say("connect: %s", outcome(reached(&place)));
    int fd = listener(&place, 4);
    say("connect: %s", outcome(reached(&place)));
    say("bind: %s", outcome(bound(fresh(), &place)));
    drop(fd);
    say("connect: %s", outcome(reached(&place)));
    say("bind: %s", outcome(bound(fresh(), &place)));
}

static void tell_name(const char *what, int fd, bool peer, const struct place *place)
{
    struct sockaddr_storage name;
    socklen_t length = 0;
    int rc = sys_socket_name(fd, peer, &name, &length);
    bool same = rc == 0 && length == place->length && memcmp(&name, &place->at, length) == 0;
    if (rc < 0)
        say("%s: %s", what, outcome(rc));
    else if (length == sizeof(sa_family_t))
        say("%s: unnamed", what);
    else
        say("%s: %s", what, same ? "the listener's" : "another");
}

static void names(void)
{
    struct place place = unix_file();
    int fd = listener(&place, 4);
    int peer = client(&place);
    accept_one('a', fd);
    submit_and_show(1);
    tell_name("listener", fd, false, &place);
    tell_name("client", peer, false, &place);
    tell_name("the client's peer", peer, true, &place);
    tell_name("accepted", last_accepted(), false, &place);
    tell_name("its peer", last_accepted(), true, &place);
    drop(peer);
    tell_name("its peer that has gone", last_accepted(), true, &place);
}

static void abstract_names(void)
{
    struct place place = unix_abstract();
    int fd = listener(&place, 4);
    int peer = client(&place);
    tell_name("listener", fd, false, &place);
    tell_name("the client's peer", peer, true, &place);
}

static void empty_name(void)
{
    struct place place = { .at.un.sun_family = AF_UNIX, .length = sizeof(sa_family_t) };
    say("connect: %s", outcome(reached(&place)));
}

static void accepted_data(void)
{
    struct place place = unix_file();
    int fd = listener(&place, 4);
    int peer = client(&place);
    put(peer, "before the accept");
    accept_one('a', fd);
    submit_and_show(1);
    peer_reads(last_accepted(), 17);
    put(last_accepted(), "answer");
    peer_reads(peer, 6);
    drop(peer);
    peer_reads(last_accepted(), 0);
}

static void backlog(void)
{
    struct place place = unix_file();
    int fd = listener(&place, 2);
    for (int i = 0; i < 4; i++)
        say("connect: %s", outcome(reached(&place)));
    accept_one('a', fd);
    submit_and_show(1);
    say("connect: %s", outcome(reached(&place)));
}

static void backlog_waits(void)
{
    struct place place = unix_file();
    int fd = listener(&place, 1);
    reached(&place);
    reached(&place);
    connect_to('n', fresh(), &place);
    submit();
    none();
    accept_one('a', fd);
    submit_and_show(2);
}

static void backlog_waits_cancelled(void)
{
    struct place place = unix_file();
    listener(&place, 1);
    reached(&place);
    reached(&place);
    connect_to('n', fresh(), &place);
    submit();
    none();
    cancel('c', 'n');
    submit();
    show(2);
}

const struct vector unix_vectors[] = {
    { "unix/file", file },
    { "unix/file-stays", file_stays },
    { "unix/in-use", in_use },
    { "unix/bound-twice", bound_twice },
    { "unix/listen-unbound", listen_unbound },
    { "unix/unlinked", unlinked },
    { "unix/replaced", replaced },
    { "unix/no-directory", no_directory },
    { "unix/abstract", abstract },
    { "unix/names", names },
    { "unix/abstract-names", abstract_names },
    { "unix/empty-name", empty_name },
    { "unix/accepted-data", accepted_data },
    { "unix/backlog", backlog },
    { "unix/backlog-waits", backlog_waits },
    { "unix/backlog-waits-cancelled", backlog_waits_cancelled },
    { 0 },
};
