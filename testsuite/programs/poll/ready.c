/* poll, select, epoll, eventfd, timerfd, signalfd: who is ready, and waiting. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

TEST(poll_on_pipes) {
    int ends[2];
    ASSERT_OK(pipe(ends));
    struct pollfd fds[3] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLOUT}, {.fd = -1}};
    EXPECT_EQ(poll(fds, 3, 0), 1);
    EXPECT_EQ(fds[0].revents, 0);
    EXPECT_EQ(fds[1].revents, POLLOUT);
    write(ends[1], "x", 1);
    EXPECT_EQ(poll(fds, 3, -1), 2);
    EXPECT_EQ(fds[0].revents, POLLIN);
    close(ends[1]);
    EXPECT_EQ(poll(fds, 1, 0), 1);
    EXPECT_EQ(fds[0].revents, POLLIN | POLLHUP);
    fds[0].fd = 99;
    EXPECT_EQ(poll(fds, 1, 0), 1);
    EXPECT_EQ(fds[0].revents, POLLNVAL);
    ASSERT_OK(pipe(ends));
    close(ends[0]);
    fds[0].fd = ends[1], fds[0].events = POLLOUT;
    EXPECT_EQ(poll(fds, 1, 0), 1);
    EXPECT_EQ(fds[0].revents, POLLOUT | POLLERR);
    EXPECT_ERRNO(EFAULT, poll(BAD_PTR, 1, 0));
}

TEST(full_pipes) {
    int ends[2];
    ASSERT_OK(pipe2(ends, O_NONBLOCK));
    static char block[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = write(ends[1], block, sizeof block)) > 0) total += n;
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(total, 65536);
    struct pollfd fd = {.fd = ends[1], .events = POLLOUT};
    EXPECT_EQ(poll(&fd, 1, 0), 0);
    EXPECT_EQ(read(ends[0], block, 4096), 4096);
    EXPECT_EQ(poll(&fd, 1, 0), 1);
    EXPECT_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
}

static void *write_later(void *arg) {
    sleep_ms(40);
    return (void *)(intptr_t)write((int)(intptr_t)arg, "late", 4);
}
TEST(waiting_ends_when_data_comes) {
    int ends[2];
    char buf[8];
    pthread_t thread;
    ASSERT_OK(pipe(ends));
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    long long start = now_ns();
    pthread_create(&thread, NULL, write_later, (void *)(intptr_t)ends[1]);
    EXPECT_EQ(poll(&fd, 1, 5000), 1);
    EXPECT_GE(now_ns() - start, 35000000);
    EXPECT_EQ(read(ends[0], buf, 8), 4);
    pthread_join(thread, NULL);
    start = now_ns();
    EXPECT_EQ(poll(&fd, 1, 30), 0);
    EXPECT_GE(now_ns() - start, 30000000);
}

TEST(select_and_pselect) {
    int ends[2];
    fd_set in, out;
    struct timeval now = {0, 0}, soon = {0, 20000};
    ASSERT_OK(pipe(ends));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    EXPECT_EQ(select(ends[1] + 1, &in, &out, NULL, &now), 1);
    EXPECT_TRUE(!FD_ISSET(ends[0], &in) && FD_ISSET(ends[1], &out));
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    EXPECT_EQ(select(ends[1] + 1, &in, NULL, NULL, &soon), 0);
    EXPECT_EQ(soon.tv_sec + soon.tv_usec, 0);
    FD_SET(40, &in);
    EXPECT_ERRNO(EBADF, select(41, &in, NULL, NULL, &now));
    EXPECT_ERRNO(EINVAL, select(-1, NULL, NULL, NULL, &now));
}

static void nothing(int sig) { (void)sig; }
TEST(ppoll_swaps_the_mask) {
    sigset_t block, none;
    struct timespec limit = {5, 0};
    signal(SIGUSR1, nothing);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    EXPECT_ERRNO(EINTR, ppoll(NULL, 0, &limit, &none));
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    EXPECT_TRUE(sigismember(&now, SIGUSR1));
}

TEST(epoll_levels_edges_and_errors) {
    int ends[2], ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42}, got[4];
    char c;
    ASSERT_OK(ep);
    ASSERT_OK(pipe(ends));
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event));
    EXPECT_ERRNO(EEXIST, epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event));
    EXPECT_ERRNO(ENOENT, epoll_ctl(ep, EPOLL_CTL_MOD, ends[1], &event));
    EXPECT_ERRNO(EINVAL, epoll_ctl(ep, EPOLL_CTL_ADD, ep, &event));
    EXPECT_ERRNO(EBADF, epoll_ctl(ep, EPOLL_CTL_ADD, 99, &event));
    make_file("f", "");
    EXPECT_ERRNO(EPERM, epoll_ctl(ep, EPOLL_CTL_ADD, open("f", O_RDONLY), &event));
    EXPECT_ERRNO(EINVAL, epoll_wait(ep, got, 0, 0));
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 0);
    write(ends[1], "ab", 2);
    EXPECT_EQ(epoll_wait(ep, got, 4, -1), 1);
    EXPECT_EQ(got[0].data.u64, 42);
    EXPECT_EQ(got[0].events, EPOLLIN);
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 1); /* still */
    event.events = EPOLLIN | EPOLLET;
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_MOD, ends[0], &event));
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 1);
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 0); /* told once */
    write(ends[1], "c", 1);
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_MOD, ends[0], &event));
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 1);
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 0);
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_MOD, ends[0], &event));
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 1);
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_DEL, ends[0], NULL));
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 0);
    EXPECT_EQ(read(ends[0], &c, 1), 1);
    /* An epoll instance can be polled itself. */
    event.events = EPOLLIN;
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event));
    struct pollfd fd = {.fd = ep, .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 0), 1);
    close(ends[0]);
    EXPECT_EQ(epoll_wait(ep, got, 4, 0), 0);
}

