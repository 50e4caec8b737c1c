/* fork, exit, wait. */
#include "bench.h"
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 1000);
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid < 0) return 1;
        if (pid == 0) _exit(i & 63);
        waitpid(pid, &status, 0);
        sum += WEXITSTATUS(status);
    }
    return bench_done("fork", sum);
}
