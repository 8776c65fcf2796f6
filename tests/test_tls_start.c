/* weir_start_tls(): from plain text to TLS in the middle of a conversation, in both roles, after
 * asyncio's test_sslproto. What was said in plain text before stays before, and what is put in
 * between by somebody else never reaches the reader. */
#include <stdio.h>
#include <stdlib.h>

#include "tls_peer.h"

TestSuite(tls_start, .timeout = 30);

#define TICK (WEIR_MILLISECOND / 5)

static const struct tls_setup client = { .role = WEIR_CLIENT }, server = { .role = WEIR_SERVER };

/* ---- It works ---------------------------------------------------------------------------------*/

static int upgrade(const struct tls_setup *setup)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, setup);
    feed(&tls.pair, "plain to weir");
    expect_next(tls.pair.reader, "plain to weir");
    expect_result(weir_write(tls.pair.writer, "plain of weir", 13), 0);
    peer_expect(&tls.pair, "plain of weir");
    cr_assert(eq(ptr, (void *)weir_get_extra_info(tls.pair.writer, "version"), NULL));
    expect_result(tls_pair_handshake(&tls), 0);
    cr_assert(ne(ptr, (void *)weir_get_extra_info(tls.pair.writer, "version"), NULL));
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_start, as_client)
{
    return upgrade(&client);
}

TlsTest(tls_start, as_server)
{
    return upgrade(&server);
}

TlsTest(tls_start, as_client_1_2)
{
    return upgrade(&(struct tls_setup){ .role = WEIR_CLIENT, .version = WEIR_TLS_1_2 });
}

TlsTest(tls_start, as_server_1_2)
{
    return upgrade(&(struct tls_setup){ .role = WEIR_SERVER, .version = WEIR_TLS_1_2 });
}

TlsTest(tls_start, over_tcp)
{
    return upgrade(&(struct tls_setup){ .role = WEIR_CLIENT, .tcp = true });
}

static void put_command_before(struct tls_pair *tls)
{
    static const char command[] = "STARTTLS\r\n";
    struct bytes both = { 0 };
    struct weir_slice line;
    if (tls->flight > 0)
        return;
    bytes_append(&both, command, sizeof command - 1);
    bytes_append(&both, tls->out.data, tls->out.size);
    free(tls->out.data);
    tls->out = both;
    tls_peer_send(tls);
    expect_slice(weir_readline(tls->pair.reader, &line), line, command);
    tls_pair_start(tls);
}

/* The client's hello has come with its last command, and is the reader's when the upgrade begins:
 * as behind a proxy that says first whom it speaks for. */
static int hello_with_the_command(const struct tls_setup *setup)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, setup);
    tls_pair_negotiate(&tls);
    put_command_before(&tls);
    while (!tls.ended || !tls.established) {
        tls_pair_negotiate(&tls);
        tls_peer_send(&tls);
        cr_assert(eq(int, tls.error, 0));
        expect_result(weir_sleep(TICK), 0);
    }
    expect_result(tls_pair_result(&tls), 0);
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_start, hello_with_the_last_command)
{
    return hello_with_the_command(&server);
}

TlsTest(tls_start, hello_with_the_last_command_1_2)
{
    return hello_with_the_command(
        &(struct tls_setup){ .role = WEIR_SERVER, .version = WEIR_TLS_1_2 });
}

/* The peer is done with its last flight, and talks on in the same segment. */
static void put_data_behind(struct tls_pair *tls)
{
    if (!tls->established)
        return;
    cr_assert(eq(int, wolfSSL_write(tls->ssl, "at once", 7), 7));
    if (tls->argument != NULL)
        wolfSSL_shutdown(tls->ssl);
}

