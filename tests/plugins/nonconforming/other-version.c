/* Was made for another major version of the interface. */
#include "honest.h"

static const evo_kernel part = {
    .struct_size = sizeof(evo_kernel), .info = HONEST_INFO, .launch = honest_launch};
static const evo_kernel *const list[] = {&part};

const evo_plugin evo_plugin_entry = {
    EVO_ABI_MAGIC, 99, 0, sizeof(evo_plugin), .name = "nonconforming", .version = "1.0.0",
    .kernels = list, .kernel_count = 1};
