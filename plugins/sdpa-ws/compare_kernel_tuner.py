"""Has Kernel Tuner tune what an `evo run` has tuned, and compares the time that it takes.

    cargo evo run plugins/sdpa-ws/specs/mission.run.ron --out RUN
    python plugins/sdpa-ws/compare_kernel_tuner.py RUN [--iterations 7] [--verify] [--limit N] [--json FILE]

Needs `pip install kernel-tuner scipy cupy-cuda13x`, and for the first command's GPU to be here, idle.

Of the run's journal it takes the problem, and the configurations that were measured, with their launches. Kernel
Tuner then compiles and benchmarks exactly these, of the same source, with inputs of the same shape, by brute
force. It has one tunable parameter, the trial; the macros, the block, the grid and the shared memory follow from it.

Seconds are those of the tuning: Kernel Tuner's of `tune_kernel`, with the CUDA context made before and nothing
compiled in CuPy's cache; evo's of its search, without the baselines before and the confirmation after it.
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import statistics
import sys
import tempfile
import time
from importlib.metadata import distributions

import numpy as np

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "kernels" / "sdpa"
# As in src/fused.rs: the device code needs no more shared memory than the host asks for.
SHARED_CHECK = """
static_assert(kMbarriers + (kSpecialised ? Mbarriers::kCount * 8 : 0) <= SHARED_BYTES,
              "the host asks for too little shared memory");
"""
OUTPUT = 3  # among the launch arguments
KERNELS = {"stage2", "ws_p1", "ws_p2", "fused"}
# Against a reference in double precision; outputs of normal inputs are at most about 4.
TOLERANCE = {"f16": 4e-3, "bf16": 3.2e-2}
# CuPy adds `-default-device`, and fails where it is given twice.
OPTIONS = ["--std=c++17"]
NOTES = [
    "the CuPy back end of Kernel Tuner is patched: it does not allow more than 48 KiB of dynamic shared memory",
    "CuPy compiles for sm_90, not sm_90a, on an H100 or H200, and adds -ftz=true and -default-device",
    "Kernel Tuner launches on one set of buffers, evo on as many as the cache cannot hold",
    "Kernel Tuner times single launches by events, evo graphs of many launches",
]


def read_run(folder):
    """The plan, the measured trials in order, the seconds of the search and the number of its proposals."""
    path = folder / "journal.jsonl"
    try:
        records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{path} is no journal of a run: {error}")
    plan = next((record["plan"] for record in records if record["type"] == "started"), None)
    if plan is None or records[-1]["type"] != "finished":
        sys.exit(f"{folder}: the run has not finished")
    spec = plan["work"].get("spec", {})
    if spec.get("problem") != "sdpa":
        sys.exit(f"{folder} is a run of `{spec.get('problem')}`, and this compares runs of `sdpa`")
    if (dtype := spec["fields"]["dtype"]) not in TOLERANCE:
        sys.exit(f"dtype is {dtype}: only {' and '.join(TOLERANCE)} are compared, since NumPy has no 8-bit floats")
    ours = {c["label"] for c in plan["candidates"] if c["plugin"] == "sdpa-ws" and c["kernel"] in KERNELS}

    # A proposal has no time of its own: the search begins with the last record before the first one.
    begin, end, proposed, trials = None, None, {}, {}
    for record in records:
        number = record.get("trial")
        if record["type"] == "proposed":
            proposed[number] = record
        elif not proposed:
            begin = record.get("at", begin)
        elif record["type"] == "evaluated":
            end, outcome = record["at"], record["outcome"]
            if outcome["kind"] == "measured" and proposed[number]["candidate"] in ours:
                launch = (record.get("build") or {}).get("launch") or {}
                if "grid_x" not in launch:
                    sys.exit(f"the journal has no launch of trial {number}: repeat the run with this evo")
                metrics = {metric["name"]: metric for metric in outcome["metrics"]}
                trials[number] = {"params": proposed[number]["params"], "launch": launch, "metrics": metrics,
                                  "time": metrics["kernel_time"], "checks": outcome["error"]["checks"]}
    if not trials:
        sys.exit(f"{folder} has no measured trial of {', '.join(sorted(KERNELS))}")
    return plan, dict(sorted(trials.items())), end - begin, len(proposed)


def source():
    """`fused.cu` with its headers in place of the lines that include them, each once."""
    seen = set()

    def text(name):
        if name in seen:
            return ""
        seen.add(name)
        whole = (SOURCES / name).read_text().replace("#pragma once", "")
        return re.sub(r'^#include "(.*)"$', lambda found: text(found[1]), whole, flags=re.MULTILINE)

    return text("fused.cu") + SHARED_CHECK


def macros(trial, fields):
    """All macros of a configuration: as src/task.rs and src/config.rs give them to the compiler."""
    values = {name: int(value) if isinstance(value, bool) else value
              for name, value in trial["params"].items() if name.isupper()}
    # `PROD_WARPS` is inactive without `USE_WS`.
    return {"PROD_WARPS": 0} | values | {"HEAD_DIM": fields["D"], "DTYPE": fields["dtype"],
                                         "MASK": fields["mask"], "EPILOGUE": fields.get("epilogue", "none"),
                                         "SHARED_BYTES": trial["launch"]["shared_bytes"]}


def to_bf16(values):
    """The bits, rounded to nearest even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def wide(stored):
    """Stored elements in double precision."""
    if stored.dtype == np.uint16:
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64)


