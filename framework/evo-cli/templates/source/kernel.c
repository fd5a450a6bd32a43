/* y[row] = the sum of row `row` of x, which has m rows of n numbers.

   Floats are added in the order that is written, so one sum is one chain of additions. LANES of
   them side by side keep the CPU's units busy; evo finds how many. */

void row_sum(const float *restrict x, float *restrict y, long m, long n)
{
    for (long row = 0; row < m; row++, x += n) {
        float part[LANES] = {0};
        long i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int lane = 0; lane < LANES; lane++)
                part[lane] += x[i + lane];
        float sum = 0;
        for (; i < n; i++) /* what is left where n is no multiple of LANES */
            sum += x[i];
        for (int lane = 0; lane < LANES; lane++)
            sum += part[lane];
        y[row] = sum;
    }
}
