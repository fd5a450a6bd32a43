/* A C plugin with one kernel: row sums of a matrix, for the built-in problem `reduction`. */
#include "evo_plugin.h"

/* One function for each number of partial sums, so that the compiler knows it. Floats are added in
   the order that is written: one sum is one chain of additions, and several keep the CPU busy. */
#define ROW_SUM(LANES)                                              \
    static float row_sum_##LANES(const float *x, int64_t n) {       \
        float part[LANES] = {0}, sum = 0;                           \
        int64_t i = 0;                                              \
        for (; i + LANES <= n; i += LANES)                          \
            for (int lane = 0; lane < LANES; lane++)                \
                part[lane] += x[i + lane];                          \
        for (; i < n; i++) sum += x[i];                             \
        for (int lane = 0; lane < LANES; lane++) sum += part[lane]; \
        return sum;                                                 \
    }
ROW_SUM(1)
ROW_SUM(4)
ROW_SUM(16)
ROW_SUM(64)

typedef float (*row_sum)(const float *, int64_t);

static row_sum chosen(int64_t lanes) {
    switch (lanes) {
    case 1: return row_sum_1;
    case 4: return row_sum_4;
    case 16: return row_sum_16;
    case 64: return row_sum_64;
    default: return NULL;
    }
}

/* Says no, in words for people, to what the kernel cannot do. May be called by several threads. */
static int32_t accept(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    const evo_params *fields = &request->problem->fields;
    const char *op, *axis, *dtype;
    int64_t lanes;
    (void)kernel;
    EVO_TRY(evo_name(host, fields, "op", &op));
    EVO_TRY(evo_name(host, fields, "axis", &axis));
    EVO_TRY(evo_name(host, fields, "dtype", &dtype));
    if (strcmp(op, "sum") != 0 || strcmp(axis, "last") != 0 || strcmp(dtype, "f32") != 0)
        return evo_fail(host, EVO_REJECTED, "it sums rows of f32 only (op=sum axis=last)");
    EVO_TRY(evo_int(host, &request->config, "LANES", &lanes));
    if (chosen(lanes) == NULL)
        return evo_fail(host, EVO_REJECTED, "LANES is %lld, but must be 1, 4, 16 or 64",
                        (long long)lanes);
    return EVO_OK;
}

/* Computes once. It keeps nothing for the next launch and writes nothing but the output. */
static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    const evo_request *request = instance->request;
    const float *x = (const float *)evo_data(&io->inputs[0]);
    float *y = (float *)evo_data(&io->outputs[0]);
    int64_t rows, columns, lanes;
    EVO_TRY(evo_int(host, &request->problem->fields, "M", &rows));
    EVO_TRY(evo_int(host, &request->problem->fields, "N", &columns));
    EVO_TRY(evo_int(host, &request->config, "LANES", &lanes));
    row_sum sum = chosen(lanes);
    if (sum == NULL) return evo_fail(host, EVO_FAILED, "it was not asked to accept this");
    for (int64_t row = 0; row < rows; row++) y[row] = sum(x + row * columns, columns);
    return EVO_OK;
}

static const evo_kernel kernel = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({
        "name": "@NAME@", "doc": "Row sums of a matrix", "problems": ["reduction"],
        "params": [{"name": "LANES", "doc": "partial sums side by side", "default": 1}]
    }),
    .space = EVO_TEXT((
        name: "@NAME@",
        params: [(name: "LANES", values: [1, 4, 16, 64])],
    )),
    .accept = accept,
    .launch = launch,
};
static const evo_kernel *const kernels[] = {&kernel};

const evo_plugin evo_plugin_entry = {
    EVO_PLUGIN_HEADER,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Row sums of a matrix",
    .kernels = kernels,
    .kernel_count = EVO_COUNT(kernels),
};
