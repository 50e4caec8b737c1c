/* clone(2): every flag that an ordinary process may use, and what goes wrong. */
#include "tasks.h"
#include <fenv.h>

static long child_of(unsigned long flags, void *ptid, void *ctid) {
    long pid = raw_clone(flags, NULL, ptid, ctid, NULL);
    if (pid == 0) _exit(7);
    return pid;
}
#define EXPECT_REFUSED(want, flags)                                  \
    do {                                                             \
        EXPECT_ERRNO(want, child_of(flags, NULL, NULL));             \
        EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL | WNOHANG));   \
    } while (0)
static void expect_child(unsigned long flags) {
    long pid = child_of(flags, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_EXITED(7, status_of(pid));
}

TEST(illegal_pairs) {
    EXPECT_REFUSED(EINVAL, CLONE_SIGHAND);
    EXPECT_REFUSED(EINVAL, CLONE_THREAD);
    EXPECT_REFUSED(EINVAL, CLONE_THREAD | CLONE_VM);
    EXPECT_REFUSED(EINVAL, CLONE_THREAD | CLONE_SIGHAND);
    EXPECT_REFUSED(EINVAL, CLONE_NEWNS | CLONE_FS);
    EXPECT_REFUSED(EINVAL, CLONE_NEWUSER | CLONE_FS);
    EXPECT_REFUSED(EINVAL, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID);
    EXPECT_REFUSED(EINVAL, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER);
    EXPECT_REFUSED(EINVAL, CLONE_PIDFD | CLONE_PARENT_SETTID);
    EXPECT_REFUSED(EINVAL, CLONE_PIDFD | CLONE_DETACHED);
}

TEST(namespaces_need_privilege) {
    be_unprivileged();
    EXPECT_REFUSED(EPERM, CLONE_NEWNS);
    EXPECT_REFUSED(EPERM, CLONE_NEWUTS);
    EXPECT_REFUSED(EPERM, CLONE_NEWIPC);
    EXPECT_REFUSED(EPERM, CLONE_NEWPID);
    EXPECT_REFUSED(EPERM, CLONE_NEWNET);
    EXPECT_REFUSED(EPERM, CLONE_NEWCGROUP);
}

/* 64-bit registers; the upper half means nothing to clone. */
TEST(upper_bits_are_dropped) {
    expect_child(SIGCHLD | 1UL << 32);
    expect_child(SIGCHLD | 0xffffffffUL << 32);
    expect_child(SIGCHLD | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP);
}

TEST(hints_change_nothing) {
    expect_child(SIGCHLD | (unsigned)CLONE_IO);
    expect_child(SIGCHLD | CLONE_SYSVSEM);
    expect_child(SIGCHLD | CLONE_DETACHED);
    expect_child(SIGCHLD | CLONE_UNTRACED);
    expect_child(SIGCHLD | CLONE_PTRACE);
    expect_child(SIGCHLD | CLONE_IO | CLONE_SYSVSEM | CLONE_DETACHED | CLONE_UNTRACED | CLONE_PTRACE);
}

/* Each of the five arguments has a value of its own, so that swapped ones show. */
static int tid_at_start, tid_of_parent;
static uintptr_t tls_block[64], tls_seen, stack_seen;
static int cleared;
static int note_arguments(void *arg) {
    volatile char local = 0;
    (void)arg;
#ifdef __riscv
    __asm__ volatile("mv %0, tp" : "=r"(tls_seen));
#else
    __asm__ volatile("mov %%fs:0, %0" : "=r"(tls_seen));
#endif
    stack_seen = (uintptr_t)&local;
    tid_at_start = cleared;
    raw_exit(0);
}
TEST(every_argument_arrives_where_it_belongs) {
    char *stack = new_stack();
    tls_block[0] = (uintptr_t)tls_block;
    cleared = -1;
    int tid = clone(note_arguments, stack + STACK_SIZE,
                    THREAD_FLAGS | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, NULL,
                    &tid_of_parent, tls_block, &cleared);
    ASSERT_OK(tid);
    wait_cleared(&cleared);
    EXPECT_EQ(tid_of_parent, tid);
    EXPECT_EQ(tid_at_start, tid);
    EXPECT_EQ(tls_seen, (uintptr_t)tls_block);
    EXPECT_TRUE(stack_seen > (uintptr_t)stack && stack_seen < (uintptr_t)stack + STACK_SIZE);
}

#ifdef __riscv
/* flags a0, stack a1, ptid a2, tls a3, ctid a4; a0 is 0 in the child and every
 * other register is the parent's. */
TEST(riscv_registers_of_a_child) {
    static uint64_t seen[32];
    static int ptid, ctid;
    memset(seen, 0, sizeof seen);
    register long a0 __asm__("a0") = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_SETTLS | SIGCHLD;
    register long a1 __asm__("a1") = 0;
    register long a2 __asm__("a2") = (long)&ptid;
    register long a3 __asm__("a3") = 0x12345678;
    register long a4 __asm__("a4") = (long)&ctid;
    register long a5 __asm__("a5") = 0x5a5a;
    register long a7 __asm__("a7") = SYS_clone;
    register long s2 __asm__("s2") = 0x1112131415161718;
    register long t4 __asm__("t4") = 0x2122232425262728;
    register long t6 __asm__("t6") = (long)seen;
    __asm__ volatile("ecall\n bnez a0, 1f\n"
                     "sd a0, 0(t6)\n sd a1, 8(t6)\n sd a2, 16(t6)\n sd tp, 24(t6)\n sd a4, 32(t6)\n"
                     "sd a5, 40(t6)\n sd s2, 48(t6)\n sd t4, 56(t6)\n sd sp, 64(t6)\n"
                     "li a0, 5\n li a7, 94\n ecall\n 1:\n sd sp, 72(t6)\n"
                     : "+r"(a0)
                     : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7), "r"(s2), "r"(t4), "r"(t6)
                     : "memory");
    ASSERT_TRUE(a0 > 0);
    EXPECT_EXITED(5, status_of(a0));
    EXPECT_EQ(seen[0], 0);
    EXPECT_EQ(seen[1], 0);
    EXPECT_EQ(seen[2], (uintptr_t)&ptid);
    EXPECT_EQ(seen[3], 0x12345678);
    EXPECT_EQ(seen[4], (uintptr_t)&ctid);
    EXPECT_EQ(seen[5], 0x5a5a);
    EXPECT_EQ(seen[6], 0x1112131415161718);
    EXPECT_EQ(seen[7], 0x2122232425262728);
    EXPECT_EQ(seen[8], seen[9]);
    EXPECT_EQ(ptid, a0);
    EXPECT_EQ(ctid, a0);
}
#endif

