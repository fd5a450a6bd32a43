/* Rows filtered with a few taps, cyclically. UNROLL and PAD come from the build. */

#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)

/* PAD reaches the source, and even a name in it, but not the machine code. */
static float NAMED(product_, PAD)(float a, float b) { return a * b; }

/* The work is done again for every step that is not unrolled. 3 and 4 are the same. */
#if UNROLL >= 3
#define PASSES 1
#else
#define PASSES (4 - UNROLL)
#endif

void filter(float *y, const float *x, const float *w, long rows, long columns, long taps,
            long grid, long spin) {
    long height = (rows + grid - 1) / grid;
    for (long pass = 0; pass < PASSES + spin; ++pass) {
        for (long block = 0; block < grid; ++block) {
            long end = (block + 1) * height < rows ? (block + 1) * height : rows;
            for (long row = block * height; row < end; ++row) {
                const float *in = x + row * columns;
                for (long column = 0; column < columns; ++column) {
                    float sum = 0.0f;
                    for (long tap = 0; tap < taps; ++tap)
                        sum += NAMED(product_, PAD)(w[tap], in[(column + tap) % columns]);
                    y[row * columns + column] = sum;
                }
            }
        }
        __asm__ volatile("" ::: "memory");
    }
}
