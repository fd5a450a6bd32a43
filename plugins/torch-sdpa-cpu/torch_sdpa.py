"""PyTorch's scaled_dot_product_attention on the CPU, one candidate for each of its backends."""

import os

import numpy as np
import torch
from evo_candidate import Kernel, Param, Rejected, run
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

CPUS = len(os.sched_getaffinity(0))
# All CPUs first: that is what PyTorch does by itself.
THREADS = [CPUS] + [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < CPUS]


def as_tensor(array, dtype):
    """A PyTorch tensor on the same memory. numpy has bf16 only as bit patterns."""
    if dtype == "bf16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


class Attention(Kernel):
    version = torch.__version__
    problems = ["sdpa"]
    params = {"THREADS": Param(THREADS, "threads of PyTorch's own pool", runtime=True)}
    backend = None

    def accept(self, problem, config):
        # The field is there where an epilogue is.
        if "epilogue" in problem.fields or problem.fields["dtype"] == "f8_e4m3":
            raise Rejected("attention alone, of f32, bf16 or f16: no epilogue, no quantised inputs")

    def build(self, problem, config):
        self.threads = config["THREADS"]
        self.dtype = problem.fields["dtype"]
        self.causal = problem.fields["mask"] == "causal"

    def bind(self, *arrays):
        self.tensors = [as_tensor(array, self.dtype) for array in arrays]

    def launch(self, *_):
        # The number is the whole process's, and candidates take turns.
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        q, k, v, o = self.tensors
        with torch.inference_mode(), sdpa_kernel(self.backend):
            o.copy_(scaled_dot_product_attention(q, k, v, is_causal=self.causal))


class Math(Attention):
    """PyTorch's unfused attention: two matrix products and a softmax."""

    backend = SDPBackend.MATH


class Flash(Attention):
    """PyTorch's fused attention for CPUs."""

    backend = SDPBackend.FLASH_ATTENTION


run(Math, Flash, version=torch.__version__, doc="PyTorch's attention on the CPU")