TEST(parent_settid_is_stored_before_the_child_runs) {
    int *word = shared_page();
    for (int i = 0; i < 20; i++) {
        *word = 0;
        long pid = raw_clone(CLONE_PARENT_SETTID | SIGCHLD, NULL, word, NULL, NULL);
        if (pid == 0) _exit(load(word) == gettid_raw() ? 0 : 1);
        ASSERT_OK(pid);
        EXPECT_EXITED(0, status_of(pid));
        EXPECT_EQ(*word, pid);
    }
}

TEST(child_settid_is_stored_before_the_child_runs) {
    static int word;
    word = 5;
    long pid = raw_clone(CLONE_CHILD_SETTID | SIGCHLD, NULL, NULL, &word, NULL);
    if (pid == 0) _exit(word == gettid_raw() ? 0 : 1);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_EQ(word, 5);
}

TEST(bad_tid_words_are_no_error) {
    long pid = child_of(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, BAD_PTR, BAD_PTR);
    ASSERT_OK(pid);
    EXPECT_EXITED(7, status_of(pid));
}

TEST(without_the_flags_the_words_stay) {
    int words[2] = {1, 2};
    long pid = child_of(SIGCHLD, &words[0], &words[1]);
    ASSERT_OK(pid);
    EXPECT_EXITED(7, status_of(pid));
    EXPECT_EQ(words[0], 1);
    EXPECT_EQ(words[1], 2);
}

/* --- What is shared, and what is copied --- */

