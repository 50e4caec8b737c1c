// Descriptors and credentials in messages (unix(7), cmsg(3)).
#include "unix.h"

static int p[2];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }

TEST(a_descriptor_arrives) {
    int ends[2], got[4], flags;
    char b[4];
    streams();
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(send_fds(p[0], &ends[0], 1, "x", 1), 1);
    close(ends[0]);
    EXPECT_EQ(receive_fds(p[1], got, 4, MSG_CMSG_CLOEXEC, &flags), 1);
    EXPECT_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    write(ends[1], "abc", 3);
    EXPECT_EQ(read(got[0], b, 3), 3);
}
TEST(no_room_is_ctrunc) {
    int got[4], flags, fds[3] = {0, 1, 2};
    streams();
    int before = count_fds();
    EXPECT_EQ(send_fds(p[0], fds, 3, "x", 1), 1);
    EXPECT_EQ(receive_fds(p[1], got, 0, 0, &flags), 0);
    EXPECT_EQ(flags, MSG_CTRUNC);
    EXPECT_EQ(count_fds(), before);
    EXPECT_EQ(send_fds(p[0], fds, 3, "x", 1), 1);
    EXPECT_EQ(receive_fds(p[1], got, 2, 0, &flags), 2);
    EXPECT_EQ(flags, MSG_CTRUNC);
}
TEST(the_limit_is_ctrunc) {
    int got[4], flags, fds[3] = {0, 1, 2};
    streams();
    EXPECT_EQ(send_fds(p[0], fds, 3, "x", 1), 1);
    int top = dup(0);
    struct rlimit limit = {top + 1, top + 1};
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    close(top);
    EXPECT_EQ(receive_fds(p[1], got, 4, 0, &flags), 1);
    EXPECT_EQ(flags, MSG_CTRUNC);
}
TEST(bad_messages) {
    static int many[254];
    int bad = 999;
    streams();
    EXPECT_ERRNO(EBADF, send_fds(p[0], &bad, 1, "x", 1));
    EXPECT_ERRNO(EINVAL, send_fds(p[0], many, 254, "x", 1));
    EXPECT_EQ(send_fds(p[0], many, 253, "x", 1), 1);
}
TEST(a_read_closes_them) {
    int ends[2];
    char b;
    streams();
    ASSERT_OK(pipe(ends));
    send_fds(p[0], &ends[1], 1, "x", 1);
    close(ends[1]);
    EXPECT_EQ(read(p[1], &b, 1), 1);
    EXPECT_EQ(read(ends[0], &b, 1), 0);
}
TEST(a_cycle_is_collected) {
    int ends[2];
    char b;
    streams();
    ASSERT_OK(pipe(ends));
    // The socket flies in its own queue, and holds the pipe's end.
    EXPECT_EQ(send_fds(p[0], &p[1], 1, "x", 1), 1);
    EXPECT_EQ(send_fds(p[0], &ends[1], 1, "x", 1), 1);
    close(ends[1]);
    close(p[1]);
    close(p[0]);
    struct pollfd e = {.fd = ends[0], .events = POLLIN};
    EXPECT_EQ(poll(&e, 1, 5000), 1);
    EXPECT_EQ(read(ends[0], &b, 1), 0);
}
TEST(peers_are_known) {
    struct ucred c;
    socklen_t len = sizeof c;
    streams();
    EXPECT_OK(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &c, &len));
    EXPECT_EQ(c.pid, getpid());
    EXPECT_EQ(c.uid, geteuid());
    EXPECT_OK(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERCRED, &c, &len));
    EXPECT_EQ(c.pid, 0);
    EXPECT_EQ(c.uid, (uid_t)-1);
}
TEST(credentials_arrive) {
    int on = 1;
    char control[64], b;
    streams();
    EXPECT_OK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    send(p[0], "x", 1, 0);
    struct iovec iov = {&b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    EXPECT_EQ(recvmsg(p[1], &m, 0), 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ASSERT_TRUE(c && c->cmsg_type == SCM_CREDENTIALS);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->pid, getpid());
    EXPECT_EQ(m.msg_controllen, CMSG_SPACE(sizeof(struct ucred)));
}
// A datagram socket in flight to itself, which no close(2) of another one finds.
static void lose_one(int with) {
    int tries = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), fds[2] = {fd, with};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof name;
    ASSERT_OK(fd);
    ASSERT_OK(bind(fd, (void *)&name, 2));
    ASSERT_OK(getsockname(fd, (void *)&name, &len));
    ASSERT_OK(connect(fd, (void *)&name, len));
    // The host's collector is a thread of its own, which may be late.
    while (send_fds(fd, fds, 2, "x", 1) != 1) {
        ASSERT_EQ(errno, ETOOMANYREFS);
        ASSERT_TRUE(tries++ < 500);
        sleep_ms(10);
    }
    close(fd);
}
TEST_LIMIT(sending_collects, 40) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_max < 20000) SKIP("RLIMIT_NOFILE is too low");
    limit.rlim_cur = 20000;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < 11000; i++) lose_one(0);
}
TEST(a_close_collects_what_others_lost) {
    int ends[2];
    char b;
    ASSERT_OK(pipe(ends));
    lose_one(ends[1]);
    close(ends[1]);
    close(socket(AF_UNIX, SOCK_STREAM, 0));
    struct pollfd e = {.fd = ends[0], .events = POLLIN};
    EXPECT_EQ(poll(&e, 1, 5000), 1);
    EXPECT_EQ(read(ends[0], &b, 1), 0);
}
TEST(too_many_in_flight) {
    if (geteuid() == 0) SKIP("root may have any number");
    struct rlimit limit = {20, 20};
    int fds[8] = {0}, n = 0;
    streams();
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    while (n < 10 && send_fds(p[0], fds, 8, "x", 1) == 1) n++;
    EXPECT_EQ(errno, ETOOMANYREFS);
    EXPECT_LE(n, 3);
}
TEST(a_socket_in_flight_is_alive) {
    int q[2], got[1];
    char b;
    streams();
    ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, q));
    EXPECT_EQ(send_fds(p[0], &q[1], 1, "x", 1), 1);
    close(q[1]);
    write(q[0], "y", 1);
    close(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(receive_fds(p[1], got, 1, 0, NULL), 1);
    EXPECT_EQ(read(got[0], &b, 1), 1);
    EXPECT_EQ(b, 'y');
}
TEST(a_listener_in_its_own_backlog) {
    int ends[2], l = listener(SOCK_STREAM, "s", 1), c = socket(AF_UNIX, SOCK_STREAM, 0);
    char b;
    ASSERT_OK(pipe(ends));
    EXPECT_OK(at_path(c, "s", connect));
    int fds[2] = {l, ends[1]};
    EXPECT_EQ(send_fds(c, fds, 2, "x", 1), 1);
    close(ends[1]);
    close(l);
    close(c);
    struct pollfd e = {.fd = ends[0], .events = POLLIN};
    EXPECT_EQ(poll(&e, 1, 5000), 1);
    EXPECT_EQ(read(ends[0], &b, 1), 0);
}
TEST(a_chain_of_sockets_ends) {
    // Each holds the next in its queue: the end of the first ends all.
    int last[2], ends[2];
    char b;
    streams();
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(send_fds(p[0], &ends[1], 1, "x", 1), 1);
    close(ends[1]);
    for (int i = 0; i < 400; i++) {
        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, last));
        EXPECT_EQ(send_fds(last[0], p, 2, "x", 1), 1);
        close(p[0]);
        close(p[1]);
        memcpy(p, last, sizeof p);
    }
    close(p[0]);
    close(p[1]);
    struct pollfd e = {.fd = ends[0], .events = POLLIN};
    EXPECT_EQ(poll(&e, 1, 5000), 1);
    EXPECT_EQ(read(ends[0], &b, 1), 0);
}
TEST(a_peek_sees_what_follows) {
    int got[4], fds[1] = {0};
    char b[4], control[64];
    struct iovec iov = {b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    streams();
    write(p[0], "a", 1);
    EXPECT_EQ(send_fds(p[0], fds, 1, "b", 1), 1);
    // No room for the second byte, but for its descriptor.
    EXPECT_EQ(recvmsg(p[1], &m, MSG_PEEK), 1);
    EXPECT_EQ(m.msg_controllen, CMSG_SPACE(sizeof(int)));
    EXPECT_EQ(receive_fds(p[1], got, 4, 0, NULL), 1);
}
