/* One connection as the scenarios see it: two flows of bytes, each with an end that writes and one
 * that reads. What is written follows a pattern, so that the reader knows what must come. */
#ifndef WEIR_TESTS_SIM_FLOW_H
#define WEIR_TESTS_SIM_FLOW_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <weir-sim.h>

enum {
    LONGEST = 8 * 1024, /* bytes written, or asked for, at once */
    SEALS = 128,        /* that records of TLS are longer than what they hold, of a few */
    TLS_PATIENCE = 2,   /* s that a peer has to receive the last bytes over TLS, and to close */
};

/* One direction. Its counts are what is checked, as long as the world lasts. */
struct flow {
    unsigned id;          /* the pattern is that of (id, offset) */
    size_t written, read; /* at most so many may come; so many have come */
    bool begun;
    bool ended;     /* all is written, and the direction has ended in order */
    bool eof;       /* the reader has seen the end, and no error */
    bool disturbed; /* the scenario broke in: errors are its own doing, and bytes may be missing */
    bool unwatched; /* nobody waited for the close: a failure of the writer's may have got lost */
    int write_error, read_error; /* the stream's failure, as each side was told of it */
    int64_t patient_until;       /* later, TLS may have given up a slow network; 0: it is plain */
};

/* One side of a connection. It lies on its task's stack. */
struct end {
    struct weir_reader *reader;
    struct weir_writer *writer;
    struct flow *in, *out;
    size_t total;      /* bytes that end_exchange() writes */
    unsigned slow;     /* it pauses up to so many ms between two reads */
    bool hasty;        /* many calls have a time limit of their own, of next to nothing */
    bool drained;      /* the last drain has succeeded */
    unsigned patience; /* how often it has tried again for want of memory */
    char scratch[LONGEST];
};

/* The pattern, and whether these are the next bytes of it: they count as read. */
void flow_fill(const struct flow *flow, size_t offset, char *data, size_t size);
void flow_check(struct flow *flow, const char *data, size_t size);

/* Called once the world is calm and all is closed: what a flow promises at its end. */
void flow_finish(const struct flow *flow);

/* An error is one that may be: there has been a fault, or the scenario has caused it itself. And it
 * is never one that a correct program does not see. Returns it. */
int excuse(const struct flow *flow, ssize_t error, const char *what);

/* The next of the pattern, by any of the functions, and then a drain. 0, or the error. */
int end_write(struct end *end, size_t size);

/* Such bytes as they are: queued whole, or not at all. */
int end_put(struct end *end, const void *data, size_t size);

/* Some of the pattern, by any of the functions, checked: bytes, 0 at the end, or the error. */
ssize_t end_read(struct end *end, struct weir_slice *ret_data);

/* Exactly so many, or one line, unchecked. Fewer, or 0, at the end. */
ssize_t end_exactly(struct end *end, size_t size, struct weir_slice *ret_data);
ssize_t end_line(struct end *end, struct weir_slice *ret_line);

int end_finish(struct end *end); /* ends our direction */

/* Writes `total` bytes and the end, and meanwhile reads to the peer's end. A failure, but for a
 * cancel, aborts the stream; after a cancel it may be called again, to go on. */
int end_exchange(struct end *end);
int end_read_all(struct end *end);

int end_close(struct end *end);  /* waits for it */
void end_break(struct end *end); /* errors are our own doing from now on */

/* Sleeps for less than `most` ms. */
int nap(unsigned most, const char *tag);

#endif