def inputs(fields, seed=1):
    """The launch arguments of `sdpa_fused`; the fourth is the output."""
    batch, heads, rows, columns = (fields[name] for name in "BHSD")
    random = np.random.default_rng(seed)
    store = to_bf16 if fields["dtype"] == "bf16" else np.float16
    q, k, v = (store(random.standard_normal((batch * heads, rows, columns))) for _ in range(3))
    none = np.zeros(1, np.float32)  # for pointers that are not read
    bias = random.standard_normal((heads, columns)).astype(np.float32)
    scale, alpha = np.float32(columns**-0.5), np.float32(fields.get("alpha", 0.5))  # 0.5: the problem's default
    return [q, k, v, np.zeros_like(q), np.int32(batch * heads), np.int32(rows), scale,
            none, none, none, np.int32(0), alpha, bias, np.int32(heads)]


def reference(arguments, fields):
    """What the output must be, in double precision."""
    q, k, v = (wide(tensor) for tensor in arguments[:3])
    result = np.empty_like(q)
    for head in range(len(q)):  # one at a time: scores of all of them may not fit
        scores = q[head] @ k[head].T * float(arguments[6])
        if fields["mask"] == "causal":
            scores[np.triu_indices(len(scores), 1)] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        result[head] = weights @ v[head] / weights.sum(axis=1, keepdims=True)
    if fields.get("epilogue", "none") != "none":
        result *= float(arguments[11])
    if fields.get("epilogue") == "scale_bias":
        result += np.tile(wide(arguments[12]), (len(q) // fields["H"], 1))[:, None, :]
    return result


def allow_shared_memory():
    """Makes Kernel Tuner's CuPy back end allow the shared memory that it asks for.

    It passes `smem_args` to the launch, but CUDA refuses more than 48 KiB unless the function's limit is raised.
    """
    from kernel_tuner.backends import cupy as backend

    class CupyFunctions(backend.CupyFunctions):
        def copy_shared_memory_args(self, smem_args):
            super().copy_shared_memory_args(smem_args)
            self.func.max_dynamic_shared_size_bytes = self.smem_size

    backend.CupyFunctions = CupyFunctions


def tune(trials, fields, options):
    """Kernel Tuner's results, its environment, and the seconds that it took: before the first trial, and all."""
    # A cache of its own, which is empty: what an earlier run has compiled must not be found.
    os.environ["CUPY_CACHE_DIR"] = options.cache
    try:
        import cupy
        from kernel_tuner import tune_kernel
    except ImportError as error:
        sys.exit(f"{error}\nneeds: pip install kernel-tuner scipy cupy-cuda13x")
    allow_shared_memory()
    text, arguments, starts = source(), inputs(fields), []
    defined = {number: macros(trial, fields) for number, trial in trials.items()}
    launches = {number: trial["launch"] for number, trial in trials.items()}
    checks = {}
    if options.verify:
        answer = [None] * len(arguments)
        answer[OUTPUT] = reference(arguments, fields)
        checks = {"answer": answer, "atol": TOLERANCE[fields["dtype"]]}
        if fields["dtype"] == "bf16":
            # Its own check would take the bits for numbers. This is the same comparison of what they mean.
            checks["verify"] = lambda answer, result, atol: np.allclose(
                answer[OUTPUT], wide(result[OUTPUT]), atol=atol)

    def code(_):
        starts.append(time.perf_counter())
        return text

    def own_block(trial, block_size_x):  # no lambda: Kernel Tuner would take its text apart
        return launches[trial]["block_x"] == block_size_x

    cupy.zeros(1)  # makes the context
    cupy.cuda.Device().synchronize()
    begin = time.perf_counter()
    try:
        results, environment = tune_kernel(
            "sdpa_fused", code,
            lambda params: tuple(launches[params["trial"]][name] for name in ["grid_x", "grid_y"]),
            arguments,
            # The block must be a parameter; the restriction leaves each trial with its own.
            {"trial": list(trials), "block_size_x": sorted({launch["block_x"] for launch in launches.values()})},
            restrictions=[own_block], grid_div_x=[], grid_div_y=[], grid_div_z=[],
            smem_args={"size": lambda params: launches[params["trial"]]["shared_bytes"]},
            defines={name: lambda params, name=name: defined[params["trial"]][name]
                     for name in defined[next(iter(trials))]},
            compiler_options=OPTIONS, lang="CUPY", iterations=options.iterations, quiet=True, **checks,
        )
    except Exception as error:  # of the compiler, the launch or the check: it gives up the whole tuning then
        sys.exit(f"Kernel Tuner gave up: {error}")
    return results, environment, starts[0] - begin, time.perf_counter() - begin


def spread(samples):
    """From the least to the greatest, relative to the median, in percent."""
    return 100 * (max(samples) - min(samples)) / statistics.median(samples)


def evo_figures(plan, trials, seconds, proposed):
    median = lambda of: statistics.median(of(trial) for trial in trials.values())
    total = lambda name: sum(trial["metrics"][name]["value"] for trial in trials.values())
    best = min(trials, key=lambda number: trials[number]["time"]["value"])
    return {
        "seconds": seconds, "measured": len(trials), "failed": proposed - len(trials),
        "seconds_per_trial": seconds / len(trials),
        "verify_seconds": total("verify_seconds"), "measure_seconds": total("measure_seconds"),
        "samples_per_trial": median(lambda t: len(t["time"]["samples"])),
        "launches_per_sample": median(lambda t: t["metrics"]["launches_per_sample"]["value"]),
        "interval_percent": median(
            lambda t: 100 * (t["time"]["ci_high"] - t["time"]["ci_low"]) / t["time"]["value"]),
        "spread_percent": median(lambda t: spread(t["time"]["samples"])),
        "checks_per_trial": median(lambda t: t["checks"]),
        "best_trial": best, "best_us": trials[best]["time"]["value"], "device": plan["device"]["uuid"],
    }


def kernel_tuner_figures(results, good, environment, startup, seconds, options):
    total = lambda name: sum(result[name] for result in results) / 1000
    best = min(good, key=lambda result: result["time"])
    return {
        "seconds": seconds, "measured": len(good), "failed": len(results) - len(good),
        "seconds_per_trial": seconds / len(results), "startup_seconds": startup,
        "compile_seconds": total("compile_time"), "verify_seconds": total("verification_time"),
        "measure_seconds": total("benchmark_time"),
        "samples_per_trial": options.iterations, "launches_per_sample": 1, "interval_percent": None,
        "spread_percent": statistics.median(spread(result["times"]) for result in good),
        "checks_per_trial": int(options.verify),
        "best_trial": best["trial"], "best_us": 1000 * best["time"], "device": "GPU-" + environment["uuid"],
    }


def versions(folder):
    """What was used, as far as it can be told."""
    found = {"python": platform.python_version(), "source_sha256": hashlib.sha256(source().encode()).hexdigest()[:16]}
    installed = {package.metadata["Name"].lower().replace("_", "-"): package.version for package in distributions()}
    found |= {name: installed[name] for name in sorted(installed) if re.match("kernel-tuner|cupy|numpy$", name)}
    return found | dict(re.findall(r"^  (evo|commit): *(\S+)", (folder / "manifest.yaml").read_text(), re.MULTILINE))


def main():
    parser = argparse.ArgumentParser(description="Compares Kernel Tuner with a finished `evo run` of sdpa-ws.")
    parser.add_argument("run", type=pathlib.Path, help="the run's folder")
    parser.add_argument("--iterations", type=int, default=7, help="Kernel Tuner's launches of a trial (7, its default)")
    parser.add_argument("--verify", action="store_true", help="Kernel Tuner checks each output against a reference")
    parser.add_argument("--limit", type=int, help="only the first so many configurations")
    parser.add_argument("--json", type=pathlib.Path, help="writes the figures to this file too")
    options = parser.parse_args()
    if min(options.iterations, 1 if options.limit is None else options.limit) < 1:
        parser.error("--iterations and --limit are at least 1")
    plan, trials, seconds, proposed = read_run(options.run)
    fields = plan["work"]["spec"]["fields"]
    evo = evo_figures(plan, trials, seconds, proposed)
    taken = dict(list(trials.items())[: options.limit])
    with tempfile.TemporaryDirectory() as options.cache:
        results, environment, startup, seconds = tune(taken, fields, options)
    good = [result for result in results if "__error__" not in result]
    if not good:
        sys.exit("Kernel Tuner measured no configuration")
    theirs = kernel_tuner_figures(results, good, environment, startup, seconds, options)

    from scipy.stats import spearmanr

    pairs = [(taken[result["trial"]]["time"]["value"], 1000 * result["time"]) for result in good]
    report = {
        "versions": versions(options.run),
        "settings": {"problem": fields, "strategy": "brute_force", "lang": "CUPY", "compiler_options": OPTIONS,
                     "iterations": options.iterations, "configurations": len(taken),
                     "verify": options.verify and f"atol {TOLERANCE[fields['dtype']]}"},
        "notes": NOTES + ["WARNING: this is not the GPU of the run"] * (evo["device"] != theirs["device"]),
        "evo": evo, "kernel_tuner": theirs,
        "ratio_of_seconds_per_trial": theirs["seconds_per_trial"] / evo["seconds_per_trial"],
        "rank_correlation": float(spearmanr(*zip(*pairs)).statistic) if len(pairs) > 2 else None,
        "median_ratio_of_times": statistics.median(b / a for a, b in pairs),
        "trials": [{"trial": result["trial"], "evo_us": ours, "kernel_tuner_us": time}
                   for result, (ours, time) in zip(good, pairs)],
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    show(report)


def show(report):
    def cell(value):
        return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    for heading in ["versions", "settings"]:
        print(f"{heading}: " + ", ".join(f"{name} {value}" for name, value in report[heading].items()))
    print(*(f"note: {note}" for note in report["notes"]), sep="\n")
    print("\n| | evo | Kernel Tuner |\n|---|---|---|")
    for name, value in report["kernel_tuner"].items():
        print(f"| {name} | {cell(report['evo'].get(name))} | {cell(value)} |")
    print(f"\nseconds per trial, Kernel Tuner's over evo's: {report['ratio_of_seconds_per_trial']:.3f}")
    print(f"rank correlation (Spearman) of the times: {cell(report['rank_correlation'])}")
    print(f"median of Kernel Tuner's time over evo's: {report['median_ratio_of_times']:.3f}")


if __name__ == "__main__":
    main()
