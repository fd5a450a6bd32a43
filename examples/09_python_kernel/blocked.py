# The smallest Python candidate: attention in numpy, one block of queries after the other.
import numpy as np
from evo_candidate import Kernel, Rejected, run


class Blocked(Kernel):
    """Attention in numpy, in blocks of queries."""

    problems = ["sdpa"]
    params = {"BLOCK": [512, 16, 32, 64, 128, 256], "HEADS_AT_ONCE": [True, False]}

    def accept(self, problem, config):
        if problem.fields["dtype"] != "f32":
            raise Rejected("numpy multiplies matrices of f32 quickly, and others not at all")
        if "epilogue" in problem.fields:
            raise Rejected("this is attention without an epilogue")

    def build(self, problem, config):
        self.block, self.at_once = config["BLOCK"], config["HEADS_AT_ONCE"]
        self.causal = problem.fields["mask"] == "causal"

    def launch(self, q, k, v, o):
        if self.at_once:
            return self.attend(q, k, v, o)
        for head in np.ndindex(q.shape[:2]):
            self.attend(q[head], k[head], v[head], o[head])

    def attend(self, q, k, v, o):
        for start in range(0, q.shape[-2], self.block):
            stop = min(start + self.block, q.shape[-2])
            keys = stop if self.causal else q.shape[-2]
            scores = q[..., start:stop, :] @ k[..., :keys, :].swapaxes(-1, -2)
            scores /= np.sqrt(np.float32(q.shape[-1]))
            if self.causal:
                scores[..., np.arange(keys) > np.arange(start, stop)[:, None]] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            o[..., start:stop, :] = weights @ v[..., :keys, :] / weights.sum(-1, keepdims=True)


run(Blocked)
