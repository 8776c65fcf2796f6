/* weir: asyncio's streams for C on Linux, over io_uring.
 *
 * This header is the whole library, in the order in which a program meets it:
 * errors, running, tasks, time, connecting, reading, writing, TLS, servers, forwarding, metrics.
 *
 * It needs libweir, and, for the five functions weir_tls_...(), libweir-tls (pkg-config weir-tls).
 *
 * Rules that hold everywhere, so that no function repeats them:
 *
 *   Errors     A function that can fail returns a number: negative is the error, a -errno value
 *              or one of the WEIR_ codes below; weir_strerror() words it. errno is never used.
 *   Results    Out-parameters come last, are named ret_..., and are set on success only
 *              (the one exception: the partial data of WEIR_INCOMPLETE).
 *   Waiting    "Waits" means: suspends the calling task, never its thread. Every such function
 *              returns -ECANCELED once the task is cancelled, and -ETIMEDOUT past its deadline;
 *              neither loses a byte. Outside a task it returns -EPERM.
 *   Ownership  What a function hands out, the caller ends: weir_wait_closed() ends a stream,
 *              weir_server_wait_closed() a server. What a task still owns when it returns is closed
 *              (with its queued data sent) and freed for it. Ending NULL does nothing.
 *   Options    A pointer to a struct of options may be NULL, and a zeroed field is its default.
 *   Threads    An object belongs to the thread that made it; no function here takes a lock. The
 *              exception is struct weir_tls, which all threads may share.
 *   Names      A member whose name ends in _ is the library's own.
 */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION "0.2.0"
const char *weir_version(void); /* of the library that is linked, static storage */

/* ---- Errors ---------------------------------------------------------------------------------- */

enum {
    WEIR_INCOMPLETE = -4096,    /* asyncio's IncompleteReadError: EOF before what was asked for */
    WEIR_LIMIT_OVERRUN = -4097, /* LimitOverrunError: no separator within the reader's limit */
    WEIR_UNRESOLVED = -4098,    /* the host name does not resolve */
    WEIR_RING_DISABLED = -4099, /* io_uring is off: sysctl kernel.io_uring_disabled */
    WEIR_RING_BLOCKED = -4100,  /* io_uring is refused, as by a container's seccomp profile */
    WEIR_RING_MISSING = -4101,  /* the kernel is older than 6.1, or a filter hides io_uring */
    WEIR_RING_MEMORY = -4102,   /* RLIMIT_MEMLOCK or memory does not allow a ring of that size */

    WEIR_TLS_HANDSHAKE = -4103,   /* nothing in common (version, cipher, ALPN), or a bad message */
    WEIR_TLS_ALERT = -4104,       /* the peer refused, by a fatal alert */
    WEIR_TLS_PLAINTEXT = -4105,   /* the peer does not speak TLS */
    WEIR_TLS_UNTRUSTED = -4106,   /* no authority that is trusted vouches for the certificate */
    WEIR_TLS_EXPIRED = -4107,     /* the certificate is not valid now, or no authority is */
    WEIR_TLS_HOSTNAME = -4108,    /* the certificate is for another name */
    WEIR_TLS_CERTIFICATE = -4109, /* it is missing, broken, or not for this purpose */
    WEIR_TLS_TRUNCATED = -4110, /* the connection ended without close_notify: data may be missing */
    WEIR_TLS_RECORD = -4111,    /* a record that does not decrypt, or may not come */
    WEIR_TLS_FILE = -4112,      /* a certificate or key file holds none, or they do not match */
};

const char *weir_strerror(ssize_t error); /* cause and remedy; static storage, never NULL */

/* ---- Running (asyncio.run) ------------------------------------------------------------------- */

typedef int weir_task_fn(void *argument); /* what a task runs: 0, or a negative error */

