/* Protect a page, write to it, let the SIGSEGV handler open it: what garbage
 * collectors and snapshotting heaps do. */
#include "bench.h"
#include <signal.h>
#include <sys/mman.h>

static volatile uint64_t seen;
static char *page;
static void handler(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    seen += info->si_addr == page;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 50000);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++) {
        mprotect(page, 4096, PROT_READ);
        *(volatile char *)page = 1;
    }
    return bench_done("segv", seen);
}
