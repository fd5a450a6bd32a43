/* Keeps what it loaded in a thread-local variable. */
#include "honest.h"

static _Thread_local int loaded;

static int32_t load(evo_instance *instance, const evo_host *host) {
    (void)instance, (void)host;
    loaded = 1;
    return EVO_OK;
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    if (!loaded) return evo_fail(host, EVO_FAILED, "nothing is loaded");
    return honest_launch(instance, io, host);
}

KERNEL(.info = HONEST_INFO, .space = HONEST_SPACE, .load = load, .launch = launch);
