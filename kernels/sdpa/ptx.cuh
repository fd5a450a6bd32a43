// Instructions that CUDA C++ has no name for, one function each. No header is needed.
#pragma once

using u32 = unsigned int;
using u64 = unsigned long long;

namespace ptx {

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// ---- copies from global to shared memory that run beside the program -------------------------

// Copies 16 bytes; where `valid` is false it writes zeros and reads nothing.
__device__ __forceinline__ void copy_async(u32 to, const void* from, bool valid) {
    const u32 bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
                 "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void copy_async(u32 to, const void* from) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;\n" ::"r"(to), "l"(from)
                 : "memory");
}

// Closes a group of this thread's copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most `PENDING` groups of this thread are still on their way.
template <int PENDING> __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
}

// ---- barriers ---------------------------------------------------------------------------------

// A barrier of the first `threads` threads that name it. Barrier 0 is `__syncthreads`.
__device__ __forceinline__ void named_barrier(int name, int threads) {
    asm volatile("bar.sync %0, %1;\n" ::"r"(name), "r"(threads) : "memory");
}

__device__ __forceinline__ void mbarrier_init(u32 barrier, int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals) : "memory");
}

__device__ __forceinline__ void mbarrier_arrive(u32 barrier) {
    asm volatile("{\n .reg .b64 state;\n mbarrier.arrive.shared.b64 state, [%0];\n}\n" ::"r"(barrier)
                 : "memory");
}

// Arrives once all earlier copies of this thread have landed. The barrier's count includes it.
__device__ __forceinline__ void mbarrier_arrive_after_copies(u32 barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];\n" ::"r"(barrier) : "memory");
}

// Waits until the phase of this parity is complete.
__device__ __forceinline__ void mbarrier_wait(u32 barrier, u32 parity) {
    u32 done;
    do {
#if __CUDA_ARCH__ >= 900
        asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n"
                     " selp.u32 %0, 1, 0, p;\n}\n"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
#else
        asm volatile("{\n .reg .pred p;\n mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n"
                     " selp.u32 %0, 1, 0, p;\n}\n"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
#endif
    } while (done == 0);
}

// ---- shared memory to fragments, and matrix steps --------------------------------------------

// Four 8 x 8 matrices of 16-bit elements; lane `l` gives the address of row `l % 8` of matrix `l / 8`.
__device__ __forceinline__ void load_matrices(u32 (&to)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

__device__ __forceinline__ void load_matrices_transposed(u32 (&to)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

// d += a b on 16 x 8 x 16 elements.
template <bool BF16>
__device__ __forceinline__ void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    if constexpr (BF16) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
}

// ---- numbers ----------------------------------------------------------------------------------

// Two floats as a pair of 16-bit elements, `low` in the lower half.
template <bool BF16> __device__ __forceinline__ u32 pack(float low, float high) {
    u32 pair;
    if constexpr (BF16) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
    }
    return pair;
}

// Four e4m3 values as four halves in the same order. Exact, subnormals too; NaN only from sm_89 on.
__device__ __forceinline__ void e4m3_to_f16(u32 four, u32& first, u32& second) {
#if __CUDA_ARCH__ >= 890
    asm("{\n .reg .b16 low, high;\n mov.b32 {low, high}, %2;\n"
        " cvt.rn.f16x2.e4m3x2 %0, low;\n cvt.rn.f16x2.e4m3x2 %1, high;\n}\n"
        : "=r"(first), "=r"(second)
        : "r"(four));
#else
    // Sign in place, exponent and mantissa one to the right: the exponent's bias is then 8 too low.
    auto widen = [](u32 bytes) {
        const u32 bits = (bytes & 0x80008000u) | ((bytes & 0x7f007f00u) >> 1);
        u32 halves;
        asm("mul.f16x2 %0, %1, %2;\n" : "=r"(halves) : "r"(bits), "r"(0x5c005c00u));  // by 2^8
        return halves;
    };
    first = widen(__byte_perm(four, 0, 0x1404));
    second = widen(__byte_perm(four, 0, 0x3424));
#endif
}

// 2^x in one instruction of the special-function unit; results below 2^-126 are 0.
__device__ __forceinline__ float exp2_unit(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

// 2^x on the multiply-add units: a polynomial of degree 3 for the fraction (relative error 8.8e-5,
// below the rounding of a half), the integer part into the exponent. For x below 128.
__device__ __forceinline__ float exp2_polynomial(float x) {
    const float bounded = fmaxf(x, -127.0f);
    float shifted;  // 2^23 + 2^22 + floor(x): the integer part is in the low bits
    asm("add.rm.ftz.f32 %0, %1, %2;\n" : "=f"(shifted) : "f"(bounded), "f"(12582912.0f));
    const float fraction = bounded - (shifted - 12582912.0f);
    float p = fmaf(fraction, 0.077119090f, 0.227564394f);
    p = fmaf(fraction, p, 0.695146143f);
    p = fmaf(fraction, p, 1.0f);
    return __int_as_float((__float_as_int(shifted) << 23) + __float_as_int(p));
}

}  // namespace ptx
