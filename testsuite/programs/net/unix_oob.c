// Out-of-band bytes of local streams (send(2), recv(2), sockatmark(3)).
#include "unix.h"
#define SIOCATMARK 0x8905

static int p[2];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }
static int at_mark(void) {
    int answer = -1;
    EXPECT_OK(ioctl(p[1], SIOCATMARK, &answer));
    return answer;
}

TEST(the_last_byte_is_urgent) {
    char b[8];
    streams();
    EXPECT_EQ(send(p[0], "abc", 3, MSG_OOB), 3);
    EXPECT_EQ(ready(p[1], POLLIN | POLLPRI), POLLIN | POLLPRI);
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB), 1);
    EXPECT_EQ(b[0], 'c');
    EXPECT_EQ(ready(p[1], POLLIN | POLLPRI), POLLIN);
    EXPECT_ERRNO(EINVAL, recv(p[1], b, 8, MSG_OOB));
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_DONTWAIT));
}
TEST(the_mark_parts_the_bytes) {
    char b[8];
    streams();
    send(p[0], "ab", 2, MSG_OOB);
    send(p[0], "cd", 2, 0);
    EXPECT_EQ(at_mark(), 0);
    EXPECT_EQ(recv(p[1], b, 8, 0), 1);
    EXPECT_EQ(at_mark(), 1);
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB), 1);
    EXPECT_EQ(b[0], 'b');
    EXPECT_EQ(at_mark(), 1);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
    EXPECT_EQ(b[0], 'c');
    EXPECT_EQ(at_mark(), 0);
}
TEST(an_urgent_byte_nobody_wants_is_lost) {
    char b[8];
    streams();
    send(p[0], "x", 1, MSG_OOB);
    send(p[0], "cd", 2, 0);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
    EXPECT_EQ(b[0], 'c');
    EXPECT_ERRNO(EINVAL, recv(p[1], b, 8, MSG_OOB));
}
TEST(a_newer_one_makes_it_ordinary) {
    char b[8];
    streams();
    send(p[0], "x", 1, MSG_OOB);
    send(p[0], "y", 1, MSG_OOB);
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB | MSG_PEEK), 1);
    EXPECT_EQ(b[0], 'y');
    EXPECT_EQ(recv(p[1], b, 8, 0), 1);
    EXPECT_EQ(b[0], 'x');
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB), 1);
    EXPECT_EQ(b[0], 'y');
}
TEST(inline) {
    char b[8];
    int on = 1;
    streams();
    EXPECT_OK(setsockopt(p[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
    send(p[0], "ab", 2, MSG_OOB);
    send(p[0], "c", 1, 0);
    EXPECT_ERRNO(EINVAL, recv(p[1], b, 8, MSG_OOB));
    EXPECT_EQ(recv(p[1], b, 8, 0), 1);
    EXPECT_EQ(at_mark(), 1);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
    EXPECT_EQ(memcmp(b, "bc", 2), 0);
}
TEST(peeks_pass_over_it) {
    char b[8];
    streams();
    send(p[0], "x", 1, MSG_OOB);
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_PEEK | MSG_DONTWAIT));
    send(p[0], "cd", 2, 0);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 2);
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB), 1);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 2);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
}
TEST(messages_tell) {
    char b[8];
    struct iovec iov = {b, 8};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    streams();
    send(p[0], "x", 1, MSG_OOB);
    EXPECT_EQ(recvmsg(p[1], &m, MSG_OOB), 1);
    EXPECT_EQ(m.msg_flags, MSG_OOB);
}
TEST(who_has_none) {
    char b[8];
    streams();
    EXPECT_ERRNO(EOPNOTSUPP, send(p[0], "", 0, MSG_OOB));
    EXPECT_ERRNO(EINVAL, recv(p[1], b, 8, MSG_OOB));
    EXPECT_ERRNO(EINVAL, recv(socket(AF_UNIX, SOCK_STREAM, 0), b, 8, MSG_OOB));
    ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    EXPECT_ERRNO(EOPNOTSUPP, send(p[0], "x", 1, MSG_OOB));
    EXPECT_ERRNO(EOPNOTSUPP, recv(p[1], b, 8, MSG_OOB));
    ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p));
    EXPECT_ERRNO(EOPNOTSUPP, send(p[0], "x", 1, MSG_OOB));
}
TEST(a_received_one_is_not_missed) {
    char b[8];
    streams();
    send(p[0], "x", 1, MSG_OOB);
    EXPECT_EQ(recv(p[1], b, 8, MSG_OOB), 1);
    close(p[1]);
    EXPECT_EQ(read(p[0], b, 8), 0);
    streams();
    send(p[0], "x", 1, MSG_OOB);
    close(p[1]);
    EXPECT_ERRNO(ECONNRESET, read(p[0], b, 8));
}
