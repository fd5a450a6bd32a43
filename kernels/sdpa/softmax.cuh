// What one warp does with its rows: scores, online softmax, accumulation, output.
#pragma once

#include "tile.cuh"

#if !defined(BLOCK_M) || !defined(BLOCK_N) || !defined(BLOCK_K) || !defined(NUM_WARPS) \
    || !defined(NUM_STAGES) || !defined(PREFETCH) || !defined(SMEM_LAYOUT) || !defined(QKT_CHUNK) \
    || !defined(KV_LAYOUT) || !defined(USE_WS) || !defined(USE_PERSISTENT_CTA) || !defined(USE_FAST_EXP) \
    || !defined(KV_SPLIT) || !defined(Q_IN_REGS) || !defined(LAZY_RESCALE) || !defined(CTAS_PER_SM) \
    || !defined(HEAD_GROUP)
#error "a parameter of the space is not defined: see README.md"
#endif
#if !defined(PROD_WARPS) && USE_WS
#error "USE_WS needs PROD_WARPS"
#elif !defined(PROD_WARPS)
#define PROD_WARPS 0
#endif

constexpr int kSplit = KV_SPLIT;
// Warps side by side over the rows; the others hold the same rows and other keys.
constexpr int kRowWarps = NUM_WARPS / kSplit;
constexpr int kWarpRows = BLOCK_M / kRowWarps;
constexpr int kRowTiles = kWarpRows / 16;
// Keys that a warp scores at once.
constexpr int kKeys = BLOCK_N / kSplit / QKT_CHUNK;
// Keys of one step of the second product.
constexpr int kStepKeys = BLOCK_K < kKeys ? BLOCK_K : kKeys;
constexpr int kColumnTiles = kHeadDim / 8;
// With LAZY_RESCALE, the exponent by which weights may exceed 1 before the rows are rescaled.
constexpr float kLazyExponent = 8.0f;

static_assert(NUM_WARPS % kSplit == 0 && kRowTiles >= 1 && kWarpRows * kRowWarps == BLOCK_M && kWarpRows % 16 == 0,
              "BLOCK_M * KV_SPLIT / NUM_WARPS must be a multiple of 16");
static_assert(kKeys >= 16 && kKeys * kSplit * QKT_CHUNK == BLOCK_N && kKeys % 16 == 0,
              "BLOCK_N / KV_SPLIT / QKT_CHUNK must be a multiple of 16");
static_assert(kHeadDim % BLOCK_K == 0 && kKeys % kStepKeys == 0, "BLOCK_K must divide HEAD_DIM");

using QueryTile = Tile<BLOCK_M, kHeadDim, kElement, BLOCK_K, layout::SMEM_LAYOUT>;
using KeyTile = Tile<BLOCK_N, kHeadDim, kElement, BLOCK_K, layout::SMEM_LAYOUT>;

// Tiles of 8 columns that a group of warps finishes, and what the groups exchange for that:
// accumulators as lanes hold them, then the maximum and the sum of each row.
constexpr int kOwnTiles = kColumnTiles / kSplit;
constexpr int kPartialBytes = kSplit * BLOCK_M * kHeadDim * 4;
constexpr int kMergeBytes = kSplit == 1 ? 0 : kPartialBytes + kSplit * BLOCK_M * 8;

// Where a warp and its lanes stand.
struct Warp {
    int lane, group, row;
    Lane left, right;

    __device__ Warp() {
        const int warp = threadIdx.x / 32;
        lane = threadIdx.x % 32;
        group = warp / kRowWarps;
        row = warp % kRowWarps * kWarpRows;
        left = left_lane<KeyTile>(lane);
        right = right_lane<KeyTile>(lane);
    }

    // A lane holds elements of rows g and g + 8 and of columns 2t and 2t + 1 of every 8.
    __device__ int g() const { return lane / 4; }
    __device__ int t() const { return lane % 4; }
};

// The queries of a warp: fragments in registers, or their place in shared memory.
struct Queries {
    LeftStep kept[Q_IN_REGS ? QueryTile::kSteps : 1][kRowTiles];
    u32 tile;

