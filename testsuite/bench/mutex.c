/* A mutex nobody else wants. */
#include "bench.h"
#include <pthread.h>

static void *idle(void *arg) { return arg; }

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 10000000);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    uint64_t sum = 0;
    /* The C library's locks are cheaper before the first thread. */
    if (pthread_create(&thread, NULL, idle, NULL)) return 1;
    pthread_join(thread, NULL);
    for (long i = 0; i < n; i++) {
        pthread_mutex_lock(&mutex);
        sum += i;
        pthread_mutex_unlock(&mutex);
    }
    return bench_done("mutex", sum);
}
