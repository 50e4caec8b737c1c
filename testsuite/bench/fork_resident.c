/* fork, exit, wait of a process that holds memory, of which the child touches some.
 *
 *   fork_resident [MIB [PERCENT [TIMES]]]
 *
 * prints the median and the least time of a round in microseconds, and that of the
 * first, which may have more to do; without arguments, a checksum. */
#include "bench.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    long mib = argc > 1 ? atol(argv[1]) : 16;
    long percent = argc > 2 ? atol(argv[2]) : 1;
    long times = argc > 3 ? atol(argv[3]) : 20;
    long pages = mib * (1 << 20) / PAGE;
    uint64_t sum = 0;
    double first = 0, *took = calloc(times > 0 ? times : 1, sizeof *took);
    if (mib < 1 || percent < 0 || percent > 100 || times < 1 || !took) return 2;
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    for (long i = 0; i < pages; i++) *(uint64_t *)(memory + i * PAGE) = i;
    long touched = pages * percent / 100;
    if (percent > 0 && touched == 0) touched = 1;
    for (long n = 0; n < times; n++) {
        double start = now_us();
        pid_t pid = fork();
        if (pid < 0) return 1;
        if (pid == 0) {
            /* Spread over all of it. */
            for (long i = 0; i < touched; i++) *(uint64_t *)(memory + i * pages / touched * PAGE) = n;
            _exit(n & 63);
        }
        int status = 0;
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return 1;
        took[n] = now_us() - start;
        sum = bench_mix(sum, WEXITSTATUS(status));
    }
    for (long i = 0; i < pages; i++) sum = bench_mix(sum, *(uint64_t *)(memory + i * PAGE));
    if (argc > 1) {
        first = took[0];
        qsort(took, times, sizeof *took, by_size);
        printf("fork_resident %.1f us %ld MiB, %ld%% touched, %016llx\n", took[times / 2], mib, percent,
               (unsigned long long)sum);
        printf("%.1f us at least, %.1f the first\n", took[0], first);
        return 0;
    }
    return bench_done("fork_resident", sum);
}
