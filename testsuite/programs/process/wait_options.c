/* wait4(2), waitid(2): every option, every kind of id, every error. */
#include "tasks.h"

static int wait4_raw(pid_t pid, int *status, unsigned options, struct rusage *usage) {
    return syscall(SYS_wait4, pid, status, options, usage);
}
static int waitid_raw(int kind, int id, void *info, unsigned options, struct rusage *usage) {
    return syscall(SYS_waitid, kind, id, info, options, usage);
}
/* A child that waits for this pipe's end before it ends. */
static int gate[2];
static pid_t gated_child(int code) {
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(gate[1]);
        _exit(read(gate[0], &c, 1) == 0 ? code : 99);
    }
    ASSERT_OK(pid);
    return pid;
}

/* --- Arguments --- */

TEST(wait4_knows_these_options_only) {
    pid_t pid = zombie_child(3);
    EXPECT_ERRNO(EINVAL, wait4_raw(pid, NULL, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, wait4_raw(pid, NULL, WNOWAIT, NULL));
    for (int bit = 4; bit < 29; bit++) EXPECT_ERRNO(EINVAL, wait4_raw(pid, NULL, 1u << bit, NULL));
    EXPECT_EQ(wait4_raw(pid, NULL, WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WALL | __WCLONE, NULL), pid);
}

TEST(waitid_knows_these_options_only) {
    siginfo_t info;
    pid_t pid = zombie_child(3);
    for (int bit = 4; bit < 29; bit++)
        if (1u << bit != WNOWAIT) EXPECT_ERRNO(EINVAL, waitid_raw(P_PID, pid, &info, WEXITED | 1u << bit, NULL));
    EXPECT_OK(waitid_raw(P_PID, pid, &info,
                         WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT | __WNOTHREAD | __WALL | __WCLONE, NULL));
    EXPECT_EQ(info.si_pid, pid);
}

TEST(waitid_needs_something_to_wait_for) {
    siginfo_t info;
    exiting_child(0);
    EXPECT_ERRNO(EINVAL, waitid_raw(P_ALL, 0, &info, 0, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(P_ALL, 0, &info, WNOHANG, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(P_ALL, 0, &info, WNOWAIT | __WALL, NULL));
}

TEST(ids_that_name_nothing) {
    siginfo_t info;
    exiting_child(0);
    EXPECT_ERRNO(EINVAL, waitid_raw(P_PID, 0, &info, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(P_PID, -1, &info, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(P_PGID, -1, &info, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(P_PIDFD, -1, &info, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(4, 0, &info, WEXITED, NULL));
    EXPECT_ERRNO(EINVAL, waitid_raw(-1, 0, &info, WEXITED, NULL));
    EXPECT_ERRNO(EBADF, waitid_raw(P_PIDFD, 999, &info, WEXITED, NULL));
    EXPECT_ERRNO(EBADF, waitid_raw(P_PIDFD, open("/dev/null", O_RDONLY), &info, WEXITED, NULL));
    EXPECT_ERRNO(ESRCH, wait4_raw(INT32_MIN, NULL, 0, NULL));
}

TEST(who_is_no_child) {
    siginfo_t info;
    pid_t pid = idle_child();
    EXPECT_ERRNO(ECHILD, wait4_raw(getpid(), NULL, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(getppid(), NULL, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(1, NULL, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(0x3ffffff, NULL, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(-0x3ffffff, NULL, 0, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PGID, pid, &info, WEXITED, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PIDFD, pidfd_open_raw(getpid(), 0), &info, WEXITED, NULL));
    end_child(pid);
    EXPECT_ERRNO(ECHILD, wait4_raw(-1, NULL, WNOHANG, NULL));
}

/* --- Which children --- */

TEST(wait4_by_group) {
    int status;
    pid_t mine = exiting_child(1), a = fork();
    if (a == 0) {
        setpgid(0, 0);
        for (;;) pause();
    }
    setpgid(a, a);
    pid_t b = idle_child();
    ASSERT_OK(setpgid(b, a));
    EXPECT_EQ(wait4_raw(0, &status, 0, NULL), mine);
    EXPECT_ERRNO(ECHILD, wait4_raw(0, &status, 0, NULL));
    EXPECT_EQ(wait4_raw(-a, &status, WNOHANG, NULL), 0);
    kill(b, SIGTERM);
    EXPECT_EQ(wait4_raw(-a, &status, 0, NULL), b);
    kill(a, SIGTERM);
    EXPECT_EQ(wait4_raw(-a, &status, 0, NULL), a);
    EXPECT_ERRNO(ECHILD, wait4_raw(-a, &status, 0, NULL));
}

TEST(waitid_by_group) {
    siginfo_t info;
    pid_t own = exiting_child(1), other = fork();
    if (other == 0) {
        setpgid(0, 0);
        for (;;) pause();
    }
    setpgid(other, other);
    EXPECT_OK(waitid_raw(P_PGID, 0, &info, WEXITED | WNOWAIT, NULL));
    EXPECT_EQ(info.si_pid, own);
    EXPECT_OK(waitid_raw(P_PGID, getpgrp(), &info, WEXITED, NULL));
    EXPECT_EQ(info.si_pid, own);
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PGID, 0, &info, WEXITED, NULL));
    kill(other, SIGKILL);
    EXPECT_OK(waitid_raw(P_PGID, other, &info, WEXITED, NULL));
    EXPECT_EQ(info.si_pid, other);
}

TEST(clone_children_and_others) {
    int status;
    long clone_child = raw_clone(0, NULL, NULL, NULL, NULL);
    if (clone_child == 0) _exit(1);
    pid_t plain = exiting_child(2);
    EXPECT_ERRNO(ECHILD, wait4_raw(clone_child, &status, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(plain, &status, __WCLONE, NULL));
    EXPECT_EQ(wait4_raw(-1, &status, 0, NULL), plain);
    EXPECT_ERRNO(ECHILD, wait4_raw(-1, &status, 0, NULL));
    EXPECT_EQ(wait4_raw(-1, &status, __WCLONE, NULL), clone_child);
    clone_child = raw_clone(0, NULL, NULL, NULL, NULL);
    if (clone_child == 0) _exit(1);
    EXPECT_EQ(wait4_raw(-1, &status, __WALL, NULL), clone_child);
    plain = exiting_child(2);
    EXPECT_EQ(wait4_raw(-1, &status, __WALL | __WCLONE, NULL), plain);
}

TEST(the_oldest_first) {
    pid_t pids[4];
    int go[4][2];
    for (int i = 0; i < 4; i++) {
        ASSERT_OK(pipe(go[i]));
        pids[i] = fork();
        if (pids[i] == 0) {
            char c;
            _exit(read(go[i][0], &c, 1) == 1 ? i : 99);
        }
    }
    siginfo_t info;
    for (int i = 3; i >= 0; i--) {
        EXPECT_EQ(write(go[i][1], "x", 1), 1);
        ASSERT_OK(waitid_raw(P_PID, pids[i], &info, WEXITED | WNOWAIT, NULL));
    }
    for (int i = 0; i < 4; i++) {
        int status;
        EXPECT_EQ(wait4_raw(-1, &status, 0, NULL), pids[i]);
        EXPECT_EXITED(i, status);
    }
}

static pid_t its_child;
static int the_result, the_errno;
static void *make_child_and_stay(void *go) {
    its_child = exiting_child(5);
    store(go, 1);
    while (load(go) != 2) usleep(200);
    the_result = wait4_raw(its_child, NULL, __WNOTHREAD, NULL);
    return NULL;
}
TEST(children_of_other_threads) {
    static int go;
    pthread_t thread;
    int status;
    go = 0;
    ASSERT_EQ(pthread_create(&thread, NULL, make_child_and_stay, &go), 0);
    UNTIL(load(&go) == 1);
    EXPECT_ERRNO(ECHILD, wait4_raw(-1, &status, __WNOTHREAD, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(its_child, &status, __WNOTHREAD | WNOHANG, NULL));
    siginfo_t info;
    EXPECT_OK(waitid_raw(P_ALL, 0, &info, WEXITED | WNOWAIT, NULL));
    EXPECT_EQ(info.si_pid, its_child);
    pid_t mine = exiting_child(6);
    EXPECT_EQ(wait4_raw(-1, &status, __WNOTHREAD, NULL), mine);
    store(&go, 2);
    pthread_join(thread, NULL);
    EXPECT_EQ(the_result, its_child);
}

static void *make_child_and_end(void *unused) {
    its_child = exiting_child(5);
    return unused;
}
TEST(children_of_a_thread_that_has_ended) {
    pthread_t thread;
    int status;
    ASSERT_EQ(pthread_create(&thread, NULL, make_child_and_end, NULL), 0);
    pthread_join(thread, NULL);
    /* They are another thread's now: this one's, which is alone. */
    pid_t got = -1;
    UNTIL(got == its_child || (got = wait4_raw(its_child, &status, __WNOTHREAD, NULL)) == its_child);
    EXPECT_ERRNO(ECHILD, wait4_raw(its_child, &status, 0, NULL));
}

/* --- What is reported --- */

TEST(status_words) {
    int status;
    static const int codes[] = {0, 1, 127, 128, 255};
    for (int i = 0; i < 5; i++) {
        pid_t pid = exiting_child(codes[i]);
        EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
        EXPECT_EQ(status, codes[i] << 8);
    }
    const int signals[] = {SIGHUP, SIGKILL, SIGTERM, SIGUSR1, SIGALRM, SIGRTMIN, SIGRTMAX};
    for (int i = 0; i < 7; i++) {
        pid_t pid = idle_child();
        kill(pid, signals[i]);
        EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
        EXPECT_EQ(status, signals[i]);
    }
}

TEST(no_core_bit_without_a_core) {
    struct rlimit none = {0, 0};
    int status;
    siginfo_t info;
    ASSERT_OK(setrlimit(RLIMIT_CORE, &none));
    pid_t pid = idle_child();
    kill(pid, SIGQUIT);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WEXITED | WNOWAIT, NULL));
    EXPECT_EQ(info.si_code, CLD_KILLED);
    EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
    EXPECT_EQ(status, SIGQUIT);
}

static void expect_info(siginfo_t *info, pid_t pid, int code, int status) {
    EXPECT_EQ(info->si_signo, SIGCHLD);
    EXPECT_EQ(info->si_errno, 0);
    EXPECT_EQ(info->si_code, code);
    EXPECT_EQ(info->si_pid, pid);
    EXPECT_EQ(info->si_uid, getuid());
    EXPECT_EQ(info->si_status, status);
}
TEST(waitid_s_fields) {
    siginfo_t info;
    pid_t pid = exiting_child(9);
    memset(&info, 0x55, sizeof info);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WEXITED, NULL));
    expect_info(&info, pid, CLD_EXITED, 9);
    pid = idle_child();
    kill(pid, SIGSTOP);
    memset(&info, 0x55, sizeof info);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED, NULL));
    expect_info(&info, pid, CLD_STOPPED, SIGSTOP);
    kill(pid, SIGCONT);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WCONTINUED, NULL));
    expect_info(&info, pid, CLD_CONTINUED, SIGCONT);
    kill(pid, SIGTERM);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WEXITED, NULL));
    expect_info(&info, pid, CLD_KILLED, SIGTERM);
}

TEST(waitid_writes_six_fields_and_no_more) {
    unsigned char info[136];
    memset(info, 0x55, sizeof info);
    pid_t pid = exiting_child(9);
    EXPECT_OK(waitid_raw(P_PID, pid, info, WEXITED, NULL));
    for (unsigned i = 28; i < sizeof info; i++) EXPECT_EQ(info[i], 0x55);
    for (unsigned i = 12; i < 16; i++) EXPECT_EQ(info[i], 0x55);
}

TEST(waitid_with_nothing_to_tell_writes_zeros) {
    siginfo_t info;
    pid_t pid = idle_child();
    memset(&info, 0x55, sizeof info);
    EXPECT_OK(waitid_raw(P_ALL, 0, &info, WEXITED | WNOHANG, NULL));
    EXPECT_EQ(info.si_signo | info.si_errno | info.si_code | info.si_pid | info.si_status, 0);
    EXPECT_EQ(info.si_uid, 0);
    end_child(pid);
    memset(&info, 0x55, sizeof info);
    EXPECT_ERRNO(ECHILD, waitid_raw(P_ALL, 0, &info, WEXITED, NULL));
    EXPECT_EQ(info.si_signo | info.si_code | info.si_pid | info.si_status, 0);
    memset(&info, 0x55, sizeof info);
    EXPECT_ERRNO(EINVAL, waitid_raw(P_ALL, 0, &info, 0, NULL));
    EXPECT_EQ(info.si_signo | info.si_code | info.si_pid | info.si_status, 0);
}

TEST(waitid_without_a_place_for_the_answer) {
    pid_t pid = exiting_child(1);
    EXPECT_OK(waitid_raw(P_PID, pid, NULL, WEXITED, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PID, pid, NULL, WEXITED, NULL));
}

TEST(bad_places_for_the_answer) {
    siginfo_t info;
    int status;
    pid_t pid = exiting_child(1);
    /* The child is gone all the same. */
    EXPECT_ERRNO(EFAULT, waitid_raw(P_PID, pid, BAD_PTR, WEXITED, NULL));
    EXPECT_ERRNO(EFAULT, waitid_raw(P_PID, pid, BAD_PTR, WEXITED, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PID, pid, &info, WEXITED, NULL));
    pid = exiting_child(1);
    EXPECT_ERRNO(EFAULT, wait4_raw(pid, BAD_PTR, 0, NULL));
    EXPECT_ERRNO(ECHILD, wait4_raw(pid, NULL, 0, NULL));
    pid = exiting_child(1);
    EXPECT_ERRNO(EFAULT, wait4_raw(pid, &status, 0, BAD_PTR));
    EXPECT_EXITED(1, status);
    EXPECT_ERRNO(ECHILD, wait4_raw(pid, NULL, 0, NULL));
    pid = exiting_child(1);
    EXPECT_ERRNO(EFAULT, waitid_raw(P_PID, pid, &info, WEXITED, BAD_PTR));
    EXPECT_ERRNO(ECHILD, wait4_raw(pid, NULL, 0, NULL));
}

TEST(a_place_is_not_looked_at_without_news) {
    pid_t pid = idle_child();
    EXPECT_EQ(wait4_raw(pid, BAD_PTR, WNOHANG, BAD_PTR), 0);
    EXPECT_OK(waitid_raw(P_PID, pid, NULL, WEXITED | WNOHANG, BAD_PTR));
    EXPECT_ERRNO(EFAULT, waitid_raw(P_PID, pid, BAD_PTR, WEXITED | WNOHANG, NULL));
    end_child(pid);
}

TEST(nowait_leaves_everything_as_it_was) {
    siginfo_t info;
    int status;
    pid_t pid = idle_child();
    kill(pid, SIGSTOP);
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED | WNOWAIT, NULL));
        EXPECT_EQ(info.si_code, CLD_STOPPED);
    }
    EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED, NULL), pid);
    EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED | WNOHANG, NULL), 0);
    kill(pid, SIGCONT);
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(waitid_raw(P_PID, pid, &info, WCONTINUED | WNOWAIT, NULL));
        EXPECT_EQ(info.si_code, CLD_CONTINUED);
    }
    EXPECT_EQ(wait4_raw(pid, &status, WCONTINUED, NULL), pid);
    EXPECT_EQ(wait4_raw(pid, &status, WCONTINUED | WNOHANG, NULL), 0);
    kill(pid, SIGKILL);
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(waitid_raw(P_PID, pid, &info, WEXITED | WNOWAIT, NULL));
        EXPECT_EQ(info.si_code, CLD_KILLED);
    }
    EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PID, pid, &info, WEXITED | WNOWAIT, NULL));
}

