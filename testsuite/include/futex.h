/* futex(2) for tests: the raw call, and threads that wait in it.
 *
 * Nothing here guesses how long something takes: `waiters()` counts who waits at
 * a word, and `settle()` looks until a thread sleeps in its call.
 */
#ifndef FUTEX_TEST_H
#define FUTEX_TEST_H

#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <linux/futex.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define PRIVATE FUTEX_PRIVATE_FLAG
#define REALTIME FUTEX_CLOCK_REALTIME
/* A count where the call has its timeout. */
#define COUNT(n) ((void *)(long)(n))

static long futex(void *word, int op, uint32_t value, const void *timeout, void *word2, uint32_t value3) {
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}
__attribute__((unused)) static uint32_t own_tid(void) { return (uint32_t)syscall(SYS_gettid); }
__attribute__((unused)) static uint32_t load(uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
__attribute__((unused)) static void store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

/* How many wait at the word: moving them from it to itself changes nothing. */
__attribute__((unused)) static long waiters(uint32_t *word, int flags) {
    return futex(word, FUTEX_REQUEUE | flags, 0, COUNT(INT_MAX), word, 0);
}
__attribute__((unused)) static void until_waiters(uint32_t *word, int flags, long count) {
    while (waiters(word, flags) != count) sched_yield();
}
/* Until someone waits for the lock, or to be moved to one: a wake finds it wrong. */
__attribute__((unused)) static void until_locker(uint32_t *word, int flags) {
    while (futex(word, FUTEX_WAKE | flags, 1, NULL, NULL, 0) != -1 || errno != EINVAL) sched_yield();
}

/* The state letter of a thread of process `pid` (0: this one). */
__attribute__((unused)) static char state_of(int pid, int tid) {
    char path[64], text[256];
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    else
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY);
    if (fd == -1) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return 0;
    text[got] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] ? end[2] : 0;
}
__attribute__((unused)) static void until_asleep(int pid, int tid) {
    while (state_of(pid, tid) != 'S') sched_yield();
}

/* A time of `clock`, `ms` from now. */
__attribute__((unused)) static struct timespec from_now(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

/* A thread that makes one call. */
struct sleeper {
    pthread_t thread;
    int op;
    uint32_t *word, value;
    const struct timespec *timeout;
    uint32_t *word2, value3;
    /* Called after the call, in the thread, before it ends. */
    void (*then)(struct sleeper *);
    long result;
    int error;
    uint32_t tid, seen;
    int is_about;
};
__attribute__((unused)) static void *sleeper_main(void *arg) {
    struct sleeper *s = arg;
    s->tid = own_tid();
    __atomic_store_n(&s->is_about, 1, __ATOMIC_SEQ_CST);
    s->result = futex(s->word, s->op, s->value, s->timeout, s->word2, s->value3);
    s->error = errno;
    if (s->word2) s->seen = load(s->word2);
    else s->seen = load(s->word);
    if (s->then) s->then(s);
    return NULL;
}
/* Starts it and comes back when it sleeps in its call. */
__attribute__((unused)) static void settle(struct sleeper *s) {
    while (!__atomic_load_n(&s->is_about, __ATOMIC_SEQ_CST)) sched_yield();
    until_asleep(0, (int)s->tid);
}
__attribute__((unused)) static void start(struct sleeper *s) {
    s->is_about = 0;
    ASSERT_EQ(pthread_create(&s->thread, NULL, sleeper_main, s), 0);
    settle(s);
}
__attribute__((unused)) static long joined(struct sleeper *s) {
    pthread_join(s->thread, NULL);
    return s->result;
}
/* A sleeper in FUTEX_WAIT of zero. */
#define WAITER(at, flags) {.op = FUTEX_WAIT | (flags), .word = (at)}

/* Memory that forked children share. */
__attribute__((unused)) static uint32_t *shared_words(void) {
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(at != MAP_FAILED);
    return at;
}

__attribute__((unused)) static volatile int handled;
__attribute__((unused)) static void count_signal(int signal) { (void)signal, handled++; }
__attribute__((unused)) static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    handled = 0;
    ASSERT_OK(sigaction(signal, &action, NULL));
}
/* Signals a thread and waits for its handler to have run. */
__attribute__((unused)) static void interrupt(struct sleeper *s) {
    int before = handled;
    ASSERT_EQ(pthread_kill(s->thread, SIGUSR1), 0);
    while (handled == before) sched_yield();
}

#endif
