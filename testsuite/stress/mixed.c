/* Everything at once, for a time: processes by fork, vfork and posix_spawn that
 * end by themselves, by signals and by execve; threads that come and go; pipes,
 * futexes, shared memory, timers and signals among them.
 *
 *   mixed SEED SECONDS
 *
 * The work comes in rounds of some seconds. Between two rounds nothing is left of
 * it: then a line says how many processes have lived, and the program goes on
 * when it reads a line. Whoever runs it counts what the host holds meanwhile. */
#include "stress.h"
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

enum { THREADS = 8, ROUND_S = 5 };

extern char **environ;
static char *self;
static long lifetimes, threads_made, signals_taken;
static int round_is_over;

static void count_signal(int sig) { ADD(signals_taken, sig != 0); }

static void expect(pid_t pid, int want, const char *what) {
    int status = status_of(pid);
    if (status != want) lost("%s ended with status %#x, expected %#x", what, status, want);
    ADD(lifetimes, 1);
}

/* Forked, and gone at once. */
static void plain(uint64_t *random) {
    int code = dice(random) & 63;
    pid_t pid = fork_of();
    if (pid == 0) _exit(code);
    expect(pid, code << 8, "a child");
}

/* Touches memory that it has as a copy, and says so through a pipe. */
static void copied(uint64_t *random) {
    size_t size = 4096 * (1 + dice(random) % 64);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(memory != MAP_FAILED);
    memset(memory, 7, size);
    int ends[2];
    MUST(pipe(ends) == 0);
    pid_t pid = fork_of();
    if (pid == 0) {
        for (size_t i = 0; i < size; i += 4096)
            if (memory[i]++ != 7) _exit(9);
        if (write(ends[1], memory, 1) != 1) _exit(8);
        _exit(0);
    }
    char seen = 0;
    MUST(read(ends[0], &seen, 1) == 1);
    if (seen != 8 || memory[0] != 7) lost("a copy: %d there, %d here", seen, memory[0]);
    expect(pid, 0, "a child with a copy");
    close(ends[0]);
    close(ends[1]);
    munmap(memory, size);
}

static void spawned(uint64_t *random) {
    char text[8];
    int code = dice(random) & 63;
    snprintf(text, sizeof text, "%d", code);
    char *args[] = {self, "@exit", text, NULL};
    pid_t pid;
    if (dice(random) & 1) {
        int error = posix_spawn(&pid, self, NULL, NULL, args, environ);
        if (error) lost("posix_spawn: %d", error);
    } else {
        pid = vfork();
        MUST(pid >= 0);
        if (pid == 0) {
            execve(self, args, environ);
            _exit(99);
        }
    }
    expect(pid, code << 8, "a spawned program");
}

/* Sleeps for ever in one of several calls, until a signal ends it. */
static void killed(uint64_t *random) {
    int kind = dice(random) % 4, sig = dice(random) & 1 ? SIGKILL : SIGTERM;
    uint64_t turns = dice(random) % 20000;
    pid_t pid = fork_of();
    if (pid == 0) {
        uint32_t word = 0;
        int ends[2];
        char byte;
        if (pipe(ends) != 0) _exit(9);
        for (;;) switch (kind) {
            case 0: futex(&word, OP_WAIT, 0, 0, NULL, 0); break;
            case 1: if (read(ends[0], &byte, 1) < 0) _exit(8); break;
            case 2: pause(); break;
            default: usleep(100000000);
            }
    }
    spin(turns);
    MUST(kill(pid, sig) == 0);
    expect(pid, sig, "a killed child");
}

static void *grandchild(void *arg) {
    spin((uintptr_t)arg);
    return NULL;
}

/* A process with threads, which one of them ends. */
static void *ends_all(void *arg) {
    spin((uintptr_t)arg);
    syscall(SYS_exit_group, 11);
    return NULL;
}

