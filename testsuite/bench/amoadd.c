/* Atomic additions to one word. */
#include "bench.h"

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 50000000);
    static uint64_t word;
    for (long i = 0; i < n; i++) __atomic_fetch_add(&word, i, __ATOMIC_SEQ_CST);
    return bench_done("amoadd", word);
}
