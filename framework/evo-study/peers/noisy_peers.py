#!/usr/bin/env python3
"""Runs the search strategies of other tuners on recorded spaces with noise on.

  noisy_peers.py --harness peer_search.py --spaces RECORDINGS --out noisy.jsonl.xz
                 --strategies kt_genetic_algorithm:50,optuna_tpe:20 [--noise 1] [--leave-out ID,...]

The harness is the program that runs the same strategies without noise; STUDY.md of evo-core says what
it has to offer. A number behind a strategy is how many seeds it gets.

What a strategy is told of a configuration is one draw around its recorded mean, the same whenever it
asks again: lognormal with that mean and the recorded relative standard deviation times --noise, and
where a configuration has none recorded, with the median of the others'. This is the model of
`evo study --noise`; the draws are independent of it. Every run gives two records:

  NAME@noise=1          the answer is the best that was observed, as these tuners take it
  NAME@noise=1+confirm  the best FINALISTS are measured ROUNDS times more each, and the answer is the
                        best by the median of those, as `evo study` does for its own strategies

Improvements carry the *recorded* time of the answer at that moment, which noise can make worse than
the one before. The further measurements of a confirmation are in neither evaluations nor cost.
"""
import argparse
import importlib.util
import json
import lzma
import math
import os
import signal
import statistics
import sys
import tempfile
import time

import numpy as np

FINALISTS, ROUNDS = 3, 5  # those of evo-study/src/noise.rs
RUN_SECONDS = 120


