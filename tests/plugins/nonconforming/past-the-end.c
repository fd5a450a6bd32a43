/* Writes one element more than there is. */

void row_sum(const float *x, float *y, long m, long n)
{
    for (long row = 0; row <= m; row++) {
        float sum = 0;
        for (long i = 0; row < m && i < n; i++)
            sum += x[row * n + i];
        y[row] = sum;
    }
}
