/* Setting up rings. */
#include <errno.h>

#include "conformance.h"
#include "kernel/compat.h"

static void try(const char *what, unsigned entries, unsigned cq_entries, unsigned flags)
{
    struct lane lane;
    int rc = lane_open(&lane, entries, cq_entries, flags);
    if (rc < 0)
        say("%s: %s", what, outcome(rc));
    else
        say("%s: %u and %u", what, *lane.uring.sq.kring_entries, *lane.uring.cq.kring_entries);
    lane_close(&lane);
}

static void sizes(void)
{
    try("1", 1, 0, 0);
    try("2", 2, 0, 0);
    try("5", 5, 0, 0);
    try("16", 16, 0, 0);
    try("4096", 4096, 0, 0);
}

static void too_large(void)
{
    try("0", 0, 0, 0);
    try("32769", 32769, 0, 0);
}

static void cq_sizes(void)
{
    try("8, 8", 8, 8, IORING_SETUP_CQSIZE);
    try("8, 33", 8, 33, IORING_SETUP_CQSIZE);
    try("1, 1", 1, 1, IORING_SETUP_CQSIZE);
}

static void bad_cq_sizes(void)
{
    try("8, 4", 8, 4, IORING_SETUP_CQSIZE);
    try("8, 7", 8, 7, IORING_SETUP_CQSIZE);
    try("8, 0", 8, 0, IORING_SETUP_CQSIZE);
    try("8, 65537", 8, 65537, IORING_SETUP_CQSIZE);
}

static void flags(void)
{
    unsigned deferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    try("as the library", 8, 32, usual_flags());
    try("with an array", 8, 32, usual_flags() & ~IORING_SETUP_NO_SQARRAY);
    try("cooperative", 8, 0, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    try("submit all", 8, 0, IORING_SETUP_SUBMIT_ALL);
    try("deferred", 8, 0, deferred);
    try("deferred with the flag", 8, 0, deferred | IORING_SETUP_TASKRUN_FLAG);
}

static void bad_flags(void)
{
    try("deferred without a single issuer", 8, 0, IORING_SETUP_DEFER_TASKRUN);
    try("the flag alone", 8, 0, IORING_SETUP_TASKRUN_FLAG);
    try("one unknown", 8, 0, 1U << 30);
}

static void bad_reserved(void)
{
    struct io_uring ring;
    struct io_uring_params params = { .resv = { 1, 0, 0 } };
    int rc = sys_ring_setup(&ring, 8, &params);
    say("%s", verdict(rc));
    if (rc >= 0)
        sys_ring_exit(&ring);
}

static void features(void)
{
    static const struct {
        unsigned flag;
        const char *name;
    } wanted[] = {
        { IORING_FEAT_NODROP, "NODROP" },       { IORING_FEAT_SUBMIT_STABLE, "SUBMIT_STABLE" },
        { IORING_FEAT_FAST_POLL, "FAST_POLL" }, { IORING_FEAT_EXT_ARG, "EXT_ARG" },
        { IORING_FEAT_NO_IOWAIT, "NO_IOWAIT" },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        say("%s: %s", wanted[i].name, mine.uring.features & wanted[i].flag ? "yes" : "no");
}

static void begins_empty(void)
{
    say("SQ: %u of %u taken, mask %u", *mine.uring.sq.ktail - *mine.uring.sq.khead,
        *mine.uring.sq.kring_entries, *mine.uring.sq.kring_mask);
    say("CQ: %u of %u ready, mask %u", lane_ready(&mine), *mine.uring.cq.kring_entries,
        *mine.uring.cq.kring_mask);
    say("flags %u", *mine.uring.sq.kflags);
    say("the ring's fd: %s", mine.uring.ring_fd == mine.fd ? "as returned" : "another");
}

/* The array says which slot is next. */
static void by_the_array(void)
{
    lane_close(&mine);
    unsigned usual = usual_flags() & ~IORING_SETUP_NO_SQARRAY;
    say("setup: %s", verdict(lane_open(&mine, 8, 32, usual)));
    nop('m');
    nop('n');
    mine.uring.sq.array[0] = 1;
    mine.uring.sq.array[1] = 0;
    __atomic_store_n(mine.uring.sq.ktail, mine.tail, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        say("enter: %s", outcome(sys_ring_enter(mine.fd, 1, 0, IORING_ENTER_GETEVENTS, 0)));
        show(1);
    }
}

static void several_rings(void)
{
    struct lane other;
    say("setup: %s", verdict(lane_open(&other, 8, 32, usual_flags())));
    say("another fd: %s", other.fd != mine.fd ? "yes" : "no");
    nop('n');
    submit_and_show(1);
    say("ready in the other: %u", lane_ready(&other));
    lane_close(&other);
    nop('n');
    submit_and_show(1);
}

/* A ring that goes takes what is in flight with it: sockets it held are closed. */
static void closed_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0);
    submit();
    drop(pair.a);
    settle();
    lane_close(&mine);
    peer_reads(pair.b, 1);
}

const struct vector setup_vectors[] = {
    { "setup/sizes", sizes },
    { "setup/too-large", too_large },
    { "setup/cq-sizes", cq_sizes },
    { "setup/bad-cq-sizes", bad_cq_sizes },
    { "setup/flags", flags },
    { "setup/bad-flags", bad_flags },
    { "setup/bad-reserved", bad_reserved },
    { "setup/features", features },
    { "setup/begins-empty", begins_empty },
    { "setup/by-the-array", by_the_array },
    { "setup/several-rings", several_rings },
    { "setup/closed-in-flight", closed_in_flight },
    { 0 },
};
