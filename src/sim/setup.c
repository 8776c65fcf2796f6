/* Making a ring, registering things with it, and its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/metrics.h"
#include "kernel/sys.h"
#include "sim/choice.h"
#include "sim/ring.h"
#include "sim/thread.h"
#include "sim/world.h"

/* Each thread has so many places for rings that it enters without their fd. */
enum { PLACES = 16 };

struct registration {
    struct list_node node;
    unsigned thread, place;
    struct sim_ring *ring; /* held */
};

static struct list all, registrations;

void rings_open(void)
{
    all = (struct list){ 0 };
    registrations = (struct list){ 0 };
}

static void registration_drop(struct registration *registration)
{
    list_remove(&registration->node);
    file_drop(&registration->ring->file);
    free(registration);
}

unsigned rings_count(void)
{
    unsigned count = 0;
    struct list_node *node;
    while ((node = list_first(&registrations)) != NULL)
        registration_drop(container_of(node, struct registration, node));
    for (node = list_first(&all); node != NULL; node = list_next(&all, node))
        count++;
    return count;
}

struct sim_ring *ring_by_fd(int fd, int *ret_error)
{
    struct file *file = fd_file(fd);
    *ret_error = file == NULL ? -EBADF : -EOPNOTSUPP;
    return file != NULL && file->kind == FILE_RING ? container_of(file, struct sim_ring, file)
                                                   : NULL;
}

static struct registration *registration_at(unsigned place)
{
    unsigned thread = thread_number(thread_this());
    for (struct list_node *node = list_first(&registrations); node != NULL;
         node = list_next(&registrations, node)) {
        struct registration *one = container_of(node, struct registration, node);
        if (one->thread == thread && one->place == place)
            return one;
    }
    return NULL;
}

struct sim_ring *ring_at_place(int place, int *ret_error)
{
    *ret_error = place < 0 || place >= PLACES ? -EINVAL : -EBADF;
    const struct registration *one = registration_at((unsigned)place);
    return one != NULL ? one->ring : NULL;
}

static bool is_registered(const struct sim_ring *ring)
{
    for (struct list_node *node = list_first(&registrations); node != NULL;
         node = list_next(&registrations, node)) {
        if (container_of(node, struct registration, node)->ring == ring)
            return true;
    }
    return false;
}

/* ---- Setting up ------------------------------------------------------------------------------ */

