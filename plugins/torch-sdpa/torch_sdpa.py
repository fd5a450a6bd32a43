"""Attention of libraries on a GPU: a candidate for each backend of PyTorch's, and for two others."""

import importlib.metadata
import importlib.util
import sys

import torch
from evo_candidate import Kernel, Rejected, run
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

if not torch.cuda.is_available():
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    raise SystemExit(f"PyTorch {torch.__version__} ({built}) sees no GPU")

CUDNN = torch.backends.cudnn.version()


def is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of what it would be in
        return False


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # not there, or not installed as a package
        return "of no known version"


# Packages that PyTorch does not bring: cuDNN's own interface, and FlashAttention-4.
FRONTEND = is_there("cudnn")
FLASH_4 = is_there("flash_attn.cute")

# Backends and problems that were seen to fit.
FITTING = set()


class Attention(Kernel):
    version = f"{torch.__version__}, cuDNN {CUDNN}"
    problems = ["sdpa"]
    devices = ("cuda",)
    backend = None

    def accept(self, problem, config):
        # The field is there where an epilogue is.
        if "epilogue" in problem.fields or problem.fields["dtype"] == "f8_e4m3":
            raise Rejected(
                "attention alone, of f32, bf16 or f16: no epilogue, no quantised inputs (for those: `cudnn_f8`)"
            )

    def load(self, code, problem, config):
        self.causal = problem.fields["mask"] == "causal"
        key = self.name, tuple(sorted(problem.fields.items()))
        if key not in FITTING:
            self.try_out(problem)
            FITTING.add(key)

    def try_out(self, problem):
        """Only a call tells whether a backend takes such a problem, and why not."""
        dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
        shape = [problem.fields[extent] for extent in "BHSD"]
        q, k, v = torch.zeros([3, *shape], dtype=dtype[problem.fields["dtype"]], device="cuda")
        try:
            self.attention(q, k, v)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise Rejected(f"PyTorch's {self.name} backend does not take it: {error}") from None

    def attention(self, q, k, v):
        with torch.inference_mode(), sdpa_kernel(self.backend):
            return scaled_dot_product_attention(q, k, v, is_causal=self.causal)

    def bind(self, *arrays):
        self.inputs = [array.torch() for array in arrays[:3]]

    def launch(self, *_):
        # PyTorch chooses where the output lies: it is copied from there when it is looked at.
        return self.attention(*self.inputs)


class Math(Attention):
    """PyTorch's unfused attention: two matrix products and a softmax."""

    backend = SDPBackend.MATH


class Flash(Attention):
    """PyTorch's fused attention by FlashAttention-2."""

    backend = SDPBackend.FLASH_ATTENTION


class Efficient(Attention):
    """PyTorch's memory-efficient attention."""

    backend = SDPBackend.EFFICIENT_ATTENTION


class CuDnn(Attention):
    """PyTorch's fused attention by cuDNN."""

    backend = SDPBackend.CUDNN_ATTENTION


class FlashAttention4(Attention):
    """FlashAttention-4 (the package flash-attn-4), which has a path for Hopper."""

    name = "flash4"
    version = f"{version_of('flash-attn-4')}, {torch.__version__}"

    def accept(self, problem, config):
        if not FLASH_4:
            raise Rejected(
                "the package `flash_attn.cute` is missing: pip install 'flash-attn-4[cu13]', for the interpreter "
                f"that EVO_PYTHON names ({sys.executable})"
            )
        super().accept(problem, config)

    def attention(self, q, k, v):
        from flash_attn.cute import flash_attn_func

        # It wants heads within positions; strides are its own matter.
        q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
        with torch.inference_mode():
            o = flash_attn_func(q, k, v, causal=self.causal)
        return (o[0] if isinstance(o, tuple) else o).transpose(1, 2)

    def try_out(self, problem):
        try:
            super().try_out(problem)
        except (AssertionError, TypeError, ValueError, NotImplementedError) as error:
            raise Rejected(f"FlashAttention-4 does not take it: {error}") from None


