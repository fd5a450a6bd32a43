/* A problem that cannot take the values that it says it takes. */
#include "honest.h"

#include <stdlib.h>

static int32_t resolve(const evo_problem *problem, const evo_params *fields, const evo_host *host) {
    int64_t n;
    EVO_TRY(evo_int(host, fields, "N", &n));
    if (n == 4096) abort();
    return honest_resolve(problem, fields, host);
}

PROBLEM(.info = TWICE_INFO, .resolve = resolve, .fill = honest_fill,
        .reference = honest_reference);
