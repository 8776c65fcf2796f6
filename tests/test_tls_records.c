/* After the handshake: records that were changed, lost or doubled, records of a wrong type or size,
 * and alerts; each crafted with the right keys. */
#include "tls_misbehave.h"

TestSuite(tls_records, .timeout = 30);

#define Case(name, call)                                                                           \
    TlsTest(tls_records, name)                                                                     \
    {                                                                                              \
        return call;                                                                               \
    }

/* ---- Changed, lost, doubled -------------------------------------------------------------------*/

static void changed(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "changed", 7, 0);
    tls->out.data[RECORD_HEAD + 8 + 3] ^= 1;
}
Refused(changed, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(changed, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void tag_changed(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "changed", 7, 0);
    tls->out.data[tls->out.size - 1] ^= 0x80;
}
Refused(tag_changed, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(tag_changed, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void replayed(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "", 0, 0);
    struct bytes copy = { 0 };
    bytes_append(&copy, tls->out.data, tls->out.size);
    bytes_append(&tls->out, copy.data, copy.size);
    bytes_free(&copy);
}
Refused(replayed, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(replayed, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void lost(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "lost", 4, 0);
    bytes_remove(&tls->out, 0, tls->out.size);
    tls_peer_craft(tls, APPLICATION_DATA, "kept", 4, 0);
}
Refused(lost, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(lost, WEIR_TLS_RECORD, BAD_RECORD_MAC);

/* Shorter than its tag. */
static void without_a_tag(struct tls_pair *tls)
{
    int type = APPLICATION_DATA;
    record_append(&tls->out, type, 0x0303, "too short", 9);
}
Refused(without_a_tag, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(without_a_tag, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void of_no_bytes(struct tls_pair *tls)
{
    record_append(&tls->out, APPLICATION_DATA, 0x0303, "", 0);
}
Refused(of_no_bytes, WEIR_TLS_RECORD, BAD_RECORD_MAC);
Refused12(of_no_bytes, WEIR_TLS_RECORD, BAD_RECORD_MAC);

/* ---- Of a wrong type or size ------------------------------------------------------------------*/

static void type_unknown(struct tls_pair *tls)
{
    tls_peer_craft(tls, 99, "what", 4, 0);
}
RefusedApart(type_unknown, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, NO_ALERT);
Refused12(type_unknown, WEIR_TLS_RECORD, BAD_RECORD_MAC);

/* Nothing but padding: there is no type. */
static void only_zeros(struct tls_pair *tls)
{
    tls_peer_craft(tls, 0, "\0\0\0\0", 4, 20);
}
RefusedApart(only_zeros, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, NO_ALERT);

static void outer_type_wrong(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "data", 4, 0);
    tls->out.data[0] = HANDSHAKE;
}
Refused(outer_type_wrong, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

static void in_plain_text(struct tls_pair *tls)
{
    record_append(&tls->out, ALERT, 0x0303, "\2\50", 2);
}
Refused(in_plain_text, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(in_plain_text, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void no_tls_any_more(struct tls_pair *tls)
{
    bytes_append(&tls->out, "GET / HTTP/1.1\r\n\r\n", 18);
}
RefusedApart(no_tls_any_more, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE, BAD_RECORD_MAC);
Refused12(no_tls_any_more, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void change_cipher_spec(struct tls_pair *tls)
{
    record_append(&tls->out, CHANGE_CIPHER_SPEC, 0x0303, "\1", 1);
}
Refused(change_cipher_spec, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(change_cipher_spec, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void change_cipher_spec_inside(struct tls_pair *tls)
{
    tls_peer_craft(tls, CHANGE_CIPHER_SPEC, "\1", 1, 0);
}
Refused(change_cipher_spec_inside, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(change_cipher_spec_inside, WEIR_TLS_RECORD, NO_ALERT);

static void too_much_data(struct tls_pair *tls)
{
    static char data[RECORD_MOST + 1];
    tls_peer_craft(tls, APPLICATION_DATA, data, sizeof data, 0);
}
Refused(too_much_data, WEIR_TLS_RECORD, RECORD_OVERFLOW);
Refused12(too_much_data, WEIR_TLS_RECORD, RECORD_OVERFLOW);

static void too_much_padding(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "data", 4, RECORD_MOST + 1 - 4);
}
Refused(too_much_padding, WEIR_TLS_RECORD, RECORD_OVERFLOW);

/* Of this one the header alone is enough to refuse it. */
static void too_long(struct tls_pair *tls)
{
    bytes_append(&tls->out, "\x17\3\3\x48\1", RECORD_HEAD);
}
RefusedApart(too_long, WEIR_TLS_RECORD, RECORD_OVERFLOW, BAD_RECORD_MAC);
Refused12(too_long, WEIR_TLS_RECORD, BAD_RECORD_MAC);

static void largest(struct tls_pair *tls)
{
    static char data[RECORD_MOST];
    struct weir_slice got;
    pattern_fill(data, 0, sizeof data);
    tls_peer_craft(tls, APPLICATION_DATA, data, sizeof data, 0);
    tls_peer_send(tls);
    expect_next(tls->pair.reader, "before");
    expect_result(weir_readexactly(tls->pair.reader, sizeof data, &got), sizeof data);
    expect_pattern(got.data, 0, sizeof data);
    tls_peer_feed(tls, "before");
}
Borne(largest);
Borne12(largest);

static void padded(struct tls_pair *tls)
{
    tls_peer_craft(tls, APPLICATION_DATA, "", 0, 300);
    tls_peer_craft(tls, APPLICATION_DATA, "", 0, RECORD_MOST);
}
Borne(padded);

/* ---- Alerts -----------------------------------------------------------------------------------*/

static void fatal_alert(struct tls_pair *tls)
{
    tls_peer_craft(tls, ALERT, "\2\50", 2, 0);
}
Refused(fatal_alert, WEIR_TLS_ALERT, NO_ALERT);
Refused12(fatal_alert, WEIR_TLS_ALERT, NO_ALERT);

static void empty_alert(struct tls_pair *tls)
{
    tls_peer_craft(tls, ALERT, "", 0, 0);
}
Refused(empty_alert, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

static void long_alert(struct tls_pair *tls)
{
    tls_peer_craft(tls, ALERT, "\1\0\0", 3, 0);
}
Refused(long_alert, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);
Refused12(long_alert, WEIR_TLS_RECORD, UNEXPECTED_MESSAGE);

/* user_canceled: a warning, that close_notify follows, or not. */
static void warning(struct tls_pair *tls)
{
    tls_peer_craft(tls, ALERT, "\1\132", 2, 0);
}
Borne(warning);
Borne12(warning);
