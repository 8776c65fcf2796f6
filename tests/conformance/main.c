/* Runs vectors by their names, or lists them: what both programs of the suite have in common. */
#include <stdio.h>
#include <string.h>

#include "conformance.h"
#include "internal.h"

static const struct vector *const lists[] = {
    receive_vectors, receive_end_vectors, multishot_vectors, multishot_end_vectors, reset_vectors,
    send_vectors,    link_vectors,        cancel_vectors,    accept_vectors,        connect_vectors,
    poll_vectors,    enter_vectors,       setup_vectors,     register_vectors,      bind_vectors,
    socket_vectors,  stream_vectors,      unix_vectors,      name_vectors,          limit_vectors,
};
enum { LISTS = sizeof lists / sizeof *lists };

static const struct vector *current;

/* A completion that no vector has asked for is told, too. */
static void run_current(void)
{
    operations_forget();
    peers_begin();
    int rc = lane_open(&aside, 8, 32, usual_flags());
    if (rc >= 0)
        rc = lane_open(&mine, 16, 64, usual_flags());
    if (rc < 0) {
        say("no ring: %s", outcome(rc));
        return;
    }
    current->run();
    settle();
    if (mine.open) {
        flush_cq();
        if (lane_ready(&mine) > 0) {
            say("left:");
            show(1);
        }
    }
    fds_close();
    lane_close(&mine);
    groups_discard();
    bulk_discard();
    files_unlink();
    lane_close(&aside);
}

static const struct vector *find(const char *name)
{
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct vector *vector = lists[i]; vector->name != NULL; vector++) {
            if (strcmp(vector->name, name) == 0)
                return vector;
        }
    }
    return NULL;
}

static int list(void)
{
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct vector *vector = lists[i]; vector->name != NULL; vector++)
            puts(vector->name);
    }
    return 0;
}

int conformance_main(int argc, char **argv, int (*in_world)(void (*run)(void)))
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc < 2 || argv[1][0] == '-') {
        printf("Usage: %s --list | VECTOR...\n", argv[0]);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        current = find(argv[i]);
        if (current == NULL) {
            fprintf(stderr, "%s: there is no vector %s\n", argv[0], argv[i]);
            return 2;
        }
        if (argc > 2)
            say("== %s", current->name);
        int rc = in_world(run_current);
        if (rc != 0)
            return rc;
    }
    return 0;
}