struct weir_run_options {
    unsigned threads;      /* loops, one a thread, each running `main`; 0: one, on this thread */
    bool pin;              /* pin each thread to a CPU of its own */
    unsigned ring_entries; /* submission slots a ring, up to 32768; 0: 1024 */
    size_t receive_memory; /* provided-buffer bytes a ring, 64 KiB or more; 0: 4 MiB */
    size_t stack_size;     /* bytes of a task's stack, 16 KiB or more, plus a guard; 0: 64 KiB */
    int64_t linger;        /* ns that closing streams may take after the last task; 0: 5 s */
};

/* Runs `main` as the first task of each loop, until all tasks have returned and all streams are
 * closed. Returns the first task's error (the first thread's to fail), or why no loop could be
 * made: -EINVAL for options out of range, a WEIR_RING_ code, -ENOMEM, -EMFILE, -EBUSY inside a
 * running loop. */
int weir_run(weir_task_fn *main, void *argument, const struct weir_run_options *options);

/* ---- Tasks (TaskGroup, create_task, cancel) -------------------------------------------------- */

struct weir_waiters_ {
    void *first, *last;
} __attribute__((may_alias));

/* A group owns the tasks started in it: weir_group_wait() returns when the last has ended. The
 * first to fail cancels the others, and its error is what the wait returns. Zeroed = ready; it must
 * be waited for before it goes out of scope. */
struct weir_group {
    struct weir_waiters_ tasks_;
    void *waiter_;
    int error_;
};

/* Starts `run` as a task of this loop; it first runs in the loop's next turn, cancelled already if
 * another of the group has failed. -ENOMEM. */
int weir_group_start(struct weir_group *group, weir_task_fn *run, void *argument);

/* Waits for all. Cancelled itself, it cancels the group's tasks and still waits for them to end. */
int weir_group_wait(struct weir_group *group);

/* Task.cancel() for all of the group: from now on, whatever would wait in them returns
 * -ECANCELED. */
void weir_group_cancel(struct weir_group *group);

int weir_yield(void); /* waits for its next turn (asyncio.sleep(0)) */

/* asyncio.Event: tasks of one loop wait until it is set. Zeroed = not set. */
struct weir_event {
    struct weir_waiters_ waiters_;
    bool set_;
};
void weir_event_set(struct weir_event *event);
void weir_event_clear(struct weir_event *event);
int weir_event_wait(struct weir_event *event); /* waits */

/* Blocking code (asyncio.to_thread): runs `run` on a helper thread, waits for its result and
 * returns it. A cancel does not interrupt `run`, which may hold pointers into this task's stack:
 * it takes effect at the next wait. -EAGAIN if no thread can be had, -ENOMEM. */
int weir_to_thread(weir_task_fn *run, void *argument);

/* call_soon_threadsafe: the one function that any thread may call. `run` becomes a task of `loop`,
 * which must still be running. -ENOMEM. */
struct weir_loop;
struct weir_loop *weir_this_loop(void); /* NULL outside a loop, or without an fd to wake it by */
int weir_call_soon_threadsafe(struct weir_loop *loop, weir_task_fn *run, void *argument);

/* ---- Time (sleep, timeout, wait_for) --------------------------------------------------------- */

typedef int64_t weir_duration; /* nanoseconds */
#define WEIR_MILLISECOND INT64_C(1000000)
#define WEIR_SECOND INT64_C(1000000000)

int weir_sleep(weir_duration duration); /* waits; 0 or less yields once */

/* Runs `run` in this task with the time limit `limit`: past it, whatever would wait in `run`
 * returns -ETIMEDOUT, until `run` has returned. Its result is the result. */
int weir_wait_for(weir_duration limit, weir_task_fn *run, void *argument);

/* The same, in line (asyncio.timeout). Timeouts nest, and stop in the reverse order of their start:
 *     struct weir_timeout timeout;
 *     weir_timeout_start(&timeout, 5 * WEIR_SECOND);
 *     ssize_t n = weir_timeout_stop(&timeout, weir_readline(reader, &line));
 * The stop returns `result`, so that it can wrap the call; what ended by an inner deadline leaves
 * the outer ones untouched. */
struct weir_timeout {
    int64_t deadline_;
    void *task_;
    struct weir_timeout *outer_;
    bool fired_;
};
void weir_timeout_start(struct weir_timeout *timeout, weir_duration after);
ssize_t weir_timeout_stop(struct weir_timeout *timeout, ssize_t result);

