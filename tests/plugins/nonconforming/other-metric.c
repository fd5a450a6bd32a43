/* An objective that returns another metric than the one to rank by. */
#include "honest.h"

static int32_t evaluate(evo_evaluator *evaluator, const evo_params *config, const evo_host *host) {
    (void)evaluator, (void)config;
    evo_metric(host, "time", "s", EVO_LOWER, 1.0);
    return EVO_OK;
}

OBJECTIVE(.info = EVO_TEXT({"name": "cost", "metric": "cost"}), .space = HONEST_SPACE,
          .evaluate = evaluate);
