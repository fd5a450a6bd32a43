"""Answers the framework's questions, one after the other."""

import base64
import functools
import hashlib
import itertools
import json
import math
import mmap
import os
import platform
import socket
import sys
import time
import traceback

from . import __version__, protocol
from .candidate import Build, BuildFailed, Kernel, Objective, Problem, Rejected
from .documents import Spec, field_documents, param_documents, params_of, space_of

HERE = os.path.dirname(os.path.abspath(__file__))


def run(*classes, name=None, version="0", doc="", default_spec=None):
    """Serves the framework with these classes until it closes the socket. The last line of a
    plugin."""
    number = os.environ.get("EVO_SOCKET")
    if number is None:
        raise SystemExit(
            f"{sys.argv[0]} is a plugin: it is started by evo through a file NAME.process.ron, "
            "for example by `evo plugin describe ./NAME.process.ron`"
        )
    channel = socket.socket(fileno=int(number))
    plugin = {"name": name, "version": version, "doc": doc, "default_spec": default_spec}
    Server(classes, plugin).serve(channel)


class Implausible(Exception):
    """A figure that cannot be true."""


class Memories:
    """The shared memories of the framework that this process has mapped, by number."""

    def __init__(self, device):
        self._maps = {}
        # Those on a GPU: the device and the address there.
        self._on_device = {}
        self._device = device

    def add(self, documents):
        for document in documents:
            if "cuda_ipc" in document:
                device = self._device(document["device"])
                address = device.open(document["cuda_ipc"])
                self._on_device[document["id"]] = device, address
                continue
            descriptor = os.open(document["path"], os.O_RDWR | os.O_CLOEXEC)
            try:
                self._maps[document["id"]] = mmap.mmap(descriptor, document["bytes"])
            finally:
                os.close(descriptor)

    def forget(self, ids):
        # Unmapped when the last array in it is gone.
        for number in ids:
            self._maps.pop(number, None)
            device, address = self._on_device.pop(number, (None, None))
            if device is not None:
                device.close(address)

    def array(self, document):
        """The tensor of a document: a numpy array, or a DeviceArray on a GPU."""
        if document["memory"] in self._on_device:
            from .cuda import DeviceArray

            device, address = self._on_device[document["memory"]]
            address += document["offset"]
            return DeviceArray(address, document["dtype"], document["shape"], device.index)
        import numpy as np

        from .numbers import NUMPY

        dtype = NUMPY[document["dtype"]]
        memory = self._maps[document["memory"]]
        return np.ndarray(document["shape"], dtype, memory, document["offset"])

    def bytes(self, document):
        if document is None:
            return None
        return self.array({**document, "dtype": "u8", "shape": [document["bytes"]]})


class Instance:
    """A loaded kernel with the buffers of its last `bind`."""

    def __init__(self, kernel, spec, device):
        self.kernel = kernel
        self.spec = spec
        # The GPU that it works on, if it does.
        self.device = device
        self.launch = _not_bound
        self.outputs = []
        # What the last launch has returned instead of writing it into the outputs: on a GPU only.
        self.results = ()

    def bind(self, inputs, outputs, workspace):
        self.outputs, self.results = outputs, ()
        inputs, outputs = iter(inputs), iter(outputs)
        tensors = [
            next(inputs) if tensor.role == "input" else next(outputs)
            for tensor in self.spec.tensors
        ]
        self.kernel.workspace = workspace
        self.kernel.bind(*tensors)
        if self.device is None:
            self.launch = functools.partial(self.kernel.launch, *tensors)
        else:
            self.launch = functools.partial(self._launch_on_device, tensors)

    def _launch_on_device(self, tensors):
        results = self.kernel.launch(*tensors)
        if results is not None:
            self.results = self._one_for_each("launch", results)

    def finished(self, results):
        """The outputs, of what launches have returned."""
        if not results:
            return results
        return self._one_for_each("finish", self.kernel.finish(*results))

    def _one_for_each(self, method, results):
        results = results if isinstance(results, (tuple, list)) else (results,)
        if len(results) != len(self.outputs):
            raise ValueError(
                f"`{method}` returned {len(results)} outputs instead of {len(self.outputs)}"
            )
        return results


def _not_bound():
    raise RuntimeError("launched before it was bound")


