"""Times PyTorch's attention with nothing but PyTorch, to hold evo's figures against.

One CUDA graph runs the call over so many input sets that they exceed the second-level cache, ten times
over; the median of its replays, by events, over the number of calls. Prints microseconds for each
backend.

    python3 check_times.py B H S D [--dtype f16|bf16] [--causal] [--rounds 60]
"""

import argparse
import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}

# Calls of a graph for each input set: the start of a graph is shared by so many.
ROUNDS_OF_GRAPH = 10


def microseconds(backend, sets, causal, rounds):
    outputs = [None] * len(sets)

    def call():
        for place, (q, k, v) in list(enumerate(sets)) * ROUNDS_OF_GRAPH:
            with torch.inference_mode(), sdpa_kernel(backend):
                outputs[place] = scaled_dot_product_attention(q, k, v, is_causal=causal)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            call()
        times = []
        for _ in range(rounds):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e3 / (ROUNDS_OF_GRAPH * len(sets)))
    # The first ones find the device idle.
    return statistics.median(times[len(times) // 4 :])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extents", nargs=4, type=int, metavar=("B", "H", "S", "D"))
    parser.add_argument("--dtype", choices=["f16", "bf16"], default="f16")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    chosen = parser.parse_args()
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[chosen.dtype]
    properties = torch.cuda.get_device_properties(0)
    one_set = torch.randn([3, *chosen.extents], dtype=dtype, device="cuda")
    count = max(1, min(24, -(-2 * properties.L2_cache_size // one_set.nbytes)))
    sets = [torch.randn_like(one_set) for _ in range(count)]
    print(f"{properties.name}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    mask = "causal" if chosen.causal else "full"
    print(f"B H S D {chosen.extents}, {chosen.dtype}, {mask}, {count} input sets; microseconds:")
    for name, backend in BACKENDS.items():
        try:
            print(f"  {name:10}{microseconds(backend, sets, chosen.causal, chosen.rounds):10.2f}")
        except RuntimeError as error:
            print(f"  {name:10}{str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