TEST(a_zombie_has_no_stops_to_wait_for) {
    siginfo_t info;
    pid_t pid = zombie_child(2);
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PID, pid, &info, WSTOPPED, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PID, pid, &info, WCONTINUED | WNOHANG, NULL));
    EXPECT_ERRNO(ECHILD, waitid_raw(P_ALL, 0, &info, WSTOPPED | WCONTINUED, NULL));
    pid_t living = idle_child();
    EXPECT_OK(waitid_raw(P_ALL, 0, &info, WSTOPPED | WNOHANG, NULL));
    EXPECT_EQ(info.si_pid, 0);
    end_child(living);
    EXPECT_EXITED(2, status_of(pid));
}

TEST(stops_only_when_asked_for) {
    int status;
    siginfo_t info;
    pid_t pid = idle_child();
    kill(pid, SIGSTOP);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED | WNOWAIT, NULL));
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG, NULL), 0);
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG | WCONTINUED, NULL), 0);
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG | WUNTRACED, NULL), pid);
    EXPECT_EQ(status, SIGSTOP << 8 | 0x7f);
    end_child(pid);
}

TEST(a_stop_makes_a_continuation_obsolete_and_the_reverse) {
    int status;
    siginfo_t info;
    pid_t pid = idle_child();
    kill(pid, SIGSTOP);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED | WNOWAIT, NULL));
    kill(pid, SIGCONT);
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG | WUNTRACED, NULL), 0);
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG | WCONTINUED, NULL), pid);
    EXPECT_EQ(status, 0xffff);
    kill(pid, SIGSTOP);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED, NULL));
    kill(pid, SIGCONT);
    kill(pid, SIGSTOP);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WSTOPPED | WNOWAIT, NULL));
    EXPECT_EQ(wait4_raw(pid, &status, WNOHANG | WCONTINUED, NULL), 0);
    end_child(pid);
}

