/* A problem that does not say how exact its output has to be. */
#include "honest.h"

static int32_t resolve(const evo_problem *problem, const evo_params *fields, const evo_host *host) {
    (void)problem, (void)fields;
    return evo_write(host,
                     EVO_TEXT({"tensors": [
                         {"name": "x", "role": "input", "dtype": "f32", "shape": [64]},
                         {"name": "y", "role": "output", "dtype": "f32", "shape": [64]}],
                         "gates": [], "distributions": ["uniform", "outliers"], "flops": 64,
                         "extra_shapes": [{"N": 7}]}));
}

PROBLEM(.info = TWICE_INFO, .resolve = resolve, .fill = honest_fill,
        .reference = honest_reference);