    __device__ Queries(u32 tile, const Warp& warp) : tile(tile) {
        if constexpr (Q_IN_REGS) {
#pragma unroll
            for (int step = 0; step < QueryTile::kSteps; ++step) {
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) kept[step][i] = read(step, i, warp);
            }
        }
    }

    __device__ LeftStep at(int step, int i, const Warp& warp) const {
        if constexpr (Q_IN_REGS) {
            return kept[step][i];
        } else {
            return read(step, i, warp);
        }
    }

  private:
    __device__ LeftStep read(int step, int i, const Warp& warp) const {
        return left_step(QueryTile::fragment(tile, warp.left, warp.row + i * 16, step));
    }
};

using Scores = float[kRowTiles][kKeys / 8][4];

// The scores of a warp's rows and `kKeys` keys from `first_key` of a tile.
__device__ __forceinline__ void rows_scores(Scores& scores, const Queries& queries, u32 keys, int first_key,
                                            const Warp& warp) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[i][n][e] = 0.0f;
        }
    }
#pragma unroll
    for (int step = 0; step < KeyTile::kSteps; ++step) {
        LeftStep left[kRowTiles];
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) left[i] = queries.at(step, i, warp);
#pragma unroll
        for (int n = 0; n < kKeys / 8; n += 2) {
            const RightStep right = right_step(KeyTile::fragment(keys, warp.right, first_key + n * 8, step));
#pragma unroll
            for (int depth = 0; depth < kDepths; ++depth) {
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
                    for (int side = 0; side < 2; ++side) {
                        ptx::multiply_add<kBf16Operands>(scores[i][n + side], left[i].depth[depth],
                                                         right.depth[depth][side][0],
                                                         right.depth[depth][side][1]);
                    }
                }
            }
        }
    }
}

// The rectangle of scores that a warp computes at once, and which of them count.
struct Block {
    int row, key, seq;

    __device__ Block(int row, int key, int seq) : row(row), key(key), seq(seq) {}

    // Whether any of its scores counts. The answer is the same for all lanes.
    __device__ bool seen() const { return key < seq && (!kCausal || key < row + kWarpRows); }

    __device__ bool masked() const { return key + kKeys > seq || (kCausal && key + kKeys - 1 > row); }

    __device__ void apply(Scores& scores, const Warp& warp) const {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int column = key + n * 8 + warp.t() * 2 + e % 2;
                    const int query = row + i * 16 + warp.g() + e / 2 * 8;
                    if (column >= seq || (kCausal && column > query)) scores[i][n][e] = minus_infinity();
                }
            }
        }
    }
};

// 2^x for a weight; `number` is its place among those of a lane.
__device__ __forceinline__ float weight(float x, int number) {
    if constexpr (USE_FAST_EXP == 0) {
        return exp2f(x);
    } else if constexpr (USE_FAST_EXP == 1) {
        return ptx::exp2_unit(x);
    } else {
        // A quarter of them on the multiply-add units, which have room.
        return number % 4 == 3 ? ptx::exp2_polynomial(x) : ptx::exp2_unit(x);
    }
}

// The largest of the values of the four lanes that share a row; likewise their sum.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Output, maximum and sum of a warp's rows so far. Sums are those of a lane's own columns.
struct Rows {
    float o[kRowTiles][kColumnTiles][4];
    float maximum[kRowTiles][2];
    float sum[kRowTiles][2];

    __device__ Rows() {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
            maximum[i][0] = maximum[i][1] = minus_infinity();
            sum[i][0] = sum[i][1] = 0.0f;
#pragma unroll
            for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
                for (int e = 0; e < 4; ++e) o[i][n][e] = 0.0f;
            }
        }
    }

    // Takes the maximum over new scores and shrinks what was accumulated under the old one.
    __device__ __forceinline__ void raise_maximum(const Scores& scores, float scale) {
        float raised[kRowTiles][2];
        bool far = false;
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                // Four chains: one would wait for itself at every step.
                float most[4];
#pragma unroll
                for (int e = 0; e < 4; ++e) most[e] = scores[i][e / 2][half * 2 + e % 2];
#pragma unroll
                for (int e = 4; e < kKeys / 4; ++e) {
                    most[e % 4] = fmaxf(most[e % 4], scores[i][e / 2][half * 2 + e % 2]);
                }
                const float all = fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3]));
                raised[i][half] = fmaxf(maximum[i][half], quad_max(all));
                far |= (raised[i][half] - maximum[i][half]) * scale > kLazyExponent;
            }
        }
        // A maximum that lags a little is as good: weights then exceed 1, and so does their sum.
        if (LAZY_RESCALE && !__any_sync(0xffffffffu, far)) return;
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float shrink = ptx::exp2_unit((maximum[i][half] - finite(raised[i][half])) * scale);
                maximum[i][half] = raised[i][half];
                sum[i][half] *= shrink;
