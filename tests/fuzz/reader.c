/* Target: the reader's framing. A task reads by calls of the fuzzer's choosing, while bytes arrive
 * in pieces of its choosing. An oracle, which sees but flat bytes, says after each piece whether
 * the call must still wait, and if not, what it must return: asyncio's semantics, but for what
 * docs/differences.md lists. */
#include "feed.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

enum { CALLS = 64, KEPT = 4, SEPARATORS = 3, LONGEST = 4, DELIVERED = 4096 };
enum { WAITS = INT_MIN };

enum kind { READ, READ_ALL, READ_INTO, READEXACTLY, READLINE, READUNTIL, READUNTIL_ANY, KINDS };

struct call {
    enum kind kind;
    size_t n;
    struct weir_slice separators[SEPARATORS];
    char text[SEPARATORS][LONGEST + 1];
    size_t count;
};

/* What a call must do: the code (or count, or WAITS), and how many bytes go with it. */
struct verdict {
    ssize_t result;
    size_t size, overrun;
};

struct kept {
    struct weir_slice slice;
    char *copy;
};

static struct run {
    struct input input;
    struct feed feed;
    struct call call;
    bool calling, fired, done;
    struct weir_slice lent;
    char *lent_copy;
    struct kept kept[KEPT];
    size_t delivered;
} run;

/* ---- The oracle ------------------------------------------------------------------------------ */

static struct verdict at_end(ssize_t otherwise, size_t size)
{
    if (run.feed.error != 0)
        return (struct verdict){ run.feed.error, 0, 0 };
    return (struct verdict){ otherwise, size, 0 };
}

static struct verdict judge_until(const struct call *call)
{
    const char *bytes = feed_rest(&run.feed);
    size_t size = feed_rest_size(&run.feed), limit = run.feed.stream.reader.limit, longest = 0;
    for (size_t i = 0; i < call->count; i++)
        longest = max_size(longest, call->separators[i].size);
    for (size_t end = 1; end <= size; end++) {
        size_t best = 0; /* the shortest that ends here */
        for (size_t i = 0; i < call->count; i++) {
            size_t length = call->separators[i].size;
            if (length <= end && (best == 0 || length < best) &&
                memcmp(bytes + end - length, call->separators[i].data, length) == 0)
                best = length;
        }
        if (best > 0 && end - best > limit)
            return (struct verdict){ WEIR_LIMIT_OVERRUN, 0, end - best };
        if (best > 0)
            return (struct verdict){ (ssize_t)end, end, 0 };
    }
    if (run.feed.ended)
        return at_end(call->kind == READLINE ? (ssize_t)size : WEIR_INCOMPLETE, size);
    if (size + 1 > longest && size + 1 - longest > limit)
        return (struct verdict){ WEIR_LIMIT_OVERRUN, 0, size + 1 - longest };
    return (struct verdict){ WAITS, 0, 0 };
}

static struct verdict judge(const struct call *call)
{
    size_t size = feed_rest_size(&run.feed), n = call->n;
    bool ended = run.feed.ended;
    switch (call->kind) {
    case READ: /* at most: what lies together may be less */
    case READ_INTO:
        if (n == 0)
            return (struct verdict){ 0, 0, 0 };
        if (size > 0)
            return (struct verdict){ (ssize_t)min_size(n, size), min_size(n, size), 0 };
        return ended ? at_end(0, 0) : (struct verdict){ WAITS, 0, 0 };
    case READ_ALL:
        return ended ? at_end((ssize_t)size, size) : (struct verdict){ WAITS, 0, 0 };
    case READEXACTLY:
        if (n > SSIZE_MAX)
            return (struct verdict){ -EINVAL, 0, 0 };
        if (size >= n)
            return (struct verdict){ (ssize_t)n, n, 0 };
        return ended ? at_end(WEIR_INCOMPLETE, size) : (struct verdict){ WAITS, 0, 0 };
    default:
        return judge_until(call);
    }
}

/* ---- The calls ------------------------------------------------------------------------------- */

static struct call choose_call(struct input *input)
{
    struct call call = { .kind = input_below(input, KINDS), .count = 1 };
    if (call.kind == READ || call.kind == READ_INTO || call.kind == READEXACTLY)
        call.n = input_size(input);
    if (call.kind == READEXACTLY && call.n == 2047)
        call.n = SIZE_MAX - 1;
    if (call.kind == READLINE)
        call.separators[0] = (struct weir_slice){ .data = "\n", .size = 1 };
    if (call.kind == READUNTIL_ANY)
        call.count = 1 + input_below(input, SEPARATORS);
    if (call.kind == READUNTIL || call.kind == READUNTIL_ANY) {
        for (size_t i = 0; i < call.count; i++)
            call.separators[i].size = 1 + input_below(input, LONGEST);
    }
    return call;
}

