/* Streams under random treatment: every way to write and to read, time-outs, cancels, aborts and
 * closes at any moment, on rings and pools of several sizes. What arrives must always be the
 * beginning of what was written, and all of it where nobody broke in; the harness sees to it that
 * nothing is left. CHAOS_SEED=N in the environment runs one seed only. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "harness.h"

enum { PAIRS = 12, STEPS = TINY ? 40 : 120, LONGEST = TINY ? 200 : 5000, SEEDS = 12 };

/* One end of a connection, with the counts of what went which way. */
struct end {
    struct weir_reader *reader;
    struct weir_writer *writer;
    size_t written, read; /* of written all, or at the last failure a part, may arrive */
    bool whole;           /* all it wrote was queued, and its direction ended in order */
    unsigned random;
};

struct couple {
    struct end ends[2];
    struct weir_group group;
    bool disturbed;
    unsigned random;
};

static unsigned roll(unsigned *random, unsigned sides)
{
    *random = *random * 1103515245 + 12345;
    return (*random >> 16) % sides;
}

/* ---- Writing ----------------------------------------------------------------------------------*/

static ssize_t within(unsigned *random, struct weir_timeout *timeout, bool *ret_timed)
{
    *ret_timed = roll(random, 3) == 0;
    if (*ret_timed)
        weir_timeout_start(timeout, roll(random, 2000) * 1000);
    return 0;
}

static int write_somehow(struct end *end, const char *data, size_t size)
{
    struct weir_slice parts[] = { { .data = data, .size = size / 3 },
                                  { .data = data + size / 3, .size = 0 },
                                  { .data = data + size / 3, .size = size - size / 3 } };
    switch (roll(&end->random, 5)) {
    case 0:
        return weir_writelines(end->writer, parts, 3);
    case 1:
        return weir_write_slice(end->writer, (struct weir_slice){ .data = data, .size = size });
    case 2:
        return weir_write_all(end->writer, data, size);
    default:
        return weir_write(end->writer, data, size);
    }
}

