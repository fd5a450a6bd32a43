/*
 * evo_plugin.h: the C interface of evo plugins, version 1.1.
 *
 * A plugin is a shared library that exports one constant, `evo_plugin_entry`: a table that lists
 * any number of kernels, problems, objectives and profilers. Each of them is a table of functions.
 * evo loads the library in a worker process, checks the tables, and calls the functions.
 *
 *     #include "evo_plugin.h"
 *
 *     static int32_t launch(evo_instance *instance, const evo_io *io, const evo_host *host) {
 *         int64_t tile;
 *         EVO_TRY(evo_int(host, &instance->request->config, "TILE", &tile));
 *         ... read io->inputs[0], write io->outputs[0] ...
 *         return EVO_OK;
 *     }
 *
 *     static const evo_kernel copy = {
 *         .struct_size = sizeof(evo_kernel),
 *         .info = EVO_TEXT({"name": "copy", "problems": ["copy"],
 *                           "params": [{"name": "TILE", "default": 8}]}),
 *         .space = EVO_TEXT((name: "copy", params: [(name: "TILE", values: [8, 16, 32])])),
 *         .launch = launch,
 *     };
 *     static const evo_kernel *const kernels[] = {&copy};
 *
 *     const evo_plugin evo_plugin_entry = {
 *         EVO_PLUGIN_HEADER,
 *         .name = "copy", .version = "1.0.0", .doc = "Copies",
 *         .kernels = kernels, .kernel_count = EVO_COUNT(kernels),
 *     };
 *
 *     cc -shared -fPIC -O3 -I .../framework/evo-plugin/include copy.c -o copy.so
 *
 * and in CUDA C++, for kernels with `"devices": ["cuda"]`
 *
 *     nvcc -std=c++17 -O3 -arch=native -shared -Xcompiler -fPIC -I ... copy.cu -o copy.so
 *
 * C++17 has no designated initialisers; fill the tables in a lambda instead:
 *
 *     static const evo_kernel copy = [] {
 *         evo_kernel k{};
 *         k.struct_size = sizeof k;
 *         k.info = EVO_TEXT({"name": "copy", ...});
 *         k.launch = launch;
 *         return k;
 *     }();
 *
 * RULES
 *
 * Return codes. Functions return EVO_OK or one of the other codes below, after saying why with
 * `evo_fail`. The code decides what becomes of the trial.
 *
 * Threads. Each function below is marked with one of
 *   [any thread]          may be called from several threads at once, also for the same table
 *   [one at a time]       may be called from any thread, never from two at once for one instance
 * The functions of `evo_host` may be called from any thread until the call that they were handed to
 * has returned.
 *
 * Memory. Nobody frees what the other side allocated. What evo hands to a function is valid until
 * that function returns, unless a longer time is stated. What a plugin hands to a function of
 * `evo_host` is copied before that function returns. The tables, and the text and lists that they
 * point to, must stay valid and unchanged for as long as the process lives (make them static).
 *
 * Text. All text is UTF-8 and ends with a NUL byte. Descriptions are JSON, search spaces and rules
 * are RON; EVO_TEXT turns either into a string literal without escapes.
 *
 * NULL. A function or text that is marked "may be NULL" has the default that is stated there; every
 * other one must be set. What an initialiser does not name is zero, so leave out what you do not
 * need. Descriptions may have no members that are not listed here, so that a slip is found.
 *
 * C++. No exception may leave a function of a plugin: there is no way to hand it on, so one that
 * does ends the worker process, and the trial has the outcome Crashed. The same is true of
 * longjmp out of a function. Catch at the border, and use `evo_fail`.
 *
 * Honesty. evo allocates, verifies and takes the times; a kernel computes. It must not write to its
 * inputs or outside its buffers, keep results for a later launch, or go on working after `launch`
 * has returned (CPU) or outside the given stream (GPU). All of this is checked.
 *
 * VERSIONS
 *
 * A plugin that was compiled against an older minor version of this header works in a newer evo:
 * every table begins with its size, and what an old table does not have counts as NULL. A newer
 * minor version works in an older evo too: what evo does not know is not called. Members of the
 * structures that evo fills (evo_host, evo_io, ...) that came after 1.0 are marked "since 1.x"; a
 * plugin that should also run in an older evo compares `struct_size` before it uses one. Another
 * major version is refused, with an error that names both.
 *
 * 1.1  evo_kernel.prepare
 * 1.0  first version
 */
