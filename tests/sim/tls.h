/* What the scenarios over TLS have in common. */
#ifndef WEIR_TESTS_SIM_TLS_H
#define WEIR_TESTS_SIM_TLS_H

#include "scene.h"

extern struct weir_tls *server_tls, *client_tls;

/* Contexts of both kinds, with the certificates of tests/sim/certs. Closed also after a failure. */
int tls_open_contexts(void);
void tls_close_contexts(void);

/* An ordinary client: connects by TLS to the scene's server, or to where its talk is told. */
weir_task_fn tls_client;

/* scene_end(), and the contexts. */
int tls_end(void);

#endif
