// Warpgroup matrix products: descriptors of tiles in shared memory, and the instruction for every
// width that the configurations need.
#pragma once

#include "hopper_ptx.cuh"
#include "problem.cuh"

namespace ptx {

// ---- order --------------------------------------------------------------------------------------

// Before the first product of a group: registers that were written otherwise are now theirs.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }

__device__ __forceinline__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

// Waits until at most `PENDING` of the youngest groups are under way.
template <int PENDING> __device__ __forceinline__ void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(PENDING) : "memory");
}
// The same where the number is constant only once a loop is unrolled.
__device__ __forceinline__ void wait_products(int pending) {
    if (pending == 0) wait_products<0>();
    if (pending == 1) wait_products<1>();
    if (pending == 2) wait_products<2>();
    if (pending == 3) wait_products<3>();
    if (pending == 4) wait_products<4>();
}

// Keeps the compiler from moving accesses to accumulators across: wanted on both sides of the time
// in which products write them.
template <int N> __device__ __forceinline__ void hold(float (&accumulators)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(accumulators[i])::"memory");
}

// ---- descriptors ---------------------------------------------------------------------------------

// Rows of 128 or 64 bytes, whose 16-byte chunks are permuted within every 8 rows against bank
// conflicts. TMA writes the same order under the same name.
namespace swizzle { enum Kind { bytes128 = 1, bytes64 = 2 }; }

// A tile in shared memory, aligned to 8 of its rows. `leading` and `stride` are distances in bytes:
// for rows along the summed dimension (queries, keys) `stride` leads to the next 8 rows and `leading`
// is not used; for rows across it (values) `stride` leads to the next 8 summed ones and `leading` to
// the next 128 bytes of columns.
__device__ __forceinline__ u64 tile_descriptor(u32 address, u32 leading, u32 stride, swizzle::Kind kind) {
    return static_cast<u64>((address & 0x3ffff) >> 4) | static_cast<u64>((leading & 0x3ffff) >> 4) << 16
           | static_cast<u64>((stride & 0x3ffff) >> 4) << 32 | static_cast<u64>(kind) << 62;
}

// ---- instructions --------------------------------------------------------------------------------
//
// An instruction names all its accumulators, N / 2 for N columns. Inline assembly knows operands by
// number only: lists of numbers grow by eights, and every width says which numbers follow.

#define WGMMA_NAMES_1 "%0, %1, %2, %3, %4, %5, %6, %7"
#define WGMMA_NAMES_2 WGMMA_NAMES_1 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define WGMMA_NAMES_3 WGMMA_NAMES_2 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define WGMMA_NAMES_4 WGMMA_NAMES_3 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_NAMES_5 WGMMA_NAMES_4 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define WGMMA_NAMES_6 WGMMA_NAMES_5 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define WGMMA_NAMES_7 WGMMA_NAMES_6 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define WGMMA_NAMES_8 WGMMA_NAMES_7 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NAMES_9 WGMMA_NAMES_8 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define WGMMA_NAMES_10 WGMMA_NAMES_9 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define WGMMA_NAMES_11 WGMMA_NAMES_10 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define WGMMA_NAMES_12 WGMMA_NAMES_11 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define WGMMA_NAMES_13 WGMMA_NAMES_12 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define WGMMA_NAMES_14 WGMMA_NAMES_13 ", %104, %105, %106, %107, %108, %109, %110, %111"
#define WGMMA_NAMES_15 WGMMA_NAMES_14 ", %112, %113, %114, %115, %116, %117, %118, %119"
#define WGMMA_NAMES_16 WGMMA_NAMES_15 ", %120, %121, %122, %123, %124, %125, %126, %127"
#define WGMMA_NAMES_4_AND_HALF WGMMA_NAMES_4 ", %32, %33, %34, %35"
#define WGMMA_NAMES_8_AND_HALF WGMMA_NAMES_8 ", %64, %65, %66, %67"

#define WGMMA_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_EIGHT(d, i) WGMMA_FOUR(d, i), WGMMA_FOUR(d, i + 4)
#define WGMMA_VALUES_1(d) WGMMA_EIGHT(d, 0)
#define WGMMA_VALUES_2(d) WGMMA_VALUES_1(d), WGMMA_EIGHT(d, 8)
#define WGMMA_VALUES_3(d) WGMMA_VALUES_2(d), WGMMA_EIGHT(d, 16)
#define WGMMA_VALUES_4(d) WGMMA_VALUES_3(d), WGMMA_EIGHT(d, 24)
#define WGMMA_VALUES_5(d) WGMMA_VALUES_4(d), WGMMA_EIGHT(d, 32)
#define WGMMA_VALUES_6(d) WGMMA_VALUES_5(d), WGMMA_EIGHT(d, 40)
#define WGMMA_VALUES_7(d) WGMMA_VALUES_6(d), WGMMA_EIGHT(d, 48)
#define WGMMA_VALUES_8(d) WGMMA_VALUES_7(d), WGMMA_EIGHT(d, 56)
#define WGMMA_VALUES_9(d) WGMMA_VALUES_8(d), WGMMA_EIGHT(d, 64)
#define WGMMA_VALUES_10(d) WGMMA_VALUES_9(d), WGMMA_EIGHT(d, 72)
#define WGMMA_VALUES_11(d) WGMMA_VALUES_10(d), WGMMA_EIGHT(d, 80)
#define WGMMA_VALUES_12(d) WGMMA_VALUES_11(d), WGMMA_EIGHT(d, 88)
#define WGMMA_VALUES_13(d) WGMMA_VALUES_12(d), WGMMA_EIGHT(d, 96)
#define WGMMA_VALUES_14(d) WGMMA_VALUES_13(d), WGMMA_EIGHT(d, 104)
#define WGMMA_VALUES_15(d) WGMMA_VALUES_14(d), WGMMA_EIGHT(d, 112)
#define WGMMA_VALUES_16(d) WGMMA_VALUES_15(d), WGMMA_EIGHT(d, 120)
#define WGMMA_VALUES_4_AND_HALF(d) WGMMA_VALUES_4(d), WGMMA_FOUR(d, 32)
#define WGMMA_VALUES_8_AND_HALF(d) WGMMA_VALUES_8(d), WGMMA_FOUR(d, 64)

