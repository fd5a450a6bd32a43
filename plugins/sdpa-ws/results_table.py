"""A table of finished runs in Markdown: `python3 results_table.py RUN...`, a row for each run; with
`--winners` in front a row for the best of each kernel in each run, with its configuration: where it differs from
the default.

Everything is from the confirmations (`bench/*.json`), where baselines, defaults and the best of each
kernel were measured interleaved: medians in microseconds.
"""

import csv
import json
import pathlib
import sys

KERNELS = ["hopper", "stage2", "ws_p1", "ws_p2"]
# Baselines by plugin and kernel: what a label means depends on what there was.
COLUMNS = {
    ("torch-sdpa", "math"): "PyTorch math",
    ("torch-sdpa", "flash"): "flash",
    ("torch-sdpa", "efficient"): "efficient",
    ("torch-sdpa", "cudnn"): "cuDNN",
    ("torch-sdpa", "flash4"): "FlashAttention-4",
    ("torch-sdpa", "cudnn_f8"): "cuDNN e4m3",
    ("sdpa-ws", "math"): "`math`",
}
FUSED = ("flash", "efficient", "cuDNN", "FlashAttention-4", "cuDNN e4m3")


def confirmed(run):
    """Each candidate of a confirmation with its median, or None where it failed."""
    for path in sorted(pathlib.Path(run, "bench").glob("*.json")):
        document = json.loads(path.read_text())
        stage = document["stages"].get("confirmation")
        if stage is None:
            continue
        metrics = {metric["name"]: metric["p50"] for metric in stage.get("metrics") or []}
        yield document, metrics.get("kernel_time")


def plugins_of(run):
    """The plugin of each baseline, by its label, from the plan."""
    with open(pathlib.Path(run, "journal.jsonl")) as file:
        records = (json.loads(line)["record"] for line in file)
        plan = next(record["plan"] for record in records if record["type"] == "started")
    return {baseline["label"]: baseline["plugin"] for baseline in plan["baselines"]}


def defaults_of(run):
    """The trials that are default configurations."""
    with open(pathlib.Path(run, "tune_log.csv"), newline="") as file:
        return {int(row["trial"]) for row in csv.DictReader(file) if row["operator"] == "default"}


def figure(value):
    if value is None:
        return ""
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}"


def measured(run):
    """What a run has: its baselines' times by column, its default's and its best's by kernel."""
    theirs, default, tuned = {}, {}, {}
    defaults, plugins = defaults_of(run), plugins_of(run)
    for document, value in confirmed(run):
        kernel = document["kernel"]
        if document["trial"] is None:
            column = COLUMNS.get((plugins[document["label"]], kernel))
            # Our own may be there twice, as a stand-in too.
            theirs.setdefault(column, value)
        elif value is not None:
            tuned[kernel] = min(value, tuned.get(kernel, value))
            if document["trial"] in defaults:
                default[kernel] = value
    return theirs, default, tuned


def row(run, kernels):
    theirs, default, tuned = measured(run)
    best = min(tuned.values(), default=None)

    def over(columns):
        times = [theirs[column] for column in columns if theirs.get(column)]
        return f"{min(times) / best:.2f}x" if times and best else ""

    cells = [pathlib.Path(run).name, *(figure(theirs.get(column)) for column in COLUMNS.values())]
    cells += [figure(default.get(kernel)) for kernel in kernels]
    for kernel in kernels:
        value = tuned.get(kernel)
        cells.append(f"**{figure(value)}**" if value is not None and value == best else figure(value))
    cells += [over(["PyTorch math"]), over(["flash"]), over(FUSED)]
    return "| " + " | ".join(cells) + " |"


def winners(run):
    """The best of each kernel: kernel, time, and the parameters in which it differs from the default."""
    best, default, defaults = {}, {}, defaults_of(run)
    for document, value in confirmed(run):
        kernel = document["kernel"]
        if document["trial"] is None or value is None:
            continue
        if document["trial"] in defaults:
            default[kernel] = document["params"]
        if kernel not in best or value < best[kernel][0]:
            best[kernel] = (value, document["params"])
    for kernel, (value, params) in sorted(best.items(), key=lambda item: item[1][0]):
        usual = default.get(kernel, {})
        changed = [f"`{name}` {shown(own)}" for name, own in sorted(params.items()) if usual.get(name) != own]
        yield kernel, value, ", ".join(changed) or "the default"


def shown(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def main():
    runs = sys.argv[1:]
    listed = runs[:1] == ["--winners"]
    runs = runs[1:] if listed else runs
    if not runs:
        sys.exit("usage: python3 results_table.py [--winners] RUN...")
    if listed:
        print("| run | kernel | us | configuration, as far as it is not the default |")
        print("|---|---|---|---|")
        for run in runs:
            for kernel, value, changed in winners(run):
                print(f"| {pathlib.Path(run).name} | `{kernel}` | {figure(value)} | {changed} |")
        return
    tuned = set().union(*(measured(run)[2] for run in runs))
    kernels = [kernel for kernel in KERNELS if kernel in tuned]
    head = ["run", *COLUMNS.values(), *(f"{kernel}, default" for kernel in kernels)]
    head += [f"{kernel}, tuned" for kernel in kernels]
    head += ["over PyTorch math", "over flash", "over the best fused"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for run in runs:
        print(row(run, kernels))


if __name__ == "__main__":
    main()
