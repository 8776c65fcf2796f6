/* What a world does with its seam: src/kernel/sys.h, implemented in sys.c and ring.c. */
#ifndef WEIR_SIM_SYS_H
#define WEIR_SIM_SYS_H

#include <stdint.h>

void sys_open(uint64_t seed); /* a new world, with this randomness */
unsigned sys_maps(void);      /* mappings that are there still */

#endif
