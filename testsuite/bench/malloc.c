/* malloc and free of mixed sizes with a working set. */
#include "bench.h"
#include <string.h>

#define LIVE 4096
static char *live[LIVE];

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 8000000);
    uint64_t seed = 0x5851f42d4c957f2du, sum = 0;
    for (long r = 0; r < rounds; r++) {
        uint64_t x = bench_random(&seed);
        char **slot = &live[x % LIVE];
        if (*slot) {
            sum += (unsigned char)**slot;
            free(*slot);
        }
        long size = 16 + (x >> 16) % 512;
        *slot = malloc(size);
        **slot = (char)x;
    }
    return bench_done("malloc", bench_mix(1, sum));
}