// The summed elements of an instruction and the types of its operands; whether the right operand
// lies across (16-bit types only: 8-bit instructions have no such bit).
#define WGMMA_TYPE_f16 "k16.f32.f16.f16"
#define WGMMA_TYPE_bf16 "k16.f32.bf16.bf16"
#define WGMMA_TYPE_f8_e4m3 "k32.f32.e4m3.e4m3"
#define WGMMA_ALONG_f16 ", 0, 0"
#define WGMMA_ALONG_bf16 ", 0, 0"
#define WGMMA_ALONG_f8_e4m3 ""
#define WGMMA_ACROSS_f16 ", 1"
#define WGMMA_ACROSS_bf16 ", 1"
#define WGMMA_ACROSS_f8_e4m3 ""
#define WGMMA_JOIN_(a, b) a##b
#define WGMMA_JOIN(a, b) WGMMA_JOIN_(a, b)
#define WGMMA_TYPE WGMMA_JOIN(WGMMA_TYPE_, DTYPE)
#define WGMMA_ALONG WGMMA_JOIN(WGMMA_ALONG_, DTYPE)
#define WGMMA_ACROSS WGMMA_JOIN(WGMMA_ACROSS_, DTYPE)

// d (+)= a b for 64 rows and N columns, both operands in shared memory with rows along the summed
// dimension. `a`, `b`, `p`: the numbers of the operands after the accumulators.
#define WGMMA_SHARED(N, EIGHTS, a, b, p)                                                                    \
    __device__ __forceinline__ void multiply(float (&d)[N / 2], u64 left, u64 right, bool accumulate) {     \
        asm volatile("{\n .reg .pred p;\n setp.ne.b32 p, %" #p ", 0;\n wgmma.mma_async.sync.aligned.m64n" #N \
                     WGMMA_TYPE " {" WGMMA_NAMES_##EIGHTS "}, %" #a ", %" #b ", p, 1, 1" WGMMA_ALONG ";\n}\n" \
                     : WGMMA_VALUES_##EIGHTS(d)                                                             \
                     : "l"(left), "l"(right), "r"(accumulate ? 1 : 0));                                     \
    }
WGMMA_SHARED(16, 1, 8, 9, 10)
WGMMA_SHARED(32, 2, 16, 17, 18)
WGMMA_SHARED(48, 3, 24, 25, 26)
WGMMA_SHARED(64, 4, 32, 33, 34)
WGMMA_SHARED(80, 5, 40, 41, 42)
WGMMA_SHARED(96, 6, 48, 49, 50)
WGMMA_SHARED(112, 7, 56, 57, 58)
WGMMA_SHARED(128, 8, 64, 65, 66)
WGMMA_SHARED(160, 10, 80, 81, 82)
WGMMA_SHARED(176, 11, 88, 89, 90)
WGMMA_SHARED(192, 12, 96, 97, 98)
WGMMA_SHARED(256, 16, 128, 129, 130)

// d += a b with `a` in registers, and the rows of `b` across the summed dimension where elements have
// 16 bits.
#define WGMMA_REGISTERS(N, EIGHTS, a0, a1, a2, a3, b, p)                                                    \
    __device__ __forceinline__ void multiply(float (&d)[N / 2], const u32 (&left)[4], u64 right) {          \
        asm volatile("{\n .reg .pred p;\n setp.ne.b32 p, %" #p ", 0;\n wgmma.mma_async.sync.aligned.m64n" #N \
                     WGMMA_TYPE " {" WGMMA_NAMES_##EIGHTS "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3         \
                     "}, %" #b ", p, 1, 1" WGMMA_ACROSS ";\n}\n"                                             \
                     : WGMMA_VALUES_##EIGHTS(d)                                                             \
                     : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(1));         \
    }
WGMMA_REGISTERS(64, 4, 32, 33, 34, 35, 36, 37)
WGMMA_REGISTERS(72, 4_AND_HALF, 36, 37, 38, 39, 40, 41)
WGMMA_REGISTERS(128, 8, 64, 65, 66, 67, 68, 69)
WGMMA_REGISTERS(136, 8_AND_HALF, 68, 69, 70, 71, 72, 73)

}  // namespace ptx
