/* A stream joins a reader and a writer to a transport. What a program holds, struct weir_reader
 * and struct weir_writer, are its two halves; it is freed when it is closed, nobody is inside
 * one of its functions any more, and its owner has let it go. */
#ifndef WEIR_STREAM_STREAM_H
#define WEIR_STREAM_STREAM_H

#include <stdbool.h>
#include <weir.h>

#include "base/list.h"
#include "kernel/chain.h"
#include "task/loop.h"
#include "task/task.h"
#include "transport/socket.h"
#include "transport/transport.h"

struct weir_reader {
    struct chain in;           /* received, not read yet */
    struct weir_segment *lent; /* the last read's, until the next */
    struct wait *waiter;       /* the task that waits for more */
    size_t wanted;             /* how many bytes in all it waits for */
    size_t limit;
    bool busy;      /* a task is inside a read */
    bool ended;     /* nothing more comes */
    bool paused;    /* by the limit */
    bool held;      /* by weir_pause_reading() */
    size_t overrun; /* see weir_overrun() */
};

struct weir_writer {
    size_t high, low;
    struct list drains; /* wait */
    struct list loans;  /* weir_write_all()'s, to be given back before they have left */
    bool paused;        /* above high, until at low */
    bool ended;         /* weir_write_eof() */
    unsigned lending;   /* tasks inside weir_write_all() */
};

/* When the handler of a stream that no task owns is started. */
enum stream_start {
    START_NEVER,
    START_SECURED, /* when the TLS handshake has succeeded */
    PARK_SECURED,  /* parked then */
    START_NEWS,    /* parked: when something comes, or nothing more will */
    START_SOON,    /* its task is ready, and has not run yet */
};

/* What every message touches comes first. */
struct stream {
    struct weir_reader reader;
    struct weir_writer writer;
    struct transport *transport; /* the topmost */
    int error;                   /* the first failure */
    unsigned inside;             /* tasks inside a waiting function */
    enum stream_start start : 8;
    bool closing, aborted, lost, closed;
    bool released;        /* nobody will end it any more */
    bool leaving;         /* its server shuts down: parking closes it */
    struct socket socket; /* the lowest */

    struct task_owned owned;             /* by the task that must end it */
    struct lingering lingering;          /* among its siblings, until it is closed */
    struct list closers;                 /* wait, for closed */
    void (*gone)(struct stream *stream); /* it is closed: the server's; or NULL */
    weir_client_connected_fn *handler;   /* that a task of its own runs, now or later; or NULL */
    void *argument;                      /* the handler's */
    struct weir_task *task;              /* that task, until the handler returns; or NULL */
    struct wait *securer;                /* waits for the TLS handshake */
    char *host;                          /* that a client connected to, or NULL */
};

/* A stream over `fd`, a connected, blocking stream socket, in `size` bytes, of which struct
 * stream is the first member. It stands in the list `siblings` until it is closed. Reading begins
 * at once. NULL without memory: then the fd is still the caller's. */
struct stream *stream_new(struct weir_loop *loop, int fd, size_t limit, size_t size,
                          struct list *siblings);

/* `task` owns it from here on: it is released at the latest when that returns. */
void stream_own(struct stream *stream, struct weir_task *task);

/* Its owner lets it go: closed once its data has left, then freed. */
void stream_release(struct stream *stream);

void stream_fail(struct stream *stream, int error);
void stream_close(struct stream *stream);
void stream_abort(struct stream *stream);

/* Around every wait inside: enter keeps the memory, leave may free it. */
static inline void stream_enter(struct stream *stream)
{
    stream->inside++;
}
void stream_leave(struct stream *stream);

static inline struct stream *stream_of_reader(const struct weir_reader *reader)
{
    return (struct stream *)(void *)((char *)(uintptr_t)reader - offsetof(struct stream, reader));
}

static inline struct stream *stream_of_writer(const struct weir_writer *writer)
{
    return (struct stream *)(void *)((char *)(uintptr_t)writer - offsetof(struct stream, writer));
}

/* handler.c */
void stream_start_handler(struct stream *stream); /* in a task that owns the stream */
void stream_park(struct stream *stream);          /* until there is news, of which there is none */
void stream_leave_when_parked(struct stream *stream);
void stream_forget_handler(struct stream *stream);

/* reader.c */
void reader_received(struct stream *stream, struct weir_segment *segment, const char *data,
                     size_t size);
void reader_end(struct stream *stream);    /* nothing more comes: wakes who waits */
void reader_resume(struct stream *stream); /* after something was taken out of `in` */
/* Begins a read: 0, or why not (-EBUSY, an interruption). Every 0 is followed by reader_leave(). */
int reader_enter(struct weir_reader *reader);
void reader_leave(struct weir_reader *reader);
void reader_drop_lent(struct weir_reader *reader); /* what the last read has lent */
/* Waits until `in` holds `wanted` bytes or nothing more comes: 0, or why not. */
int reader_wait(struct weir_reader *reader, size_t wanted);

/* Lends the first `n` bytes, which lie together; or all there is, with `code` to go with it. */
ssize_t reader_lend(struct weir_reader *reader, size_t n, struct weir_slice *ret_data);
ssize_t reader_lend_rest(struct weir_reader *reader, ssize_t code, struct weir_slice *ret_data);
/* When nothing more comes: the failure, or what an orderly end means to the caller. */
ssize_t reader_at_end(const struct weir_reader *reader, ssize_t otherwise);

/* secure.c */
struct secure_options {
    struct weir_tls *tls;
    const char *server_hostname;
    weir_duration handshake_timeout, shutdown_timeout;
};
/* Whether these go together, in that role: 0 or -EINVAL. `host` is the name to check if there is no
 * other. */
int secure_check(const struct secure_options *options, bool server, const char *host);
/* Puts TLS over what there is: `secured` follows, or the loss of the stream. -errno: not begun. */
int stream_secure(struct stream *stream, const struct secure_options *options);
/* The same, and waits for it. If it fails after it has begun, the stream is lost. */
int stream_secure_and_wait(struct stream *stream, const struct secure_options *options);
void secure_opened(struct stream *stream);
void secure_lost(struct stream *stream);

/* writer.c */
int writer_check(const struct weir_writer *writer); /* may be written to: 0, or why not */
void writer_queued(struct weir_writer *writer);     /* after something was put into `out` */
void writer_sent(struct stream *stream);
void writer_lost(struct stream *stream);

#endif
