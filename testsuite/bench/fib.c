/* Doubly recursive Fibonacci: calls and returns. */
#include "bench.h"

__attribute__((noinline)) static uint64_t fib(uint64_t n) {
    if (n < 2) return n;
    uint64_t a = fib(n - 1);
    /* Keeps the compiler from turning one of the two calls into a loop. */
    __asm__ volatile("" : "+r"(a));
    return a + fib(n - 2);
}

int main(int argc, char **argv) {
    long rounds = bench_size(argc, argv, 100);
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) sum = bench_mix(sum, fib(30));
    return bench_done("fib", sum);
}