/* ---- Connecting (open_connection, open_unix_connection) -------------------------------------- */

/* The two halves of one stream: TCP, a Unix socket, or TLS over either. One task may read while
 * another writes. A stream keeps its first failure, and every later call on it returns that one (a
 * reader first delivers what it has received), so that a conversation may be checked once, at its
 * end, by weir_wait_closed(). */
struct weir_reader;
struct weir_writer;
struct weir_tls; /* see TLS, below */

struct weir_connect_options {
    size_t limit;                        /* the reader's, in bytes, asyncio's `limit`; 0: 64 KiB */
    struct weir_tls *tls;                /* `ssl`: a client's; NULL: plain */
    const char *server_hostname;         /* whom the certificate must name; NULL: the host */
    weir_duration tls_handshake_timeout; /* `ssl_handshake_timeout`; 0: 60 s */
    weir_duration tls_shutdown_timeout;  /* `ssl_shutdown_timeout`: how long closing may make no
                                            progress; 0: 30 s */
    int family, proto, flags;            /* as getaddrinfo's hints */
    const char *local_host;              /* `local_addr`, of the same family; NULL: any */
    uint16_t local_port;                 /* 0: the kernel chooses */
    weir_duration happy_eyeballs_delay;  /* RFC 8305; 0: 250 ms; negative: one at a time */
    int interleave;                      /* first addresses of one family before the next; 0: 1 */
};

/* Waits until connected, and through the TLS handshake where options ask for one (then also a
 * WEIR_TLS_ code, -ETIMEDOUT past its timeout, -EINVAL for TLS options without `tls`).
 * With several addresses they are raced (RFC 8305): the next starts when one
 * fails or the delay has passed, and every loser's socket is closed before this returns. If all
 * fail, the error is the one most of them share, the first such. `host` may be a name or a literal,
 * NULL or "" is the loopback. WEIR_UNRESOLVED, -ECONNREFUSED, -EHOSTUNREACH, -EADDRNOTAVAIL for the
 * local address, -EMFILE, ... */
int weir_open_connection(const char *host, uint16_t port,
                         const struct weir_connect_options *options,
                         struct weir_reader **ret_reader, struct weir_writer **ret_writer);

/* Waits until connected; for room in the listener's backlog, too. A path that begins with '@' is an
 * abstract name. TLS needs a server_hostname here. -ENOENT, -ECONNREFUSED, -ENAMETOOLONG, ... */
int weir_open_unix_connection(const char *path, const struct weir_connect_options *options,
                              struct weir_reader **ret_reader, struct weir_writer **ret_writer);

/* `sock=`: a connected stream socket of any family. The stream owns `fd` unless this fails, and
 * makes it blocking for poll-driven io_uring. TLS needs a server_hostname here; when it does not
 * begin, or its handshake fails, `fd` is closed. -EBADF, -ENOTSOCK, -EINVAL for another type,
 * -ENOTCONN, -EEXIST for an fd that a live stream already owns. */
int weir_open_socket(int fd, const struct weir_connect_options *options,
                     struct weir_reader **ret_reader, struct weir_writer **ret_writer);

/* ---- Reading (StreamReader) ------------------------------------------------------------------ */

/* Bytes lent from the buffers the kernel filled: good until the next read on that reader. Keep one
 * longer with weir_slice_keep(), which copies nothing, and let it go with weir_slice_drop(). A
 * program may make slices of its own bytes: { data, size } with the last member zero. */
struct weir_segment;
struct weir_slice {
    const char *data;
    size_t size;
    struct weir_segment *segment_;
};
struct weir_slice weir_slice_keep(struct weir_slice slice);
void weir_slice_drop(struct weir_slice slice);

/* These wait, and return how many bytes there are, or 0 at the end of the stream. Only one task may
 * be in one of them at a time: a second gets -EBUSY. What they return lies together in memory:
 * copied only where it straddles two received buffers. After -ECANCELED, -ETIMEDOUT or an error all
 * unread bytes are still there. */
