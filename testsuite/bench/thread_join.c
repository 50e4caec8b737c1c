/* A thread made and joined. `idle`: one after another, so that whoever keeps
 * threads for later has one. `cold`: many at once, which nobody has ready. */
#include "timed.h"
#include <pthread.h>

enum { AT_ONCE = 64 };

static uint64_t sum;

static void *body(void *arg) {
    __atomic_fetch_add(&sum, (uintptr_t)arg, __ATOMIC_RELAXED);
    return NULL;
}

static void one_by_one(long n) {
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, body, (void *)1)) exit(1);
        pthread_join(thread, NULL);
    }
}

static pthread_barrier_t together;

static void *waiting_body(void *arg) {
    pthread_barrier_wait(&together);
    return body(arg);
}

static void at_once(long n) {
    pthread_t threads[AT_ONCE];
    for (long done = 0; done < n; done += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++)
            if (pthread_create(&threads[i], NULL, waiting_body, (void *)1)) exit(1);
        for (int i = 0; i < AT_ONCE; i++) pthread_join(threads[i], NULL);
    }
}

int main(int argc, char **argv) {
    int is_cold = argc > 1 && strcmp(argv[1], "cold") == 0;
    pthread_barrier_init(&together, NULL, AT_ONCE);
    double ns = is_cold ? timed_median_ns(AT_ONCE, at_once) : timed_median_ns(400, one_by_one);
    return timed_done(is_cold ? "thread_cold" : "thread_idle", ns, sum);
}
