/*
 * Compiled against the header as it was in version 1.0 (include_1_0): it has to work in every later
 * 1.x. A kernel that copies.
 */
#include "evo_plugin.h"

#if EVO_ABI_MINOR != 0
#error "this plugin is to be compiled against include_1_0"
#endif

static int32_t resolve(const evo_problem *problem, const evo_params *fields, const evo_host *host) {
    int64_t n;
    (void)problem;
    EVO_TRY(evo_int(host, fields, "N", &n));
    return evo_write(host, EVO_TEXT({
        "tensors": [{"name": "x", "role": "input", "dtype": "f64", "shape": [%lld, 8]},
                    {"name": "y", "role": "output", "dtype": "f64", "shape": [%lld, 8]}],
        "gates": [{"tensor": "y", "relative_error": 1e-15}], "flops": 1,
        "distributions": ["uniform", "uniform"], "extra_shapes": [{"N": 3}]}),
        (long long)n, (long long)n);
}

static int32_t fill(const evo_problem *problem, const evo_spec *spec, uint64_t seed,
                    const char *distribution, const evo_tensor *inputs, size_t input_count,
                    const evo_host *host) {
    size_t i;
    (void)problem, (void)spec, (void)distribution, (void)input_count, (void)host;
    for (i = 0; i < evo_elements(inputs); i++) {
        evo_f64(inputs)[i] = evo_uniform(&seed);
    }
    return EVO_OK;
}

static int32_t reference(const evo_problem *problem, const evo_spec *spec,
                         const evo_tensor *inputs, size_t input_count, const uint64_t *rows,
                         size_t row_count, const evo_tensor *outputs, size_t output_count,
                         const evo_host *host) {
    (void)problem, (void)spec, (void)input_count, (void)output_count, (void)host;
    (void)rows, (void)row_count;
    memcpy(evo_data(outputs), evo_data(inputs), evo_elements(inputs) * sizeof(double));
    return EVO_OK;
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    size_t step, i, k, n = evo_elements(io->inputs);
    EVO_TRY(evo_size(host, &instance->request->config, "STEP", &step));
    for (i = 0; i < n; i += step) {
        for (k = i; k < i + step && k < n; k++) {
            evo_f64(io->outputs)[k] = evo_f64(io->inputs)[k];
        }
    }
    return EVO_OK;
}

static const evo_problem copy_problem = {
    sizeof(evo_problem),
    EVO_TEXT({"name": "copy", "fields": [
        {"name": "N", "kind": {"int": {"min": 1, "max": 4096}}, "default": 256}]}),
    resolve, fill, reference};
static const evo_kernel copy_kernel = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({"name": "copy", "problems": ["copy"],
                      "params": [{"name": "STEP", "default": 1}]}),
    .space = EVO_TEXT((name: "copy", params: [(name: "STEP", values: [1, 4, 16])])),
    .launch = launch,
};
static const evo_problem *const problems[] = {&copy_problem};
static const evo_kernel *const kernels[] = {&copy_kernel};

const evo_plugin evo_plugin_entry = {
    EVO_PLUGIN_HEADER,
    .name = "c-old",
    .version = "1.0.0",
    .kernels = kernels,
    .kernel_count = EVO_COUNT(kernels),
    .problems = problems,
    .problem_count = EVO_COUNT(problems),
};
