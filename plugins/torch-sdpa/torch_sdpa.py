"""PyTorch's scaled_dot_product_attention on a GPU, one candidate for each of its backends."""

import torch
from evo_candidate import Kernel, Rejected, run
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

if not torch.cuda.is_available():
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    raise SystemExit(f"PyTorch {torch.__version__} ({built}) sees no GPU")

CUDNN = torch.backends.cudnn.version()
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
            raise Rejected("attention alone, of f32, bf16 or f16: no epilogue, no quantised inputs")

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


run(
    Math,
    Flash,
    Efficient,
    CuDnn,
    version=torch.__version__,
    doc=f"PyTorch {torch.__version__}'s attention on a GPU, cuDNN {CUDNN}",
)
