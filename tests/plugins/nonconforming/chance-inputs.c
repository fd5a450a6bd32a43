/* A problem whose inputs are not a function of the seed. */
#include "honest.h"

#include <stdlib.h>

static int32_t fill(const evo_problem *problem, const evo_spec *spec, uint64_t seed,
                    const char *distribution, const evo_tensor *inputs, size_t input_count,
                    const evo_host *host) {
    float *x = (float *)evo_data(&inputs[0]);
    (void)problem, (void)spec, (void)seed, (void)distribution, (void)input_count, (void)host;
    for (size_t i = 0; i < evo_elements(&inputs[0]); i++) x[i] = (float)rand() / RAND_MAX;
    return EVO_OK;
}

PROBLEM(.info = TWICE_INFO, .resolve = honest_resolve, .fill = fill,
        .reference = honest_reference);
