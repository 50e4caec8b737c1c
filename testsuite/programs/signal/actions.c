/* rt_sigaction(2), rt_sigprocmask(2), rt_sigpending(2): every flag, size and errno. */
#include "signals.h"

#define KNOWN_FLAGS 0xd8000807ul

TEST(sizes_other_than_eight) {
    struct raw_action action = {0};
    uint64_t set = 0;
    for (size_t size = 0; size <= 16; size++) {
        if (size == 8) continue;
        EXPECT_ERRNO(EINVAL, raw_sigaction(SIGUSR1, NULL, &action, size));
        EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, size));
        EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigsuspend, &set, size));
        EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, size));
        EXPECT_ERRNO(EINVAL, syscall(SYS_signalfd4, -1, &set, size, 0));
    }
}

TEST(rt_sigpending_copies_as_much_as_asked) {
    unsigned char bytes[16];
    block(SIGUSR1), block(60);
    raise(SIGUSR1), raise(60);
    for (size_t size = 0; size <= 8; size++) {
        memset(bytes, 0xee, sizeof bytes);
        EXPECT_OK(syscall(SYS_rt_sigpending, bytes, size));
        uint64_t want = BIT(SIGUSR1) | BIT(60);
        EXPECT_EQ(memcmp(bytes, &want, size), 0);
        EXPECT_EQ(bytes[size], 0xee);
    }
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigpending, bytes, 9));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigpending, bytes, -1));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigpending, BAD_PTR, 8));
    EXPECT_OK(syscall(SYS_rt_sigpending, BAD_PTR, 0));
}

TEST(rt_sigaction_errors) {
    struct raw_action action = {0}, old;
    EXPECT_ERRNO(EINVAL, raw_sigaction(0, NULL, &old, 8));
    EXPECT_ERRNO(EINVAL, raw_sigaction(65, NULL, &old, 8));
    EXPECT_ERRNO(EINVAL, raw_sigaction(-1, NULL, &old, 8));
    EXPECT_ERRNO(EINVAL, raw_sigaction(SIGKILL, &action, NULL, 8));
    EXPECT_ERRNO(EINVAL, raw_sigaction(SIGSTOP, &action, NULL, 8));
    EXPECT_OK(raw_sigaction(SIGKILL, NULL, &old, 8));
    EXPECT_TRUE(old.handler == SIG_DFL);
    EXPECT_OK(raw_sigaction(SIGSTOP, NULL, NULL, 8));
    EXPECT_ERRNO(EFAULT, raw_sigaction(SIGUSR1, BAD_PTR, NULL, 8));
    EXPECT_ERRNO(EFAULT, raw_sigaction(SIGUSR1, NULL, BAD_PTR, 8));
    /* The size is looked at first, then the pointer, then the number. */
    EXPECT_ERRNO(EINVAL, raw_sigaction(SIGUSR1, BAD_PTR, NULL, 4));
    EXPECT_ERRNO(EFAULT, raw_sigaction(65, BAD_PTR, NULL, 8));
    EXPECT_OK(raw_sigaction(64, NULL, NULL, 8));
    EXPECT_OK(raw_sigaction(1, &action, NULL, 8));
}

TEST(a_bad_old_pointer_does_not_undo_the_change) {
    struct raw_action action = {.handler = (void *)SIG_IGN}, now;
    EXPECT_ERRNO(EFAULT, raw_sigaction(SIGUSR1, &action, BAD_PTR, 8));
    EXPECT_OK(raw_sigaction(SIGUSR1, NULL, &now, 8));
    EXPECT_TRUE(now.handler == (void *)SIG_IGN);
}

static void nothing(int sig) { (void)sig; }

/* How a program finds out what its kernel knows (sigaction(2), SA_UNSUPPORTED). */
TEST(unknown_flags_read_back_clear) {
    for (int bit = 0; bit < 32; bit++) {
        struct raw_action action = {.handler = (void *)nothing, .flags = 1ul << bit}, now;
        if (action.flags == 0x04000000) continue; /* SA_RESTORER where there is one */
        EXPECT_OK(raw_sigaction(SIGUSR1, &action, NULL, 8));
        EXPECT_OK(raw_sigaction(SIGUSR1, NULL, &now, 8));
        EXPECT_EQ(now.flags & ~0x04000000ul, (1ul << bit) & KNOWN_FLAGS);
    }
    struct raw_action action = {.handler = (void *)nothing, .flags = ~0x04000000ul}, now;
    EXPECT_OK(raw_sigaction(SIGUSR1, &action, NULL, 8));
    EXPECT_OK(raw_sigaction(SIGUSR1, NULL, &now, 8));
    EXPECT_EQ(now.flags & ~0x04000000ul, KNOWN_FLAGS);
}

