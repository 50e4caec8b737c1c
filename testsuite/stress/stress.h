/* What the stress programs share. Each takes a seed and a number of rounds,
 *
 *   PROGRAM [SEED [ROUNDS]]
 *
 * does its work, checks that nothing was lost, prints one line of counts and
 * ends with 0. Whatever was lost is said on stderr, and the status is 1. None of
 * them sleeps to wait for something: a wake-up that is lost is a run that does
 * not end, and whoever runs the program sets the limit. glibc and musl build
 * them; no header of the kernel is needed. */
#ifndef STRESS_H
#define STRESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64

static uint64_t stress_seed = 1;
static long stress_rounds;

static inline void stress_begin(int argc, char **argv, long rounds) {
    stress_rounds = rounds;
    if (argc > 1) stress_seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15u + 1;
    if (argc > 2) stress_rounds = atol(argv[2]);
}

__attribute__((unused, noreturn, format(printf, 1, 2)))
static void lost(const char *format, ...) {
    char text[400];
    va_list ap;
    int saved = errno;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text - 32, format, ap);
    va_end(ap);
    n += snprintf(text + n, 32, " (errno %d)\n", saved);
    if (write(2, text, n) < 0) { /* nobody to tell */ }
    _exit(1);
}

#define MUST(cond) ((cond) ? (void)0 : lost("%s:%d: %s", __FILE__, __LINE__, #cond))

/* xorshift64*: dice that a seed repeats. */
static inline uint64_t dice(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}

/* Dice of one thread or process: `who` tells it from the others. */
static inline uint64_t dice_of(uint64_t who) {
    uint64_t state = stress_seed ^ (who + 1) * 0xbf58476d1ce4e5b9u;
    if (state == 0) state = 1;
    dice(&state);
    return state;
}

/* Lets time pass that is not a sleep; a guess of nobody depends on it. */
static inline void spin(uint64_t turns) {
    for (volatile uint64_t i = 0; i < turns; i++) {}
}

#define ADD(place, n) __atomic_fetch_add(&(place), n, __ATOMIC_SEQ_CST)
#define GET(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define SET(place, value) __atomic_store_n(&(place), value, __ATOMIC_SEQ_CST)

static inline pid_t own_tid(void) { return (pid_t)syscall(SYS_gettid); }

/* futex(2) as it is: -1 and errno on failure. */
enum {
    OP_WAIT = 0, OP_WAKE = 1, OP_REQUEUE = 3, OP_CMP_REQUEUE = 4, OP_LOCK_PI = 6,
    OP_UNLOCK_PI = 7, OP_WAIT_REQUEUE_PI = 11, OP_CMP_REQUEUE_PI = 12, OP_PRIVATE = 128,
};
#define WORD_WAITERS 0x80000000u
#define WORD_OWNER_DIED 0x40000000u
#define WORD_TID 0x3fffffffu

static inline long futex(uint32_t *word, int op, uint32_t val, uintptr_t val2, uint32_t *word2, uint32_t val3) {
    return syscall(SYS_futex, word, op, val, val2, word2, val3);
}

/* A thread, whatever the host refuses for the moment (EAGAIN is no loss). */
__attribute__((unused))
static pthread_t thread_of(void *(*body)(void *), void *arg) {
    pthread_t thread;
    for (;;) {
        int error = pthread_create(&thread, NULL, body, arg);
        if (error == 0) return thread;
        if (error != EAGAIN) {
            errno = error;
            lost("pthread_create");
        }
        sched_yield();
    }
}

__attribute__((unused))
static pid_t fork_of(void) {
    for (;;) {
        pid_t pid = fork();
        if (pid != -1 || errno != EAGAIN) return pid;
        sched_yield();
    }
}

/* Waits for one child, whatever signals come. */
__attribute__((unused))
static int status_of(pid_t pid) {
    int status = -1;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR) {}
    if (got != pid) lost("waitpid(%d) gave %d", pid, got);
    return status;
}

/* Entries of a folder of /proc, -1 where there is none. */
__attribute__((unused))
static int entries_of(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return -1;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') n++;
    closedir(dir);
    return n;
}

/* At the end: no child, no thread but this one. A thread that was joined may be
 * on its way out for a moment yet. */
__attribute__((unused))
static void nothing_is_left(void) {
    errno = 0;
    int status;
    pid_t got = waitpid(-1, &status, __WALL);
    if (got != -1 || errno != ECHILD) lost("a child is left: %d, status %#x", got, status);
    for (int tries = 0;; tries++) {
        int threads = entries_of("/proc/self/task");
        if (threads <= 1) return;
        if (tries > 2000) lost("%d threads are left", threads);
        usleep(1000);
    }
}
#endif
