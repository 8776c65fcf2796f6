/* Flows: patterns, writes, what is promised, and how an error is judged. Reads are in read.c. */
#include "flow.h"

/* ---- The pattern ----------------------------------------------------------------------------- */

/* No short period, so that a lost, doubled or swapped piece shows. */
static char pattern(unsigned id, size_t offset)
{
    uint64_t word = ((uint64_t)id << 40 | offset / 8) * UINT64_C(0x9e3779b97f4a7c15);
    word ^= word >> 29;
    word *= UINT64_C(0xbf58476d1ce4e5b9);
    word ^= word >> 32;
    return (char)(word >> offset % 8 * 8);
}

void flow_fill(const struct flow *flow, size_t offset, char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(flow->id, offset + i);
}

void flow_check(struct flow *flow, const char *data, size_t size)
{
    if (size > flow->written - flow->read)
        weir_sim_fail("flow %u: %zu bytes read, of %zu written", flow->id, flow->read + size,
                      flow->written);
    for (size_t i = 0; i < size; i++) {
        if (data[i] != pattern(flow->id, flow->read + i))
            weir_sim_fail("flow %u: byte %zu is wrong", flow->id, flow->read + i);
    }
    weir_sim_check(!flow->eof);
    flow->read += size;
}

/* The end of a stream is told from its loss: who has seen an end, whose writer was not told of a
 * failure, has seen all. Without any fault, each flow comes to its end. */
