/* parallel PERCENT THREADS: a fixed amount of integer work, shared out among
 * the threads; prints the seconds it took. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t steps;
static uint64_t results[64 * 16];

static void *work(void *arg) {
    uint64_t x = 88172645463325252u + (uint64_t)arg, sum = 0;
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        sum += x & 0xff;
    }
    results[(uint64_t)arg * 16] = sum;
    return NULL;
}

int main(int argc, char **argv) {
    long percent = argc > 1 ? atol(argv[1]) : 100, threads = argc > 2 ? atol(argv[2]) : 1;
    struct timespec a, b;
    pthread_t ids[64];
    if (threads < 1 || threads > 64) return 2;
    steps = 4000000ull * percent / threads;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)i)) return 1;
    for (long i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    uint64_t sum = 0;
    for (long i = 0; i < threads; i++) sum += results[i * 16];
    if (sum == 0) return 1;
    printf("%.6f\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    return 0;
}
