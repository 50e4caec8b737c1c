/* Two threads take turns through a futex word: the time of one turn there and back. */
#include "timed.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t turn;
static uint64_t count;

static void pass(uint32_t me) {
    __atomic_store_n(&turn, 1 - me, __ATOMIC_RELEASE);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(uint32_t me) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != me)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - me, NULL, NULL, 0);
}

static void *other(void *arg) {
    for (;;) {
        await(1);
        count++;
        pass(1);
    }
    return arg;
}

static void part(long n) {
    for (long i = 0; i < n; i++) {
        pass(0);
        await(0);
    }
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, other, NULL)) return 1;
    double ns = timed_median_ns(4000, part);
    return timed_done("futex_turns", ns, count);
}