#ifndef EVO_PLUGIN_H
#define EVO_PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------- versions ---- */

/** The version of this header. */
#define EVO_ABI_MAJOR 1
#define EVO_ABI_MINOR 1
/** What the table begins with: "EVO_PLUG", read as a big-endian number. */
#define EVO_ABI_MAGIC UINT64_C(0x45564F5F504C5547)

/** The first members of `evo_plugin_entry`. */
#define EVO_PLUGIN_HEADER EVO_ABI_MAGIC, EVO_ABI_MAJOR, EVO_ABI_MINOR, sizeof(evo_plugin)

/** Makes `evo_plugin_entry` visible, also with -fvisibility=hidden. */
#if defined(__GNUC__)
#define EVO_EXPORT __attribute__((visibility("default")))
#define EVO_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define EVO_EXPORT
#define EVO_PRINTF(text, first)
#endif

/* ------------------------------------------------------------------------------ constants ---- */

/** What functions return: what became of the call. `evo_fail` precedes anything but EVO_OK. */
enum {
    /** All is well. */
    EVO_OK = 0,
    /** The configuration, problem or device is not supported: outcome Rejected. */
    EVO_REJECTED = 1,
    /** The build failed: outcome BuildFailed, with what `build` has sent to the log. */
    EVO_BUILD_FAILED = 2,
    /** Memory ran out: outcome OutOfMemory. */
    EVO_OUT_OF_MEMORY = 3,
    /** The result is known to be wrong: outcome WrongResult. For objectives that replay records; a
        kernel leaves the verdict to evo. */
    EVO_WRONG_RESULT = 4,
    /** Known to have taken too long: outcome TimedOut. The message is the limit in whole seconds,
        for instance "30". For objectives. */
    EVO_TIMED_OUT = 5,
    /** A figure that cannot be true, such as a time of zero: outcome Implausible. */
    EVO_IMPLAUSIBLE = 6,
    /** Anything else. From `launch` it is a wrong result, elsewhere a crash. */
    EVO_FAILED = 7
};

/** Types of a parameter. */
enum { EVO_BOOL = 0, EVO_INT = 1, EVO_FLOAT = 2, EVO_NAME = 3 };

/** Which way a metric is better; EVO_INFO is never ranked by. */
enum { EVO_LOWER = 0, EVO_HIGHER = 1, EVO_INFO = 2 };

/** How serious a line of the log is. */
enum { EVO_LOG_INFO = 0, EVO_LOG_WARNING = 1, EVO_LOG_ERROR = 2 };

/** Where a tensor is (DLPack's DLDeviceType). */
enum { EVO_DEVICE_CPU = 1, EVO_DEVICE_CUDA = 2 };

/** Kinds of element (DLPack's DLDataTypeCode); with the bits they make a type, such as 2 and 32. */
enum {
    EVO_CODE_INT = 0,
    EVO_CODE_UINT = 1,
    EVO_CODE_FLOAT = 2,
    EVO_CODE_BFLOAT = 4,
    EVO_CODE_F8E4M3 = 10
};

/* ------------------------------------------------------------------------- what evo hands over */

/**
 * A tensor, dense and row-major, in the layout of DLPack's DLTensor. The first element is at
 * `data + byte_offset`: use `evo_data`. A tensor without dimensions has one element.
 */
typedef struct evo_tensor {
    /** Memory of the host or, where `device_type` says so, of the device. */
    void *data;
    /** EVO_DEVICE_CPU or EVO_DEVICE_CUDA. */
    int32_t device_type;
    /** Which device of that type. */
    int32_t device_id;
    /** The number of dimensions. */
    int32_t ndim;
    /** EVO_CODE_... */
    uint8_t dtype_code;
    /** Bits of an element. */
    uint8_t dtype_bits;
    /** Always 1. */
    uint16_t dtype_lanes;
    /** `ndim` extents, slowest first. */
    const int64_t *shape;
    /** NULL: the tensor is dense. */
    const int64_t *strides;
    /** Bytes from `data` to the first element. */
    uint64_t byte_offset;
} evo_tensor;

