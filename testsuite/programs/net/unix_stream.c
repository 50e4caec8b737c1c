// Local stream and seqpacket sockets: connections, ends, buffers (unix(7)).
#include "unix.h"

static int p[2];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }

TEST(a_pair_talks_both_ways) {
    char b[8];
    streams();
    EXPECT_EQ(write(p[0], "abc", 3), 3);
    EXPECT_EQ(read(p[1], b, 8), 3);
    EXPECT_EQ(write(p[1], "de", 2), 2);
    EXPECT_EQ(read(p[0], b, 8), 2);
}
TEST(a_stream_has_no_borders) {
    char b[8];
    streams();
    write(p[0], "ab", 2);
    write(p[0], "cd", 2);
    EXPECT_EQ(read(p[1], b, 3), 3);
    EXPECT_EQ(read(p[1], b, 3), 1);
}
TEST(the_end_follows_the_bytes) {
    char b[8];
    streams();
    write(p[0], "ab", 2);
    close(p[0]);
    EXPECT_EQ(read(p[1], b, 8), 2);
    EXPECT_EQ(read(p[1], b, 8), 0);
}
TEST(unread_bytes_reset_the_peer) {
    char b[8];
    streams();
    write(p[0], "ab", 2);
    close(p[1]);
    EXPECT_ERRNO(ECONNRESET, read(p[0], b, 8));
    EXPECT_EQ(read(p[0], b, 8), 0);
}
TEST(a_broken_pipe_signals) {
    streams();
    close(p[1]);
    EXPECT_ERRNO(EPIPE, send(p[0], "a", 1, MSG_NOSIGNAL));
    pid_t child = fork();
    if (child == 0) { write(p[0], "a", 1); _exit(0); }
    int status;
    waitpid(child, &status, 0);
    EXPECT_SIGNALED(SIGPIPE, status);
}
TEST(peek_leaves_the_bytes) {
    char b[8];
    streams();
    write(p[0], "abc", 3);
    EXPECT_EQ(recv(p[1], b, 2, MSG_PEEK), 2);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 3);
    EXPECT_EQ(recv(p[1], b, 8, 0), 3);
}
TEST(dontwait_does_not_wait) {
    char b[8];
    streams();
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_DONTWAIT));
    EXPECT_EQ(recv(p[1], b, 0, MSG_DONTWAIT), -1);
    EXPECT_EQ(read(p[1], b, 0), 0);
}
TEST(no_bytes_wanted) {
    char b[8];
    streams();
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 0, MSG_DONTWAIT));
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 0, MSG_DONTWAIT | MSG_WAITALL));
    write(p[0], "a", 1);
    EXPECT_EQ(recv(p[1], b, 0, 0), 0);
    EXPECT_EQ(recv(p[1], BAD_PTR, 0, MSG_PEEK | MSG_WAITALL), 0);
    EXPECT_EQ(recv(p[1], b, 8, 0), 1);
    close(p[0]);
    EXPECT_EQ(recv(p[1], b, 0, 0), 0);
}
TEST(waitall_waits_for_all) {
    char b[8];
    streams();
    if (fork() == 0) { write(p[0], "abc", 3); sleep_ms(20); write(p[0], "def", 3); _exit(0); }
    EXPECT_EQ(recv(p[1], b, 6, MSG_WAITALL), 6);
    EXPECT_EQ(memcmp(b, "abcdef", 6), 0);
}
TEST(waitall_ends_with_the_stream) {
    char b[8];
    streams();
    write(p[0], "abc", 3);
    close(p[0]);
    EXPECT_EQ(recv(p[1], b, 6, MSG_WAITALL), 3);
}
TEST(a_full_buffer_refuses) {
    static char b[65536];
    long total = 0, n;
    streams();
    nonblock(p[0]);
    while ((n = write(p[0], b, sizeof b)) > 0) total += n;
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_GT(total, 100000);
    EXPECT_LT(total, 1000000);
    EXPECT_EQ(ready(p[0], POLLOUT), 0);
    while (total > 0 && (n = read(p[1], b, sizeof b)) > 0) total -= n;
    EXPECT_EQ(ready(p[0], POLLOUT), POLLOUT);
}
TEST(a_blocking_write_writes_all) {
    static char b[1 << 20];
    streams();
    pid_t child = fork();
    if (child == 0) {
        long total = 0, n;
        close(p[0]);
        while ((n = read(p[1], b, 70000)) > 0) total += n;
        _exit(total == sizeof b ? 7 : 8);
    }
    close(p[1]);
    EXPECT_EQ(write(p[0], b, sizeof b), sizeof b);
    close(p[0]);
    int status;
    waitpid(child, &status, 0);
    EXPECT_EXITED(7, status);
}
TEST(shutdown_of_one_side) {
    char b[8];
    streams();
    write(p[0], "x", 1);
    EXPECT_OK(shutdown(p[0], SHUT_WR));
    EXPECT_ERRNO(EPIPE, send(p[0], "a", 1, MSG_NOSIGNAL));
    EXPECT_EQ(read(p[1], b, 8), 1);
    EXPECT_EQ(read(p[1], b, 8), 0);
    EXPECT_EQ(write(p[1], "back", 4), 4);
    EXPECT_EQ(read(p[0], b, 8), 4);
    EXPECT_ERRNO(EINVAL, shutdown(p[0], 3));
}
TEST(shutdown_of_reading_breaks_the_writer) {
    char b[8];
    streams();
    EXPECT_OK(shutdown(p[1], SHUT_RD));
    EXPECT_EQ(read(p[1], b, 8), 0);
    EXPECT_ERRNO(EPIPE, send(p[0], "a", 1, MSG_NOSIGNAL));
}
TEST(vectors) {
    char a[2], b[4];
    streams();
    struct iovec out[2] = {{"ab", 2}, {"cdef", 4}}, in[2] = {{a, 2}, {b, 4}};
    EXPECT_EQ(writev(p[0], out, 2), 6);
    EXPECT_EQ(readv(p[1], in, 2), 6);
    EXPECT_EQ(memcmp(b, "cdef", 4), 0);
}
TEST(fionread_counts_all) {
    int n;
    streams();
    write(p[0], "ab", 2);
    write(p[0], "cde", 3);
    EXPECT_OK(ioctl(p[1], FIONREAD, &n));
    EXPECT_EQ(n, 5);
}
TEST(listen_and_accept) {
    char b[8];
    int l = listener(SOCK_STREAM, "s", 5), c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(c, "s", connect));
    EXPECT_EQ(write(c, "early", 5), 5);
    int a = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    EXPECT_OK(a);
    EXPECT_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(a, F_GETFL), O_RDWR | O_NONBLOCK);
    EXPECT_EQ(read(a, b, 8), 5);
    EXPECT_ERRNO(EINVAL, accept4(l, NULL, NULL, 1));
    EXPECT_ERRNO(EISCONN, at_path(c, "s", connect));
    EXPECT_ERRNO(EINVAL, listen(c, 1));
}
TEST(a_full_backlog) {
    int l = listener(SOCK_STREAM, "s", 1);
    for (int i = 0; i < 2; i++)
        EXPECT_OK(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "s", connect));
    int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_ERRNO(EAGAIN, at_path(c, "s", connect));
    EXPECT_OK(accept(l, NULL, NULL));
    EXPECT_OK(at_path(c, "s", connect));
}
TEST(a_full_backlog_blocks) {
    int l = listener(SOCK_STREAM, "s", 0), status;
    EXPECT_OK(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "s", connect));
    pid_t child = fork();
    if (child == 0) _exit(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "s", connect) == 0 ? 5 : 6);
    EXPECT_OK(accept(l, NULL, NULL));
    EXPECT_OK(accept(l, NULL, NULL));
    waitpid(child, &status, 0);
    EXPECT_EXITED(5, status);
}
TEST(a_closed_listener_resets) {
    char b;
    int l = listener(SOCK_STREAM, "s", 5), c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(c, "s", connect));
    close(l);
    EXPECT_ERRNO(ECONNRESET, read(c, &b, 1));
    EXPECT_ERRNO(ECONNREFUSED, at_path(socket(AF_UNIX, SOCK_STREAM, 0), "s", connect));
}
TEST(accept_needs_a_listener) {
    EXPECT_ERRNO(EINVAL, accept(socket(AF_UNIX, SOCK_STREAM, 0), NULL, NULL));
    EXPECT_ERRNO(EOPNOTSUPP, accept(socket(AF_UNIX, SOCK_DGRAM, 0), NULL, NULL));
    EXPECT_ERRNO(EOPNOTSUPP, listen(socket(AF_UNIX, SOCK_DGRAM, 0), 1));
    EXPECT_ERRNO(EINVAL, listen(socket(AF_UNIX, SOCK_STREAM, 0), 1));
    int l = listener(SOCK_STREAM | SOCK_NONBLOCK, "s", 1);
    EXPECT_ERRNO(EAGAIN, accept(l, NULL, NULL));
    EXPECT_OK(shutdown(l, SHUT_RD));
    EXPECT_ERRNO(EAGAIN, accept(l, NULL, NULL));
    EXPECT_OK(fcntl(l, F_SETFL, 0));
    EXPECT_ERRNO(EINVAL, accept(l, NULL, NULL));
}
TEST(seqpackets_keep_borders) {
    char b[8];
    ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p));
    EXPECT_EQ(write(p[0], "abcd", 4), 4);
    EXPECT_EQ(write(p[0], "ef", 2), 2);
    EXPECT_EQ(read(p[1], b, 2), 2);
    EXPECT_EQ(read(p[1], b, 8), 2);
    EXPECT_EQ(b[0], 'e');
    close(p[0]);
    EXPECT_EQ(read(p[1], b, 8), 0);
}
static void nothing(int sig) { (void)sig; }
TEST(a_signal_interrupts_without_restart) {
    char b;
    streams();
    struct sigaction act = {.sa_handler = nothing};
    sigaction(SIGALRM, &act, NULL);
    struct itimerval often = {{0, 10000}, {0, 10000}};
    setitimer(ITIMER_REAL, &often, NULL);
    EXPECT_ERRNO(EINTR, read(p[0], &b, 1));
}
TEST(a_timeout_forbids_the_restart) {
    char b;
    streams();
    struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &act, NULL);
    struct timeval limit = {5, 0};
    EXPECT_OK(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    struct itimerval often = {{0, 10000}, {0, 10000}};
    setitimer(ITIMER_REAL, &often, NULL);
    EXPECT_ERRNO(EINTR, read(p[0], &b, 1));
}
TEST(timeouts) {
    char b;
    streams();
    struct timeval limit = {0, 20000}, bad = {0, 1000000};
    EXPECT_OK(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    EXPECT_ERRNO(EAGAIN, read(p[0], &b, 1));
    EXPECT_ERRNO(EDOM, setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad));
}
TEST(what_a_pair_checks_first) {
    EXPECT_ERRNO(EINVAL, socketpair(44, SOCK_STREAM | 0x100, 0, BAD_PTR));
    EXPECT_ERRNO(EFAULT, socketpair(46, SOCK_STREAM, 0, BAD_PTR));
    EXPECT_ERRNO(EAFNOSUPPORT, socketpair(46, 12, 0, p));
    EXPECT_ERRNO(EINVAL, socketpair(AF_UNIX, 12, 0, p));
    EXPECT_ERRNO(EPROTONOSUPPORT, socketpair(AF_UNIX, SOCK_STREAM, 9, p));
    int before = count_fds();
    EXPECT_ERRNO(EFAULT, socketpair(AF_UNIX, SOCK_STREAM, 0, BAD_PTR));
    EXPECT_EQ(count_fds(), before);
}
TEST(connecting_to_oneself) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(fd, "s", bind));
    EXPECT_ERRNO(ECONNREFUSED, at_path(fd, "s", connect));
    EXPECT_OK(listen(fd, 3));
    EXPECT_ERRNO(EINVAL, at_path(fd, "s", connect));
    EXPECT_OK(listen(fd, 5));
}
TEST(who_has_no_peer) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char b[4];
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, 0));
    EXPECT_ERRNO(EINVAL, recv(fd, b, 4, 0));
    EXPECT_ERRNO(ENOTCONN, getpeername(fd, (void *)&name, &len));
    EXPECT_OK(shutdown(fd, SHUT_RDWR));
    EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
    EXPECT_ERRNO(ENOTCONN, send(socket(AF_UNIX, SOCK_SEQPACKET, 0), "x", 1, 0));
    EXPECT_ERRNO(ENOTCONN, recv(socket(AF_UNIX, SOCK_SEQPACKET, 0), b, 4, 0));
}
TEST(an_address_for_a_stream) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "x"};
    streams();
    EXPECT_ERRNO(EISCONN, sendto(p[0], "x", 1, 0, (void *)&name, sizeof name));
    EXPECT_ERRNO(EOPNOTSUPP, sendto(socket(AF_UNIX, SOCK_STREAM, 0), "x", 1, 0, (void *)&name, sizeof name));
    EXPECT_EQ(sendto(p[0], "x", 1, 0, (void *)&name, 0), 1);
}
TEST(spliced_bytes_have_a_sender) {
    int ends[2], on = 1;
    char control[64], b[8];
    struct iovec iov = {b, 8};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    streams();
    ASSERT_OK(pipe(ends));
    EXPECT_OK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    write(ends[1], "abc", 3);
    EXPECT_EQ(splice(ends[0], NULL, p[0], NULL, 8, 0), 3);
    EXPECT_EQ(recvmsg(p[1], &m, 0), 3);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ASSERT_TRUE(c && c->cmsg_type == SCM_CREDENTIALS);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->pid, getpid());
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->uid, getuid());
}
TEST(splices_from_a_socket) {
    int ends[2];
    char b[8];
    streams();
    ASSERT_OK(pipe(ends));
    EXPECT_ERRNO(EAGAIN, splice(p[1], NULL, ends[1], NULL, 8, SPLICE_F_NONBLOCK));
    write(p[0], "abc", 3);
    EXPECT_EQ(splice(p[1], NULL, ends[1], NULL, 8, 0), 3);
    EXPECT_EQ(read(ends[0], b, 8), 3);
    close(p[0]);
    EXPECT_EQ(splice(p[1], NULL, ends[1], NULL, 8, 0), 0);
}
TEST(waiting_for_all_loses_the_reset) {
    char b[8];
    streams();
    write(p[0], "xyz", 3);
    write(p[1], "abc", 3);
    close(p[1]);
    EXPECT_EQ(recv(p[0], b, 8, MSG_WAITALL), 3);
    EXPECT_EQ(recv(p[0], b, 8, 0), 0);
    streams();
    write(p[0], "xyz", 3);
    write(p[1], "abc", 3);
    close(p[1]);
    EXPECT_EQ(recv(p[0], b, 8, MSG_WAITALL | MSG_DONTWAIT), 3);
    EXPECT_EQ(recv(p[0], b, 8, 0), 0);
}
TEST(what_a_buffer_takes) {
    static char b[1 << 20];
    streams();
    // Six parts, each with what the kernel counts for it.
    EXPECT_EQ(send(p[0], b, sizeof b, MSG_DONTWAIT), 6 * 36544);
    ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    int n = 0;
    while (send(p[0], b, 9838, MSG_DONTWAIT) == 9838) n++;
    EXPECT_EQ(n, 13);
}
