/* Raw clone calls and what tests about tasks need around them. */
#ifndef TASKS_H
#define TASKS_H
#include "check.h"
#include <grp.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_DETACHED
#define CLONE_DETACHED 0x400000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef PIDFD_NONBLOCK
#define PIDFD_NONBLOCK 0x800
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD 0x80
#endif
#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

/* Waits for a state that must come, without a guess how long it takes. */
#define UNTIL(cond)                                                             \
    do {                                                                        \
        long long until_end_ = now_ns() + 8000000000LL;                         \
        while (!(cond) && now_ns() < until_end_) usleep(200);                   \
        EXPECT_TRUE(cond);                                                      \
    } while (0)

/* struct clone_args as of its third version, and room for a longer one. */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
    uint64_t more[4];
};
#define CLONE3_SIZE 88

/* The machine's own order of arguments: tls before ctid on riscv64. */
__attribute__((unused)) static long raw_clone(unsigned long flags, void *stack, void *ptid, void *ctid, void *tls) {
#ifdef __riscv
    return syscall(SYS_clone, flags, stack, ptid, tls, ctid);
#else
    return syscall(SYS_clone, flags, stack, ptid, ctid, tls);
#endif
}

/* For children that go on where the parent is: no shared stack. */
__attribute__((unused)) static long raw_clone3(struct clone3_args *args, size_t size) {
    return syscall(435, args, size);
}

/* Ends the thread without libc; it has no thread pointer of its own. */
__attribute__((unused, noreturn)) static void raw_exit(int code) {
    for (;;) {
#ifdef __riscv
        register long a0 __asm__("a0") = code;
        register long a7 __asm__("a7") = SYS_exit;
        __asm__ volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
#else
        __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(code) : "rcx", "r11", "memory");
#endif
    }
}

/* clone3 with a stack: the child runs body(arg) there and ends. Gives the
 * child's id, or -errno. */
__attribute__((unused, noinline)) static long clone3_call(struct clone3_args *args, size_t size, void (*body)(void *),
                                                          void *arg) {
#ifdef __riscv
    register long a0 __asm__("a0") = (long)args;
    register long a1 __asm__("a1") = size;
    register long a7 __asm__("a7") = 435;
    register long s2 __asm__("s2") = (long)body;
    register long s3 __asm__("s3") = (long)arg;
    __asm__ volatile(
        "ecall\n bnez a0, 1f\n mv a0, s3\n jalr s2\n li a0, 0\n li a7, 93\n ecall\n ebreak\n 1:"
        : "+r"(a0) : "r"(a1), "r"(a7), "r"(s2), "r"(s3) : "ra", "memory");
    return a0;
#else
    long result;
    register long r12 __asm__("r12") = (long)body;
    register long r13 __asm__("r13") = (long)arg;
    __asm__ volatile(
        "syscall\n test %%rax, %%rax\n jnz 1f\n mov %%r13, %%rdi\n call *%%r12\n"
        " xor %%edi, %%edi\n mov $60, %%eax\n syscall\n hlt\n 1:"
        : "=a"(result) : "0"(435L), "D"(args), "S"(size), "r"(r12), "r"(r13) : "rcx", "r11", "memory");
    return result;
#endif
}

#define STACK_SIZE 65536
__attribute__((unused)) static void *new_stack(void) {
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(stack != MAP_FAILED);
    return stack;
}
/* clone with a new stack; the caller gives flags and the tid words. */
__attribute__((unused)) static int clone_on_stack(int (*body)(void *), void *arg, unsigned long flags, int *ptid,
                                                  int *ctid) {
    return clone(body, (char *)new_stack() + STACK_SIZE, flags, arg, ptid, NULL, ctid);
}

__attribute__((unused)) static void *shared_page(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(page != MAP_FAILED);
    return page;
}

__attribute__((unused)) static int gettid_raw(void) { return syscall(SYS_gettid); }
__attribute__((unused)) static int load(int *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
__attribute__((unused)) static void store(int *at, int value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }

/* Sleeps until a thread's end has cleared the word. */
__attribute__((unused)) static void wait_cleared(int *word) {
    int seen;
    while ((seen = load(word)) != 0) {
        struct timespec limit = {8, 0};
        if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0) == -1 && errno == ETIMEDOUT) {
            FAIL("the thread has not ended");
            return;
        }
    }
}

/* The child's status, or -1. */
__attribute__((unused)) static int status_of(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, __WALL) == -1)
        if (errno != EINTR) {
            FAIL("waitpid(%d): errno %d", pid, errno);
            return -1;
        }
    return status;
}

/* A child that waits for its death. */
__attribute__((unused)) static pid_t idle_child(void) {
    pid_t pid = fork();
    if (pid == 0)
        for (;;) pause();
    ASSERT_OK(pid);
    return pid;
}
__attribute__((unused)) static pid_t exiting_child(int code) {
    pid_t pid = fork();
    if (pid == 0) _exit(code);
    ASSERT_OK(pid);
    return pid;
}
/* A child that has ended and was not waited for. */
__attribute__((unused)) static pid_t zombie_child(int code) {
    siginfo_t info;
    pid_t pid = exiting_child(code);
    ASSERT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    return pid;
}
__attribute__((unused)) static void end_child(pid_t pid) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) == -1 && errno == EINTR) {}
}

/* The state letter of a thread of any process; 0: it is not there. */
__attribute__((unused)) static char state_of(pid_t pid, pid_t tid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] ? end[2] : 0;
}

/* Tests of limits mean nothing for root: from here on this is nobody. */
__attribute__((unused)) static void be_unprivileged(void) {
    if (geteuid() != 0) return;
    ASSERT_OK(setgroups(0, NULL));
    ASSERT_OK(setresgid(65534, 65534, 65534));
    ASSERT_OK(setresuid(65534, 65534, 65534));
}

__attribute__((unused)) static int pidfd_open_raw(pid_t pid, unsigned flags) { return syscall(434, pid, flags); }
__attribute__((unused)) static int pidfd_signal(int fd, int sig, void *info, unsigned flags) {
    return syscall(424, fd, sig, info, flags);
}
__attribute__((unused)) static int pidfd_getfd_raw(int fd, int target, unsigned flags) {
    return syscall(438, fd, target, flags);
}
/* What poll tells now. */
__attribute__((unused)) static int poll_now(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, 0) == 1 ? one.revents : 0;
}
/* What poll tells once it tells anything. */
__attribute__((unused)) static int poll_wait(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, 8000) == 1 ? one.revents : 0;
}
#endif
