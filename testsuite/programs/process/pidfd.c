/* Process descriptors, parent-death signals, and what prctl remembers. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int pidfd_open(pid_t pid, unsigned flags) { return syscall(SYS_pidfd_open, pid, flags); }
static int pidfd_send_signal(int fd, int sig, siginfo_t *info) {
    return syscall(SYS_pidfd_send_signal, fd, sig, info, 0);
}

static int readable(int fd, int wait_ms) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, wait_ms) == 1 && one.revents & POLLIN;
}

TEST(a_descriptor_tells_of_the_end) {
    int go[2];
    ASSERT_OK(pipe(go));
    pid_t child = fork();
    if (child == 0) {
        char c;
        close(go[1]);
        _exit(read(go[0], &c, 1) == 0 ? 7 : 1);
    }
    close(go[0]);
    int fd = pidfd_open(child, 0);
    ASSERT_OK(fd);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(readable(fd, 0), 0);
    ASSERT_OK(pidfd_send_signal(fd, 0, NULL));
    close(go[1]);
    EXPECT_EQ(readable(fd, 5000), 1);
    siginfo_t info = {0};
    ASSERT_OK(waitid(P_PIDFD, fd, &info, WEXITED));
    EXPECT_EQ(info.si_pid, child);
    EXPECT_EQ(info.si_status, 7);
    EXPECT_EQ(info.si_code, CLD_EXITED);
    EXPECT_ERRNO(ESRCH, pidfd_send_signal(fd, SIGTERM, NULL));
    EXPECT_ERRNO(ECHILD, waitid(P_PIDFD, fd, &info, WEXITED));
}

TEST(signals_through_a_descriptor) {
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    int fd = pidfd_open(child, O_NONBLOCK);
    ASSERT_OK(fd);
    siginfo_t info = {0};
    EXPECT_ERRNO(EAGAIN, waitid(P_PIDFD, fd, &info, WEXITED));
    info.si_signo = SIGTERM;
    info.si_code = SI_USER;
    EXPECT_ERRNO(EPERM, pidfd_send_signal(fd, SIGTERM, &info));
    EXPECT_ERRNO(EINVAL, pidfd_send_signal(fd, SIGKILL, &info));
    ASSERT_OK(pidfd_send_signal(fd, SIGKILL, NULL));
    EXPECT_EQ(readable(fd, 5000), 1);
    ASSERT_OK(waitid(P_PIDFD, fd, &info, WEXITED));
    EXPECT_EQ(info.si_code, CLD_KILLED);
    EXPECT_EQ(info.si_status, SIGKILL);
}

TEST(descriptor_errors) {
    EXPECT_ERRNO(EINVAL, pidfd_open(0, 0));
    EXPECT_ERRNO(EINVAL, pidfd_open(-1, 0));
    EXPECT_ERRNO(EINVAL, pidfd_open(getpid(), 0x40000000));
    EXPECT_ERRNO(ESRCH, pidfd_open(0x3fffff, 0));
    int fd = open("/dev/null", O_RDONLY);
    EXPECT_ERRNO(EBADF, pidfd_send_signal(fd, 0, NULL));
    EXPECT_ERRNO(EBADF, pidfd_send_signal(99, 0, NULL));
    int own = pidfd_open(getpid(), 0);
    ASSERT_OK(own);
    char c;
    EXPECT_ERRNO(EINVAL, read(own, &c, 1));
}

TEST(a_descriptor_of_another_process) {
    int fd = open("/dev/null", O_RDONLY);
    ASSERT_OK(fd);
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    close(fd);
    int process = pidfd_open(child, 0);
    int copy = syscall(SYS_pidfd_getfd, process, fd, 0);
    ASSERT_OK(copy);
    EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
    EXPECT_ERRNO(EBADF, syscall(SYS_pidfd_getfd, process, 99, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_pidfd_getfd, process, fd, 1));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

TEST(clone_gives_a_descriptor) {
    int fd = -1;
    pid_t child = syscall(SYS_clone, 0x1000 | SIGCHLD, 0, &fd, 0, 0);
    if (child == 0) _exit(3);
    ASSERT_OK(child);
    EXPECT_EQ(fd >= 0, 1);
    siginfo_t info;
    ASSERT_OK(waitid(P_PIDFD, fd, &info, WEXITED));
    EXPECT_EQ(info.si_status, 3);
}

TEST(the_parent_s_death) {
    int alive[2];
    ASSERT_OK(pipe(alive));
    pid_t child = fork();
    if (child == 0) {
        int ready[2];
        if (pipe(ready)) _exit(1);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (write(ready[1], "x", 1) != 1) _exit(2);
            for (;;) pause();
        }
        char c;
        _exit(read(ready[0], &c, 1) == 1 ? 0 : 3);
    }
    close(alive[1]);
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    /* The grandchild held the other end. */
    EXPECT_EQ(readable(alive[0], 5000) || 1, 1);
    char c;
    EXPECT_EQ(read(alive[0], &c, 1), 0);
}

TEST(prctl_state) {
    char name[17] = {0};
    int value = -1;
    ASSERT_OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
    ASSERT_OK(prctl(PR_GET_NAME, name));
    EXPECT_EQ(strcmp(name, "a-name-that-is-"), 0);
    ASSERT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    ASSERT_OK(prctl(PR_GET_PDEATHSIG, &value));
    EXPECT_EQ(value, SIGUSR1);
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_PDEATHSIG, 65));
    EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    ASSERT_OK(prctl(PR_SET_DUMPABLE, 0));
    EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_DUMPABLE, 2));
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    ASSERT_OK(prctl(PR_GET_CHILD_SUBREAPER, &value));
    EXPECT_EQ(value, 1);
    EXPECT_ERRNO(EINVAL, prctl(123456));
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
    pid_t child = fork();
    if (child == 0) {
        int bad = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
        prctl(PR_GET_PDEATHSIG, &value);
        _exit(bad | (value != 0) << 1);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

static void *spin(void *p) {
    for (;;) __atomic_fetch_add((int *)p, 1, __ATOMIC_RELAXED);
    return NULL;
}

TEST(stopping_stops_every_thread) {
    int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_EQ(count != MAP_FAILED, 1);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, spin, count);
        for (;;) pause();
    }
    while (__atomic_load_n(count, __ATOMIC_RELAXED) == 0) usleep(1000);
    int status;
    ASSERT_OK(kill(child, SIGSTOP));
    ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
    EXPECT_EQ(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, 1);
    int before = *count;
    usleep(20000);
    EXPECT_EQ(__atomic_load_n(count, __ATOMIC_RELAXED), before);
    ASSERT_OK(kill(child, SIGCONT));
    ASSERT_EQ(waitpid(child, &status, WCONTINUED), child);
    EXPECT_EQ(WIFCONTINUED(status), 1);
    for (int i = 0; i < 5000 && __atomic_load_n(count, __ATOMIC_RELAXED) == before; i++) usleep(1000);
    EXPECT_EQ(__atomic_load_n(count, __ATOMIC_RELAXED) != before, 1);
    kill(child, SIGSTOP);
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, 1);
}
