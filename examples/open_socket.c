/* asyncio's "Register an open socket to wait for data using streams": a socket that the program has
 * opened itself becomes a stream. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weir.h>

static int send_abc(void *fd)
{
    return write(*(int *)fd, "abc", 3) == 3 ? 0 : -errno;
}

static int wait_for_data(void *unused)
{
    (void)unused;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;

    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_socket(pair[0], NULL, &reader, &writer); /* the stream owns it from here */
    if (rc == 0) {
        struct weir_group group = { 0 };
        weir_group_start(&group, send_abc, &pair[1]); /* runs while we wait for data */

        struct weir_slice data;
        if (weir_read(reader, 100, &data) > 0)
            printf("Received: %.*s\n", (int)data.size, data.data);
        weir_group_wait(&group);
        weir_close(writer);
        rc = weir_wait_closed(writer);
    }
    close(pair[1]);
    return rc;
}

int main(void)
{
    return weir_run(wait_for_data, NULL, NULL) < 0;
}
