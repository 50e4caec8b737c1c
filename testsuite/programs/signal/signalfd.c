/* signalfd4(2). */
#include "signals.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static int open_fd(uint64_t set, int flags) { return (int)syscall(SYS_signalfd4, -1, &set, 8, flags); }
static struct signalfd_siginfo take(int fd) {
    struct signalfd_siginfo info;
    memset(&info, 0xee, sizeof info);
    EXPECT_EQ(read(fd, &info, sizeof info), 128);
    return info;
}
static int is_ready(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1 && entry.revents == POLLIN;
}

TEST(errors) {
    uint64_t set = BIT(SIGUSR1);
    int ends[2];
    ASSERT_OK(pipe(ends));
    EXPECT_ERRNO(EINVAL, syscall(SYS_signalfd4, -1, &set, 4, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_signalfd4, -1, &set, 8, 1));
    EXPECT_ERRNO(EFAULT, syscall(SYS_signalfd4, -1, BAD_PTR, 8, 0));
    EXPECT_ERRNO(EBADF, syscall(SYS_signalfd4, 999, &set, 8, 0));
    EXPECT_ERRNO(EBADF, syscall(SYS_signalfd4, -2, &set, 8, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_signalfd4, ends[0], &set, 8, 0));
}

TEST(flags) {
    int fd = open_fd(0, SFD_CLOEXEC | SFD_NONBLOCK);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    fd = open_fd(0, 0);
    EXPECT_EQ(fcntl(fd, F_GETFD), 0);
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

TEST(reads_what_pends) {
    block(SIGUSR1), block(SIGUSR2);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    char small[128];
    EXPECT_ERRNO(EAGAIN, read(fd, small, 128));
    EXPECT_ERRNO(EINVAL, read(fd, small, 127));
    raise(SIGUSR2);
    EXPECT_EQ(is_ready(fd), 0);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(is_ready(fd), 1);
    struct signalfd_siginfo info = take(fd);
    EXPECT_EQ(info.ssi_signo, SIGUSR1);
    EXPECT_EQ(info.ssi_code, SI_USER);
    EXPECT_EQ(info.ssi_pid, getpid());
    EXPECT_EQ(info.ssi_uid, getuid());
    EXPECT_EQ(info.ssi_ptr, 0);
    EXPECT_EQ(is_ready(fd), 0);
    EXPECT_EQ(pending_now(), BIT(SIGUSR2));
}

TEST(several_at_once) {
    struct signalfd_siginfo infos[5];
    for (int sig = 40; sig < 44; sig++) block(sig);
    int fd = open_fd(~0ull, SFD_NONBLOCK);
    for (int sig = 43; sig >= 40; sig--) raw_queue(getpid(), sig, SI_QUEUE, sig * 10);
    EXPECT_EQ(read(fd, infos, sizeof infos - 1), 4 * 128);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(infos[i].ssi_signo, 40 + i);
        EXPECT_EQ(infos[i].ssi_int, (40 + i) * 10);
        EXPECT_EQ(infos[i].ssi_ptr, (40 + i) * 10);
        EXPECT_EQ(infos[i].ssi_code, SI_QUEUE);
    }
    EXPECT_ERRNO(EAGAIN, read(fd, infos, 128));
}

TEST(a_child_is_described) {
    block(SIGCHLD);
    int fd = open_fd(BIT(SIGCHLD), 0);
    pid_t pid = fork();
    if (pid == 0) _exit(77);
    struct signalfd_siginfo info = take(fd);
    EXPECT_EQ(info.ssi_signo, SIGCHLD);
    EXPECT_EQ(info.ssi_code, CLD_EXITED);
    EXPECT_EQ(info.ssi_pid, pid);
    EXPECT_EQ(info.ssi_status, 77);
    waitpid(pid, NULL, 0);
}

TEST(a_timer_is_described) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = (void *)0x123456789};
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), 0);
    ASSERT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = {.it_value = {0, 1000000}};
    ASSERT_OK(syscall(SYS_timer_settime, id, 0, &soon, NULL));
    struct signalfd_siginfo info = take(fd);
    EXPECT_EQ(info.ssi_code, SI_TIMER);
    EXPECT_EQ(info.ssi_tid, id);
    EXPECT_EQ(info.ssi_overrun, 0);
    EXPECT_EQ(info.ssi_ptr, 0x123456789);
    EXPECT_EQ(info.ssi_int, 0x23456789);
}

TEST(the_set_can_be_changed) {
    uint64_t other = BIT(SIGUSR2);
    block(SIGUSR1), block(SIGUSR2);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    raise(SIGUSR2);
    EXPECT_EQ(is_ready(fd), 0);
    EXPECT_EQ(syscall(SYS_signalfd4, fd, &other, 8, 0), fd);
    EXPECT_EQ(is_ready(fd), 1);
    EXPECT_EQ(take(fd).ssi_signo, SIGUSR2);
}