/* 0: go on. Interrupted by its own time-out it goes on, too: what it wrote is queued. */
static int write_step(struct end *end, char *data)
{
    struct weir_timeout timeout;
    bool timed;
    size_t size = 1 + roll(&end->random, LONGEST);
    pattern_fill(data, end->written, size);
    within(&end->random, &timeout, &timed);
    int rc = write_somehow(end, data, size);
    end->written += size;
    if (rc == 0 && roll(&end->random, 4) != 0)
        rc = weir_drain(end->writer);
    if (timed)
        rc = (int)weir_timeout_stop(&timeout, rc);
    memset(data, '!', size); /* the library must not look at it any more */
    if (rc == 0 && roll(&end->random, 8) == 0)
        rc = weir_sleep(roll(&end->random, 500) * 1000);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int write_task(void *argument)
{
    struct end *end = argument;
    char *data = malloc(LONGEST);
    int rc = 0;
    for (int step = 0; rc == 0 && step < STEPS; step++)
        rc = write_step(end, data);
    free(data);
    if (rc == 0)
        rc = weir_write_eof(end->writer);
    end->whole = rc == 0;
    return 0;
}

/* ---- Reading ----------------------------------------------------------------------------------*/

static ssize_t read_somehow(struct end *end, struct weir_slice *data)
{
    static const struct weir_slice separators[] = { { .data = "a", .size = 1 },
                                                    { .data = "\n\0", .size = 2 } };
    size_t n = 1 + roll(&end->random, LONGEST);
    ssize_t rc;
    switch (roll(&end->random, 4)) {
    case 0:
        return weir_readexactly(end->reader, n, data);
    case 1:
        rc = weir_readuntil_any(end->reader, separators, 2, data);
        return rc == WEIR_LIMIT_OVERRUN
                   ? weir_readexactly(end->reader, weir_overrun(end->reader), data)
                   : rc;
    case 2: {
        static char buffer[LONGEST]; /* filled without a wait in between, and checked at once */
        rc = weir_read_into(end->reader, buffer, n);
        *data = (struct weir_slice){ .data = buffer, .size = rc > 0 ? (size_t)rc : 0 };
        return rc;
    }
    default:
        return weir_read(end->reader, n, data);
    }
}

struct kept {
    struct weir_slice slice;
    size_t offset;
};

static void keep(struct end *end, struct kept *kept, struct weir_slice data, size_t offset)
{
    expect_pattern(kept->slice.data, kept->offset, kept->slice.size);
    weir_slice_drop(kept->slice);
    *kept = (struct kept){ weir_slice_keep(data), offset };
    if (data.segment_ == NULL || roll(&end->random, 2) == 0)
        *kept = (struct kept){ .slice = { .data = "" } };
    else
        return;
    if (data.segment_ != NULL)
        weir_slice_drop(data);
}

static int read_task(void *argument)
{
    struct end *end = argument;
    struct kept kept[4] = { 0 };
    for (size_t i = 0; i < 4; i++)
        kept[i].slice.data = "";
    for (;;) {
        struct weir_slice data;
        struct weir_timeout timeout;
        bool timed;
        within(&end->random, &timeout, &timed);
        ssize_t n = read_somehow(end, &data);
        if (timed)
            n = weir_timeout_stop(&timeout, n);
        if (n == -ETIMEDOUT)
            continue;
        if (n == 0 || (n < 0 && n != WEIR_INCOMPLETE))
            break;
        expect_pattern(data.data, end->read, data.size);
        size_t offset = end->read;
        end->read += data.size;
        keep(end, &kept[roll(&end->random, 4)], data, offset);
        if (n == WEIR_INCOMPLETE)
            break;
    }
    for (size_t i = 0; i < 4; i++) {
        expect_pattern(kept[i].slice.data, kept[i].offset, kept[i].slice.size);
        weir_slice_drop(kept[i].slice);
    }
    return 0;
}

/* ---- Fate -------------------------------------------------------------------------------------*/

static int fate_task(void *argument)
{
    struct couple *couple = argument;
    unsigned fate = roll(&couple->random, 6);
    if (fate < 2)
        return 0;
    if (weir_sleep(roll(&couple->random, 8000) * 1000) < 0)
        return 0;
    struct end *victim = &couple->ends[roll(&couple->random, 2)];
    couple->disturbed = true;
    if (fate == 2)
        weir_abort(victim->writer);
    else if (fate == 3)
        weir_group_cancel(&couple->group);
    else if (fate == 4)
        weir_feed_eof(victim->reader);
    if (fate > 3)
        weir_close(victim->writer);
    return 0;
}

static int couple_task(void *argument)
{
    struct couple *couple = argument;
    struct end *ends = couple->ends;
    for (int i = 0; i < 2; i++) {
        expect_result(weir_group_start(&couple->group, write_task, &ends[i]), 0);
        expect_result(weir_group_start(&couple->group, read_task, &ends[i]), 0);
    }
    expect_result(weir_group_start(&couple->group, fate_task, couple), 0);
    expect_result(weir_group_wait(&couple->group), 0);
    for (int i = 0; i < 2; i++) {
        size_t read = ends[1 - i].read;
        cr_assert(le(sz, read, ends[i].written));
        if (ends[i].whole && !couple->disturbed)
            cr_assert(eq(sz, read, ends[i].written));
    }
    if (couple->disturbed)
        weir_abort(ends[0].writer); /* else it waits for a reader that has ended */
    if (roll(&couple->random, 2) == 0)
        weir_wait_closed(ends[0].writer);
    return 0; /* the rest is closed with the task */
}

static int chaos(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    static struct couple couples[PAIRS];
    struct weir_group group = { 0 };
    memset(couples, 0, sizeof couples);
    for (unsigned i = 0; i < PAIRS; i++) {
        struct couple *couple = &couples[i];
        int fds[2];
        couple->random = seed * 1000 + i;
        if (roll(&couple->random, 2) == 0)
            cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0));
        else
            tcp_pair(fds);
        struct weir_connect_options options = { .limit = 1 + roll(&couple->random, 3000) };
        for (int e = 0; e < 2; e++) {
            struct end *end = &couple->ends[e];
            end->random = couple->random + (unsigned)e + 1;
            expect_result(weir_open_socket(fds[e], &options, &end->reader, &end->writer), 0);
            if (roll(&couple->random, 2) == 0)
                weir_set_write_buffer_limits(end->writer, roll(&couple->random, 4000), 0);
        }
        expect_result(weir_group_start(&group, couple_task, couple), 0);
    }
    return weir_group_wait(&group);
}

static void run_chaos(struct weir_run_options options)
{
    const char *only = getenv("CHAOS_SEED");
    options.linger = 100 * WEIR_MILLISECOND;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        unsigned chosen = only != NULL ? (unsigned)atoi(only) : seed;
        cr_log_info("seed %u", chosen);
        expect_result(run_with(&options, chaos, &chosen), 0);
        if (only != NULL)
            break;
    }
}

Test(chaos, of_streams, .timeout = 120)
{
    run_chaos((struct weir_run_options){ 0 });
}

Test(chaos, of_streams_on_a_small_ring, .timeout = 120)
{
    run_chaos((struct weir_run_options){ .ring_entries = 4 });
}

Test(chaos, of_streams_with_few_buffers, .timeout = 120)
{
    run_chaos((struct weir_run_options){ .receive_memory = 64 * 1024 });
}
