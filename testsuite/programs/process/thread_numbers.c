/* A thread's number where calls take a process's: which find the process, which the
 * thread, and which neither. */
#include "tasks.h"
#include <sys/resource.h>
#include <time.h>

static pid_t tid;
static int ended;
static void *wait_for_end(void *unused) {
    __atomic_store_n(&tid, gettid(), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) usleep(500);
    return unused;
}
static void with_thread(void) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, wait_for_end, NULL), 0);
    UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
}

TEST(group_and_session_are_its_processs) {
    with_thread();
    EXPECT_EQ(getpgid(tid), getpgrp());
    EXPECT_EQ(getsid(tid), getsid(0));
}

TEST(limits_are_its_processs) {
    with_thread();
    struct rlimit set = {33, 44}, got;
    EXPECT_OK(prlimit(tid, RLIMIT_NOFILE, &set, NULL));
    EXPECT_OK(getrlimit(RLIMIT_NOFILE, &got));
    EXPECT_EQ(got.rlim_cur, 33);
    EXPECT_OK(prlimit(tid, RLIMIT_NOFILE, NULL, &got));
    EXPECT_EQ(got.rlim_max, 44);
}

static volatile sig_atomic_t taken_by;
static void note(int sig) {
    (void)sig;
    taken_by = gettid();
}
TEST(kill_finds_its_process_and_prefers_it) {
    with_thread();
    signal(SIGUSR1, note);
    EXPECT_OK(kill(tid, 0));
    EXPECT_OK(kill(tid, SIGUSR1));
    UNTIL(taken_by != 0);
    EXPECT_EQ(taken_by, tid);
    union sigval value = {.sival_int = 1};
    taken_by = 0;
    EXPECT_OK(sigqueue(tid, SIGUSR1, value));
    UNTIL(taken_by != 0);
    EXPECT_EQ(taken_by, tid);
}

static void *block_and_wait(void *unused) {
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return wait_for_end(unused);
}
TEST(who_is_named_and_blocks_a_signal_leaves_it_to_others) {
    pthread_t thread;
    signal(SIGUSR1, note);
    ASSERT_EQ(pthread_create(&thread, NULL, block_and_wait, NULL), 0);
    UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
    EXPECT_OK(kill(tid, SIGUSR1));
    UNTIL(taken_by != 0);
    EXPECT_EQ(taken_by, getpid());
}

TEST(kill_of_a_group_does_not) {
    with_thread();
    EXPECT_ERRNO(ESRCH, kill(-tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, tid, tid, 0));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), tid, 0));
    EXPECT_OK(syscall(SYS_tkill, tid, 0));
}

TEST(waiting_does_not) {
    int fds[2];
    ASSERT_OK(pipe(fds));
    pid_t child = fork(), other = 0;
    if (child == 0) {
        with_thread();
        if (write(fds[1], &tid, sizeof tid) != sizeof tid) _exit(1);
        for (;;) pause();
    }
    ASSERT_EQ(read(fds[0], &other, sizeof other), sizeof other);
    siginfo_t info;
    EXPECT_ERRNO(ECHILD, waitpid(other, NULL, __WALL | WNOHANG));
    EXPECT_ERRNO(ECHILD, waitid(P_PID, other, &info, WEXITED | WNOHANG));
    EXPECT_ERRNO(EINVAL, setpgid(other, 0));
    EXPECT_ERRNO(ESRCH, getpriority(PRIO_PGRP, other));
    kill(child, SIGKILL);
    EXPECT_EQ(waitpid(child, NULL, 0), child);
}

TEST(its_directory_is_there_though_not_listed) {
    with_thread();
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    int fd = open(path, O_RDONLY);
    ASSERT_OK(fd);
    ssize_t n = read(fd, text, sizeof text - 1);
    ASSERT_TRUE(n > 0);
    text[n] = 0;
    char want[64];
    snprintf(want, sizeof want, "\nTgid:\t%d\n", getpid());
    EXPECT_TRUE(strstr(text, want) != NULL);
    snprintf(want, sizeof want, "\nPid:\t%d\n", tid);
    EXPECT_TRUE(strstr(text, want) != NULL);
}

TEST(each_ends_with_its_thread) {
    with_thread();
    ended = 1;
    UNTIL(syscall(SYS_tkill, tid, 0) == -1);
    EXPECT_ERRNO(ESRCH, getpgid(tid));
    EXPECT_ERRNO(ESRCH, getsid(tid));
    EXPECT_ERRNO(ESRCH, kill(tid, 0));
    struct rlimit got;
    EXPECT_ERRNO(ESRCH, prlimit(tid, RLIMIT_NOFILE, NULL, &got));
}
