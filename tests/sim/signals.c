/* Signals: who waits for one gets it, at whatever moment it comes. */
#include <signal.h>

#include "scenarios.h"
#include "scene.h"

enum { SIGNALS = 3, WAITERS = 2 };

static unsigned got[WAITERS];
static bool gave_up;
static int only; /* this one comes; 0: either */

/* A wait may fail for want of memory or of an fd; then nobody catches the signal any more. */
static int wait_for_signals(void *argument)
{
    unsigned *count = argument;
    while (*count < SIGNALS) {
        int rc = weir_wait_signal(SIGTERM, SIGUSR1);
        if (rc < 0) {
            gave_up = true;
            return excuse(NULL, rc, "wait_signal");
        }
        weir_sim_check(only != 0 ? rc == only : rc == SIGTERM || rc == SIGUSR1);
        ++*count;
    }
    return 0;
}

/* Until all have had enough: one that comes between two waits of a task is not its own. */
static int send_signals(void *unused)
{
    (void)unused;
    while (!gave_up && (got[0] < SIGNALS || got[1] < SIGNALS)) {
        int rc = nap(20, "when a signal comes");
        if (rc < 0)
            return rc;
        int either = weir_sim_choose(2, "which signal") == 0 ? SIGTERM : SIGUSR1;
        rc = weir_sim_signal(only != 0 ? only : either);
        weir_sim_check(rc == 0 || rc == -ESRCH);
    }
    return 0;
}

/* The first that fails ends the waits of the others. */
static int signals(void *unused)
{
    struct weir_group group = { 0 };
    (void)unused;
    for (unsigned i = 0; i < WAITERS; i++)
        scene_start(&group, wait_for_signals, &got[i]);
    int rc = scene_start(&group, send_signals, NULL);
    if (rc < 0)
        weir_group_cancel(&group);
    return weir_group_wait(&group);
}

int scenario_signals(void *unused)
{
    (void)unused;
    static const int which[] = { 0, SIGTERM, SIGUSR1 };
    only = which[weir_sim_choose(3, "which signals")];
    gave_up = false;
    got[0] = got[1] = 0;
    scene_begin(talk_client);
    if (scene_serve(talk_echo, NULL) < 0)
        return 0;
    scene_patiently(signals, NULL);
    scene_clients(1 + weir_sim_choose(3, "how many clients"));
    weir_sim_check(weir_sim_faults() > 0 || (got[0] == SIGNALS && got[1] == SIGNALS));
    weir_sim_check(weir_sim_signal(SIGTERM) == -ESRCH);
    return scene_end();
}
