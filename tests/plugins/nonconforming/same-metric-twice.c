/* A profiler that gives two metrics one name. */
#include "honest.h"

static int32_t profile(const evo_profiler *profiler, const evo_runnable *runnable, const evo_host *host) {
    (void)profiler;
    EVO_TRY(runnable->launch(runnable));
    evo_metric(host, "launches", "count", EVO_INFO, 1);
    evo_metric(host, "launches", "count", EVO_INFO, 2);
    return EVO_OK;
}

PROFILER(.info = EVO_TEXT({"name": "counters"}), .profile = profile);
