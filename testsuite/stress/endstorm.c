/* Threads that make threads, against every way a process can end while they do:
 * exit_group, execve from any thread, both at once, a fatal signal, the leader's
 * early end. The parent sees exactly one of the statuses that the way allows,
 * and nobody is left over. EAGAIN is an answer like another: whoever runs this
 * may let the host refuse threads. */
#include "stress.h"
#include <sys/resource.h>

enum { MAKERS = 4, AT_ONCE = 24, WAYS = 7 };
enum { BY_EXIT = 40, BY_EXEC = 50 };

static char *self;
static int live, go;
static long made, refused;
static pthread_attr_t small;

static void *made_thread(void *arg) {
    uint64_t random = (uint64_t)(uintptr_t)arg | 1;
    spin(dice(&random) % 300);
    ADD(live, -1);
    return NULL;
}

static void *maker(void *arg) {
    uint64_t random = dice_of((uintptr_t)arg);
    for (;;) {
        if (ADD(live, 1) >= AT_ONCE) {
            ADD(live, -1);
            sched_yield();
            continue;
        }
        pthread_t thread;
        uintptr_t seed = dice(&random);
        if (pthread_create(&thread, &small, made_thread, (void *)seed) != 0) {
            ADD(refused, 1);
            ADD(live, -1);
            sched_yield();
        } else {
            ADD(made, 1);
        }
    }
    return NULL;
}

static void by_exec(void) {
    char *const args[] = {self, "@exit", "50", NULL};
    execv(self, args);
    /* Somebody else's execve or exit came first, and this thread dies of it. */
    for (;;) pause();
}

static void by_exit(void) { syscall(SYS_exit_group, BY_EXIT); }

static void *racer(void *arg) {
    while (!GET(go)) sched_yield();
    ((void (*)(void))arg)();
    return NULL;
}

/* The child: never returns. */
static void storm(int way, uint64_t random) {
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (long i = 0; i < MAKERS; i++) thread_of(maker, (void *)(uintptr_t)(dice(&random) | 1));
    void (*first)(void) = by_exit, (*second)(void) = NULL;
    switch (way) {
    case 1: first = by_exec; break;
    case 2: second = by_exec; break;
    case 3: first = second = by_exec; break;
    }
    if (way <= 3) {
        if (second || dice(&random) & 1) thread_of(racer, (void *)first);
        else second = first;
        if (second) thread_of(racer, (void *)second);
        spin(dice(&random) % 30000);
        SET(go, 1);
        /* The leader may be in its way, or gone. */
        if (dice(&random) & 1) pthread_exit(NULL);
        for (;;) sched_yield();
    }
    spin(dice(&random) % 30000);
    switch (way) {
    case 4: kill(getpid(), SIGKILL); break;
    case 5: syscall(SYS_tgkill, getpid(), own_tid(), SIGTERM); break;
    case 6: abort();
    }
    for (;;) pause();
}

static int is_right(int way, int status) {
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    switch (way) {
    case 0: return code == BY_EXIT;
    case 1: case 3: return code == BY_EXEC;
    case 2: return code == BY_EXIT || code == BY_EXEC;
    case 4: return sig == SIGKILL;
    case 5: return sig == SIGTERM;
    default: return sig == SIGABRT;
    }
}

int main(int argc, char **argv) {
    self = argv[0];
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (argc == 3 && strcmp(argv[1], "@exit") == 0) return atoi(argv[2]);
    stress_begin(argc, argv, 10);
    long ends[WAYS] = {0};
    uint64_t random = dice_of(0);
    for (long round = 0; round < stress_rounds; round++) {
        for (int way = 0; way < WAYS; way++) {
            uint64_t seed = dice(&random);
            pid_t pid = fork_of();
            MUST(pid >= 0);
            if (pid == 0) storm(way, seed | 1);
            int status = status_of(pid);
            if (!is_right(way, status)) lost("way %d ended with status %#x", way, status);
            ends[way]++;
        }
    }
    nothing_is_left();
    printf("endstorm: %ld exits, %ld execs, %ld of both, %ld pairs of execs, %ld kills, %ld signals, %ld aborts\n",
           ends[0], ends[1], ends[2], ends[3], ends[4], ends[5], ends[6]);
    return 0;
}
