/* asyncio.timeout() around a readline, and asyncio.wait_for() around a task's own function. Past the
 * limit whatever waits inside returns -ETIMEDOUT; nothing is lost, and the program goes on. */
#include <stdio.h>
#include <weir.h>

static void mumble(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct weir_slice rest;
    weir_write(writer, "half a li", 9);
    weir_read(reader, 1, &rest); /* until the client has gone */
}

static int dawdle(void *unused)
{
    (void)unused;
    return weir_sleep(60 * WEIR_SECOND);
}

static int run(void *unused)
{
    (void)unused;
    int late = weir_wait_for(250 * WEIR_MILLISECOND, dawdle, NULL);
    printf("wait_for: %s\n", late == 0 ? "done" : weir_strerror(late));

    struct weir_reader *reader;
    struct weir_writer *writer;
    struct weir_server *server;
    ssize_t rc = weir_start_server(mumble, NULL, "127.0.0.1", 0, NULL, &server);
    if (rc == 0)
        rc = weir_open_connection("127.0.0.1", weir_server_port(server), NULL, &reader, &writer);
    if (rc < 0)
        return (int)rc;

    struct weir_slice data;
    struct weir_timeout timeout;
    weir_timeout_start(&timeout, 250 * WEIR_MILLISECOND);
    rc = weir_timeout_stop(&timeout, weir_readline(reader, &data));
    printf("readline: %s\n", rc >= 0 ? "a line" : weir_strerror(rc));
    if (weir_read(reader, 100, &data) > 0)
        printf("read: %.*s\n", (int)data.size, data.data); /* what there is of the line */
    return 0;
} /* the server and the streams are this task's, and close with it */

int main(void)
{
    return weir_run(run, NULL, NULL) < 0;
}
