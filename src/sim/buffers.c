/* Provided buffers: whose they are, and what lies in them meanwhile. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "sim/choice.h"
#include "sim/ring.h"
#include "sim/world.h"

/* AddressSanitizer's, if the program has it: then nobody reads a published buffer unnoticed. */
extern void __asan_poison_memory_region(const volatile void *, size_t) __attribute__((weak));
extern void __asan_unpoison_memory_region(const volatile void *, size_t) __attribute__((weak));

enum { GARBAGE = 0xdb, GARBAGE_MOST = 512 };

/* The tail lies where the first buffer's last field does. */
static uint16_t tail_of(const struct group *group)
{
    return __atomic_load_n(&group->shared->tail, __ATOMIC_ACQUIRE);
}

struct group *group_find(const struct sim_ring *ring, unsigned id)
{
    for (int i = 0; i < GROUPS; i++) {
        const struct group *group = &ring->groups[i];
        if (group->shared != NULL && group->id == id)
            return (struct group *)group;
    }
    return NULL;
}

int group_register(struct sim_ring *ring, const struct io_uring_buf_reg *registration)
{
    unsigned entries = registration->ring_entries;
    if (registration->pad != 0 || registration->resv[0] != 0 || registration->resv[1] != 0 ||
        registration->resv[2] != 0)
        return -EINVAL;
    if (registration->ring_addr == 0)
        return -EFAULT;
    if (registration->ring_addr % 4096 != 0 || entries == 0 || (entries & (entries - 1)) != 0 ||
        entries >= 65536)
        return -EINVAL;
    if (group_find(ring, registration->bgid) != NULL)
        return -EEXIST;
    if (fault_call(FAULT_CALL, "registering buffers"))
        return -ENOMEM;
    for (int i = 0; i < GROUPS; i++) {
        if (ring->groups[i].shared != NULL)
            continue;
        ring->groups[i] = (struct group){
            .shared = (struct io_uring_buf_ring *)(uintptr_t)registration->ring_addr,
            .entries = entries,
            .id = registration->bgid,
        };
        return 0;
    }
    violation("the simulated ring has room for %d groups of buffers only", GROUPS);
}

int group_unregister(struct sim_ring *ring, const struct io_uring_buf_reg *registration)
{
    struct group *group = group_find(ring, registration->bgid);
    if (group == NULL)
        return -ENOENT;
    group->shared = NULL;
    return 0;
}

static struct io_uring_buf *buffer_at(const struct group *group, uint16_t index)
{
    return &group->shared->bufs[index & (group->entries - 1)];
}

static void unpoison(const struct io_uring_buf *buffer)
{
    if (__asan_unpoison_memory_region != NULL)
        __asan_unpoison_memory_region((void *)(uintptr_t)buffer->addr, buffer->len);
}

/* It may be poisoned already: a receive that began before it was looked at, has left it so. */
static void poison(const struct io_uring_buf *buffer)
{
    char *memory = (char *)(uintptr_t)buffer->addr;
    unpoison(buffer);
    memset(memory, GARBAGE, buffer->len < GARBAGE_MOST ? buffer->len : GARBAGE_MOST);
    if (__asan_poison_memory_region != NULL)
        __asan_poison_memory_region(memory, buffer->len);
}

void groups_look(struct sim_ring *ring)
{
    for (int i = 0; i < GROUPS; i++) {
        struct group *group = &ring->groups[i];
        if (group->shared == NULL)
            continue;
        uint16_t tail = tail_of(group);
        if ((uint16_t)(tail - group->head) > group->entries)
            violation("group %u of buffers holds more than it has room for", group->id);
        for (; group->seen != tail; group->seen++) {
            const struct io_uring_buf *buffer = buffer_at(group, group->seen);
            for (uint16_t j = group->head; j != group->seen; j++) {
                if (buffer_at(group, j)->addr == buffer->addr)
                    violation("buffer %u of group %u is published twice", buffer->bid, group->id);
            }
            poison(buffer);
        }
    }
}

struct io_uring_buf *group_next(struct group *group)
{
    return group->head == tail_of(group) ? NULL : buffer_at(group, group->head);
}

void group_lend(struct io_uring_buf *buffer, bool writable)
{
    if (writable)
        unpoison(buffer);
    else
        poison(buffer);
}

uint32_t group_take(struct group *group, size_t size)
{
    const struct io_uring_buf *buffer = buffer_at(group, group->head);
    if (group->seen == group->head) /* published after the last look */
        group->seen++;
    group->head++;
    size_t rest = buffer->len - size;
    memset((char *)(uintptr_t)buffer->addr + size, GARBAGE,
           rest < GARBAGE_MOST ? rest : GARBAGE_MOST);
    return IORING_CQE_F_BUFFER | (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT;
}
