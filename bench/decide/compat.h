/* Kernel constants and structures newer than the headers of Debian 12 (Linux 6.1, liburing 2.3).
 * Whether the running kernel knows them is found out at run time. */
#ifndef DECIDE_COMPAT_H
#define DECIDE_COMPAT_H

#include <liburing.h>
#include <stdint.h>

#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* 6.6 */
#endif

#ifndef IORING_FEAT_RECVSEND_BUNDLE
#define IORING_FEAT_RECVSEND_BUNDLE (1U << 14) /* 6.10 */
#define IORING_RECVSEND_BUNDLE (1U << 4)
#endif

#ifndef IORING_FEAT_MIN_TIMEOUT
#define IORING_FEAT_MIN_TIMEOUT (1U << 15) /* 6.12 */
#endif

#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17) /* 6.15 */
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4) /* 6.12, with buffers that are used up bit by bit */
#endif

#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3) /* 6.2 */
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

/* Those that newer headers have as enumerators, and structures whose padding got a meaning: under
 * names of our own, so that this compiles with any headers. */
enum {
    DECIDE_PBUF_RING_INC = 2,           /* IOU_PBUF_RING_INC, 6.12 */
    DECIDE_REGISTER_SEND_MSG_RING = 31, /* IORING_REGISTER_SEND_MSG_RING, 6.13 */
};

struct decide_getevents_arg {
    uint64_t sigmask;
    uint32_t sigmask_size;
    uint32_t min_wait_usec; /* 6.12 */
    uint64_t timeout;       /* address of a struct __kernel_timespec */
};

struct decide_buf_reg {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t group;
    uint16_t flags; /* 6.12 */
    uint64_t reserved[3];
};

#endif
