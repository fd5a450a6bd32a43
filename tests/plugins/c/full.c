/*
 * Uses every function of the interface: a problem, three kernels, an objective and a profiler.
 *
 * The problem `weigh`: y[i] = x[i] * w[i % W].
 */
#include "evo_plugin.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------- problem ---- */

static int32_t resolve(const evo_problem *problem, const evo_params *fields, const evo_host *host) {
    int64_t n, w;
    (void)problem;
    EVO_TRY(evo_int(host, fields, "N", &n));
    EVO_TRY(evo_int(host, fields, "W", &w));
    if (w > n) {
        return evo_fail(host, EVO_REJECTED, "W is %lld, but must not be more than N",
                        (long long)w);
    }
    EVO_TRY(evo_write(host,
                      EVO_TEXT({"tensors": [
                          {"name": "x", "role": "input", "dtype": "f32", "shape": [%lld]},
                          {"name": "w", "role": "input", "dtype": "f32", "shape": [%lld]},
                          {"name": "y", "role": "output", "dtype": "f32", "shape": [%lld]}],),
                      (long long)n, (long long)w, (long long)n));
    return evo_write(host,
                     EVO_TEXT("gates": [{"tensor": "y", "relative_error": 1e-6}],
                              "distributions": ["uniform", "large"], "flops": %lld,
                              "extra_shapes": [{"N": 7, "W": 3}], "cache": "hot"}),
                     (long long)n);
}

static int32_t fill(const evo_problem *problem, const evo_spec *spec, uint64_t seed,
                    const char *distribution, const evo_tensor *inputs, size_t input_count,
                    const evo_host *host) {
    int large = strcmp(distribution, "large") == 0;
    double scale = large ? 1e6 : 1.0;
    uint64_t state = seed;
    size_t i, t;
    (void)problem;
    if (strcmp(spec->name, "weigh") != 0) {
        return evo_fail(host, EVO_FAILED, "the problem is %s", spec->name);
    }
    if (!large && strcmp(distribution, "uniform") != 0) {
        return evo_fail(host, EVO_FAILED, "there is no distribution `%s`", distribution);
    }
    for (t = 0; t < input_count; t++) {
        float *data = evo_f32(&inputs[t]);
        for (i = 0; i < evo_elements(&inputs[t]); i++) {
            data[i] = (float)(scale * evo_uniform(&state));
        }
    }
    return EVO_OK;
}

static int32_t reference(const evo_problem *problem, const evo_spec *spec,
                         const evo_tensor *inputs, size_t input_count, const uint64_t *rows,
                         size_t row_count, const evo_tensor *outputs, size_t output_count,
                         const evo_host *host) {
    const float *x = evo_f32(&inputs[0]);
    const float *w = evo_f32(&inputs[1]);
    size_t n = evo_elements(&inputs[0]), period = evo_elements(&inputs[1]), i;
    double *y = evo_f64(&outputs[0]);
    (void)problem;
    (void)spec;
    (void)rows; /* There is one row. */
    (void)row_count;
    if (input_count != 2 || output_count != 1 || y == NULL) {
        return evo_fail(host, EVO_FAILED, "%zu inputs, %zu outputs", input_count, output_count);
    }
    for (i = 0; i < n; i++) {
        y[i] = (double)x[i] * (double)w[i % period];
    }
    return EVO_OK;
}

static const evo_problem weigh = {
    .struct_size = sizeof(evo_problem),
    .info = EVO_TEXT({"name": "weigh", "doc": "Weighs elements", "fields": [
        {"name": "N", "doc": "elements", "kind": {"int": {"min": 1, "max": 1048576}},
         "default": 4096},
        {"name": "W", "kind": {"int": {"min": 1, "max": 4096}}, "default": 8}]}),
    .resolve = resolve,
    .fill = fill,
    .reference = reference,
};
static const evo_problem *const problems[] = {&weigh};

/* --------------------------------------------------------------- a kernel with every function */

struct state {
    size_t block;
    float *weights; /* as long as the output */
    size_t bound;
};

static int32_t accept(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    size_t block;
    (void)kernel;
    EVO_TRY(evo_size(host, &request->config, "BLOCK", &block));
    if (block == 13) {
        return evo_fail(host, EVO_REJECTED, "BLOCK is %zu, an unlucky number", block);
    }
    return EVO_OK;
}

/* The code depends on BLOCK and MODE; DEAD changes nothing, and THREADS acts at launch. */
static int32_t build(const evo_kernel *kernel, const evo_request *request, const evo_host *host) {
    size_t block;
    int64_t threads;
    const char *mode;
    (void)kernel;
    EVO_TRY(evo_size(host, &request->config, "BLOCK", &block));
    EVO_TRY(evo_int(host, &request->config, "THREADS", &threads));
    EVO_TRY(evo_name(host, &request->config, "MODE", &mode));
    evo_log(host, EVO_LOG_INFO, "building for BLOCK=%zu", block);
    if (strcmp(mode, "broken") == 0) {
        evo_log(host, EVO_LOG_ERROR, "weigh.c:1: what is `broken`?");
        return evo_fail(host, EVO_BUILD_FAILED, "the compiler gave up");
    }
    evo_metric(host, "registers", "count", EVO_INFO, (double)block);
    evo_launch_int(host, "THREADS", threads);
    return evo_write(host, "block %zu %s", block, mode);
}

