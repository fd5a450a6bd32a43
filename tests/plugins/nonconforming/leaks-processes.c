/* Leaves a process behind that outlives it. */
#include <unistd.h>

static int left;

void row_sum(const float *x, float *y, long m, long n)
{
    if (!left++ && fork() == 0) {
        setsid();
        execlp("sleep", "sleep", "98.765", (char *)0);
        _exit(1);
    }
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