static int change_everything(void *arg) {
    (void)arg;
    umask(0123);
    if (chdir("/") != 0) return 1;
    dup2(0, 77);
    return 0;
}
static void run_changer(unsigned long flags) {
    dup2(1, 76);
    close(77);
    umask(022);
    int pid = clone_on_stack(change_everything, NULL, flags | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
}
/* Floating-point registers and the rounding mode go along. */
static int rounding_in_child;
static int tell_rounding(void *unused) {
    (void)unused;
    __atomic_store_n(&rounding_in_child, fegetround(), __ATOMIC_SEQ_CST);
    raw_exit(0);
}
TEST(floating_point_state_is_copied) {
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (unsigned i = 0; i < 3; i++) {
        ASSERT_EQ(fesetround(modes[i]), 0);
        pid_t pid = fork();
        if (pid == 0) _exit(fegetround() == modes[i] ? 0 : 1);
        EXPECT_EXITED(0, status_of(pid));
        rounding_in_child = -1;
        int cleared = -1;
        char *stack = new_stack();
        ASSERT_OK(clone(tell_rounding, stack + STACK_SIZE, THREAD_FLAGS | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID, NULL, NULL,
                        NULL, &cleared));
        UNTIL(__atomic_load_n(&rounding_in_child, __ATOMIC_SEQ_CST) != -1);
        wait_cleared(&cleared);
        EXPECT_EQ(rounding_in_child, modes[i]);
        // The child's is its own from then on.
        pid = fork();
        if (pid == 0) _exit(fesetround(FE_TONEAREST));
        EXPECT_EXITED(0, status_of(pid));
        EXPECT_EQ(fegetround(), modes[i]);
    }
}
#ifdef __riscv
TEST(riscv_floating_point_registers_of_a_child) {
    static uint64_t want[32], seen[32];
    for (int i = 0; i < 32; i++) want[i] = 0x4000000000000000 + i * 0x0101010101010101;
    int *word = shared_page();
    register long a0 __asm__("a0") = SIGCHLD;
    register long a1 __asm__("a1") = 0;
    register long a2 __asm__("a2") = 0;
    register long a3 __asm__("a3") = 0;
    register long a4 __asm__("a4") = 0;
    register long a7 __asm__("a7") = SYS_clone;
    register uint64_t *from __asm__("s2") = want;
    register uint64_t *to __asm__("s3") = seen;
#define EACH(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15) F(16) F(17) F(18) \
    F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31)
#define LOAD_F(n) "fld f" #n ", 8*" #n "(s2)\n"
#define STORE_F(n) "fsd f" #n ", 8*" #n "(s3)\n"
    __asm__ volatile(EACH(LOAD_F) "ecall\n" EACH(STORE_F)
                     : "+r"(a0)
                     : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7), "r"(from), "r"(to)
                     : "memory", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14",
                       "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29",
                       "f30", "f31");
    if (a0 == 0) {
        *word = memcmp(want, seen, sizeof want) == 0 ? 1 : 2;
        _exit(0);
    }
    ASSERT_TRUE(a0 > 0);
    EXPECT_EXITED(0, status_of(a0));
    EXPECT_EQ(*word, 1);
    EXPECT_EQ(memcmp(want, seen, sizeof want), 0);
}
#endif

TEST(fs_shares_directory_and_umask) {
    char path[4096];
    run_changer(CLONE_FS);
    EXPECT_STR(getcwd(path, sizeof path), "/");
    EXPECT_EQ(umask(0), 0123);
    EXPECT_EQ(fcntl(77, F_GETFD), -1);
}
TEST(without_fs_they_are_copied) {
    char path[4096];
    run_changer(0);
    EXPECT_TRUE(strcmp(getcwd(path, sizeof path), "/") != 0);
    EXPECT_EQ(umask(0), 022);
}
TEST(files_shares_the_table) {
    run_changer(CLONE_FILES);
    EXPECT_OK(fcntl(77, F_GETFD));
    EXPECT_EQ(umask(0), 022);
}

TEST(files_works_in_both_directions) {
    int *number = shared_page(), go[2];
    ASSERT_OK(pipe(go));
    long pid = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char c;
        if (read(go[0], &c, 1) != 1) _exit(1);
        _exit(fcntl(*number, F_GETFD) == -1 ? 2 : 0);
    }
    ASSERT_OK(pid);
    *number = open("/dev/null", O_RDONLY);
    EXPECT_EQ(write(go[1], "x", 1), 1);
    EXPECT_EXITED(0, status_of(pid));
}

