/* The names of Unix sockets: paths, which are all that there is of a file system, and abstract. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"
#include "sim/socket_state.h"

enum { PATHS = 64 };

static struct {
    char path[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    ino_t inode;
    struct socket *socket; /* NULL: its socket has gone, and left the file */
} paths[PATHS];
static ino_t inodes;

void paths_open(void)
{
    inodes = 0;
    memset(paths, 0, sizeof paths);
}

/* There are a few directories only, in which anybody may make files. */
static bool is_in_directory(const char *path)
{
    static const char *const directories[] = { "", ".", "/tmp", "/run", "/var/run" };
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        if (strlen(directories[i]) == length && strncmp(directories[i], path, length) == 0)
            return true;
    }
    return false;
}

static int path_named(const char *path)
{
    for (int i = 0; i < PATHS; i++) {
        if (paths[i].inode != 0 && strcmp(paths[i].path, path) == 0)
            return i;
    }
    return -1;
}

static int bind_path(struct socket *socket, const char *path)
{
    int free_one = 0;
    if (!is_in_directory(path))
        return -ENOENT;
    if (path_named(path) >= 0)
        return -EADDRINUSE;
    while (free_one < PATHS && paths[free_one].inode != 0)
        free_one++;
    if (free_one == PATHS)
        return -ENOSPC;
    strcpy(paths[free_one].path, path);
    paths[free_one].inode = ++inodes;
    paths[free_one].socket = socket;
    return 0;
}

/* Who has this abstract name, or listens on it. */
static struct socket *abstract_at(const struct sockaddr_un *name, socklen_t length, bool listens)
{
    for (struct list_node *node = list_first(&sockets); node != NULL;
         node = list_next(&sockets, node)) {
        struct socket *socket = container_of(node, struct socket, node);
        bool has = socket->state == STATE_LISTENING || (!listens && socket->state == STATE_NEW);
        if (socket->family == AF_UNIX && has && socket->own_length == length &&
            memcmp(&socket->own.un, name, length) == 0)
            return socket;
    }
    return NULL;
}

int socket_bind_path(struct socket *socket, const union address *address, socklen_t length)
{
    const struct sockaddr_un *un = &address->un;
    const size_t begin = offsetof(struct sockaddr_un, sun_path);
    if (length <= begin || length > sizeof *un || un->sun_family != AF_UNIX || socket->bound)
        return -EINVAL;
    if (un->sun_path[0] != '\0') {
        int rc = bind_path(socket, un->sun_path);
        if (rc < 0)
            return rc;
        length = (socklen_t)(begin + strlen(un->sun_path) + 1);
    } else if (abstract_at(un, length, false) != NULL) {
        return -EADDRINUSE;
    }
    socket->own = *address;
    socket->own_length = length;
    socket->bound = true;
    return 0;
}

struct socket *socket_at_path(const struct sockaddr_un *path, socklen_t length, int *ret_error)
{
    if (path->sun_path[0] != '\0') {
        int index = path_named(path->sun_path);
        struct socket *socket = index >= 0 ? paths[index].socket : NULL;
        *ret_error = index < 0 ? -ENOENT : -ECONNREFUSED;
        return socket != NULL && socket->state == STATE_LISTENING ? socket : NULL;
    }
    *ret_error = -ECONNREFUSED;
    return abstract_at(path, length, true);
}

void paths_leave(const struct socket *socket)
{
    for (int i = 0; i < PATHS; i++) {
        if (paths[i].socket == socket)
            paths[i].socket = NULL;
    }
}

int socket_stat(const char *path, struct stat *ret_stat)
{
    int index = path_named(path);
    if (index < 0)
        return -ENOENT;
    *ret_stat =
        (struct stat){ .st_mode = S_IFSOCK | 0755, .st_ino = paths[index].inode, .st_dev = 1 };
    return 0;
}

int socket_unlink(const char *path)
{
    int index = path_named(path);
    if (index < 0)
        return -ENOENT;
    paths[index].inode = 0;
    paths[index].socket = NULL;
    return 0;
}
