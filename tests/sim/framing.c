/* Framing: a text that both sides know, cut anywhere on its way, and read under a small limit by
 * every function that looks for an end. What each must return follows from the text alone. */
#include "scenarios.h"
#include "scene.h"

enum { TEXT = 250, SEPARATORS = 3 };

static struct {
    char text[TEXT];
    size_t size;
    size_t limit;  /* of its readers */
    unsigned most; /* bytes that its writer writes at once */
} script;

/* One call, and what must come of it if all of the text comes. */
struct question {
    enum kind { UNTIL, LINE, EXACTLY, SOME, INTO, KINDS } kind;
    struct weir_slice separators[SEPARATORS];
    size_t count;       /* of them */
    size_t size;        /* to be read, of the other kinds */
    size_t from;        /* where in the text it begins */
    size_t end, length; /* of the separator that ends it; 0: there is none */
};

/* ---- The text, and the writer ---------------------------------------------------------------- */

/* Separators are frequent, and often nearly there. */
static void write_script(void)
{
    unsigned letters = 3 + weir_sim_choose(5, "how many letters");
    memset(&script, 0, sizeof script);
    script.limit = 1 + weir_sim_choose(16, "limit");
    script.most = 1 + weir_sim_choose(24, "how much is written at once");
    script.size = TEXT - weir_sim_choose(TEXT, "how much is missing");
    for (size_t i = 0; i < script.size; i++)
        script.text[i] = "a\nb\rcdef"[weir_sim_choose(letters, "a letter")];
}

static void read_out(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    struct end end;
    size_t at = 0;
    (void)unused;
    if (talk_accept(reader, writer, &end, NULL) < 0)
        return;
    int rc = 0;
    while (rc == 0 && at < script.size) {
        size_t size = 1 + weir_sim_choose(script.most, "how much to write");
        if (size > script.size - at)
            size = script.size - at;
        end.out->written += size;
        rc = end_put(&end, script.text + at, size);
        at += size;
        if (rc == 0 && weir_sim_choose(2, "whether to pause") == 1)
            rc = nap(2, "pause of a writer");
    }
    if (rc == 0)
        rc = end_finish(&end);
    if (rc == 0)
        rc = end_read_all(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(writer);
    }
    end_close(&end);
}

/* ---- What must come -------------------------------------------------------------------------- */

static bool ends_at(size_t from, size_t end, struct weir_slice separator)
{
    return end - from >= separator.size &&
           memcmp(script.text + end - separator.size, separator.data, separator.size) == 0;
}

/* The first end, and of those that end there the shortest. */
static void look_ahead(struct question *question)
{
    question->length = 0;
    for (size_t end = question->from + 1; question->length == 0 && end <= script.size; end++) {
        for (size_t i = 0; i < question->count; i++) {
            size_t size = question->separators[i].size;
            if (ends_at(question->from, end, question->separators[i]) &&
                (question->length == 0 || size < question->length))
                question->length = size;
        }
        question->end = end;
    }
}

static void some_question(struct question *question, size_t from)
{
    static const char *const known[] = { "\n", "\r\n", "b", "ab", "aab", "\ra\r" };
    *question = (struct question){ .from = from, .count = 1 };
    question->kind = weir_sim_choose(2, "whether to look for an end") == 0
                         ? LINE - weir_sim_choose(2, "what end")
                         : EXACTLY + weir_sim_choose(KINDS - EXACTLY, "how to read");
    question->size = 1 + weir_sim_choose(20, "how much to read");
    question->separators[0] = (struct weir_slice){ .data = "\n", .size = 1 };
    if (question->kind == UNTIL)
        question->count = 1 + weir_sim_choose(SEPARATORS, "how many separators");
    for (size_t i = 0; question->kind == UNTIL && i < question->count; i++) {
        const char *one = known[weir_sim_choose(6, "a separator")];
        question->separators[i] = (struct weir_slice){ .data = one, .size = strlen(one) };
    }
    look_ahead(question);
}

/* Nothing has been read, and what is said to hold no separator holds none. A rest that is too long
 * may be told so before its end is known. */
static void check_overrun(const struct question *question, size_t consumed)
{
    size_t end = question->length > 0 ? question->end - question->length : script.size;
    weir_sim_check(question->kind <= LINE);
    if (consumed <= script.limit || consumed > end - question->from)
        weir_sim_fail("%zu bytes are said to hold no separator: limit %zu, and %zu do", consumed,
                      script.limit, end - question->from);
}

/* The text ends here: for the reader, or for everybody. */
static void check_rest(const struct question *question, size_t size, struct weir_reader *reader)
{
    weir_sim_check(weir_at_eof(reader) || weir_exception(reader) != 0);
    if (question->from + size < script.size)
        weir_sim_check(weir_sim_faults() > 0);
    if (question->kind <= LINE && question->length > 0)
        weir_sim_check(question->from + size < question->end);
    else if (question->kind == EXACTLY)
        weir_sim_check(size < question->size);
    else
        weir_sim_check(question->kind <= LINE || size == 0);
}