TEST(the_stopping_signal_is_told) {
    static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    int status;
    for (int i = 0; i < 4; i++) {
        pid_t pid = idle_child();
        kill(pid, stops[i]);
        EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED, NULL), pid);
        EXPECT_EQ(status, stops[i] << 8 | 0x7f);
        end_child(pid);
    }
}

/* --- Resource usage --- */

static void burn(void) {
    struct rusage usage;
    do {
        for (volatile int i = 0; i < 100000; i++) {}
        getrusage(RUSAGE_SELF, &usage);
    } while (usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < 3000);
}
static long long used(struct rusage *usage) {
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL + usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}
TEST(usage_of_the_child_and_of_its_children) {
    struct rusage usage, again;
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        pid_t inner = fork();
        if (inner == 0) {
            burn();
            _exit(0);
        }
        waitpid(inner, NULL, 0);
        _exit(0);
    }
    memset(&usage, 0x55, sizeof usage);
    EXPECT_OK(waitid_raw(P_PID, pid, &info, WEXITED | WNOWAIT, &usage));
    EXPECT_GE(used(&usage), 2000);
    EXPECT_LT(used(&usage), 1000000000);
    EXPECT_EQ(wait4_raw(pid, NULL, 0, &again), pid);
    EXPECT_EQ(used(&again), used(&usage));
    EXPECT_GT(again.ru_maxrss, 0);
    EXPECT_OK(getrusage(RUSAGE_CHILDREN, &usage));
    EXPECT_GE(used(&usage), used(&again));
}
TEST(usage_of_a_child_that_was_not_waited_for_is_lost) {
    struct rusage usage;
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        burn();
        _exit(0);
    }
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    EXPECT_OK(getrusage(RUSAGE_CHILDREN, &usage));
    EXPECT_EQ(used(&usage), 0);
}
TEST(usage_of_a_stopped_child) {
    struct rusage usage;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        burn();
        raise(SIGSTOP);
        _exit(0);
    }
    EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED, &usage), pid);
    EXPECT_TRUE(WIFSTOPPED(status));
    EXPECT_GE(used(&usage), 2000);
    end_child(pid);
}