TEST(eventfds) {
    uint64_t value = 0;
    int fd = eventfd(3, EFD_NONBLOCK);
    ASSERT_OK(fd);
    EXPECT_EQ(read(fd, &value, 8), 8);
    EXPECT_EQ(value, 3);
    EXPECT_ERRNO(EAGAIN, read(fd, &value, 8));
    value = 5;
    EXPECT_EQ(write(fd, &value, 8), 8);
    EXPECT_EQ(write(fd, &value, 8), 8);
    EXPECT_EQ(read(fd, &value, 8), 8);
    EXPECT_EQ(value, 10);
    EXPECT_ERRNO(EINVAL, read(fd, &value, 4));
    value = UINT64_MAX;
    EXPECT_ERRNO(EINVAL, write(fd, &value, 8));
    value = UINT64_MAX - 1;
    EXPECT_EQ(write(fd, &value, 8), 8);
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    EXPECT_EQ(poll(&p, 1, 0), 1);
    EXPECT_EQ(p.revents, POLLIN);
    fd = eventfd(2, EFD_SEMAPHORE);
    EXPECT_EQ(read(fd, &value, 8), 8);
    EXPECT_EQ(value, 1);
    EXPECT_ERRNO(EINVAL, eventfd(0, 0x12345));
}

TEST(timerfds) {
    struct itimerspec spec = {.it_value = {0, 20000000}, .it_interval = {0, 10000000}}, now;
    uint64_t ticks = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    ASSERT_OK(fd);
    EXPECT_ERRNO(EAGAIN, read(fd, &ticks, 8));
    EXPECT_OK(timerfd_settime(fd, 0, &spec, NULL));
    EXPECT_OK(timerfd_gettime(fd, &now));
    EXPECT_EQ(now.it_interval.tv_nsec, 10000000);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    EXPECT_EQ(poll(&p, 1, 1000), 1);
    sleep_ms(50);
    EXPECT_EQ(read(fd, &ticks, 8), 8);
    EXPECT_GE(ticks, 4);
    EXPECT_ERRNO(EINVAL, timerfd_create(77, 0));
}

TEST(signalfds) {
    sigset_t set;
    struct signalfd_siginfo info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    ASSERT_OK(fd);
    EXPECT_ERRNO(EAGAIN, read(fd, &info, sizeof info));
    kill(getpid(), SIGUSR1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    EXPECT_EQ(poll(&p, 1, 1000), 1);
    EXPECT_EQ(read(fd, &info, sizeof info), sizeof info);
    EXPECT_EQ(info.ssi_signo, SIGUSR1);
    EXPECT_EQ(info.ssi_pid, getpid());
}
