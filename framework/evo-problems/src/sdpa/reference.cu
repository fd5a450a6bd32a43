// The reference of attention in double precision on a GPU: every row of the output, from the inputs
// as they are stored. Plain arithmetic and one order of summation: it is meant to be believed. A test
// compiles this text for the host as well, with a thread for each of a block.
//
//   HEAD_DIM  D
//   DTYPE     f32, f16, bf16 or f8_e4m3: Q, K and V
//
// A block owns ROWS query rows of one head and walks over the keys in tiles of KEYS, with the maximum
// and the sum of each row kept online. Its 256 threads are 16 by 16: thread (x, y) has the rows
// 4 y .. 4 y + 3, and of each the keys and output columns x, x + 16, x + 32, ...
// Grid: ceil(S / ROWS), B * H. Block: 256. No dynamic shared memory.

namespace dtype { enum Kind { f32, f16, bf16, f8_e4m3 }; }

constexpr int kDim = HEAD_DIM;
constexpr int kRows = 64;
constexpr int kKeys = 32;
// Columns of Q and K, and rows of V, that are in shared memory at a time.
constexpr int kDepth = 16;
constexpr int kValues = kDim <= 128 ? 16 : 8;
constexpr int kRowsOfThread = kRows / 16;
constexpr int kKeysOfThread = kKeys / 16;
constexpr int kColumnsOfThread = (kDim + 15) / 16;

template <dtype::Kind KIND> struct Stored;
template <> struct Stored<dtype::f32> {
    using Type = float;
    static __device__ double value(float stored) { return stored; }
};
template <> struct Stored<dtype::f16> {
    using Type = unsigned short;
    // Sign, 5 bits of exponent with a bias of 15, 10 bits of mantissa.
    static __device__ double value(unsigned short stored) {
        const int exponent = stored >> 10 & 31;
        const int mantissa = stored & 1023;
        double value = exponent == 0 ? scalbn(mantissa / 1024.0, -14) : scalbn(1.0 + mantissa / 1024.0, exponent - 15);
        if (exponent == 31) value = __longlong_as_double(mantissa ? 0x7ff8000000000000LL : 0x7ff0000000000000LL);
        return stored & 32768 ? -value : value;
    }
};
template <> struct Stored<dtype::bf16> {
    using Type = unsigned short;
    static __device__ double value(unsigned short stored) {
        return __uint_as_float(static_cast<unsigned>(stored) << 16);
    }
};
template <> struct Stored<dtype::f8_e4m3> {
    using Type = unsigned char;
    // Sign, 4 bits of exponent with a bias of 7, 3 bits of mantissa; no infinity, one NaN.
    static __device__ double value(unsigned char stored) {
        const int exponent = stored >> 3 & 15;
        const int mantissa = stored & 7;
        double value = exponent == 0 ? scalbn(mantissa / 8.0, -6) : scalbn(1.0 + mantissa / 8.0, exponent - 7);
        if (exponent == 15 && mantissa == 7) value = __longlong_as_double(0x7ff8000000000000LL);
        return stored & 128 ? -value : value;
    }
};

using Element = Stored<dtype::DTYPE>;

// An element of a head's [S, D], zero outside.
__device__ double at(const Element::Type* head, int row, int column, int seq) {
    if (row >= seq || column >= kDim) return 0.0;
    return Element::value(head[static_cast<long long>(row) * kDim + column]);
}

// Reduces over the 16 threads that share rows.
template <class Combine> __device__ double over_row(double value, Combine combine) {
    for (int distance = 8; distance > 0; distance /= 2) {
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, distance));
    }
    return value;
}

