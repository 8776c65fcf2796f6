/* What sending in bulk costs: one operation at a time, of one piece or of many, or a chain of
 * linked ones, or a bundle of provided buffers, copied or not. One client at a time, which says how
 * much it wants and in what blocks, as bench/load_bulk asks a source. */
#include "ring.h"

#include "../pattern.h"

#define PROGRAM "source"

enum way { SEND, SENDMSG, BUNDLE, ZERO_COPY, ZERO_COPY_FIXED };
enum purpose { LINK = 1, LAST }; /* of operations: to be followed by others, or awaited */
enum { PIECES_MOST = 1024, LINKS_MOST = 64, BUNDLE_GROUP = 0, BUNDLE_MOST = 256 };

static struct {
    struct address address;
    unsigned way, piece, pieces, links, part;
    struct ring ring;
    int listener, fd;
    unsigned char *pattern;
    unsigned char *bytes; /* the block, and its beginning again: a piece from any place of it */
    struct io_uring_buf_ring *bundle;
    struct source_request request;
    uint64_t sent;                  /* of the stream */
    uint64_t notifications, copied; /* zero-copy: that came, and of these not zero-copy */
    uint64_t unnotified;
    struct msghdr messages[LINKS_MOST];
    struct iovec iovecs[LINKS_MOST][PIECES_MOST];
} source = { .piece = 65536, .pieces = 1, .links = 1 };

/* ---- Completions ----------------------------------------------------------------------------- */

static void take_notification(const struct ring_event *event)
{
    source.notifications++;
    source.unnotified--;
    if ((unsigned)event->result & IORING_NOTIF_USAGE_ZC_COPIED)
        source.copied++;
}

/* The next completion that is none of a zero-copy's buffer. */
static struct ring_event next_result(void)
{
    for (;;) {
        struct ring_event event = ring_next(&source.ring, PROGRAM);
        if (!(event.flags & IORING_CQE_F_NOTIF))
            return event;
        take_notification(&event);
    }
}

/* Before the memory is used for another client. */
static void await_notifications(void)
{
    while (source.unnotified > 0) {
        struct ring_event event = ring_next(&source.ring, PROGRAM);
        if (event.flags & IORING_CQE_F_NOTIF)
            take_notification(&event);
    }
}

/* ---- The ways to send ------------------------------------------------------------------------ */

/* Each returns how many bytes have left, or, if that is less than it was to be, -errno. */

static unsigned char *bytes_at(uint64_t place)
{
    return source.bytes + place % source.request.block;
}

static size_t piece_at(uint64_t place)
{
    uint64_t left = source.request.total - place;
    return left < source.piece ? (size_t)left : source.piece;
}

static int send_flags(void)
{
    return MSG_NOSIGNAL | (source.part ? 0 : MSG_WAITALL);
}

/* Queues one operation. Returns the place where it ends. */
static uint64_t queue_link(unsigned link, uint64_t place, struct io_uring_sqe *sqe)
{
    if (source.way == SEND) {
        size_t size = piece_at(place);
        io_uring_prep_send(sqe, source.fd, bytes_at(place), size, send_flags());
        return place + size;
    }
    unsigned count = 0;
    for (; count < source.pieces && piece_at(place) > 0; count++) {
        size_t size = piece_at(place);
        source.iovecs[link][count] = (struct iovec){ bytes_at(place), size };
        place += size;
    }
    source.messages[link] = (struct msghdr){ .msg_iov = source.iovecs[link], .msg_iovlen = count };
    io_uring_prep_sendmsg(sqe, source.fd, &source.messages[link], (unsigned)send_flags());
    return place;
}

/* Of a chain only the last operation completes; or, if one before it fails, that one, and then none
 * after it: the kernel leaves out the completions of what hangs on an operation that has
 * CQE_SKIP_SUCCESS and fails. */
