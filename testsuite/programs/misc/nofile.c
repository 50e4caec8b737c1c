/* RLIMIT_NOFILE: what it forbids, and what it does not. */
#include "check.h"
#include <grp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static void limit(rlim_t soft) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = soft;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Opens files until all numbers below `soft` are taken. */
static void fill(rlim_t soft) {
    limit(soft);
    while (open("/dev/null", O_RDONLY) >= 0) {}
    ASSERT_EQ(errno, EMFILE);
}

TEST(open_stops_below_the_limit) {
    limit(20);
    int fd, last = -1;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) last = fd;
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(last, 19);
    close(5);
    EXPECT_EQ(open("/dev/null", O_RDONLY), 5);
    EXPECT_ERRNO(EMFILE, open("/dev/null", O_RDONLY));
}

TEST(a_refused_open_creates_nothing) {
    fill(16);
    EXPECT_ERRNO(EMFILE, open("new", O_CREAT | O_WRONLY, 0644));
    EXPECT_ERRNO(ENOENT, access("new", F_OK));
    EXPECT_ERRNO(EMFILE, open("no/such/file", O_RDONLY));
}

TEST(dup_and_dup2) {
    fill(16);
    EXPECT_ERRNO(EMFILE, dup(0));
    EXPECT_ERRNO(EBADF, dup2(0, 16));
    EXPECT_ERRNO(EBADF, dup2(0, 1000));
    EXPECT_ERRNO(EBADF, dup2(0, -1));
    EXPECT_EQ(dup2(0, 15), 15);
    EXPECT_ERRNO(EBADF, dup2(16, 3));
    EXPECT_ERRNO(EBADF, syscall(SYS_dup3, 0, 16, 0));
    EXPECT_ERRNO(EBADF, syscall(SYS_dup3, 0, 1 << 30, O_CLOEXEC));
    EXPECT_EQ(syscall(SYS_dup3, 0, 15, O_CLOEXEC), 15);
    EXPECT_ERRNO(EINVAL, syscall(SYS_dup3, 0, 0, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_dup3, 0, 16, 1));
}

TEST(fcntl_dupfd) {
    fill(16);
    EXPECT_ERRNO(EMFILE, fcntl(0, F_DUPFD, 0));
    EXPECT_ERRNO(EMFILE, fcntl(0, F_DUPFD, 15));
    EXPECT_ERRNO(EINVAL, fcntl(0, F_DUPFD, 16));
    EXPECT_ERRNO(EINVAL, fcntl(0, F_DUPFD, -1));
    EXPECT_ERRNO(EINVAL, fcntl(0, F_DUPFD_CLOEXEC, 16));
    EXPECT_ERRNO(EBADF, fcntl(200, F_DUPFD, 16));
    close(9);
    EXPECT_ERRNO(EMFILE, fcntl(0, F_DUPFD, 10));
    EXPECT_EQ(fcntl(0, F_DUPFD, 3), 9);
}

TEST(a_pipe_at_the_edge_leaves_nothing) {
    int ends[2] = {-7, -7};
    fill(16);
    EXPECT_ERRNO(EMFILE, pipe(ends));
    close(9);
    int before = count_fds();
    EXPECT_ERRNO(EMFILE, pipe(ends));
    EXPECT_EQ(count_fds(), before);
    EXPECT_EQ(ends[0], -7);
    EXPECT_EQ(ends[1], -7);
    close(11);
    EXPECT_OK(pipe(ends));
    EXPECT_EQ(ends[0], 9);
    EXPECT_EQ(ends[1], 11);
}

TEST(whatever_makes_descriptors) {
    sigset_t none;
    sigemptyset(&none);
    fill(16);
    EXPECT_ERRNO(EMFILE, eventfd(0, 0));
    EXPECT_ERRNO(EMFILE, epoll_create1(0));
    EXPECT_ERRNO(EMFILE, timerfd_create(CLOCK_MONOTONIC, 0));
    EXPECT_ERRNO(EMFILE, signalfd(-1, &none, 0));
    EXPECT_ERRNO(EMFILE, memfd_create("x", 0));
    EXPECT_ERRNO(EMFILE, syscall(SYS_pidfd_open, getpid(), 0));
    EXPECT_ERRNO(EMFILE, socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_ERRNO(EMFILE, openat(AT_FDCWD, ".", O_DIRECTORY | O_RDONLY));
    EXPECT_ERRNO(EMFILE, openat(AT_FDCWD, ".", O_PATH));
}

TEST(arguments_count_before_the_limit) {
    fill(16);
    EXPECT_ERRNO(EINVAL, eventfd(0, 0x10));
    EXPECT_ERRNO(EINVAL, epoll_create1(1));
    EXPECT_ERRNO(EINVAL, timerfd_create(99, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_pipe2, BAD_PTR, 1));
}

TEST(lowering_keeps_what_is_open) {
    int high = fcntl(0, F_DUPFD, 40);
    ASSERT_EQ(high, 40);
    limit(10);
    EXPECT_OK(fcntl(high, F_GETFD));
    char byte;
    EXPECT_OK(read(open("/dev/zero", O_RDONLY), &byte, 1));
    struct stat st;
    EXPECT_OK(fstat(high, &st));
    /* It may be the source of a copy, and be closed, but not made again. */
    EXPECT_EQ(dup2(high, 9), 9);
    EXPECT_ERRNO(EBADF, dup2(0, high));
    EXPECT_EQ(dup2(high, high), high);
    EXPECT_OK(close(high));
    EXPECT_ERRNO(EBADF, dup2(0, 40));
}

TEST(zero_lets_nothing_be_opened) {
    limit(0);
    EXPECT_ERRNO(EMFILE, open("/dev/null", O_RDONLY));
    EXPECT_ERRNO(EMFILE, dup(0));
    EXPECT_ERRNO(EINVAL, fcntl(0, F_DUPFD, 0));
    EXPECT_ERRNO(EBADF, dup2(0, 1));
    EXPECT_EQ(dup2(0, 0), 0);
    limit(64);
    EXPECT_OK(open("/dev/null", O_RDONLY));
}

TEST(the_limit_is_the_processes) {
    struct rlimit old, new = {12, 4096}, now;
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
    if (old.rlim_max < new.rlim_max) new.rlim_max = old.rlim_max;
    ASSERT_OK(prlimit(0, RLIMIT_NOFILE, &new, &now));
    EXPECT_EQ(now.rlim_cur, old.rlim_cur);
    EXPECT_EQ(now.rlim_max, old.rlim_max);
    ASSERT_OK(prlimit(getpid(), RLIMIT_NOFILE, NULL, &now));
    EXPECT_EQ(now.rlim_cur, 12);
    EXPECT_EQ(now.rlim_max, new.rlim_max);
    EXPECT_EQ(sysconf(_SC_OPEN_MAX), 12);
    EXPECT_EQ(getdtablesize(), 12);
}

static void child_has_17(void) {
    struct rlimit now;
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &now));
    EXPECT_EQ(now.rlim_cur, 17);
    limit(18);
}
TEST(children_inherit_a_copy) {
    limit(17);
    EXPECT_EXITED(0, in_child(child_has_17));
    struct rlimit now;
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &now));
    EXPECT_EQ(now.rlim_cur, 17);
}