class CuDnnF8(Kernel):
    """cuDNN's fused attention of e4m3 inputs, by its graph interface."""

    name = "cudnn_f8"
    version = f"cuDNN {CUDNN}, nvidia-cudnn-frontend {version_of('nvidia-cudnn-frontend')}"
    problems = ["sdpa"]
    devices = ("cuda",)

    def accept(self, problem, config):
        fields = problem.fields
        if not FRONTEND:
            raise Rejected(
                "the package `cudnn` is missing: pip install nvidia-cudnn-frontend, for the interpreter that "
                f"EVO_PYTHON names ({sys.executable})"
            )
        if fields["dtype"] != "f8_e4m3" or fields.get("scales", "per_tensor") != "per_tensor":
            raise Rejected("attention of f8_e4m3 with one scale for each tensor (scales: per_tensor) only")
        if "epilogue" in fields:
            raise Rejected("attention alone: no epilogue")

    def load(self, code, problem, config):
        import cudnn

        self.dims = [problem.fields[extent] for extent in "BHSD"]
        self.handle = cudnn.create_handle()
        cudnn.set_stream(self.handle, self.stream)
        try:
            self.graph = self.describe(cudnn, problem.fields["mask"] == "causal")
            self.graph.validate()
            self.graph.build_operation_graph()
            self.graph.create_execution_plans([cudnn.heur_mode.A])
            self.graph.check_support()
            self.graph.build_plans()
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
            raise Rejected(f"cuDNN does not take it: {error}") from None
        floats = {"dtype": torch.float32, "device": "cuda"}
        # What is not scaled, and weights (the greatest is 1) that use the range of e4m3. A power of two: with the
        # 448 that the range ends at, equal weights came out 6 % too small (cuDNN 9.19 on an H200).
        one, weights = torch.ones(1, **floats), torch.full([1], 256.0, **floats)
        self.scales = {"one": one, "scale_s": weights, "descale_s": 1 / weights}
        self.amax = torch.zeros(2, 1, **floats)
        size = max(1, self.graph.get_workspace_size())
        self.scratch = torch.empty(size, dtype=torch.uint8, device="cuda")

    def describe(self, cudnn, causal):
        """The graph. Its output is e4m3, cuDNN's only one on Hopper, in units of the scale of V: what V is
        multiplied by comes after it, in `finish`."""
        b, h, s, d = self.dims
        graph = cudnn.pygraph(
            io_data_type=cudnn.data_type.FP8_E4M3,
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=self.handle,
        )
        strides = [h * s * d, s * d, d, 1]

        def number(name):
            return graph.tensor(name=name, dim=[1] * 4, stride=[1] * 4, data_type=cudnn.data_type.FLOAT)

        self.q, self.k, self.v = (
            graph.tensor(name=name, dim=self.dims, stride=strides, data_type=cudnn.data_type.FP8_E4M3)
            for name in "qkv"
        )
        names = ["descale_q", "descale_k", "descale_v", "descale_s", "scale_s", "scale_o"]
        self.numbers = {name: number(name) for name in names}
        self.o, _, *self.greatest = graph.sdpa_fp8(
            q=self.q,
            k=self.k,
            v=self.v,
            **self.numbers,
            is_inference=True,
            attn_scale=d**-0.5,
            use_causal_mask=causal,
        )
        self.o.set_output(True).set_dim(self.dims).set_stride(strides)
        self.o.set_data_type(cudnn.data_type.FP8_E4M3)
        for greatest in self.greatest:
            greatest.set_output(True).set_dim([1] * 4).set_stride([1] * 4)
            greatest.set_data_type(cudnn.data_type.FLOAT)
        return graph

    def bind(self, q, k, v, q_scale, k_scale, v_scale, _):
        self.v_scale = v_scale.torch()
        self.result = torch.empty(self.dims, dtype=torch.float8_e4m3fn, device="cuda")
        one = self.scales["one"]
        self.pack = {
            self.q: q.torch(),
            self.k: k.torch(),
            self.v: v.torch(),
            self.numbers["descale_q"]: q_scale.torch(),
            self.numbers["descale_k"]: k_scale.torch(),
            self.numbers["descale_v"]: one,
            self.numbers["descale_s"]: self.scales["descale_s"],
            self.numbers["scale_s"]: self.scales["scale_s"],
            self.numbers["scale_o"]: one,
            self.o: self.result,
            self.greatest[0]: self.amax[0],
            self.greatest[1]: self.amax[1],
        }

    def launch(self, *_):
        self.graph.execute(self.pack, self.scratch, handle=self.handle)
        return self.result

    def finish(self, result):
        return result.float() * self.v_scale


run(
    Math,
    Flash,
    Efficient,
    CuDnn,
    FlashAttention4,
    CuDnnF8,
    version=torch.__version__,
    doc=f"PyTorch {torch.__version__}'s attention on a GPU, cuDNN {CUDNN}",
)
