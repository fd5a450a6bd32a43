/* Builds something else every time. */
#include "honest.h"

#include <time.h>

static int32_t build(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    struct timespec now;
    (void)kernel, (void)request;
    clock_gettime(CLOCK_REALTIME, &now);
    host->write(host, &now, sizeof now);
    return EVO_OK;
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .build = build, .launch = honest_launch);