TEST(raising) {
    if (geteuid() == 0) {
        ASSERT_OK(setgroups(0, NULL));
        ASSERT_OK(setresgid(65534, 65534, 65534));
        ASSERT_OK(setresuid(65534, 65534, 65534));
    }
    struct rlimit now = {10, 100};
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &now));
    now.rlim_cur = 100;
    EXPECT_OK(setrlimit(RLIMIT_NOFILE, &now));
    now.rlim_cur = 101;
    EXPECT_ERRNO(EINVAL, setrlimit(RLIMIT_NOFILE, &now));
    now.rlim_max = 101;
    EXPECT_ERRNO(EPERM, setrlimit(RLIMIT_NOFILE, &now));
    now.rlim_cur = now.rlim_max = RLIM_INFINITY;
    EXPECT_ERRNO(EPERM, setrlimit(RLIMIT_NOFILE, &now));
    now.rlim_cur = now.rlim_max = 99;
    EXPECT_OK(setrlimit(RLIMIT_NOFILE, &now));
}

TEST(limit_calls_arguments) {
    struct rlimit now;
    EXPECT_ERRNO(EINVAL, prlimit(0, 16, NULL, &now));
    EXPECT_ERRNO(EINVAL, prlimit(0, -1, NULL, &now));
    EXPECT_ERRNO(ESRCH, prlimit(0x3ffffff, RLIMIT_NOFILE, NULL, &now));
    EXPECT_ERRNO(ESRCH, prlimit(-1, RLIMIT_NOFILE, NULL, &now));
    EXPECT_ERRNO(EFAULT, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BAD_PTR, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, BAD_PTR));
    EXPECT_OK(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, NULL));
}

TEST(poll_takes_no_more_descriptors_than_the_limit) {
    static struct { int fd; short events, revents; } set[64];
    limit(16);
    struct timespec zero = {0, 0};
    EXPECT_EQ(syscall(SYS_ppoll, set, 16, &zero, NULL, 8), syscall(SYS_ppoll, set, 16, &zero, NULL, 8));
    EXPECT_ERRNO(EINVAL, syscall(SYS_ppoll, set, 17, &zero, NULL, 8));
}

TEST(the_status_file_is_read_with_one_left) {
    fill(16);
    close(15);
    int fd = open("/proc/self/limits", O_RDONLY);
    EXPECT_EQ(fd, 15);
    char text[4096];
    int n = read(fd, text, sizeof text - 1);
    ASSERT_TRUE(n > 0);
    text[n] = 0;
    char *at = strstr(text, "Max open files");
    ASSERT_TRUE(at != NULL);
    EXPECT_EQ(atoi(at + 14), 16);
}

static void send_fds(int to, int count) {
    char space[CMSG_SPACE(8 * sizeof(int))], byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    memset(space, 0, sizeof space);
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (int i = 0; i < count; i++) ((int *)CMSG_DATA(head))[i] = 0;
    ASSERT_EQ(sendmsg(to, &msg, 0), 1);
}

TEST(received_descriptors_are_cut_off) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) SKIP("no socket pairs here");
    send_fds(pair[0], 4);
    fill(16);
    close(8), close(9);
    char space[CMSG_SPACE(8 * sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ASSERT_EQ(recvmsg(pair[1], &msg, 0), 1);
    EXPECT_TRUE(msg.msg_flags & MSG_CTRUNC);
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    ASSERT_TRUE(head != NULL);
    EXPECT_EQ(head->cmsg_len, CMSG_LEN(2 * sizeof(int)));
    EXPECT_EQ(((int *)CMSG_DATA(head))[0], 8);
    EXPECT_EQ(((int *)CMSG_DATA(head))[1], 9);
}
