/* A small key-value server, the subject of docs/simulation.md.
 *
 *     SET <key> <size>\n<size bytes>    ->  OK\n
 *     GET <key>\n                       ->  VALUE <size>\n<size bytes>, or NONE\n
 *
 * Anything else is answered by ERROR, and the connection ends.
 */
#ifndef KV_SERVER_H
#define KV_SERVER_H

#include <weir.h>

enum { KV_KEY = 32, KV_VALUE = 1024, KV_ENTRIES = 64 };

struct kv_entry {
    char key[KV_KEY + 1]; /* "" if it is free */
    char value[KV_VALUE];
    size_t size;
};

struct kv_store {
    struct kv_entry entries[KV_ENTRIES];
};

/* A client_connected of weir_start_server(), whose argument is a struct kv_store. */
void kv_serve(struct weir_reader *reader, struct weir_writer *writer, void *store);

#endif
