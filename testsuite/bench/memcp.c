/* memcpy, memset and memmove over sizes from 16 bytes to 1 MiB. */
#include "bench.h"
#include <string.h>

static char a[1 << 20], b[1 << 20];

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 150);
    uint64_t sum = 0;
    for (long r = 0; r < rounds; r++)
        for (long size = 16; size <= 1 << 20; size *= 4) {
            long count = (1 << 22) / size / 4 + 1;
            for (long i = 0; i < count; i++) {
                long shift = i * 64 % ((1 << 20) - size + 1);
                memset(a + shift, (int)(r + i), size);
                memcpy(b + shift, a + shift, size);
                if (size > 64) memmove(b + shift, b + shift + 16, size - 16);
                sum += (unsigned char)b[shift + size / 2];
            }
        }
    return bench_done("memcp", bench_mix(1, sum));
}
