/* What the helpers of the conformance suite share with one another. */
#ifndef WEIR_CONFORMANCE_INTERNAL_H
#define WEIR_CONFORMANCE_INTERNAL_H

#include "conformance.h"

/* The time after which what must come is missed. */
#define PATIENCE (1000 * MILLISECOND)

/* What a name stands for, to tell its completions. */
struct operation {
    uint8_t opcode;
    bool bulk;
    unsigned group;
    char *memory;
};
struct operation *operation_of(char name);
void operations_forget(void);

extern struct lane aside; /* of the helpers: what a peer does */

struct io_uring_sqe *lane_slot(struct lane *lane, char name);
int lane_submit(struct lane *lane);
bool lane_take(struct lane *lane, struct io_uring_cqe *ret_cqe);
bool lane_wait(struct lane *lane, int64_t timeout, struct io_uring_cqe *ret_cqe);

void quote(char *text, size_t size, const char *data, size_t length);
const char *group_memory(unsigned group, unsigned buffer);
void peers_begin(void);
void fds_close(void);
void files_unlink(void);

#endif