static void on_usr1(int sig) { (void)sig; }
static int set_handler(void *arg) {
    (void)arg;
    struct sigaction action = {.sa_handler = on_usr1};
    return sigaction(SIGUSR1, &action, NULL);
}
TEST(sighand_shares_dispositions) {
    struct sigaction now;
    signal(SIGUSR1, SIG_IGN);
    int pid = clone_on_stack(set_handler, NULL, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    sigaction(SIGUSR1, NULL, &now);
    EXPECT_TRUE(now.sa_handler == on_usr1);
}
TEST(without_sighand_they_are_copied) {
    struct sigaction now;
    signal(SIGUSR1, SIG_IGN);
    int pid = clone_on_stack(set_handler, NULL, CLONE_VM | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    sigaction(SIGUSR1, NULL, &now);
    EXPECT_TRUE(now.sa_handler == SIG_IGN);
}

static char other_stack[32768];
static int altstack_is_off(void *arg) {
    (void)arg;
    stack_t now;
    sigaltstack(NULL, &now);
    return now.ss_flags & SS_DISABLE ? 1 : 0;
}
TEST(the_alternate_stack_goes_along_with_a_copy_only) {
    stack_t mine = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    ASSERT_OK(sigaltstack(&mine, NULL));
    EXPECT_EXITED(0, status_of(clone_on_stack(altstack_is_off, NULL, SIGCHLD, NULL, NULL)));
    EXPECT_EXITED(0, status_of(clone_on_stack(altstack_is_off, NULL, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL)));
    EXPECT_EXITED(1, status_of(clone_on_stack(altstack_is_off, NULL, CLONE_VM | SIGCHLD, NULL, NULL)));
}

TEST(timers_and_pending_signals_stay_behind) {
    timer_t timer;
    sigset_t set;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct itimerval alarm_in = {{0, 0}, {100, 0}};
    ASSERT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    ASSERT_OK(setitimer(ITIMER_REAL, &alarm_in, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    syscall(SYS_tgkill, getpid(), gettid_raw(), SIGUSR2);
    long pid = raw_clone(SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        struct itimerspec spec;
        struct itimerval val;
        sigset_t pending, mask;
        EXPECT_ERRNO(EINVAL, timer_gettime(timer, &spec));
        getitimer(ITIMER_REAL, &val);
        EXPECT_EQ(val.it_value.tv_sec, 0);
        sigpending(&pending);
        EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
        EXPECT_EQ(sigismember(&pending, SIGUSR2), 0);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        EXPECT_EQ(sigismember(&mask, SIGUSR1), 1);
        _exit(check_failures != 0);
    }
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(limits_priority_and_name_are_copied) {
    struct rlimit limit = {50, 60}, seen;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_OK(setpriority(PRIO_PROCESS, 0, 7));
    prctl(PR_SET_NAME, "a-name");
    prctl(PR_SET_TIMERSLACK, 12345);
    long pid = raw_clone(SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char name[17] = {0};
        getrlimit(RLIMIT_NOFILE, &seen);
        EXPECT_EQ(seen.rlim_cur, 50);
        EXPECT_EQ(seen.rlim_max, 60);
        EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 7);
        prctl(PR_GET_NAME, name);
        EXPECT_STR(name, "a-name");
        EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 12345);
        _exit(check_failures != 0);
    }
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(limits_of_threads_are_the_processes_and_of_children_their_own) {
    struct rlimit limit = {50, 60}, seen;
    long pid = raw_clone(SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) _exit(setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : 1);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    getrlimit(RLIMIT_NOFILE, &seen);
    EXPECT_NE(seen.rlim_cur, 50);
}

/* --- Parents and exit signals --- */

static volatile int signals_seen;
static siginfo_t last_info;
static void on_exit_signal(int sig, siginfo_t *info, void *context) {
    (void)context;
    last_info = *info;
    signals_seen = sig;
}
TEST(any_exit_signal_is_sent) {
    static const int numbers[] = {SIGUSR1, SIGUSR2, SIGCHLD, SIGTERM, SIGWINCH, 40, 64};
    struct sigaction action = {.sa_sigaction = on_exit_signal, .sa_flags = SA_SIGINFO};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int sig = numbers[i];
        sigaction(sig, &action, NULL);
        signals_seen = 0;
        long pid = child_of(sig, NULL, NULL);
        ASSERT_OK(pid);
        UNTIL(signals_seen != 0);
        EXPECT_EQ(signals_seen, sig);
        EXPECT_EQ(last_info.si_signo, sig);
        EXPECT_EQ(last_info.si_code, CLD_EXITED);
        EXPECT_EQ(last_info.si_pid, pid);
        EXPECT_EQ(last_info.si_uid, getuid());
        EXPECT_EQ(last_info.si_status, 7);
        EXPECT_EXITED(7, status_of(pid));
    }
}

TEST(an_exit_signal_that_is_none) {
    /* clone takes any byte; what is no signal is never sent. */
    long pid = child_of(200, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    int status;
    EXPECT_EQ(waitpid(pid, &status, __WCLONE), pid);
    EXPECT_EXITED(7, status);
}

TEST(an_ignored_sigchld_reaps_no_clone_children) {
    signal(SIGCHLD, SIG_IGN);
    long pid = child_of(0, NULL, NULL);
    ASSERT_OK(pid);
    int status;
    EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
    EXPECT_EXITED(7, status);
}

TEST(a_thread_has_no_exit_signal) {
    static int word;
    struct sigaction action = {.sa_sigaction = on_exit_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    signals_seen = 0;
    word = -1;
    int tid = clone_on_stack(altstack_is_off, NULL, THREAD_FLAGS | CLONE_CHILD_CLEARTID | SIGUSR1, NULL, &word);
    ASSERT_OK(tid);
    wait_cleared(&word);
    UNTIL(syscall(SYS_tgkill, getpid(), tid, 0) == -1);
    EXPECT_EQ(signals_seen, 0);
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL));
}

TEST(parent_makes_a_sibling) {
    int *word = shared_page(), status;
    word[1] = getpid();
    long middle = raw_clone(SIGCHLD, NULL, NULL, NULL, NULL);
    if (middle == 0) {
        long pid = raw_clone(CLONE_PARENT | SIGUSR1, NULL, NULL, NULL, NULL);
        if (pid == 0) _exit(getppid() == word[1] ? 21 : 22);
        word[0] = pid;
        _exit(pid > 0 && waitpid(pid, NULL, __WALL) == -1 && errno == ECHILD ? 0 : 1);
    }
    EXPECT_EXITED(0, status_of(middle));
    /* Its exit signal is that of its maker, whatever the flags said. */
    EXPECT_EQ(waitpid(word[0], &status, 0), word[0]);
    EXPECT_EXITED(21, status);
}

TEST(a_sibling_has_its_maker_s_exit_signal) {
    int *word = shared_page(), status;
    long middle = raw_clone(0, NULL, NULL, NULL, NULL);
    if (middle == 0) {
        long pid = raw_clone(CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) _exit(21);
        word[0] = pid;
        _exit(0);
    }
    EXPECT_EXITED(0, status_of(middle));
    EXPECT_ERRNO(ECHILD, waitpid(word[0], &status, 0));
    EXPECT_EQ(waitpid(word[0], &status, __WCLONE), word[0]);
    EXPECT_EXITED(21, status);
}

/* --- Process descriptors --- */

TEST(pidfd_goes_to_the_parent_tid_word) {
    int fd = -1;
    long pid = child_of(CLONE_PIDFD | SIGCHLD, &fd, NULL);
    ASSERT_OK(pid);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | PIDFD_THREAD | O_NONBLOCK), O_RDWR);
    siginfo_t info;
    EXPECT_OK(waitid(P_PIDFD, fd, &info, WEXITED));
    EXPECT_EQ(info.si_pid, pid);
}

TEST(a_pidfd_that_cannot_be_stored) {
    int before = count_fds();
    EXPECT_ERRNO(EFAULT, child_of(CLONE_PIDFD | SIGCHLD, BAD_PTR, NULL));
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL));
    EXPECT_EQ(count_fds(), before);
}

