/* A program spawned and waited for. */
#include "timed.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static char *self;
static uint64_t sum;

static void part(long n) {
    char *const args[] = {self, "@exit", NULL};
    for (long i = 0; i < n; i++) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, self, NULL, NULL, args, environ)) exit(1);
        if (waitpid(pid, &status, 0) != pid || status != 5 << 8) exit(2);
        sum += status;
    }
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "@exit") == 0) return 5;
    double ns = timed_median_ns(60, part);
    return timed_done("spawn_wait", ns, sum);
}
