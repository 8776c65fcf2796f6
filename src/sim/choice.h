/* Chance: every decision of the world is a choose() or a fault(), and nothing else is random. The
 * decisions come from a seed, from a recorded list, or from a fuzzer's bytes; they are recorded, so
 * that a run can be repeated with a few of them changed. */
#ifndef WEIR_SIM_CHOICE_H
#define WEIR_SIM_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can be made to fail or to happen. Each seed draws how likely each is. Those after
 * FAULT_VISIBLE may be noticed by a correct program; those before must not be. */
enum fault {
    FAULT_SHORT_RECEIVE, /* fewer bytes than there are */
    FAULT_SHORT_SEND,    /* fewer bytes than there is room for */
    FAULT_NO_BUFFERS,    /* ENOBUFS though buffers are published */
    FAULT_CANCEL_RACE,   /* a cancel comes too late: EALREADY or ENOENT */
    FAULT_CQ_OVERFLOW,   /* completions are not taken out until the CQ is full */
    FAULT_MULTISHOT_END, /* without an error */
    FAULT_LATE_WAKE,     /* the loop is woken late, or for nothing */
    FAULT_INTERRUPT,     /* EINTR */
    FAULT_DELAY,         /* of packets */
    FAULT_LATE_NOTICE,   /* of a zero-copy send */
    FAULT_SLOW_NAME,     /* a name takes its time */
    FAULT_WORKER,        /* a single operation waits in a worker's blocking call */
    FAULT_BUSY,          /* io_uring_enter: EBUSY, EAGAIN with nothing taken */
    FAULT_VISIBLE,
    FAULT_SUBMIT_PART = FAULT_VISIBLE, /* it takes fewer: chains break */
    FAULT_CLOCK_JUMP,                  /* as of a machine that was suspended: time limits pass */
    FAULT_MEMORY,                      /* malloc and the like: NULL */
    FAULT_MAP,                         /* mmap, guard pages */
    FAULT_CALL,                        /* ENOMEM and ENOBUFS of a system call, or an operation */
    FAULT_FILES,                       /* EMFILE, ENFILE */
    FAULT_THREAD,                      /* EAGAIN of pthread_create */
    FAULT_RESET,                       /* ECONNRESET, of an open connection */
    FAULT_PIPE,                        /* EPIPE: the peer closes while we send */
    FAULT_TIMED_OUT,                   /* ETIMEDOUT, of an open connection */
    FAULT_CONNECT,                     /* refused, unreachable */
    FAULT_CONNECT_HANGS,
    FAULT_DEAD_CLIENT, /* accepted when it has gone already; ECONNABORTED */
    FAULT_STALL,       /* a peer takes nothing for a while, or ever */
    FAULT_NAME,        /* a name does not resolve */
    FAULT_CORRUPT,     /* a byte of a TLS record is changed (in worlds that ask for it) */
    FAULTS
};
extern const char *const fault_names[FAULTS];

enum choice_kind { CHOICE_SEED, CHOICE_LIST, CHOICE_BYTES };

/* Fails the at-th fallible call, once or from then on; 0: none. Nothing else fails then. */
struct torture {
    uint64_t at;
    bool onward;
};

struct choice_source {
    enum choice_kind kind;
    uint64_t seed;        /* CHOICE_SEED */
    const uint32_t *list; /* CHOICE_LIST: past its end all are 0 */
    const uint8_t *bytes; /* CHOICE_BYTES: the same */
    size_t count;         /* of either */
    bool calm;
    bool torturing;
    struct torture torture;
};

/* What has been decided: `list` is the caller's, of `most` entries; more are counted only. */
struct choice_record {
    uint32_t *list;
    size_t most, count;
    uint64_t hash; /* of all decisions and when they were made: equal runs have equal ones */
    uint64_t faults[FAULTS];
    uint64_t fallible; /* calls that torture could have made fail */
};

void choice_open(const struct choice_source *source, struct choice_record *record);

/* Below `n`; 0 is what would usually happen. `tag` is a literal. */
unsigned choose(unsigned n, const char *tag);

/* Whether this happens now. Counted. */
bool fault(enum fault fault, const char *tag);

/* The same for what happens later, if at all: it counts when fault_happens() says so. */
bool fault_planned(enum fault fault);
void fault_happens(enum fault fault, const char *tag);

/* The same for a call that can fail for want of something (memory, fds, threads): each of these is
 * a place that torture visits. */
bool fault_call(enum fault fault, const char *tag);

void choice_calm(void);        /* nothing fails from now on */
void choice_corrupt(bool may); /* FAULT_CORRUPT, which never happens else */
bool choice_is_calm(void);
uint64_t choice_visible_faults(void);
uint64_t choice_stalls(void); /* those of them that may keep somebody waiting */

/* Mixes into the hash: for what should be the same in equal runs. */
void choice_mix(uint64_t value);

#endif
