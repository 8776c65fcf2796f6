#include "sim/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/choice.h"
#include "sim/thread.h"

/* What is allocated, by its address: a table with open addressing, at most half full. */
struct block {
    void *address;
    void *caller;
    size_t size;
};
static struct block *blocks;
static size_t room, count;

static size_t place_of(const void *address)
{
    size_t at = (size_t)((uintptr_t)address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 16;
    while (blocks[at & (room - 1)].address != NULL && blocks[at & (room - 1)].address != address)
        at++;
    return at & (room - 1);
}

static void grow(void)
{
    struct block *old = blocks;
    size_t old_room = room;
    room = room == 0 ? 1024 : 2 * room;
    blocks = calloc(room, sizeof *blocks);
    if (blocks == NULL)
        abort();
    for (size_t i = 0; i < old_room; i++) {
        if (old[i].address != NULL)
            blocks[place_of(old[i].address)] = old[i];
    }
    free(old);
}

static void *note(void *address, size_t size, void *caller)
{
    if (address == NULL || thread_this() == NULL)
        return address;
    if (2 * (count + 1) > room)
        grow();
    blocks[place_of(address)] = (struct block){ address, caller, size };
    count++;
    return address;
}

/* Those that were made by the C library itself, or outside of the world, are not known. */
static void forget(const void *address)
{
    if (address == NULL || room == 0)
        return;
    size_t hole = place_of(address);
    if (blocks[hole].address == NULL)
        return;
    blocks[hole].address = NULL;
    count--;
    for (size_t i = (hole + 1) & (room - 1); blocks[i].address != NULL; i = (i + 1) & (room - 1)) {
        struct block moved = blocks[i];
        blocks[i].address = NULL;
        blocks[place_of(moved.address)] = moved;
    }
}

static bool fails(void)
{
    return thread_this() != NULL && fault_call(FAULT_MEMORY, "malloc");
}

void *sim_malloc(size_t size)
{
    return fails() ? NULL : note(malloc(size), size, __builtin_return_address(0));
}

void *sim_calloc(size_t number, size_t size)
{
    return fails() ? NULL : note(calloc(number, size), number * size, __builtin_return_address(0));
}

void *sim_realloc(void *block, size_t size)
{
    if (fails())
        return NULL;
    forget(block);
    return note(realloc(block, size), size, __builtin_return_address(0));
}

char *sim_strdup(const char *text)
{
    return fails() ? NULL : note(strdup(text), strlen(text) + 1, __builtin_return_address(0));
}

char *sim_strndup(const char *text, size_t most)
{
    return fails() ? NULL : note(strndup(text, most), most, __builtin_return_address(0));
}

void sim_free(void *block)
{
    forget(block);
    free(block);
}

void memory_open(void)
{
    count = 0;
    if (room > 0)
        memset(blocks, 0, room * sizeof *blocks);
}

void memory_close(void)
{
    free(blocks);
    blocks = NULL;
    room = count = 0;
}

size_t memory_blocks(void)
{
    return count;
}

void memory_tell(void)
{
    for (size_t i = 0; i < room; i++) {
        if (blocks[i].address != NULL)
            fprintf(stderr, "  %zu bytes at %p, allocated by %p\n", blocks[i].size,
                    blocks[i].address, blocks[i].caller);
    }
}