/* --- Nobody waits --- */

static volatile int told, told_code;
static void on_child(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    told_code = info->si_code;
    told++;
}
static void handle_sigchld(int flags) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | flags};
    ASSERT_OK(sigaction(SIGCHLD, &action, NULL));
    told = 0;
}
TEST(nocldwait_reaps_and_tells) {
    handle_sigchld(SA_NOCLDWAIT | SA_RESTART);
    ASSERT_OK(pipe(gate));
    pid_t pid = gated_child(3);
    close(gate[1]);
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    UNTIL(told == 1);
    EXPECT_ERRNO(ESRCH, kill(pid, 0));
}
TEST(ignored_reaps_and_does_not_tell) {
    signal(SIGCHLD, SIG_IGN);
    ASSERT_OK(pipe(gate));
    pid_t a = gated_child(3), b = gated_child(4);
    close(gate[1]);
    /* Blocks until the last one has gone. */
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, 0));
    EXPECT_ERRNO(ESRCH, kill(a, 0));
    EXPECT_ERRNO(ESRCH, kill(b, 0));
}
TEST(a_zombie_from_before_stays) {
    pid_t pid = zombie_child(6);
    signal(SIGCHLD, SIG_IGN);
    EXPECT_OK(kill(pid, 0));
    EXPECT_EXITED(6, status_of(pid));
}
TEST(nocldstop_hides_stops) {
    int status;
    handle_sigchld(SA_NOCLDSTOP | SA_RESTART);
    pid_t pid = idle_child();
    kill(pid, SIGSTOP);
    EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED, NULL), pid);
    kill(pid, SIGCONT);
    EXPECT_EQ(wait4_raw(pid, &status, WCONTINUED, NULL), pid);
    EXPECT_EQ(told, 0);
    kill(pid, SIGKILL);
    EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
    UNTIL(told == 1);
    EXPECT_EQ(told_code, CLD_KILLED);
}
TEST(stops_and_continuations_are_told) {
    int status;
    handle_sigchld(SA_RESTART);
    pid_t pid = idle_child();
    kill(pid, SIGSTOP);
    EXPECT_EQ(wait4_raw(pid, &status, WUNTRACED, NULL), pid);
    UNTIL(told == 1);
    EXPECT_EQ(told_code, CLD_STOPPED);
    kill(pid, SIGCONT);
    EXPECT_EQ(wait4_raw(pid, &status, WCONTINUED, NULL), pid);
    UNTIL(told == 2);
    EXPECT_EQ(told_code, CLD_CONTINUED);
    end_child(pid);
}