/** A named value. This structure has the same size in every 1.x. */
typedef struct evo_param {
    /** The parameter's name. */
    const char *name;
    /** EVO_BOOL, EVO_INT, EVO_FLOAT or EVO_NAME. */
    int32_t type;
    /** EVO_INT: the value. EVO_BOOL: 0 or 1. Otherwise 0. */
    int64_t integer;
    /** EVO_FLOAT and EVO_INT: the value. Otherwise 0. */
    double number;
    /** The value as text, whatever its type: `64`, `0.5`, `true`, `causal`. */
    const char *text;
} evo_param;

/** Named values in the order of their names. Read them with `evo_int` and its like. This structure
    has the same size in every 1.x. */
typedef struct evo_params {
    const evo_param *items;
    size_t count;
} evo_params;

/** The device that candidates run on. */
typedef struct evo_device {
    size_t struct_size;
    /** `cpu` or `cuda`. */
    const char *kind;
    /** The marketing name. */
    const char *name;
    /** A stable identity. */
    const char *uuid;
    /** What constraints may name: CORES, SIMD_BITS, L1D_BYTES, SMEM_BYTES, ... */
    evo_params facts;
} evo_device;

/** A problem with all fields fixed. */
typedef struct evo_spec {
    size_t struct_size;
    /** Everything (tensors, gates, flop counts, ...) as JSON, for those who have a JSON library. */
    const char *json;
    /** The problem's name. */
    const char *name;
    /** Every field with its value. */
    evo_params fields;
    /** The constants that constraints may name. */
    evo_params constants;
} evo_spec;

/** What a kernel is asked to build or load. */
typedef struct evo_request {
    size_t struct_size;
    /** Everything as JSON. */
    const char *json;
    /** The problem. */
    const evo_spec *problem;
    /** The device. */
    const evo_device *device;
    /** The configuration: every parameter of the kernel's description, those that the search does
        not set at their defaults. */
    evo_params config;
} evo_request;

/** The buffers of a launch, in the problem's order. */
typedef struct evo_io {
    size_t struct_size;
    const evo_tensor *inputs;
    size_t input_count;
    const evo_tensor *outputs;
    size_t output_count;
    /** Scratch memory of the size that `workspace_size` asked for, 256-byte aligned, where the
        tensors are; NULL where none was asked for. Its content is undefined before a launch. */
    void *workspace;
    size_t workspace_size;
    /** The CUDA stream (CUstream) to launch into; 0 on a CPU. */
    uint64_t stream;
} evo_io;

/**
 * What evo offers to a function while it is called. The helpers further down (`evo_fail`,
 * `evo_write`, `evo_log`, `evo_metric`) are easier to use than these functions.
 */
typedef struct evo_host {
    size_t struct_size;
    /** evo's own. */
    void *context;
    /** Says why the function is about to return a code other than EVO_OK. The last one counts. */
    void (*error)(const struct evo_host *host, const char *message);
    /** Adds a line to the log: in `build` to that of the build, elsewhere to what the worker prints
        (of which the last lines are kept for a trial that crashes). The level is EVO_LOG_... */
    void (*log)(const struct evo_host *host, int32_t level, const char *message);
    /** Adds bytes to what the function returns: in `build` the artifact, in `resolve` the problem
        as JSON, in an objective's `make_space` the space as RON. */
    void (*write)(const struct evo_host *host, const void *data, size_t size);
    /** Adds a metric to what the function returns: in `build` a resource figure, in `evaluate` and
        `profile` a result. The value must be finite. `samples` may be NULL with a count of 0. */
    void (*metric)(const struct evo_host *host, const char *name, const char *unit,
                   int32_t direction, double value, const double *samples, size_t sample_count);
    /** In `build`: what tells executions of equal bytes apart, such as the launch geometry or a
        run-time parameter. `param->text` counts for EVO_NAME only. */
    void (*launch_param)(const struct evo_host *host, const evo_param *param);
    /** In `evaluate`: seconds to charge to the budget instead of the time it really took; also of
        an evaluation that then fails. */
    void (*cost)(const struct evo_host *host, double seconds);
} evo_host;

