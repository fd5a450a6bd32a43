// Unfused attention forward: candidate `math`. Three launches in this order, each waiting for the one
// before: scores by the tensor cores, softmax of the rows, weighted values by the tensor cores. The
// scores are floats in global memory: nothing here is tuned, it is what fusing is compared with.
#include "tile.cuh"

constexpr int kRows = 64;    // query rows of a block of the matrix kernels
constexpr int kKeys = 64;    // keys of a tile
constexpr int kWarps = 4;    // each has 16 rows
constexpr int kThreads = kWarps * 32;

using InputTile = Tile<kRows, kHeadDim, kElement, 64, layout::row>;
using WeightTile = Tile<kRows, kKeys, 2, kKeys, layout::row>;

// The scratch memory: scores, weights relative to the largest of their row, sums of weights.
struct Workspace {
    float* scores;            // [B * H, S, pitch]
    unsigned short* weights;  // [B * H, S, pitch], 16-bit elements, zero from S on
    float* sums;              // [B * H, S]
    long long pitch;          // S rounded up to 8

    __device__ Workspace(void* start, int heads, int seq) : pitch(ceil_div(seq, 8) * 8) {
        const long long rows = static_cast<long long>(heads) * seq;
        scores = static_cast<float*>(start);
        weights = reinterpret_cast<unsigned short*>(scores + rows * pitch);
        sums = reinterpret_cast<float*>(weights + rows * pitch);
    }
};

__device__ __forceinline__ const char* head_of(const void* tensor, int head, int seq) {
    return static_cast<const char*>(tensor) + static_cast<long long>(head) * seq * (kHeadDim * kElement);
}

// Scores times `scale`. Grid: tiles of keys, tiles of rows, heads.
extern "C" __global__ void __launch_bounds__(kThreads)
    sdpa_scores(const void* q, const void* k, const void* v, void* o, int heads, int seq, float scale,
                const float* q_scale, const float* k_scale, const float* v_scale, int scale_stride, float alpha,
                const float* bias, int bias_heads, void* workspace) {
    __shared__ __align__(128) char q_tile[InputTile::kBytes];
    __shared__ __align__(128) char k_tile[InputTile::kBytes];
    const Tensors tensors{q,       k,       v,       o,            heads, seq,  scale,
                          q_scale, k_scale, v_scale, scale_stride, alpha, bias, bias_heads};
    const Workspace work(workspace, heads, seq);
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    const int head = blockIdx.z, row = blockIdx.y * kRows, key = blockIdx.x * kKeys;

    InputTile::load<kThreads>(ptx::shared_address(q_tile), head_of(q, head, seq), row, seq, threadIdx.x);
    InputTile::load<kThreads>(ptx::shared_address(k_tile), head_of(k, head, seq), key, seq, threadIdx.x);
    ptx::commit_copies();
    ptx::wait_copies<0>();
    __syncthreads();

    float scores[kKeys / 8][4] = {};
    const Lane left_at = left_lane<InputTile>(lane), right_at = right_lane<InputTile>(lane);
#pragma unroll
    for (int step = 0; step < InputTile::kSteps; ++step) {
        const LeftStep left =
            left_step(InputTile::fragment(ptx::shared_address(q_tile), left_at, warp_row, step));
#pragma unroll
        for (int n = 0; n < kKeys / 8; n += 2) {
            const RightStep right =
                right_step(InputTile::fragment(ptx::shared_address(k_tile), right_at, n * 8, step));
#pragma unroll
            for (int depth = 0; depth < kDepths; ++depth) {
#pragma unroll
                for (int side = 0; side < 2; ++side) {
                    ptx::multiply_add<kBf16Operands>(scores[n + side], left.depth[depth],
                                                     right.depth[depth][side][0], right.depth[depth][side][1]);
                }
            }
        }
    }

    const float factor = tensors.score_scale(head);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = row + warp_row + half * 8 + lane / 4;
        if (query >= seq) continue;
        float* to = work.scores + (static_cast<long long>(head) * seq + query) * work.pitch;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
            const int column = key + n * 8 + lane % 4 * 2;
            if (column < seq) {
                *reinterpret_cast<float2*>(to + column) =
                    make_float2(scores[n][half * 2] * factor, scores[n][half * 2 + 1] * factor);
            }
        }
    }
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    }
    return x;
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

