"""Times PyTorch's attention with nothing but PyTorch, to hold evo's figures against.

One CUDA graph runs the call over so many input sets that they exceed the second-level cache, ten times
over; the median of its replays, by events, over the number of calls. Prints microseconds for each
backend. For f8_e4m3 the only one is cuDNN by its own interface, `pip install nvidia-cudnn-frontend`.

    python3 check_times.py B H S D [--dtype f16|bf16|f8_e4m3] [--causal] [--rounds 60]
"""

import argparse
import statistics
from functools import partial

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


def attention(backend, causal):
    """A call of PyTorch's attention."""

    def call(q, k, v):
        with torch.inference_mode(), sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, is_causal=causal)

    return call


def attention_f8(extents, causal, stream):
    """A call of cuDNN's attention of e4m3 inputs; all factors are one but that of the weights."""
    import cudnn

    b, h, s, d = extents
    tensor = {"dim": extents, "stride": [h * s * d, s * d, d, 1]}
    number = {"dim": [1] * 4, "stride": [1] * 4}
    handle = cudnn.create_handle()
    cudnn.set_stream(handle, stream.cuda_stream)
    f8, f32 = cudnn.data_type.FP8_E4M3, cudnn.data_type.FLOAT
    graph = cudnn.pygraph(io_data_type=f8, intermediate_data_type=f32, compute_data_type=f32, handle=handle)
    inputs = [graph.tensor(name=name, data_type=f8, **tensor) for name in "qkv"]
    factors = ["descale_q", "descale_k", "descale_v", "descale_s", "scale_s", "scale_o"]
    factors = {name: graph.tensor(name=name, data_type=f32, **number) for name in factors}
    o, _, *greatest = graph.sdpa_fp8(
        **dict(zip("qkv", inputs)), **factors, is_inference=True, attn_scale=d**-0.5, use_causal_mask=causal
    )
    o.set_output(True).set_dim(extents).set_stride(tensor["stride"]).set_data_type(f8)
    for it in greatest:
        it.set_output(True).set_dim([1] * 4).set_stride([1] * 4).set_data_type(f32)
    try:
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A])
        graph.check_support()
        graph.build_plans()
    except cudnn.cudnnGraphNotSupportedError as error:
        raise RuntimeError(f"cuDNN does not take it: {error}") from None
    values = {"descale_s": 1 / 256, "scale_s": 256.0}
    pack = {of: torch.full([1], values.get(name, 1.0), device="cuda") for name, of in factors.items()}
    pack |= {it: torch.zeros(1, device="cuda") for it in greatest}
    scratch = torch.empty(max(1, graph.get_workspace_size()), dtype=torch.uint8, device="cuda")

    def call(*qkv):
        result = torch.empty_like(qkv[0])
        graph.execute(pack | dict(zip(inputs, qkv)) | {o: result}, scratch, handle=handle)
        return result

    return call


def microseconds(attend, sets, stream, rounds):
    outputs = [None] * len(sets)

    def call():
        for place, qkv in list(enumerate(sets)) * ROUNDS_OF_GRAPH:
            outputs[place] = attend(*qkv)

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
    parser.add_argument("--dtype", choices=["f16", "bf16", "f8_e4m3"], default="f16")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    chosen = parser.parse_args()
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f8_e4m3": torch.float8_e4m3fn}[chosen.dtype]
    properties = torch.cuda.get_device_properties(0)
    one_set = torch.randn([3, *chosen.extents], device="cuda").to(dtype)
    count = max(1, min(24, -(-2 * properties.L2_cache_size // one_set.nbytes)))
    sets = [torch.randn(one_set.shape, device="cuda").to(dtype) for _ in range(count)]
    stream = torch.cuda.Stream()
    print(f"{properties.name}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    mask = "causal" if chosen.causal else "full"
    print(f"B H S D {chosen.extents}, {chosen.dtype}, {mask}, {count} input sets; microseconds:")
    if chosen.dtype == "f8_e4m3":
        calls = {"cudnn_f8": lambda: attention_f8(chosen.extents, chosen.causal, stream)}
    else:
        calls = {name: partial(attention, backend, chosen.causal) for name, backend in BACKENDS.items()}
    for name, made in calls.items():
        try:
            print(f"  {name:10}{microseconds(made(), sets, stream, chosen.rounds):10.2f}")
        except (RuntimeError, ImportError) as error:
            print(f"  {name:10}{str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
