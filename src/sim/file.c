#include "sim/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "sim/choice.h"
#include "sim/world.h"

enum { FIRST = 3 }; /* stdin, stdout and stderr are taken */

static struct file **table;
static unsigned limit, count;
static uint64_t serials;

void files_open(unsigned most)
{
    limit = most;
    count = 0;
    serials = 0;
    table = calloc(limit, sizeof(struct file *));
    if (table == NULL)
        abort();
}

void files_close(void)
{
    for (unsigned fd = FIRST; fd < limit; fd++) {
        if (table[fd] != NULL)
            fd_close((int)fd);
    }
    free(table);
    table = NULL;
}

static bool is_full(void)
{
    return FIRST + count >= limit;
}

static int put(struct file *file)
{
    unsigned fd = FIRST;
    if (is_full())
        return -EMFILE;
    while (table[fd] != NULL)
        fd++;
    table[fd] = file;
    file->fds++;
    count++;
    return (int)fd;
}

int fd_wanted(void)
{
    if (fault_call(FAULT_FILES, "a new fd"))
        return choose(2, "whose limit") == 0 ? -EMFILE : -ENFILE;
    return is_full() ? -EMFILE : 0;
}

int fd_give(struct file *file)
{
    file->serial = ++serials;
    return put(file);
}

int fd_install(struct file *file)
{
    int rc = fd_wanted();
    return rc < 0 ? rc : fd_give(file);
}

struct file *fd_file(int fd)
{
    return fd >= FIRST && (unsigned)fd < limit ? table[fd] : NULL;
}

int fd_close(int fd)
{
    struct file *file = fd_file(fd);
    if (file == NULL)
        return -EBADF;
    table[fd] = NULL;
    count--;
    if (--file->fds == 0 && file->closed != NULL)
        file->closed(file);
    file_drop(file);
    return 0;
}

int fd_duplicate(int fd)
{
    struct file *file = fd_file(fd);
    if (file == NULL)
        return -EBADF;
    if (fault_call(FAULT_FILES, "dup"))
        return -EMFILE;
    int copy = put(file);
    if (copy >= 0)
        file_hold(file);
    return copy;
}

unsigned fd_count(void)
{
    return count;
}

unsigned fd_limit(void)
{
    return limit;
}

void fds_tell(void)
{
    static const char *const kinds[] = { "a socket", "an eventfd", "a ring" };
    for (unsigned fd = FIRST; fd < limit; fd++) {
        if (table[fd] != NULL)
            fprintf(stderr, "  fd %u is %s, the %lluth file\n", fd, kinds[table[fd]->kind],
                    (unsigned long long)table[fd]->serial);
    }
}

/* ---- Files ----------------------------------------------------------------------------------- */

struct file *file_hold(struct file *file)
{
    file->references++;
    return file;
}

void file_drop(struct file *file)
{
    if (--file->references == 0)
        file->free(file);
}

void file_watch(struct file *file, struct watcher *watcher)
{
    list_append(&file->watchers, &watcher->node);
}

void file_unwatch(struct watcher *watcher)
{
    list_remove(&watcher->node);
}

/* They only ask to be called later, so none comes or goes meanwhile. */
void file_changed(struct file *file)
{
    struct list *all = &file->watchers;
    for (struct list_node *node = list_first(all); node != NULL; node = list_next(all, node)) {
        struct watcher *watcher = container_of(node, struct watcher, node);
        watcher->changed(watcher);
    }
}

/* ---- What is no socket ----------------------------------------------------------------------- */

struct event_file {
    struct file file;
    uint64_t signals;
};

static void free_event_file(struct file *file)
{
    free(container_of(file, struct event_file, file));
}

struct file *event_file_new(void)
{
    struct event_file *event = calloc(1, sizeof *event);
    if (event == NULL)
        abort();
    event->file = (struct file){ .kind = FILE_EVENT, .references = 1, .free = free_event_file };
    return &event->file;
}

void event_file_signal(struct file *file)
{
    container_of(file, struct event_file, file)->signals++;
    file_changed(file);
}

uint64_t event_file_signals(const struct file *file)
{
    return container_of(file, const struct event_file, file)->signals;
}
