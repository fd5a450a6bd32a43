/*
 * Everything that can be wrong with the tables, one at a time: a test defines one of these
 * macros when it compiles the file.
 */
#include "evo_plugin.h"

#ifndef MAGIC
#define MAGIC EVO_ABI_MAGIC
#endif
#ifndef MAJOR
#define MAJOR EVO_ABI_MAJOR
#endif
#ifndef SIZE
#define SIZE sizeof(evo_plugin)
#endif
#ifndef KERNEL_SIZE
#define KERNEL_SIZE sizeof(evo_kernel)
#endif
#ifndef NAME
#define NAME "c-broken"
#endif
#ifndef INFO
#define INFO EVO_TEXT({"name": "k", "problems": ["p"]})
#endif
#ifndef LAUNCH
#define LAUNCH launch
#endif
#ifndef KERNEL
#define KERNEL &kernel
#endif
#ifndef KERNELS
#define KERNELS kernels
#endif
#ifndef COUNT
#define COUNT EVO_COUNT(kernels)
#endif

int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host);
int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    (void)instance, (void)io, (void)host;
    return EVO_OK;
}

extern const evo_kernel kernel;
const evo_kernel kernel = {.struct_size = KERNEL_SIZE, .info = INFO, .launch = LAUNCH};
extern const evo_kernel *const kernels[1];
const evo_kernel *const kernels[1] = {KERNEL};

const evo_plugin evo_plugin_entry = {
    MAGIC, MAJOR, EVO_ABI_MINOR, SIZE,
    .name = NAME,
    .version = "1.0.0",
    .kernels = KERNELS,
    .kernel_count = COUNT,
};
