/* What a peer may not do once the handshake is over, and what it may: each is a function that is
 * given the peer, and puts what it does into `out`. It is tried in both roles of weir's, where
 * records are opened in place (if libipsec-mb is there), and where wolfSSL opens them.
 *
 * A file of tests defines Case(name, call), a test of its suite that returns this call. */
#ifndef WEIR_TESTS_TLS_MISBEHAVE_H
#define WEIR_TESTS_TLS_MISBEHAVE_H

#include "tls_peer.h"

typedef void misbehaviour(struct tls_pair *tls);

/* What came before is still read; then reader and writer have the error. The peer gets the alert,
 * or the other one, where wolfSSL makes the records: it sends alerts of its own accord only. */
enum { WOLFSSL_BEARS_IT = -3 }; /* for alert_of_wolfssl: then the test is skipped */
int misbehave_refused(const struct tls_setup *setup, misbehaviour *misbehave, int error, int alert,
                      int alert_of_wolfssl);

/* Data before and behind it is read, an answer is sent, and the end is orderly. */
int misbehave_borne(const struct tls_setup *setup, misbehaviour *misbehave);

#define SERVER_1_3                                                                                 \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_SERVER                                                                        \
    }
#define CLIENT_1_3                                                                                 \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_CLIENT                                                                        \
    }
#define SOFTWARE_1_3                                                                               \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_SERVER, .weir.no_hardware_aes = true                                          \
    }
#define SERVER_1_2                                                                                 \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_SERVER, .version = WEIR_TLS_1_2                                               \
    }
#define CLIENT_1_2                                                                                 \
    &(struct tls_setup)                                                                            \
    {                                                                                              \
        .role = WEIR_CLIENT, .version = WEIR_TLS_1_2                                               \
    }

#define RefusedApart(name, error, alert, alert_of_wolfssl)                                         \
    Case(name##_from_client, misbehave_refused(SERVER_1_3, name, error, alert, alert_of_wolfssl)); \
    Case(name##_from_server, misbehave_refused(CLIENT_1_3, name, error, alert, alert_of_wolfssl)); \
    Case(name##_in_software, misbehave_refused(SOFTWARE_1_3, name, error, alert, alert_of_wolfssl))
#define Refused(name, error, alert) RefusedApart(name, error, alert, alert)
#define RefusedByServer(name, error, alert)                                                        \
    Case(name##_from_client, misbehave_refused(SERVER_1_3, name, error, alert, alert))
#define RefusedByClient(name, error, alert)                                                        \
    Case(name##_from_server, misbehave_refused(CLIENT_1_3, name, error, alert, alert))
#define RefusedInPlace(name, side, setup, error, alert)                                            \
    Case(name##_from_##side, misbehave_refused(setup, name, error, alert, WOLFSSL_BEARS_IT))
#define Refused12(name, error, alert)                                                              \
    Case(name##_from_client_1_2, misbehave_refused(SERVER_1_2, name, error, alert, alert));        \
    Case(name##_from_server_1_2, misbehave_refused(CLIENT_1_2, name, error, alert, alert))

#define Borne(name)                                                                                \
    Case(name##_from_client, misbehave_borne(SERVER_1_3, name));                                   \
    Case(name##_from_server, misbehave_borne(CLIENT_1_3, name));                                   \
    Case(name##_in_software, misbehave_borne(SOFTWARE_1_3, name))
#define Borne12(name)                                                                              \
    Case(name##_from_client_1_2, misbehave_borne(SERVER_1_2, name));                               \
    Case(name##_from_server_1_2, misbehave_borne(CLIENT_1_2, name))

#endif
