/* Map, touch and unmap four pages. */
#include "bench.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 100000);
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p[4096] = (char)i;
        sum += (unsigned char)p[4096] + p[0];
        munmap(p, 16384);
    }
    return bench_done("mmap", sum);
}
