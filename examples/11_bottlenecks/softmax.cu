// Softmax over rows of 64 numbers, a thread for each row. Each parameter plants a bottleneck that every GPU
// programmer has met, so that one can see what a profiler and the rules say of it.

#define COLUMNS 64
#define STRIDE (COLUMNS + PAD)

// MIN_BLOCKS asks for so many blocks on a multiprocessor: 16 leave 32 registers to a thread, and a row
// needs 64.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
softmax(const float *input, float *output, int rows)
{
#if STAGED
    // A stride of 64 puts the same column of all rows into one bank; one of 65 into 32 different ones.
    __shared__ float part[THREADS * STRIDE];
#endif
    // A block takes TILES tiles of THREADS rows after each other: with many there are few blocks.
    for (int tile = 0; tile < TILES; tile++) {
        const long first = ((long)blockIdx.x * TILES + tile) * THREADS;
        const long row = first + threadIdx.x;
        float value[COLUMNS];
#if STAGED
        // Neighbouring threads load neighbouring numbers.
        for (int i = threadIdx.x; i < THREADS * COLUMNS; i += THREADS) {
            const bool inside = first + i / COLUMNS < rows;
            part[i / COLUMNS * STRIDE + i % COLUMNS] = inside ? input[first * COLUMNS + i] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            value[c] = part[threadIdx.x * STRIDE + c];
#else
        // Neighbouring threads load numbers that lie 256 bytes apart.
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            value[c] = row < rows ? input[row * COLUMNS + c] : 0.0f;
#endif
        float greatest = value[0];
#pragma unroll
        for (int c = 1; c < COLUMNS; c++)
            greatest = fmaxf(greatest, value[c]);
        float sum = 0.0f;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            value[c] = __expf(value[c] - greatest);
            sum += value[c];
        }
        const float scale = 1.0f / sum;
#if STAGED
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            part[threadIdx.x * STRIDE + c] = value[c] * scale;
        __syncthreads();
        for (int i = threadIdx.x; i < THREADS * COLUMNS; i += THREADS)
            if (first + i / COLUMNS < rows)
                output[first * COLUMNS + i] = part[i / COLUMNS * STRIDE + i % COLUMNS];
        __syncthreads();
#else
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            if (row < rows)
                output[row * COLUMNS + c] = value[c] * scale;
#endif
    }
}
