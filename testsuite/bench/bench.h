/* What the timed programs share. Each takes an optional percentage of its full
 * size (100 takes some 0.3 s natively) and prints one line: name and checksum. */
#ifndef BENCH_H
#define BENCH_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline long bench_size(int argc, char **argv, long full) {
    long percent = argc > 1 ? atol(argv[1]) : 100;
    long n = full / 100 * percent + full % 100 * percent / 100;
    return n < 1 ? 1 : n;
}

static inline uint64_t bench_mix(uint64_t sum, uint64_t value) {
    sum ^= value;
    sum *= 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

static inline uint64_t bench_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static inline int bench_done(const char *name, uint64_t sum) {
    printf("%s %016llx\n", name, (unsigned long long)sum);
    return 0;
}
#endif
