"""The protocol written out with nothing but the standard library, and ways to break it.

Brings the problem `doubling` (y = 2 x), the kernel `double` that solves it, and the objective
`parabola`. The environment variable FAULT says what goes wrong, and when: see FAULTS. The kernel's
parameter of that name does so for its launches alone.
"""

import base64
import json
import mmap
import os
import random
import signal
import socket
import struct
import sys
import time

FAULT = os.environ.get("FAULT", "")
FAULTS = {
    "import": "an exception before the first answer",
    "version": "another major version of the protocol",
    "newer": "a newer minor version, with fields and an error kind that nobody knows",
    "exit": "exit code 0 instead of the answer to `describe`",
    "orphan": "the end instead of the answer to `describe`, while a child keeps the socket",
    "segfault": "a signal in a launch",
    "garbage": "a frame that is no JSON, in a launch",
    "array": "a frame that is JSON and no object, in a launch",
    "oversized": "a frame that says it has 4 GB, in a launch",
    "cut": "half a frame and then the end, in a launch",
    "id": "the id of another question, in a launch",
    "other": "the answer to another question, in a launch",
    "nan": "NaN for the seconds of a launch, which is no JSON",
    "negative": "-1 for the seconds of a launch",
    "longer": "twice the seconds that a launch took",
    "shorter": "a hundredth of the seconds that a launch took",
    "slow": "20 ms to each launch, honestly reported",
    "hang": "no answer to a launch",
    "print": "far more than a pipe holds to standard output and error in a launch",
    "leak": "a child that goes on",
    "profiler": "the description of a profiler",
    "nameless": "a description without a name",
    "base64": "an artifact that is no base64",
    "error": "an error as the answer to a launch",
    "mutate": "a write to an input",
    "stray": "a write beyond the output",
    "wrong": "a wrong value",
}
assert not FAULT or FAULT in FAULTS, FAULT

if FAULT == "import":
    raise RuntimeError("planted at import")

channel = socket.socket(fileno=int(os.environ["EVO_SOCKET"]))
memories, instances = {}, {}


def read():
    head = receive(4)
    return json.loads(receive(struct.unpack("<I", head)[0]))


