/* A signal to oneself: sent, handled, returned from. */
#include "timed.h"
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile uint64_t seen;
static pid_t pid, tid;
static void handler(int sig) { seen += sig == SIGUSR1; }

static void part(long n) {
    for (long i = 0; i < n; i++) syscall(SYS_tgkill, pid, tid, SIGUSR1);
}

int main(void) {
    pid = getpid();
    tid = syscall(SYS_gettid);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    double ns = timed_median_ns(10000, part);
    return timed_done("signal_trip", ns, seen);
}
