// What is computed, from the macros that the problem's fields become.
//
//   HEAD_DIM  64 or 128
//   DTYPE     f16, bf16 or f8_e4m3: Q, K and V. O is f16, bf16 and bf16
//   MASK      full, or causal: query i sees keys 0..=i
//   EPILOGUE  none, scale: O * alpha, or scale_bias: O * alpha + bias[head][column]
#pragma once

#include "ptx.cuh"

#if !defined(HEAD_DIM) || !defined(DTYPE) || !defined(MASK) || !defined(EPILOGUE)
#error "HEAD_DIM, DTYPE, MASK and EPILOGUE must be defined"
#endif

namespace dtype { enum Kind { f16, bf16, f8_e4m3 }; }
namespace mask { enum Kind { full, causal }; }
namespace epilogue { enum Kind { none, scale, scale_bias }; }

constexpr int kHeadDim = HEAD_DIM;
constexpr auto kDtype = dtype::DTYPE;
constexpr bool kCausal = mask::MASK == mask::causal;
constexpr auto kEpilogue = epilogue::EPILOGUE;

// Whether Q, K and V are 8-bit. In the portable family they become halves between shared memory and the tensor
// cores; on Hopper these take them as they are.
constexpr bool kFp8 = kDtype == dtype::f8_e4m3;
// Bytes of an element of Q, K and V.
constexpr int kElement = kFp8 ? 1 : 2;
// The type of the operands of a matrix step.
constexpr bool kBf16Operands = kDtype == dtype::bf16;
// The type of O.
constexpr bool kBf16Output = kDtype != dtype::f16;

constexpr float kLog2E = 1.4426950408889634f;

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

static_assert(kHeadDim == 64 || kHeadDim == 128, "HEAD_DIM must be 64 or 128");

// Launch arguments that every kernel of the family takes, in this order.
struct Tensors {
    const void* q;          // [B, H, S, D]
    const void* k;
    const void* v;
    void* o;
    int heads;              // B * H
    int seq;                // S
    float scale;            // of the scores: 1 / sqrt(D)
    const float* q_scale;   // f8_e4m3: what a stored value is multiplied by; else not read
    const float* k_scale;
    const float* v_scale;
    int scale_stride;       // 0: one scale for a tensor; 1: one for each of the B * H heads
    float alpha;            // EPILOGUE scale and scale_bias
    const float* bias;      // EPILOGUE scale_bias: [H, D]
    int bias_heads;         // H

    // What sums of products of stored elements are multiplied by to be scores.
    __device__ __forceinline__ float score_scale(int head) const {
        if constexpr (kFp8) {
            return scale * q_scale[head * scale_stride] * k_scale[head * scale_stride];
        } else {
            return scale;
        }
    }

    // What the normalised sums of values are multiplied by.
    __device__ __forceinline__ float output_scale(int head) const {
        float factor = 1.0f;
        if constexpr (kFp8) factor *= v_scale[head * scale_stride];
        if constexpr (kEpilogue != epilogue::none) factor *= alpha;
        return factor;
    }

    // The bias of one head, of which `bias_of` takes a column.
    __device__ __forceinline__ const float* head_bias(int head) const {
        if constexpr (kEpilogue == epilogue::scale_bias) {
            return bias + static_cast<long long>(head % bias_heads) * kHeadDim;
        } else {
            return nullptr;
        }
    }
};

__device__ __forceinline__ float bias_of(const float* head_bias, int column) {
    if constexpr (kEpilogue == epilogue::scale_bias) {
        return head_bias[column];
    } else {
        return 0.0f;
    }
}

// Divides with the quotient rounded up.
__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
