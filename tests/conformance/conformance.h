/* The conformance suite: vectors, each a few operations whose outcome is printed, that are run on
 * the real kernel and on the simulated one; tests/conformance.sh compares what they print. So a
 * vector prints only what Linux promises: no port, no fd number, no amount that a buffer decides.
 *
 * All goes through src/kernel/sys.h and the rings' memory: libc's sockets do not exist in the
 * simulation. What a vector opens through keep(), the pairs and the rings is closed at its end. */
#ifndef WEIR_CONFORMANCE_H
#define WEIR_CONFORMANCE_H

#include <liburing.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "kernel/sys.h"

#define MILLISECOND INT64_C(1000000)

struct vector {
    const char *name;
    void (*run)(void);
};

/* Of each file; a zeroed one is the last. */
extern const struct vector receive_vectors[], receive_end_vectors[], multishot_vectors[];
extern const struct vector multishot_end_vectors[], reset_vectors[], send_vectors[];
extern const struct vector limit_vectors[];
extern const struct vector link_vectors[], cancel_vectors[], accept_vectors[], connect_vectors[];
extern const struct vector poll_vectors[], enter_vectors[], setup_vectors[], register_vectors[];
extern const struct vector bind_vectors[], socket_vectors[], stream_vectors[], unix_vectors[];
extern const struct vector name_vectors[];

/* How long the network may take to bring what was sent, and how long nothing must come until
 * "nothing" is said. Both are less than what TCP_CORK's timer takes. */
extern int64_t settle_time, quiet_time;

/* What bulk() is the size of: more than the sockets of a connection hold together. */
extern size_t bulk_size;

/* The main function: `in_world` runs what it is given where there is a kernel. */
int conformance_main(int argc, char **argv, int (*in_world)(void (*run)(void)));

/* ---- Telling --------------------------------------------------------------------------------- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *outcome(ssize_t result); /* a number, or the name of the error */
const char *verdict(ssize_t result); /* "ok" for what is not negative */

/* ---- Rings ----------------------------------------------------------------------------------- */

struct lane {
    struct io_uring uring;
    int fd;
    unsigned tail;
    bool open;
};
extern struct lane mine; /* the vector's, as src/kernel/ring.c would open it: SQ of 16, CQ of 64 */

int lane_open(struct lane *lane, unsigned entries, unsigned cq_entries, unsigned flags);
void lane_close(struct lane *lane);
unsigned lane_ready(const struct lane *lane);            /* completions that lie in the CQ */
void ring_reopen(unsigned entries, unsigned cq_entries); /* `mine`, with other sizes */
unsigned usual_flags(void);

/* A zeroed slot of `mine`; `name` is how its completions are told. */
struct io_uring_sqe *slot(char name);
int submit(void); /* what is queued, without waiting; says so if not all was taken */

/* Waits for so many completions, and tells all there are: those of each name together, as the order
 * among several operations is the kernel's to choose; or all as they came. */
void show(unsigned count);
void show_in_order(unsigned count);
void submit_and_show(unsigned count);
const char *collect(unsigned count);                   /* silently: all data received so far */
bool next_completion(char *ret_name, int *ret_result); /* silently */
void none(void);     /* says "nothing" unless something completes */
void settle(void);   /* lets the network bring what was sent */
void flush_cq(void); /* enters without waiting, so that what is pending gets into the CQ */

/* ---- Operations: they queue a slot ---------------------------------------------------------- */

struct io_uring_sqe *receive(char name, int fd, unsigned group);
struct io_uring_sqe *receive_multi(char name, int fd, unsigned group);
struct io_uring_sqe *receive_plain(char name, int fd, unsigned length);
struct io_uring_sqe *transmit(char name, int fd, const char *text); /* all of it */
struct io_uring_sqe *transmit_bulk(char name, int fd);
struct io_uring_sqe *accept_one(char name, int fd);
struct io_uring_sqe *accept_multi(char name, int fd);
struct io_uring_sqe *close_fd(char name, int fd);
struct io_uring_sqe *cancel(char name, char target);
struct io_uring_sqe *nop(char name);
struct io_uring_sqe *poll_one(char name, int fd);
struct io_uring_sqe *poll_multi(char name, int fd);
struct io_uring_sqe *link_next(struct io_uring_sqe *sqe); /* the next one starts when it is done */

/* Buffers for receive(): of `size` bytes, in a ring of `entries`. */
int group_open(unsigned group, unsigned entries, unsigned size);
void group_give(unsigned group, unsigned buffer);
void group_give_some(unsigned group, unsigned first, unsigned count);
void buffers(unsigned count); /* opens group 0 of 8 buffers of 16 bytes, and gives so many */
void groups_discard(void);    /* frees the memory of all */

/* ---- Sockets --------------------------------------------------------------------------------- */

struct pair {
    int a, b; /* let in; connected */
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};
struct place {
    union address at;
    socklen_t length;
};

int keep(int fd);    /* closed at the vector's end, unless dropped before */
int drop(int fd);    /* the result of closing it */
void forget(int fd); /* it has been closed otherwise */

struct place loopback(unsigned port);
struct place loopback6(unsigned port);
struct place unix_file(void); /* a path of this process's own, not there yet */
struct place unix_abstract(void);
struct place name_of(int fd);
unsigned port_of(const struct place *place);

int listener(const struct place *place, int backlog); /* fd of a listening socket */
int client(const struct place *place);                /* fd of one that has connected */
struct io_uring_sqe *connect_to(char name, int fd, const struct place *place);
struct pair pair_tcp(void);
struct pair pair_unix(void);
struct pair pair_reset(void);             /* of which a has been reset */
struct pair pair_full(bool unix_sockets); /* a can send no more; nobody has read */
size_t filled(void);                      /* how much the last of these has taken */
int last_accepted(void);                  /* what the last accept that was shown has brought */

void put(int fd, const char *text);
void reset_peer(const struct pair *pair); /* b is closed so that a is reset */

/* What a peer reads: until so many bytes have come, or 0: until nothing more comes for a while. */
void peer_reads(int fd, size_t count);
void drain(int fd, size_t count); /* bulk: says whether it is whole */
void bulk_discard(void);
const char *bulk(void); /* so many bytes: more than any socket holds */

#endif