static int64_t send_chain(void)
{
    uint64_t place = source.sent, begun = place;
    for (unsigned link = 0; link < source.links && piece_at(place) > 0; link++) {
        struct io_uring_sqe *sqe = ring_sqe(&source.ring);
        begun = place;
        place = queue_link(link, place, sqe);
        bool last = link + 1 == source.links || piece_at(place) == 0;
        if (!last)
            sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, last ? LAST : LINK);
    }
    struct ring_event event = next_result();
    if (event.purpose == LINK)
        return event.result < 0 ? event.result : -EPIPE;
    bool whole = event.result < 0 || (uint64_t)event.result == place - begun;
    if (!whole && !source.part)
        return -EPIPE;
    return whole && event.result >= 0 ? (int64_t)(place - source.sent) : event.result;
}

/* A group of buffers for each client: one that left early may have left some. */
static void open_bundle(void)
{
    static unsigned char memory[BUNDLE_MOST * sizeof(struct io_uring_buf)]
        __attribute__((aligned(PATTERN_ALIGNMENT)));
    source.bundle = (struct io_uring_buf_ring *)memory;
    io_uring_buf_ring_init(source.bundle);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory,
        .ring_entries = BUNDLE_MOST,
        .bgid = BUNDLE_GROUP,
    };
    int error = io_uring_register_buf_ring(&source.ring.uring, &registration, 0);
    if (error < 0)
        die(PROGRAM, EXIT_FAILED, "registering the bundle's buffers: %s", strerror(-error));
}

/* Of the bytes of a bundle several completions may tell; the last may be that no buffer is left. */
static int64_t send_bundle(void)
{
    uint64_t place = source.sent;
    int count = 0;
    for (; count < (int)source.pieces && piece_at(place) > 0; count++) {
        size_t size = piece_at(place);
        io_uring_buf_ring_add(source.bundle, bytes_at(place), (unsigned)size, (unsigned short)count,
                              BUNDLE_MOST - 1, count);
        place += size;
    }
    io_uring_buf_ring_advance(source.bundle, count);
    struct io_uring_sqe *sqe = ring_sqe(&source.ring);
    io_uring_prep_send(sqe, source.fd, NULL, 0, send_flags());
    sqe->ioprio |= IORING_RECVSEND_BUNDLE;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUNDLE_GROUP;
    int64_t sent = 0;
    struct ring_event event;
    do {
        event = next_result();
        if (event.result < 0 && event.result != -ENOBUFS)
            return event.result;
        sent += event.result > 0 ? event.result : 0;
    } while (event.flags & IORING_CQE_F_MORE);
    return sent == (int64_t)(place - source.sent) ? sent : -EPIPE;
}

static int64_t send_zero_copy(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&source.ring);
    size_t size = piece_at(source.sent);
    unsigned char *bytes = bytes_at(source.sent);
    if (source.way == ZERO_COPY_FIXED)
        io_uring_prep_send_zc_fixed(sqe, source.fd, bytes, size, send_flags(),
                                    IORING_SEND_ZC_REPORT_USAGE, 0);
    else
        io_uring_prep_send_zc(sqe, source.fd, bytes, size, send_flags(),
                              IORING_SEND_ZC_REPORT_USAGE);
    struct ring_event event = next_result();
    source.unnotified += event.flags & IORING_CQE_F_MORE ? 1 : 0;
    if (event.result >= 0 && (size_t)event.result != size && !source.part)
        return -EPIPE;
    return event.result;
}

/* ---- A client -------------------------------------------------------------------------------- */

