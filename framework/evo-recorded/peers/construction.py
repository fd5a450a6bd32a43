#!/usr/bin/env python3
"""Builds constrained spaces with Kernel Tuner and pyATF, one at a time, on demand.

The benchmark `construction` of evo-core starts this program with the Python that has the two tuners
installed, and asks for one construction after another, so that the tools take turns within one run:

    construction.py FILE

FILE is a definition file (a list of objects with `name`, `params` and `restrictions`). Each line of the
input is `TOOL INDEX`, TOOL being `kernel_tuner` or `pyatf`; each line of the output is one JSON object:
`{"seconds": ..., "size": ...}`, or `{"error": ...}`. The first line of the output tells the versions.

A construction starts from the parameters and the restrictions as texts, as both tools have them in
memory, and ends when the number of valid configurations is known. Kernel Tuner takes the texts as they
are. pyATF wants each restriction as a function at the last parameter that it mentions; making these
functions from the texts is part of the construction.
"""

import ast
import importlib.metadata
import json
import logging
import signal
import sys
import time
import warnings

SECONDS = 120


class TooSlow(Exception):
    pass


def kernel_tuner(space):
    from kernel_tuner.searchspace import Searchspace

    params = {param["name"]: param["values"] for param in space["params"]}
    threads = 1_000_000_000  # no limit besides the restrictions
    return Searchspace(params, list(space["restrictions"]), threads).size


def pyatf(space):
    from pyatf import TP
    from pyatf.range import Set
    from pyatf.search_space import SearchSpace

    order = [param["name"] for param in space["params"]]
    due = {name: [] for name in order}
    for text in space["restrictions"]:
        nodes = ast.walk(ast.parse(text, mode="eval"))
        names = sorted({n.id for n in nodes if isinstance(n, ast.Name)}, key=order.index)
        due[names[-1]].append((text, names))
    tuned = []
    for param in space["params"]:
        values = Set(*param["values"])
        here = due[param["name"]]
        if here:
            names = sorted({name for _, used in here for name in used}, key=order.index)
            body = " and ".join(f"({text})" for text, _ in here)
            tuned.append(TP(param["name"], values, eval(f"lambda {', '.join(names)}: {body}")))
        else:
            tuned.append(TP(param["name"], values))
    return SearchSpace(*tuned, enable_1d_access=False).constrained_size


TOOLS = {"kernel_tuner": kernel_tuner, "pyatf": pyatf}
WARM_UP = {
    "params": [{"name": "a", "values": [1, 2, 3]}, {"name": "b", "values": [1, 2, 3]}],
    "restrictions": ["a <= b"],
}


def answer(build, space):
    def too_slow(*_):
        raise TooSlow(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(SECONDS)
    try:
        start = time.perf_counter()
        size = build(space)
        return {"seconds": time.perf_counter() - start, "size": int(size)}
    except Exception as error:  # whatever a tool raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with open(sys.argv[1], encoding="utf-8") as file:
        spaces = json.load(file)
    spaces = spaces if isinstance(spaces, list) else [spaces]
    # The tools print to the output, which carries the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    versions = {}
    for name, build in TOOLS.items():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            continue
        answer(build, WARM_UP)  # imports are no construction
    print(json.dumps(versions), file=out, flush=True)
    for line in sys.stdin:
        tool, index = line.split()
        print(json.dumps(answer(TOOLS[tool], spaces[int(index)])), file=out, flush=True)


if __name__ == "__main__":
    main()
