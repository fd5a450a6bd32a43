// A two-dimensional convolution: every output pixel is the sum over a FILTER x FILTER window of the
// image, weighted. The image is larger than the output by the window less one, so that no pixel
// needs a border.
//
// A block of BLOCK_X x BLOCK_Y threads computes TILE_X x TILE_Y pixels per thread, BLOCK_X and
// BLOCK_Y apart, from a part of the image in shared memory. The names in capitals come from the
// search, FILTER from the problem.

#define OUT_X (BLOCK_X * TILE_X)
#define OUT_Y (BLOCK_Y * TILE_Y)
#define PART_X (OUT_X + FILTER - 1)
#define PART_Y (OUT_Y + FILTER - 1)

#if READ_ONLY
#define WEIGHT(index) __ldg(&filter[index])
#else
#define WEIGHT(index) filter[index]
#endif

extern "C" __global__ void convolution(const float *image, const float *filter, float *output,
                                       int width, int height)
{
    // A row that is one longer moves the columns to other banks.
    __shared__ float part[PART_Y][PART_X + PADDING];

    const int image_width = width + FILTER - 1;
    const int image_height = height + FILTER - 1;
    const int left = blockIdx.x * OUT_X;
    const int top = blockIdx.y * OUT_Y;

    for (int y = threadIdx.y; y < PART_Y; y += BLOCK_Y)
        for (int x = threadIdx.x; x < PART_X; x += BLOCK_X) {
            const bool inside = left + x < image_width && top + y < image_height;
            part[y][x] = inside ? image[(size_t)(top + y) * image_width + left + x] : 0.0f;
        }
    __syncthreads();

    float sum[TILE_Y][TILE_X] = {};
    for (int fy = 0; fy < FILTER; fy++)
#pragma unroll UNROLL
        for (int fx = 0; fx < FILTER; fx++) {
            const float weight = WEIGHT(fy * FILTER + fx);
#pragma unroll
            for (int ty = 0; ty < TILE_Y; ty++)
#pragma unroll
                for (int tx = 0; tx < TILE_X; tx++)
                    sum[ty][tx] += weight * part[threadIdx.y + ty * BLOCK_Y + fy]
                                                [threadIdx.x + tx * BLOCK_X + fx];
        }

#pragma unroll
    for (int ty = 0; ty < TILE_Y; ty++)
#pragma unroll
        for (int tx = 0; tx < TILE_X; tx++) {
            const int x = left + threadIdx.x + tx * BLOCK_X;
            const int y = top + threadIdx.y + ty * BLOCK_Y;
            if (x < width && y < height)
                output[(size_t)y * width + x] = sum[ty][tx];
        }
}
