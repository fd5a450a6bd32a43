// A library in CUDA C++: a block sums a row of a matrix (built-in problem `reduction`). Needs nvcc and a GPU:
//   nvcc -std=c++17 -O3 -arch=native -shared -Xcompiler -fPIC -I framework/evo-plugin/include \
//       -o row_sum.so tests/plugins/c/row_sum.cu
//   evo plugin check ./row_sum.so --set M=512 --set N=3000
#include <cuda_runtime.h>

#include "evo_plugin.h"

static __global__ void sum(const float *x, float *y, size_t n) {
    __shared__ float part[1024];
    float own = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x) own += x[blockIdx.x * n + i];
    part[threadIdx.x] = own;
    for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
    }
    if (threadIdx.x == 0) y[blockIdx.x] = part[0];
}

static int32_t accept(const evo_kernel *, const evo_request *request, const evo_host *host) {
    const evo_params *fields = &request->problem->fields;
    const char *op, *axis, *dtype;
    int64_t threads;
    EVO_TRY(evo_name(host, fields, "op", &op));
    EVO_TRY(evo_name(host, fields, "axis", &axis));
    EVO_TRY(evo_name(host, fields, "dtype", &dtype));
    EVO_TRY(evo_int(host, &request->config, "THREADS", &threads));
    if (strcmp(op, "sum") != 0 || strcmp(axis, "last") != 0 || strcmp(dtype, "f32") != 0)
        return evo_fail(host, EVO_REJECTED, "it sums rows of f32 only (op=sum axis=last)");
    if (threads < 1 || threads > 1024 || (threads & (threads - 1)) != 0)
        return evo_fail(host, EVO_REJECTED, "THREADS is a power of two up to 1024");
    return EVO_OK;
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    size_t threads;
    EVO_TRY(evo_size(host, &instance->request->config, "THREADS", &threads));
    const evo_tensor *x = &io->inputs[0], *y = &io->outputs[0];
    const unsigned rows = static_cast<unsigned>(evo_elements(y));
    const auto stream = reinterpret_cast<cudaStream_t>(io->stream);
    sum<<<rows, static_cast<unsigned>(threads), 0, stream>>>(
        static_cast<const float *>(evo_data(x)), static_cast<float *>(evo_data(y)), evo_row(x));
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? EVO_OK
                                : evo_fail(host, EVO_FAILED, "%s", cudaGetErrorString(error));
}

static const evo_kernel row_sum = [] {
    evo_kernel kernel{};
    kernel.struct_size = sizeof kernel;
    kernel.info = EVO_TEXT({"name": "row_sum", "problems": ["reduction"], "devices": ["cuda"],
                            "params": [{"name": "THREADS", "default": 32}]});
    kernel.space = EVO_TEXT((name: "row_sum", params: [
        (name: "THREADS", values: [32, 64, 128, 256, 512, 1024])]));
    kernel.accept = accept;
    kernel.launch = launch;
    return kernel;
}();
static const evo_kernel *const kernels[] = {&row_sum};

const evo_plugin evo_plugin_entry = [] {
    evo_plugin plugin{EVO_PLUGIN_HEADER};
    plugin.name = "row-sum-cuda";
    plugin.version = "1.0.0";
    plugin.doc = "Sums the rows of a matrix, a block for each";
    plugin.kernels = kernels;
    plugin.kernel_count = EVO_COUNT(kernels);
    return plugin;
}();