/* Of few letters, which the data is made of, too. */
static char letter(unsigned byte)
{
    return "\nabc"[byte & 3];
}

static void spell_separators(struct input *input, struct call *call)
{
    if (call->kind != READUNTIL && call->kind != READUNTIL_ANY)
        return;
    for (size_t i = 0; i < call->count; i++) {
        unsigned bits = input_byte(input);
        for (size_t k = 0; k < call->separators[i].size; k++, bits >>= 2)
            call->text[i][k] = letter(bits);
        call->separators[i].data = call->text[i];
    }
}

static ssize_t make_call(const struct call *call, struct weir_slice *ret_data)
{
    struct weir_reader *reader = feed_reader(&run.feed);
    switch (call->kind) {
    case READ:
        return weir_read(reader, call->n, ret_data);
    case READ_ALL:
        return weir_read(reader, WEIR_UNTIL_EOF, ret_data);
    case READEXACTLY:
        return weir_readexactly(reader, call->n, ret_data);
    case READLINE:
        return weir_readline(reader, ret_data);
    case READUNTIL:
        return weir_readuntil(reader, call->text[0], ret_data);
    default:
        return weir_readuntil_any(reader, call->separators, call->count, ret_data);
    }
}

/* What was lent stays as it is until the next read, whatever arrives. */
static void check_lent(void)
{
    if (run.lent_copy != NULL)
        fuzz_check(memcmp(run.lent.data, run.lent_copy, run.lent.size) == 0);
    free(run.lent_copy);
    run.lent_copy = NULL;
}

static void note_lent(struct weir_slice slice)
{
    run.lent = slice;
    run.lent_copy = malloc(slice.size + 1);
    memcpy(run.lent_copy, slice.data, slice.size);
}

static void drop_kept(struct kept *kept)
{
    if (kept->copy != NULL) {
        fuzz_check(memcmp(kept->slice.data, kept->copy, kept->slice.size) == 0);
        weir_slice_drop(kept->slice);
    }
    free(kept->copy);
    kept->copy = NULL;
}

static void keep(struct kept *kept, struct weir_slice slice)
{
    drop_kept(kept);
    kept->slice = weir_slice_keep(slice);
    kept->copy = malloc(slice.size + 1);
    memcpy(kept->copy, slice.data, slice.size);
}

static void check_bytes(const struct call *call, ssize_t result, const char *data, size_t size)
{
    struct verdict verdict = judge(call);
    bool some = call->kind == READ && result > 0 && result <= verdict.result;
    fuzz_check(verdict.result != WAITS);
    fuzz_check(some || result == verdict.result);
    fuzz_check(size == (some ? (size_t)result : verdict.size));
    fuzz_check(size == 0 || memcmp(data, feed_rest(&run.feed), size) == 0);
    if (result == WEIR_LIMIT_OVERRUN)
        fuzz_check(weir_overrun(feed_reader(&run.feed)) == verdict.overrun);
    run.feed.read += size;
    fuzz_check(feed_reader(&run.feed)->in.size == feed_rest_size(&run.feed));
}

static void call_once(struct input *input)
{
    static const char untouched[] = "untouched";
    struct weir_slice data = { .data = untouched };
    struct call *call = &run.call;
    *call = choose_call(input);
    spell_separators(input, call);
    char *buffer = malloc(call->kind == READ_INTO ? call->n + 1 : 1);
    struct weir_timeout timeout;
    bool limited = input_below(input, 4) == 3;
    run.fired = false;
    if (limited)
        weir_timeout_start(&timeout, 10);
    check_lent();
    run.calling = true;
    ssize_t result = call->kind == READ_INTO
                         ? weir_read_into(feed_reader(&run.feed), buffer, call->n)
                         : make_call(call, &data);
    run.calling = false;
    if (limited)
        weir_timeout_stop(&timeout, 0);
    if (result == -ETIMEDOUT) {
        fuzz_check(limited && run.fired);
        fuzz_check(feed_reader(&run.feed)->in.size == feed_rest_size(&run.feed));
    } else if (call->kind == READ_INTO) {
        check_bytes(call, result, buffer, result > 0 ? (size_t)result : 0);
    } else {
        bool set = result >= 0 || result == WEIR_INCOMPLETE;
        fuzz_check(set == (data.data != untouched));
        check_bytes(call, result, data.data, set ? data.size : 0);
        if (set)
            note_lent(data);
        if (set && input_below(input, 4) == 3)
            keep(&run.kept[input_below(input, KEPT)], data);
    }
    free(buffer);
}