static int32_t load(evo_instance *instance, const evo_host *host) {
    struct state *state;
    size_t block;
    EVO_TRY(evo_size(host, &instance->request->config, "BLOCK", &block));
    if (instance->artifact_size < 6 || memcmp(instance->artifact, "block ", 6) != 0) {
        return evo_fail(host, EVO_FAILED, "this is no artifact of build");
    }
    state = (struct state *)calloc(1, sizeof *state);
    if (state == NULL) {
        return evo_fail(host, EVO_OUT_OF_MEMORY, "no memory for the state");
    }
    state->block = block;
    instance->state = state;
    return EVO_OK;
}

static void unload(evo_instance *instance) {
    struct state *state = (struct state *)instance->state;
    free(state->weights);
    free(state);
}

static int32_t workspace_size(evo_instance *instance, size_t *bytes, const evo_host *host) {
    (void)host;
    *bytes = ((struct state *)instance->state)->block * sizeof(float);
    return EVO_OK;
}

/* Repeats the weights over the whole length, so that `launch` has no remainder to take. */
static int32_t prepare(evo_instance *instance, const evo_tensor *inputs, size_t input_count,
                       const evo_host *host) {
    struct state *state = (struct state *)instance->state;
    size_t n, period, i;
    if (input_count != 2) {
        return evo_fail(host, EVO_FAILED, "%zu inputs", input_count);
    }
    n = evo_elements(&inputs[0]);
    period = evo_elements(&inputs[1]);
    free(state->weights);
    state->weights = (float *)malloc(n * sizeof(float));
    if (state->weights == NULL) {
        return evo_fail(host, EVO_OUT_OF_MEMORY, "no memory for %zu weights", n);
    }
    for (i = 0; i < n; i++) {
        state->weights[i] = evo_f32(&inputs[1])[i % period];
    }
    return EVO_OK;
}

static int32_t bind(evo_instance *instance, const evo_io *io, const evo_host *host) {
    (void)io;
    (void)host;
    ((struct state *)instance->state)->bound++;
    return EVO_OK;
}

static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
    struct state *state = (struct state *)instance->state;
    const float *x = evo_f32(&io->inputs[0]);
    float *y = evo_f32(&io->outputs[0]);
    float *scratch = (float *)io->workspace;
    size_t n = evo_elements(&io->outputs[0]), i, k;
    if (state->weights == NULL || state->bound == 0) {
        return evo_fail(host, EVO_FAILED, "launched before prepare and bind");
    }
    if (io->workspace_size < state->block * sizeof(float)) {
        return evo_fail(host, EVO_FAILED, "a workspace of %zu bytes", io->workspace_size);
    }
    for (i = 0; i < n; i += state->block) {
        size_t length = n - i < state->block ? n - i : state->block;
        for (k = 0; k < length; k++) {
            scratch[k] = x[i + k] * state->weights[i + k];
        }
        memcpy(y + i, scratch, length * sizeof(float));
    }
    return EVO_OK;
}

static const evo_kernel blocked = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({"name": "blocked", "doc": "Through a block of scratch memory",
        "problems": ["weigh"], "devices": ["cpu"], "deterministic": true, "params": [
            {"name": "BLOCK", "default": 64},
            {"name": "MODE", "default": "plain"},
            {"name": "DEAD", "default": 0, "doc": "has no effect"},
            {"name": "THREADS", "default": 1, "runtime": true}]}),
    .space = EVO_TEXT((name: "blocked", params: [
        (name: "BLOCK", values: [64, 256, 13]), (name: "MODE", values: ["plain", "broken"]),
        (name: "DEAD", values: [0, 1])])),
    .accept = accept,
    .build = build,
    .load = load,
    .unload = unload,
    .workspace_size = workspace_size,
    .bind = bind,
    .launch = launch,
    .prepare = prepare,
};

/* ------------------------------------------------------- a kernel with nothing but its launch */

static int32_t launch_plain(evo_instance *instance, const evo_io *io, const evo_host *host) {
    const float *x = evo_f32(&io->inputs[0]);
    const float *w = evo_f32(&io->inputs[1]);
    float *y = evo_f32(&io->outputs[0]);
    size_t n = evo_elements(&io->outputs[0]), period = evo_elements(&io->inputs[1]), i;
    int wrong;
    EVO_TRY(evo_bool(host, &instance->request->config, "WRONG", &wrong));
    for (i = 0; i < n; i++) {
        y[i] = x[i] * w[i % period] + (float)wrong;
    }
    return EVO_OK;
}

