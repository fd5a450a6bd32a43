// What a device does at most, measured: copies, reads from the L2 cache, multiply-adds of single threads
// and products of the tensor cores. Nothing here computes anything of use; what is left of it is stored
// only where a condition holds that never does.

// One block for each multiprocessor takes its share of both buffers, many times.
extern "C" __global__ void __launch_bounds__(512) copy(const float4 *from, float4 *to, long count)
{
    const long step = (long)gridDim.x * blockDim.x;
    for (long i = (long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        to[i] = from[i];
}

// A buffer that the cache holds is read over and over.
extern "C" __global__ void __launch_bounds__(512) read(const float4 *from, float4 *to, long count, int rounds)
{
    const long step = (long)gridDim.x * blockDim.x;
    float4 sum = {};
    for (int round = 0; round < rounds; round++)
        for (long i = (long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
            float4 value;
            asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                         : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                         : "l"(from + i));
            sum.x += value.x, sum.y += value.y, sum.z += value.z, sum.w += value.w;
        }
    if (sum.x + sum.y + sum.z + sum.w == 1.2345f)
        to[threadIdx.x] = sum;
}

// Eight independent chains in each thread.
extern "C" __global__ void __launch_bounds__(512) multiply_add(float *out, int rounds)
{
    float value[8];
    const float factor = 0.5f + 1e-6f * threadIdx.x, summand = 0.25f;
    for (int i = 0; i < 8; i++)
        value[i] = i + threadIdx.x;
    for (int round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            value[i] = value[i] * factor + summand;
    float sum = 0.0f;
    for (int i = 0; i < 8; i++)
        sum += value[i];
    if (sum == 1.2345f)
        out[threadIdx.x] = sum;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D16(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12)

// 64 rows and 128 columns of a product over 32 bytes of each, by a warpgroup, from shared memory.
template <bool BYTES> __device__ void product(float (&d)[64], unsigned long long a, unsigned long long b)
{
    if constexpr (BYTES)
        asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                     "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                     "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                     "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                     "%64, %65, 1, 1, 1;\n"
                     : D16(0), D16(16), D16(32), D16(48)
                     : "l"(a), "l"(b));
    else
        asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                     "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                     "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                     "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                     "%64, %65, 1, 1, 1, 0, 0;\n"
                     : D16(0), D16(16), D16(32), D16(48)
                     : "l"(a), "l"(b));
}

// Tiles of 128 bytes a row with the swizzle of the tensor copies.
__device__ unsigned long long tile(const void *shared)
{
    const unsigned address = (unsigned)__cvta_generic_to_shared(shared);
    return (unsigned long long)((address & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

// Two warpgroups; numbers of many bit patterns, since zeros need less power than data do.
template <bool BYTES> __device__ void products(float *out, int rounds)
{
    __shared__ alignas(1024) unsigned rows[2][64 * 32], columns[128 * 32];
    for (int i = threadIdx.x; i < 128 * 32; i += blockDim.x) {
        unsigned bits = i * 2654435761u;
        bits ^= bits >> 15;
        // Small numbers of both signs, in halves as well as in bytes.
        bits &= 0xbfbfbfbfu;
        rows[i / (64 * 32)][i % (64 * 32)] = bits;
        columns[i] = bits ^ 0x00550055u;
    }
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    float d[64] = {};
    const unsigned long long a = tile(rows[threadIdx.x / 128]), b = tile(columns);
    for (int round = 0; round < rounds; round++) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int step = 0; step < 4; step++)
            product<BYTES>(d, a + 2 * step, b + 2 * step);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" : D16(0), D16(16), D16(32), D16(48)::"memory");
    }
    float sum = 0.0f;
    for (int i = 0; i < 64; i++)
        sum += d[i];
    if (sum == 1.2345f)
        out[threadIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256, 1) products_16(float *out, int rounds)
{
    products<false>(out, rounds);
}

extern "C" __global__ void __launch_bounds__(256, 1) products_8(float *out, int rounds)
{
    products<true>(out, rounds);
}

#else

// Eight independent products in each warp.
template <bool BYTES> __device__ void products(float *out, int rounds)
{
    float d[8][4] = {};
    unsigned a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i] = (threadIdx.x * 2654435761u + i) & 0xbfbfbfbfu;
    b[0] = a[0] ^ 0x01010101u, b[1] = a[1] ^ 0x02020202u;
    for (int round = 0; round < rounds; round++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if constexpr (BYTES) {
#if __CUDA_ARCH__ >= 890
                asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                             "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                             : "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
                             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
            } else {
                asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                             "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                             : "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
                             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
            }
        }
    float sum = 0.0f;
    for (int i = 0; i < 8; i++)
        sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
    if (sum == 1.2345f)
        out[threadIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(512) products_16(float *out, int rounds)
{
    products<false>(out, rounds);
}

#if __CUDA_ARCH__ >= 890
extern "C" __global__ void __launch_bounds__(512) products_8(float *out, int rounds)
{
    products<true>(out, rounds);
}
#endif

#endif
