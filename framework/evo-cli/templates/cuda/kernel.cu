// y[row] = the sum of row `row` of x, which has n numbers: one block for each row.

extern "C" __global__ void row_sum(const float *__restrict__ x, float *__restrict__ y, int n)
{
    __shared__ float sums[32];
    const float *row = x + (long long)blockIdx.x * n;
    float part[UNROLL] = {0.0f};
    for (int i = threadIdx.x; i < n; i += THREADS * UNROLL) {
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int at = i + u * THREADS;
            part[u] += at < n ? row[at] : 0.0f; // what is left over counts as 0
        }
    }
    float sum = 0.0f;
#pragma unroll
    for (int u = 0; u < UNROLL; u++)
        sum += part[u];
    // Within a warp by shuffles, then over the warps through shared memory.
    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0.0f;
        for (int warp = 0; warp < THREADS / 32; warp++)
            total += sums[warp];
        y[blockIdx.x] = total;
    }
}