static void threaded(uint64_t *random) {
    uint64_t seed = dice(random) | 1;
    pid_t pid = fork_of();
    if (pid == 0) {
        for (int i = 0; i < 3; i++) thread_of(grandchild, (void *)(uintptr_t)(dice(&seed) % 5000));
        thread_of(ends_all, (void *)(uintptr_t)(dice(&seed) % 5000));
        if (dice(&seed) & 1) syscall(SYS_exit, 0);
        for (;;) pause();
    }
    expect(pid, 11 << 8, "a child with threads");
}

/* An orphan whose end nobody waits for, but for the end of its pipe. */
static void orphan(uint64_t *random) {
    (void)random;
    int ends[2];
    char byte;
    MUST(pipe(ends) == 0);
    pid_t pid = fork_of();
    if (pid == 0) {
        close(ends[0]);
        if (fork_of() == 0) usleep(200);
        _exit(0);
    }
    close(ends[1]);
    expect(pid, 0, "an orphan's parent");
    MUST(read(ends[0], &byte, 1) == 0);
    close(ends[0]);
    ADD(lifetimes, 1);
}

/* Two processes and a word in shared memory. */
static void shared_word(uint64_t *random) {
    uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(word != MAP_FAILED);
    uint32_t turns = 2 + dice(random) % 30;
    pid_t pid = fork_of();
    MUST(pid >= 0);
    uint32_t me = pid == 0;
    for (uint32_t i = me; i < turns; i += 2) {
        for (uint32_t seen; (seen = GET(*word)) != i;) futex(word, OP_WAIT, seen, 0, NULL, 0);
        SET(*word, i + 1);
        futex(word, OP_WAKE, 1, 0, NULL, 0);
    }
    if (me) _exit(0);
    expect(pid, 0, "a child with a word");
    munmap(word, 4096);
}

static void timers(uint64_t *random) {
    struct itimerspec soon = {.it_value = {0, 20000 + dice(random) % 200000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
    MUST(fd >= 0 && event >= 0);
    MUST(timerfd_settime(fd, 0, &soon, NULL) == 0);
    struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = event, .events = POLLIN}};
    while (poll(wait, 2, -1) < 0) MUST(errno == EINTR);
    close(fd);
    close(event);
    timer_t timer;
    struct sigevent to = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
    MUST(timer_create(CLOCK_MONOTONIC, &to, &timer) == 0);
    MUST(timer_settime(timer, 0, &soon, NULL) == 0);
    spin(dice(random) % 3000);
    MUST(timer_delete(timer) == 0);
}

static void (*const kinds[])(uint64_t *) = {
    plain, plain, plain, copied, spawned, killed, threaded, orphan, shared_word, timers,
};

static void *worker(void *arg) {
    uint64_t random = (uintptr_t)arg | 1;
    while (!GET(round_is_over)) {
        kinds[dice(&random) % (sizeof kinds / sizeof *kinds)](&random);
        if (dice(&random) % 4 == 0) {
            pthread_join(thread_of(grandchild, NULL), NULL);
            ADD(threads_made, 1);
        }
        if (dice(&random) % 4 == 0) raise(SIGUSR1);
    }
    return NULL;
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc == 3 && strcmp(argv[1], "@exit") == 0) return atoi(argv[2]);
    stress_begin(argc, argv, 5);
    struct sigaction hit = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &hit, NULL);
    sigaction(SIGRTMIN + 2, &hit, NULL);
    uint64_t random = dice_of(0);
    time_t end = time(NULL) + stress_rounds;
    for (int round = 0;; round++) {
        SET(round_is_over, 0);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) threads[i] = thread_of(worker, (void *)(uintptr_t)dice(&random));
        ADD(threads_made, THREADS);
        time_t until = time(NULL) + ROUND_S;
        while (time(NULL) < until && time(NULL) < end) usleep(50000);
        SET(round_is_over, 1);
        for (int i = 0; i < THREADS; i++) MUST(pthread_join(threads[i], NULL) == 0);
        nothing_is_left();
        printf("mixed: %ld lifetimes, %ld threads, %ld signals\n", lifetimes, threads_made, signals_taken);
        fflush(stdout);
        char byte;
        while (read(0, &byte, 1) == -1) MUST(errno == EINTR);
        if (time(NULL) >= end) return 0;
    }
}
