/* clock_gettime, which programs call in their inner loops. */
#include "bench.h"
#include <time.h>

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 5000000);
    uint64_t ordered = 0;
    struct timespec last = {0, 0}, t;
    for (long i = 0; i < n; i++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        ordered += t.tv_sec > last.tv_sec || (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec);
        last = t;
    }
    return bench_done("clock", ordered);
}
