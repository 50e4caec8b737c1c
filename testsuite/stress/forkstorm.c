/* 16 threads that fork, exec and wait, under a storm of signals to each of them
 * and to the process. Every child's status is the one it chose, every queued
 * signal arrives, and nothing is left. */
#include "stress.h"

enum { THREADS = 16, STORMERS = 2 };

static char *self;
static pid_t tids[THREADS];
static int busy = THREADS;
static long forks, execs, interrupted, sent, queued, taken, hits;

static void count_hit(int sig) { ADD(hits, sig != 0); }
static void count_queued(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    if (info->si_code == SI_QUEUE) ADD(taken, info->si_value.sival_int);
}

static void *worker(void *arg) {
    long me = (long)arg;
    uint64_t random = dice_of(me);
    SET(tids[me], own_tid());
    for (long i = 0; i < stress_rounds; i++) {
        int code = dice(&random) & 63;
        int does_exec = dice(&random) & 1;
        char text[8];
        snprintf(text, sizeof text, "%d", code);
        char *const args[] = {self, "@exit", text, NULL};
        pid_t pid = fork_of();
        MUST(pid >= 0);
        if (pid == 0) {
            if (does_exec) {
                execv(self, args);
                _exit(99);
            }
            _exit(code);
        }
        int status, got;
        while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR) ADD(interrupted, 1);
        if (got != pid || !WIFEXITED(status) || WEXITSTATUS(status) != code)
            lost("child %d: waited %d, status %#x, expected exit %d", pid, got, status, code);
        ADD(forks, 1);
        if (does_exec) ADD(execs, 1);
    }
    ADD(busy, -1);
    return NULL;
}

static void *stormer(void *arg) {
    uint64_t random = dice_of(1000 + (long)arg);
    pid_t pid = getpid();
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (GET(busy) > 0) {
        for (int i = 0; i < 8; i++) {
            uint64_t r = dice(&random);
            pid_t tid = GET(tids[r % THREADS]);
            union sigval value = {.sival_int = 1};
            switch (r >> 32 & 3) {
            case 0:
                if (tid && syscall(SYS_tgkill, pid, tid, SIGUSR1) == 0) ADD(sent, 1);
                break;
            case 1:
                if (tid && syscall(SYS_tgkill, pid, tid, SIGUSR2) == 0) ADD(sent, 1);
                break;
            case 2:
                if (kill(pid, SIGUSR2) == 0) ADD(sent, 1);
                break;
            default:
                if (sigqueue(pid, SIGRTMIN + 1, value) == 0) ADD(queued, 1);
                else if (errno != EAGAIN) lost("sigqueue");
            }
        }
        /* fork starts anew at each signal: leave it time to get through. */
        usleep(300 + dice(&random) % 700);
    }
    return NULL;
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc == 3 && strcmp(argv[1], "@exit") == 0) return atoi(argv[2]);
    stress_begin(argc, argv, 24);
    struct sigaction hit = {.sa_handler = count_hit, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &hit, NULL);
    sigaction(SIGCHLD, &hit, NULL);
    hit.sa_flags = 0;
    sigaction(SIGUSR2, &hit, NULL);
    struct sigaction with_value = {.sa_sigaction = count_queued, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigaction(SIGRTMIN + 1, &with_value, NULL);

    pthread_t workers[THREADS], stormers[STORMERS];
    for (long i = 0; i < THREADS; i++) workers[i] = thread_of(worker, (void *)i);
    for (long i = 0; i < STORMERS; i++) stormers[i] = thread_of(stormer, (void *)i);
    for (int i = 0; i < THREADS; i++) MUST(pthread_join(workers[i], NULL) == 0);
    for (int i = 0; i < STORMERS; i++) MUST(pthread_join(stormers[i], NULL) == 0);
    /* What was queued last is delivered when this thread next leaves the kernel. */
    sched_yield();
    if (taken != queued) lost("%ld queued signals, %ld taken", queued, taken);
    nothing_is_left();
    printf("forkstorm: %ld forks, %ld execs, %ld signals sent, %ld queued and taken, %ld waits interrupted\n",
           forks, execs, sent, queued, interrupted);
    return 0;
}
