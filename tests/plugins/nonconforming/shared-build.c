/* Keeps in a static variable what it builds. */
#include "honest.h"

#include <unistd.h>

static int64_t lanes;

static int32_t build(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    (void)kernel;
    EVO_TRY(evo_int(host, &request->config, "LANES", &lanes));
    usleep(2000);
    return evo_write(host, "%lld", (long long)lanes);
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .build = build, .launch = honest_launch);
