/* The cheapest system call. */
#include "bench.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 2000000);
    uint64_t same = 0;
    long parent = syscall(SYS_getppid);
    for (long i = 0; i < n; i++) same += syscall(SYS_getppid) == parent;
    return bench_done("getppid", same);
}
