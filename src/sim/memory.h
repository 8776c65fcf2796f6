/* Memory of the world: malloc() and the like as the library calls them (src/sim/redirect leads
 * here), which may fail, and of which all must have been freed at the end. */
#ifndef WEIR_SIM_MEMORY_H
#define WEIR_SIM_MEMORY_H

#include <stddef.h>

void memory_open(void);
void memory_close(void);
size_t memory_blocks(void); /* that have not been freed */
void memory_tell(void);     /* them, on the trace's stream */

void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *block, size_t size);
char *sim_strdup(const char *text);
char *sim_strndup(const char *text, size_t most);
void sim_free(void *block);

#endif
