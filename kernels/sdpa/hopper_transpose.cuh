// For f8_e4m3: values with their columns as rows, because 8-bit products read both operands along the
// summed dimension. A kernel of its own, before `sdpa_hopper`.
#pragma once

#include "hopper_config.cuh"
#include "hopper_ptx.cuh"

#define TRANSPOSED_f8_e4m3 1
#define TRANSPOSED_JOIN_(a, b) a##b
#define TRANSPOSED_JOIN(a, b) TRANSPOSED_JOIN_(a, b)
#if TRANSPOSED_JOIN(TRANSPOSED_, DTYPE)

// The key, of 16, at a place of the transposed copy. Lane `t` of a quad holds the weights of keys
// 2 t, 2 t + 1, 2 t + 8 and 2 t + 9, and its operand is that of places 4 t to 4 t + 3: with this order
// weights need not change lanes.
__device__ __forceinline__ int key_order(int place) { return place / 4 * 2 + place % 2 + place / 2 % 2 * 8; }

// v [heads, seq, D] to workspace [heads, D, seq rounded up to 16], with zeros behind the last key.
// Grid: ceil(seq / 64), heads; 128 threads.
extern "C" __global__ void __launch_bounds__(128)
    sdpa_hopper_transpose(const void* v, void* workspace, int heads, int seq) {
    constexpr int kKeys = 64;
    constexpr int kRow = kHeadDim + 4;  // bytes; not a multiple of 128, against bank conflicts
    __shared__ __align__(16) unsigned char tile[kKeys * kRow];
    const int first = blockIdx.x * kKeys;
    const long long head = blockIdx.y;
    const int padded = ceil_div(seq, 16) * 16;
    if (kDependent) ptx::wait_for_previous_kernel();

    const u32* from = static_cast<const u32*>(v) + (head * seq + first) * (kHeadDim / 4);
    for (int word = threadIdx.x; word < kKeys * kHeadDim / 4; word += 128) {
        const int key = word / (kHeadDim / 4);
        const u32 four = first + key < seq ? from[word] : 0;
        *reinterpret_cast<u32*>(tile + key * kRow + word % (kHeadDim / 4) * 4) = four;
    }
    __syncthreads();

    unsigned char* const to = static_cast<unsigned char*>(workspace) + head * kHeadDim * padded + first;
    for (int number = threadIdx.x; number < kHeadDim * (kKeys / 16); number += 128) {
        const int column = number % kHeadDim;
        const int group = number / kHeadDim * 16;
        if (first + group >= padded) continue;
        u32 data[4];
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            u32 four = 0;
#pragma unroll
            for (int byte = 0; byte < 4; ++byte) {
                four |= static_cast<u32>(tile[(group + key_order(word * 4 + byte)) * kRow + column]) << (8 * byte);
            }
            data[word] = four;
        }
        ptx::store_global(to + static_cast<long long>(column) * padded + group, data);
    }
}

#endif
