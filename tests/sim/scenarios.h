/* All scenarios: each builds its whole world, as the main task of a loop, and returns 0. */
#ifndef WEIR_TESTS_SIM_SCENARIOS_H
#define WEIR_TESTS_SIM_SCENARIOS_H

#include <weir.h>

/* streams.c */
weir_task_fn scenario_echo, scenario_requests, scenario_bulk, scenario_half_close;
/* proxy.c */
weir_task_fn scenario_proxy, scenario_turns, scenario_overfed;
/* relays.c */
weir_task_fn scenario_broadcast;
/* names.c */
weir_task_fn scenario_eyeballs, scenario_slow_names, scenario_own_names;
/* servers.c */
weir_task_fn scenario_shutdown, scenario_many, scenario_crowd;
/* fds.c */
weir_task_fn scenario_fds, scenario_shown_out;
/* parking.c */
weir_task_fn scenario_parked, scenario_parked_lightly;
/* interrupts.c */
weir_task_fn scenario_interrupts, scenario_timeouts, scenario_storm;
/* threads.c */
weir_task_fn scenario_threads;
/* unix.c */
weir_task_fn scenario_unix, scenario_replaced;
/* strangers.c */
weir_task_fn scenario_strangers, scenario_unread;
/* tls.c */
weir_task_fn scenario_tls, scenario_tls_heap, scenario_tls_corrupted, scenario_start_tls;
/* metrics.c */
weir_task_fn scenario_metrics;

/* tls_cut.c */
weir_task_fn scenario_tls_cut, scenario_tls_silent;
/* signals.c */
weir_task_fn scenario_signals;
/* attempts.c */
weir_task_fn scenario_attempts;
/* impatient.c */
weir_task_fn scenario_impatient;
/* answers.c */
weir_task_fn scenario_answers, scenario_unheard;
/* departures.c */
weir_task_fn scenario_departures, scenario_full_house;
/* adopted.c */
weir_task_fn scenario_adopted;
/* shared.c */
weir_task_fn scenario_shared;
/* tls_given_up.c */
weir_task_fn scenario_tls_given_up;
/* framing.c */
weir_task_fn scenario_framing;
/* tasks.c */
weir_task_fn scenario_groups, scenario_events, scenario_drains, scenario_leaving;
/* recalls.c */
weir_task_fn scenario_recalls;
/* tls_idle.c */
weir_task_fn scenario_tls_idle;
/* tls_named.c */
weir_task_fn scenario_tls_named;
/* promptness.c */
weir_task_fn scenario_prompt, scenario_crowded, scenario_in_line;
/* restless.c */
weir_task_fn scenario_restless;
/* endings.c */
weir_task_fn scenario_resets, scenario_last_words, scenario_aborts, scenario_restart;

#endif
