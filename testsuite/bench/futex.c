/* Two threads take turns through a futex word. */
#include "bench.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t turn;
static long n;
static uint64_t count;

static void play(uint32_t me) {
    for (long i = 0; i < n; i++) {
        while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != me)
            syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - me, NULL, NULL, 0);
        count++;
        __atomic_store_n(&turn, 1 - me, __ATOMIC_RELEASE);
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}
static void *other(void *arg) {
    play(1);
    return arg;
}

int main(int argc, char **argv) {
    pthread_t thread;
    n = bench_size(argc, argv, 50000);
    if (pthread_create(&thread, NULL, other, NULL)) return 1;
    play(0);
    pthread_join(thread, NULL);
    return bench_done("futex", count);
}
