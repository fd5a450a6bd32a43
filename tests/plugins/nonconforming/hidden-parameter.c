/* A parameter changes the time and neither the code nor what is declared. */
#include "honest.h"

static int32_t build(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    (void)kernel, (void)request;
    return evo_write(host, "always the same");
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    int64_t lanes;
    EVO_TRY(evo_int(host, &instance->request->config, "LANES", &lanes));
    for (int64_t times = 0; times < lanes * lanes; times++)
        EVO_TRY(honest_launch(instance, io, host));
    return EVO_OK;
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .build = build, .launch = launch);
