/* The table of file descriptors of the one process, and what they stand for. The lowest free number
 * is the next, as in Linux. A file lives until nobody refers to it: an fd, or an operation in
 * flight, which is why closing an fd does not end what is in flight on it. */
#ifndef WEIR_SIM_FILE_H
#define WEIR_SIM_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum file_kind { FILE_SOCKET, FILE_EVENT, FILE_RING };

struct file {
    enum file_kind kind;
    unsigned references;
    unsigned fds;         /* numbers that stand for it: the last close ends a socket's connection */
    uint64_t serial;      /* no two files of a world have the same */
    struct list watchers; /* watcher: whom to tell of news */
    void (*closed)(struct file *file); /* its last fd has gone */
    void (*free)(struct file *file);   /* nobody refers to it any more */
};

/* Told when a file may have become readable or writable, or has failed. */
struct watcher {
    struct list_node node;
    void (*changed)(struct watcher *watcher);
};

void files_open(unsigned limit);
void files_close(void); /* frees what is left */

/* Whether a number can be had: 0, -EMFILE at the limit, and by a fault. */
int fd_wanted(void);

/* A number for `file`, whose reference it takes over; if none can be had, the file is the caller's
 * still. fd_give() does not ask again, after fd_wanted(). */
int fd_install(struct file *file);
int fd_give(struct file *file);
struct file *fd_file(int fd); /* NULL: not open. Not a new reference */
int fd_close(int fd);         /* -EBADF: a violation is the caller's to tell */
int fd_duplicate(int fd);
unsigned fd_count(void); /* open ones */
unsigned fd_limit(void);
void fds_tell(void); /* all that are open, on the trace's stream */

struct file *file_hold(struct file *file);
void file_drop(struct file *file);
void file_watch(struct file *file, struct watcher *watcher);
void file_unwatch(struct watcher *watcher);
void file_changed(struct file *file); /* tells all who watch */

/* An eventfd. */
struct file *event_file_new(void); /* NULL without memory */
void event_file_signal(struct file *file);
uint64_t event_file_signals(const struct file *file); /* how many since it was made */

#endif
