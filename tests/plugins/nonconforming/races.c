/* Lets chance into the result, as a race does. */
#define _GNU_SOURCE
#include <time.h>

void row_sum(const float *x, float *y, long m, long n)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (long row = 0; row < m; row++) {
        float part[LANES] = {0}, sum = 0;
        long i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int lane = 0; lane < LANES; lane++)
                part[lane] += x[row * n + i + lane];
        for (; i < n; i++)
            sum += x[row * n + i];
        for (int lane = 0; lane < LANES; lane++)
            sum += part[lane];
        y[row] = sum + 1e-5f * (now.tv_nsec % 97);
    }
}
