"""Compares the kernels with PyTorch's CPU attention, in turns in one run.

Needs `pip install torch numpy` and the built benchmark:

    cargo build --release -p evo-plugin-sdpa-cpu --example bench
    python plugins/sdpa-cpu/compare_torch.py [--rounds 15] [--threads 2] [--cells 0 1]

The benchmark runs as a co-process that times launches when asked. Each round asks PyTorch's
math path, PyTorch's default path, `math`, `flash`, `tiled` with its defaults and `tiled` tuned,
one after the other, so that drift of the machine meets all of them. Prints medians in ms, GFLOP/s
and ratios as Markdown.

Each turn launches four times and times the last three, so that nobody pays for the caches and
sleeping threads that the one before left behind. The tuned configurations are in tuned.json beside this
script, one for each cell of the table.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
CELLS = [
    (shape, dtype, mask)
    for shape in [(2, 8, 512, 64), (1, 8, 2048, 64)]
    for dtype in ["f32", "bf16"]
    for mask in ["full", "causal"]
]
# Launches of a candidate when it is its turn; the first of them is not counted.
LAUNCHES = 4
OURS = ["math", "flash", "tiled", "tuned"]
NAMES = ["torch math", "torch default", *OURS]


class Bench:
    """The co-process: loads candidates and times launches."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"the benchmark ended at: {line}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def torch_calls(torch, shape, dtype, mask):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    q, k, v = (torch.randn(*shape).to(kind) for _ in range(3))

    def attention():
        with torch.no_grad():
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=mask == "causal")

    def math():
        with sdpa_kernel(SDPBackend.MATH):
            attention()

    return math, attention


def timed(call):
    """Seconds of each launch of a turn."""
    seconds = []
    for _ in range(LAUNCHES):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def measure(torch, bench, cell, tuned, rounds, threads):
    shape, dtype, mask = cell
    extents = ",".join(map(str, shape))
    candidates = {
        "math": f"math:THREADS={threads}",
        "flash": f"flash:THREADS={threads}",
        "tiled": f"tiled:THREADS={threads}",
        "tuned": f"tiled:{tuned},THREADS={threads}",
    }
    bench.ask("clear")
    for name, candidate in candidates.items():
        bench.ask(f"load {name} {extents} {dtype} {mask} {candidate}")
    math, default = torch_calls(torch, shape, dtype, mask)
    calls = {"torch math": lambda: timed(math), "torch default": lambda: timed(default)}
    for name in OURS:
        calls[name] = lambda name=name: [float(x) for x in bench.ask(f"run {name} {LAUNCHES}").split()]
    samples = {name: [] for name in NAMES}
    for turn in range(rounds + 2):
        for name in NAMES:
            # Threads that spin after their work would disturb the next candidate.
            time.sleep(0.02)
            seconds = calls[name]()
            if turn >= 2:
                samples[name] += seconds[1:]
    return {name: statistics.median(values) for name, values in samples.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cells", type=int, nargs="*", default=range(len(CELLS)), help="rows, from 0")
    parser.add_argument("--tuned", default=HERE / "tuned.json")
    parser.add_argument(
        "--bench", default=HERE.parent.parent / "target/release/examples/bench"
    )
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    tuned = json.loads(pathlib.Path(options.tuned).read_text())
    bench = Bench(options.bench)
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {platform.machine()},")
    print(f"{options.rounds} rounds of {LAUNCHES - 1}, medians in ms (GFLOP/s), {time.strftime('%Y-%m-%d')}\n")
    print("| B H S D | dtype | mask | " + " | ".join(NAMES) + " | tuned over torch default"
          " | math over torch math | flash over torch default |")
    print("|" + "---|" * (len(NAMES) + 6))
    for cell in (CELLS[index] for index in options.cells):
        shape, dtype, mask = cell
        key = f"{','.join(map(str, shape))} {dtype} {mask}"
        medians = measure(torch, bench, cell, tuned[key], options.rounds, options.threads)
        b, h, s, d = shape
        pairs = s * (s + 1) / 2 if mask == "causal" else s * s
        flops = 4 * b * h * pairs * d
        row = [" ".join(map(str, shape)), dtype, mask]
        row += [f"{t * 1e3:.2f} ({flops / t * 1e-9:.0f})" for t in medians.values()]
        for one, other in [("torch default", "tuned"), ("torch math", "math"), ("torch default", "flash")]:
            row.append(f"{medians[one] / medians[other]:.2f}x")
        print("| " + " | ".join(row) + " |", flush=True)
    bench.close()


if __name__ == "__main__":
    main()
