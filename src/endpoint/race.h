/* Connecting to the first of several addresses that answers (RFC 8305, "happy eyeballs"). */
#ifndef WEIR_ENDPOINT_RACE_H
#define WEIR_ENDPOINT_RACE_H

#include <netdb.h>
#include <weir.h>

/* Waits. The next address is tried when one has failed, or `delay` after the last one was begun
 * (negative: never before). `local` (or NULL) is what to bind to, the first that fits the family.
 * Returns the winner's fd when all other attempts have ended and are closed; or the error that most
 * of them have met, the first such. */
int race(const struct addrinfo *const *addresses, unsigned count, const struct addrinfo *local,
         weir_duration delay);

#endif