/* -------------------------------------------------------------------------------- kernels ---- */

struct evo_kernel;

/**
 * A loaded kernel: one configuration, ready to be launched. evo owns the structure; the kernel may
 * change `state` and nothing else. The calls to one instance, in order:
 *
 *     load -> workspace_size -> any number of prepare, bind, launch -> unload
 *
 * with at least one `bind` before the first `launch`, and one `prepare` before that where the
 * kernel has one. Several instances of a kernel live side by side, with buffers of their own.
 */
typedef struct evo_instance {
    size_t struct_size;
    /** The kernel: the very address that the plugin listed. */
    const struct evo_kernel *kernel;
    /** The problem, configuration and device. Valid until `unload` has returned. */
    const evo_request *request;
    /** What `build` wrote; nothing of use without a `build`. Valid until `unload` has returned. */
    const void *artifact;
    size_t artifact_size;
    /** The kernel's own: set by `load`, NULL until then. */
    void *state;
} evo_instance;

/**
 * A kernel: an implementation of one or several problems, with parameters. Functions get the
 * address that the plugin listed, so a structure that begins with an evo_kernel can carry more.
 *
 * On a device of kind `cuda` all buffers are in the device's primary context, which CUDA's runtime
 * uses too; a kernel that calls the driver itself makes it current first.
 *
 * `info` is a JSON object with
 *   name           what users type, [A-Za-z0-9._-]{1,64}
 *   problems       ["gemm", ...]: names of the problems that it can solve
 *   params         [{"name": "TILE", "doc": "...", "default": 8, "runtime": false}, ...]: the
 *                  parameters that it understands. "doc" and "runtime" may be left out; "runtime"
 *                  says that the parameter acts at launch and not in what `build` writes
 *   doc            one sentence for people; may be left out
 *   version        of the code, part of its identity; the plugin's, if left out
 *   devices        ["cpu"], ["cuda"] or both; ["cpu"] if left out
 *   deterministic  whether two launches on the same inputs must agree bit by bit; true if left out
 *   prepares       whether `prepare` is called, and end-to-end time includes it; whether there is
 *                  a `prepare`, if left out
 */
typedef struct evo_kernel {
    /** sizeof(evo_kernel). */
    size_t struct_size;
    /** The description, as above. */
    const char *info;
    /** The default search space as RON. May be NULL: there is nothing to tune. */
    const char *space;
    /** [any thread] A cheap check before anything is built. May be NULL: accepts everything. */
    int32_t (*accept)(const struct evo_kernel *kernel, const evo_request *request,
                      const evo_host *host);
    /**
     * [any thread] Builds the code on the CPU, without the device: equal requests must give equal
     * bytes. Sends the code with `host->write`, the compiler's words with `host->log`, and what
     * else tells executions apart with `host->launch_param`: two configurations with the same
     * bytes and launch parameters are measured once. May be NULL where nothing is built: then every
     * parameter counts as one that acts at launch, and the code is the plugin file itself.
     */
    int32_t (*build)(const struct evo_kernel *kernel, const evo_request *request,
                     const evo_host *host);
    /** [any thread] Makes an instance ready: puts what it needs into `instance->state`. Where it
        fails, `unload` is not called. May be NULL: nothing to do. */
    int32_t (*load)(evo_instance *instance, const evo_host *host);
    /** [one at a time] Frees what `load` made. Must not fail. May be NULL. */
    void (*unload)(evo_instance *instance);
    /** [one at a time] Sets `*bytes` to the scratch memory that `launch` needs. Called once, after
        `load`. May be NULL: none. */
    int32_t (*workspace_size)(evo_instance *instance, size_t *bytes, const evo_host *host);
    /** [one at a time] Says which buffers the next launches use: the place for tensor maps and
        other descriptions of addresses. Nothing may be computed here. The buffers stay where they
        are until the next `bind` or `unload`; the structure `io` does not. May be NULL. */
    int32_t (*bind)(evo_instance *instance, const evo_io *io, const evo_host *host);
    /** [one at a time] Executes once on the buffers of the last `bind`. On a CPU the work is done
        when it returns, on a GPU it is in `io->stream`. This is what is timed. */
    int32_t (*launch)(evo_instance *instance, const evo_io *io, const evo_host *host);
    /** Since 1.1. [one at a time] Changes the layout of the inputs or quantises them, ahead of the
        launches; called again whenever the inputs have changed. Timed apart, and together with
        the launch. May be NULL: the kernel works on the inputs as they are. */
    int32_t (*prepare)(evo_instance *instance, const evo_tensor *inputs, size_t input_count,
                       const evo_host *host);
} evo_kernel;