// The scales are null where there are none; `stride` 0: one for a tensor, 1: one for each head. The
// result is multiplied by `alpha`; `bias` ([bias_heads, D], or null) is added.
extern "C" __global__ void __launch_bounds__(256)
    sdpa_reference(const Element::Type* q, const Element::Type* k, const Element::Type* v, double* o, int seq,
                   int causal, const float* q_scale, const float* k_scale, const float* v_scale, int stride,
                   double alpha, const float* bias, int bias_heads) {
    __shared__ double queries[kRows][kDepth + 1];
    __shared__ double keys[kKeys][kDepth + 1];
    __shared__ double weights[kRows][kKeys + 1];
    __shared__ double values[kValues][kDim];

    const int head = blockIdx.y;
    const int first = blockIdx.x * kRows;
    const int x = threadIdx.x % 16;
    const int y = threadIdx.x / 16;
    const long long offset = static_cast<long long>(head) * seq * kDim;
    double scale = 1.0 / sqrt(static_cast<double>(kDim));
    double value_scale = 1.0;
    if (q_scale) {
        scale *= static_cast<double>(q_scale[head * stride]) * static_cast<double>(k_scale[head * stride]);
        value_scale = v_scale[head * stride];
    }

    const double infinity = __longlong_as_double(0x7ff0000000000000LL);
    double maximum[kRowsOfThread], sum[kRowsOfThread], output[kRowsOfThread][kColumnsOfThread];
    for (int i = 0; i < kRowsOfThread; ++i) {
        maximum[i] = -infinity;
        sum[i] = 0.0;
        for (int c = 0; c < kColumnsOfThread; ++c) output[i][c] = 0.0;
    }

    const int last = causal && first + kRows < seq ? first + kRows : seq;
    for (int start = 0; start < last; start += kKeys) {
        double score[kRowsOfThread][kKeysOfThread] = {};
        for (int depth = 0; depth < kDim; depth += kDepth) {
            __syncthreads();
            for (int n = threadIdx.x; n < kRows * kDepth; n += 256) {
                queries[n / kDepth][n % kDepth] = at(q + offset, first + n / kDepth, depth + n % kDepth, seq);
            }
            for (int n = threadIdx.x; n < kKeys * kDepth; n += 256) {
                keys[n / kDepth][n % kDepth] = at(k + offset, start + n / kDepth, depth + n % kDepth, seq);
            }
            __syncthreads();
            for (int d = 0; d < kDepth; ++d) {
                for (int i = 0; i < kRowsOfThread; ++i) {
                    for (int j = 0; j < kKeysOfThread; ++j) {
                        score[i][j] += queries[kRowsOfThread * y + i][d] * keys[x + 16 * j][d];
                    }
                }
            }
        }
        for (int i = 0; i < kRowsOfThread; ++i) {
            const int row = first + kRowsOfThread * y + i;
            double larger = maximum[i];
            for (int j = 0; j < kKeysOfThread; ++j) {
                const int key = start + x + 16 * j;
                const bool seen = key < seq && (!causal || key <= row);
                score[i][j] = seen ? score[i][j] * scale : -infinity;
                larger = fmax(larger, score[i][j]);
            }
            larger = over_row(larger, [](double a, double b) { return fmax(a, b); });
            // Every row sees the first key of the first tile, so that the maximum is finite from then on.
            const double shrink = exp(maximum[i] - larger);
            maximum[i] = larger;
            double total = 0.0;
            for (int j = 0; j < kKeysOfThread; ++j) {
                const double weight = exp(score[i][j] - larger);
                weights[kRowsOfThread * y + i][x + 16 * j] = weight;
                total += weight;
            }
            sum[i] = sum[i] * shrink + over_row(total, [](double a, double b) { return a + b; });
            for (int c = 0; c < kColumnsOfThread; ++c) output[i][c] *= shrink;
        }
        for (int key = 0; key < kKeys; key += kValues) {
            __syncthreads();
            for (int n = threadIdx.x; n < kValues * kDim; n += 256) {
                values[n / kDim][n % kDim] = at(v + offset, start + key + n / kDim, n % kDim, seq);
            }
            __syncthreads();
            for (int n = 0; n < kValues; ++n) {
                double weight[kRowsOfThread];
                for (int i = 0; i < kRowsOfThread; ++i) weight[i] = weights[kRowsOfThread * y + i][key + n];
                for (int c = 0; c < kColumnsOfThread; ++c) {
                    const int column = x + 16 * c;
                    const double value = column < kDim ? values[n][column] : 0.0;
                    for (int i = 0; i < kRowsOfThread; ++i) output[i][c] += weight[i] * value;
                }
            }
        }
    }

    for (int i = 0; i < kRowsOfThread; ++i) {
        const int row = first + kRowsOfThread * y + i;
        if (row >= seq) continue;
        for (int c = 0; c < kColumnsOfThread; ++c) {
            const int column = x + 16 * c;
            if (column >= kDim) continue;
            const double added = bias ? bias[head % bias_heads * kDim + column] : 0.0;
            o[offset + static_cast<long long>(row) * kDim + column] =
                alpha * (output[i][c] / sum[i] * value_scale) + added;
        }
    }
}
