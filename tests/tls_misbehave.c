/* See tls_misbehave.h. */
#include "tls_misbehave.h"

static bool is_in_place(const struct tls_pair *tls)
{
    return strcmp(weir_get_extra_info(tls->pair.writer, "record_path"), "in place") == 0;
}

int misbehave_refused(const struct tls_setup *setup, misbehaviour *misbehave, int error, int alert,
                      int alert_of_wolfssl)
{
    struct tls_pair tls;
    struct weir_slice data;
    tls_pair_open(&tls, setup);
    if (!is_in_place(&tls))
        alert = alert_of_wolfssl;
    if (alert == WOLFSSL_BEARS_IT)
        cr_skip_test("without libipsec-mb wolfSSL opens the records, and bears it");
    tls_peer_feed(&tls, "before");
    uint64_t failures = metrics_now().tls_failures;
    misbehave(&tls);
    tls_peer_send(&tls);
    expect_next(tls.pair.reader, "before");
    expect_result(weir_read(tls.pair.reader, 1, &data), error);
    expect_result(weir_exception(tls.pair.reader), error);
    expect_result(weir_write(tls.pair.writer, "x", 1), error);
    expect_result(weir_drain(tls.pair.writer), error);
    cr_assert(eq(u64, metrics_now().tls_failures, failures + 1));
    if (alert == NO_ALERT)
        tls_peer_expect_no_alert(&tls);
    else
        tls_peer_expect_alert(&tls, alert);
    tls_pair_end(&tls, error);
    return 0;
}

int misbehave_borne(const struct tls_setup *setup, misbehaviour *misbehave)
{
    struct tls_pair tls;
    tls_pair_open(&tls, setup);
    tls_peer_feed(&tls, "before");
    misbehave(&tls);
    tls_peer_send(&tls);
    tls_peer_feed(&tls, "behind");
    expect_next(tls.pair.reader, "beforebehind");
    expect_result(weir_write(tls.pair.writer, "answer", 6), 0);
    tls_peer_expect(&tls, "answer");
    tls_pair_close(&tls);
    return 0;
}
