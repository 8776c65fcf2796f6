/* The same server in a simulated kernel: clients set keys of their own, and get them again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weir-sim.h>

#include "server.h"

/* Small worlds with small values: a cut is likelier to be where it hurts. */
enum { CLIENTS = 2, ROUNDS = 4, LONGEST = 32, PORT = 7000 };

static struct kv_store store;

/* What a client has set: a value is one letter, again and again. */
struct client {
    char key[KV_KEY];
    size_t size;
    char letter;
};

/* A negative number: the connection is of no more use. */
static int set(struct client *client, struct weir_reader *reader, struct weir_writer *writer)
{
    char value[LONGEST];
    struct weir_slice answer;
    client->size = 1 + weir_sim_choose(LONGEST, "size of a value");
    client->letter = (char)('a' + weir_sim_choose(26, "letter"));
    memset(value, client->letter, client->size);
    int rc = weir_printf(writer, "SET %s %zu\n", client->key, client->size);
    if (rc == 0)
        rc = weir_write(writer, value, client->size);
    if (rc < 0 || weir_readline(reader, &answer) != 3)
        return -EIO;
    weir_sim_check(memcmp(answer.data, "OK\n", 3) == 0);
    return 0;
}

static int get(const struct client *client, struct weir_reader *reader, struct weir_writer *writer)
{
    char expected[32];
    struct weir_slice answer;
    ssize_t size = snprintf(expected, sizeof expected, "VALUE %zu\n", client->size);
    if (weir_printf(writer, "GET %s\n", client->key) < 0)
        return -EIO;
    ssize_t n = weir_readline(reader, &answer);
    if (n <= 0 || answer.data[n - 1] != '\n')
        return -EIO;
    weir_sim_check(n == size && memcmp(answer.data, expected, (size_t)n) == 0);
    if (weir_readexactly(reader, client->size, &answer) != (ssize_t)client->size)
        return -EIO;
    for (size_t i = 0; i < client->size; i++)
        weir_sim_check(answer.data[i] == client->letter);
    return 0;
}

static int converse(struct client *client, struct weir_reader *reader, struct weir_writer *writer)
{
    int rc = 0;
    unsigned rounds = 1 + weir_sim_choose(ROUNDS, "how many rounds");
    for (unsigned i = 0; rc == 0 && i < rounds; i++) {
        rc = set(client, reader, writer);
        if (rc == 0)
            rc = get(client, reader, writer);
    }
    return rc;
}

static int run_client(void *argument)
{
    struct client *client = argument;
    struct weir_reader *reader;
    struct weir_writer *writer;
    int rc = weir_open_connection("127.0.0.1", PORT, NULL, &reader, &writer);
    if (rc == 0) {
        rc = converse(client, reader, writer);
        weir_close(writer);
    }
    weir_sim_check(rc == 0 || weir_sim_faults() > 0);
    return rc;
}

/* What a client meets does not stop the others. */
static int run_one(void *client)
{
    run_client(client);
    return 0;
}

static void run_clients(unsigned count)
{
    struct client clients[CLIENTS] = { 0 };
    struct weir_group group = { 0 };
    for (unsigned i = 0; i < count; i++) {
        snprintf(clients[i].key, sizeof clients[i].key, "client-%u", i);
        int rc = weir_group_start(&group, run_one, &clients[i]);
        weir_sim_check(rc == 0 || weir_sim_faults() > 0);
    }
    weir_group_wait(&group);
}

static int world(void *unused)
{
    struct client last = { .key = "last" };
    struct weir_server *server;
    (void)unused;
    memset(&store, 0, sizeof store);
    int rc = weir_start_server(kv_serve, &store, "127.0.0.1", PORT, NULL, &server);
    if (rc < 0) {
        weir_sim_check(weir_sim_faults() > 0);
        return 0;
    }
    run_clients(1 + weir_sim_choose(CLIENTS, "how many clients"));
    weir_sim_calm();
    weir_sim_check(run_client(&last) == 0); /* whatever has failed before */
    return weir_server_shutdown(server, WEIR_SECOND);
}

int main(int argc, char **argv)
{
    static const struct weir_sim_scenario scenarios[] = { { .name = "kv", .main = world }, { 0 } };
    return weir_sim_main(argc, argv, scenarios);
}
