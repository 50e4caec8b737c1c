/* strlen, strchr and strcmp: vector code natively, scalar loops in the guest. */
#include "bench.h"
#include <string.h>

static char text[2][4096];

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 600000);
    uint64_t sum = 0;
    for (int i = 0; i < 4095; i++) text[0][i] = text[1][i] = 'a' + i % 26;
    for (long r = 0; r < rounds; r++) {
        int end = 64 + r * 37 % 4000;
        char kept = text[0][end];
        text[0][end] = 0;
        sum += strlen(text[0] + r % 64);
        sum += strchr(text[0], '#') == NULL;
        sum += strcmp(text[0], text[1]) < 0;
        text[0][end] = kept;
    }
    return bench_done("strs", bench_mix(1, sum));
}
