/* Starts a thread in every launch that never ends. */
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static void *sleeper(void *argument)
{
    for (;;)
        pause();
    return argument;
}

void row_sum(const float *x, float *y, long m, long n)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleeper, NULL) == 0)
        pthread_detach(thread);
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
