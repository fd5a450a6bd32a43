// From a tile's accumulators to global memory: normalise, merge key groups, store.
#pragma once

#include "hopper_attend.cuh"

// Outputs in shared memory: pieces of 64 columns, each with 128 bytes for every row of the tile; chunks
// of 16 bytes are permuted within 8 rows as bulk stores expect it. One such tile for each key group.
__device__ __forceinline__ u32 staged_piece(u32 shared, int key_group, int piece) {
    return shared + kStagingAt + key_group * kOutputBytes + piece * (kTileRows * 128);
}
__device__ __forceinline__ u32 staged_chunk(u32 shared, int key_group, int row, int chunk) {
    return staged_piece(shared, key_group, chunk / 8) + row * 128 + ((chunk % 8) ^ (row & 7)) * 16;
}

// Where the maximum (folded with the scale) and the sum of a row of a key group are exchanged.
__device__ __forceinline__ u32 statistics_of(u32 shared, int key_group, int row) {
    return shared + kStatisticsAt + (key_group * kTileRows + row) * 8;
}

constexpr int kOutputChunks = kHeadDim * 2 / 16;  // of a row
constexpr int kOutputPieces = kHeadDim / 64;

// Columns of accumulators `2 i` and `2 i + 1`, times their row's factor.
__device__ __forceinline__ u32 output_pair(const Rows& rows, int pair, const float (&factor)[2], const float* bias,
                                           const Place& place) {
    const int column = pair / 2 * 8 + place.t() * 2;
    float low = rows.o[pair * 2] * factor[pair % 2];
    float high = rows.o[pair * 2 + 1] * factor[pair % 2];
    if constexpr (kKeyGroups == 1) {  // else what the groups bring is merged first
        low += bias_of(bias, column);
        high += bias_of(bias, column + 1);
    }
    return ptx::pack<kBf16Output>(low, high);
}

// The warp's 16 rows into shared memory.
__device__ __forceinline__ void stage(const Rows& rows, const float (&factor)[2], const float* bias, u32 shared,
                                      const Place& place) {
    const int row = place.lane % 16;
    const int right = place.lane / 16;
#pragma unroll
    for (int piece = 0; piece < kOutputPieces; ++piece) {
        const u32 to = staged_piece(shared, place.key_group, piece)
                       + (place.group_row() + place.warp * 16 + row) * 128;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            const int pair = piece * 16 + n * 4;
            ptx::store_matrices(
                to + ((n * 2 + right) ^ (row & 7)) * 16, output_pair(rows, pair, factor, bias, place),
                output_pair(rows, pair + 1, factor, bias, place), output_pair(rows, pair + 2, factor, bias, place),
                output_pair(rows, pair + 3, factor, bias, place));
        }
    }
}

// Straight from registers: 4 bytes of each of 4 lanes are together.
__device__ __forceinline__ void store_direct(const Rows& rows, const float (&factor)[2], const float* bias, char* o,
                                             int left, const Place& place) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = place.own_row() + half * 8;
        if (row < left) {
            char* const to = o + row * (kHeadDim * 2) + place.t() * 4;
#pragma unroll
            for (int tile = 0; tile < kHeadDim / 8; ++tile) {
                ptx::store_global(to + tile * 16, output_pair(rows, tile * 2 + half, factor, bias, place));
            }
        }
    }
}

// The warp's rows from shared memory, 16 bytes at a time.
__device__ __forceinline__ void copy_out(u32 shared, char* o, int left, const Place& place) {
    __syncwarp();
#pragma unroll
    for (int number = 0; number < 16 * kOutputChunks; number += 32) {
        const int row = place.group_row() + place.warp * 16 + (number + place.lane) / kOutputChunks;
        const int chunk = (number + place.lane) % kOutputChunks;
        if (row < left) {
            u32 data[4];
            ptx::load_shared(staged_chunk(shared, place.key_group, row, chunk), data);
            ptx::store_global(o + row * (kHeadDim * 2) + chunk * 16, data);
        }
    }
}

// 16 rows from shared memory by bulk stores, which leave out what lies beyond the tensor. The thread
// goes on once they have read.
__device__ __forceinline__ void store_boxes(u32 shared, const TensorMap* map, const Work& work, int row) {
#pragma unroll
    for (int piece = 0; piece < kOutputPieces; ++piece) {
        ptx::store_box(map, staged_piece(shared, 0, piece) + row * 128, piece * 64, work.row + row, work.head);
    }
    ptx::commit_stores();
    ptx::wait_stores_read();
}

