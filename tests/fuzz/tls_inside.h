/* What the target does inside of the engine on wolfSSL. Apart, since src/tls and src/task both have
 * a struct context. */
#ifndef WEIR_TESTS_FUZZ_TLS_INSIDE_H
#define WEIR_TESTS_FUZZ_TLS_INSIDE_H

#include <stddef.h>
#include <stdint.h>

struct engine;
struct weir_tls;

/* Makes it a client of TLS 1.2, which weir itself cannot be told to be. */
void inside_age(struct weir_tls *client);

/* Forgets what a client could resume. */
void inside_forget(struct weir_tls *client);

/* A record of that content, sealed as the engine's next, which the caller frees; NULL where records
 * are not sealed in place. */
uint8_t *inside_seal(struct engine *engine, unsigned type, const void *data, size_t size,
                     size_t padding, size_t *ret_size);

#endif
