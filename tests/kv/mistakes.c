/* Mistakes that the authors of a scenario make: each is told by its name and with a remedy. */
#include <pthread.h>
#include <string.h>
#include <weir-sim.h>

static void *choose(void *unused)
{
    (void)unused;
    weir_sim_choose(2, "anything");
    return NULL;
}

static int foreign_thread(void *unused)
{
    pthread_t thread;
    (void)unused;
    if (pthread_create(&thread, NULL, choose, NULL) == 0)
        pthread_join(thread, NULL);
    return 0;
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static int nested_run(void *unused)
{
    (void)unused;
    return weir_run(nothing, NULL, NULL);
}

static int positive_route(void *unused)
{
    (void)unused;
    weir_sim_route("10.0.0.1", 110);
    return 0;
}

static int no_address(void *unused)
{
    (void)unused;
    weir_sim_name("kv.example", "an-address");
    return 0;
}

static int no_choice(void *unused)
{
    (void)unused;
    return (int)weir_sim_choose(0, "nothing");
}

static int blocking_call(void *unused)
{
    (void)unused;
    return weir_sim_connect("127.0.0.1", 7000);
}

int main(int argc, char **argv)
{
    static const struct weir_sim_scenario scenarios[] = {
        { .name = "foreign-thread", .main = foreign_thread },
        { .name = "nested-run", .main = nested_run },
        { .name = "positive-route", .main = positive_route },
        { .name = "no-address", .main = no_address },
        { .name = "no-choice", .main = no_choice },
        { .name = "blocking-call", .main = blocking_call },
        { .name = "nothing", .main = nothing },
        { 0 },
    };
    if (argc == 2 && strcmp(argv[1], "choose-outside") == 0)
        choose(NULL);
    if (argc == 2 && strcmp(argv[1], "run-outside") == 0)
        return weir_run(nothing, NULL, NULL) < 0;
    return weir_sim_main(argc, argv, scenarios);
}
