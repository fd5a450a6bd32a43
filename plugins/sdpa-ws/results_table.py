"""A table of finished runs in Markdown: `python3 results_table.py RUN...`, a row for each run.

Everything is from the confirmations (`bench/*.json`), where baselines, defaults and the best of each
kernel were measured interleaved: medians in microseconds.
"""

import csv
import json
import pathlib
import sys

KERNELS = ["stage2", "ws_p1", "ws_p2"]
COLUMNS = {
    "A": "PyTorch math",
    "flash": "flash",
    "efficient": "efficient",
    "cudnn": "cuDNN",
    "math": "`math`",
}


def confirmed(run):
    """Each candidate of a confirmation with its median, or None where it failed."""
    for path in sorted(pathlib.Path(run, "bench").glob("*.json")):
        document = json.loads(path.read_text())
        stage = document["stages"].get("confirmation")
        if stage is None:
            continue
        metrics = {metric["name"]: metric["p50"] for metric in stage.get("metrics") or []}
        yield document, metrics.get("kernel_time")


def defaults_of(run):
    """The trials that are default configurations."""
    with open(pathlib.Path(run, "tune_log.csv"), newline="") as file:
        return {int(row["trial"]) for row in csv.DictReader(file) if row["operator"] == "default"}


def figure(value):
    if value is None:
        return ""
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}"


def row(run):
    baselines, default, tuned = {}, {}, {}
    defaults = defaults_of(run)
    for document, value in confirmed(run):
        if document["trial"] is None:
            baselines[document["label"]] = value, document["kernel"]
        elif value is not None:
            kernel = document["kernel"]
            tuned[kernel] = min(value, tuned.get(kernel, value))
            if document["trial"] in defaults:
                default[kernel] = value
    # Where PyTorch does not take the problem, A is our own unfused kernel.
    theirs = {label: value for label, (value, _) in baselines.items()}
    if theirs.get("A") == theirs.get("math"):
        theirs["A"] = None
    best = min(tuned.values(), default=None)
    bold = {kernel: f"**{figure(value)}**" if value == best else figure(value)
            for kernel, value in tuned.items()}
    ratio = lambda label: f"{theirs[label] / best:.2f}x" if theirs.get(label) and best else ""
    fused = [theirs[label] for label in ("flash", "efficient", "cudnn") if theirs.get(label)]
    over_best = f"{min(fused) / best:.2f}x" if fused and best else ""
    cells = [pathlib.Path(run).name, *(figure(theirs.get(label)) for label in COLUMNS)]
    cells += [figure(default.get(kernel)) for kernel in KERNELS]
    cells += [bold.get(kernel, "") for kernel in KERNELS]
    cells += [ratio("A"), ratio("flash"), over_best]
    return "| " + " | ".join(cells) + " |"


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: python3 results_table.py RUN...")
    head = ["run", *COLUMNS.values(), *(f"{kernel}, default" for kernel in KERNELS)]
    head += [f"{kernel}, tuned" for kernel in KERNELS]
    head += ["over PyTorch math", "over flash", "over the best fused"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for run in sys.argv[1:]:
        print(row(run))


if __name__ == "__main__":
    main()