class Noise:
    """One observation of every configuration, and further ones on demand."""

    def __init__(self, space, seed, scale):
        self.space, self.rng = space, np.random.default_rng([0x6E6F6973, seed])
        known = sorted(s for s in space.d.get("rel_std") or [] if s is not None and math.isfinite(s) and s >= 0)
        if not known:
            sys.exit(f"{space.id} has no recorded spread: --leave-out {space.id}")
        usual, given = known[len(known) // 2], space.d["rel_std"]
        self.spread = [scale * (usual if s is None or not math.isfinite(s) or s < 0 else s) for s in given]
        self.observed = [self.draw(row) for row in range(len(space.true))]

    def draw(self, row):
        mean = self.space.true[row]
        if mean is None:
            return None
        variance = math.log1p(self.spread[row] ** 2)
        return mean * math.exp(math.sqrt(variance) * self.rng.standard_normal() - variance / 2)


def recorder(base, noise):
    """The harness's counter of evaluations, whose improvements carry recorded times."""

    class Noisy(base):
        def __init__(self, space, budget):
            base.__init__(self, space, budget)
            self.finalists, self.medians, self.confirmed = [], {}, []

        def row(self, row):
            fresh = row not in self.seen
            observed = base.row(self, row)  # raises when the budget is spent
            if fresh and observed is not None:
                if self.improve and self.improve[-1][0] == len(self.seen):
                    self.improve[-1][2] = self.sp.true[row]
                self.confirm(row, observed)
            return observed

        def confirm(self, row, observed):
            best = sorted(self.finalists + [(observed, row)])[:FINALISTS]
            if best == self.finalists:
                return
            self.finalists = best
            if row not in self.medians:
                self.medians[row] = statistics.median(noise.draw(row) for _ in range(ROUNDS))
            answer = min(best, key=lambda each: self.medians[each[1]])[1]
            found = self.sp.true[answer]
            if not self.confirmed or self.confirmed[-1][2] != found:
                self.confirmed.append([len(self.seen), round(self.cost, 1), found])

    return Noisy


def load(path):
    spec = importlib.util.spec_from_file_location("harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runner:
    """One space, and what is built once for it."""

    def __init__(self, harness, space):
        self.harness, self.space, self.kernel_tuner = harness, space, None
        space.true, self.base = space.time, harness.Recorder

    def run(self, strategy, budget, seed, scale):
        harness, space = self.harness, self.space
        kind, argument = harness.ST[strategy][:2]
        noise = Noise(space, seed, scale)
        space.time = noise.observed
        harness.Recorder = recorder(self.base, noise)
        try:
            if kind in ("kt", "ktb"):
                return self.tune(noise, kind, argument, budget, seed)
            if kind == "atf":
                return harness.run_atf(space, budget, seed, argument)
            if kind == "at":
                return harness.asktell(space, budget, seed, argument)
            return harness.ref_random(space, budget, seed)
        finally:
            space.time, harness.Recorder = space.true, self.base

    def tune(self, noise, kind, argument, budget, seed):
        self.kernel_tuner = self.kernel_tuner or self.harness.KT(self.space)
        tuner = self.kernel_tuner
        for key, row in tuner.rowkey.items():
            if noise.observed[row] is not None:
                tuner.cache[key]["time"] = noise.observed[row]
        options = dict(argument[1], budget=budget) if kind == "ktb" else argument[1]
        return tuner.run(argument[0], options, budget, seed)


def records(space, strategy, budget, seed, scale, run):
    counter, seconds = run
    for name, improve in ((f"{strategy}@noise={scale:g}", counter.improve), (f"{strategy}@noise={scale:g}+confirm", counter.confirmed)):
        yield {"space": space.id, "strategy": name, "seed": seed, "budget": budget, "evals": len(counter.seen),
               "cpu_s": round(seconds, 5), "asks": counter.asks, "improve": improve}


class OutOfTime(Exception):
    pass


def give_up(*_):
    raise OutOfTime()


def cell(runner, strategy, seeds, budgets, scale):
    """The records of one strategy on one space; what went wrong ends it and is said."""
    lines = []
    aware = runner.harness.ST[strategy][2]
    try:
        for seed in range(seeds):
            for budget in budgets if aware else budgets[-1:]:
                signal.alarm(RUN_SECONDS)
                run = runner.run(strategy, budget, seed, scale)
                signal.alarm(0)
                lines += [json.dumps(each, separators=(",", ":")) + "\n" for each in records(runner.space, strategy, budget, seed, scale, run)]
    except Exception as error:  # a strategy's own fault must not end the others
        print(f"  {runner.space.id} {strategy}: stopped: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        signal.alarm(0)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harness", required=True)
    parser.add_argument("--spaces", required=True, help="the folder of recorded-space/1 files (*.json.xz)")
    parser.add_argument("--strategies", required=True, help="NAME:SEEDS,...")
    parser.add_argument("--out", required=True)
    parser.add_argument("--noise", type=float, default=1.0, help="1 is the recorded spread")
    parser.add_argument("--leave-out", default="", help="names of spaces, such as those without a recorded spread")
    parser.add_argument("--budgets", default="32,64,128,256")
    arguments = parser.parse_args()
    if os.path.exists(arguments.out):
        sys.exit(f"{arguments.out} is there already: name another file")
    out = os.path.abspath(arguments.out)
    harness = load(os.path.abspath(arguments.harness))
    harness.SPACES = os.path.abspath(arguments.spaces)
    harness.logging_off()
    wanted = [(name, int(seeds or 20)) for name, _, seeds in (each.partition(":") for each in arguments.strategies.split(","))]
    unknown = [name for name, _ in wanted if name not in harness.ST]
    if unknown:
        sys.exit(f"no such strategies: {', '.join(unknown)}; the harness has {', '.join(harness.ST)}")
    budgets = sorted(int(budget) for budget in arguments.budgets.split(","))
    out_of = set(arguments.leave_out.split(","))
    ids = sorted(name[: -len(".json.xz")] for name in os.listdir(harness.SPACES) if name.endswith(".json.xz"))
    signal.signal(signal.SIGALRM, give_up)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # some tuners leave files where they run
        for space in (harness.Space(name) for name in ids if name not in out_of):
            runner = Runner(harness, space)
            for strategy, seeds in wanted:
                begin = time.time()
                lines = cell(runner, strategy, seeds, budgets, arguments.noise)
                with lzma.open(out, "at") as file:  # a stream for each cell: a broken-off run keeps what it has
                    file.writelines(lines)
                print(f"{space.id:28s} {strategy:28s} {len(lines):5d} records {time.time() - begin:7.1f} s", file=sys.stderr, flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
