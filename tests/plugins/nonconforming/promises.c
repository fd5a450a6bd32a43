/* A profiler that says that it can work here, and cannot. */
#include "honest.h"

static int32_t profile(const evo_profiler *profiler, const evo_runnable *runnable, const evo_host *host) {
    (void)profiler, (void)runnable;
    return evo_fail(host, EVO_FAILED, "there are no counters on this machine");
}

PROFILER(.info = EVO_TEXT({"name": "counters"}), .profile = profile);
