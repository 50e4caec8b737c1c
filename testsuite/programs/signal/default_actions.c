/* What each signal does without a handler (signal(7)). */
#include "signals.h"

static int sent;
static void send_default(void *unused) {
    (void)unused;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    /* By raw calls: libc keeps the first real-time signals to itself, and whoever
     * started this may have left them ignored or blocked. */
    static const uint64_t zeros[4];
    syscall(SYS_rt_sigaction, sent, zeros, NULL, 8);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, zeros, NULL, 8);
    syscall(SYS_tgkill, getpid(), gettid(), sent);
}
static void expect_death(int sig) {
    sent = sig;
    int status = in_child_arg(send_default, NULL);
    EXPECT_SIGNALED(sig, status);
    EXPECT_EQ(WCOREDUMP(status), 0);
}

TEST(signals_that_terminate) {
    int list[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGVTALRM, SIGPROF, SIGIO, SIGPWR};
    for (unsigned i = 0; i < sizeof list / sizeof list[0]; i++) expect_death(list[i]);
}
TEST(signals_that_would_dump) {
    int list[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
    for (unsigned i = 0; i < sizeof list / sizeof list[0]; i++) expect_death(list[i]);
}
TEST(all_real_time_signals_terminate) {
    for (int sig = KERNEL_SIGRTMIN; sig <= KERNEL_SIGRTMAX; sig += 8) expect_death(sig);
}
TEST(signals_that_do_nothing) {
    int list[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
    for (unsigned i = 0; i < sizeof list / sizeof list[0]; i++) {
        sent = list[i];
        EXPECT_EXITED(0, in_child_arg(send_default, NULL));
    }
}

static void stop_by(int sig) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        raise(sig);
        _exit(6);
    }
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_TRUE(WIFSTOPPED(status));
    EXPECT_EQ(WSTOPSIG(status), sig);
    EXPECT_EQ(status, sig << 8 | 0x7f);
    EXPECT_EQ(state_of(pid, pid), 'T');
    kill(pid, SIGCONT);
    ASSERT_EQ(waitpid(pid, &status, WCONTINUED), pid);
    EXPECT_EQ(status, 0xffff);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(6, status);
}
TEST(stop_stops) { stop_by(SIGSTOP); }
TEST(the_terminals_stop_signals_stop) { stop_by(SIGTSTP), stop_by(SIGTTIN), stop_by(SIGTTOU); }

static void in_orphaned_group(void) {
    /* A session of its own: nobody outside could continue it. */
    if (setsid() < 0) _exit(3);
    raise(SIGTSTP), raise(SIGTTIN), raise(SIGTTOU);
    _exit(0);
}
TEST(orphaned_groups_do_not_stop_by_the_terminal) { EXPECT_EXITED(0, in_child(in_orphaned_group)); }

TEST(stop_stops_orphaned_groups_too) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        raise(SIGSTOP);
        _exit(0);
    }
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_TRUE(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

/* SIGCONT continues even when blocked or ignored; the handler comes later. */
static void cont_trial(int ignore, int blocked) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (ignore) signal(SIGCONT, SIG_IGN);
        if (blocked) block(SIGCONT);
        raise(SIGSTOP);
        _exit(blocked && !ignore ? is_pending(SIGCONT) : 1);
    }
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGCONT);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(1, status);
}
TEST(a_blocked_cont_continues) { cont_trial(0, 1); }
TEST(an_ignored_cont_continues) { cont_trial(1, 0); }

static void *spin(void *counter) {
    for (;;) __atomic_fetch_add((int *)counter, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
TEST(a_stop_stops_every_thread) {
    int *counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), status;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, spin, &counters[i]);
        for (;;) pause();
    }
    for (int i = 0; i < 3; i++) ASSERT_TRUE(wait_value(&counters[i], 1));
    kill(pid, SIGSTOP);
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    int before[3] = {counters[0], counters[1], counters[2]};
    sleep_ms(20);
    for (int i = 0; i < 3; i++) EXPECT_EQ(counters[i], before[i]);
    kill(pid, SIGCONT);
    for (int i = 0; i < 3; i++) EXPECT_TRUE(wait_value(&counters[i], before[i] + 1));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A fatal signal to one thread ends all of them. */
static void *pause_for_ever(void *unused) {
    for (;;) pause();
    return unused;
}
static void kill_one_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, pause_for_ever, NULL);
    pthread_kill(thread, SIGTERM);
    pthread_join(thread, NULL);
}
TEST(a_fatal_signal_to_a_thread_ends_the_process) { EXPECT_SIGNALED(SIGTERM, in_child(kill_one_thread)); }

static void fault_one_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, (void *(*)(void *))(void *)0x18, NULL);
    pthread_join(thread, NULL);
}
TEST(a_fault_in_a_thread_ends_the_process) { EXPECT_SIGNALED(SIGSEGV, in_child(fault_one_thread)); }

/* The first fatal signal names the status. */
static void two_deaths(void) {
    raw_mask(SIG_SETMASK, BIT(SIGTERM) | BIT(SIGINT), NULL);
    raise(SIGTERM), raise(SIGINT);
    raw_mask(SIG_SETMASK, 0, NULL);
}
TEST(the_lowest_of_two_fatal_signals_kills) { EXPECT_SIGNALED(SIGINT, in_child(two_deaths)); }