static void check_size(const struct question *question, size_t size)
{
    size_t wanted = question->size;
    if (question->kind <= LINE) {
        wanted = question->end - question->from;
        weir_sim_check(question->length > 0 && wanted - question->length <= script.limit);
    }
    bool fewer = question->kind >= SOME && size > 0 && size < wanted;
    if (size != wanted && !fewer)
        weir_sim_fail("%zu bytes at %zu, and not %zu", size, question->from, wanted);
}

/* ---- The reader ------------------------------------------------------------------------------ */

static ssize_t ask(struct end *end, const struct question *question, struct weir_slice *ret_data)
{
    ssize_t n;
    switch (question->kind) {
    case UNTIL:
        if (question->count == 1 && weir_sim_choose(2, "whether there is only one") == 0)
            return weir_readuntil(end->reader, question->separators[0].data, ret_data);
        return weir_readuntil_any(end->reader, question->separators, question->count, ret_data);
    case LINE:
        return weir_readline(end->reader, ret_data);
    case EXACTLY:
        return weir_readexactly(end->reader, question->size, ret_data);
    case SOME:
        return weir_read(end->reader, question->size, ret_data);
    default:
        n = weir_read_into(end->reader, end->scratch, question->size);
        *ret_data = (struct weir_slice){ .data = end->scratch, .size = n > 0 ? (size_t)n : 0 };
        return n;
    }
}

/* In some of the calls there is hardly time. */
static ssize_t ask_in_haste(struct end *end, const struct question *question,
                            struct weir_slice *ret_data)
{
    struct weir_timeout timeout;
    if (weir_sim_choose(4, "a hasty read") < 3)
        return ask(end, question, ret_data);
    weir_timeout_start(&timeout, weir_sim_choose(10, "how hasty") * WEIR_MILLISECOND / 10);
    return weir_timeout_stop(&timeout, ask(end, question, ret_data));
}

static void check_answer(struct end *end, const struct question *question, ssize_t n,
                         struct weir_slice data)
{
    size_t left = script.size - question->from;
    if (data.size > left || memcmp(data.data, script.text + question->from, data.size) != 0)
        weir_sim_fail("not what is written at %zu", question->from);
    bool line = question->kind == LINE && (data.size == 0 || data.data[data.size - 1] != '\n');
    if (n == WEIR_INCOMPLETE || n == 0 || line)
        check_rest(question, data.size, end->reader);
    else
        check_size(question, data.size);
    weir_sim_check(n == WEIR_INCOMPLETE || (size_t)n == data.size);
    end->in->read += data.size;
    end->in->eof = n == WEIR_INCOMPLETE || n == 0 || line;
}

/* 1: to be asked again, or something else instead. */
static int pass_over(struct end *end, const struct question *question)
{
    size_t consumed = weir_overrun(end->reader);
    struct question none = { .kind = EXACTLY, .size = consumed, .from = question->from };
    struct weir_slice data;
    check_overrun(question, consumed);
    if (weir_sim_choose(2, "whether to pass over it") == 1)
        return 1;
    ssize_t n = weir_readexactly(end->reader, consumed, &data);
    if (n == (ssize_t)consumed)
        check_answer(end, &none, n, data);
    return n < 0 && n != -ENOMEM ? (int)n : 1;
}

static int read_text(struct end *end)
{
    struct question question;
    struct weir_slice data = { 0 };
    ssize_t n = 1;
    while (!end->in->eof) {
        some_question(&question, end->in->read);
        n = ask_in_haste(end, &question, &data);
        if (n == WEIR_LIMIT_OVERRUN)
            n = pass_over(end, &question);
        else if (n >= 0 || n == WEIR_INCOMPLETE)
            check_answer(end, &question, n, data);
        bool again = n == -ETIMEDOUT || (n == -ENOMEM && end->patience++ < 100);
        if (n < 0 && n != WEIR_INCOMPLETE && (weir_exception(end->reader) != 0 || !again))
            return n == -ECANCELED ? (int)n : excuse(end->in, n, "read");
        if (n == -ENOMEM && weir_sleep(WEIR_MILLISECOND) < 0)
            return -ECANCELED;
    }
    return 0;
}

static int framing_client(void *argument)
{
    struct end end;
    struct weir_connect_options options = { .limit = script.limit };
    int rc = talk_connect(argument, &end, &options);
    if (rc < 0)
        return rc;
    rc = read_text(&end);
    if (rc == 0)
        rc = end_finish(&end);
    if (rc < 0) {
        end_break(&end);
        weir_abort(end.writer);
    }
    int closed = end_close(&end);
    return rc < 0 ? rc : closed;
}

int scenario_framing(void *unused)
{
    (void)unused;
    write_script();
    scene_begin(framing_client);
    if (scene_serve(read_out, NULL) < 0)
        return 0;
    scene_clients(3 + weir_sim_choose(6, "how many clients"));
    return scene_end();
}
