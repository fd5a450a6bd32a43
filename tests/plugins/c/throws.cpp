// A plugin in C++17, whose tables are filled by lambdas. One value of its parameter is caught at the
// border, another is not.
#include "evo_plugin.h"

#include <stdexcept>
#include <vector>

static std::int32_t resolve(const evo_problem *, const evo_params *fields, const evo_host *host) {
    std::int64_t n;
    EVO_TRY(evo_int(host, fields, "N", &n));
    const auto shape = static_cast<long long>(n);
    return evo_write(host, EVO_TEXT({
        "tensors": [{"name": "x", "role": "input", "dtype": "f32", "shape": [%lld]},
                    {"name": "y", "role": "output", "dtype": "f32", "shape": [%lld]}],
        "gates": [{"tensor": "y", "relative_error": 1e-6}], "flops": %lld,
        "distributions": ["uniform", "uniform"], "extra_shapes": [{"N": 3}]}),
        shape, shape, shape);
}

static std::int32_t fill(const evo_problem *, const evo_spec *, std::uint64_t seed, const char *,
                         const evo_tensor *inputs, std::size_t, const evo_host *) {
    for (std::size_t i = 0; i < evo_elements(inputs); i++) {
        evo_f32(inputs)[i] = static_cast<float>(evo_uniform(&seed));
    }
    return EVO_OK;
}

static std::int32_t reference(const evo_problem *, const evo_spec *, const evo_tensor *inputs,
                              std::size_t, const std::uint64_t *, std::size_t,
                              const evo_tensor *outputs, std::size_t, const evo_host *) {
    for (std::size_t i = 0; i < evo_elements(inputs); i++) {
        evo_f64(outputs)[i] = 2.0 * static_cast<double>(evo_f32(inputs)[i]);
    }
    return EVO_OK;
}

static std::int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    const char *mode;
    EVO_TRY(evo_name(host, &instance->request->config, "MODE", &mode));
    if (strcmp(mode, "escapes") == 0) {
        throw std::runtime_error("nobody catches this");
    }
    try {
        std::vector<float> values(evo_elements(io->inputs));
        for (std::size_t i = 0; i < values.size(); i++) {
            values.at(i) = 2.0f * evo_f32(io->inputs)[i];
        }
        memcpy(evo_data(io->outputs), values.data(), values.size() * sizeof(float));
        if (strcmp(mode, "caught") == 0) {
            values.at(values.size()) = 0.0f;
        }
    } catch (const std::exception &error) {
        return evo_fail(host, EVO_FAILED, "caught: %s", error.what());
    }
    return EVO_OK;
}

static const evo_kernel doubled = [] {
    evo_kernel kernel{};
    kernel.struct_size = sizeof kernel;
    kernel.info = EVO_TEXT({"name": "double", "problems": ["double"],
                            "params": [{"name": "MODE", "default": "fine"}]});
    kernel.space = EVO_TEXT((name: "double",
                             params: [(name: "MODE", values: ["fine", "caught", "escapes"])]));
    kernel.launch = launch;
    return kernel;
}();
static const evo_kernel *const kernels[] = {&doubled};

static const evo_problem problem = [] {
    evo_problem table{};
    table.struct_size = sizeof table;
    table.info = EVO_TEXT({"name": "double", "fields": [
        {"name": "N", "kind": {"int": {"min": 1, "max": 4096}}, "default": 1024}]});
    table.resolve = resolve;
    table.fill = fill;
    table.reference = reference;
    return table;
}();
static const evo_problem *const problems[] = {&problem};

const evo_plugin evo_plugin_entry = [] {
    evo_plugin table{EVO_PLUGIN_HEADER, "c-throws", "1.0.0", "Throws", nullptr,
                     nullptr,           0,          nullptr, 0,        nullptr,
                     0,                 nullptr,    0};
    table.kernels = kernels;
    table.kernel_count = EVO_COUNT(kernels);
    table.problems = problems;
    table.problem_count = EVO_COUNT(problems);
    return table;
}();
