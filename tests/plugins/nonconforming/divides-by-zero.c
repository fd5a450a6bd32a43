/* Divides by whatever number it is given. */
#include "honest.h"

static int32_t accept(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    int64_t lanes;
    (void)kernel;
    EVO_TRY(evo_int(host, &request->config, "LANES", &lanes));
    if (64 % lanes != 0) return evo_fail(host, EVO_REJECTED, "LANES must divide 64");
    return EVO_OK;
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .accept = accept, .launch = honest_launch);
