/* wait4, waitid, process groups, stopping and continuing, orphans. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t child_that(void (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(0);
    }
    ASSERT_OK(pid);
    return pid;
}
static void sleep_long(void) { sleep_ms(30000); }
static void exit_5(void) { _exit(5); }

TEST(no_children) {
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, 0));
    EXPECT_ERRNO(ECHILD, waitpid(getpid(), NULL, WNOHANG));
    EXPECT_ERRNO(EINVAL, waitpid(-1, NULL, 0x10000));
    siginfo_t info;
    EXPECT_ERRNO(ECHILD, waitid(P_ALL, 0, &info, WEXITED));
    EXPECT_ERRNO(EINVAL, waitid(P_ALL, 0, &info, 0));
    EXPECT_ERRNO(EINVAL, waitid(99, 0, &info, WEXITED));
}

TEST(statuses) {
    int status;
    pid_t pid = child_that(exit_5);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 5 << 8);
    EXPECT_ERRNO(ECHILD, waitpid(pid, &status, 0));
    pid = child_that(sleep_long);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGTERM);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGTERM);
}

TEST(waitid_says_more) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    pid_t pid = child_that(exit_5);
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    EXPECT_EQ(info.si_pid, pid);
    EXPECT_EQ(info.si_code, CLD_EXITED);
    EXPECT_EQ(info.si_status, 5);
    EXPECT_EQ(info.si_signo, SIGCHLD);
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED));
    EXPECT_ERRNO(ECHILD, waitid(P_PID, pid, &info, WEXITED));
    pid = child_that(sleep_long);
    info.si_pid = 77;
    EXPECT_OK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
    EXPECT_EQ(info.si_pid, 0);
    kill(pid, SIGKILL);
    EXPECT_OK(waitid(P_ALL, 0, &info, WEXITED));
    EXPECT_EQ(info.si_code, CLD_KILLED);
    EXPECT_EQ(info.si_status, SIGKILL);
}

static volatile int sigchlds;
static volatile siginfo_t last;
static void on_child(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    memcpy((void *)&last, info, sizeof last);
    sigchlds++;
}
TEST(sigchld) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = child_that(exit_5);
    for (int i = 0; i < 500 && !sigchlds; i++) sleep_ms(2);
    EXPECT_EQ(sigchlds, 1);
    EXPECT_EQ(last.si_pid, pid);
    EXPECT_EQ(last.si_code, CLD_EXITED);
    EXPECT_EQ(last.si_status, 5);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(ignored_sigchld_reaps) {
    signal(SIGCHLD, SIG_IGN);
    child_that(exit_5);
    child_that(exit_5);
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, 0));
}

TEST(stop_and_continue) {
    int status;
    pid_t pid = child_that(sleep_long);
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_TRUE(WIFSTOPPED(status));
    EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG | WUNTRACED), 0);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
    EXPECT_TRUE(WIFCONTINUED(status));
    /* A stopped process is still killed at once. */
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_SIGNALED(SIGKILL, status);
}

TEST(process_groups_and_sessions) {
    int status;
    pid_t a = child_that(sleep_long), b = child_that(sleep_long);
    EXPECT_OK(setpgid(a, a));
    EXPECT_OK(setpgid(b, a));
    EXPECT_EQ(getpgid(b), a);
    EXPECT_EQ(getpgid(0), getpgrp());
    EXPECT_EQ(getsid(a), getsid(0));
    EXPECT_ERRNO(ESRCH, setpgid(0x3ffffff, 0));
    EXPECT_ERRNO(EINVAL, setpgid(a, -1));
    EXPECT_OK(kill(-a, SIGTERM));
    EXPECT_OK(waitpid(-a, &status, 0));
    EXPECT_SIGNALED(SIGTERM, status);
    EXPECT_OK(waitpid(-a, &status, 0));
    EXPECT_ERRNO(ECHILD, waitpid(-a, &status, 0));
    EXPECT_ERRNO(ESRCH, kill(-a, 0));
    EXPECT_ERRNO(EPERM, setsid()); /* a group's leader may not */
}

static void new_session(void) {
    EXPECT_EQ(setsid(), getpid());
    EXPECT_EQ(getsid(0), getpid());
    EXPECT_EQ(getpgrp(), getpid());
    EXPECT_ERRNO(EPERM, setpgid(0, 0));
}
TEST(setsid_in_a_child) { EXPECT_EXITED(0, in_child(new_session)); }

TEST(orphans_go_to_a_subreaper) {
    int ends[2], status;
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    ASSERT_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            pid_t before = getppid();
            for (int i = 0; i < 1000 && getppid() == before; i++) sleep_ms(1);
            pid_t now = getppid();
            _exit(write(ends[1], &now, sizeof now) == sizeof now ? 8 : 9);
        }
        sleep_ms(20);
        _exit(0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    pid_t parent;
    EXPECT_EQ(read(ends[0], &parent, sizeof parent), sizeof parent);
    EXPECT_EQ(parent, getpid());
    EXPECT_OK(wait(&status));
    EXPECT_EXITED(8, status);
}

// Until the kernel says so: it splits the time by ticks, and a busy machine's
// ticks may all fall on others.
static void use_cpu(void) {
    struct rusage usage = {};
    for (int round = 0; round < 2000 && usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec < 1000;
         round++) {
        for (volatile uint64_t i = 0; i < 1000000; i++) {}
        getrusage(RUSAGE_SELF, &usage);
    }
}
TEST(resource_usage) {
    struct rusage usage;
    int status;
    pid_t pid = child_that(use_cpu);
    EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
    EXPECT_GT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec, 100);
    EXPECT_OK(getrusage(RUSAGE_CHILDREN, &usage));
    EXPECT_GT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec, 100);
    EXPECT_OK(getrusage(RUSAGE_SELF, &usage));
    EXPECT_ERRNO(EINVAL, getrusage(77, &usage));
}

TEST_LIMIT(many_children, 60) {
    int status;
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        ASSERT_OK(pid);
        if (pid == 0) _exit(i & 127);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(WEXITSTATUS(status), i & 127);
    }
    for (int i = 0; i < 30; i++)
        if (fork() == 0) _exit(i);
    int sum = 0;
    while (wait(&status) > 0) sum += WEXITSTATUS(status);
    EXPECT_EQ(sum, 29 * 30 / 2);
}

TEST(children_inherit_and_do_not) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t set;
    alarm(100);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    umask(027);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t now;
        EXPECT_OK(fcntl(fd, F_GETFD));
        EXPECT_EQ(alarm(0), 0);
        sigpending(&now);
        EXPECT_EQ(sigismember(&now, SIGUSR2), 0);
        sigprocmask(SIG_BLOCK, NULL, &now);
        EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
        EXPECT_EQ(umask(0), 027);
        _exit(check_failures != 0);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
    EXPECT_GT(alarm(0), 90);
}