#define WEIR_UNTIL_EOF SIZE_MAX

/* At least 1 byte, at most `n`: what lies together. n = 0 returns 0 at once. WEIR_UNTIL_EOF
 * waits for the end and returns all (asyncio's read(-1)): unbounded, so only from a peer you
 * trust. */
ssize_t weir_read(struct weir_reader *reader, size_t n, struct weir_slice *ret_data);

/* Through the next '\n', or the unterminated rest at the end of the stream. WEIR_LIMIT_OVERRUN
 * if the line is longer than the limit; nothing is discarded (see weir_overrun). */
ssize_t weir_readline(struct weir_reader *reader, struct weir_slice *ret_line);

/* Exactly `n`, which may exceed the limit. At EOF: WEIR_INCOMPLETE, and ret_data is what there
 * was. -EINVAL for more than SSIZE_MAX. */
ssize_t weir_readexactly(struct weir_reader *reader, size_t n, struct weir_slice *ret_data);

/* Through the separator, a non-empty string. WEIR_INCOMPLETE as above; WEIR_LIMIT_OVERRUN if what
 * precedes it is longer than the limit, and then all data stays. */
ssize_t weir_readuntil(struct weir_reader *reader, const char *separator,
                       struct weir_slice *ret_data);

/* Through whichever of the separators ends first; of two that end together the shorter counts as
 * the match. -EINVAL if there is none or one is empty. */
ssize_t weir_readuntil_any(struct weir_reader *reader, const struct weir_slice *separators,
                           size_t count, struct weir_slice *ret_data);

/* As read(2): at least 1 byte, at most `size`, copied to `buffer`. */
ssize_t weir_read_into(struct weir_reader *reader, void *buffer, size_t size);

/* LimitOverrunError.consumed of the last WEIR_LIMIT_OVERRUN: that many bytes hold no separator, and
 * may be read with weir_readexactly() to pass over them. */
size_t weir_overrun(const struct weir_reader *reader);
bool weir_at_eof(const struct weir_reader *reader);   /* the peer has ended, and all is read */
int weir_exception(const struct weir_reader *reader); /* the stream's failure, or 0 */
void weir_feed_eof(struct weir_reader *reader);       /* as if the peer had ended */

/* ---- Writing (StreamWriter) ------------------------------------------------------------------ */

/* weir_write() copies, queues and never waits; what was queued in one turn of the loop leaves
 * as one linked submission. weir_drain() waits until the queue is at its low mark, if it had
 * passed its high mark, and the ring has room. A slice is queued without a copy: the stream
 * keeps its own hold on the buffer; one without a segment_ is copied. All return 0 or the
 * stream's failure; -EPIPE after weir_write_eof() or weir_close(); -ENOMEM, with nothing of
 * that call queued. */
