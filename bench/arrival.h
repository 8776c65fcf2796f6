/* When bytes came, by the kernel's stamp: what they then wait for the program to take them is left
 * out of a latency. */
#ifndef BENCH_ARRIVAL_H
#define BENCH_ARRIVAL_H

#include "common.h"

/* Without this, the stamp of receive_stamped() is the time of the call. Unix sockets have none. */
static inline void want_stamps(int fd)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

/* The kernel's stamps are of another clock, which may be set: how long ago that was is subtracted
 * from this one. */
static inline int64_t age_of_stamp(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_TIMESTAMPNS)
        return 0;
    struct timespec stamp, now;
    memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (int64_t)(now.tv_sec - stamp.tv_sec) * 1000000000 + now.tv_nsec - stamp.tv_nsec;
    return age > 0 ? age : 0;
}

/* As recv(). `ret_arrived`, of now_ns(), is when the last of these bytes came. */
static inline ssize_t receive_stamped(int fd, void *bytes, size_t size, int64_t *ret_arrived)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr aligned;
    } control;
    struct iovec part = { .iov_base = bytes, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(fd, &message, 0);
    *ret_arrived = now_ns();
    if (n > 0)
        *ret_arrived -= age_of_stamp(&message);
    return n;
}

#endif
