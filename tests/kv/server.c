/* docs/simulation.md finds a bug in here. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct kv_entry *find(struct kv_store *store, const char *key, size_t size)
{
    for (size_t i = 0; i < KV_ENTRIES; i++) {
        struct kv_entry *entry = &store->entries[i];
        if (strlen(entry->key) == size && memcmp(entry->key, key, size) == 0)
            return entry;
    }
    return NULL;
}

/* Who asks what cannot be understood, is told so, and no more. */
static int refuse(struct weir_writer *writer, const char *why)
{
    weir_printf(writer, "ERROR %s\n", why);
    return -EPROTO;
}

static int get(struct kv_store *store, struct weir_writer *writer, const char *key, size_t size)
{
    const struct kv_entry *entry = find(store, key, size);
    if (entry == NULL)
        return weir_printf(writer, "NONE\n");
    int rc = weir_printf(writer, "VALUE %zu\n", entry->size);
    return rc == 0 ? weir_write(writer, entry->value, entry->size) : rc;
}

static int set(struct kv_store *store, struct weir_reader *reader, struct weir_writer *writer,
               const char *key, size_t key_size, size_t size)
{
    struct weir_slice value;
    if (size > KV_VALUE)
        return refuse(writer, "too large");
    ssize_t n = weir_readexactly(reader, size, &value);
    if (n < 0)
        return (int)n;
    struct kv_entry *entry = find(store, key, key_size);
    if (entry == NULL)
        entry = find(store, "", 0);
    if (entry == NULL)
        return refuse(writer, "full");
    memcpy(entry->key, key, key_size);
    entry->key[key_size] = '\0';
    memcpy(entry->value, value.data, size);
    entry->size = size;
    return weir_printf(writer, "OK\n");
}

/* One request: its line is "VERB key" and perhaps a number. */
static int serve_one(struct kv_store *store, struct weir_reader *reader, struct weir_writer *writer,
                     struct weir_slice line)
{
    const char *key = memchr(line.data, ' ', line.size);
    const char *end = line.data + line.size - 1; /* the newline */
    if (key == NULL)
        return refuse(writer, "what?");
    key++;
    const char *blank = memchr(key, ' ', (size_t)(end - key));
    size_t key_size = (size_t)((blank != NULL ? blank : end) - key);
    if (key_size == 0 || key_size > KV_KEY)
        return refuse(writer, "key");
    if (line.data[0] == 'G' && blank == NULL)
        return get(store, writer, key, key_size);
    if (line.data[0] == 'S' && blank != NULL)
        return set(store, reader, writer, key, key_size, strtoul(blank, NULL, 10));
    return refuse(writer, "what?");
}

void kv_serve(struct weir_reader *reader, struct weir_writer *writer, void *store)
{
    struct weir_slice line;
    int rc = 0;
    while (rc == 0 && weir_readline(reader, &line) > 0 && line.data[line.size - 1] == '\n') {
        rc = serve_one(store, reader, writer, line);
        if (rc == 0)
            rc = weir_drain(writer);
    }
}
