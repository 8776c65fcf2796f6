/* What receiving in bulk costs, in each of the ways in buffers.h: takes all that a client sends,
 * and tells at its end how much it was. One client at a time, as bench/load_bulk wants a sink. */
#include "buffers.h"

#define PROGRAM "sink"

static struct {
    struct address address;
    int listener;
    struct ring ring;
    struct buffers buffers;
    unsigned char *own;
} sink;

static void submit_receive(int fd)
{
    buffers_publish(&sink.buffers);
    prepare_receive(ring_sqe(&sink.ring), fd, sink.own);
}

static void release_all(int result, unsigned flags)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    for (uint32_t left = (uint32_t)result; left > 0;) {
        struct received received = buffers_take(&sink.buffers, left, flags, &id);
        left -= received.size;
        buffers_release(&sink.buffers, received.buffer);
    }
}

/* Until EOF, or an error. Buffers that are released meanwhile are published when no completion is
 * waiting any more, or the kernel ran out of them. */
static uint64_t receive_all(int fd)
{
    uint64_t total = 0;
    submit_receive(fd);
    for (;;) {
        if (io_uring_cq_ready(&sink.ring.uring) == 0)
            buffers_publish(&sink.buffers);
        struct ring_event event = ring_next(&sink.ring, PROGRAM);
        if (event.result <= 0 && event.result != -ENOBUFS)
            return total;
        if (event.result > 0) {
            total += (uint64_t)event.result;
            if (receiving.way != RECEIVE_OWN)
                release_all(event.result, event.flags);
        }
        if (!(event.flags & IORING_CQE_F_MORE))
            submit_receive(fd);
    }
}

int main(int argc, char **argv)
{
    static const struct choices_program program = {
        .name = PROGRAM,
        .what = "takes all that a client sends, then tells it how much it was",
        .tables = { receive_choices },
        .listens = true,
    };
    parse_choices(&program, argc, argv, &sink.address);
    ring_open(&sink.ring, PROGRAM, &(struct ring_choices){ 0 });
    buffers_open(&sink.buffers, &sink.ring, PROGRAM);
    sink.own = malloc(receiving.size);
    if (!sink.own)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    sink.listener = listen_on(PROGRAM, &sink.address);
    announce(PROGRAM, sink.listener, &sink.address);
    for (;;) {
        int fd = ring_accept(&sink.ring, PROGRAM, sink.listener);
        uint64_t count = htobe64(receive_all(fd));
        send(fd, &count, sizeof count, MSG_NOSIGNAL); /* who has gone need not be told */
        close(fd);
    }
}
