/* Primes below 4 million, some times over. */
#include "bench.h"
#include <string.h>

#define LIMIT 4000000
static uint8_t composite[LIMIT];

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 48);
    uint64_t sum = 0;
    for (long round = 0; round < rounds; round++) {
        memset(composite, 0, sizeof composite);
        for (uint32_t i = 2; i * i < LIMIT; i++)
            if (!composite[i])
                for (uint32_t j = i * i; j < LIMIT; j += i) composite[j] = 1;
        uint64_t count = 0;
        for (uint32_t i = 2; i < LIMIT; i++) count += !composite[i];
        sum = bench_mix(sum, count + round);
    }
    return bench_done("sieve", sum);
}
