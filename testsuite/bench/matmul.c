/* Dense double matrices, the plain triple loop with sizes known at run time.
 * Small whole numbers keep every sum exact, so that fusing multiply and add
 * changes nothing. */
#include "bench.h"

__attribute__((noipa)) static void multiply(const double *a, const double *b, double *c, long n) {
    for (long i = 0; i < n; i++)
        for (long j = 0; j < n; j++) {
            double s = 0;
            for (long k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
            c[i * n + j] = s;
        }
}

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 40), n = 200;
    uint64_t seed = 42424242, sum = 0;
    double *a = malloc(n * n * sizeof *a), *b = malloc(n * n * sizeof *b), *c = malloc(n * n * sizeof *c);
    for (long i = 0; i < n * n; i++) {
        a[i] = (double)(bench_random(&seed) % 1000);
        b[i] = (double)(bench_random(&seed) % 1000);
    }
    for (long r = 0; r < rounds; r++) {
        multiply(a, b, c, n);
        a[r % n * n] += 1;
        sum = bench_mix(sum, (uint64_t)c[r * 7919 % (n * n)] + (uint64_t)c[n * n - 1]);
    }
    return bench_done("matmul", sum);
}
