/* asyncio.TaskGroup: three tasks at once; the first to fail cancels the others, and what the group
 * returns is its error. */
#include <errno.h>
#include <stdio.h>
#include <weir.h>

struct job {
    const char *name;
    weir_duration takes;
    int result;
};

static int work(void *argument)
{
    struct job *job = argument;
    printf("%s: begins\n", job->name);
    int rc = weir_sleep(job->takes);
    printf("%s: %s\n", job->name, rc < 0 ? "cancelled" : job->result < 0 ? "fails" : "done");
    return rc < 0 ? rc : job->result;
}

static int run(void *unused)
{
    (void)unused;
    struct job jobs[] = {
        { "short", 100 * WEIR_MILLISECOND, 0 },
        { "broken", 200 * WEIR_MILLISECOND, -EIO },
        { "long", 60 * WEIR_SECOND, 0 },
    };
    struct weir_group group = { 0 };
    for (size_t i = 0; i < 3; i++)
        weir_group_start(&group, work, &jobs[i]);

    int rc = weir_group_wait(&group); /* all three have ended, a minute early */
    printf("group: %s\n", weir_strerror(rc));
    return rc == -EIO ? 0 : rc;
}

int main(void)
{
    return weir_run(run, NULL, NULL) < 0;
}
