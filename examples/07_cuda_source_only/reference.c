/* What is right, for the rows from `first` up to, not including, `last` of the output. */

void convolution(const double *image, const double *filter, double *output, int width, int height,
                 long first, long last)
{
    const long image_width = width + FILTER - 1;
    (void)height;
    for (long y = first; y < last; y++)
        for (long x = 0; x < width; x++) {
            double sum = 0.0;
            for (long fy = 0; fy < FILTER; fy++)
                for (long fx = 0; fx < FILTER; fx++)
                    sum += filter[fy * FILTER + fx] * image[(y + fy) * image_width + x + fx];
            output[y * width + x] = sum;
        }
}
