/* Signals: order, masks, queues, waiting, restarting, alternate stacks. */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/syscall.h>

static volatile int count, order[64];
static volatile siginfo_t last;
static void record(int sig, siginfo_t *info, void *context) {
    (void)context;
    order[count++ & 63] = sig;
    memcpy((void *)&last, info, sizeof last);
}
static void install(int sig, int flags, int masked) {
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    if (masked) sigaddset(&action.sa_mask, masked);
    ASSERT_OK(sigaction(sig, &action, NULL));
}
static void mask(int how, int sig) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    ASSERT_OK(sigprocmask(how, &set, NULL));
}
static int is_pending(int sig) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, sig);
}

TEST(sigaction_errors) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    EXPECT_ERRNO(EINVAL, sigaction(SIGKILL, &action, NULL));
    EXPECT_ERRNO(EINVAL, sigaction(SIGSTOP, &action, NULL));
    EXPECT_ERRNO(EINVAL, sigaction(0, &action, NULL));
    EXPECT_ERRNO(EINVAL, sigaction(65, &action, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigaction, SIGUSR1, BAD_PTR, NULL, 8));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigprocmask, 7, &action, NULL, 8));
    EXPECT_OK(sigaction(SIGKILL, NULL, &action));
}

TEST(sender_information) {
    install(SIGUSR1, 0, 0);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(last.si_signo, SIGUSR1);
    EXPECT_EQ(last.si_code, SI_USER);
    EXPECT_EQ(last.si_pid, getpid());
    EXPECT_EQ(last.si_uid, getuid());
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    EXPECT_EQ(last.si_code, SI_TKILL);
    union sigval value = {.sival_int = 4711};
    sigqueue(getpid(), SIGUSR1, value);
    EXPECT_EQ(last.si_code, SI_QUEUE);
    EXPECT_EQ(last.si_value.sival_int, 4711);
}

TEST(standard_signals_collapse_and_real_time_ones_queue) {
    install(SIGUSR1, 0, 0);
    install(SIGRTMIN + 1, 0, 0);
    mask(SIG_BLOCK, SIGUSR1);
    mask(SIG_BLOCK, SIGRTMIN + 1);
    for (int i = 0; i < 3; i++) {
        union sigval value = {.sival_int = i};
        kill(getpid(), SIGUSR1);
        sigqueue(getpid(), SIGRTMIN + 1, value);
    }
    EXPECT_TRUE(is_pending(SIGUSR1) && is_pending(SIGRTMIN + 1));
    EXPECT_EQ(count, 0);
    mask(SIG_UNBLOCK, SIGUSR1);
    EXPECT_EQ(count, 1);
    mask(SIG_UNBLOCK, SIGRTMIN + 1);
    EXPECT_EQ(count, 4);
    EXPECT_EQ(last.si_value.sival_int, 2);
}

TEST(lowest_number_first) {
    int signals[] = {SIGRTMIN + 3, SIGUSR2, SIGRTMIN + 1, SIGUSR1};
    sigset_t all, old;
    for (int i = 0; i < 4; i++) {
        struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO};
        sigfillset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 4; i++) kill(getpid(), signals[i]);
    sigprocmask(SIG_SETMASK, &old, NULL);
    EXPECT_EQ(count, 4);
    EXPECT_EQ(order[0], SIGUSR1);
    EXPECT_EQ(order[1], SIGUSR2);
    EXPECT_EQ(order[2], SIGRTMIN + 1);
    EXPECT_EQ(order[3], SIGRTMIN + 3);
}

static volatile int inside, nested;
static void check_mask(int sig) {
    sigset_t now;
    inside++;
    sigprocmask(SIG_BLOCK, NULL, &now);
    EXPECT_TRUE(sigismember(&now, SIGUSR2));
    EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
    if (inside == 1) {
        raise(sig);
        EXPECT_EQ(inside, 1);
    }
    nested += inside > 1;
}
TEST(masks_during_a_handler) {
    struct sigaction action = {.sa_handler = check_mask};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(inside, 2);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
    EXPECT_EQ(sigismember(&now, SIGUSR2), 0);
}

static volatile int depth, deepest;
static void dive(int sig) {
    if (++depth > deepest) deepest = depth;
    if (depth < 20) raise(sig);
    depth--;
}
TEST(nodefer_and_resethand) {
    struct sigaction action = {.sa_handler = dive, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(deepest, 20);
    install(SIGUSR2, SA_RESETHAND, 0);
    raise(SIGUSR2);
    EXPECT_EQ(count, 1);
    sigaction(SIGUSR2, NULL, &action);
    EXPECT_TRUE(action.sa_handler == SIG_DFL);
}

TEST(flags_are_remembered) {
    struct sigaction action = {.sa_handler = dive, .sa_flags = SA_RESTART | SA_NODEFER | SA_ONSTACK}, got;
    sigaddset(&action.sa_mask, SIGALRM);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR1, NULL, &got);
    EXPECT_EQ(got.sa_flags & (SA_RESTART | SA_NODEFER | SA_ONSTACK | SA_SIGINFO), action.sa_flags);
    EXPECT_TRUE(sigismember(&got.sa_mask, SIGALRM));
    EXPECT_TRUE(!sigismember(&got.sa_mask, SIGUSR2));
}

