// Local datagram sockets (unix(7)).
#include "unix.h"

static int p[2];
static void pair(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p)); }
static int bound(const char *path) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ASSERT_OK(at_path(fd, path, bind));
    return fd;
}
static ssize_t send_path(int fd, const char *path, const char *text, int flags) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, path);
    return sendto(fd, text, strlen(text), flags, (void *)&name, sizeof name);
}

TEST(borders_are_kept) {
    char b[8];
    pair();
    EXPECT_EQ(send(p[0], "abcd", 4, 0), 4);
    EXPECT_EQ(send(p[0], "", 0, 0), 0);
    EXPECT_EQ(send(p[0], "ef", 2, 0), 2);
    EXPECT_EQ(recv(p[1], b, 2, 0), 2);
    EXPECT_EQ(recv(p[1], b, 8, 0), 0);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
}
TEST(trunc_tells_the_length) {
    char b[2];
    pair();
    send(p[0], "abcd", 4, 0);
    EXPECT_EQ(recv(p[1], b, 2, MSG_TRUNC | MSG_PEEK), 4);
    struct iovec iov = {b, 2};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    EXPECT_EQ(recvmsg(p[1], &m, 0), 2);
    EXPECT_EQ(m.msg_flags, MSG_TRUNC);
}
TEST(a_name_to_answer_to) {
    char b[8];
    struct sockaddr_un from;
    socklen_t len = sizeof from;
    int a = bound("a"), c = bound("c");
    EXPECT_EQ(send_path(a, "c", "hi", 0), 2);
    EXPECT_EQ(recvfrom(c, b, 8, 0, (void *)&from, &len), 2);
    EXPECT_EQ(len, PATH_AT + 2);
    EXPECT_STR(from.sun_path, "a");
}
TEST(no_name_to_answer_to) {
    char b[8];
    struct sockaddr_un from;
    socklen_t len = sizeof from;
    int c = bound("c");
    EXPECT_EQ(send_path(socket(AF_UNIX, SOCK_DGRAM, 0), "c", "hi", 0), 2);
    EXPECT_EQ(recvfrom(c, b, 8, 0, (void *)&from, &len), 2);
    EXPECT_EQ(len, 0);
}
TEST(nobody_there) {
    int a = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_ERRNO(ENOENT, send_path(a, "none", "x", 0));
    EXPECT_ERRNO(ENOTCONN, send(a, "x", 1, 0));
    int c = bound("c");
    close(c);
    EXPECT_ERRNO(ECONNREFUSED, send_path(a, "c", "x", 0));
    listener(SOCK_STREAM, "s", 1);
    EXPECT_ERRNO(EPROTOTYPE, send_path(a, "s", "x", 0));
}
TEST(a_peer_that_goes_is_refused_once) {
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), c = bound("c");
    EXPECT_OK(at_path(a, "c", connect));
    close(c);
    EXPECT_ERRNO(ECONNREFUSED, send(a, "x", 1, 0));
    EXPECT_ERRNO(ENOTCONN, send(a, "x", 1, 0));
}
TEST(connected_elsewhere_is_eperm) {
    int a = bound("a"), c = bound("c");
    EXPECT_OK(at_path(a, "c", connect));
    int stranger = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_ERRNO(EPERM, send_path(stranger, "a", "x", 0));
    EXPECT_ERRNO(EPERM, at_path(stranger, "a", connect));
    EXPECT_EQ(send_path(c, "a", "x", 0), 1);
}
TEST(disconnect) {
    pair();
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    EXPECT_OK(connect(p[0], &none, sizeof none));
    EXPECT_ERRNO(ENOTCONN, send(p[0], "x", 1, 0));
}
TEST(too_long) {
    static char b[1 << 20];
    pair();
    EXPECT_ERRNO(EMSGSIZE, send(p[0], b, sizeof b, 0));
}
TEST(a_pair_closed_is_refused_without_signal) {
    pair();
    close(p[1]);
    EXPECT_ERRNO(ECONNREFUSED, write(p[0], "x", 1));
}
TEST(shutdown_is_epipe_without_signal) {
    pair();
    EXPECT_OK(shutdown(p[0], SHUT_WR));
    EXPECT_ERRNO(EPIPE, write(p[0], "x", 1));
}
TEST(a_queue_is_bounded) {
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), c = bound("c"), n = 0;
    char b[8];
    EXPECT_OK(at_path(a, "c", connect));
    nonblock(a);
    while (n < 5000 && send(a, "x", 1, 0) == 1) n++;
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_LT(n, 5000);
    EXPECT_EQ(ready(a, POLLOUT), 0);
    while (n-- > 0) EXPECT_EQ(recv(c, b, 8, 0), 1);
    EXPECT_EQ(ready(a, POLLOUT), POLLOUT);
}
TEST(fionread_is_of_the_first) {
    int n;
    pair();
    send(p[0], "ab", 2, 0);
    send(p[0], "cde", 3, 0);
    EXPECT_OK(ioctl(p[1], FIONREAD, &n));
    EXPECT_EQ(n, 2);
}
TEST(many_messages) {
    char b[3][4];
    struct iovec iov[3];
    struct mmsghdr m[3];
    memset(m, 0, sizeof m);
    pair();
    for (int i = 0; i < 3; i++) {
        memcpy(b[i], "abcd", 4);
        iov[i] = (struct iovec){b[i], i + 1};
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    EXPECT_EQ(sendmmsg(p[0], m, 3, 0), 3);
    EXPECT_EQ(m[2].msg_len, 3);
    for (int i = 0; i < 3; i++) iov[i].iov_len = 4;
    EXPECT_EQ(recvmmsg(p[1], m, 3, MSG_DONTWAIT, NULL), 3);
    EXPECT_EQ(m[1].msg_len, 2);
    EXPECT_ERRNO(EAGAIN, recvmmsg(p[1], m, 3, MSG_DONTWAIT, NULL));
}
TEST(a_new_peer_loses_what_came) {
    char b[8];
    int v;
    socklen_t len = sizeof v;
    pair();
    bound("c");
    send(p[1], "x", 1, 0);
    EXPECT_OK(at_path(p[0], "c", connect));
    EXPECT_ERRNO(EAGAIN, recv(p[0], b, 8, MSG_DONTWAIT));
    EXPECT_OK(getsockopt(p[1], SOL_SOCKET, SO_ERROR, &v, &len));
    EXPECT_EQ(v, ECONNRESET);
    EXPECT_ERRNO(EPERM, send(p[1], "x", 1, 0));
}
TEST(the_same_peer_loses_nothing) {
    char b[8];
    int a = bound("a"), c = bound("c");
    EXPECT_OK(at_path(a, "c", connect));
    EXPECT_EQ(send_path(c, "a", "x", 0), 1);
    EXPECT_OK(at_path(a, "c", connect));
    EXPECT_EQ(recv(a, b, 8, MSG_DONTWAIT), 1);
}
TEST(talking_to_oneself) {
    char b[8];
    int a = bound("a");
    EXPECT_OK(at_path(a, "a", connect));
    EXPECT_EQ(send(a, "x", 1, 0), 1);
    EXPECT_EQ(recv(a, b, 8, 0), 1);
    EXPECT_EQ(send_path(a, "a", "y", 0), 1);
}
TEST(a_bad_message_after_good_ones) {
    char b[4];
    struct iovec iov[3] = {{b, 4}, {BAD_PTR, 4}, {b, 4}};
    struct mmsghdr m[3];
    memset(m, 0, sizeof m);
    for (int i = 0; i < 3; i++) m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    pair();
    for (int i = 0; i < 3; i++) send(p[0], "x", 1, 0);
    EXPECT_EQ(recvmmsg(p[1], m, 3, 0, NULL), 1);
    // The error waits for the next call.
    EXPECT_ERRNO(EFAULT, recvmmsg(p[1], m, 1, 0, NULL));
    EXPECT_EQ(recvmmsg(p[1], m, 1, MSG_DONTWAIT, NULL), 1);
    EXPECT_EQ(sendmmsg(p[0], m, 3, 0), 1);
    EXPECT_ERRNO(EFAULT, sendmmsg(p[0], m + 1, 2, 0));
}
TEST(what_a_datagram_checks_first) {
    static char huge[8 << 20];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "nobody"};
    EXPECT_ERRNO(EMSGSIZE, sendto(fd, huge, sizeof huge, 0, (void *)&nobody, sizeof nobody));
    EXPECT_ERRNO(EFAULT, sendto(fd, BAD_PTR, 9, 0, (void *)&nobody, sizeof nobody));
    EXPECT_ERRNO(ENOENT, sendto(fd, huge, 9, 0, (void *)&nobody, sizeof nobody));
    EXPECT_ERRNO(EFAULT, send(fd, BAD_PTR, 9, 0));
    EXPECT_ERRNO(ENOTCONN, send(fd, huge, 9, 0));
    EXPECT_OK(shutdown(fd, SHUT_WR));
    EXPECT_ERRNO(EMSGSIZE, sendto(fd, huge, sizeof huge, 0, (void *)&nobody, sizeof nobody));
    EXPECT_ERRNO(EPIPE, sendto(fd, huge, 9, 0, (void *)&nobody, sizeof nobody));
    EXPECT_ERRNO(EPIPE, send(fd, huge, 9, 0));
}
TEST(a_vector_of_no_bytes_is_no_packet) {
    char b[4];
    struct iovec iov = {b, 0};
    pair();
    EXPECT_EQ(writev(p[0], &iov, 1), 0);
    EXPECT_EQ(writev(p[0], &iov, 0), 0);
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 4, MSG_DONTWAIT));
    EXPECT_EQ(write(p[0], b, 0), 0);
    EXPECT_EQ(recv(p[1], b, 4, MSG_DONTWAIT), 0);
}
