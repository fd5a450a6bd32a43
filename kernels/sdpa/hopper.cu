// Fused attention forward for sm_90a: `sdpa_hopper`. Bulk tensor copies feed rings of keys and values,
// warpgroup products compute scores and outputs, weights never leave registers. HOPPER.md says how.
//
// A tile has 64 query rows for each of ROW_GROUPS consuming warpgroups. KEY_GROUPS of them hold the
// same rows, take the blocks of keys in turn, and merge what they have at the end.
#include "hopper_store.cuh"
#include "hopper_transpose.cuh"

// The barriers are made and, without a producer, the first loads started by the threads that load,
// each for its key group. What it makes it may use at once; the others see it after a block barrier.
__device__ __forceinline__ void start_loads(const Loader& loader, const Place& place, const Work& work) {
    if (!place.loads()) return;
    const Ring ring{loader.shared, place.key_group};
    ring.init();
    if (place.key_group == 0) init_query_barriers(loader.shared);
    ptx::fence_async();
    if (kDependent) ptx::wait_for_previous_kernel();
    if (place.key_group == 0) loader.queries(work);
    loader.first_keys(ring, work);
    if (!kLateValues) loader.first_values(ring, work);
}

// With a producer: by the thread that then loads.
__device__ __forceinline__ void init_all_barriers(u32 shared) {
    if (threadIdx.x != kConsumerThreads) return;
    for (int group = 0; group < kKeyGroups; ++group) Ring{shared, group}.init();
    init_query_barriers(shared);
    ptx::fence_mbarrier_init();
    ptx::fence_async();
}

__device__ __forceinline__ void consume(Consumer& consumer, const Tensors& tensors, const TensorMap* o_map,
                                        const Work& work) {
    const float scale = tensors.score_scale(work.head) * kLog2E;
    Rows rows;
    consumer.attend(rows, work, tensors.seq, scale);
    store_tile(rows, tensors, o_map, work, scale, consumer.loader.shared, consumer.place);
}

extern "C" __global__ void __launch_bounds__(kThreads, CTAS_PER_SM)
    sdpa_hopper(const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap k_map,
                const __grid_constant__ TensorMap v_map, const __grid_constant__ TensorMap o_map, const void* q,
                const void* k, const void* v, void* o, int heads, int seq, float scale, const float* q_scale,
                const float* k_scale, const float* v_scale, int scale_stride, float alpha, const float* bias,
                int bias_heads) {
    extern __shared__ __align__(1024) char shared_bytes[];
    const Tensors tensors{q,       k,       v,       o,            heads, seq,  scale,
                          q_scale, k_scale, v_scale, scale_stride, alpha, bias, bias_heads};
    const u32 shared = ptx::shared_address(shared_bytes);
    // The same for all lanes of a warp; the shuffle lets the compiler know.
    const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / kWarpgroup), 0);
    const Loader loader{&q_map, &k_map, &v_map, shared};
    Schedule schedule(heads, seq);

    if (kDependent) ptx::launch_dependents();
    if constexpr (!kPersistent) {
        if (!schedule.more() || schedule.work().none()) return;
        prefetch_share(tensors, schedule.work());
    }
    // Scales of 8-bit inputs are read by all threads, and may come from the kernel before.
    if (kDependent && kFp8) ptx::wait_for_previous_kernel();

    if constexpr (kProducer) {
        init_all_barriers(shared);
        write_ones(shared);
        __syncthreads();
        if (warpgroup == kConsumers) {
            ptx::shrink_registers<PRODUCER_REGS>();
            if constexpr (kTurnsValues) {
                produce_and_turn(loader, tensors);
            } else if (threadIdx.x == kConsumerThreads) {
                if (kDependent) ptx::wait_for_previous_kernel();
                produce(loader, tensors);
            }
        } else {
            ptx::grow_registers<CONSUMER_REGS>();
            Consumer consumer(Place(warpgroup), loader);
            consumer.start_turns();
            for (; schedule.more(); schedule.advance()) {
                const Work work = schedule.work();
                if (!work.none()) consume(consumer, tensors, &o_map, work);
            }
            consumer.end_turns();
        }
    } else {
        const Place place(warpgroup);
        const Work work = schedule.work();
        start_loads(loader, place, work);
        write_ones(shared);
        __syncthreads();
        Consumer consumer(place, loader);
        consumer.start_turns();
        consume(consumer, tensors, &o_map, work);
        consumer.end_turns();
    }
}