def receive(count):
    data = b""
    while len(data) < count:
        piece = channel.recv(count - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def send(body):
    channel.sendall(struct.pack("<I", len(body)) + body)


def floats(tensor):
    """A tensor of f32 or f64 as a view that can be written."""
    size = {"f32": ("f", 4), "f64": ("d", 8)}[tensor["dtype"]]
    view = memoryview(memories[tensor["memory"]])
    count = 1
    for extent in tensor["shape"]:
        count *= extent
    return view[tensor["offset"] : tensor["offset"] + count * size[1]].cast(size[0])


def hello(ask):
    if FAULT == "version":
        return {"protocol": [7, 3], "software": "raw.py"}
    return {"protocol": [1, 9 if FAULT == "newer" else 0], "software": "raw.py", "mood": "good"}


def describe(ask):
    if FAULT == "exit":
        sys.stderr.write("leaving now\n")
        sys.exit(0)
    if FAULT == "orphan":
        if os.fork() == 0:
            time.sleep(60)
        os._exit(3)
    if FAULT == "leak":
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    plugin = {
        "name": ask["name"],
        "version": "1.0",
        "doc": "A process without the package",
        "problems": [
            {
                "name": "doubling",
                "doc": "y = 2 x",
                "fields": [
                    {"name": "N", "doc": "", "kind": {"int": {"min": 1, "max": 1 << 24}},
                     "default": 1000}
                ],
            }
        ],
        "kernels": [
            {
                "name": "double", "version": "1", "doc": "", "problems": ["doubling"],
                "devices": ["cpu"], "deterministic": True,
                "params": [{"name": "WAY", "doc": "", "default": 0},
                           {"name": "FAULT", "doc": "", "default": "none"}],
                "space": '(name: "double", params: [(name: "WAY", values: [0, 1])])',
                "colour": "blue",
            }
        ],
        "objectives": [
            {
                "name": "parabola", "doc": "", "settings": [], "metric": "cost",
                "space": '(name: "parabola", params: [(name: "X", range: (from: 0, to: 9))])',
            }
        ],
    }
    if FAULT == "profiler":
        plugin["profilers"] = [{"name": "p", "doc": "", "devices": ["cpu"]}]
    if FAULT == "nameless":
        del plugin["name"]
    return {"plugin": plugin}


def accept(ask):
    if FAULT == "newer":
        return {"answer": "error", "kind": "of a later version", "message": "something new"}
    if ask["request"]["config"].get("WAY") == 9:
        return {"answer": "error", "kind": "rejected", "message": "there is no way 9"}
    return {}


def build(ask):
    config = ask["request"]["config"]
    way, fault = config.get("WAY", 0), config.get("FAULT", "none")
    if way == 8:
        return {"answer": "error", "kind": "build_failed", "message": "no way", "log": "line 1\n"}
    code = base64.b64encode(f"way {way} {fault}".encode()).decode()
    code = "*no base64*" if FAULT == "base64" else code
    return {"artifact": {"bytes": code, "log": "built", "launch": {"GRID": 3}}}


def load(ask):
    word, way, fault = base64.b64decode(ask["artifact"]["bytes"]).decode().split()
    assert (word, fault == "none" or fault in FAULTS) == ("way", True)
    instances[ask["instance"]] = (FAULT or fault, None, None)
    return {"workspace_bytes": 100}


def bind(ask):
    workspace = ask["workspace"]
    assert workspace["bytes"] == 100 and workspace["offset"] % 256 == 0, workspace
    fault = instances[ask["instance"]][0]
    instances[ask["instance"]] = (fault, ask["inputs"][0], ask["outputs"][0])
    return {}


def launch_one(instance):
    fault, x, y = instances[instance]
    inputs, outputs = floats(x), floats(y)
    for index, value in enumerate(inputs):
        outputs[index] = 2 * value
    if fault == "mutate":
        inputs[0] = 7.0
    if fault == "wrong":
        outputs[0] += 1.0
    if fault == "stray":
        memories[y["memory"]][y["offset"] + y["bytes"]] ^= 0xFF
    if fault == "slow":
        time.sleep(0.02)


def launch(ask):
    order = ask["order"]
    if not order:
        return {"seconds": 0.0}
    fault = instances[order[0]][0]
    if fault == "segfault":
        sys.stderr.write("about to fall\n")
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "garbage":
        send(b"no JSON at all")
    if fault == "array":
        send(b"[1, 2]")
    if fault == "oversized":
        channel.sendall(b"\xff\xff\xff\xff{")
    if fault == "cut":
        channel.sendall(struct.pack("<I", 100) + b"{")
        sys.exit(3)
    if fault == "id":
        return {"id": 99999}
    if fault == "other":
        return {"answer": "bind"}
    if fault == "hang":
        time.sleep(3600)
    if fault == "error":
        return {"answer": "error", "kind": "failed", "message": f"{os.getcwd()}/raw.py:1 broke"}
    if fault == "print":
        for _ in range(2_000):
            sys.stdout.write("x" * 99 + "\n")
            sys.stderr.write("y" * 99 + "\n")
    start = time.monotonic()
    for turn in range(ask["launches"]):
        launch_one(order[turn % len(order)])
    seconds = time.monotonic() - start
    wrong = {"nan": float("nan"), "negative": -1.0, "longer": seconds * 2, "shorter": seconds / 100}
    return {"seconds": wrong.get(fault, seconds)}


def unload(ask):
    del instances[ask["instance"]]
    return {}


def resolve(ask):
    count = ask["fields"]["N"]
    return {
        "spec": {
            "problem": "doubling",
            "fields": ask["fields"],
            "tensors": [
                {"name": "x", "role": "input", "dtype": "f32", "shape": [count]},
                {"name": "y", "role": "output", "dtype": "f32", "shape": [count]},
            ],
            "constants": {"N": count},
            "gates": [{"tensor": "y", "relative_error": 1e-6}],
            "flops": float(count),
            "bytes": 8.0 * count,
            "cache": "hot",
            "extra_shapes": [{"N": 17}],
            "distributions": ["even", "large"],
        }
    }


def fill(ask):
    draw = random.Random(ask["seed"])
    scale = 1e6 if ask["distribution"] == "large" else 1.0
    view = floats(ask["inputs"][0])
    for index in range(len(view)):
        view[index] = draw.uniform(-scale, scale)
    return {}


def reference(ask):
    x, y = floats(ask["inputs"][0]), floats(ask["outputs"][0])
    # The only row is all of it, whatever rows are asked for.
    for index, value in enumerate(x):
        y[index] = 2.0 * value
    return {}


def open_(ask):
    return {}


def evaluate(ask):
    value = (ask["config"]["X"] - 3) ** 2
    metric = {"name": "cost", "unit": "", "direction": "lower", "value": float(value)}
    return {"metrics": [metric], "cost_s": 0.5}


def close(ask):
    return {}


def main():
    handlers = dict(globals(), open=open_)
    while True:
        ask = read()
        for number in ask.get("forget", []):
            memories.pop(number)
        for memory in ask.get("memories", []):
            file = os.open(memory["path"], os.O_RDWR)
            memories[memory["id"]] = mmap.mmap(file, memory["bytes"])
            os.close(file)
        try:
            answer = handlers[ask["ask"]](ask)
        except (KeyError, TypeError, ValueError) as error:  # asked for what there is not
            answer = {"answer": "error", "kind": "failed", "message": repr(error)}
        send(json.dumps({"id": ask["id"], "answer": ask["ask"], **answer}).encode())


main()
