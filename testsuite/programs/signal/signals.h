/* What the tests of signals share. */
#ifndef SIGNALS_H
#define SIGNALS_H
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>

/* The kernel's own numbers: libc keeps the first real-time signals for itself. */
#define KERNEL_SIGRTMIN 32
#define KERNEL_SIGRTMAX 64

/* What a handler saw, in order. */
#define SEEN_MAX 256
static volatile int seen;
static volatile int seen_signal[SEEN_MAX];
static siginfo_t seen_info[SEEN_MAX];
__attribute__((unused)) static void record(int sig, siginfo_t *info, void *context) {
    (void)context;
    int at = __atomic_load_n(&seen, __ATOMIC_SEQ_CST);
    if (at < SEEN_MAX) {
        seen_signal[at] = sig;
        memcpy(&seen_info[at], info, sizeof *info);
    }
    __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
}

__attribute__((unused)) static void catch_with(int sig, int flags) {
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    ASSERT_OK(sigaction(sig, &action, NULL));
}

/* With all other signals blocked in the handler, so that the order is that of delivery. */
__attribute__((unused)) static void catch_alone(int sig) {
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    ASSERT_OK(sigaction(sig, &action, NULL));
}

/* Masks as the kernel has them: 64 bits. */
#define BIT(sig) (1ull << ((sig) - 1))
__attribute__((unused)) static long raw_mask(int how, uint64_t set, uint64_t *old) {
    return syscall(SYS_rt_sigprocmask, how, &set, old, 8);
}
__attribute__((unused)) static void block(int sig) { ASSERT_OK(raw_mask(SIG_BLOCK, BIT(sig), NULL)); }
__attribute__((unused)) static void unblock(int sig) { ASSERT_OK(raw_mask(SIG_UNBLOCK, BIT(sig), NULL)); }
__attribute__((unused)) static uint64_t mask_now(void) {
    uint64_t now = 0;
    ASSERT_OK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, 8));
    return now;
}
__attribute__((unused)) static uint64_t pending_now(void) {
    uint64_t set = 0;
    ASSERT_OK(syscall(SYS_rt_sigpending, &set, 8));
    return set;
}
__attribute__((unused)) static int is_pending(int sig) { return (pending_now() & BIT(sig)) != 0; }

/* The kernel's struct sigaction. */
struct raw_action {
    void *handler;
    unsigned long flags;
#ifndef __riscv
    void *restorer;
#endif
    uint64_t mask;
};
__attribute__((unused)) static long raw_sigaction(int sig, const void *new, void *old, size_t size) {
    return syscall(SYS_rt_sigaction, sig, new, old, size);
}

__attribute__((unused)) static long raw_queue(pid_t pid, int sig, int code, long value) {
    siginfo_t info = {.si_signo = sig, .si_code = code};
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)value;
    return syscall(SYS_rt_sigqueueinfo, pid, sig, &info);
}

__attribute__((unused)) static long timed_wait(uint64_t set, siginfo_t *info, long ms) {
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    return syscall(SYS_rt_sigtimedwait, &set, info, ms < 0 ? NULL : &wait, 8);
}

/* The state letter of a thread of any process, 0 when it is gone. */
__attribute__((unused)) static char state_of(pid_t pid, pid_t tid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && pid == tid) {
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}
/* True once it is in that state; false after about 5 s. */
__attribute__((unused)) static int wait_state(pid_t pid, pid_t tid, char state) {
    for (int i = 0; i < 10000; i++) {
        if (state_of(pid, tid) == state) return 1;
        usleep(i < 100 ? 100 : 1000);
    }
    return 0;
}

/* Waits until *what is at least `value`. */
__attribute__((unused)) static int wait_value(volatile int *what, int value) {
    for (int i = 0; i < 10000; i++) {
        if (__atomic_load_n(what, __ATOMIC_SEQ_CST) >= value) return 1;
        usleep(i < 100 ? 100 : 1000);
    }
    return 0;
}
#endif
