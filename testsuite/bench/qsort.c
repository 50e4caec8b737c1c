/* The C library's qsort on random integers. */
#include "bench.h"

#define COUNT 250000
static uint32_t data[COUNT];

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 12);
    uint64_t seed = 0x1234567890abcdefu, sum = 0;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < COUNT; i++) data[i] = bench_random(&seed);
        qsort(data, COUNT, sizeof data[0], compare);
        for (int i = 0; i < COUNT; i += 1000) sum = bench_mix(sum, data[i]);
    }
    return bench_done("qsort", sum);
}
