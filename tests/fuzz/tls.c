/* Target: TLS, from what comes off the wire on: transport/tls*.c and the engine of libweir-tls.
 *
 * The fuzzer's bytes are what happens to two ends of ours that shake hands and talk: which end gets
 * how much, and what is cut, flipped, dropped, repeated, exchanged or put in on the way; also
 * records that are protected as they should be, with any content. In another mode, they are what
 * one end gets.
 *
 * Whatever happens: nobody receives what was not sent, or an end that the peer has not made; both
 * agree on what was agreed; an untouched connection succeeds. */
#include "tls_ends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tls_inside.h"

enum { SERVERS = 4, CLIENTS = 6, STEPS = 200, RECORDS = 4, WRITTEN = 20000 };
enum { SERVER_ASKS = 2 };                                         /* for a certificate */
enum { CLIENT_SHOWS = 2, CLIENT_TRUSTS_ALL = 3, CLIENT_OLD = 4 }; /* and _OLD + 1 */

static struct weir_tls *servers[SERVERS], *clients[CLIENTS];

struct run {
    struct input input;
    struct end client, server;
    unsigned server_kind, client_kind;
    bool touched; /* the wire */
    size_t written;
};

/* ---- Contexts -------------------------------------------------------------------------------- */

static char *file(const char *name)
{
    const char *folder = getenv("FUZZ_CERTS");
    char *path;
    int size = asprintf(&path, "%s/%s", folder != NULL ? folder : "tests/sim/certs", name);
    fuzz_check(size > 0);
    return path;
}

