// Instructions of sm_90a that ptx.cuh does not have, one function each: bulk tensor copies,
// barriers, register grants, dependent launches. Warpgroup products: hopper_wgmma.cuh.
#pragma once

#include "ptx.cuh"

// What `cuTensorMapEncodeTiled` writes. The instructions want it aligned to 64 bytes.
struct alignas(64) TensorMap {
    u64 words[16];
};

namespace ptx {

// ---- bulk copies between global and shared memory ----------------------------------------------

// Hints for the level-2 cache, as encoded by `createpolicy` for whole accesses.
constexpr u64 kEvictNormal = 0x1000000000000000ull;
constexpr u64 kEvictFirst = 0x12F0000000000000ull;
constexpr u64 kEvictLast = 0x14F0000000000000ull;

// Starts the copy of one box of a tensor [head, row, column] to shared memory. What lies beyond
// the tensor arrives as zeros, and counts among the bytes that `barrier` expects.
__device__ __forceinline__ void load_box(u32 to, const TensorMap* map, u32 barrier, int column, int row,
                                         int head, u64 policy) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1, {%3, %4, %5}], [%2], %6;\n" ::"r"(to),
        "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(head), "l"(policy)
        : "memory");
}

// Starts the copy of one box from shared memory. What lies beyond the tensor is not written.
__device__ __forceinline__ void store_box(const TensorMap* map, u32 from, int column, int row, int head) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];\n" ::"l"(map),
                 "r"(from), "r"(column), "r"(row), "r"(head)
                 : "memory");
}

__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;\n" ::: "memory"); }

// Waits until this thread's bulk stores have read shared memory.
__device__ __forceinline__ void wait_stores_read() {
    asm volatile("cp.async.bulk.wait_group.read 0;\n" ::: "memory");
}

// Asks the level-2 cache for a piece of global memory: a multiple of 16 bytes.
__device__ __forceinline__ void prefetch_l2(const void* from, u32 bytes) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;\n" ::"l"(from), "r"(bytes) : "memory");
}

// ---- barriers and order ------------------------------------------------------------------------

// Arrives, and lets the phase wait for `bytes` of bulk copies too.
__device__ __forceinline__ void mbarrier_expect(u32 barrier, u32 bytes) {
    asm volatile("{\n .reg .b64 state;\n mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1;\n}\n" ::"r"(
                     barrier),
                 "r"(bytes)
                 : "memory");
}

// Makes what this thread wrote to shared memory by stores visible to bulk copies and to matrix
// products, which read it behind the back of ordinary loads.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }

// Makes initialised mbarriers visible to all who may signal them.
__device__ __forceinline__ void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}

// Counts at a named barrier without waiting for it.
__device__ __forceinline__ void named_barrier_arrive(int name, int threads) {
    asm volatile("bar.arrive %0, %1;\n" ::"r"(name), "r"(threads) : "memory");
}

// A named barrier that tells all its threads whether `flag` was set in one of them.
__device__ __forceinline__ bool named_barrier_any(int name, int threads, bool flag) {
    u32 any;
    asm volatile("{\n .reg .pred mine, any;\n setp.ne.u32 mine, %3, 0;\n bar.red.or.pred any, %1, %2, mine;\n"
                 " selp.u32 %0, 1, 0, any;\n}\n"
                 : "=r"(any)
                 : "r"(name), "r"(threads), "r"(flag ? 1u : 0u)
                 : "memory");
    return any != 0;
}

// ---- the whole block ---------------------------------------------------------------------------

// Every warp of a warpgroup gives registers back, or waits until it gets them.
template <int REGISTERS> __device__ __forceinline__ void shrink_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(REGISTERS));
}
template <int REGISTERS> __device__ __forceinline__ void grow_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(REGISTERS));
}

// Lets the next kernel of the stream start while this one runs; it waits for the end of this one
// with the other.
__device__ __forceinline__ void launch_dependents() {
    asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
}
__device__ __forceinline__ void wait_for_previous_kernel() {
    asm volatile("griddepcontrol.wait;\n" ::: "memory");
}

// ---- shared memory to and from registers --------------------------------------------------------

// Four 8 x 8 matrices of 16-bit elements from fragments; lane `l` gives the address of row `l % 8`
// of matrix `l / 8`.
__device__ __forceinline__ void store_matrices(u32 address, u32 a, u32 b, u32 c, u32 d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(address), "r"(a),
                 "r"(b), "r"(c), "r"(d)
                 : "memory");
}

__device__ __forceinline__ void load_shared(u32 address, u32 (&to)[4]) {
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ void store_shared(u32 address, const u32 (&from)[4]) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"r"(address), "r"(from[0]), "r"(from[1]),
                 "r"(from[2]), "r"(from[3])
                 : "memory");
}
__device__ __forceinline__ void load_shared(u32 address, u32& to) {
    asm volatile("ld.shared.b32 %0, [%1];\n" : "=r"(to) : "r"(address) : "memory");
}
__device__ __forceinline__ void store_shared(u32 address, u32 from) {
    asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(address), "r"(from) : "memory");
}
__device__ __forceinline__ void load_shared(u32 address, float& first, float& second) {
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];\n" : "=f"(first), "=f"(second) : "r"(address) : "memory");
}
__device__ __forceinline__ void store_shared(u32 address, float first, float second) {
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};\n" ::"r"(address), "f"(first), "f"(second) : "memory");
}

__device__ __forceinline__ void store_global(void* to, const u32 (&from)[4]) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"l"(to), "r"(from[0]), "r"(from[1]), "r"(from[2]),
                 "r"(from[3])
                 : "memory");
}
__device__ __forceinline__ void store_global(void* to, u32 from) {
    asm volatile("st.global.b32 [%0], %1;\n" ::"l"(to), "r"(from) : "memory");
}

// ---- numbers -----------------------------------------------------------------------------------

// A pair of 16-bit elements as two floats.
template <bool BF16> __device__ __forceinline__ void unpack(u32 pair, float& low, float& high) {
    if constexpr (BF16) {
        low = __int_as_float(pair << 16);
        high = __int_as_float(pair & 0xffff0000u);
    } else {
        asm("{\n .reg .b16 l, h;\n mov.b32 {l, h}, %2;\n cvt.f32.f16 %0, l;\n cvt.f32.f16 %1, h;\n}\n"
            : "=f"(low), "=f"(high)
            : "r"(pair));
    }
}

// Four floats as e4m3 values, the first in the lowest byte.
__device__ __forceinline__ u32 pack_e4m3(float a, float b, float c, float d) {
    u32 four;
    asm("{\n .reg .b16 l, h;\n cvt.rn.satfinite.e4m3x2.f32 l, %2, %1;\n cvt.rn.satfinite.e4m3x2.f32 h, %4, %3;\n"
        " mov.b32 %0, {l, h};\n}\n"
        : "=r"(four)
        : "f"(a), "f"(b), "f"(c), "f"(d));
    return four;
}

}  // namespace ptx