TEST(kill_and_stop_leave_every_mask) {
    struct raw_action action = {.handler = (void *)nothing, .mask = ~0ull}, now;
    uint64_t unblockable = BIT(SIGKILL) | BIT(SIGSTOP);
    EXPECT_OK(raw_sigaction(SIGUSR1, &action, NULL, 8));
    EXPECT_OK(raw_sigaction(SIGUSR1, NULL, &now, 8));
    EXPECT_EQ(now.mask, ~unblockable);
    EXPECT_OK(raw_mask(SIG_SETMASK, ~0ull, NULL));
    EXPECT_EQ(mask_now(), ~unblockable);
    EXPECT_OK(raw_mask(SIG_BLOCK, unblockable, NULL));
    EXPECT_EQ(mask_now(), ~unblockable);
}

TEST(what_was_set_is_what_is_got) {
    struct raw_action action = {.handler = (void *)nothing, .flags = SA_RESTART | SA_NODEFER, .mask = 0x123400000000abull}, old;
    EXPECT_OK(raw_sigaction(40, &action, &old, 8));
    EXPECT_TRUE(old.handler == SIG_DFL);
    EXPECT_EQ(old.flags, 0);
    EXPECT_EQ(old.mask, 0);
    action.handler = (void *)SIG_IGN;
    EXPECT_OK(raw_sigaction(40, &action, &old, 8));
    EXPECT_TRUE(old.handler == (void *)nothing);
    EXPECT_EQ(old.flags, (unsigned long)(SA_RESTART | SA_NODEFER));
    EXPECT_EQ(old.mask, 0x123400000000abull);
}

TEST(rt_sigprocmask_hows) {
    uint64_t old = 1;
    EXPECT_OK(raw_mask(SIG_SETMASK, 0x0f00, &old));
    EXPECT_EQ(old, 0);
    EXPECT_OK(raw_mask(SIG_BLOCK, 0xf000, &old));
    EXPECT_EQ(old, 0x0e00 | (0x0f00 & ~(BIT(SIGKILL) | BIT(SIGSTOP)) & 0x100));
    EXPECT_EQ(mask_now(), 0xfe00);
    EXPECT_OK(raw_mask(SIG_UNBLOCK, 0x3e00, NULL));
    EXPECT_EQ(mask_now(), 0xc000);
    EXPECT_ERRNO(EINVAL, raw_mask(3, 0, NULL));
    EXPECT_ERRNO(EINVAL, raw_mask(-1, 0, NULL));
    /* Without a new set nobody looks at how. */
    EXPECT_OK(syscall(SYS_rt_sigprocmask, 99, NULL, &old, 8));
    EXPECT_EQ(old, 0xc000);
    EXPECT_OK(syscall(SYS_rt_sigprocmask, 99, NULL, NULL, 8));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigprocmask, SIG_SETMASK, BAD_PTR, NULL, 8));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, BAD_PTR, 8));
    /* A bad old pointer: the mask is set all the same. */
    uint64_t set = 0x10000;
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, BAD_PTR, 8));
    EXPECT_EQ(mask_now(), 0x10000);
}

static volatile uint64_t inside_mask;
static void look_at_mask(int sig) {
    (void)sig;
    inside_mask = mask_now();
}
TEST(the_mask_in_a_handler) {
    struct sigaction action = {.sa_handler = look_at_mask};
    block(SIGHUP);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaddset(&action.sa_mask, SIGRTMAX);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(inside_mask, BIT(SIGHUP) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(64));
    EXPECT_EQ(mask_now(), BIT(SIGHUP));
    action.sa_flags = SA_NODEFER;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(inside_mask, BIT(SIGHUP) | BIT(SIGUSR2) | BIT(64));
    /* NODEFER does not take the signal out of its own mask. */
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(inside_mask, BIT(SIGHUP) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(64));
    EXPECT_EQ(mask_now(), BIT(SIGHUP));
}

static struct raw_action inside_action;
static void look_at_action(int sig) { raw_sigaction(sig, NULL, &inside_action, 8); }
TEST(resethand_resets_the_handler_alone) {
    struct sigaction action = {.sa_handler = look_at_action, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_TRUE(inside_action.handler == SIG_DFL);
    EXPECT_EQ(inside_action.flags & ~0x04000000ul, 0x90000000ul);
    EXPECT_EQ(inside_action.mask, BIT(SIGUSR2));
}

static void twice(void) {
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESETHAND};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    raise(SIGUSR1);
}
TEST(resethand_works_once) { EXPECT_SIGNALED(SIGUSR1, in_child(twice)); }

