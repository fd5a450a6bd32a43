/* Opens a file in every launch and never closes it. */
#include <fcntl.h>

void row_sum(const float *x, float *y, long m, long n)
{
    (void)open("/dev/null", O_RDONLY);
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
        y[row] = sum;
    }
}
