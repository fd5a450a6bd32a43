/* An objective that never works again after a configuration that it cannot evaluate. */
#include "honest.h"

static int broken;

static int32_t evaluate(evo_evaluator *evaluator, const evo_params *config, const evo_host *host) {
    int64_t lanes;
    (void)evaluator;
    if (broken) return evo_fail(host, EVO_FAILED, "still broken");
    broken = 1;
    EVO_TRY(evo_int(host, config, "LANES", &lanes));
    evo_metric(host, "cost", "", EVO_LOWER, (double)lanes);
    broken = 0;
    return EVO_OK;
}

OBJECTIVE(.info = EVO_TEXT({"name": "cost", "metric": "cost"}), .space = HONEST_SPACE,
          .evaluate = evaluate);