/* Arguments arrive with and without SA_SIGINFO. */
static volatile int plain_signal;
static siginfo_t *volatile plain_info;
static void *volatile plain_context;
static void all_three(int sig, siginfo_t *info, void *context) {
    plain_signal = sig, plain_info = info, plain_context = context;
}
TEST(siginfo_flag) {
    struct sigaction action = {.sa_sigaction = all_three, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(plain_signal, SIGUSR1);
    EXPECT_TRUE(plain_info && plain_context);
#ifdef __riscv
    plain_info = NULL, plain_context = NULL;
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(plain_signal, SIGUSR1);
    EXPECT_TRUE(plain_info && plain_context);
    EXPECT_EQ((char *)plain_context - (char *)plain_info, 128);
#endif
}

TEST(expose_tagbits_reads_back) {
    struct raw_action action = {.handler = (void *)nothing, .flags = 0x800 | 0x400}, now;
    EXPECT_OK(raw_sigaction(SIGSEGV, &action, NULL, 8));
    EXPECT_OK(raw_sigaction(SIGSEGV, NULL, &now, 8));
    EXPECT_EQ(now.flags & 0xc00, 0x800);
}

/* SIGCHLD: which changes of children tell, and what is left to wait for. */
static pid_t stopping_child(void) {
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(5);
    }
    return pid;
}
static void stop_and_go(int flags, int stops_told) {
    int status;
    siginfo_t info;
    block(SIGCHLD);
    catch_with(SIGCHLD, flags);
    pid_t pid = stopping_child();
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    EXPECT_EQ(is_pending(SIGCHLD), stops_told);
    if (stops_told) {
        EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 0), SIGCHLD);
        EXPECT_EQ(info.si_code, CLD_STOPPED);
        EXPECT_EQ(info.si_status, SIGSTOP);
        EXPECT_EQ(info.si_pid, pid);
        EXPECT_EQ(info.si_uid, getuid());
    }
    kill(pid, SIGCONT);
    /* Both the continuation, if it is told, and then the end. */
    if (stops_told) {
        EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 5000), SIGCHLD);
        EXPECT_TRUE(info.si_code == CLD_CONTINUED || info.si_code == CLD_EXITED);
    }
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(5, status);
    if (!stops_told) {
        EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 5000), SIGCHLD);
        EXPECT_EQ(info.si_code, CLD_EXITED);
        EXPECT_EQ(info.si_status, 5);
    }
}
TEST(sigchld_tells_of_stops) { stop_and_go(0, 1); }
TEST(nocldstop_tells_of_ends_only) { stop_and_go(SA_NOCLDSTOP, 0); }

TEST(nocldwait_leaves_no_zombie_but_tells) {
    block(SIGCHLD);
    catch_with(SIGCHLD, SA_NOCLDWAIT);
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    siginfo_t info;
    EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 5000), SIGCHLD);
    EXPECT_EQ(info.si_code, CLD_EXITED);
    EXPECT_EQ(info.si_status, 3);
    EXPECT_EQ(info.si_pid, pid);
}

TEST(an_ignored_sigchld_leaves_no_zombie_and_tells_nothing) {
    signal(SIGCHLD, SIG_IGN);
    block(SIGCHLD);
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    EXPECT_EQ(is_pending(SIGCHLD), 0);
}

TEST(sigchld_by_default_leaves_a_zombie) {
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(3, status);
}

TEST(sigchld_says_how_the_child_ended) {
    siginfo_t info;
    block(SIGCHLD);
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGKILL);
        _exit(0);
    }
    EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 5000), SIGCHLD);
    EXPECT_EQ(info.si_code, CLD_KILLED);
    EXPECT_EQ(info.si_status, SIGKILL);
    EXPECT_EQ(info.si_pid, pid);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

/* execve(2): handlers go, ignored signals and the mask stay. */
TEST(exec_resets_handlers) {
    signal(SIGUSR1, SIG_IGN);
    catch_with(SIGUSR2, SA_RESTART | SA_NODEFER);
    block(SIGHUP);
    pid_t pid = fork();
    if (pid == 0) {
        char self[256];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        setenv("AFTER_EXEC", "1", 1);
        execl(self, self, "--no-fork", "after_exec", NULL);
        _exit(9);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}
TEST(after_exec) {
    if (!getenv("AFTER_EXEC")) return;
    struct raw_action now;
    raw_sigaction(SIGUSR1, NULL, &now, 8);
    EXPECT_TRUE(now.handler == (void *)SIG_IGN);
    raw_sigaction(SIGUSR2, NULL, &now, 8);
    EXPECT_TRUE(now.handler == SIG_DFL);
    EXPECT_EQ(now.flags, 0);
    EXPECT_EQ(mask_now(), BIT(SIGHUP));
}

static void *other_action(void *unused) {
    signal(SIGUSR1, nothing);
    raw_mask(SIG_SETMASK, BIT(SIGHUP), NULL);
    return unused;
}
TEST(threads_share_actions_but_not_masks) {
    pthread_t thread;
    pthread_create(&thread, NULL, other_action, NULL);
    pthread_join(thread, NULL);
    struct raw_action now;
    raw_sigaction(SIGUSR1, NULL, &now, 8);
    EXPECT_TRUE(now.handler == (void *)nothing);
    EXPECT_EQ(mask_now(), 0);
}
