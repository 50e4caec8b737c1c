/* The Mandelbrot set on a grid. */
#include "bench.h"

int main(int argc, char **argv) {
    long side = 600, limit = bench_size(argc, argv, 1100);
    uint64_t inside = 0, early = 0;
    for (long y = 0; y < side; y++)
        for (long x = 0; x < side; x++) {
            double cr = 3.0 * x / side - 2.2, ci = 2.6 * y / side - 1.3, zr = 0, zi = 0;
            long i = 0;
            for (; i < limit; i++) {
                double r2 = zr * zr, i2 = zi * zi;
                if (r2 + i2 > 4) break;
                zi = 2 * zr * zi + ci;
                zr = r2 - i2 + cr;
            }
            inside += i == limit;
            /* Points that leave soon do so with any rounding. */
            early += i < 12 ? i : 0;
        }
    /* Points on the rim may fall on either side when multiply and add are
     * fused: their count is taken coarsely. */
    return bench_done("mandel", bench_mix(early, (inside + 2048) / 4096));
}