static unsigned round_up(unsigned n)
{
    unsigned power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static int check_flags(unsigned flags)
{
    const struct profile *profile = world_profile();
    unsigned known = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    if (profile->setup_error != 0)
        return profile->setup_error;
    if (profile->defer_taskrun)
        known |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    if (profile->no_sqarray)
        known |= IORING_SETUP_NO_SQARRAY;
    if (flags & ~known)
        return -EINVAL;
    if (flags & IORING_SETUP_DEFER_TASKRUN && !(flags & IORING_SETUP_SINGLE_ISSUER))
        return -EINVAL;
    if (flags & IORING_SETUP_TASKRUN_FLAG &&
        !(flags & (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)))
        return -EINVAL;
    return 0;
}

/* The sizes that the kernel makes of what is asked for. */
static int choose_sizes(unsigned entries, struct io_uring_params *params)
{
    if (entries == 0)
        return -EINVAL;
    if (entries > 32768) {
        if (!(params->flags & IORING_SETUP_CLAMP))
            return -EINVAL;
        entries = 32768;
    }
    params->sq_entries = round_up(entries);
    if (!(params->flags & IORING_SETUP_CQSIZE)) {
        params->cq_entries = 2 * params->sq_entries;
        return 0;
    }
    if (params->cq_entries == 0)
        return -EINVAL;
    if (params->cq_entries > 65536) {
        if (!(params->flags & IORING_SETUP_CLAMP))
            return -EINVAL;
        params->cq_entries = 65536;
    }
    params->cq_entries = round_up(params->cq_entries);
    return params->cq_entries < params->sq_entries ? -EINVAL : 0;
}

static void drop_done(struct list *list)
{
    struct list_node *node;
    while ((node = list_take_first(list)) != NULL)
        free(container_of(node, struct done, node));
}

/* It takes with it what is in flight. */
static void free_ring(struct file *file)
{
    struct sim_ring *ring = container_of(file, struct sim_ring, file);
    request_drop_all(ring);
    notices_drop(ring);
    drop_done(&ring->work);
    drop_done(&ring->overflow);
    list_remove(&ring->node);
    free(ring->memory);
    free(ring);
}

/* The memory that the kernel and the program share, as io_uring_queue_mmap() tells of it. */
static void share(struct sim_ring *ring, struct io_uring *uring,
                  const struct io_uring_params *params)
{
    unsigned *words = ring->memory;
    unsigned *sq = words, *cq = words + 8;
    ring->sq_head = &sq[0];
    ring->sq_tail = &sq[1];
    ring->sq_flags = &sq[2];
    ring->cq_head = &cq[0];
    ring->cq_tail = &cq[1];
    ring->cq_overflow = &cq[2];
    sq[3] = ring->entries - 1;
    sq[4] = ring->entries;
    cq[3] = ring->cq_entries - 1;
    cq[4] = ring->cq_entries;
    ring->cqes = (struct io_uring_cqe *)(void *)(words + 16);
    ring->sqes = (struct io_uring_sqe *)(void *)(ring->cqes + ring->cq_entries);
    ring->sq_array = (unsigned *)(void *)(ring->sqes + ring->entries);

    uring->sq.khead = ring->sq_head;
    uring->sq.ktail = ring->sq_tail;
    uring->sq.kflags = ring->sq_flags;
    uring->sq.kring_mask = &sq[3];
    uring->sq.kring_entries = &sq[4];
    uring->sq.kdropped = &sq[5];
    uring->sq.array = params->flags & IORING_SETUP_NO_SQARRAY ? NULL : ring->sq_array;
    uring->sq.sqes = ring->sqes;
    uring->cq.khead = ring->cq_head;
    uring->cq.ktail = ring->cq_tail;
    uring->cq.kflags = &cq[5];
    uring->cq.kring_mask = &cq[3];
    uring->cq.kring_entries = &cq[4];
    uring->cq.koverflow = ring->cq_overflow;
    uring->cq.cqes = ring->cqes;
    uring->ring_fd = ring->fd;
    uring->flags = params->flags;
    uring->features = params->features;
}

static struct sim_ring *ring_new(const struct io_uring_params *params)
{
    struct sim_ring *ring = calloc(1, sizeof *ring);
    size_t size = 64 + params->cq_entries * sizeof(struct io_uring_cqe) +
                  params->sq_entries * (sizeof(struct io_uring_sqe) + sizeof(unsigned));
    if (ring == NULL || (ring->memory = calloc(1, size)) == NULL)
        abort();
    ring->file = (struct file){ .kind = FILE_RING, .references = 1, .free = free_ring };
    ring->entries = params->sq_entries;
    ring->cq_entries = params->cq_entries;
    ring->flags = params->flags;
    ring->owner = thread_this();
    ring->before = metrics;
    return ring;
}

int sys_ring_setup(struct io_uring *uring, unsigned entries, struct io_uring_params *params)
{
    world_expect("weir_run()");
    int rc = check_flags(params->flags);
    if (params->resv[0] != 0 || params->resv[1] != 0 || params->resv[2] != 0)
        rc = -EINVAL;
    if (rc == 0)
        rc = choose_sizes(entries, params);
    if (rc == 0 && fault_call(FAULT_CALL, "io_uring_setup"))
        rc = -ENOMEM;
    if (rc < 0)
        return rc;
    params->features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                       IORING_FEAT_RW_CUR_POS | IORING_FEAT_CUR_PERSONALITY |
                       IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS | IORING_FEAT_EXT_ARG |
                       IORING_FEAT_NATIVE_WORKERS | IORING_FEAT_CQE_SKIP |
                       (world_profile()->no_iowait ? IORING_FEAT_NO_IOWAIT : 0);
    struct sim_ring *ring = ring_new(params);
    int fd = fd_install(&ring->file);
    if (fd < 0) {
        file_drop(&ring->file);
        return fd;
    }
    ring->fd = fd;
    list_append(&all, &ring->node);
    memset(uring, 0, sizeof *uring);
    share(ring, uring, params);
    return fd;
}

void sys_ring_exit(struct io_uring *uring)
{
    int error;
    struct sim_ring *ring = ring_by_fd(uring->ring_fd, &error);
    if (ring == NULL)
        violation("a ring is closed that is not open");
    ring_check_end(ring);
    if (ring->is_loops && is_registered(ring))
        violation("a loop's ring is closed and stays registered, with all that is in flight");
    fd_close(uring->ring_fd);
}

/* ---- Registering ----------------------------------------------------------------------------- */

static int probe(struct io_uring_probe *result, unsigned count)
{
    unsigned last =
        world_profile()->version >= 606 ? IORING_OP_SENDMSG_ZC + 1 : IORING_OP_SENDMSG_ZC;
    result->last_op = (uint8_t)last;
    result->ops_len = (uint8_t)(count <= last ? count : last + 1);
    for (unsigned i = 0; i < result->ops_len; i++)
        result->ops[i] =
            (struct io_uring_probe_op){ .op = (uint8_t)i, .flags = IO_URING_OP_SUPPORTED };
    return 0;
}

/* At the place that is asked for, or the first that is free. */
static int register_at(const struct io_uring_rsrc_update *update)
{
    int error;
    bool any = update->offset == -1U;
    unsigned place = any ? 0 : update->offset, end = any ? PLACES : place + 1;
    if (update->resv != 0 || place >= PLACES)
        return -EINVAL;
    struct sim_ring *ring = ring_by_fd((int)update->data, &error);
    if (ring == NULL)
        return error;
    while (place < end && registration_at(place) != NULL)
        place++;
    if (place == end)
        return -EBUSY;
    struct registration *one = calloc(1, sizeof *one);
    if (one == NULL)
        abort();
    *one = (struct registration){ .thread = thread_number(thread_this()),
                                  .place = place,
                                  .ring = ring };
    file_hold(&ring->file);
    list_append(&registrations, &one->node);
    return (int)place;
}

static int unregister_at(const struct io_uring_rsrc_update *update)
{
    if (update->resv != 0 || update->data != 0 || update->offset >= PLACES)
        return -EINVAL;
    struct registration *one = registration_at(update->offset);
    if (one != NULL)
        registration_drop(one);
    return 0;
}

/* Returns how many have been, unless none. */
static int register_fds(struct io_uring_rsrc_update *updates, unsigned count, bool away)
{
    if (count == 0 || count > PLACES)
        return -EINVAL;
    if (!away && fault_call(FAULT_CALL, "registering the ring's fd"))
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        int rc = away ? unregister_at(&updates[i]) : register_at(&updates[i]);
        if (rc < 0)
            return i > 0 ? (int)i : rc;
        if (!away)
            updates[i].offset = (unsigned)rc;
    }
    return (int)count;
}

int sys_ring_register(int fd, unsigned operation, void *argument, unsigned count)
{
    int error;
    struct sim_ring *ring = ring_by_fd(fd, &error);
    if (ring == NULL)
        return error;
    if (ring->flags & IORING_SETUP_SINGLE_ISSUER && ring->owner != thread_this())
        return -EEXIST;
    switch (operation) {
    case IORING_REGISTER_PROBE:
        return fault_call(FAULT_CALL, "probing") ? -ENOMEM : probe(argument, count);
    case IORING_REGISTER_RING_FDS:
    case IORING_UNREGISTER_RING_FDS:
        return register_fds(argument, count, operation == IORING_UNREGISTER_RING_FDS);
    case IORING_REGISTER_PBUF_RING:
        return count == 1 ? group_register(ring, argument) : -EINVAL;
    case IORING_UNREGISTER_PBUF_RING:
        return count == 1 ? group_unregister(ring, argument) : -EINVAL;
    default:
        return -EINVAL;
    }
}
