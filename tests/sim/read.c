/* The reading of flows, by every function that reads, and what each promises of its result. */
#include "flow.h"

/* ---- One call -------------------------------------------------------------------------------- */

static void check_separated(const struct weir_slice *data, char separator, bool at_end)
{
    const char *found = memchr(data->data, separator, data->size);
    if (found == NULL)
        weir_sim_check(at_end);
    else
        weir_sim_check(found == data->data + data->size - 1);
}

/* What comes before the limit holds no separator, and can be passed over. */
static ssize_t pass_over(struct weir_reader *reader, char separator, struct weir_slice *ret_data)
{
    size_t size = weir_overrun(reader);
    ssize_t n =
        size > 0 ? weir_readexactly(reader, size, ret_data) : weir_read(reader, 1, ret_data);
    if (n > 0 && size > 0)
        weir_sim_check(memchr(ret_data->data, separator, ret_data->size) == NULL);
    return n;
}

static ssize_t read_line(struct weir_reader *reader, struct weir_slice *ret_data)
{
    ssize_t n = weir_readline(reader, ret_data);
    if (n == WEIR_LIMIT_OVERRUN)
        return pass_over(reader, '\n', ret_data);
    if (n > 0)
        check_separated(ret_data, '\n', weir_at_eof(reader));
    return n;
}

static ssize_t read_until(struct weir_reader *reader, struct weir_slice *ret_data)
{
    ssize_t n = weir_readuntil(reader, "a", ret_data);
    if (n == WEIR_LIMIT_OVERRUN)
        return pass_over(reader, 'a', ret_data);
    if (n > 0 || n == WEIR_INCOMPLETE)
        check_separated(ret_data, 'a', n == WEIR_INCOMPLETE);
    return n;
}

static ssize_t read_until_any(struct weir_reader *reader, struct weir_slice *ret_data)
{
    static const struct weir_slice separators[] = { { .data = "ab", .size = 2 },
                                                    { .data = "b", .size = 1 },
                                                    { .data = "\0\n\1", .size = 3 } };
    ssize_t n = weir_readuntil_any(reader, separators, 3, ret_data);
    if (n == WEIR_LIMIT_OVERRUN)
        return pass_over(reader, 'b', ret_data);
    return n;
}

static ssize_t read_somehow(struct end *end, struct weir_slice *ret_data)
{
    size_t size = LONGEST - weir_sim_choose(LONGEST, "how much to read");
    ssize_t n;
    switch (weir_sim_choose(6, "how to read")) {
    case 1:
        return weir_readexactly(end->reader, size, ret_data);
    case 2:
        return read_line(end->reader, ret_data);
    case 3:
        return read_until(end->reader, ret_data);
    case 4:
        return read_until_any(end->reader, ret_data);
    case 5:
        n = weir_read_into(end->reader, end->scratch, size);
        *ret_data = (struct weir_slice){ .data = end->scratch, .size = n > 0 ? (size_t)n : 0 };
        return n;
    default:
        return weir_read(end->reader, size, ret_data);
    }
}

static ssize_t read_once(struct end *end, bool *ret_hurried, struct weir_slice *ret_data)
{
    struct weir_timeout timeout;
    *ret_hurried = end->hasty && weir_sim_choose(2, "a hasty read") == 1;
    if (!*ret_hurried)
        return read_somehow(end, ret_data);
    weir_timeout_start(&timeout, weir_sim_choose(20, "how hasty") * WEIR_MILLISECOND / 10);
    return weir_timeout_stop(&timeout, read_somehow(end, ret_data));
}

/* ---- What may come instead of data ----------------------------------------------------------- */

/* The end comes once, and stays. Only a failure, of the other direction, may still follow. */
static ssize_t see_end(struct end *end)
{
    struct weir_slice data;
    weir_sim_check(weir_at_eof(end->reader) || weir_exception(end->reader) != 0);
    ssize_t again = weir_read(end->reader, 1, &data);
    weir_sim_check(again == 0 || again == -ECANCELED || again == -ETIMEDOUT ||
                   (again < 0 && again == weir_exception(end->reader)));
    end->in->eof = true;
    return 0;
}

/* A failure is delivered after what was received before it, is never taken back, and is the same
 * for every function. */
static ssize_t see_failure(struct end *end, struct weir_slice *ret_data)
{
    ssize_t n = weir_read(end->reader, LONGEST, ret_data);
    if (n > 0 || n == -ECANCELED)
        return n;
    int error = weir_exception(end->reader);
    struct weir_slice none;
    if (n == -ETIMEDOUT && error != -ETIMEDOUT)
        return n;
    weir_sim_check(n == error);
    ssize_t again = weir_readexactly(end->reader, 1, &none);
    weir_sim_check(again == error || again == -ECANCELED || again == -ETIMEDOUT);
    weir_sim_check(weir_write(end->writer, "!", 1) == error);
    weir_sim_check(!weir_at_eof(end->reader) && weir_is_closing(end->writer));
    end->in->read_error = error;
    return excuse(end->in, error, "read");
}

/* Its own time limit, or want of memory: nothing has been taken, and it may try again. */
static bool try_again(struct end *end, ssize_t error, bool hurried)
{
    if (error == -ETIMEDOUT && hurried)
        return true;
    if (error != -ENOMEM || end->patience == 100)
        return false;
    excuse(end->in, error, "read");
    end->patience++;
    return weir_sleep(WEIR_MILLISECOND) == 0;
}

ssize_t end_read(struct end *end, struct weir_slice *ret_data)
{
    for (;;) {
        bool hurried;
        ssize_t n = read_once(end, &hurried, ret_data);
        if (n == WEIR_INCOMPLETE)
            n = (ssize_t)ret_data->size;
        if (n < 0 && n != -ECANCELED && weir_exception(end->reader) != 0)
            n = see_failure(end, ret_data);
        if (n > 0) {
            flow_check(end->in, ret_data->data, ret_data->size);
            return n;
        }
        if (n == 0)
            return see_end(end);
        if (n == -ECANCELED || weir_exception(end->reader) != 0)
            return n;
        if (!try_again(end, n, hurried))
            return excuse(end->in, n, "read");
    }
}

/* ---- Plain reads ----------------------------------------------------------------------------- */

static ssize_t plain_failed(struct end *end, ssize_t n)
{
    if (weir_exception(end->reader) != 0)
        end->in->read_error = weir_exception(end->reader);
    return n == -ECANCELED ? n : excuse(end->in, n, "read");
}

ssize_t end_exactly(struct end *end, size_t size, struct weir_slice *ret_data)
{
    ssize_t n;
    do {
        n = weir_readexactly(end->reader, size, ret_data);
    } while (n < 0 && weir_exception(end->reader) == 0 && try_again(end, n, false));
    if (n == WEIR_INCOMPLETE)
        return (ssize_t)ret_data->size;
    return n < 0 ? plain_failed(end, n) : n;
}

ssize_t end_line(struct end *end, struct weir_slice *ret_line)
{
    ssize_t n;
    do {
        n = weir_readline(end->reader, ret_line);
    } while (n < 0 && weir_exception(end->reader) == 0 && try_again(end, n, false));
    return n < 0 ? plain_failed(end, n) : n;
}
