/* A problem whose reference is not a number everywhere. */
#include "honest.h"

static int32_t reference(const evo_problem *problem, const evo_spec *spec, const evo_tensor *inputs,
                         size_t input_count, const uint64_t *rows, size_t row_count,
                         const evo_tensor *outputs, size_t output_count, const evo_host *host) {
    double *y = (double *)evo_data(&outputs[0]);
    EVO_TRY(honest_reference(problem, spec, inputs, input_count, rows, row_count, outputs,
                             output_count, host));
    y[0] /= 0.0;
    return EVO_OK;
}

PROBLEM(.info = TWICE_INFO, .resolve = honest_resolve, .fill = honest_fill,
        .reference = reference);