class Server:
    """The state of a conversation. Every question is a method."""

    def __init__(self, classes, plugin):
        self.plugin = plugin
        self.kernels = _by_name(classes, Kernel)
        self.problems = _by_name(classes, Problem)
        self.objectives = _by_name(classes, Objective)
        known = (Kernel, Problem, Objective)
        for other in classes:
            if not (isinstance(other, type) and issubclass(other, known)):
                raise TypeError(f"{other!r} is no class of a kernel, a problem or an objective")
        self.devices = {}
        self.memories = Memories(self.device)
        self.instances = {}
        # Recorded launches on a GPU, by the order of their instances.
        self.graphs = {}
        self.opened = {}
        self.sources = _sources()

    def serve(self, channel):
        while True:
            message = protocol.read(channel)
            if message is None:
                return
            answer = self.answer(message)
            try:
                protocol.write(channel, answer)
            except ValueError as error:
                protocol.write(channel, _error(message, "implausible", str(error)))

    def device(self, uuid):
        """A GPU, opened when it is first needed."""
        if uuid not in self.devices:
            from .cuda import Device

            self.devices[uuid] = Device(uuid)
        return self.devices[uuid]

    def answer(self, message):
        """The answer to a question, or an error that says where it happened."""
        question = message.get("ask")
        method = getattr(self, f"on_{question}", None)
        if method is None:
            return _error(message, "failed", f"there is no question `{question}`")
        try:
            self.memories.forget(message.get("forget", ()))
            self.memories.add(message.get("memories", ()))
            fields = method(message) or {}
        except Exception as error:  # whatever a plugin raises is an answer
            self._end_where_lost(error)
            return _error_of(message, error)
        return {"id": message["id"], "answer": question, **fields}

    def _end_where_lost(self, error):
        """A kernel that brought a GPU's context down leaves nothing that this process could go on
        with: it ends, which is a crash."""
        if any(device.is_lost() for device in self.devices.values()):
            traceback.print_exception(type(error), error, error.__traceback__)
            sys.stderr.flush()
            os._exit(1)

    def on_hello(self, message):
        python = f"Python {platform.python_version()} ({sys.executable})"
        software = f"evo_candidate {__version__}, {python}"
        return {"protocol": protocol.VERSION, "software": software}

    def on_describe(self, message):
        plugin = {
            "name": self.plugin["name"] or message["name"],
            "version": self.plugin["version"],
            "doc": self.plugin["doc"],
            "kernels": [_kernel_document(kind()) for kind in self.kernels.values()],
            "problems": [
                {"name": problem.name, "doc": problem.doc, "fields": field_documents(problem.fields)}
                for problem in (kind() for kind in self.problems.values())
            ],
            "objectives": [_objective_document(kind()) for kind in self.objectives.values()],
        }
        if self.plugin["default_spec"] is not None:
            plugin["default_spec"] = self.plugin["default_spec"]
        return {"plugin": plugin}

    # Kernels.

    def on_accept(self, message):
        kernel, spec, config = self._kernel(message)
        kernel.accept(spec, config)

    def on_build(self, message):
        kernel, spec, config = self._kernel(message)
        built = kernel.build(spec, config)
        if not isinstance(built, Build):
            built = Build(built)
        code = built.code
        if code is None:
            code = self._identity(kernel, config)
        if not isinstance(code, (bytes, bytearray)):
            raise TypeError(f"`build` returned {type(code).__name__}; bytes, a Build or None is meant")
        resources = [_metric(name, value) for name, value in built.resources.items()]
        return {
            "artifact": {
                "bytes": base64.b64encode(code).decode(),
                "log": built.log,
                "resources": resources,
                "launch": built.launch,
            }
        }

    def on_load(self, message):
        kernel, spec, config = self._kernel(message)
        device = None
        if kernel.device.get("kind") == "cuda":
            device = self.device(kernel.device["uuid"])
            kernel.stream = device.stream
        kernel.load(base64.b64decode(message["artifact"]["bytes"]), spec, config)
        self.instances[message["instance"]] = Instance(kernel, spec, device)
        return {"workspace_bytes": kernel.workspace_bytes()}

    def on_prepare(self, message):
        inputs = [self.memories.array(tensor) for tensor in message["inputs"]]
        self.instances[message["instance"]].kernel.prepare(*inputs)

    def on_bind(self, message):
        inputs = [self.memories.array(tensor) for tensor in message["inputs"]]
        outputs = [self.memories.array(tensor) for tensor in message["outputs"]]
        workspace = self.memories.bytes(message["workspace"])
        self._forget_graphs(message["instance"])
        self.instances[message["instance"]].bind(inputs, outputs, workspace)

    def on_launch(self, message):
        order, count = message["order"], message["launches"]
        instances = [self.instances[number] for number in order]
        device = instances[0].device if instances else None
        if device is not None:
            collect = message.get("collect", True)
            with device.marked(message.get("marked", False)):
                return {"seconds": self._launch_on_device(device, order, count, collect)}
        batch = _in_turn(instances, count)
        start = time.perf_counter()
        for launch in batch:
            launch()
        return {"seconds": time.perf_counter() - start}

    def _launch_on_device(self, device, order, count, collect):
        """Launches, replays where that was recorded, and returns the seconds by events."""
        instances = {number: self.instances[number] for number in order}
        graph = self.graphs.get(tuple(order))
        if graph is None or count % graph.launches:
            batch = _in_turn([instances[number] for number in order], count)
            seconds = device.seconds(lambda: [launch() for launch in batch])
            results = {number: instance.results for number, instance in instances.items()}
        else:
            results = graph.results
            if collect:
                for returned in results.values():
                    device.poison(returned)
            replays = range(count // graph.launches)
            seconds = device.seconds(lambda: [graph.replay() for _ in replays])
        if collect:
            for number, instance in instances.items():
                device.collect(instance.finished(results[number]), instance.outputs)
        return seconds

    def on_record(self, message):
        order, count = message["order"], message["launches"]
        instances = [self.instances[number] for number in order]
        device = instances[0].device if instances else None
        if device is None:
            return {"launches": 0}
        from .cuda import Graph

        # What the order had before, and its memory.
        self.graphs.pop(tuple(order), None)
        for instance in instances:
            instance.results = ()
        batch = _in_turn(instances, count)
        replay = device.record(lambda: [launch() for launch in batch])
        if replay is None:
            return {"launches": 0}
        results = {number: self.instances[number].results for number in order}
        self.graphs[tuple(order)] = Graph(count, replay, results)
        return {"launches": count}

    def on_unload(self, message):
        self._forget_graphs(message["instance"])
        self.instances.pop(message["instance"], None)

    def _forget_graphs(self, instance):
        self.graphs = {order: graph for order, graph in self.graphs.items() if instance not in order}

    # Problems.

    def on_resolve(self, message):
        return {"spec": self._problem(message).resolve(message["fields"])}

    def on_fill(self, message):
        import numpy as np

        inputs = [self.memories.array(tensor) for tensor in message["inputs"]]
        generator = np.random.Generator(np.random.Philox(message["seed"]))
        spec = Spec(message["spec"])
        self._problem(message).fill(spec, generator, message["distribution"], *inputs)

    def on_reference(self, message):
        from .numbers import values_of

        spec = Spec(message["spec"])
        inputs = [
            values_of(self.memories.array(tensor), tensor["dtype"]) for tensor in message["inputs"]
        ]
        results = self._problem(message).reference(spec, *inputs)
        if not isinstance(results, (tuple, list)):
            results = [results]
        outputs = [self.memories.array(tensor) for tensor in message["outputs"]]
        if len(results) != len(outputs):
            raise ValueError(f"the reference has {len(results)} outputs instead of {len(outputs)}")
        rows = message["rows"]
        for output, result in zip(outputs, results):
            if result.shape != output.shape:
                raise ValueError(f"the reference has the shape {result.shape}, not {output.shape}")
            if rows is None:
                output[...] = result
            else:
                last = output.shape[-1] if output.ndim else 1
                output.reshape(-1, last)[rows] = result.reshape(-1, last)[rows]

    # Objectives.

    def on_open(self, message):
        objective = self.objectives[message["objective"]]()
        space = objective.open(message["settings"])
        self.opened[message["opened"]] = objective
        return {} if space is None else {"space": space}

    def on_evaluate(self, message):
        objective = self.opened[message["opened"]]
        figures = objective.evaluate(message["config"])
        if not isinstance(figures, dict):
            figures = {objective.metric: figures}
        metrics = []
        for name, value in figures.items():
            ranked = name == objective.metric
            unit, direction = (objective.unit, objective.direction) if ranked else ("", "info")
            metrics.append(_metric(name, value, unit, direction))
        return {"metrics": metrics}

    def on_close(self, message):
        self.opened.pop(message["opened"], None)

    def _kernel(self, message):
        kernel = self.kernels[message["kernel"]]()
        request = message["request"]
        kernel.device = request.get("device", {})
        config = {name: param.values[0] for name, param in params_of(kernel).items()}
        config.update(request["config"])
        return kernel, Spec(request["problem"]), config

    def _problem(self, message):
        return self.problems[message["problem"]]()

    def _identity(self, kernel, config):
        """What stands for code that there is none of: the source files, the kernel, and the
        parameters that act on the build."""
        runtime = {name for name, param in params_of(kernel).items() if param.runtime}
        built = {name: value for name, value in config.items() if name not in runtime}
        text = json.dumps([kernel.name, kernel.version, built], sort_keys=True)
        return hashlib.sha256(self.sources + text.encode()).digest()


def _in_turn(instances, count):
    """The launches of instances, one after the other, from the beginning again after the end."""
    return itertools.islice(itertools.cycle([it.launch for it in instances]), count)


def _by_name(classes, kind):
    found = {}
    for each in classes:
        if isinstance(each, type) and issubclass(each, kind):
            name = each().name
            if name in found:
                raise ValueError(f"two classes are called {name}")
            found[name] = each
    return found


def _kernel_document(kernel):
    return {
        "name": kernel.name,
        "version": kernel.version,
        "doc": kernel.doc,
        "problems": list(kernel.problems),
        "devices": list(kernel.devices),
        "params": param_documents(kernel),
        "space": space_of(kernel),
        "deterministic": kernel.deterministic,
        "prepares": type(kernel).prepare is not Kernel.prepare,
    }


def _objective_document(objective):
    return {
        "name": objective.name,
        "doc": objective.doc,
        "settings": field_documents(objective.settings),
        "space": space_of(objective),
        "metric": objective.metric,
        "direction": objective.direction,
    }


def _metric(name, value, unit="", direction="info"):
    value = float(value)
    if not math.isfinite(value):
        raise Implausible(f"the figure `{name}` is {value}")
    return {"name": name, "unit": unit, "direction": direction, "value": value}


def _sources():
    """A hash of the plugin's own source files: the modules that lie in its folder."""
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    files = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        # Some packages have modules with a file that is none.
        if path and os.path.isabs(path) and path.startswith(folder + os.sep):
            files.add(path)
    if os.path.isfile(sys.argv[0]):
        files.add(os.path.abspath(sys.argv[0]))
    digest = hashlib.sha256()
    for path in sorted(files):
        with open(path, "rb") as file:
            content = file.read()
        digest.update(f"{os.path.relpath(path, folder)} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()


def _error(message, kind, text, log=""):
    return {"id": message.get("id"), "answer": "error", "kind": kind, "message": text, "log": log}


def _error_of(message, error):
    """An error as an answer: its kind, what was raised and where; the whole traceback as log."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    where = _place(error)
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    if isinstance(error, Rejected):
        return _error(message, "rejected", str(error))
    if isinstance(error, BuildFailed):
        return _error(message, "build_failed", str(error), error.log or trace)
    sys.stderr.write(trace)
    sys.stderr.flush()
    if isinstance(error, Implausible):
        kind, text = "implausible", str(error)
    elif isinstance(error, MemoryError) or _is_out_of_device_memory(error):
        kind = "out_of_memory"
    elif message.get("ask") == "build":
        kind = "build_failed"
    else:
        kind = "failed"
    return _error(message, kind, f"{text} ({where})", trace)


def _is_out_of_device_memory(error):
    """Of the driver, of PyTorch, of CuPy."""
    of_driver = getattr(error, "is_out_of_memory", False)
    return of_driver or type(error).__name__ == "OutOfMemoryError"


def _place(error):
    """File, line and function of the innermost code of the plugin itself."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(HERE + os.sep)]
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    near = [frame for frame in own if os.path.abspath(frame.filename).startswith(folder + os.sep)]
    frame = (near or own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}, in {frame.name}"
