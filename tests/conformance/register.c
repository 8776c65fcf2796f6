/* Registering: what the kernel can do, the ring's own fd, and rings of buffers. */
#include <errno.h>
#include <stdlib.h>

#include "conformance.h"

static int buffers_at(void *memory, unsigned entries, unsigned group)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)memory,
        .ring_entries = entries,
        .bgid = (uint16_t)group,
    };
    return sys_ring_register(mine.fd, IORING_REGISTER_PBUF_RING, &registration, 1);
}

static int unregister(unsigned group)
{
    struct io_uring_buf_reg registration = { .bgid = (uint16_t)group };
    return sys_ring_register(mine.fd, IORING_UNREGISTER_PBUF_RING, &registration, 1);
}

static void probe(void)
{
    size_t size = sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op);
    struct io_uring_probe *known = calloc(1, size);
    if (known == NULL)
        return;
    say("probe: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_PROBE, known, 256)));
    static const uint8_t used[] = { IORING_OP_NOP,    IORING_OP_SENDMSG, IORING_OP_POLL_ADD,
                                    IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_ASYNC_CANCEL,
                                    IORING_OP_CLOSE,  IORING_OP_SEND,    IORING_OP_RECV,
                                    IORING_OP_SEND_ZC };
    for (size_t i = 0; i < sizeof used; i++)
        say("%u: %s", used[i], known->ops[used[i]].flags & IO_URING_OP_SUPPORTED ? "yes" : "no");
    say("the last is at least SEND_ZC: %s", known->last_op >= IORING_OP_SEND_ZC ? "yes" : "no");
    free(known);
}

static void ring_fd(void)
{
    struct io_uring_rsrc_update update = { .offset = -1U, .data = (unsigned)mine.fd };
    say("register: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    int place = (int)update.offset;
    say("at a place: %s", place >= 0 && place < 16 ? "yes" : "no");
    update = (struct io_uring_rsrc_update){ .offset = (unsigned)place };
    say("unregister: %s",
        outcome(sys_ring_register(mine.fd, IORING_UNREGISTER_RING_FDS, &update, 1)));
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
    say("enter: %s", outcome(sys_ring_enter(place, 0, 0, flags, 0)));
}

/* A ring that is registered lives on when its fd has been closed, with all it has in flight, until
 * it is unregistered, by way of any ring, or the thread ends. */
static void ring_fd_outlives(void)
{
    struct pair pair = pair_tcp();
    struct io_uring_rsrc_update update = { .offset = -1U, .data = (unsigned)mine.fd };
    say("register: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    receive_plain('r', pair.a, 60);
    submit();
    drop(pair.a);
    lane_close(&mine);
    peer_reads(pair.b, 0);
    ring_reopen(16, 64);
    update.data = 0;
    say("unregister: %s",
        outcome(sys_ring_register(mine.fd, IORING_UNREGISTER_RING_FDS, &update, 1)));
    peer_reads(pair.b, 0);
}

/* There are 16 places, a thread's own. */
static void ring_fds_of_many(void)
{
    static struct lane lanes[17];
    for (int i = 0; i < 17; i++) {
        int fd = lane_open(&lanes[i], 2, 2, usual_flags());
        struct io_uring_rsrc_update update = { .offset = -1U, .data = (unsigned)fd };
        int rc = sys_ring_register(fd, IORING_REGISTER_RING_FDS, &update, 1);
        if (rc != 1)
            say("the %dth: %s", i + 1, outcome(rc));
    }
    for (int i = 0; i < 17; i++)
        lane_close(&lanes[i]);
}

static void ring_fd_wrongly(void)
{
    struct io_uring_rsrc_update update = { .offset = -1U, .data = 999 };
    say("bad fd: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    update.data = (unsigned)keep(sys_event_fd());
    say("no ring: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    update = (struct io_uring_rsrc_update){ .offset = 99, .data = (unsigned)mine.fd };
    say("no place: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 1)));
    update.offset = -1U;
    say("none: %s", outcome(sys_ring_register(mine.fd, IORING_REGISTER_RING_FDS, &update, 0)));
}

static void group(void)
{
    say("first: %s", outcome(group_open(0, 8, 16)));
    say("second: %s", outcome(group_open(1, 1, 16)));
    say("third: %s", outcome(group_open(3, 1024, 16)));
}

static void group_twice(void)
{
    void *memory = sys_map(4096);
    say("first: %s", outcome(buffers_at(memory, 8, 0)));
    say("again: %s", outcome(buffers_at(memory, 8, 0)));
    say("another: %s", outcome(buffers_at(memory, 8, 1)));
    ring_reopen(2, 2);
    say("in another ring: %s", outcome(buffers_at(memory, 8, 0)));
    lane_close(&mine);
    sys_unmap(memory, 4096);
}

static void group_sizes(void)
{
    void *memory = sys_map(1 << 20);
    static const unsigned sizes[] = { 0, 1, 3, 6, 32768, 65536 };
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        say("%u: %s", sizes[i], outcome(buffers_at(memory, sizes[i], i)));
    lane_close(&mine);
    sys_unmap(memory, 1 << 20);
}

static void group_at_bad_places(void)
{
    char *memory = sys_map(8192);
    say("nowhere: %s", outcome(buffers_at(NULL, 8, 0)));
    say("not at a page: %s", outcome(buffers_at(memory + 64, 8, 0)));
    sys_unmap(memory, 8192);
}

static void group_again(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    say("unregister: %s", outcome(unregister(0)));
    put(pair.b, "hello");
    receive('r', pair.a, 0);
    submit_and_show(1);
    groups_discard();
    buffers(2);
    receive('r', pair.a, 0);
    submit_and_show(1);
}

static void group_gone_in_flight(void)
{
    struct pair pair = pair_tcp();
    buffers(2);
    receive_multi('r', pair.a, 0);
    submit();
    say("unregister: %s", outcome(unregister(0)));
    put(pair.b, "hello");
    show(1);
}

static void group_unknown(void)
{
    say("unregister: %s", outcome(unregister(7)));
}

static void unknown_operation(void)
{
    say("%s", outcome(sys_ring_register(mine.fd, 4000, NULL, 0)));
    say("bad fd: %s", outcome(sys_ring_register(999, IORING_REGISTER_PROBE, NULL, 0)));
    int event = keep(sys_event_fd());
    say("no ring: %s", outcome(sys_ring_register(event, IORING_REGISTER_PROBE, NULL, 0)));
}

const struct vector register_vectors[] = {
    { "register/probe", probe },
    { "register/ring-fd", ring_fd },
    { "register/ring-fd-outlives", ring_fd_outlives },
    { "register/ring-fds-of-many", ring_fds_of_many },
    { "register/ring-fd-wrongly", ring_fd_wrongly },
    { "register/group", group },
    { "register/group-twice", group_twice },
    { "register/group-sizes", group_sizes },
    { "register/group-at-bad-places", group_at_bad_places },
    { "register/group-again", group_again },
    { "register/group-gone-in-flight", group_gone_in_flight },
    { "register/group-unknown", group_unknown },
    { "register/unknown-operation", unknown_operation },
    { 0 },
};