static void *widen(void *fd) {
    uint64_t both = BIT(SIGUSR1) | BIT(SIGUSR2);
    wait_state(getpid(), getpid(), 'S');
    usleep(1000);
    syscall(SYS_signalfd4, *(int *)fd, &both, 8, 0);
    return NULL;
}
TEST(changing_the_set_wakes_a_reader) {
    pthread_t thread;
    block(SIGUSR1), block(SIGUSR2);
    int fd = open_fd(BIT(SIGUSR1), 0);
    kill(getpid(), SIGUSR2);
    pthread_create(&thread, NULL, widen, &fd);
    EXPECT_EQ(take(fd).ssi_signo, SIGUSR2);
    pthread_join(thread, NULL);
}

TEST(kill_and_stop_are_left_out) {
    char path[64], text[512];
    int fd = open_fd(~0ull, 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    ssize_t n = read(info, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = 0;
    EXPECT_TRUE(strstr(text, "sigmask:\tfffffffffffbfeff") != NULL);
}

/* What it gives is of the thread that reads, not of the one that made it. */
static void *read_mine(void *fd) {
    struct signalfd_siginfo info = {0};
    raise(SIGUSR1); /* to this thread */
    EXPECT_EQ(read(*(int *)fd, &info, sizeof info), 128);
    EXPECT_EQ(info.ssi_signo, SIGUSR1);
    EXPECT_EQ(info.ssi_code, SI_TKILL);
    EXPECT_ERRNO(EAGAIN, read(*(int *)fd, &info, sizeof info));
    return NULL;
}
TEST(a_thread_reads_its_own) {
    pthread_t thread;
    block(SIGUSR1), block(SIGUSR2);
    int fd = open_fd(BIT(SIGUSR1) | BIT(SIGUSR2), SFD_NONBLOCK);
    raise(SIGUSR2); /* to the main thread: nobody else's business */
    pthread_create(&thread, NULL, read_mine, &fd);
    pthread_join(thread, NULL);
    EXPECT_EQ(take(fd).ssi_signo, SIGUSR2);
}

TEST(a_thread_may_read_the_processs) {
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    pthread_t thread;
    pthread_create(&thread, NULL, read_mine, &fd);
    pthread_join(thread, NULL);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(take(fd).ssi_code, SI_USER);
}

/* A forked child reads its own signals from the same descriptor. */
TEST(a_forked_child_reads_its_own) {
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    kill(getpid(), SIGUSR1);
    pid_t pid = fork();
    if (pid == 0) {
        struct signalfd_siginfo info;
        if (read(fd, &info, sizeof info) != -1 || errno != EAGAIN || is_ready(fd)) _exit(1);
        kill(getpid(), SIGUSR1);
        if (!is_ready(fd) || read(fd, &info, sizeof info) != 128) _exit(2);
        _exit(info.ssi_pid != (uint32_t)getpid());
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(take(fd).ssi_pid, getpid());
}

TEST(a_forked_child_waits_for_its_own) {
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct signalfd_siginfo info;
        if (read(fd, &info, sizeof info) != 128) _exit(1);
        _exit(info.ssi_pid != (uint32_t)getppid());
    }
    ASSERT_TRUE(wait_state(pid, pid, 'S'));
    usleep(1000);
    kill(pid, SIGUSR1);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

TEST(a_forked_child_polls_for_its_own) {
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        _exit(poll(&entry, 1, 20000) != 1);
    }
    ASSERT_TRUE(wait_state(pid, pid, 'S'));
    usleep(1000);
    kill(pid, SIGUSR1);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

static void *raise_later(void *unused) {
    wait_state(getpid(), getpid(), 'S');
    usleep(1000);
    kill(getpid(), SIGUSR1);
    return unused;
}
TEST(epoll_tells) {
    pthread_t thread;
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), 0), poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 5}, got = {0};
    ASSERT_OK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
    EXPECT_EQ(epoll_wait(poller, &got, 1, 0), 0);
    pthread_create(&thread, NULL, raise_later, NULL);
    EXPECT_EQ(epoll_wait(poller, &got, 1, 20000), 1);
    EXPECT_EQ(got.data.u32, 5);
    pthread_join(thread, NULL);
    take(fd);
    EXPECT_EQ(epoll_wait(poller, &got, 1, 0), 0);
}

/* What is not blocked is handled, not read. */
TEST(open_signals_are_handled) {
    catch_with(SIGUSR1, 0);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    raise(SIGUSR1);
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(is_ready(fd), 0);
}

TEST(exec_keeps_the_descriptor) {
    block(SIGUSR1);
    int fd = open_fd(BIT(SIGUSR1), SFD_NONBLOCK);
    ASSERT_EQ(dup2(fd, 50), 50);
    pid_t pid = fork();
    if (pid == 0) {
        char self[256];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        kill(getpid(), SIGUSR1);
        setenv("AFTER_EXEC", "1", 1);
        execl(self, self, "--no-fork", "read_after_exec", NULL);
        _exit(9);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}
TEST(read_after_exec) {
    if (!getenv("AFTER_EXEC")) return;
    EXPECT_EQ(take(50).ssi_signo, SIGUSR1);
}
