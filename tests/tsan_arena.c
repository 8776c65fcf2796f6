/* Linked into the tests under ThreadSanitizer only: Criterion shares an arena with the processes of
 * its tests, at 0x200000000000 + rand_r() * 16 MiB, but ThreadSanitizer leaves no room there save
 * for 1.5 TiB from 0x550000000000. This rand_r(), which Criterion finds instead of libc's, points
 * it there. */
#include <stdlib.h>

__attribute__((visibility("default"))) int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245U + 12345U;
    return (int)(0x350000U + (*seed >> 8) % 0x18000U);
}
