/* The metrics add up, in a world in which nothing fails: both ends are of this loop, so what one
 * writes the other reads, and the scenario knows how much that was. */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "scene.h"

static uint64_t bytes_moved(void)
{
    char greeting[16];
    uint64_t sum = 0;
    for (unsigned i = 0; i < scene.begun; i++) {
        const struct talk *talk = &scene.talks[i];
        int size = snprintf(greeting, sizeof greeting, "talk %u\n", talk->id);
        sum += (uint64_t)size + talk->up.written + talk->down.written;
    }
    return sum;
}

int scenario_metrics(void *unused)
{
    struct weir_metrics before, after;
    (void)unused;
    weir_get_metrics(&before);
    scene_begin(talk_client);
    weir_sim_check(before.tasks_open == 1 && before.streams_open == 0);
    int rc = scene_serve(talk_exchange, NULL);
    weir_sim_check(rc == 0);
    unsigned count = 1 + weir_sim_choose(10, "how many clients");
    scene_clients(count);
    scene_end();
    weir_get_metrics(&after);
    weir_sim_check(weir_sim_faults() == 0);
    weir_sim_check(after.bytes_written - before.bytes_written == bytes_moved());
    weir_sim_check(after.bytes_read - before.bytes_read == bytes_moved());
    uint64_t accepted = after.connections_accepted - before.connections_accepted;
    weir_sim_check(scene.strangers ? accepted > count : accepted == count + 1);
    weir_sim_check(after.accepts_failed == before.accepts_failed);
    weir_sim_check(after.tasks_open == 1);
    weir_sim_check(after.tasks_started - before.tasks_started >= 2 * (count + 1));
    weir_sim_check(after.submissions > before.submissions && after.enters > before.enters);
    return 0;
}
