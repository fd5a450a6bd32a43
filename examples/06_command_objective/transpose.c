// Transposes a matrix tile by tile and prints how long that takes.
// usage: transpose --tile=N --pad=N [--columns-first]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 2048, RUNS = 7 };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void transpose(const float *in, float *out, int stride, int tile, int columns_first) {
    for (int a = 0; a < N; a += tile) {
        for (int b = 0; b < N; b += tile) {
            int row = columns_first ? b : a, column = columns_first ? a : b;
            int rows = row + tile < N ? row + tile : N, columns = column + tile < N ? column + tile : N;
            for (int i = row; i < rows; i++)
                for (int j = column; j < columns; j++)
                    out[(size_t)j * stride + i] = in[(size_t)i * stride + j];
        }
    }
}

int main(int argc, char **argv) {
    int tile = 8, pad = 0, columns_first = 0;
    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "--tile=%d", &tile) == 1 || sscanf(argv[i], "--pad=%d", &pad) == 1)
            continue;
        if (strcmp(argv[i], "--columns-first") != 0) {
            fprintf(stderr, "unknown flag: %s\n", argv[i]);
            return 2;
        }
        columns_first = 1;
    }
    if (tile < 1 || pad < 0 || pad > 1024) {
        fprintf(stderr, "tile=%d pad=%d makes no sense\n", tile, pad);
        return 2;
    }
    size_t stride = N + (size_t)pad, elements = N * stride;
    float *in = malloc(elements * sizeof *in), *out = malloc(elements * sizeof *out);
    if (!in || !out)
        return 3;
    for (size_t i = 0; i < elements; i++)
        in[i] = out[i] = (float)(i % 1013);
    double best = 1e300;
    for (int run = 0; run < RUNS; run++) {
        double began = now_ms();
        transpose(in, out, (int)stride, tile, columns_first);
        double took = now_ms() - began;
        best = took < best ? took : best;
    }
    for (size_t i = 0; i < N; i++)
        if (out[i * stride] != in[i]) {
            fprintf(stderr, "wrong at %zu\n", i);
            return 4;
        }
    printf("%d x %d, tile %d: best of %d runs %.4f ms\n", N, N, tile, RUNS, best);
    free(in);
    free(out);
    return 0;
}