#pragma unroll
                for (int n = 0; n < kColumnTiles; ++n) {
                    o[i][n][half * 2] *= shrink;
                    o[i][n][half * 2 + 1] *= shrink;
                }
            }
        }
    }

    // Adds the weighted values: exponentials and matrix steps of `kStepKeys` keys alternate, so that
    // the ones of a step can run beside the others of the step before.
    __device__ __forceinline__ void accumulate(const Scores& scores, float scale, u32 values, int first_key,
                                               const Warp& warp) {
        float offset[kRowTiles][2];
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
            offset[i][0] = finite(maximum[i][0]) * scale;
            offset[i][1] = finite(maximum[i][1]) * scale;
        }
#pragma unroll
        for (int key = 0; key < kKeys; key += kStepKeys) {
            u32 weights[kStepKeys / 16][kRowTiles][4];
#pragma unroll
            for (int depth = 0; depth < kStepKeys / 16; ++depth) {
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
                    to_weights(weights[depth][i], scores[i][key / 8 + depth * 2],
                               scores[i][key / 8 + depth * 2 + 1], offset[i], scale, sum[i]);
                }
            }
#pragma unroll
            for (int depth = 0; depth < kStepKeys / 16; ++depth) {
                add_values(weights[depth], values, first_key + key + depth * 16, warp);
            }
        }
    }

    // Divides by the sums, and leaves the output in `tile`.
    __device__ __forceinline__ void finish(char* tile, float factor, const float* bias, const Warp& warp) {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
            const float whole[2] = {factor / quad_sum(sum[i][0]), factor / quad_sum(sum[i][1])};
            stage<0>(i, tile, whole, bias, warp);
        }
    }

    // Gives the other groups what this one summed up over its keys.
    __device__ __forceinline__ void give(char* region, const Warp& warp) {
        float2* statistics = reinterpret_cast<float2*>(region + kPartialBytes);
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float whole = quad_sum(sum[i][half]);
                if (warp.t() == 0) {
                    statistics[warp.group * BLOCK_M + row_of(i, half, warp)] = make_float2(maximum[i][half], whole);
                }
            }
#pragma unroll
            for (int n = 0; n < kColumnTiles; ++n) {
                if (n / kOwnTiles != warp.group) {
                    partial(region, warp.group, i, n, warp) =
                        make_float4(o[i][n][0], o[i][n][1], o[i][n][2], o[i][n][3]);
                }
            }
        }
    }

    // Takes what the others summed up for the columns of group `GROUP`, and finishes these.
    template <int GROUP>
    __device__ __forceinline__ void take(char* region, char* tile, float scale, float factor, const float* bias,
                                         const Warp& warp) {
        const float2* statistics = reinterpret_cast<const float2*>(region + kPartialBytes);
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
            float share[kSplit][2], whole[2];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = row_of(i, half, warp);
                float most = minus_infinity(), all = 0.0f;
#pragma unroll
                for (int group = 0; group < kSplit; ++group) {
                    most = fmaxf(most, statistics[group * BLOCK_M + row].x);
                }
#pragma unroll
                for (int group = 0; group < kSplit; ++group) {
                    const float2 of_group = statistics[group * BLOCK_M + row];
                    share[group][half] = ptx::exp2_unit((of_group.x - most) * scale);
                    all = fmaf(share[group][half], of_group.y, all);
                }
                whole[half] = factor / all;
            }
