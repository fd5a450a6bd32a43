// f8_e4m3: outputs leave the accumulators of the tensor cores before their sums get long.
//
// Those are reported to keep about 14 bits of a sum of 8-bit products (DeepSeek-V3, arXiv 2412.19437, 3.3.2): of
// many products of one sign each then adds less than it should, the less the longer the sum is. Every PROMOTION keys the
// outputs so far are put to those that are kept, and the accumulators begin again with zeros. The report does so
// for matrix products, every 128 summed elements.
//
// It happens rarely, so that they are kept outside of the registers, as pairs of bfloat16: rounded once for each
// PROMOTION keys, by a thirtieth of what weights are rounded by. Outputs on their way to memory have a place in
// shared memory that is idle meanwhile, where every warp has as much of its own as it needs; without one (STORE
// direct, or a row group that stages in the place of its queries) local memory serves.
#pragma once

#include "hopper_softmax.cuh"

constexpr bool kKeptStaged = kPromotes && kStagingApart;
constexpr int kKeptPairs = kColumnOutputs / 2;

// Of a thread. The few single values are in local memory: registers are short.
struct Kept {
    volatile float maximum[kPromotes ? 2 : 1];  // of its two rows, which the outputs belong to
    volatile float sum[kPromotes && kTensorSum ? 2 : 1];
    volatile u32 pairs[kPromotes && !kKeptStaged ? kKeptPairs : 1];
    u32 place;  // of the warp's share of the staging, for this lane

    __device__ Kept(u32 shared, const Place& at)
        : place(shared + kStagingAt + at.key_group * kOutputBytes + (at.group_row() + at.warp * 16) * 128
                + at.lane * 4) {}

    // A warp's share is that of its 16 rows, 128 bytes of each in every piece of 64 columns.
    __device__ u32 address(int pair) const { return place + pair / 16 * (kTileRows * 128) + pair % 16 * 128; }

    __device__ void store(int pair, float low, float high) {
        const u32 both = ptx::pack<true>(low, high);
        if constexpr (kKeptStaged) {
            ptx::store_shared(address(pair), both);
        } else {
            pairs[pair] = both;
        }
    }
    __device__ void load(int pair, float& low, float& high) const {
        u32 both;
        if constexpr (kKeptStaged) {
            ptx::load_shared(address(pair), both);
        } else {
            both = pairs[pair];
        }
        ptx::unpack<true>(both, low, high);
    }
    __device__ float factor(const Rows& rows, int half, float scale) const {
        return ptx::exp2_unit((maximum[half] - rows.maximum[half]) * scale);
    }

    // Before the first block of a tile that has more than PROMOTION keys.
    __device__ __forceinline__ void start() {
        __syncwarp();  // lanes may still copy the tile before
#pragma unroll
        for (int pair = 0; pair < kKeptPairs; ++pair) store(pair, 0.0f, 0.0f);
        maximum[0] = maximum[1] = kLowest;
        if constexpr (kTensorSum) sum[0] = sum[1] = 0.0f;
    }

    // All products are over, and the outputs belong to the maxima of now.
    __device__ __forceinline__ void promote(Rows& rows, float scale) {
        take(rows, scale);
#pragma unroll
        for (int pair = 0; pair < kKeptPairs; ++pair) store(pair, rows.o[pair * 2], rows.o[pair * 2 + 1]);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            maximum[half] = rows.maximum[half];
            if constexpr (kTensorSum) sum[half] = rows.o[kColumnOutputs + half * 2];
        }
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) rows.o[i] = 0.0f;
    }

    // Puts what is kept to the outputs: after the last block too.
    __device__ __forceinline__ void take(Rows& rows, float scale) const {
        const float shrink[2] = {factor(rows, 0, scale), factor(rows, 1, scale)};
#pragma unroll
        for (int pair = 0; pair < kKeptPairs; ++pair) {
            float low, high;
            load(pair, low, high);
            rows.o[pair * 2] = fmaf(low, shrink[pair % 2], rows.o[pair * 2]);
            rows.o[pair * 2 + 1] = fmaf(high, shrink[pair % 2], rows.o[pair * 2 + 1]);
        }
        if constexpr (kTensorSum) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                float& whole = rows.o[kColumnOutputs + i];
                whole = fmaf(sum[i / 2], shrink[i / 2], whole);
            }
        }
    }
};
