/* weir-echo: a server that sends back what it receives, without copying it. */
#include "cli.h"

enum { READ_MOST = 1 << 20 }; /* more than ever lies together */

static void echo(struct weir_reader *reader, struct weir_writer *writer, void *unused)
{
    (void)unused;
    struct weir_slice data;
    while (weir_read(reader, READ_MOST, &data) > 0) {
        if (weir_write_slice(writer, data) < 0 || weir_drain(writer) < 0)
            return;
    }
}

int main(int argc, char **argv)
{
    static const struct cli_tool tool = {
        .name = "weir-echo",
        .purpose = "Sends back to each client what it receives from it.",
        .listen = "127.0.0.1:8888",
        .tls_scheme = "tls://",
        .client_connected = echo,
    };
    return cli_main(&tool, argc, argv);
}
