// What a thread does with the scores of its two rows: mask, maximum, weights, sums.
#pragma once

#include "hopper_wgmma.cuh"
#include "hopper_work.cuh"

// Scores of a block, part by part, and the weights made of them: left operands of the second product.
using Scores = float[kScoreParts][kPartKeys / 2];
using Weights = u32[kSteps][4];

// Output, maximum and sum so far of the two rows of a thread (16 warp + g and 8 below). Sums are those
// of a thread's own columns. Index `i & 2` of accumulators tells the row.
struct Rows {
    float o[kOutputs];
    float maximum[2];
    float sum[2];
    bool untrusted;  // MAXIMUM subset: whether a weight may have been too large

    __device__ __forceinline__ void reset() {
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) o[i] = 0.0f;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            maximum[half] = kLowest;
            sum[half] = 0.0f;
        }
        untrusted = false;
    }

    __device__ __forceinline__ void rescale(const float (&shrink)[2]) {
#pragma unroll
        for (int i = 0; i < kOutputs; ++i) o[i] *= shrink[i / 2 % 2];
    }
};

// The largest of the values of the four lanes that share a row; likewise their sum.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// 2^x for a weight; `number` is its place among those of a thread.
__device__ __forceinline__ float power(float x, int number) {
    if constexpr (USE_FAST_EXP == 1) {
        return ptx::exp2_unit(x);
    } else {
        // A quarter of them on the multiply-add units.
        return number % 4 == 3 ? ptx::exp2_polynomial(x) : ptx::exp2_unit(x);
    }
}

// Takes out the scores that do not count. `seen[half]`: how many keys from the first one of this part
// and of this lane a row sees.
__device__ __forceinline__ void mask_part(float (&scores)[kPartKeys / 2], const int (&seen)[2]) {
#pragma unroll
    for (int i = 0; i < kPartKeys / 2; ++i) {
        if (i / 4 * 8 + i % 2 >= seen[i / 2 % 2]) scores[i] = minus_infinity();
    }
}

// Four chains of maxima, two for each row: one would wait for itself at every step.
using Chains = float[4];

__device__ __forceinline__ void start_chains(Chains& most, const Rows& rows) {
    most[0] = most[1] = rows.maximum[0];
    most[2] = most[3] = rows.maximum[1];
}

// `all`: over all columns; else over every fourth tile of 8, which is a bound for most of the others.
__device__ __forceinline__ void take_maximum(Chains& most, const float (&scores)[kPartKeys / 2], bool all) {
    constexpr int kTaken = kSubset ? 4 : 1;
#pragma unroll
    for (int i = 0; i < kPartKeys / 2; ++i) {
        if (i / 4 % kTaken == 0) most[i % 4] = fmaxf(most[i % 4], scores[i]);
    }
    if constexpr (kSubset) {
        if (all) {
#pragma unroll
            for (int i = 0; i < kPartKeys / 2; ++i) {
                if (i / 4 % kTaken != 0) most[i % 4] = fmaxf(most[i % 4], scores[i]);
            }
        }
    }
}

// What raising the maxima of a block means for its weights and for what was accumulated before.
struct Raise {
    float shrink[2];  // factors of the sums and outputs so far
    float offset[2];  // subtracted from folded scores
    bool any;         // whether a row of the warp shrinks at all (RESCALE lazy; else always)
};

__device__ __forceinline__ Raise raise_maximum(Rows& rows, const Chains& most, float scale) {
    Raise raise;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float raised = quad_max(fmaxf(most[half * 2], most[half * 2 + 1]));
        // A maximum that lags a little is as good: weights then exceed 1, and so does their sum.
        if (kLazy && (raised - rows.maximum[half]) * scale <= kLazyExponent) raised = rows.maximum[half];
        raise.shrink[half] = ptx::exp2_unit((rows.maximum[half] - raised) * scale);
        raise.offset[half] = fmaf(raised, scale, -kWeightExponent);
        rows.maximum[half] = raised;
        if (!kTensorSum) rows.sum[half] *= raise.shrink[half];
    }
    raise.any = !kLazy || __any_sync(0xffffffffu, raise.shrink[0] != 1.0f || raise.shrink[1] != 1.0f);
    return raise;
}

// Makes weights of the scores of `STEPS` steps from `first` on, in place, and sums them.
template <int STEPS>
__device__ __forceinline__ void weigh(Rows& rows, Scores& scores, int first, const Raise& raise, float scale) {
    constexpr int kPerStep = kStepKeys / 2;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
        const int at = (first + step) * kPerStep;
#pragma unroll
        for (int i = 0; i < kPerStep; ++i) {
            float& score = scores[at / (kPartKeys / 2)][at % (kPartKeys / 2) + i];
            score = power(fmaf(score, scale, -raise.offset[i / 2 % 2]), i);
            if (!kTensorSum) sums[i % 4] += score;
        }
    }
    if constexpr (!kTensorSum) {
        const float part[2] = {sums[0] + sums[1], sums[2] + sums[3]};
        // Not kept to the end: a later rescaling could hide it.
        if (kSubset) rows.untrusted |= !(part[0] < kTrustedSum) || !(part[1] < kTrustedSum);
        rows.sum[0] += part[0];
        rows.sum[1] += part[1];
    }
}

// The weights of one step as the left operand of a product. Accumulators of two tiles of 8 columns
// have just the layout that 16-bit operands need. For 8-bit ones a thread would need other columns:
// instead, the transposed values have their keys in the order in which weights come (`key_order`).
__device__ __forceinline__ void pack_step(u32 (&to)[4], const Scores& scores, int step) {
    constexpr int kPerStep = kStepKeys / 2;
    const int at = step * kPerStep;
    const float* w = &scores[at / (kPartKeys / 2)][at % (kPartKeys / 2)];
    if constexpr (kFp8) {
#pragma unroll
        for (int pair = 0; pair < 2; ++pair) {
            const float* of = w + pair * 8;
            to[pair * 2] = ptx::pack_e4m3(of[0], of[1], of[4], of[5]);
            to[pair * 2 + 1] = ptx::pack_e4m3(of[2], of[3], of[6], of[7]);
        }
    } else {
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) to[pair] = ptx::pack<kBf16Operands>(w[pair * 2], w[pair * 2 + 1]);
    }
}

// Sums of whole rows, once all products are over.
__device__ __forceinline__ void whole_sums(const Rows& rows, float (&whole)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        if constexpr (kTensorSum) {
            whole[half] = rows.o[kColumnOutputs + half * 2];
        } else {
            whole[half] = quad_sum(rows.sum[half]);
        }
    }
}