/* ---- What happens meanwhile ------------------------------------------------------------------ */

static int read_all(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < CALLS && input_left(&run.input) > 0; i++) {
        call_once(&run.input);
        bool at_eof = run.feed.ended && feed_rest_size(&run.feed) == 0 && run.feed.error == 0;
        fuzz_check(weir_at_eof(feed_reader(&run.feed)) == at_eof);
        fuzz_check(weir_exception(feed_reader(&run.feed)) == run.feed.error);
        if (input_below(&run.input, 4) == 3)
            weir_sleep(1); /* so that data arrives while nobody reads */
    }
    run.done = true;
    return 0;
}

static void deliver(struct input *input, size_t most, bool parts)
{
    char letters[64];
    size_t size, room = input_below(input, 32);
    const uint8_t *bytes = input_take(input, 1 + input_below(input, (unsigned)most), &size);
    for (size_t i = 0; i < size; i++)
        letters[i] = letter(bytes[i]);
    if (size > 1 && parts)
        feed_parts(&run.feed, letters, size, 1 + room % (size - 1), room);
    else if (size > 0)
        feed_bytes(&run.feed, letters, size, room);
    run.delivered += size;
    const struct weir_reader *reader = feed_reader(&run.feed);
    if (reader->waiter == NULL && reader->in.size > max_size(2 * reader->limit, LIMIT_SMALL))
        fuzz_check(!run.feed.transport.receiving || size == 0 || run.feed.ended);
}

static void hold_or_resume(struct weir_reader *reader)
{
    if (reader->held)
        weir_resume_reading(reader);
    else
        weir_pause_reading(reader);
}

static void happen(struct input *input)
{
    struct weir_reader *reader = feed_reader(&run.feed);
    struct weir_slice none;
    switch (input_below(input, 16)) {
    case 0:
        feed_end(&run.feed, 0);
        break;
    case 1:
        feed_end(&run.feed, -ECONNRESET);
        break;
    case 2:
        run.fired = true;
        fuzz_pass_time(10);
        break;
    case 3:
        hold_or_resume(reader);
        break;
    case 4: /* from outside of a task */
        fuzz_check(weir_read(reader, 1, &none) == (run.calling ? -EBUSY : -EPERM));
        break;
    case 5: /* two pieces in one turn */
        deliver(input, 8, false);
        deliver(input, 8, false);
        break;
    case 6:
        deliver(input, 64, false);
        break;
    case 7:
        deliver(input, 64, true);
        break;
    case 8:
        deliver(input, 8, true);
        break;
    default:
        deliver(input, 4, false);
    }
}

/* Between two turns. */
static void check_rest(void)
{
    const struct weir_reader *reader = feed_reader(&run.feed);
    bool receiving = run.feed.transport.receiving;
    if (run.calling)
        fuzz_check(judge(&run.call).result == WAITS);
    if (run.calling && !reader->held)
        fuzz_check(receiving);
    if (reader->held)
        fuzz_check(!receiving);
    fuzz_check(weir_is_reading(reader) == (receiving && !run.feed.ended));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct weir_loop *loop = fuzz_loop();
    uint64_t segments = fuzz_segments();
    run = (struct run){ .input = { bytes, bytes + size } };
    feed_open(&run.feed, 1 + input_below(&run.input, 64));
    fuzz_check(task_start(loop, read_all, NULL) != NULL);
    fuzz_settle();
    while (!run.done) {
        if (input_left(&run.input) == 0 || run.delivered > DELIVERED) {
            feed_end(&run.feed, 0);
            fuzz_pass_time(1);
        } else {
            happen(&run.input);
        }
        fuzz_settle();
        if (!run.done)
            check_rest();
    }
    check_lent();
    for (unsigned i = 0; i < KEPT; i++)
        drop_kept(&run.kept[i]);
    feed_close(&run.feed);
    fuzz_check(fuzz_segments() == segments);
    fuzz_check(loop->tasks == 0 && loop->timers.first == NULL);
    return 0;
}
