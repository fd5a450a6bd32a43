/* Forgets what is left over where a row is no multiple of 16. */

void row_sum(const float *x, float *y, long m, long n)
{
    for (long row = 0; row < m; row++, x += n) {
        float part[16] = {0}, sum = 0;
        for (long i = 0; i + 16 <= n; i += 16)
            for (int lane = 0; lane < 16; lane++)
                part[lane] += x[i + lane];
        for (int lane = 0; lane < 16; lane++)
            sum += part[lane];
        y[row] = sum;
    }
}
