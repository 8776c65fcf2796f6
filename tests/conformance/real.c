/* The suite on the real kernel. */
#include "conformance.h"

size_t bulk_size = 12 << 20;
int64_t settle_time = 4 * MILLISECOND, quiet_time = 60 * MILLISECOND;

static int in_world(void (*run)(void))
{
    run();
    return 0;
}

int main(int argc, char **argv)
{
    return conformance_main(argc, argv, in_world);
}