static int wait_for_go(void *arg) {
    while (!load(arg)) usleep(200);
    raw_exit(0);
}
TEST(pidfd_of_a_thread) {
    static int go, fd, word;
    fd = word = -1, go = 0;
    int tid = clone_on_stack(wait_for_go, &go, THREAD_FLAGS | CLONE_PIDFD | CLONE_CHILD_CLEARTID, &fd, &word);
    ASSERT_OK(tid);
    EXPECT_TRUE(fcntl(fd, F_GETFL) & PIDFD_THREAD);
    EXPECT_EQ(poll_now(fd), 0);
    EXPECT_OK(pidfd_signal(fd, 0, NULL, 0));
    store(&go, 1);
    wait_cleared(&word);
    UNTIL(poll_now(fd) & POLLHUP);
    EXPECT_EQ(poll_now(fd), POLLIN | POLLHUP);
    EXPECT_ERRNO(ESRCH, pidfd_signal(fd, 0, NULL, 0));
}

/* --- Numbers --- */

TEST(a_thread_has_a_number_and_its_process_s) {
    static int go, word;
    go = 0, word = -1;
    int tid = clone_on_stack(wait_for_go, &go, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &word);
    ASSERT_OK(tid);
    EXPECT_NE(tid, getpid());
    EXPECT_OK(syscall(SYS_tgkill, getpid(), tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, tid, tid, 0));
    EXPECT_EQ(getpgid(tid), getpgrp());
    EXPECT_EQ(getsid(tid), getsid(0));
    /* kill takes any thread's number for its process. */
    EXPECT_OK(kill(tid, 0));
    store(&go, 1);
    wait_cleared(&word);
    UNTIL(kill(tid, 0) == -1);
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), tid, 0));
}