/* ------------------------------------------------------------------------------- problems ---- */

/**
 * A problem: what is to be computed, on which inputs, and what is right.
 *
 * `info` is a JSON object with
 *   name    such as "gemm"
 *   fields  [{"name": "N", "doc": "...", "kind": KIND, "default": 1024}, ...]: what a spec may set.
 *           KIND is {"int": {"min": 1, "max": 4096}}, {"float": {"min": 0.0, "max": 1.0}}, "bool",
 *           {"choice": ["f32", "f16"]} or "text". "doc" may be left out, and so may "fields"
 *   doc     one sentence for people; may be left out
 */
typedef struct evo_problem {
    /** sizeof(evo_problem). */
    size_t struct_size;
    /** The description, as above. */
    const char *info;
    /**
     * [any thread] Fixes the problem: every field has a checked value. Writes (`evo_write`) a JSON
     * object with
     *   tensors        [{"name": "x", "role": "input", "dtype": "f32", "shape": [4, 8]}, ...]:
     *                  inputs and outputs ("role": "output") in the order of the kernel's
     *                  arguments; types are f64 f32 f16 bf16 f8_e4m3 i64 i32 i8 u8
     *   gates          [{"tensor": "y", "relative_error": 1e-5}, ...]: one for each output, greater
     *                  than 0: the relative Frobenius error that is still right
     *   distributions  ["uniform", "outliers"]: what `fill` knows, the ordinary one first and at
     *                  least one that provokes errors
     *   extra_shapes   [{"N": 7}, ...]: changes to the fields on which a candidate is verified too,
     *                  at least one: ragged shapes find most faults
     *   flops          floating-point operations of one execution
     *   bytes          bytes that any execution has to move; all tensors once, if left out
     *   constants      {"N": 8, ...}: what constraints may name; the fields, if left out
     *   cache          "rotate" (the default), "flush" or "hot": what caches hold before a launch
     */
    int32_t (*resolve)(const struct evo_problem *problem, const evo_params *fields,
                       const evo_host *host);
    /** [any thread] Fills the inputs, which are on the host: the same seed and distribution give
        the same inputs. `evo_uniform` helps. */
    int32_t (*fill)(const struct evo_problem *problem, const evo_spec *spec, uint64_t seed,
                    const char *distribution, const evo_tensor *inputs, size_t input_count,
                    const evo_host *host);
    /** [any thread] Computes the outputs in double precision from the inputs as a kernel sees them.
        Each output is a tensor of doubles of the output's shape. A row is the last dimension of an
        output; rows are numbered in row-major order over the dimensions before it. `rows` lists the
        wanted rows in ascending order, the others may be left alone; NULL asks for all. */
    int32_t (*reference)(const struct evo_problem *problem, const evo_spec *spec,
                         const evo_tensor *inputs, size_t input_count, const uint64_t *rows,
                         size_t row_count, const evo_tensor *outputs, size_t output_count,
                         const evo_host *host);
} evo_problem;

/* ----------------------------------------------------------------------------- objectives ---- */

struct evo_objective;

/** An objective with its settings. evo owns the structure; the objective may change `state`. */
typedef struct evo_evaluator {
    size_t struct_size;
    /** The objective: the very address that the plugin listed. */
    const struct evo_objective *objective;
    /** Checked settings, a value for each. Valid until `close` has returned. */
    evo_params settings;
    /** The objective's own: set by `open`, NULL until then. */
    void *state;
} evo_evaluator;

