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

// 16 bytes that move as one.
struct __align__(16) Chunk {
    u32 x, y, z, w;
};

// v [heads, seq, D] to workspace [heads, D, seq rounded up to 16], with zeros behind the last key.
// Grid: ceil(seq / 64), heads; 128 threads.
extern "C" __global__ void __launch_bounds__(128)
    sdpa_hopper_transpose(const void* v, void* workspace, int heads, int seq) {
    constexpr int kKeys = 64;
    constexpr int kGroup = 16;
    constexpr int kGroups = kKeys / kGroup;
    constexpr int kChunks = kHeadDim / 16;  // of a row, 16 bytes each
    // A row is a chunk longer than its content, and each group of keys starts 32 bytes further: lanes that
    // read 8 columns of 4 groups then meet 4 x 2 different banks.
    constexpr int kRow = kHeadDim + 16;
    constexpr int kGroupBytes = kGroup * kRow + 32;
    __shared__ __align__(16) unsigned char tile[kGroups * kGroupBytes];
    const int first = blockIdx.x * kKeys;
    const long long head = blockIdx.y;
    const int padded = ceil_div(seq, 16) * 16;
    if (kDependent) ptx::wait_for_previous_kernel();

    const Chunk* from = static_cast<const Chunk*>(v) + (head * seq + first) * kChunks;
#pragma unroll
    for (int round = 0; round < kKeys * kChunks / 128; ++round) {
        const int number = round * 128 + threadIdx.x;
        const int key = number / kChunks;
        Chunk chunk = {0, 0, 0, 0};
        if (first + key < seq) chunk = from[number];
        const int at = key / kGroup * kGroupBytes + key % kGroup * kRow + number % kChunks * 16;
        *reinterpret_cast<Chunk*>(tile + at) = chunk;
    }
    __syncthreads();

    unsigned char* const to = static_cast<unsigned char*>(workspace) + head * kHeadDim * padded + first;
    // Neighbouring lanes store neighbouring groups of one column: 64 bytes in one piece.
#pragma unroll
    for (int round = 0; round < kHeadDim * kGroups / 128; ++round) {
        const int number = round * 128 + threadIdx.x;
        const int column = number / kGroups;
        const int group = number % kGroups;
        if (first + group * kGroup >= padded) continue;
        const unsigned char* keys = tile + group * kGroupBytes + column;
        u32 data[4];
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            u32 four = 0;
#pragma unroll
            for (int byte = 0; byte < 4; ++byte) {
                four |= static_cast<u32>(keys[key_order(word * 4 + byte) * kRow]) << (8 * byte);
            }
            data[word] = four;
        }
        ptx::store_global(to + static_cast<long long>(column) * padded + group * kGroup, data);
    }
}

#endif