// The only key group's output.
__device__ __forceinline__ void store_alone(const Rows& rows, const float (&whole)[2], float factor,
                                            const float* bias, const TensorMap* map, char* o, int left, u32 shared,
                                            const Work& work, const Place& place) {
    const float factors[2] = {__fdividef(factor, whole[0]), __fdividef(factor, whole[1])};
    if constexpr (kStore == store::direct) {
        store_direct(rows, factors, bias, o, left, place);
    } else {
        if constexpr (kStagingApart) {
            __syncwarp();  // lanes may still copy the tile before
        } else {
            // The place of the queries, which all warps of the warpgroup have read.
            ptx::named_barrier(barrier::kOwnGroup + place.consumer, kWarpgroup);
        }
        stage(rows, factors, bias, shared, place);
        if constexpr (kStore == store::staged) {
            copy_out(shared, o, left, place);
        } else {
            ptx::fence_async();
            __syncwarp();
            if (place.lane == 0) store_boxes(shared, map, work, place.group_row() + place.warp * 16);
            __syncwarp();
        }
    }
}

// One chunk of a row: the key groups' outputs, each already a mean under its own weights, weighted by
// the share of each in the sum over all keys.
__device__ __forceinline__ void merge_chunk(u32 (&merged)[4], u32 shared, int row, int chunk, float factor,
                                            const float* bias) {
    float most, all = 0.0f;
    float tops[kKeyGroups], shares[kKeyGroups];
    u32 data[kKeyGroups][4];
#pragma unroll
    for (int group = 0; group < kKeyGroups; ++group) {
        ptx::load_shared(statistics_of(shared, group, row), tops[group], shares[group]);
        ptx::load_shared(staged_chunk(shared, group, row, chunk), data[group]);
        most = group == 0 ? tops[0] : fmaxf(most, tops[group]);
    }
#pragma unroll
    for (int group = 0; group < kKeyGroups; ++group) {
        shares[group] *= ptx::exp2_unit(tops[group] - most);
        all += shares[group];
    }
    float sums[8] = {};
    const float over = __fdividef(factor, all);
#pragma unroll
    for (int group = 0; group < kKeyGroups; ++group) {
        const float share = shares[group] * over;
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
            float low, high;
            ptx::unpack<kBf16Output>(data[group][pair], low, high);
            sums[pair * 2] = fmaf(share, low, sums[pair * 2]);
            sums[pair * 2 + 1] = fmaf(share, high, sums[pair * 2 + 1]);
        }
    }
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
        const int column = chunk * 8 + pair * 2;
        merged[pair] = ptx::pack<kBf16Output>(sums[pair * 2] + bias_of(bias, column),
                                              sums[pair * 2 + 1] + bias_of(bias, column + 1));
    }
}

// The outputs of several key groups, which meet in shared memory. A group without keys brings zeros
// under the lowest maximum.
__device__ __forceinline__ void store_merged(const Rows& rows, const float (&whole)[2], float factor,
                                             const float* bias, float scale, const TensorMap* map, char* o, int left,
                                             u32 shared, const Work& work, const Place& place) {
    float own[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        own[half] = whole[half] > 0.0f ? __fdividef(1.0f, whole[half]) : 0.0f;
        if (place.t() == 0) {
            ptx::store_shared(statistics_of(shared, place.key_group, place.own_row() + half * 8),
                              rows.maximum[half] * scale, whole[half]);
        }
    }
    stage(rows, own, nullptr, shared, place);
    ptx::named_barrier(barrier::kConsumers, kConsumerThreads);
    const int thread = place.consumer * kWarpgroup + place.thread;
#pragma unroll
    for (int number = 0; number < kTileRows * kOutputChunks; number += kConsumerThreads) {
        const int row = (number + thread) / kOutputChunks;
        const int chunk = (number + thread) % kOutputChunks;
        u32 merged[4];
        merge_chunk(merged, shared, row, chunk, factor, bias);
        if constexpr (kStore == store::tma) {
            ptx::store_shared(staged_chunk(shared, 0, row, chunk), merged);  // nobody else reads this chunk
        } else if (row < left) {
            ptx::store_global(o + row * (kHeadDim * 2) + chunk * 16, merged);
        }
    }
    if constexpr (kStore == store::tma) {
        ptx::fence_async();
        ptx::named_barrier(barrier::kConsumers, kConsumerThreads);
        if (thread < kTileRows / 16) store_boxes(shared, map, work, thread * 16);
        __syncwarp();
    }
    // The next tile's outputs come to the same place.
    if constexpr (kPersistent) ptx::named_barrier(barrier::kConsumers, kConsumerThreads);
}

// Stores a tile. All consumers take part.
__device__ __forceinline__ void store_tile(const Rows& rows, const Tensors& tensors, const TensorMap* map,
                                           const Work& work, float scale, u32 shared, const Place& place) {
    char* const o = static_cast<char*>(tensors.o)
                    + (static_cast<long long>(work.head) * tensors.seq + work.row) * (kHeadDim * 2);
    const int left = tensors.seq - work.row;
    const float factor = tensors.output_scale(work.head);
    const float* bias = tensors.head_bias(work.head);
    float whole[2];
    whole_sums(rows, whole);
    if constexpr (kKeyGroups == 1) {
        store_alone(rows, whole, factor, bias, map, o, left, shared, work, place);
    } else {
        store_merged(rows, whole, factor, bias, scale, map, o, left, shared, work, place);
    }
}
