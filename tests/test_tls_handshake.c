/* TLS handshakes that go wrong, byte by byte: flights of a real one that come in pieces, cut off,
 * changed, doubled or out of order, in both roles of weir's and in both versions. */
#include <stdlib.h>
#include <sys/socket.h>

#include "tls_peer.h"

TestSuite(tls_handshake, .timeout = 30);

/* ---- Flights, and what is done to them --------------------------------------------------------*/

struct change {
    int flight; /* of the peer's */
    size_t at;
    bool reached; /* there is such a place */
};

static struct tls_setup setup_of(enum tls_role role, int version)
{
    struct tls_setup setup = { .role = role, .version = version };
    setup.weir.no_session_tickets = true; /* each handshake is a full one */
    return setup;
}

/* The change to be made now, or NULL if it is not this flight that is to be changed. */
static struct change *change_now(struct tls_pair *tls)
{
    struct change *change = (struct change *)tls->argument;
    return tls->flight == change->flight ? change : NULL;
}

/* Each of the flights that a handshake has, as a test of its own. The last that a client of TLS 1.3
 * waits for is the first of its server. */
#define FlightTests(name, function)                                                                \
    TlsTest(tls_handshake, name##_server_hello_1_3)                                                \
    {                                                                                              \
        return function(WEIR_CLIENT, WEIR_TLS_1_3, 0);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_client_hello_1_3)                                                \
    {                                                                                              \
        return function(WEIR_SERVER, WEIR_TLS_1_3, 0);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_client_finished_1_3)                                             \
    {                                                                                              \
        return function(WEIR_SERVER, WEIR_TLS_1_3, 1);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_server_hello_1_2)                                                \
    {                                                                                              \
        return function(WEIR_CLIENT, WEIR_TLS_1_2, 0);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_server_finished_1_2)                                             \
    {                                                                                              \
        return function(WEIR_CLIENT, WEIR_TLS_1_2, 1);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_client_hello_1_2)                                                \
    {                                                                                              \
        return function(WEIR_SERVER, WEIR_TLS_1_2, 0);                                             \
    }                                                                                              \
    TlsTest(tls_handshake, name##_client_finished_1_2)                                             \
    {                                                                                              \
        return function(WEIR_SERVER, WEIR_TLS_1_2, 1);                                             \
    }

/* ---- In two pieces: works, wherever the cut is ------------------------------------------------*/

static void send_first_piece(struct tls_pair *tls)
{
    struct change *change = change_now(tls);
    if (change == NULL || change->at >= tls->out.size)
        return;
    change->reached = true;
    tls_peer_send_bytes(tls, tls->out.data, change->at);
    bytes_remove(&tls->out, 0, change->at); /* the rest follows */
}

static int split(enum tls_role role, int version, int flight)
{
    struct tls_setup setup = setup_of(role, version);
    struct tls_pair tls;
    tls_pair_prepare(&tls, &setup);
    struct change change = { .flight = flight, .reached = true };
    tls.tamper = send_first_piece;
    tls.argument = &change;
    while (change.reached) {
        change.at++;
        change.reached = false;
        tls_pair_connect(&tls);
        int rc = tls_pair_handshake(&tls);
        cr_assert(eq(int, rc, 0), "cut at %zu: %s", change.at, weir_strerror(rc));
        cr_assert(tls.established);
        tls_pair_finish(&tls);
    }
    cr_assert(gt(sz, change.at, 40), "the flight had only %zu bytes", change.at);
    tls_pair_free(&tls);
    return 0;
}

FlightTests(split, split);

/* ---- Cut off ----------------------------------------------------------------------------------*/

/* The places, in the flight, where it is cut off: behind the first byte, amid, before the last. */
enum { CUTS = 3 };

static void send_the_beginning(struct tls_pair *tls)
{
    struct change *change = change_now(tls);
    if (change == NULL)
        return;
    size_t cuts[CUTS] = { 1, tls->out.size / 2, tls->out.size - 1 };
    change->reached = true;
    tls->out.size = cuts[change->at];
}

static void send_the_beginning_and_end(struct tls_pair *tls)
{
    send_the_beginning(tls);
    if (change_now(tls) == NULL)
        return;
    tls_peer_send(tls);
    shutdown(tls->pair.peer, SHUT_WR);
}

static void cut_off(const struct tls_setup *setup, int flight, void (*tamper)(struct tls_pair *tls),
                    int error)
{
    struct tls_pair tls;
    tls_pair_prepare(&tls, setup);
    tls.tamper = tamper;
    for (size_t cut = 0; cut < CUTS; cut++) {
        struct change change = { flight, cut, false };
        tls.argument = &change;
        tls_pair_connect(&tls);
        expect_result(tls_pair_handshake(&tls), error);
        cr_assert(change.reached);
        tls_pair_disconnect(&tls, error);
    }
    tls_pair_free(&tls);
}

static int end_inside(enum tls_role role, int version, int flight)
{
    struct tls_setup setup = setup_of(role, version);
    cut_off(&setup, flight, send_the_beginning_and_end, -ECONNRESET);
    return 0;
}

FlightTests(end_inside, end_inside);

static int stall_inside(enum tls_role role, int version, int flight)
{
    struct tls_setup setup = setup_of(role, version);
    setup.start.tls_handshake_timeout = 150 * WEIR_MILLISECOND;
    cut_off(&setup, flight, send_the_beginning, -ETIMEDOUT);
    return 0;
}

FlightTests(stall_inside, stall_inside);

/* ---- Changed: an error, never a success, and never to wait for ever ---------------------------*/

enum { STRIDE = 5 };

/* The version in the header of a record in plain text means nothing (RFC 8446, 5.1). */
static bool is_ignored(const struct bytes *flight, size_t at)
{
    size_t begin = 0;
    for (size_t record = 0; record_offset(flight, record) <= at; record++)
        begin = record_offset(flight, record);
    return flight->data[begin] == HANDSHAKE && (at == begin + 1 || at == begin + 2);
}

static void flip_a_bit(struct tls_pair *tls)
{
    struct change *change = change_now(tls);
    if (change == NULL || change->at >= tls->out.size)
        return;
    change->reached = true;
    while (is_ignored(&tls->out, change->at))
        change->at++;
    tls->out.data[change->at] ^= (unsigned char)(1u << change->at % 8);
}

/* With a bit flipped the handshake may want more than comes: then the peer ends. */
static int flip(enum tls_role role, int version, int flight)
{
    struct tls_setup setup = setup_of(role, version);
    struct tls_pair tls;
    tls_pair_prepare(&tls, &setup);
    struct change change = { .flight = flight, .reached = true };
    tls.tamper = flip_a_bit;
    tls.impatient = true;
    tls.argument = &change;
    while (change.reached) {
        change.reached = false;
        tls_pair_connect(&tls);
        int rc = tls_pair_handshake(&tls);
        if (change.reached) {
            cr_assert(lt(int, rc, 0), "succeeded with a bit flipped in byte %zu", change.at);
            cr_assert(ne(int, rc, -ETIMEDOUT), "waited with a bit flipped in byte %zu", change.at);
            tls_pair_disconnect(&tls, rc);
            change.at += STRIDE;
        }
    }
    tls_pair_finish(&tls); /* the last time it was left as it is */
    cr_assert(gt(sz, change.at, 40), "the flight had only %zu bytes", change.at);
    tls_pair_free(&tls);
    return 0;
}

FlightTests(flip, flip);

/* ---- Whole records, doubled or out of order ---------------------------------------------------*/

enum { RECORDS = 16 };

static size_t record_count(const struct bytes *bytes)
{
    size_t count = 0;
    while (record_offset(bytes, count) < bytes->size)
        count++;
    return count;
}

/* The flight anew, of its records in this order. */
static void rearrange(struct tls_pair *tls, const size_t order[], size_t count)
{
    struct bytes changed = { 0 };
    for (size_t i = 0; i < count; i++) {
        size_t begin = record_offset(&tls->out, order[i]);
        size_t end = record_offset(&tls->out, order[i] + 1);
        bytes_append(&changed, tls->out.data + begin, end - begin);
    }
    free(tls->out.data);
    tls->out = changed;
}

/* ChangeCipherSpec means nothing in TLS 1.3, and need not come. */
static void leave_out_idle(struct tls_pair *tls)
{
    size_t order[RECORDS], count = 0;
    for (size_t record = 0; record < record_count(&tls->out); record++)
        if (tls->out.data[record_offset(&tls->out, record)] != CHANGE_CIPHER_SPEC)
            order[count++] = record;
    rearrange(tls, order, count);
}

static void rearrange_at_change(struct tls_pair *tls, bool swap)
{
    struct change *change = change_now(tls);
    if (change == NULL)
        return;
    if (tls->setup.version != WEIR_TLS_1_2)
        leave_out_idle(tls);
    size_t order[RECORDS + 1], count = 0, records = record_count(&tls->out), at = change->at;
    cr_assert(le(sz, records, RECORDS));
    if (at + swap >= records)
        return;
    change->reached = true;
    for (size_t record = 0; record < records; record++) {
        order[count++] = record;
        if (record == at && !swap)
            order[count++] = record;
    }
    if (swap) {
        order[at] = at + 1;
        order[at + 1] = at;
    }
    rearrange(tls, order, count);
}

static void double_a_record(struct tls_pair *tls)
{
    rearrange_at_change(tls, false);
}

static void swap_two_records(struct tls_pair *tls)
{
    rearrange_at_change(tls, true);
}

/* What follows a handshake that was whole is refused when it is read. */
static int read_error(struct tls_pair *tls)
{
    struct weir_slice data;
    return (int)weir_read(tls->pair.reader, 1, &data);
}

static int each_record(enum tls_role role, int version, int flight,
                       void (*tamper)(struct tls_pair *tls))
{
    struct tls_setup setup = setup_of(role, version);
    struct tls_pair tls;
    tls_pair_prepare(&tls, &setup);
    struct change change = { .flight = flight };
    tls.tamper = tamper;
    tls.impatient = true;
    tls.argument = &change;
    do {
        change.reached = false;
        tls_pair_connect(&tls);
        int rc = tls_pair_handshake(&tls);
        if (change.reached) {
            rc = rc < 0 ? rc : read_error(&tls);
            cr_assert(lt(int, rc, 0), "succeeded with record %zu moved", change.at);
            cr_assert(ne(int, rc, -ETIMEDOUT), "waited with record %zu moved", change.at);
            tls_pair_disconnect(&tls, rc);
            change.at++;
        }
    } while (change.reached);
    cr_assert(gt(sz, change.at, 0), "the flight had no record to move");
    tls_pair_finish(&tls);
    tls_pair_free(&tls);
    return 0;
}

static int double_each_record(enum tls_role role, int version, int flight)
{
    return each_record(role, version, flight, double_a_record);
}

FlightTests(double, double_each_record);

TlsTest(tls_handshake, swap_server_hello_1_3)
{
    return each_record(WEIR_CLIENT, WEIR_TLS_1_3, 0, swap_two_records);
}

TlsTest(tls_handshake, swap_server_hello_1_2)
{
    return each_record(WEIR_CLIENT, WEIR_TLS_1_2, 0, swap_two_records);
}

TlsTest(tls_handshake, swap_server_finished_1_2)
{
    return each_record(WEIR_CLIENT, WEIR_TLS_1_2, 1, swap_two_records);
}

TlsTest(tls_handshake, swap_client_finished_1_2)
{
    return each_record(WEIR_SERVER, WEIR_TLS_1_2, 1, swap_two_records);
}

/* ---- The same messages in smaller and larger records ------------------------------------------*/

/* The messages of the flight that are in plain text, in records of that many bytes at most: of each
 * message for itself, or of all, as they come. */
struct fragmentation {
    size_t most;
    bool across;
};

static void refragment(struct tls_pair *tls)
{
    const struct fragmentation *wanted = tls->argument;
    struct bytes messages = { 0 }, changed = { 0 };
    size_t end = 0;
    if (tls->flight > 0)
        return;
    for (size_t record = 0; end < tls->out.size && tls->out.data[end] == HANDSHAKE; record++) {
        size_t begin = end + RECORD_HEAD;
        end = record_offset(&tls->out, record + 1);
        bytes_append(&messages, tls->out.data + begin, end - begin);
    }
    for (size_t at = 0, next = 0; at < messages.size;) {
        if (next == at)
            next += 4 + (size_t)(messages.data[at + 2] * 256 + messages.data[at + 3]);
        size_t left = (wanted->across ? messages.size : next) - at;
        size_t size = left < wanted->most ? left : wanted->most;
        record_append(&changed, HANDSHAKE, 0x0303, messages.data + at, size);
        at += size;
    }
    bytes_append(&changed, tls->out.data + end, tls->out.size - end);
    bytes_free(&messages);
    free(tls->out.data);
    tls->out = changed;
}

static int fragments(enum tls_role role, int version, const struct fragmentation *wanted, int error)
{
    struct tls_setup setup = setup_of(role, version);
    struct tls_pair tls;
    tls_pair_prepare(&tls, &setup);
    tls_pair_connect(&tls);
    tls.tamper = refragment;
    tls.argument = wanted;
    expect_result(tls_pair_handshake(&tls), error);
    if (error == 0)
        tls_pair_close(&tls);
    else
        tls_pair_end(&tls, error);
    return 0;
}

#define FragmentTest(name, role, version, error, ...)                                              \
    TlsTest(tls_handshake, name)                                                                   \
    {                                                                                              \
        return fragments(role, version, &(struct fragmentation){ __VA_ARGS__ }, error);            \
    }
#define FragmentTests(name, error, ...)                                                            \
    FragmentTest(name##_server_hello_1_3, WEIR_CLIENT, WEIR_TLS_1_3, error, __VA_ARGS__);          \
    FragmentTest(name##_client_hello_1_3, WEIR_SERVER, WEIR_TLS_1_3, error, __VA_ARGS__);          \
    FragmentTest(name##_server_hello_1_2, WEIR_CLIENT, WEIR_TLS_1_2, error, __VA_ARGS__);          \
    FragmentTest(name##_client_hello_1_2, WEIR_SERVER, WEIR_TLS_1_2, error, __VA_ARGS__)

FragmentTests(records_of_5_bytes, 0, .most = 5);
FragmentTests(records_of_64_bytes, 0, .most = 64);
FragmentTests(one_record, 0, .most = RECORD_MOST, .across = true);

/* wolfSSL refuses a message whose own header is in pieces: nobody sends that but to test. */
FragmentTests(records_of_1_byte, WEIR_TLS_HANDSHAKE, .most = 1);