/* --- Waiting --- */

static void on_alarm(int sig) { (void)sig; }
static void *signal_when_asleep(void *target) {
    int tid = (int)(long)target;
    while (state_of(getpid(), tid) != 'S') usleep(200);
    syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
    return NULL;
}
static void interrupt_me(int flags) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
    ASSERT_EQ(pthread_create(&thread, NULL, signal_when_asleep, (void *)(long)gettid_raw()), 0);
}
TEST(a_handler_ends_a_wait) {
    pid_t pid = idle_child();
    interrupt_me(0);
    EXPECT_ERRNO(EINTR, wait4_raw(-1, NULL, 0, NULL));
    interrupt_me(0);
    siginfo_t info;
    memset(&info, 0x55, sizeof info);
    EXPECT_ERRNO(EINTR, waitid_raw(P_ALL, 0, &info, WEXITED, NULL));
    EXPECT_EQ(info.si_pid, 0);
    end_child(pid);
}
static void *end_gate_after_signal(void *target) {
    signal_when_asleep(target);
    while (state_of(getpid(), (int)(long)target) != 'S') usleep(200);
    close(gate[1]);
    return NULL;
}
TEST(a_restarting_handler_does_not) {
    pthread_t thread;
    int status;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    ASSERT_OK(pipe(gate));
    pid_t pid = gated_child(12);
    ASSERT_EQ(pthread_create(&thread, NULL, end_gate_after_signal, (void *)(long)gettid_raw()), 0);
    EXPECT_EQ(wait4_raw(pid, &status, 0, NULL), pid);
    EXPECT_EXITED(12, status);
}