TEST(numbers_are_not_used_again_soon) {
    pid_t seen[50];
    for (int i = 0; i < 50; i++) {
        seen[i] = exiting_child(0);
        EXPECT_EXITED(0, status_of(seen[i]));
        for (int j = 0; j < i; j++) EXPECT_NE(seen[i], seen[j]);
    }
}

TEST(threads_and_processes_share_one_space_of_numbers) {
    static int words[20], go;
    int tids[20];
    go = 0;
    for (int i = 0; i < 20; i++) {
        words[i] = -1;
        tids[i] = clone_on_stack(wait_for_go, &go, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &words[i]);
        ASSERT_OK(tids[i]);
        pid_t pid = exiting_child(0);
        for (int j = 0; j <= i; j++) EXPECT_NE(pid, tids[j]);
        for (int j = 0; j < i; j++) EXPECT_NE(tids[i], tids[j]);
        EXPECT_EXITED(0, status_of(pid));
    }
    store(&go, 1);
    for (int i = 0; i < 20; i++) wait_cleared(&words[i]);
}

/* --- unshare(2) --- */

TEST(unshare_files) {
    int *number = shared_page(), go[2], back[2];
    char c;
    ASSERT_OK(pipe(go));
    ASSERT_OK(pipe(back));
    long pid = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        if (unshare(CLONE_FILES) != 0) _exit(1);
        if (write(back[1], "x", 1) != 1 || read(go[0], &c, 1) != 1) _exit(2);
        _exit(fcntl(*number, F_GETFD) == -1 && errno == EBADF ? 0 : 3);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(read(back[0], &c, 1), 1);
    *number = open("/dev/null", O_RDONLY);
    EXPECT_EQ(write(go[1], "x", 1), 1);
    EXPECT_EXITED(0, status_of(pid));
}

static int unshare_and_move(void *arg) {
    (void)arg;
    umask(022);
    if (unshare(CLONE_FS) != 0) return 1;
    umask(0123);
    return chdir("/") != 0;
}
TEST(unshare_fs) {
    char path[4096];
    int pid = clone_on_stack(unshare_and_move, NULL, CLONE_FS | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_TRUE(strcmp(getcwd(path, sizeof path), "/") != 0);
    EXPECT_EQ(umask(0), 022);
}

TEST(unshare_what_is_not_shared) {
    EXPECT_OK(unshare(0));
    EXPECT_OK(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
    EXPECT_OK(unshare(CLONE_THREAD));
    EXPECT_OK(unshare(CLONE_SIGHAND));
    EXPECT_OK(unshare(CLONE_VM));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_PARENT));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_VFORK));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_PIDFD));
    EXPECT_ERRNO(EINVAL, unshare(1));
}

TEST(unshare_with_other_threads) {
    static int go, word;
    go = 0, word = -1;
    ASSERT_OK(clone_on_stack(wait_for_go, &go, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &word));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_THREAD));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_SIGHAND));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_VM));
    EXPECT_OK(unshare(CLONE_FILES));
    EXPECT_OK(unshare(CLONE_FS));
    store(&go, 1);
    wait_cleared(&word);
}

static int sleep_here(void *arg) {
    while (!load(arg)) usleep(200);
    return 0;
}
TEST(unshare_what_another_process_shares) {
    static int go;
    go = 0;
    int pid = clone_on_stack(sleep_here, &go, CLONE_VM | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_OK(unshare(CLONE_THREAD));
    EXPECT_OK(unshare(CLONE_SIGHAND));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_VM));
    store(&go, 1);
    EXPECT_EXITED(0, status_of(pid));
    go = 0;
    pid = clone_on_stack(sleep_here, &go, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL, NULL);
    ASSERT_OK(pid);
    EXPECT_OK(unshare(CLONE_THREAD));
    EXPECT_ERRNO(EINVAL, unshare(CLONE_SIGHAND));
    store(&go, 1);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(unshare_of_namespaces_needs_privilege) {
    be_unprivileged();
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWNS));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWUTS));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWIPC));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWPID));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWNET));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWCGROUP));
    EXPECT_ERRNO(EPERM, unshare(CLONE_NEWTIME));
}