// Weights exp(score - largest) of the keys that a row sees, and their sum. A warp for each row.
extern "C" __global__ void __launch_bounds__(kThreads)
    sdpa_softmax(const void*, const void*, const void*, void*, int heads, int seq, float, const float*,
                 const float*, const float*, int, float, const float*, int, void* workspace) {
    const Workspace work(workspace, heads, seq);
    const long long row = static_cast<long long>(blockIdx.x) * kWarps + threadIdx.x / 32;
    if (row >= static_cast<long long>(heads) * seq) return;
    const int lane = threadIdx.x % 32;
    const int seen = kCausal ? static_cast<int>(row % seq) + 1 : seq;
    const float* scores = work.scores + row * work.pitch;
    u32* weights = reinterpret_cast<u32*>(work.weights + row * work.pitch);

    float most = minus_infinity();
    for (int key = lane; key < seen; key += 32) most = fmaxf(most, scores[key]);
    most = warp_max(most) * kLog2E;
    float sum = 0.0f;
    for (int pair = lane; pair < work.pitch / 2; pair += 32) {
        const float2 both = reinterpret_cast<const float2*>(scores)[pair];
        const float first = pair * 2 < seen ? exp2f(fmaf(both.x, kLog2E, -most)) : 0.0f;
        const float second = pair * 2 + 1 < seen ? exp2f(fmaf(both.y, kLog2E, -most)) : 0.0f;
        weights[pair] = ptx::pack<kBf16Operands>(first, second);
        sum += first + second;
    }
    sum = warp_sum(sum);
    if (lane == 0) work.sums[row] = sum;
}

// Weighted values over the sum of weights. Grid: tiles of rows, heads.
extern "C" __global__ void __launch_bounds__(kThreads)
    sdpa_values(const void* q, const void* k, const void* v, void* o, int heads, int seq, float scale,
                const float* q_scale, const float* k_scale, const float* v_scale, int scale_stride, float alpha,
                const float* bias, int bias_heads, void* workspace) {
    __shared__ __align__(128) char weight_tile[WeightTile::kBytes];
    __shared__ __align__(128) char value_tile[InputTile::kBytes];
    const Tensors tensors{q,       k,       v,       o,            heads, seq,  scale,
                          q_scale, k_scale, v_scale, scale_stride, alpha, bias, bias_heads};
    const Workspace work(workspace, heads, seq);
    const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
    const int head = blockIdx.y, row = blockIdx.x * kRows;
    const unsigned short* weights = work.weights + (static_cast<long long>(head) * seq + row) * work.pitch;

    float sums[kHeadDim / 8][4] = {};
    const Lane weight_at = left_lane<WeightTile>(lane), value_at = left_lane<InputTile>(lane);
    for (int key = 0; key < seq; key += kKeys) {
        for (int number = threadIdx.x; number < kRows * kKeys / 8; number += kThreads) {
            const int in_tile = number / (kKeys / 8), chunk = number % (kKeys / 8);
            const bool valid = row + in_tile < seq && key + chunk * 8 < work.pitch;
            const unsigned short* from = weights + (valid ? in_tile * work.pitch + key + chunk * 8 : 0);
            ptx::copy_async(ptx::shared_address(weight_tile) + WeightTile::offset(in_tile, chunk), from, valid);
        }
        InputTile::load<kThreads>(ptx::shared_address(value_tile), head_of(v, head, seq), key, seq, threadIdx.x);
        ptx::commit_copies();
        ptx::wait_copies<0>();
        __syncthreads();
#pragma unroll
        for (int depth = 0; depth < kKeys / 16; ++depth) {
            u32 left[4];
            ptx::load_matrices(
                left, WeightTile::fragment(ptx::shared_address(weight_tile), weight_at, warp_row, depth));
#pragma unroll
            for (int step = 0; step < InputTile::kSteps; ++step) {
                const ValueStep right = value_step(
                    InputTile::fragment(ptx::shared_address(value_tile), value_at, depth * 16, step));
#pragma unroll
                for (int tile = 0; tile < 2 * kDepths; ++tile) {
                    ptx::multiply_add<kBf16Operands>(sums[step * 2 * kDepths + tile], left, right.tile[tile][0],
                                                     right.tile[tile][1]);
                }
            }
        }
        __syncthreads();
    }

    const float* head_bias = tensors.head_bias(head);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = row + warp_row + half * 8 + lane / 4;
        if (query >= seq) continue;
        const long long at = static_cast<long long>(head) * seq + query;
        const float whole = tensors.output_scale(head) / work.sums[at];
        u32* to = static_cast<u32*>(o) + at * (kHeadDim / 2);
#pragma unroll
        for (int pair = 0; pair < kHeadDim / 8; ++pair) {
            float first, second;
            column_pair(sums, pair, half, first, second);
            const int column = column_of(pair, lane % 4);
            to[column / 2] = ptx::pack<kBf16Output>(fmaf(first, whole, bias_of(head_bias, column)),
                                                    fmaf(second, whole, bias_of(head_bias, column + 1)));
        }
    }
}