static int data_with_the_last_flight(const struct tls_setup *setup)
{
    struct tls_pair tls;
    tls_pair_open_plain(&tls, setup);
    tls.tamper = put_data_behind;
    expect_result(tls_pair_handshake(&tls), 0);
    expect_next(tls.pair.reader, "at once");
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

TlsTest(tls_start, data_with_the_last_flight_of_a_client)
{
    return data_with_the_last_flight(&server);
}

TlsTest(tls_start, data_with_the_last_flight_of_a_server_1_2)
{
    return data_with_the_last_flight(
        &(struct tls_setup){ .role = WEIR_CLIENT, .version = WEIR_TLS_1_2 });
}

/* And then it ends, too: what it has said is still read. */
TlsTest(tls_start, data_and_end_with_the_last_flight)
{
    struct tls_pair tls;
    struct weir_slice all;
    tls_pair_open_plain(&tls, &server);
    tls.tamper = put_data_behind;
    tls.argument = "and end";
    expect_result(tls_pair_handshake(&tls), 0);
    expect_slice(weir_read(tls.pair.reader, WEIR_UNTIL_EOF, &all), all, "at once");
    weir_close(tls.pair.writer);
    tls_peer_expect_end(&tls);
    tls_pair_end(&tls, 0);
    return 0;
}

/* What is queued leaves before, in plain text, also where the peer has not read it yet. */
TlsTest(tls_start, queued_plain_text_leaves_before)
{
    enum { SIZE = TINY ? 20 * 1000 : 200 * 1000 };
    struct tls_pair tls;
    char *data = malloc(SIZE);
    tls_pair_open_plain(&tls, &(struct tls_setup){ .role = WEIR_CLIENT, .narrow = true });
    pattern_fill(data, 0, SIZE);
    expect_result(weir_write(tls.pair.writer, data, SIZE), 0);
    tls_pair_start(&tls);
    settle();
    memset(data, 0, SIZE);
    peer_read(&tls.pair, data, SIZE);
    expect_pattern(data, 0, SIZE);
    free(data);
    char first;
    peer_read(&tls.pair, &first, 1);
    cr_assert(eq(int, first, HANDSHAKE));
    bytes_append(&tls.in, &first, 1);
    while (!tls.ended || !tls.established) {
        tls_pair_negotiate(&tls);
        tls_peer_send(&tls);
        expect_result(weir_sleep(TICK), 0);
    }
    expect_result(tls_pair_result(&tls), 0);
    tls_pair_expect_talk(&tls);
    tls_pair_close(&tls);
    return 0;
}

/* The limits that were set and the limit of the reader stay. */
TlsTest(tls_start, keeps_limits)
{
    struct tls_pair tls;
    struct weir_slice data;
    size_t high, low;
    tls_pair_open_plain(&tls, &(struct tls_setup){ .role = WEIR_CLIENT, .limit = 100 });
    expect_result(weir_set_write_buffer_limits(tls.pair.writer, 3000, 1000), 0);
    expect_result(tls_pair_handshake(&tls), 0);
    weir_get_write_buffer_limits(tls.pair.writer, &high, &low);
    cr_assert(eq(sz, high, 3000));
    cr_assert(eq(sz, low, 1000));
    char line[300];
    memset(line, 'x', sizeof line);
    tls_peer_feed_bytes(&tls, line, sizeof line);
    expect_result(weir_readline(tls.pair.reader, &data), WEIR_LIMIT_OVERRUN);
    expect_result(weir_readexactly(tls.pair.reader, sizeof line, &data), sizeof line);
    tls_pair_close(&tls);
    return 0;
}

/* asyncio's create_server_ssl_over_ssl. */
TlsTest(tls_start, twice)
{
    struct tls_both both = { 0 };
    both_open(&both, NULL, NULL);
    expect_result(weir_write(both.writer, "once", 4), 0);
    expect_next(both.server_reader, "once");
    both_upgrade(&both);
    expect_result(weir_write(both.writer, "twice", 5), 0);
    expect_next(both.server_reader, "twice");
    expect_result(weir_write(both.server_writer, "and back", 8), 0);
    expect_next(both.reader, "and back");
    both_close(&both);
    return 0;
}

/* ---- Plain text put in between ----------------------------------------------------------------*/

/* A command behind the one that begins TLS: to a server that would run it as if it had come over
 * TLS, to a client that would take it for an answer. */
static int injected(const struct tls_setup *setup, const char *command, const char *more)
{
    struct tls_pair tls;
    struct weir_slice line;
    char both[100];
    snprintf(both, sizeof both, "%s%s", command, more);
    tls_pair_open_plain(&tls, setup);
    feed(&tls.pair, both);
    expect_slice(weir_readline(tls.pair.reader, &line), line, command);
    tls_pair_start(&tls);
    expect_result(tls_pair_result(&tls), WEIR_TLS_PLAINTEXT);
    expect_result(weir_read(tls.pair.reader, 100, &line), WEIR_TLS_PLAINTEXT);
    expect_result(weir_readline(tls.pair.reader, &line), WEIR_TLS_PLAINTEXT);
    cr_assert(eq(int, weir_exception(tls.pair.reader), WEIR_TLS_PLAINTEXT));
    tls_pair_end(&tls, WEIR_TLS_PLAINTEXT);
    return 0;
}

TlsTest(tls_start, command_injected_to_a_server)
{
    return injected(&server, "STARTTLS\r\n", "RCPT TO:<evil@example>\r\n");
}

TlsTest(tls_start, answer_injected_to_a_client)
{
    return injected(&client, "220 go ahead\r\n", "250 evil\r\n");
}

/* The same, and then the hello, as the man in the middle would let it through. */
TlsTest(tls_start, command_injected_before_the_hello)
{
    struct tls_pair tls;
    struct weir_slice data;
    tls_pair_open_plain(&tls, &server);
    tls_pair_start(&tls);
    settle();
    tls_peer_send_bytes(&tls, "evil\r\n", 6);
    while (tls_pair_negotiate(&tls) && !tls.ended) {
        tls_peer_send(&tls);
        expect_result(weir_sleep(TICK), 0);
    }
    expect_result(tls_pair_result(&tls), WEIR_TLS_PLAINTEXT);
    expect_result(weir_read(tls.pair.reader, 100, &data), WEIR_TLS_PLAINTEXT);
    tls_pair_end(&tls, WEIR_TLS_PLAINTEXT);
    return 0;
}