void flow_finish(const struct flow *flow)
{
    if (!flow->begun || flow->disturbed)
        return;
    bool faultless = weir_sim_faults() == 0;
    bool told = flow->write_error == 0 && (!flow->unwatched || faultless);
    if (flow->eof && flow->ended && told && flow->read != flow->written)
        weir_sim_fail("flow %u: ended after %zu bytes of %zu, and nobody was told", flow->id,
                      flow->read, flow->written);
    if (faultless && !(flow->ended && flow->eof))
        weir_sim_fail("flow %u: has not ended (ended %d, eof %d)", flow->id, flow->ended,
                      flow->eof);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

int excuse(const struct flow *flow, ssize_t error, const char *what)
{
    if (error >= 0)
        return (int)error;
    static const int never[] = { EBADF, EINVAL, EBUSY, EPERM, EFAULT, ENOTSOCK, EOPNOTSUPP };
    bool slow = flow != NULL && flow->patient_until != 0 && weir_sim_now() > flow->patient_until;
    bool legal = weir_sim_faults() > 0 || slow || (flow != NULL && flow->disturbed);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        legal = legal && error != -never[i];
    if (!legal)
        weir_sim_fail("flow %u: %s: %zd: %s", flow != NULL ? flow->id : 0, what, error,
                      weir_strerror(error));
    return (int)error;
}

int nap(unsigned most, const char *tag)
{
    return most > 0 ? weir_sleep(weir_sim_choose(10 * most, tag) * WEIR_MILLISECOND / 10) : 0;
}

/* Want of memory passes: the call has done nothing, and may be made again. */
static bool try_again(struct end *end, int error)
{
    if (error != -ENOMEM || weir_exception(end->reader) != 0 || end->patience == 100)
        return false;
    excuse(end->out, error, "write");
    end->patience++;
    return weir_sleep(WEIR_MILLISECOND) == 0;
}

/* A cancel is the task's, not the stream's. What fails for want of memory is not the stream's,
 * either, and what was ended by it never counts as ended. */
static int write_failed(struct end *end, int error, const char *what)
{
    if (weir_exception(end->reader) != 0 && end->out->write_error == 0)
        end->out->write_error = weir_exception(end->reader);
    return error == -ECANCELED ? error : excuse(end->out, error, what);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int write_somehow(struct weir_writer *writer, const char *data, size_t size)
{
    size_t third = size / 3;
    struct weir_slice parts[] = { { .data = data, .size = third },
                                  { .data = data + third, .size = 0 },
                                  { .data = data + third, .size = size - third } };
    switch (weir_sim_choose(4, "how to write")) {
    case 1:
        return weir_writelines(writer, parts, 3);
    case 2:
        return weir_write_slice(writer, (struct weir_slice){ .data = data, .size = size });
    case 3:
        return weir_write_all(writer, data, size);
    default:
        return weir_write(writer, data, size);
    }
}

/* A writer that drains keeps its queue below the high mark and one chunk; and if it has to wait, it
 * does so for the low one. Over TLS what is sealed meanwhile is a little more than what was queued. */
static int drain(struct end *end)
{
    size_t high, low, before = weir_get_write_buffer_size(end->writer);
    weir_get_write_buffer_limits(end->writer, &high, &low);
    size_t seals = weir_get_extra_info(end->writer, "version") != NULL ? SEALS : 0;
    if (end->drained)
        weir_sim_check(before <= high + seals + LONGEST);
    int rc = weir_drain(end->writer);
    size_t queued = weir_get_write_buffer_size(end->writer);
    size_t mark = before > high + seals ? low : high;
    end->drained = rc == 0;
    if (rc == 0 && queued > mark + seals)
        weir_sim_fail("flow %u: %zu bytes are queued after a drain, of %zu, and the mark is %zu",
                      end->out->id, queued, before, mark);
    return rc;
}

static int write_once(struct end *end, const char *data, size_t size)
{
    struct weir_timeout timeout;
    bool hurried = end->hasty && weir_sim_choose(2, "a hasty write") == 1;
    if (hurried)
        weir_timeout_start(&timeout, weir_sim_choose(20, "how hasty") * WEIR_MILLISECOND / 10);
    end->out->written += size;
    int rc = write_somehow(end->writer, data, size);
    if (rc == -ENOMEM && weir_exception(end->reader) == 0)
        end->out->written -= size;
    if (rc == 0)
        rc = drain(end);
    if (hurried)
        rc = (int)weir_timeout_stop(&timeout, rc);
    if (rc < 0)
        end->drained = false;
    return rc == -ETIMEDOUT && hurried && weir_exception(end->reader) == 0 ? 0 : rc;
}

int end_write(struct end *end, size_t size)
{
    char data[LONGEST];
    size_t before = end->out->written;
    flow_fill(end->out, before, data, size);
    int rc;
    do {
        rc = write_once(end, data, size);
    } while (end->out->written == before && try_again(end, rc));
    memset(data, '!', size); /* nobody may look at it any more */
    return rc < 0 ? write_failed(end, rc, "write") : 0;
}

int end_put(struct end *end, const void *data, size_t size)
{
    int rc;
    do {
        rc = weir_write(end->writer, data, size);
    } while (try_again(end, rc));
    if (rc == 0)
        rc = weir_drain(end->writer);
    return rc < 0 ? write_failed(end, rc, "put") : 0;
}

int end_finish(struct end *end)
{
    int rc = weir_write_eof(end->writer);
    if (rc < 0)
        return write_failed(end, rc, "write_eof");
    weir_sim_check(weir_write(end->writer, "!", 1) < 0);
    end->out->ended = true;
    return 0;
}

/* ---- Both directions ------------------------------------------------------------------------- */

static int write_all(void *argument)
{
    struct end *end = argument;
    int rc = 0;
    if (end->out->ended)
        return 0;
    while (rc == 0 && end->total > 0) {
        size_t size = LONGEST - weir_sim_choose(LONGEST, "how much to write");
        if (size > end->total)
            size = end->total;
        rc = end_write(end, size);
        end->total -= size;
        if (rc == 0 && weir_sim_choose(4, "whether to pause") == 3)
            rc = nap(end->slow, "pause of a writer");
    }
    return rc < 0 ? rc : end_finish(end);
}

int end_read_all(struct end *end)
{
    struct weir_slice data;
    ssize_t n = 0;
    while (!end->in->eof && (n = end_read(end, &data)) > 0) {
        int rc = nap(end->slow, "pause of a reader");
        if (rc < 0)
            return rc;
    }
    return (int)n;
}

int end_exchange(struct end *end)
{
    struct weir_group group = { 0 };
    int rc = excuse(end->out, weir_group_start(&group, write_all, end), "group_start");
    if (rc == 0) {
        rc = end_read_all(end);
        if (rc < 0 && rc != -ECANCELED)
            weir_group_cancel(&group);
        int written = weir_group_wait(&group);
        rc = rc < 0 ? rc : written;
    }
    weir_sim_note("flow %u: the exchange has ended with %d, %zu bytes read, %zu written",
                  end->out->id, rc, end->in->read, end->out->written);
    if (rc < 0 && rc != -ECANCELED) {
        end_break(end);
        weir_abort(end->writer);
    }
    return rc;
}

/* ---- The end --------------------------------------------------------------------------------- */

void end_break(struct end *end)
{
    end->in->disturbed = end->out->disturbed = true;
}

/* A cancelled task does not learn how its stream ends. */
int end_close(struct end *end)
{
    weir_sim_note("flow %u: close", end->out->id);
    int rc = weir_wait_closed(end->writer);
    if (rc == -ECANCELED)
        end->out->unwatched = true;
    else if (rc < 0 && end->out->write_error == 0)
        end->out->write_error = rc;
    return rc == -ECANCELED ? rc : excuse(end->out, rc, "wait_closed");
}
