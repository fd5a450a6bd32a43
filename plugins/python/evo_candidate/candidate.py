"""What the author of a plugin derives from."""

# The relative error that an output may have, by its element type.
GATES = {"f64": 1e-12, "f32": 1e-5, "f16": 6e-4, "bf16": 5e-3, "f8_e4m3": 4e-2}


class Rejected(Exception):
    """The configuration, the problem or the settings are not supported: not an error, a refusal."""


class BuildFailed(Exception):
    """The build failed; `log` is what the build tool printed."""

    def __init__(self, message, log=""):
        super().__init__(message)
        self.log = log


class Build:
    """What `Kernel.build` may return where bytes alone do not say it all."""

    def __init__(self, code, log="", resources=None, launch=None):
        # The machine code or what stands for it: equal bytes mean equal executions.
        self.code = code
        # What the build tool printed.
        self.log = log
        # Figures by name, such as {"registers": 40}.
        self.resources = resources or {}
        # Launch geometry, by name.
        self.launch = launch or {}


class _Named:
    # The name that users type; the name of the class in lower case, if left out.
    name = None
    # The parameters with the values to try, the default first: {"BLOCK": [64, 32, 128]}.
    params = {}
    # A search space as RON text; every combination of the values, if left out.
    space = None

    def __init__(self):
        if self.name is None:
            self.name = type(self).__name__.lower()

    @property
    def doc(self):
        lines = (type(self).__doc__ or "").strip().splitlines()
        return lines[0] if lines else ""


class Kernel(_Named):
    """An implementation of a problem.

    One object is made for each set of buffers. It must not keep results from one launch to the
    next, nor go on working after `launch` has returned.
    """

    # The version of the code: a part of every measurement's identity.
    version = "1"
    # Names of the problems that it solves.
    problems = ()
    # Kinds of device that it runs on.
    devices = ("cpu",)
    # Whether two launches on the same inputs agree bit by bit.
    deterministic = True
    # The device, as a document: its kind, name, uuid and facts, such as COMPUTE_CAPABILITY.
    device = {}
    # On a GPU: the `CUstream` that launches go into, as a number; set before `load`. It is PyTorch's
    # current stream where PyTorch is imported.
    stream = None
    # The scratch memory that `workspace_bytes` asked for, as an array of bytes; set before a launch.
    workspace = None

    def accept(self, problem, config):
        """A cheap check before anything is built: raise `Rejected` with the reason."""

    def build(self, problem, config):
        """Makes everything ready that a launch needs, and keeps it in `self`.

        Returns the bytes of the code where there are some (or a `Build`); without them a hash of
        the source files and the configuration stands for it.
        """

    def load(self, code, problem, config):
        """Makes an object ready to launch from what `build` returned on another object; builds
        again if it is not overridden."""
        self.build(problem, config)

    def workspace_bytes(self):
        """Bytes of scratch memory that a launch needs."""
        return 0

    def prepare(self, *inputs):
        """Changes the layout of the inputs, ahead of the launches. Timed apart; only called where
        it is overridden."""

    def bind(self, *tensors):
        """Called with the arrays of the next launches: the place to make views of them. Nothing
        may be computed here."""

    def launch(self, *tensors):
        """Computes once: the problem's inputs and outputs as numpy arrays, in its order. The work
        is done when this returns.

        On a GPU they are `evo_candidate.cuda.DeviceArray`s, and the work is queued in
        `self.stream`. What cannot write into given outputs returns them there (a tensor of PyTorch,
        or an array of CuPy): they are copied into the output buffers before anyone looks, which is
        no part of the time."""
        raise NotImplementedError(f"{type(self).__name__} has no method `launch`")

    def finish(self, *results):
        """On a GPU: the outputs, made of what `launch` has returned, where that is in units or a type
        of its own (of a library whose output cannot be chosen). Called when someone looks, and as
        little a part of the time as that copy: say so where you compare."""
        return results


class Problem(_Named):
    """What is to be computed, on which inputs, and what is right."""

    # The fields that a spec may set: {"N": integer(1 << 20)}.
    fields = {}
    # How inputs are drawn, the ordinary way first.
    distributions = ("normal", "outliers")
    # The greatest relative error of each output by name; by element type, if left out.
    gates = {}
    # What the caches hold when a timed launch begins: "rotate", "flush" or "hot".
    cache = "rotate"
    # Changes to the fields that give further shapes to be checked on; best some odd ones.
    extra_shapes = ()

    def tensors(self, fields):
        """The tensors, inputs and outputs in the order of the kernel's arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no method `tensors`")

    def flops(self, fields):
        """Floating-point operations of one execution."""
        return 0.0

    def fill(self, spec, generator, distribution, *inputs):
        """Fills the arrays of the inputs from a numpy random generator: here normal, and for
        `outliers` with every hundredth element 50 times as large."""
        from . import numbers

        for tensor, array in zip(spec.inputs, inputs):
            if tensor.dtype in ("i64", "i32", "i8", "u8"):
                array[...] = generator.integers(0, 100, array.shape)
                continue
            values = generator.standard_normal(array.shape)
            if distribution == "outliers":
                values[generator.random(array.shape) < 0.01] *= 50
            array[...] = numbers.bits_of(values, tensor.dtype)

    def reference(self, spec, *inputs):
        """The outputs in float64: an array, or one for each output. Inputs come as numbers, also
        those that are stored as bf16 or 8-bit floats."""
        raise NotImplementedError(f"{type(self).__name__} has no method `reference`")

    def resolve(self, fields):
        """The document of the problem with these fields."""
        tensors = list(self.tensors(fields))
        outputs = [tensor for tensor in tensors if tensor.role == "output"]
        gate = {tensor.name: GATES.get(tensor.dtype, 1e-12) for tensor in outputs}
        gate.update(self.gates)
        return {
            "problem": self.name,
            "fields": fields,
            "tensors": [
                {"name": t.name, "role": t.role, "dtype": t.dtype, "shape": list(t.shape)}
                for t in tensors
            ],
            "constants": {k: v for k, v in fields.items() if not isinstance(v, str)},
            "gates": [{"tensor": t.name, "relative_error": gate[t.name]} for t in outputs],
            "flops": float(self.flops(fields)),
            "bytes": float(sum(tensor.bytes for tensor in tensors)),
            "cache": self.cache,
            "extra_shapes": [dict(shape) for shape in self.extra_shapes],
            "distributions": list(self.distributions),
        }


class Objective(_Named):
    """Turns configurations into figures without being a kernel."""

    # The settings that a spec may give: {"path": text("data.csv")}.
    settings = {}
    # The name of the figure to rank by, its unit, and which way is better: "lower" or "higher".
    metric = "cost"
    unit = ""
    direction = "lower"

    def open(self, settings):
        """Called once, with all settings; may return a search space as RON text."""

    def evaluate(self, config):
        """The figure to rank by, or figures by name with that one among them."""
        raise NotImplementedError(f"{type(self).__name__} has no method `evaluate`")