/**
 * An objective: turns configurations into metrics without being a kernel. The calls, in order:
 *
 *     open -> make_space -> any number of evaluate -> close
 *
 * `info` is a JSON object with
 *   name       what users type
 *   metric     the name of the metric to rank by
 *   direction  "lower" (if left out) or "higher": which way that metric is better
 *   settings   what a spec may set, written as the fields of a problem; may be left out
 *   doc        one sentence for people; may be left out
 */
typedef struct evo_objective {
    /** sizeof(evo_objective). */
    size_t struct_size;
    /** The description, as above. */
    const char *info;
    /** The search space as RON. May be NULL where `make_space` is set or the spec brings one. */
    const char *space;
    /** [any thread] Opens with settings. Where it fails, `close` is not called. May be NULL. */
    int32_t (*open)(evo_evaluator *evaluator, const evo_host *host);
    /** [one at a time] Frees what `open` made. Must not fail. May be NULL. */
    void (*close)(evo_evaluator *evaluator);
    /** [one at a time] Writes (`evo_write`) the search space as RON, where it depends on the
        settings. Called once, after `open`. May be NULL: the space is `space`. */
    int32_t (*make_space)(evo_evaluator *evaluator, const evo_host *host);
    /** [one at a time] Evaluates one configuration: sends metrics with `evo_metric`, among them the
        one to rank by. */
    int32_t (*evaluate)(evo_evaluator *evaluator, const evo_params *config, const evo_host *host);
} evo_objective;

/* ------------------------------------------------------------------------------ profilers ---- */

/** A candidate that a profiler may launch: built, loaded and bound to filled buffers. */
typedef struct evo_runnable {
    size_t struct_size;
    /** evo's own. */
    void *context;
    /** The problem, configuration and device. */
    const evo_request *request;
    /** What the candidate's `build` wrote. */
    const void *artifact;
    size_t artifact_size;
    /** Launches once and waits until the work is done; any code but EVO_OK should end the profile
        with that code (evo knows the reason). Only on the thread that `profile` was called on. */
    int32_t (*launch)(const struct evo_runnable *runnable);
} evo_runnable;

/**
 * A profiler: looks at a candidate while it runs, in a pass of its own that is never ranked.
 *
 * `info` is a JSON object with
 *   name     what users type
 *   devices  ["cpu"], ["cuda"] or both; ["cpu"] if left out
 *   doc      one sentence for people; may be left out
 */
typedef struct evo_profiler {
    /** sizeof(evo_profiler). */
    size_t struct_size;
    /** The description, as above. */
    const char *info;
    /** Rules (RON) by which its metrics become insights. May be NULL: none. */
    const char *rules;
    /** [any thread] Whether it can work here: EVO_REJECTED with the reason and the cure where it
        cannot. Called before a profile. May be NULL: it always can. */
    int32_t (*probe)(const struct evo_profiler *profiler, const evo_device *device,
                     const evo_host *host);
    /** [any thread] Launches the candidate as often as it likes and sends metrics with
        `evo_metric`. An error ends this profile; the search goes on. */
    int32_t (*profile)(const struct evo_profiler *profiler, const evo_runnable *runnable,
                       const evo_host *host);
} evo_profiler;

/* --------------------------------------------------------------------------------- plugin ---- */

/** The table that a plugin exports as `evo_plugin_entry`. Begin it with EVO_PLUGIN_HEADER. */
typedef struct evo_plugin {
    /** EVO_ABI_MAGIC. */
    uint64_t magic;
    /** EVO_ABI_MAJOR: the version of the header that the plugin was compiled with. */
    uint32_t abi_major;
    /** EVO_ABI_MINOR. */
    uint32_t abi_minor;
    /** sizeof(evo_plugin). */
    size_t struct_size;
    /** The plugin's name, [A-Za-z0-9._-]{1,64}. */
    const char *name;
    /** The plugin's own version. */
    const char *version;
    /** One sentence for people. May be NULL. */
    const char *doc;
    /** The run spec (RON) that `evo run NAME` uses. May be NULL: the user has to write one. */
    const char *default_spec;
    /** Lists of pointers to tables, each with its length; NULL and 0 where there are none. */
    const evo_kernel *const *kernels;
    size_t kernel_count;
    const evo_problem *const *problems;
    size_t problem_count;
    const evo_objective *const *objectives;
    size_t objective_count;
    const evo_profiler *const *profilers;
    size_t profiler_count;
} evo_plugin;

