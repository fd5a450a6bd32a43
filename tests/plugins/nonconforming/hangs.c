/* Waits for something that never happens. */

void row_sum(const float *x, float *y, long m, long n)
{
    volatile int done = 0;
    (void)x, (void)y, (void)m, (void)n;
    while (!done) {
    }
}
