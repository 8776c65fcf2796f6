/* weir-sim: a program of weir's, run in a simulated kernel.
 *
 * Link with libweir-sim instead of libweir (pkg-config weir-sim). It holds the same library, whose
 * calls of the kernel, the clock and the resolver end in a simulation within the process: rings,
 * sockets, time, names, threads and memory. Nothing leaves the process, time passes only when
 * nobody can go on, and all that chance decides (who goes next, where data is split, what fails)
 * follows from one number, the seed: what a seed finds, the same seed finds again.
 *
 *     static int world(void *unused) { start the server, start clients, weir_sim_check(...) }
 *
 *     int main(int argc, char **argv)
 *     {
 *         static const struct weir_sim_scenario scenarios[] = { { "world", world }, { 0 } };
 *         return weir_sim_main(argc, argv, scenarios);
 *     }
 *
 * docs/simulation.md is a tutorial. The network is one machine that has every address; its sockets
 * and names are gone when the world ends. */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include <weir.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A world --------------------------------------------------------------------------------- */

struct weir_sim_options {
    const struct weir_run_options *run; /* for weir_run() of the scenario's main; NULL: defaults */
    const char *kernel; /* how much io_uring can do: "6.0", "6.1", "6.6", "6.12" or "6.18"; in
                               "EPERM" (a filter), "disabled" (the sysctl) and "ENOSYS" there is
                               none. NULL: the seed chooses a number */
    bool calm;          /* nothing fails: the seed chooses order, sizes and delays only */
    bool trace;         /* tell on stderr what happens */
    unsigned fds;       /* RLIMIT_NOFILE; 0: 1024 */
    weir_duration
        duration; /* virtual time after which a world that has not ended, hangs; 0: a day */
};

/* Runs `main` as weir_run(main, argument, options->run) would, in a new world that is made of
 * `seed` (of 0: what is most usual happens each time, and nothing fails), until all threads of the
 * world have ended. Returns its result. A violation (a failed check, a deadlock, something left
 * open, a misuse of the kernel) is told on stderr, with the seed, and ends the process by abort().
 * One world at a time, and from a plain thread. */
int weir_sim_run(uint64_t seed, weir_task_fn *main, void *argument,
                 const struct weir_sim_options *options);

/* A program that runs scenarios for many seeds, in processes of their own: `--help` tells how.
 * `scenarios` end with a zeroed one. Returns what main() should: 0, 1 after a violation, whose
 * decisions have then been shrunk and told, or 2 for arguments that make no sense. */
struct weir_sim_scenario {
    const char *name;
    weir_task_fn *main; /* run with `argument` */
    struct weir_sim_options options;
    void *argument;
    int result; /* what must come of it, while weir_sim_faults() is 0 */
};
int weir_sim_main(int argc, char **argv, const struct weir_sim_scenario *scenarios);

/* A world in this process, its decisions a fuzzer's bytes (past their end all is as usual). */
int weir_sim_bytes(const struct weir_sim_scenario *scenario, const uint8_t *bytes, size_t size);

/* ---- In a world ------------------------------------------------------------------------------ */

/* Another program: a thread of the world, that runs beside the others. It may call weir_run(), or
 * the blocking functions below. -EAGAIN, -ENOMEM. */
int weir_sim_thread(void (*program)(void *argument), void *argument);

/* A number below `n`, of the seed's choosing. 0 should mean what is most usual: when a violation is
 * shrunk, as many choices as can be are made 0. `tag` names the choice in the trace. */
unsigned weir_sim_choose(unsigned n, const char *tag);

/* A condition that must hold; what does not is a violation. */
#define weir_sim_check(condition)                                                                  \
    ((condition) ? (void)0 : weir_sim_fail("%s:%d: %s", __FILE__, __LINE__, #condition))
void weir_sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void weir_sim_note(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* to the trace */

int64_t weir_sim_now(void); /* virtual ns since the world began */

/* How many faults there have been that a correct program may notice: a reset, a refused connection,
 * no memory, no fd. While it is 0, everything must succeed. */
uint64_t weir_sim_faults(void);

/* How many of them may keep somebody waiting for long: a peer that stalls, a connect that hangs, a
 * changed byte. While it is 0, who waits for ever does so by a bug, or because another has given up
 * after one of the other faults. */
uint64_t weir_sim_stalls(void);

/* The process gets this signal, as from kill(2): for weir_wait_signal(). -ESRCH: nobody catches it,
 * which would end the process. */
int weir_sim_signal(int signal);

/* From now on nothing fails, and peers that stall go on: to see that a program recovers. */
void weir_sim_calm(void);

/* ---- The network ----------------------------------------------------------------------------- */

/* A name that resolves to these addresses, written as numbers with blanks between them; "" to
 * nothing. Names that nobody told of do not resolve, but "localhost" does. */
void weir_sim_name(const char *host, const char *addresses);

/* Connecting to this address, written as a number: 0 as usual, -EHOSTUNREACH and the like at once,
 * -ETIMEDOUT after two minutes without an answer. */
void weir_sim_route(const char *address, int error);

/* Whether the network may change what it carries, which TCP's checksums seldom let pass. */
void weir_sim_corrupt(bool may);

/* These bytes must not be on the wire from now on: NULL ends it. Text in the clear, once TLS has
 * started, is a violation. */
void weir_sim_forbid(const void *bytes, size_t size);

/* Peers that are no programs of weir's, and do what they like. These block the calling thread of
 * the world, which must not be one that runs a loop. They return -errno on failure. */
int weir_sim_connect(const char *address, uint16_t port);     /* an fd */
ssize_t weir_sim_send(int fd, const void *data, size_t size); /* all of it */
ssize_t weir_sim_receive(int fd, void *buffer, size_t size);  /* 1 to `size`, or 0 at the end */
int weir_sim_shutdown(int fd);                                /* ends our direction */
int weir_sim_close(int fd);
int weir_sim_reset(int fd); /* closes with a reset */
void weir_sim_sleep(weir_duration duration);

#ifdef __cplusplus
}
#endif

#endif