/** What a plugin exports. evo looks for this symbol. */
extern EVO_EXPORT const evo_plugin evo_plugin_entry;

/* -------------------------------------------------------------------------------- helpers ---- */

/** Makes a string literal of JSON or RON that is written without quotes around it. White space,
    line ends included, becomes one space, macros are not expanded, and only text within text has
    to be escaped. A literal has at most 4,095 characters in strict C11. */
#define EVO_TEXT(...) #__VA_ARGS__

/** The number of elements of an array. */
#define EVO_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Returns from the function with the code of a call that is not EVO_OK. */
#define EVO_TRY(call)                       \
    do {                                    \
        int32_t evo_try_code_ = (call);     \
        if (evo_try_code_ != EVO_OK) {      \
            return evo_try_code_;           \
        }                                   \
    } while (0)

/** Says why, as printf would (at most 1,023 bytes), and returns the code:
    `return evo_fail(host, EVO_REJECTED, "TILE is %d, but must divide N", tile);` */
static inline EVO_PRINTF(3, 4) int32_t evo_fail(const evo_host *host, int32_t code,
                                                const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    host->error(host, message);
    return code;
}

/** Adds a line to the log, as printf would (at most 1,023 bytes). */
static inline EVO_PRINTF(3, 4) void evo_log(const evo_host *host, int32_t level,
                                            const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    host->log(host, level, message);
}

/** Adds text to what the function returns (see `evo_host.write`), as printf would: at most 4,095
    bytes a call. Returns EVO_OK, or EVO_FAILED where the text is longer. */
static inline EVO_PRINTF(2, 3) int32_t evo_write(const evo_host *host, const char *format, ...) {
    char text[4096];
    int length;
    va_list arguments;
    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) {
        return evo_fail(host, EVO_FAILED,
                        "evo_write takes at most 4,095 bytes at a time; write in pieces");
    }
    host->write(host, text, (size_t)length);
    return EVO_OK;
}

/** Adds a metric of one figure to what the function returns (see `evo_host.metric`). */
static inline void evo_metric(const evo_host *host, const char *name, const char *unit,
                              int32_t direction, double value) {
    host->metric(host, name, unit, direction, value, NULL, 0);
}

/** In `build`: adds an integer that tells executions of equal bytes apart. */
static inline void evo_launch_int(const evo_host *host, const char *name, int64_t value) {
    evo_param param;
    param.name = name;
    param.type = EVO_INT;
    param.integer = value;
    param.number = (double)value;
    param.text = NULL;
    host->launch_param(host, &param);
}

/** A value by name; NULL where there is none. */
static inline const evo_param *evo_find(const evo_params *params, const char *name) {
    size_t i;
    for (i = 0; i < params->count; i++) {
        if (strcmp(params->items[i].name, name) == 0) {
            return &params->items[i];
        }
    }
    return NULL;
}

/** A value by name, with the complaint where it is missing or of another type. */
static inline int32_t evo_find_typed(const evo_host *host, const evo_params *params,
                                     const char *name, int32_t type, const char *type_name,
                                     const evo_param **found) {
    *found = evo_find(params, name);
    if (*found == NULL) {
        return evo_fail(host, EVO_REJECTED, "there is no value `%s`", name);
    }
    if ((*found)->type != type && !(type == EVO_FLOAT && (*found)->type == EVO_INT)) {
        return evo_fail(host, EVO_REJECTED, "`%s` is %s, but must be %s", name, (*found)->text,
                        type_name);
    }
    return EVO_OK;
}

/** Reads an integer. EVO_REJECTED, with the reason, where it is missing or of another type; then
    `*value` is 0. */