static void *wait_for_it(void *pid) {
    the_result = wait4_raw((pid_t)(long)pid, NULL, 0, NULL);
    the_errno = errno;
    return NULL;
}
TEST(any_thread_may_wait) {
    pthread_t thread;
    pid_t pid = exiting_child(1);
    ASSERT_EQ(pthread_create(&thread, NULL, wait_for_it, (void *)(long)pid), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(the_result, pid);
}
static int reaped_codes[64], reapers_done;
static void *reap_all(void *unused) {
    int status;
    while (wait4_raw(-1, &status, 0, NULL) > 0) __atomic_add_fetch(&reaped_codes[WEXITSTATUS(status)], 1, __ATOMIC_SEQ_CST);
    if (errno == ECHILD) __atomic_add_fetch(&reapers_done, 1, __ATOMIC_SEQ_CST);
    return unused;
}
TEST(each_status_goes_to_one_waiter) {
    pthread_t threads[4];
    ASSERT_OK(pipe(gate));
    for (int i = 0; i < 40; i++) gated_child(i);
    for (int i = 0; i < 4; i++) ASSERT_EQ(pthread_create(&threads[i], NULL, reap_all, NULL), 0);
    close(gate[1]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 40; i++) EXPECT_EQ(reaped_codes[i], 1);
    EXPECT_EQ(reapers_done, 4);
}
TEST(who_waits_in_vain_is_told) {
    pthread_t thread;
    ASSERT_OK(pipe(gate));
    pid_t pid = gated_child(1);
    ASSERT_EQ(pthread_create(&thread, NULL, wait_for_it, (void *)(long)pid), 0);
    int result;
    close(gate[1]);
    result = wait4_raw(pid, NULL, 0, NULL);
    int own_errno = errno;
    pthread_join(thread, NULL);
    /* One of the two has it, the other hears that there is none. */
    EXPECT_TRUE((result == pid && the_result == -1 && the_errno == ECHILD) ||
                (the_result == pid && result == -1 && own_errno == ECHILD));
}
TEST(a_pidfd_that_does_not_block) {
    siginfo_t info;
    ASSERT_OK(pipe(gate));
    pid_t pid = gated_child(8);
    int fd = pidfd_open_raw(pid, PIDFD_NONBLOCK);
    ASSERT_OK(fd);
    memset(&info, 0x55, sizeof info);
    EXPECT_ERRNO(EAGAIN, waitid_raw(P_PIDFD, fd, &info, WEXITED, NULL));
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_OK(waitid_raw(P_PIDFD, fd, &info, WEXITED | WNOHANG, NULL));
    close(gate[1]);
    EXPECT_TRUE(poll_wait(fd) & POLLIN);
    EXPECT_OK(waitid_raw(P_PIDFD, fd, &info, WEXITED, NULL));
    expect_info(&info, pid, CLD_EXITED, 8);
    EXPECT_ERRNO(ECHILD, waitid_raw(P_PIDFD, fd, &info, WEXITED, NULL));
}
TEST(a_pidfd_made_blocking_and_not) {
    siginfo_t info;
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    ASSERT_OK(fd);
    ASSERT_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    EXPECT_ERRNO(EAGAIN, waitid_raw(P_PIDFD, fd, &info, WEXITED, NULL));
    ASSERT_OK(fcntl(fd, F_SETFL, 0));
    kill(pid, SIGKILL);
    EXPECT_OK(waitid_raw(P_PIDFD, fd, &info, WEXITED, NULL));
    EXPECT_EQ(info.si_pid, pid);
}
