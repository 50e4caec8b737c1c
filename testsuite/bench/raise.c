/* A signal to oneself, with a handler. */
#include "bench.h"
#include <signal.h>

static volatile uint64_t seen;
static void handler(int sig) { seen += sig == SIGUSR1; }

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 200000);
    signal(SIGUSR1, handler);
    for (long i = 0; i < n; i++) raise(SIGUSR1);
    return bench_done("raise", seen);
}