static const evo_kernel plain = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({"name": "plain", "problems": ["weigh"],
                      "params": [{"name": "WRONG", "default": false}]}),
    .space = EVO_TEXT((name: "plain", params: [(name: "WRONG", values: [true, false])])),
    .launch = launch_plain,
};

/* ---------------------------------------------------------------- a kernel that fails to launch */

static int32_t launch_never(evo_instance *instance, const evo_io *io, const evo_host *host) {
    (void)io;
    return evo_fail(host, EVO_FAILED, "the kernel %s never works", instance->kernel->info);
}

static const evo_kernel never = {
    .struct_size = sizeof(evo_kernel),
    .info = EVO_TEXT({"name": "never", "problems": ["weigh"]}),
    .launch = launch_never,
};
static const evo_kernel *const kernels[] = {&blocked, &plain, &never};

/* ------------------------------------------------------------------------------ objective ---- */

static int32_t open(evo_evaluator *evaluator, const evo_host *host) {
    double center, *state;
    EVO_TRY(evo_float(host, &evaluator->settings, "center", &center));
    state = (double *)malloc(sizeof *state);
    if (state == NULL) {
        return evo_fail(host, EVO_OUT_OF_MEMORY, "no memory");
    }
    *state = center;
    evaluator->state = state;
    return EVO_OK;
}

static void close(evo_evaluator *evaluator) {
    free(evaluator->state);
}

static int32_t make_space(evo_evaluator *evaluator, const evo_host *host) {
    int64_t width;
    EVO_TRY(evo_int(host, &evaluator->settings, "width", &width));
    return evo_write(host,
                     EVO_TEXT((name: "parabola",
                               params: [(name: "X", range: (from: 0, to: %lld))])),
                     (long long)width);
}

static int32_t evaluate(evo_evaluator *evaluator, const evo_params *config, const evo_host *host) {
    double center = *(double *)evaluator->state, x, samples[3];
    EVO_TRY(evo_float(host, config, "X", &x));
    if (x == 0.0) {
        return evo_fail(host, EVO_TIMED_OUT, "30");
    }
    if (x == 1.0) {
        return evo_fail(host, EVO_WRONG_RESULT, "recorded as wrong");
    }
    samples[0] = samples[1] = samples[2] = (x - center) * (x - center);
    host->cost(host, 0.25);
    host->metric(host, "height", "m", EVO_LOWER, samples[1], samples, EVO_COUNT(samples));
    evo_metric(host, "x", "", EVO_INFO, x);
    return EVO_OK;
}

static const evo_objective parabola = {
    .struct_size = sizeof(evo_objective),
    .info = EVO_TEXT({"name": "parabola", "metric": "height", "settings": [
        {"name": "center", "kind": {"float": {"min": -100.0, "max": 100.0}}, "default": 7.0},
        {"name": "width", "kind": {"int": {"min": 1, "max": 1000}}, "default": 20}]}),
    .open = open,
    .close = close,
    .make_space = make_space,
    .evaluate = evaluate,
};
static const evo_objective *const objectives[] = {&parabola};

/* ------------------------------------------------------------------------------- profiler ---- */

static int32_t probe(const evo_profiler *profiler, const evo_device *device, const evo_host *host) {
    (void)profiler;
    if (strcmp(device->kind, "cpu") != 0) {
        return evo_fail(host, EVO_REJECTED, "it looks at CPUs only");
    }
    return EVO_OK;
}

static int32_t profile(const evo_profiler *profiler, const evo_runnable *runnable,
                       const evo_host *host) {
    int launches;
    (void)profiler;
    for (launches = 0; launches < 5; launches++) {
        EVO_TRY(runnable->launch(runnable));
    }
    evo_metric(host, "launches_seen", "count", EVO_INFO, launches);
    evo_metric(host, "code_bytes", "bytes", EVO_INFO, (double)runnable->artifact_size);
    return EVO_OK;
}

static const evo_profiler counter = {
    .struct_size = sizeof(evo_profiler),
    .info = EVO_TEXT({"name": "counter", "doc": "Counts launches"}),
    .probe = probe,
    .profile = profile,
};
static const evo_profiler *const profilers[] = {&counter};

/* --------------------------------------------------------------------------------- plugin ---- */

const evo_plugin evo_plugin_entry = {
    EVO_PLUGIN_HEADER,
    .name = "c-full",
    .version = "1.2.3",
    .doc = "Uses every function of the C interface",
    .default_spec = EVO_TEXT((plugin: "full", tune: [(kernel: "blocked")],
                              baselines: [(kernel: "plain")], budget: (trials: 4))),
    .kernels = kernels,
    .kernel_count = EVO_COUNT(kernels),
    .problems = problems,
    .problem_count = EVO_COUNT(problems),
    .objectives = objectives,
    .objective_count = EVO_COUNT(objectives),
    .profilers = profilers,
    .profiler_count = EVO_COUNT(profilers),
};
