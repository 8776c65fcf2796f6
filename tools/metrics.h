/* weir's counters as one line of JSON, for the tools and the benchmark. */
#ifndef WEIR_TOOLS_METRICS_H
#define WEIR_TOOLS_METRICS_H

#include <inttypes.h>
#include <stdio.h>
#include <weir.h>

/* In the order of struct weir_metrics. */
static const char *const metric_names[] = {
    "tasks_started",  "switches",       "enters",         "submissions",
    "completions",    "links",          "cq_overflows",   "sq_pressure",
    "bytes_read",     "bytes_written",  "bytes_copied",   "buffers_received",
    "buffers_missed", "reads_paused",   "drains_waited",  "connections_accepted",
    "accepts_failed", "tls_handshakes", "tls_resumed",    "tls_failures",
    "tasks_open",     "streams_open",   "streams_parked", "segments_open",
};
enum { METRIC_COUNT = sizeof metric_names / sizeof metric_names[0] };

union metrics {
    struct weir_metrics metrics;
    uint64_t counters[METRIC_COUNT];
};
_Static_assert(sizeof(struct weir_metrics) == METRIC_COUNT * sizeof(uint64_t),
               "each counter has its name");

/* The line without its end, so that more may follow: {"a": 1, "b": 2 */
static inline void metrics_print(const union metrics *metrics)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "{", metric_names[i], metrics->counters[i]);
}

#endif
