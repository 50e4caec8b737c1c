/* A pointer chase through 64 MiB: bound by memory, so it shows only what is
 * added to each miss. */
#include "bench.h"

#define SLOTS (1u << 23)
static uint64_t next[SLOTS];

int main(int argc, char **argv) {
    long steps = bench_size(argc, argv, 4000000);
    uint64_t seed = 0xdeadbeefcafef00du, sum = 0;
    for (uint32_t i = 0; i < SLOTS; i++) next[i] = i;
    /* Sattolo's shuffle makes one cycle of all slots. */
    for (uint32_t i = SLOTS - 1; i > 0; i--) {
        uint32_t j = bench_random(&seed) % i;
        uint64_t t = next[i];
        next[i] = next[j];
        next[j] = t;
    }
    uint64_t at = 0;
    for (long s = 0; s < steps; s++) sum += at = next[at];
    return bench_done("chase", sum);
}
