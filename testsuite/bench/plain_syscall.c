/* A system call that does next to nothing. */
#include "timed.h"
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t sum;
static void part(long n) {
    for (long i = 0; i < n; i++) sum += syscall(SYS_getppid) > 0;
}

int main(void) {
    double ns = timed_median_ns(100000, part);
    return timed_done("plain_syscall", ns, sum);
}
