/* What a target must not get from the machine: the date, and chance. They stand in the way of those
 * of the C library, for wolfSSL, too: so that an input always does the same. */
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

#include "base/macros.h"
#include "tls_ends.h"

enum { DATE = 1767225600 }; /* 2026-01-01 */

static uint64_t state;

void chance_reset(void)
{
    state = 1;
}

PUBLIC ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    unsigned char *to = buffer;
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        to[i] = (unsigned char)(state >> 56);
    }
    return (ssize_t)size;
}

PUBLIC time_t time(time_t *ret_time)
{
    if (ret_time != NULL)
        *ret_time = DATE;
    return DATE;
}

PUBLIC int gettimeofday(struct timeval *ret_time, void *zone)
{
    (void)zone;
    *ret_time = (struct timeval){ .tv_sec = DATE };
    return 0;
}
