/* Threads made and joined, one after another. */
#include "bench.h"
#include <pthread.h>

static uint64_t sum;
static void *body(void *arg) {
    sum += (uint64_t)arg;
    return arg;
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 10000);
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, body, (void *)i)) return 1;
        pthread_join(thread, NULL);
    }
    return bench_done("create", sum);
}
