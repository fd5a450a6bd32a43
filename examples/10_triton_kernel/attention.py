"""Attention in Triton: a candidate of the built-in problem `sdpa` that is a process of its own."""

import math

import triton
import triton.language as tl
from evo_candidate import Build, Kernel, Param, Rejected, run
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

try:
    import torch  # noqa: F401  its current stream is the one that Triton launches into
except ImportError:
    raise SystemExit("Triton takes tensors of PyTorch, which this Python does not have") from None


@triton.jit
def attention(
    q, k, v, o, seq, scale,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):
    """BLOCK_M query rows of one head; `scale` is folded with log2(e)."""
    tile = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64) * seq * D
    rows = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, D)
    here = head + rows[:, None] * D + columns[None, :]
    queries = tl.load(q + here, mask=rows[:, None] < seq, other=0.0)
    maximum = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    result = tl.zeros([BLOCK_M, D], tl.float32)
    end = seq
    if CAUSAL:
        end = tl.minimum(seq, (tile + 1) * BLOCK_M)
    for start in range(0, end, BLOCK_N):
        positions = start + tl.arange(0, BLOCK_N)
        there = head + positions[:, None] * D + columns[None, :]
        inside = positions[:, None] < seq
        keys = tl.load(k + there, mask=inside, other=0.0)
        scores = tl.dot(queries, tl.trans(keys)) * scale
        seen = positions[None, :] < seq
        if CAUSAL:
            seen = seen & (rows[:, None] >= positions[None, :])
        scores = tl.where(seen, scores, float("-inf"))
        # Every row sees the first key, so that no maximum stays infinite.
        larger = tl.maximum(maximum, tl.max(scores, 1))
        weights = tl.exp2(scores - larger[:, None])
        shrink = tl.exp2(maximum - larger)
        total = total * shrink + tl.sum(weights, 1)
        values = tl.load(v + there, mask=inside, other=0.0)
        result = tl.dot(weights.to(values.dtype), values, result * shrink[:, None])
        maximum = larger
    result = (result / total[:, None]).to(o.dtype.element_ty)
    tl.store(o + here, result, mask=rows[:, None] < seq)


class TritonAttention(Kernel):
    """Fused attention in Triton."""

    name = "triton"
    version = triton.__version__
    problems = ["sdpa"]
    devices = ("cuda",)
    params = {
        "BLOCK_M": Param([64, 32, 128], "query rows of a block"),
        "BLOCK_N": Param([64, 32, 128], "keys of a step"),
        "num_warps": [4, 2, 8],
        "num_stages": [2, 1, 3, 4],
    }

    def accept(self, problem, config):
        d = problem.fields["D"]
        if d not in (16, 32, 64, 128, 256):
            raise Rejected(f"D is {d}, but must be a power of two from 16 to 256")
        if "epilogue" in problem.fields or problem.fields["dtype"] not in ("f16", "bf16"):
            raise Rejected("attention alone, of f16 or bf16: no epilogue, no quantised inputs")

    def compile(self, problem, config):
        """Compiles for the device that is meant, which need not be in this machine."""
        element = {"f16": "*fp16", "bf16": "*bf16"}[problem.fields["dtype"]]
        constants = {
            "CAUSAL": problem.fields["mask"] == "causal",
            "D": problem.fields["D"],
            "BLOCK_M": config["BLOCK_M"],
            "BLOCK_N": config["BLOCK_N"],
        }
        signature = {name: element for name in "qkvo"} | {"seq": "i32", "scale": "fp32"}
        signature |= {name: "constexpr" for name in constants}
        # The framework's buffers are aligned to 64 bytes and more.
        aligned = {(place,): [["tt.divisibility", 16]] for place in range(4)}
        source = ASTSource(attention, signature, constants, aligned)
        capability = self.device["facts"]["COMPUTE_CAPABILITY"]
        target = GPUTarget("cuda", capability, 32)
        options = {"num_warps": config["num_warps"], "num_stages": config["num_stages"]}
        return triton.compile(source, target=target, options=options), constants

    def build(self, problem, config):
        compiled, _ = self.compile(problem, config)
        shared = compiled.metadata.shared
        limit = self.device["facts"]["SMEM_BYTES"]
        if shared > limit:
            raise Rejected(f"a block needs {shared} bytes of shared memory; the device has {limit}")
        return Build(compiled.asm["cubin"], resources={"shared_bytes": shared})

    def load(self, code, problem, config):
        # Triton keeps what `build` compiled in a folder of its own: nothing is compiled again.
        self.compiled, constants = self.compile(problem, config)
        self.constants = list(constants.values())
        extents = [problem.fields[extent] for extent in "BHSD"]
        batch, heads, self.seq, d = extents
        self.grid = (triton.cdiv(self.seq, config["BLOCK_M"]), batch * heads, 1)
        self.scale = math.log2(math.e) / math.sqrt(d)

    def bind(self, *arrays):
        self.tensors = [array.torch() for array in arrays]

    def launch(self, *_):
        self.compiled[self.grid](*self.tensors, self.seq, self.scale, *self.constants)


run(TritonAttention, version=triton.__version__, doc="Attention in Triton")