static bool receive_request(void)
{
    unsigned char bytes[SOURCE_REQUEST_SIZE];
    if (recv(source.fd, bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
        return false;
    return source_request_decode(bytes, &source.request);
}

static int64_t send_all(void)
{
    static int64_t (*const ways[])(void) = { send_chain, send_chain, send_bundle, send_zero_copy,
                                             send_zero_copy };
    source.sent = source.notifications = source.copied = 0;
    while (source.sent < source.request.total) {
        int64_t sent = ways[source.way]();
        if (sent < 0)
            return sent;
        source.sent += (uint64_t)sent;
    }
    return 0;
}

/* The client may leave early. */
static void serve_client(void)
{
    if (!receive_request())
        return;
    for (size_t i = 0; i < source.request.block + source.piece; i++)
        source.bytes[i] = source.pattern[i % source.request.block];
    if (source.way == BUNDLE)
        open_bundle();
    int64_t error = send_all();
    await_notifications();
    if (source.way == BUNDLE)
        io_uring_unregister_buf_ring(&source.ring.uring, BUNDLE_GROUP);
    if (error == -EINVAL && source.way >= ZERO_COPY)
        die_unsupported(PROGRAM, "SEND_ZC that reports its use (6.2)");
    if (error < 0 && error != -EPIPE && error != -ECONNRESET)
        die(PROGRAM, EXIT_FAILED, "send: %s", strerror((int)-error));
    if (source.notifications > 0) {
        printf(PROGRAM ": %llu notifications, %llu copied\n",
               (unsigned long long)source.notifications, (unsigned long long)source.copied);
        fflush(stdout);
    }
}

/* ---- The command line ------------------------------------------------------------------------ */

static const struct choice choices[] = {
    { "way", &source.way, 0, 0, { "send", "sendmsg", "bundle", "zc", "zc-fixed" }, "to send" },
    { "piece", &source.piece, 1, PATTERN_SIZE, .what = "bytes of a piece of memory" },
    { "pieces", &source.pieces, 1, PIECES_MOST, .what = "of a sendmsg, or a bundle (to 256)" },
    { "links", &source.links, 1, LINKS_MOST, .what = "sends or sendmsgs, chained" },
    { "part", &source.part, .what = "a send may come back short: no MSG_WAITALL" },
    { .name = NULL },
};

static void set_up(void)
{
    if (source.part && (source.links > 1 || source.way == BUNDLE))
        die(PROGRAM, EXIT_USAGE, "--part is not for what must not come back short");
    if (source.pieces > 1 && (source.way != SENDMSG && source.way != BUNDLE))
        die(PROGRAM, EXIT_USAGE, "--pieces is for sendmsg and bundle");
    if (source.links > 1 && source.way != SEND && source.way != SENDMSG)
        die(PROGRAM, EXIT_USAGE, "--links is for send and sendmsg");
    if (source.way == BUNDLE && source.pieces > BUNDLE_MOST)
        die(PROGRAM, EXIT_USAGE, "a bundle has at most %d pieces", BUNDLE_MOST);
    ring_open(&source.ring, PROGRAM, &(struct ring_choices){ 0 });
    if (source.way == BUNDLE)
        ring_require(&source.ring, PROGRAM, IORING_FEAT_RECVSEND_BUNDLE, "bundles (6.10)");
    struct iovec memory = { .iov_len = PATTERN_SIZE + source.piece };
    source.pattern = bench_pattern(PATTERN_SIZE);
    source.bytes = memory.iov_base = aligned_alloc(PATTERN_ALIGNMENT, 2 * PATTERN_SIZE);
    if (!source.bytes)
        die(PROGRAM, EXIT_FAILED, "out of memory");
    memset(source.bytes, 0, memory.iov_len);
    if (source.way == ZERO_COPY_FIXED) {
        int error = io_uring_register_buffers(&source.ring.uring, &memory, 1);
        if (error < 0)
            die(PROGRAM, EXIT_FAILED, "registering the memory: %s", strerror(-error));
    }
}

int main(int argc, char **argv)
{
    static const struct choices_program program = {
        .name = PROGRAM,
        .what = "sends as much as it is asked for, one operation at a time",
        .tables = { choices },
        .listens = true,
    };
    parse_choices(&program, argc, argv, &source.address);
    set_up();
    source.listener = listen_on(PROGRAM, &source.address);
    announce(PROGRAM, source.listener, &source.address);
    for (;;) {
        source.fd = ring_accept(&source.ring, PROGRAM, source.listener);
        serve_client();
        close(source.fd);
    }
}
