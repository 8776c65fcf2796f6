/* This thread's counters: plain increments, read by weir_get_metrics(). */
#ifndef WEIR_BASE_METRICS_H
#define WEIR_BASE_METRICS_H

#include <weir.h>

extern _Thread_local struct weir_metrics metrics;

#endif