static inline int32_t evo_int(const evo_host *host, const evo_params *params, const char *name,
                              int64_t *value) {
    const evo_param *found;
    *value = 0;
    EVO_TRY(evo_find_typed(host, params, name, EVO_INT, "an integer", &found));
    *value = found->integer;
    return EVO_OK;
}

/** Reads an integer that is a size: as `evo_int`, and a negative one is refused. */
static inline int32_t evo_size(const evo_host *host, const evo_params *params, const char *name,
                               size_t *value) {
    int64_t integer = 0;
    *value = 0;
    EVO_TRY(evo_int(host, params, name, &integer));
    if (integer < 0) {
        return evo_fail(host, EVO_REJECTED, "`%s` is %lld, but must be at least 0", name,
                        (long long)integer);
    }
    *value = (size_t)integer;
    return EVO_OK;
}

/** Reads a number, integer or float. Errors as for `evo_int`. */
static inline int32_t evo_float(const evo_host *host, const evo_params *params, const char *name,
                                double *value) {
    const evo_param *found;
    *value = 0.0;
    EVO_TRY(evo_find_typed(host, params, name, EVO_FLOAT, "a number", &found));
    *value = found->number;
    return EVO_OK;
}

/** Reads a truth value as 0 or 1. Errors as for `evo_int`. */
static inline int32_t evo_bool(const evo_host *host, const evo_params *params, const char *name,
                               int *value) {
    const evo_param *found;
    *value = 0;
    EVO_TRY(evo_find_typed(host, params, name, EVO_BOOL, "true or false", &found));
    *value = found->integer != 0;
    return EVO_OK;
}

/** Reads a name; it lives as long as the parameters. Errors as for `evo_int`, with an
    empty name. */
static inline int32_t evo_name(const evo_host *host, const evo_params *params, const char *name,
                               const char **value) {
    const evo_param *found;
    *value = "";
    EVO_TRY(evo_find_typed(host, params, name, EVO_NAME, "a name", &found));
    *value = found->text;
    return EVO_OK;
}

/** The address of the first element. */
static inline void *evo_data(const evo_tensor *tensor) {
    return (char *)tensor->data + tensor->byte_offset;
}

/** The number of elements. */
static inline size_t evo_elements(const evo_tensor *tensor) {
    size_t elements = 1;
    int32_t i;
    for (i = 0; i < tensor->ndim; i++) {
        elements *= (size_t)tensor->shape[i];
    }
    return elements;
}

/** The length of a row: the last extent, or 1 for a tensor without dimensions. */
static inline size_t evo_row(const evo_tensor *tensor) {
    return tensor->ndim > 0 ? (size_t)tensor->shape[tensor->ndim - 1] : 1;
}

/** Whether a tensor has this type: `evo_is(tensor, EVO_CODE_FLOAT, 16)`. */
static inline int evo_is(const evo_tensor *tensor, uint8_t code, uint8_t bits) {
    return tensor->dtype_code == code && tensor->dtype_bits == bits;
}

/** The elements of a tensor of floats, on whatever device it is; NULL for any other type. */
static inline float *evo_f32(const evo_tensor *tensor) {
    return evo_is(tensor, EVO_CODE_FLOAT, 32) ? (float *)evo_data(tensor) : NULL;
}

/** The elements of a tensor of doubles, on whatever device it is; NULL for any other type. */
static inline double *evo_f64(const evo_tensor *tensor) {
    return evo_is(tensor, EVO_CODE_FLOAT, 64) ? (double *)evo_data(tensor) : NULL;
}

/** The next number of a reproducible sequence (SplitMix64), uniform over [-1, 1). `state` begins as
    the seed. */
static inline double evo_uniform(uint64_t *state) {
    uint64_t bits;
    *state += UINT64_C(0x9E3779B97F4A7C15);
    bits = *state;
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    bits ^= bits >> 31;
    return (double)(bits >> 11) * (2.0 / 9007199254740992.0) - 1.0;
}

#ifdef __cplusplus
}
#endif

#endif /* EVO_PLUGIN_H */
