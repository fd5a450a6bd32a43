/*
 * A plugin of a version 1.9 that does not exist yet: the table of its kernel is longer, and its
 * description says more than this version knows. It has to work all the same.
 */
#include "evo_plugin.h"

struct later_kernel {
    evo_kernel known;
    int32_t (*of_1_9)(void);
};

static int32_t never(void) {
    return EVO_FAILED;
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    (void)instance, (void)host;
    memset(evo_data(io->outputs), 0, evo_elements(io->outputs) * sizeof(float));
    return EVO_OK;
}

static const struct later_kernel zero = {
    .known = {.struct_size = sizeof(struct later_kernel),
              .info = EVO_TEXT({"name": "zero", "problems": ["none"], "of_1_9": {"a": [1]}}),
              .launch = launch},
    .of_1_9 = never,
};
static const evo_kernel *const kernels[] = {&zero.known};

const evo_plugin evo_plugin_entry = {
    EVO_ABI_MAGIC, EVO_ABI_MAJOR, 9, sizeof(evo_plugin),
    .name = "c-newer",
    .version = "1.0.0",
    .kernels = kernels,
    .kernel_count = EVO_COUNT(kernels),
};
