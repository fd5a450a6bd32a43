// The smallest C plugin: a kernel that sums the rows of a matrix (built-in problem `reduction`).
#include "evo_plugin.h"

// One function for each number of partial sums: the compiler can unroll what is a constant.
#define SUM(LANES)                                                                  \
    static float sum_##LANES(const float *x, size_t n, size_t ahead) {              \
        float part[LANES] = {0}, sum = 0;                                           \
        size_t i = 0;                                                               \
        for (; i + LANES <= n; i += LANES) {                                        \
            if (ahead > 0) __builtin_prefetch(x + i + ahead);                       \
            for (size_t lane = 0; lane < LANES; lane++) part[lane] += x[i + lane];  \
        }                                                                           \
        for (; i < n; i++) sum += x[i];                                             \
        for (size_t lane = 0; lane < LANES; lane++) sum += part[lane];              \
        return sum;                                                                 \
    }
SUM(1) SUM(4) SUM(16) SUM(32) SUM(64) SUM(128)

static struct { int64_t lanes; float (*sum)(const float *, size_t, size_t); } choices[] = {
    {1, sum_1}, {4, sum_4}, {16, sum_16}, {32, sum_32}, {64, sum_64}, {128, sum_128}};

// Refuses what the kernel cannot do, in words for people.
static int32_t accept(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    const char *op, *axis, *dtype;
    (void)kernel;
    EVO_TRY(evo_name(host, &request->problem->fields, "op", &op));
    EVO_TRY(evo_name(host, &request->problem->fields, "axis", &axis));
    EVO_TRY(evo_name(host, &request->problem->fields, "dtype", &dtype));
    if (strcmp(op, "sum") != 0 || strcmp(axis, "last") != 0 || strcmp(dtype, "f32") != 0)
        return evo_fail(host, EVO_REJECTED, "it sums rows of f32 only (op=sum axis=last)");
    return EVO_OK;
}

// What is timed: io->inputs[0] is x, M rows of N; io->outputs[0] is y, a sum for each row.
static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    const float *x = evo_f32(&io->inputs[0]);
    float *y = evo_f32(&io->outputs[0]);
    size_t rows = evo_elements(&io->outputs[0]), n = evo_row(&io->inputs[0]), choice = 0, ahead;
    int64_t lanes;
    EVO_TRY(evo_int(host, &instance->request->config, "LANES", &lanes));
    EVO_TRY(evo_size(host, &instance->request->config, "AHEAD", &ahead));
    while (choices[choice].lanes != lanes)
        if (++choice == EVO_COUNT(choices)) return evo_fail(host, EVO_REJECTED, "no such LANES");
    for (size_t row = 0; row < rows; row++) y[row] = choices[choice].sum(x + row * n, n, ahead);
    return EVO_OK;
}

static const evo_kernel row_sum = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({"name": "row_sum", "doc": "Several partial sums", "problems": ["reduction"],
                      "params": [
        {"name": "LANES", "default": 1, "doc": "partial sums"},
        {"name": "AHEAD", "default": 0, "doc": "floats to prefetch ahead"}]}),
    .space = EVO_TEXT((name: "row_sum", params: [(name: "LANES", values: [1, 4, 16, 32, 64, 128]),
                                                 (name: "AHEAD", values: [0, 64, 256, 1024])])),
    .accept = accept, .launch = launch};
static const evo_kernel *const kernels[] = {&row_sum};
const evo_plugin evo_plugin_entry = {
    EVO_PLUGIN_HEADER, .name = "row-sum", .version = "1.0.0", .doc = "Sums the rows of a matrix",
    .kernels = kernels, .kernel_count = EVO_COUNT(kernels)};
