#include "base/metrics.h"

#include "base/macros.h"

_Thread_local struct weir_metrics metrics;

PUBLIC void weir_get_metrics(struct weir_metrics *ret_metrics)
{
    *ret_metrics = metrics;
}
