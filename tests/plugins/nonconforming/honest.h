/*
 * An honest kernel (row sums for the built-in problem `reduction`) and an honest problem (`twice`),
 * for plugins that are honest in all but one thing. Each file beside this one defines what is wrong
 * with it, and then one of the macros at the end.
 */
#include "evo_plugin.h"

static inline int32_t honest_launch(evo_instance *instance, const evo_io *io,
                                    const evo_host *host) {
    const float *x = (const float *)evo_data(&io->inputs[0]);
    float *y = (float *)evo_data(&io->outputs[0]);
    int64_t m, n;
    EVO_TRY(evo_int(host, &instance->request->problem->fields, "M", &m));
    EVO_TRY(evo_int(host, &instance->request->problem->fields, "N", &n));
    for (int64_t row = 0; row < m; row++) {
        float sum = 0;
        for (int64_t i = 0; i < n; i++) sum += x[row * n + i];
        y[row] = sum;
    }
    return EVO_OK;
}

#define HONEST_INFO \
    EVO_TEXT({"name": "row_sum", "problems": ["reduction"], \
              "params": [{"name": "LANES", "default": 1}]})
#define HONEST_SPACE EVO_TEXT((name: "row_sum", params: [(name: "LANES", values: [1, 4])]))

/* y[i] = 2 x[i]. */
static inline int32_t honest_resolve(const evo_problem *problem, const evo_params *fields,
                                     const evo_host *host) {
    int64_t n;
    (void)problem;
    EVO_TRY(evo_int(host, fields, "N", &n));
    return evo_write(host,
                     EVO_TEXT({"tensors": [
                         {"name": "x", "role": "input", "dtype": "f32", "shape": [%lld]},
                         {"name": "y", "role": "output", "dtype": "f32", "shape": [%lld]}],
                         "gates": [{"tensor": "y", "relative_error": 1e-6}],
                         "distributions": ["uniform", "outliers"], "flops": %lld,
                         "extra_shapes": [{"N": 7}]}),
                     (long long)n, (long long)n, (long long)n);
}

static inline int32_t honest_fill(const evo_problem *problem, const evo_spec *spec, uint64_t seed,
                                  const char *distribution, const evo_tensor *inputs,
                                  size_t input_count, const evo_host *host) {
    double scale = 1;
    (void)problem, (void)spec, (void)input_count;
    if (strcmp(distribution, "outliers") == 0) scale = 1e6;
    else if (strcmp(distribution, "uniform") != 0)
        return evo_fail(host, EVO_FAILED, "there is no distribution `%s`", distribution);
    float *x = (float *)evo_data(&inputs[0]);
    for (size_t i = 0; i < evo_elements(&inputs[0]); i++) x[i] = (float)(scale * evo_uniform(&seed));
    return EVO_OK;
}

static inline int32_t honest_reference(const evo_problem *problem, const evo_spec *spec,
                                       const evo_tensor *inputs, size_t input_count,
                                       const uint64_t *rows, size_t row_count,
                                       const evo_tensor *outputs, size_t output_count,
                                       const evo_host *host) {
    const float *x = (const float *)evo_data(&inputs[0]);
    double *y = (double *)evo_data(&outputs[0]);
    (void)problem, (void)spec, (void)input_count, (void)rows, (void)row_count;
    (void)output_count, (void)host;
    for (size_t i = 0; i < evo_elements(&inputs[0]); i++) y[i] = 2.0 * (double)x[i];
    return EVO_OK;
}

#define TWICE_INFO \
    EVO_TEXT({"name": "twice", "fields": [ \
        {"name": "N", "kind": {"int": {"min": 1, "max": 4096}}, "default": 64}]})

/* The table of a plugin with one part. */
#define TABLE(part, parts, count)                                          \
    const evo_plugin evo_plugin_entry = {                                  \
        EVO_PLUGIN_HEADER, .name = "nonconforming", .version = "1.0.0",    \
        .doc = "Breaks a rule on purpose", .parts = part##_list, .count = 1}

/* A plugin with one kernel, problem, objective or profiler: the members of its table. */
#define KERNEL(...)                                                                      \
    static const evo_kernel part = {.struct_size = sizeof(evo_kernel), __VA_ARGS__};     \
    static const evo_kernel *const kernel_list[] = {&part};                              \
    TABLE(kernel, kernels, kernel_count)
#define PROBLEM(...)                                                                     \
    static const evo_problem part = {.struct_size = sizeof(evo_problem), __VA_ARGS__};   \
    static const evo_problem *const problem_list[] = {&part};                            \
    TABLE(problem, problems, problem_count)
#define OBJECTIVE(...)                                                                   \
    static const evo_objective part = {.struct_size = sizeof(evo_objective), __VA_ARGS__}; \
    static const evo_objective *const objective_list[] = {&part};                        \
    TABLE(objective, objectives, objective_count)
#define PROFILER(...)                                                                    \
    static const evo_profiler part = {.struct_size = sizeof(evo_profiler), __VA_ARGS__}; \
    static const evo_profiler *const profiler_list[] = {&part};                          \
    TABLE(profiler, profilers, profiler_count)
