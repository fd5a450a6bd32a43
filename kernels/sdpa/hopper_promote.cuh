// f8_e4m3: outputs leave the accumulators of the tensor cores before their sums get long.
//
// Those are reported to keep about 14 bits of a sum of 8-bit products (DeepSeek-V3, arXiv 2412.19437, 3.3.2): of
// many products of one sign each then adds less than it should, the less the longer the sum is. Every PROMOTION keys the outputs so far are put,
// as floats, to those that are kept, and the accumulators begin again with zeros. It happens rarely, so that
// they are kept in local memory, where they take no registers. The report does so for matrix products, every
// 128 summed elements.
#pragma once

#include "hopper_softmax.cuh"

// Of a thread: outputs, and the maxima of its two rows that they belong to.
constexpr int kKept = kPromotes ? kOutputs + 2 : 1;
using Kept = volatile float[kKept];

__device__ __forceinline__ float kept_factor(const Rows& rows, const Kept& kept, int half, float scale) {
    return ptx::exp2_unit((kept[kOutputs + half] - rows.maximum[half]) * scale);
}

// Before the first block of a tile that has more than PROMOTION keys.
__device__ __forceinline__ void start_kept(Kept& kept) {
    if constexpr (kPromotes) {
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) kept[i] = 0.0f;
        kept[kOutputs] = kept[kOutputs + 1] = kLowest;
    }
}

// All products are over, and the outputs belong to the maxima of now.
__device__ __forceinline__ void promote(Rows& rows, Kept& kept, float scale) {
    if constexpr (kPromotes) {
        const float shrink[2] = {kept_factor(rows, kept, 0, scale), kept_factor(rows, kept, 1, scale)};
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) {
            kept[i] = fmaf(kept[i], shrink[i / 2 % 2], rows.o[i]);
            rows.o[i] = 0.0f;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) kept[kOutputs + half] = rows.maximum[half];
    }
}

// After the last block: all outputs together.
__device__ __forceinline__ void take_kept(Rows& rows, const Kept& kept, float scale) {
    if constexpr (kPromotes) {
        const float shrink[2] = {kept_factor(rows, kept, 0, scale), kept_factor(rows, kept, 1, scale)};
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) rows.o[i] = fmaf(kept[i], shrink[i / 2 % 2], rows.o[i]);
    }
}
