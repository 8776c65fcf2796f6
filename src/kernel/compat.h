/* Kernel constants newer than the headers of Debian 12 (Linux 6.1, liburing 2.3). Whether the
 * running kernel knows them is found out at run time, by trying. */
#ifndef WEIR_KERNEL_COMPAT_H
#define WEIR_KERNEL_COMPAT_H

#include <liburing.h>
#include <sys/mman.h>

#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* 6.6 */
#endif

#ifndef IORING_FEAT_NO_IOWAIT /* 6.15 */
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

#endif
