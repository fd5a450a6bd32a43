/* c = a * b for matrices in row-major order: m x k times k x n. The loops run over tiles, so that
   what is read again is still in a cache. TILE_M, TILE_N and TILE_K come from the search. */

#define MIN(x, y) ((x) < (y) ? (x) : (y))

void matmul(const float *restrict a, const float *restrict b, float *restrict c, int m, int n, int k)
{
    for (int x = 0; x < m * n; x++)
        c[x] = 0.0f;
    for (int i0 = 0; i0 < m; i0 += TILE_M)
        for (int p0 = 0; p0 < k; p0 += TILE_K)
            for (int j0 = 0; j0 < n; j0 += TILE_N)
                for (int i = i0; i < MIN(i0 + TILE_M, m); i++)
                    for (int p = p0; p < MIN(p0 + TILE_K, k); p++)
                        for (int j = j0; j < MIN(j0 + TILE_N, n); j++)
                            c[i * n + j] += a[i * k + p] * b[p * n + j];
}