TEST(ignoring_drops_what_is_pending) {
    install(SIGUSR1, 0, 0);
    mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    EXPECT_TRUE(is_pending(SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    EXPECT_TRUE(!is_pending(SIGUSR1));
    install(SIGUSR1, 0, 0);
    mask(SIG_UNBLOCK, SIGUSR1);
    EXPECT_EQ(count, 0);
    /* SIGCHLD by default is ignored as well. */
    mask(SIG_BLOCK, SIGCHLD);
    kill(getpid(), SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    EXPECT_TRUE(!is_pending(SIGCHLD));
}

TEST(sigsuspend_and_pause) {
    sigset_t empty;
    install(SIGUSR1, 0, 0);
    mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigemptyset(&empty);
    EXPECT_ERRNO(EINTR, sigsuspend(&empty));
    EXPECT_EQ(count, 1);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(count, 1); /* blocked again */
    EXPECT_TRUE(is_pending(SIGUSR1));
}

TEST(sigtimedwait_takes_signals) {
    sigset_t set;
    siginfo_t info;
    struct timespec none = {0, 0}, some = {0, 20000000};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    EXPECT_ERRNO(EAGAIN, sigtimedwait(&set, &info, &none));
    EXPECT_ERRNO(EAGAIN, sigtimedwait(&set, &info, &some));
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(sigtimedwait(&set, &info, &some), SIGUSR1);
    EXPECT_EQ(info.si_pid, getpid());
    union sigval value = {.sival_int = 9};
    sigqueue(getpid(), SIGRTMIN, value);
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
    EXPECT_EQ(info.si_value.sival_int, 9);
    pid_t pid = fork(), parent = getppid();
    (void)parent;
    if (pid == 0) {
        sleep_ms(30);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    EXPECT_EQ(info.si_pid, pid);
    waitpid(pid, NULL, 0);
}

static void killer(int sig, int after_ms) {
    if (fork() == 0) {
        sleep_ms(after_ms);
        kill(getppid(), sig);
        sleep_ms(50);
        _exit(0);
    }
}
TEST(restart_of_read_and_wait) {
    int ends[2];
    char c;
    ASSERT_OK(pipe(ends));
    install(SIGUSR1, 0, 0);
    killer(SIGUSR1, 40);
    EXPECT_ERRNO(EINTR, read(ends[0], &c, 1));
    EXPECT_EQ(count, 1);
    wait(NULL);
    install(SIGUSR1, SA_RESTART, 0);
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(40);
        kill(getppid(), SIGUSR1);
        sleep_ms(40);
        _exit(write(ends[1], "z", 1) != 1);
    }
    EXPECT_EQ(read(ends[0], &c, 1), 1);
    EXPECT_EQ(c, 'z');
    EXPECT_EQ(count, 2);
    waitpid(pid, NULL, 0);
    install(SIGUSR1, 0, 0);
    killer(SIGUSR1, 20);
    EXPECT_ERRNO(EINTR, wait(NULL));
    EXPECT_OK(wait(NULL));
}

TEST(sleep_is_cut_short) {
    struct timespec t = {5, 0}, left = {0, 0};
    install(SIGUSR1, SA_RESTART, 0);
    killer(SIGUSR1, 30);
    EXPECT_ERRNO(EINTR, nanosleep(&t, &left));
    EXPECT_EQ(left.tv_sec, 4);
    wait(NULL);
}

static volatile uintptr_t handler_sp;
static void where(int sig) {
    char here;
    (void)sig;
    handler_sp = (uintptr_t)&here;
    stack_t now;
    sigaltstack(NULL, &now);
    EXPECT_EQ(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    EXPECT_ERRNO(EPERM, sigaltstack(&now, NULL));
}
TEST(alternate_stack) {
    static char stack[32768];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    ASSERT_OK(sigaltstack(&alt, NULL));
    struct sigaction action = {.sa_handler = where, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_TRUE(handler_sp >= (uintptr_t)stack && handler_sp < (uintptr_t)stack + sizeof stack);
    EXPECT_OK(sigaltstack(NULL, &old));
    EXPECT_TRUE(old.ss_sp == stack);
    EXPECT_EQ(old.ss_flags, 0);
    alt.ss_size = 100;
    EXPECT_ERRNO(ENOMEM, sigaltstack(&alt, NULL));
    alt.ss_flags = 77;
    EXPECT_ERRNO(EINVAL, sigaltstack(&alt, NULL));
    alt.ss_flags = SS_DISABLE;
    EXPECT_OK(sigaltstack(&alt, NULL));
}

static sigjmp_buf back;
static void jump(int sig) { siglongjmp(back, sig); }
TEST(siglongjmp_restores_the_mask) {
    signal(SIGUSR1, jump);
    for (volatile int i = 0; i < 100; i++)
        if (sigsetjmp(back, 1) == 0) {
            raise(SIGUSR1);
            FAIL("raise came back");
        }
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
}

static void die_by(void *sig) {
    signal(*(int *)sig, SIG_DFL);
    raise(*(int *)sig);
}
TEST(default_actions) {
    static const struct { int sig, dies; } table[] = {
        {SIGHUP, 1}, {SIGINT, 1}, {SIGQUIT, 1}, {SIGUSR1, 1}, {SIGALRM, 1}, {SIGTERM, 1}, {SIGPIPE, 1}, {SIGABRT, 1},
        {SIGSYS, 1}, {SIGXCPU, 1}, {SIGVTALRM, 1}, {SIGCHLD, 0}, {SIGURG, 0}, {SIGWINCH, 0}, {SIGCONT, 0}};
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        int sig = table[i].sig, status = in_child_arg(die_by, &sig);
        if (table[i].dies) EXPECT_SIGNALED(sig, status);
        else EXPECT_EXITED(0, status);
    }
    int rt = SIGRTMIN + 2;
    EXPECT_SIGNALED(rt, in_child_arg(die_by, &rt));
}

TEST(kill_errors) {
    EXPECT_ERRNO(EINVAL, kill(getpid(), 65));
    EXPECT_ERRNO(ESRCH, kill(0x3ffffff, 0));
    EXPECT_OK(kill(getpid(), 0));
    EXPECT_OK(kill(0, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, -1, 1, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), 0x3ffffff, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, 0, 0));
}

/* Signals to threads: directed ones to theirs, process ones to who may take it. */
static volatile int handled_by;
static void who(int sig) {
    (void)sig;
    handled_by = (int)syscall(SYS_gettid);
}
static volatile int other_tid, stop_other;
static void *other(void *arg) {
    mask(SIG_UNBLOCK, SIGUSR1);
    other_tid = (int)syscall(SYS_gettid);
    while (!stop_other) sleep_ms(1);
    return arg;
}
TEST(process_signals_go_to_a_thread_that_takes_them) {
    pthread_t thread;
    signal(SIGUSR1, who);
    mask(SIG_BLOCK, SIGUSR1);
    pthread_create(&thread, NULL, other, NULL);
    while (!other_tid) sleep_ms(1);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 1000 && !handled_by; i++) sleep_ms(1);
    EXPECT_EQ(handled_by, other_tid);
    handled_by = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    sleep_ms(20);
    EXPECT_EQ(handled_by, 0);
    EXPECT_TRUE(is_pending(SIGUSR1));
    mask(SIG_UNBLOCK, SIGUSR1);
    EXPECT_EQ(handled_by, getpid());
    stop_other = 1;
    pthread_join(thread, NULL);
}

static volatile long storm_seen;
static void storm_handler(int sig) {
    (void)sig;
    __atomic_fetch_add(&storm_seen, 1, __ATOMIC_SEQ_CST);
}
static volatile int storm_over;
static void *storm(void *arg) {
    while (!storm_over) syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    return arg;
}
TEST_LIMIT(a_storm_of_signals_during_system_calls, 60) {
    int ends[2];
    pthread_t thread;
    struct sigaction action = {.sa_handler = storm_handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    ASSERT_OK(pipe(ends));
    pthread_create(&thread, NULL, storm, NULL);
    volatile double value = 1;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 5000 || (storm_seen < 20 && i < 2000000); i++) {
        uint32_t got = 0;
        ASSERT_EQ(write(ends[1], &i, 4), 4);
        ASSERT_EQ(read(ends[0], &got, 4), 4);
        ASSERT_EQ(got, i);
        if (i < 5000) value = value * 1.0000001, sum += i;
    }
    storm_over = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(sum, 5000ull * 4999 / 2);
    EXPECT_GE(storm_seen, 20);
    EXPECT_TRUE(value > 1.00049 && value < 1.00051);
}

TEST(alarm_interrupts_a_loop) {
    signal(SIGALRM, who);
    handled_by = 0;
    alarm(1);
    while (!handled_by) {}
    EXPECT_EQ(handled_by, getpid());
    EXPECT_EQ(alarm(0), 0);
}