static void make_contexts(void)
{
    static const char *const protocols[] = { "h2", "http/1.1", NULL };
    char *ca = file("ca.pem"), *certificate = file("server.pem"), *key = file("server.key");
    char *own = file("client.pem"), *own_key = file("client.key");
    for (unsigned i = 0; i < SERVERS; i++) {
        struct weir_tls_options options = { .certificate_file = certificate, .key_file = key };
        options.no_hardware_aes = i == 1;
        options.require_client_certificate = i == SERVER_ASKS;
        options.ca_file = i == SERVER_ASKS ? ca : NULL;
        options.alpn = i >= 2 ? protocols : NULL;
        options.no_session_tickets = i == 3;
        fuzz_check(weir_tls_server(&options, &servers[i]) == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct weir_tls_options options = { .ca_file = ca };
        options.no_hardware_aes = i == 1 || i == CLIENT_OLD + 1;
        options.certificate_file = i == CLIENT_SHOWS ? own : NULL;
        options.key_file = i == CLIENT_SHOWS ? own_key : NULL;
        options.alpn = i == CLIENT_SHOWS ? protocols + 1 : NULL;
        options.insecure_skip_verification = i == CLIENT_TRUSTS_ALL;
        if (i == CLIENT_TRUSTS_ALL)
            options.ca_file = NULL;
        fuzz_check(weir_tls_client(&options, &clients[i]) == 0);
        if (i >= CLIENT_OLD)
            inside_age(clients[i]);
    }
    free(ca), free(certificate), free(key), free(own), free(own_key);
}

/* What an input before has left. */
static void forget_sessions(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        inside_forget(clients[i]);
}

/* ---- What both must agree on ----------------------------------------------------------------- */

static bool same_info(const struct run *run, const char *name)
{
    const char *a = run->client.tls->ops->extra_info(run->client.tls, name);
    const char *b = run->server.tls->ops->extra_info(run->server.tls, name);
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void check_agreement(const struct run *run)
{
    const struct end *client = &run->client, *server = &run->server;
    end_check(client);
    end_check(server);
    if (!client->opened || !server->opened)
        return;
    const char *version = client->tls->ops->extra_info(client->tls, "version");
    fuzz_check(same_info(run, "version") && same_info(run, "cipher") && same_info(run, "alpn"));
    fuzz_check(strcmp(version, run->client_kind >= CLIENT_OLD ? "TLSv1.2" : "TLSv1.3") == 0);
    fuzz_check(run->server_kind != SERVER_ASKS || run->client_kind == CLIENT_SHOWS);
}

/* ---- What happens ---------------------------------------------------------------------------- */

static void touch(struct run *run, struct bytes *wire, struct input *input)
{
    size_t first = wire_record(wire), at = input_size(input);
    unsigned what = input_below(input, 8), value = input_byte(input);
    if (first == 0)
        return;
    run->touched = true;
    struct bytes record = { 0 };
    bytes_append(&record, wire->data, first);
    switch (what) {
    case 0:
    case 1:
        wire->data[at % first] ^= (uint8_t)(value != 0 ? value : 1);
        break;
    case 2: /* anywhere */
        wire->data[at % wire->size] = (uint8_t)value;
        break;
    case 3:
        bytes_drop(wire, 0, first);
        break;
    case 4: /* once more, at the end */
        bytes_append(wire, record.data, first);
        break;
    case 5: /* behind the others */
        bytes_drop(wire, 0, first);
        bytes_append(wire, record.data, first);
        break;
    case 6: /* some of it is lost */
        bytes_drop(wire, at % first, min_size(1 + value, first - at % first));
        break;
    default: /* one record in two, if its length is right */
        at = 1 + at % first;
        if (at + RECORD_HEADER >= first || record.data[0] == RECORD_DATA)
            break;
        size_t rest = first - RECORD_HEADER - at;
        struct bytes behind = { 0 };
        bytes_append(&behind, wire->data + RECORD_HEADER + at, wire->size - RECORD_HEADER - at);
        wire->size = RECORD_HEADER + at;
        wire->data[3] = (uint8_t)(at >> 8), wire->data[4] = (uint8_t)at;
        record.data[3] = (uint8_t)(rest >> 8), record.data[4] = (uint8_t)rest;
        bytes_append(wire, record.data, RECORD_HEADER);
        bytes_append(wire, behind.data, behind.size);
        bytes_free(&behind);
    }
    bytes_free(&record);
}

/* Behind what is on the wire; with a header that suits it, or none. */
static void put_in(struct run *run, struct end *end, struct input *input)
{
    unsigned type = input_byte(input);
    size_t size;
    const uint8_t *data = input_take(input, input_size(input), &size);
    uint8_t header[] = { (uint8_t)(type & 31), 3, 3, (uint8_t)(size >> 8), (uint8_t)size };
    run->touched = true;
    if (type & 32)
        bytes_append(&end->wire, header, sizeof header);
    bytes_append(&end->wire, data, size);
}

static void craft(struct run *run, struct end *end, struct input *input)
{
    unsigned type = input_byte(input);
    size_t size, padding = type & 32 ? input_size(input) : 0;
    const uint8_t *data = input_take(input, input_size(input), &size);
    run->touched = true;
    end_craft(end, type & 31, data, size, padding);
}

static void finish(struct end *end, bool whole)
{
    if (!end->opened || end->lost)
        return;
    if (whole || end->tls->can_finish) {
        end->may_end = true;
        (whole ? end->tls->ops->close : end->tls->ops->finish)(end->tls);
    }
    fuzz_settle();
}

static void break_off(struct run *run, struct end *end, struct input *input)
{
    static const int errors[] = { 0, -ECONNRESET, -EPIPE, -ETIMEDOUT };
    run->touched = true;
    end_break(end, errors[input_below(input, 4)]);
}

static void toggle(struct end *end)
{
    if (!end->lost)
        end->tls->ops->receive(end->tls, !end->tls->receiving);
    fuzz_settle();
}

static void write_some(struct run *run, struct end *end, struct input *input)
{
    size_t size = input_size(input);
    size *= size > 1024 ? 20 : 1;
    if (run->written < WRITTEN)
        end_write(end, size);
    run->written += size;
}

static void step(struct run *run)
{
    struct input *input = &run->input;
    unsigned what = input_byte(input);
    struct end *end = what & 1 ? &run->server : &run->client;
    switch (what >> 1 & 15) {
    case 0:
    case 1:
    case 2:
        end_deliver(end, wire_record(&end->peer->wire));
        break;
    case 3:
        end_deliver(end, SIZE_MAX);
        break;
    case 4:
        end_deliver(end, 1 + input_size(input));
        break;
    case 5:
    case 6:
        touch(run, &end->wire, input);
        break;
    case 7:
        put_in(run, end, input);
        break;
    case 8:
    case 9:
        craft(run, end, input);
        break;
    case 10:
        write_some(run, end, input);
        break;
    case 11:
        finish(end, what >> 5 & 1);
        break;
    case 12:
        fuzz_pass_time((1 + input_below(input, 64)) * WEIR_SECOND);
        run->touched = true;
        break;
    case 13:
        end->stalled = !end->stalled;
        break;
    case 14:
        toggle(end);
        break;
    default:
        break_off(run, end, input);
    }
    end_flush(&run->client);
    end_flush(&run->server);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* All that is on its way arrives. */
static void run_dry(struct run *run)
{
    struct end *ends[] = { &run->client, &run->server };
    for (unsigned i = 0; i < 2; i++) {
        ends[i]->stalled = false;
        if (!ends[i]->lost && !ends[i]->tls->receiving)
            toggle(ends[i]);
    }
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned i = 0; i < 2; i++) {
            end_flush(ends[i]);
            end_deliver(ends[i], SIZE_MAX);
        }
    }
}

static void check_untouched(const struct run *run)
{
    bool fits = run->server_kind != SERVER_ASKS || run->client_kind == CLIENT_SHOWS;
    const struct end *ends[] = { &run->client, &run->server };
    for (unsigned i = 0; i < 2 && fits && !run->touched; i++) {
        const struct end *end = ends[i];
        fuzz_check(end->opened && end->error == 0);
        bool cut = end->may_end; /* it has closed, and then takes no more */
        fuzz_check(cut || end->received.size == end->peer->sent.size);
        fuzz_check(cut || end->ended == end->peer->may_end);
    }
}

static void connect_ends(struct run *run)
{
    run->client = (struct end){ .peer = &run->server };
    run->server = (struct end){ .peer = &run->client };
    end_open(&run->client, clients[run->client_kind], "localhost");
    end_open(&run->server, servers[run->server_kind], NULL);
    end_flush(&run->client);
}

static void run_both(struct run *run)
{
    unsigned kinds = input_byte(&run->input), whole = kinds / (SERVERS * CLIENTS);
    run->server_kind = kinds % SERVERS;
    run->client_kind = kinds / SERVERS % CLIENTS;
    for (unsigned connection = 0; connection < 2; connection++) {
        connect_ends(run);
        run->touched = false;
        if (whole & 1 || connection > 0) /* the handshake succeeds first; the second resumes it */
            run_dry(run);
        for (unsigned i = 0; i < STEPS && input_left(&run->input) > 0; i++) {
            bool again = whole & 2 && connection == 0 && *run->input.at == 0xff;
            if (again)
                break;
            step(run);
            check_agreement(run);
        }
        run_dry(run);
        check_agreement(run);
        check_untouched(run);
        end_close(&run->client);
        end_close(&run->server);
        if (!(whole & 2))
            break;
    }
}

/* The bytes are what comes: in pieces of a size that the second says. */
static void run_raw(struct run *run)
{
    unsigned kind = input_byte(&run->input);
    size_t piece = 1 + input_size(&run->input);
    struct end *end = &run->client;
    *end = (struct end){ .peer = NULL };
    if (kind & 1)
        end_open(end, servers[kind / 2 % SERVERS], NULL);
    else
        end_open(end, clients[kind / 2 % CLIENTS], "localhost");
    end_flush(end);
    while (input_left(&run->input) > 0) {
        size_t size;
        const uint8_t *data = input_take(&run->input, piece, &size);
        end_receive(end, data, size);
        end_flush(end);
    }
    end_close(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct run run;
    chance_reset();
    if (servers[0] == NULL)
        make_contexts();
    forget_sessions();
    uint64_t segments = fuzz_segments();
    run = (struct run){ .input = { bytes, bytes + size } };
    if (input_below(&run.input, 4) == 3)
        run_raw(&run);
    else
        run_both(&run);
    fuzz_check(fuzz_segments() == segments);
    fuzz_check(fuzz_loop()->timers.first == NULL);
    return 0;
}