int weir_write(struct weir_writer *writer, const void *data, size_t size);
int weir_writelines(struct weir_writer *writer, const struct weir_slice *lines, size_t count);
int weir_write_slice(struct weir_writer *writer, struct weir_slice slice);
int weir_printf(struct weir_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Waits as said. After a loss: its error; after weir_abort(): -ECONNABORTED; once an orderly close
 * has ended: -ECONNRESET, as asyncio's. Any number may wait. */
int weir_drain(struct weir_writer *writer);

/* Write and wait in one: `data` is sent from where it lies, and is the caller's again on return.
 * Interrupted, what has not left yet is copied and stays queued. */
int weir_write_all(struct weir_writer *writer, const void *data, size_t size);

/* Ends our direction once the queue has left; over TLS by close_notify. -EOPNOTSUPP over TLS 1.2,
 * which cannot end one direction alone, as weir_can_write_eof() says beforehand. */
bool weir_can_write_eof(const struct weir_writer *writer);
int weir_write_eof(struct weir_writer *writer);

void weir_close(struct weir_writer *writer); /* starts closing; queued data still leaves */
void weir_abort(struct weir_writer *writer); /* drops queued data */
bool weir_is_closing(const struct weir_writer *writer);

/* Waits until the stream is closed (which it starts, if nobody has), then frees both halves, in
 * every case: a cancelled task's stream closes behind it. The stream's first failure, or 0. */
int weir_wait_closed(struct weir_writer *writer);

/* The transport's (writer.transport). Bytes; high 64 KiB and low 16 KiB unless set.
 * WEIR_DEFAULT for one derives it from the other as asyncio does (low = high / 4), for both
 * restores these. -EINVAL if high < low, and then nothing changes. */
#define WEIR_DEFAULT SIZE_MAX
int weir_set_write_buffer_limits(struct weir_writer *writer, size_t high, size_t low);
void weir_get_write_buffer_limits(const struct weir_writer *writer, size_t *ret_high,
                                  size_t *ret_low);
size_t weir_get_write_buffer_size(const struct weir_writer *writer); /* queued and in flight */
void weir_pause_reading(struct weir_reader *reader); /* until resumed, also for a read that waits */
void weir_resume_reading(struct weir_reader *reader);
bool weir_is_reading(const struct weir_reader *reader);

/* get_extra_info: "peername" and "sockname" as "127.0.0.1:80", "[::1]:80", a path, "@abstract",
 * or "" for an unnamed Unix socket, and for a peer that had gone before it could be asked. Over TLS
 * also
 *   "version"          "TLSv1.3" or "TLSv1.2"
 *   "cipher"           as "TLS_AES_128_GCM_SHA256"
 *   "alpn"             the protocol agreed on
 *   "resumed"          "true" or "false"
 *   "server_hostname"  a client's: whom it asked for; a server's: whom its client did (SNI)
 *   "peercert"         the peer's certificate, PEM; and of it
 *   "peercert_subject", "peercert_issuer", "peercert_names" (subjectAltName), each one line
 *   "record_path"      how its records are protected: "in place" (libipsec-mb, no copy), "callback"
 *                      (libipsec-mb beneath wolfSSL) or "software" (wolfSSL)
 * Held by the stream for its lifetime, also after it has closed; NULL for what it does not have. */
const char *weir_get_extra_info(const struct weir_writer *writer, const char *name);
int weir_fileno(const struct weir_writer *writer); /* get_extra_info("socket"); -1 once closing */

/* ---- TLS (ssl.SSLContext, start_tls) --------------------------------------------------------- */

struct weir_tls_certificate {
    const char *certificate_file; /* PEM: the certificate, then those that vouch for it */
    const char *key_file;         /* PEM, not encrypted; NULL: it is in certificate_file */
};

enum { WEIR_TLS_1_2 = 2, WEIR_TLS_1_3 = 3 };

/* Safe unless told otherwise: TLS 1.2 or later, AEAD ciphers only, the peer's certificate and name
 * checked. What weakens that begins with insecure_. */
struct weir_tls_options {
    const char *ca_file;          /* whom to trust (PEM); NULL, for clients only: the system's */
    const char *certificate_file; /* our own, as above; a server needs one */
    const char *key_file;
    const struct weir_tls_certificate *more_certificates; /* a server's for other names, ended by a
                                    zeroed one: the first that names whom the client asks for (SNI),
                                    else the one above; none of them Ed25519 */
    const char *const *alpn;         /* protocols, best first, ended by NULL; NULL: no ALPN */
    int minimum_version;             /* WEIR_TLS_1_3; 0: WEIR_TLS_1_2 */
    bool request_client_certificate; /* verify_mode CERT_OPTIONAL: none is fine, a bad one is not */
    bool require_client_certificate; /* CERT_REQUIRED */
    bool no_session_tickets;         /* every handshake a full one */
    bool no_hardware_aes;            /* leave AES-GCM to wolfSSL even where libipsec-mb is there */
    bool insecure_skip_verification; /* any certificate will do, for any name */
    bool insecure_skip_hostname;     /* any name will do */
    bool insecure_allow_truncation;  /* an end without close_notify is an end */
};

/* A context (SSLContext): for any number of streams, in any thread, also made outside of a loop. It
 * blocks: files are read now. -ENOENT, -EACCES, ... for a file that does not open, WEIR_TLS_FILE
 * for what is in it, -EINVAL for options that contradict one another, -ENOMEM. */
int weir_tls_client(const struct weir_tls_options *options, struct weir_tls **ret_tls);
int weir_tls_server(const struct weir_tls_options *options, struct weir_tls **ret_tls);

/* The client context of all defaults (`ssl=True`); never NULL and never freed. It is made when
 * first connected with, which then reports why it cannot be. The environment's SSL_CERT_FILE, if
 * set, names the authorities in place of the system's, here and wherever those are meant. */
struct weir_tls *weir_tls_default(void);

/* Reads the files again: streams that begin from now on use what is in them, and live ones go on.
 * On failure the former stay in use. Blocks. Errors as above. */
int weir_tls_reload(struct weir_tls *tls);

/* Streams and servers that use it keep what they need. */
void weir_tls_free(struct weir_tls *tls);

struct weir_start_tls_options {
    const char *server_hostname; /* as a client: whom the certificate must name; NULL: the host that
                                    weir_open_connection() was given */
    weir_duration tls_handshake_timeout, tls_shutdown_timeout; /* 0: 60 s, 30 s */
};

/* StreamWriter.start_tls: upgrades a live stream in place, as client or server as `tls` says. What
 * was written before leaves before, in plain text; what has been received and not read goes to TLS,
 * never to the reader. Waits for the handshake. If it fails, is cancelled or times out, the stream
 * is lost. -EBUSY while another task reads or is inside weir_write_all(), -EINVAL without a name to
 * check. */
int weir_start_tls(struct weir_writer *writer, struct weir_tls *tls,
                   const struct weir_start_tls_options *options);

/* ---- Servers (start_server, start_unix_server, Server) --------------------------------------- */

struct weir_server;

/* Talks to one client, in a task of its own, which owns the stream: it is closed on return. */
typedef void weir_client_connected_fn(struct weir_reader *reader, struct weir_writer *writer,
                                      void *argument);

struct weir_server_options {
    size_t limit;         /* each client's reader's; 0: 64 KiB */
    struct weir_tls *tls; /* `ssl`: a server's; clients are let in after its handshake */
    weir_duration tls_handshake_timeout, tls_shutdown_timeout; /* 0: 60 s, 30 s */
    const char *const *hosts; /* several hosts to listen on, ended by NULL; then `host` is NULL */
    int family, flags;        /* as getaddrinfo's hints; flags 0: AI_PASSIVE */
    int backlog;              /* 0: 100, as asyncio's */
    bool no_reuse_address;    /* reuse_address defaults to on */
    bool reuse_port;          /* on by itself where weir_run() has several threads */
    bool keep_alive;          /* SO_KEEPALIVE on every client */
    bool start_parked;        /* clients begin parked: see weir_park() */
    bool no_start_serving;    /* start_serving=False: bound, but not listening yet */
    bool keep_socket_file;    /* cleanup_socket=False */
    unsigned max_connections; /* accept no more at a time; 0: what the fd limit allows */
};

/* Waits (names are resolved). Host NULL or "" with no `hosts`: every address of every family.
 * Port 0: the kernel chooses one for each address, in weir_run()'s threads the same for the n-th
 * such server of each. -EADDRINUSE, -EADDRNOTAVAIL if no address is of this machine, -EACCES,
 * -EINVAL, WEIR_UNRESOLVED. */
int weir_start_server(weir_client_connected_fn *client_connected, void *argument, const char *host,
                      uint16_t port, const struct weir_server_options *options,
                      struct weir_server **ret_server);

/* '@name' is abstract. A stale socket file is replaced; one where somebody listens, or another kind
 * of file, is -EADDRINUSE; weir_run()'s threads share one. It goes with the last, if still ours. */
int weir_start_unix_server(weir_client_connected_fn *client_connected, void *argument,
                           const char *path, const struct weir_server_options *options,
                           struct weir_server **ret_server);

/* `sock=`: a stream socket, bound or not. The server owns `fd` unless this fails. */
int weir_start_socket_server(weir_client_connected_fn *client_connected, void *argument, int fd,
                             const struct weir_server_options *options,
                             struct weir_server **ret_server);

int weir_server_start_serving(struct weir_server *server); /* -EPIPE once closed; else idempotent */
int weir_server_serve_forever(struct weir_server *server); /* waits until closed: 0, or cancelled */
bool weir_server_is_serving(const struct weir_server *server);
/* Server.sockets: the index-th listening address, as get_extra_info words it; NULL past the last
 * and once closed. Held by the server. */
const char *weir_server_sockname(const struct weir_server *server, size_t index);
uint16_t weir_server_port(const struct weir_server *server); /* the first address's; 0: none */
void weir_server_close(struct weir_server *server);          /* stops listening; clients stay */
void weir_server_close_clients(struct weir_server *server);  /* weir_close() for each */
void weir_server_abort_clients(struct weir_server *server);  /* weir_abort() for each */

/* Waits until it is closed (by weir_server_close) and its last client has gone, then frees it.
 * Cancelled, it frees it too, once that is so. */
int weir_server_wait_closed(struct weir_server *server);

/* Stops listening, closes parked clients, lets the others finish for `grace`, then cancels their
 * tasks and closes, then (after a second) aborts; waits for the last and frees the server. 0 if all
 * finished within the grace. What a handler does after weir_wait_closed() is not waited for. */
int weir_server_shutdown(struct weir_server *server, weir_duration grace);

/* Parks a stream that waits for its peer: it stays open, without a task, so without a stack. When
 * something comes, or nothing more will, `handler` is called, once, in a task of its own, which
 * owns the stream; at once, if unread data or the end is there already: so read all that is there,
 * and do not park after the end. It is the last thing that a task does with a stream, which is not
 * the caller's any more unless this fails: -EBUSY while a task waits in a function of it or it is
 * parked already, -EINVAL without a handler, -ENOMEM. The loop runs on while it has parked streams.
 * Without memory for the task when news come, the stream is aborted and the handler not called. */
int weir_park(struct weir_writer *writer, weir_client_connected_fn *handler, void *argument);

/* ---- Forwarding ------------------------------------------------------------------------------ */

/* Passes all that `reader` brings to `writer`, uncopied, under its watermarks, then ends that
 * direction (write_eof), or over TLS 1.2 the stream. Waits. Returns the bytes moved, or the first
 * failure of either side. */
int64_t weir_forward(struct weir_reader *reader, struct weir_writer *writer);

/* ---- Signals and metrics --------------------------------------------------------------------- */

/* Waits for either signal and returns its number; 0 for none. While a task waits, the signal is
 * caught for every loop of the process that waits; afterwards it has its former effect: a
 * second Ctrl-C ends. */
int weir_wait_signal(int first, int second);

struct weir_metrics {
    /* since this thread started */
    uint64_t tasks_started, switches;              /* tasks; resumptions of one */
    uint64_t enters, submissions, completions;     /* io_uring_enter calls, SQEs, CQEs */
    uint64_t links, cq_overflows, sq_pressure;     /* linked SQEs; overflows; waits for SQEs */
    uint64_t bytes_read, bytes_written;            /* on streams */
    uint64_t bytes_copied;                         /* by the library, between buffers */
    uint64_t buffers_received, buffers_missed;     /* filled by the kernel; ENOBUFS */
    uint64_t reads_paused, drains_waited;          /* by the limit; by a watermark */
    uint64_t connections_accepted, accepts_failed; /* failed: EMFILE, ENOMEM, ... */
    uint64_t tls_handshakes, tls_resumed;          /* completed; of those by a session ticket */
    uint64_t tls_failures;                         /* streams that TLS ended with an error */
    /* now */
    uint64_t tasks_open, streams_open, streams_parked;
    uint64_t segments_open; /* heap buffers and lent ones */
};
void weir_get_metrics(struct weir_metrics *ret_metrics); /* this thread's */

#ifdef __cplusplus
}
#endif

#endif