#pragma unroll
            for (int n = GROUP * kOwnTiles; n < (GROUP + 1) * kOwnTiles; ++n) {
#pragma unroll
                for (int e = 0; e < 4; ++e) o[i][n][e] *= share[GROUP][e / 2];
#pragma unroll
                for (int group = 0; group < kSplit; ++group) {
                    if (group == GROUP) continue;
                    const float4 other = partial(region, group, i, n, warp);
                    o[i][n][0] = fmaf(share[group][0], other.x, o[i][n][0]);
                    o[i][n][1] = fmaf(share[group][0], other.y, o[i][n][1]);
                    o[i][n][2] = fmaf(share[group][1], other.z, o[i][n][2]);
                    o[i][n][3] = fmaf(share[group][1], other.w, o[i][n][3]);
                }
            }
            stage<GROUP * kOwnTiles>(i, tile, whole, bias, warp);
        }
    }

  private:
    __device__ static int row_of(int i, int half, const Warp& warp) {
        return warp.row + i * 16 + half * 8 + warp.g();
    }

    // Where a lane's accumulators of one tile of 8 columns are exchanged.
    __device__ static float4& partial(char* region, int group, int i, int n, const Warp& warp) {
        const int row_tile = group * (BLOCK_M / 16) + warp.row / 16 + i;
        return reinterpret_cast<float4*>(region)[(row_tile * kColumnTiles + n) * 32 + warp.lane];
    }

    // `kOwnTiles` tiles of columns times `whole` as 16-bit elements, in rows of D; chunks of 16 bytes
    // are permuted against bank conflicts.
    template <int FIRST>
    __device__ __forceinline__ void stage(int i, char* tile, const float (&whole)[2], const float* bias,
                                          const Warp& warp) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = row_of(i, half, warp);
#pragma unroll
            for (int pair = FIRST; pair < FIRST + kOwnTiles; ++pair) {
                float first, second;
                column_pair(o[i], pair, half, first, second);
                const int column = column_of(pair, warp.t());
                first = fmaf(first, whole[half], bias_of(bias, column));
                second = fmaf(second, whole[half], bias_of(bias, column + 1));
                char* to = tile + row * (kHeadDim * 2) + ((column / 8) ^ (row & 7)) * 16 + column % 8 * 2;
                *reinterpret_cast<u32*>(to) = ptx::pack<kBf16Output>(first, second);
            }
        }
    }

    // A maximum to subtract: rows that have seen no key yet have none.
    __device__ static float finite(float maximum) { return maximum == minus_infinity() ? 0.0f : maximum; }

    // Exponentials of the scores of 16 keys, as the left operand of a matrix step. The accumulators
    // of two tiles of 8 columns have just its layout.
    __device__ static void to_weights(u32 (&to)[4], const float (&low)[4], const float (&high)[4],
                                      const float (&offset)[2], float scale, float (&sum)[2]) {
        float w[8];
#pragma unroll
        for (int e = 0; e < 8; ++e) {
            w[e] = weight(fmaf(e < 4 ? low[e] : high[e - 4], scale, -offset[e / 2 % 2]), e);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            sum[half] += w[half * 2] + w[half * 2 + 1];
            sum[half] += w[half * 2 + 4] + w[half * 2 + 5];
        }
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) to[pair] = ptx::pack<kBf16Operands>(w[pair * 2], w[pair * 2 + 1]);
    }

    // One matrix step over 16 keys for all columns.
    __device__ void add_values(const u32 (&weights)[kRowTiles][4], u32 values, int key, const Warp& warp) {
#pragma unroll
        for (int step = 0; step < KeyTile::kSteps; ++step) {
            const ValueStep v = value_step(KeyTile::fragment(values, warp.left, key, step));
#pragma unroll
            for (int tile = 0; tile < 2 * kDepths; ++tile) {
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
                    ptx::multiply_add<kBf16Operands>(o[i][step * 2 * kDepths + tile], weights[i],
                                                     v.tile[tile][0], v.tile[tile][1]);
                }
            }
        }
    }
};

// Copies what a warp has staged to global memory, 16 bytes at a time: its rows, and of those the
// columns of its group.
__device__ __forceinline__ void copy_out(char* o, const char* tile, int rows, const Warp& warp) {
    constexpr int kChunks = kHeadDim * 2 / 16 / kSplit;
#pragma unroll
    for (int number = 0; number < kWarpRows * kChunks; number += 32) {
        const int row = warp.row + (number + warp.lane) / kChunks;
        const int chunk = warp.group * kChunks + (number + warp.lane) % kChunks;
        if (row < rows) {
            const int at = row * (kHeadDim * 2);
            *reinterpret_cast<uint4*>(o + at + chunk * 16) =
                *reinterpret_cast<const uint4*>(tile + at + (chunk ^ (row & 7)) * 16);
        }
    }
}
