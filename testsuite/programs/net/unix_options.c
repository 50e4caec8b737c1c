// Options of local sockets (socket(7), unix(7)).
#include "unix.h"
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_INQ
#define SO_INQ 84
#endif
#define SCM_PIDFD_TYPE 4
#ifndef SO_PEERPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif

static int p[2];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }
static void datagrams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p)); }
static int set(int fd, int option, int value) { return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value); }
static int get(int fd, int option) {
    int value = -77;
    socklen_t len = sizeof value;
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, option, &value, &len));
    EXPECT_EQ(len, 4);
    return value;
}
static void flag(int fd, int option, int fresh) {
    EXPECT_EQ(get(fd, option), fresh);
    EXPECT_OK(set(fd, option, 5));
    EXPECT_EQ(get(fd, option), 1);
    EXPECT_OK(set(fd, option, 0));
    EXPECT_EQ(get(fd, option), 0);
}
// Receives a byte; the control message of the type, or NULL.
static char control[256];
static int last_flags;
static struct cmsghdr *receive(int fd, int type, int flags) {
    static char b[16];
    struct iovec iov = {b, sizeof b};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    memset(control, 0, sizeof control);
    EXPECT_GE(recvmsg(fd, &m, flags), 0);
    last_flags = m.msg_flags;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == type) return c;
    return NULL;
}

TEST(switches_are_kept) {
    int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int plain[] = {SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE, SO_PASSCRED,
                   SO_PASSSEC, SO_RXQ_OVFL, SO_NOFCS, SO_SELECT_ERR_QUEUE};
    for (int k = 0; k < 3; k++) {
        int fd = socket(AF_UNIX, kinds[k], 0);
        for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++) flag(fd, plain[i], 0);
        close(fd);
    }
}
TEST(stamps_exclude_each_other) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_OK(set(fd, SO_TIMESTAMP, 1));
    EXPECT_EQ(get(fd, SO_TIMESTAMP), 1);
    EXPECT_OK(set(fd, SO_TIMESTAMPNS, 1));
    EXPECT_EQ(get(fd, SO_TIMESTAMP), 0);
    EXPECT_EQ(get(fd, SO_TIMESTAMPNS), 1);
}
TEST(numbers_are_kept) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(get(fd, SO_RCVLOWAT), 1);
    EXPECT_OK(set(fd, SO_RCVLOWAT, 0));
    EXPECT_EQ(get(fd, SO_RCVLOWAT), 1);
    EXPECT_OK(set(fd, SO_RCVLOWAT, -1));
    EXPECT_EQ(get(fd, SO_RCVLOWAT), 0x7fffffff);
    EXPECT_OK(set(fd, SO_PRIORITY, 6));
    EXPECT_EQ(get(fd, SO_PRIORITY), 6);
    EXPECT_EQ(get(fd, SO_PEEK_OFF), -1);
    EXPECT_OK(set(fd, SO_PEEK_OFF, 3));
    EXPECT_EQ(get(fd, SO_PEEK_OFF), 3);
    EXPECT_EQ(get(fd, SO_SNDLOWAT), 1);
    EXPECT_ERRNO(ENOPROTOOPT, set(fd, SO_SNDLOWAT, 1));
    EXPECT_ERRNO(EOPNOTSUPP, set(fd, SO_REUSEPORT, 1));
}
TEST(what_cannot_be_set) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int fixed[] = {SO_TYPE, SO_ERROR, SO_PEERCRED, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN};
    for (unsigned i = 0; i < sizeof fixed / sizeof *fixed; i++) EXPECT_ERRNO(ENOPROTOOPT, set(fd, fixed[i], 1));
    char one = 1;
    EXPECT_ERRNO(EINVAL, setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, 1));
    EXPECT_ERRNO(EINVAL, setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, -1));
    EXPECT_ERRNO(EFAULT, setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, BAD_PTR, 4));
    EXPECT_ERRNO(EOPNOTSUPP, setsockopt(fd, 77, 1, BAD_PTR, 4));
}
TEST(privileges) {
    if (geteuid() == 0) SKIP("root has them");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERRNO(EACCES, set(fd, SO_DEBUG, 1));
    EXPECT_OK(set(fd, SO_DEBUG, 0));
    EXPECT_ERRNO(EPERM, set(fd, SO_PRIORITY, 7));
    EXPECT_ERRNO(EPERM, set(fd, SO_MARK, 1));
    EXPECT_ERRNO(EPERM, set(fd, SO_SNDBUFFORCE, 1000000));
    EXPECT_ERRNO(EPERM, set(fd, SO_RCVBUFFORCE, 1000000));
}
TEST(lingering) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct linger l = {1, 7}, got = {9, 9};
    socklen_t len = sizeof got;
    EXPECT_ERRNO(EINVAL, set(fd, SO_LINGER, 1));
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len));
    EXPECT_EQ(got.l_onoff, 0);
    EXPECT_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len));
    EXPECT_EQ(len, 8);
    EXPECT_EQ(got.l_onoff, 1);
    EXPECT_EQ(got.l_linger, 7);
}
TEST(answers_are_cut) {
    long v = -1;
    socklen_t len = 2;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
    EXPECT_EQ(len, 2);
    EXPECT_EQ(v, (long)0xffffffffffff0002);
    len = 0;
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, BAD_PTR, &len));
    EXPECT_ERRNO(EFAULT, getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, BAD_PTR));
    len = -1;
    EXPECT_ERRNO(EINVAL, getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
}
TEST(a_set_buffer_is_locked) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_EQ(get(fd, SO_BUF_LOCK), 0);
    EXPECT_OK(set(fd, SO_SNDBUF, 30000));
    EXPECT_EQ(get(fd, SO_BUF_LOCK), 1);
    EXPECT_OK(set(fd, SO_RCVBUF, 30000));
    EXPECT_EQ(get(fd, SO_BUF_LOCK), 3);
    EXPECT_ERRNO(EINVAL, set(fd, SO_BUF_LOCK, 4));
}
TEST(what_a_connection_inherits) {
    int l = listener(SOCK_STREAM, "s", 1), c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(set(l, SO_PASSCRED, 1));
    EXPECT_OK(set(l, SO_KEEPALIVE, 1));
    EXPECT_OK(set(l, SO_SNDBUF, 20000));
    EXPECT_OK(at_path(c, "s", connect));
    int a = accept(l, NULL, NULL);
    EXPECT_EQ(get(a, SO_PASSCRED), 1);
    EXPECT_EQ(get(a, SO_KEEPALIVE), 0);
    EXPECT_EQ(get(a, SO_SNDBUF), 212992);
    EXPECT_EQ(get(c, SO_PASSCRED), 0);
}
TEST(low_water) {
    char b[8];
    streams();
    EXPECT_OK(set(p[1], SO_RCVLOWAT, 4));
    if (fork() == 0) { write(p[0], "ab", 2); sleep_ms(20); write(p[0], "cd", 2); _exit(0); }
    EXPECT_EQ(read(p[1], b, 8), 4);
}
TEST(a_peek_moves_its_offset) {
    char b[8];
    streams();
    EXPECT_OK(set(p[1], SO_PEEK_OFF, 1));
    write(p[0], "abc", 3);
    write(p[0], "def", 3);
    EXPECT_EQ(recv(p[1], b, 1, MSG_PEEK), 1);
    EXPECT_EQ(b[0], 'b');
    EXPECT_EQ(get(p[1], SO_PEEK_OFF), 2);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 4);
    EXPECT_EQ(memcmp(b, "cdef", 4), 0);
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_PEEK | MSG_DONTWAIT));
    EXPECT_EQ(read(p[1], b, 4), 4);
    EXPECT_EQ(get(p[1], SO_PEEK_OFF), 2);
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_PEEK | MSG_DONTWAIT));
    write(p[0], "g", 1);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 1);
    EXPECT_EQ(b[0], 'g');
}
TEST(a_peek_walks_over_datagrams) {
    char b[8];
    datagrams();
    EXPECT_OK(set(p[1], SO_PEEK_OFF, 0));
    send(p[0], "abc", 3, 0);
    send(p[0], "", 0, 0);
    send(p[0], "de", 2, 0);
    EXPECT_EQ(recv(p[1], b, 2, MSG_PEEK), 2);
    EXPECT_EQ(recv(p[1], b, 1, MSG_PEEK | MSG_TRUNC), 1);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 0);
    EXPECT_EQ(recv(p[1], b, 8, MSG_PEEK), 2);
    EXPECT_EQ(b[0], 'd');
    EXPECT_ERRNO(EAGAIN, recv(p[1], b, 8, MSG_PEEK | MSG_DONTWAIT));
    EXPECT_EQ(recv(p[1], b, 1, 0), 1);
    EXPECT_EQ(get(p[1], SO_PEEK_OFF), 2);
}
TEST(credentials_are_noted_when_wanted) {
    streams();
    send(p[0], "x", 1, 0);
    EXPECT_OK(set(p[1], SO_PASSCRED, 1));
    struct cmsghdr *c = receive(p[1], SCM_CREDENTIALS, 0);
    ASSERT_TRUE(c);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->pid, 0);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->uid, 65534);
    send(p[0], "x", 1, 0);
    c = receive(p[1], SCM_CREDENTIALS, 0);
    ASSERT_TRUE(c);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->pid, getpid());
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->uid, getuid());
    EXPECT_EQ(((struct ucred *)CMSG_DATA(c))->gid, getgid());
}
TEST(noted_and_unnoted_bytes_are_not_joined) {
    char b[8];
    streams();
    send(p[0], "ab", 2, 0);
    EXPECT_OK(set(p[1], SO_PASSCRED, 1));
    send(p[0], "cd", 2, 0);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
    EXPECT_EQ(recv(p[1], b, 8, 0), 2);
}
TEST(early_messages_have_credentials) {
    int l = listener(SOCK_STREAM, "s", 1), c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(c, "s", connect));
    send(c, "x", 1, 0);
    int a = accept(l, NULL, NULL);
    EXPECT_OK(set(a, SO_PASSCRED, 1));
    struct cmsghdr *h = receive(a, SCM_CREDENTIALS, 0);
    ASSERT_TRUE(h);
    EXPECT_EQ(((struct ucred *)CMSG_DATA(h))->pid, getpid());
}
TEST(no_place_for_credentials) {
    char b;
    struct iovec iov = {&b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    streams();
    EXPECT_OK(set(p[1], SO_PASSCRED, 1));
    for (int i = 0; i < 3; i++) send(p[0], "x", 1, MSG_EOR);
    EXPECT_EQ(recvmsg(p[1], &m, 0), 1);
    EXPECT_EQ(m.msg_flags, MSG_CTRUNC);
    m.msg_control = BAD_PTR;
    m.msg_controllen = 64;
    EXPECT_EQ(recvmsg(p[1], &m, 0), 1);
    EXPECT_EQ(m.msg_flags, 0);
    EXPECT_EQ(m.msg_controllen, 0);
    m.msg_control = control;
    m.msg_controllen = 20;
    EXPECT_EQ(recvmsg(p[1], &m, 0), 1);
    EXPECT_EQ(m.msg_flags, MSG_CTRUNC);
    EXPECT_EQ(m.msg_controllen, 20);
    EXPECT_EQ(((struct cmsghdr *)control)->cmsg_len, 20);
}
static ssize_t claim(int fd, struct ucred who) {
    char buffer[CMSG_SPACE(sizeof who)];
    struct iovec iov = {"x", 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buffer, .msg_controllen = sizeof buffer};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof who);
    memcpy(CMSG_DATA(c), &who, sizeof who);
    return sendmsg(fd, &m, 0);
}
TEST(claims) {
    struct ucred me = {getpid(), getuid(), getgid()}, bad = me;
    streams();
    EXPECT_EQ(claim(p[0], me), 1);
    EXPECT_OK(set(p[1], SO_PASSCRED, 1));
    struct cmsghdr *c = receive(p[1], SCM_CREDENTIALS, 0);
    ASSERT_TRUE(c);
    EXPECT_EQ(memcmp(CMSG_DATA(c), &me, sizeof me), 0);
    bad.uid = -1;
    EXPECT_ERRNO(EINVAL, claim(p[0], bad));
    bad = me;
    bad.pid = 0x3fffffff;
    if (geteuid() == 0) { EXPECT_ERRNO(ESRCH, claim(p[0], bad)); }
    else EXPECT_ERRNO(EPERM, claim(p[0], bad));
    bad = me;
    bad.gid = me.gid + 1;
    if (geteuid() != 0) EXPECT_ERRNO(EPERM, claim(p[0], bad));
}
TEST(bad_controls) {
    char b[32] = {0};
    struct iovec iov = {"x", 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_controllen = 24};
    streams();
    EXPECT_ERRNO(EFAULT, sendmsg(p[0], &m, 0));
    m.msg_controllen = 1L << 31;
    EXPECT_ERRNO(ENOBUFS, sendmsg(p[0], &m, 0));
    m.msg_control = b;
    m.msg_controllen = sizeof b;
    EXPECT_ERRNO(EINVAL, sendmsg(p[0], &m, 0));
    m.msg_controllen = 5;
    EXPECT_EQ(sendmsg(p[0], &m, 0), 1);
    m.msg_namelen = -1;
    EXPECT_EQ(sendmsg(p[0], &m, 0), 1);
    m.msg_name = b;
    EXPECT_ERRNO(EINVAL, sendmsg(p[0], &m, 0));
}
TEST(stamps) {
    struct timeval now;
    datagrams();
    EXPECT_OK(set(p[1], SO_TIMESTAMP, 1));
    gettimeofday(&now, NULL);
    send(p[0], "x", 1, 0);
    struct cmsghdr *c = receive(p[1], SCM_TIMESTAMP, 0);
    ASSERT_TRUE(c);
    EXPECT_EQ(c->cmsg_len, CMSG_LEN(sizeof now));
    struct timeval *then = (struct timeval *)CMSG_DATA(c);
    EXPECT_LE((then->tv_sec - now.tv_sec) * 1000000 + then->tv_usec - now.tv_usec, 9000000);
    EXPECT_GE((then->tv_sec - now.tv_sec) * 1000000 + then->tv_usec - now.tv_usec, 0);
    EXPECT_OK(set(p[1], SO_TIMESTAMPNS, 1));
    send(p[0], "x", 1, 0);
    EXPECT_TRUE(receive(p[1], SCM_TIMESTAMPNS, 0));
    streams();
    EXPECT_OK(set(p[1], SO_TIMESTAMP, 1));
    send(p[0], "x", 1, 0);
    EXPECT_TRUE(!receive(p[1], SCM_TIMESTAMP, 0));
}
TEST(a_peers_groups) {
    gid_t mine[64], theirs[64];
    int n = getgroups(64, mine);
    EXPECT_GE(n, 0);
    socklen_t len = sizeof theirs;
    EXPECT_ERRNO(ENODATA, getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERGROUPS, theirs, &len));
    streams();
    EXPECT_OK(getsockopt(p[0], SOL_SOCKET, SO_PEERGROUPS, theirs, &len));
    EXPECT_EQ(len, n * 4);
    EXPECT_EQ(memcmp(mine, theirs, len), 0);
    len = 0;
    if (n > 0) {
        EXPECT_ERRNO(ERANGE, getsockopt(p[0], SOL_SOCKET, SO_PEERGROUPS, theirs, &len));
        EXPECT_EQ(len, n * 4);
    }
}
TEST(a_peers_name) {
    struct sockaddr_un name;
    socklen_t len = 2;
    EXPECT_ERRNO(ENOTCONN, getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERNAME, &name, &len));
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    listener(SOCK_STREAM, "s", 1);
    EXPECT_OK(at_path(c, "s", connect));
    EXPECT_OK(getsockopt(c, SOL_SOCKET, SO_PEERNAME, &name, &len));
    EXPECT_EQ(len, 2);
    len = 5;
    EXPECT_ERRNO(EINVAL, getsockopt(c, SOL_SOCKET, SO_PEERNAME, &name, &len));
}
TEST(descriptors_of_processes) {
    int fd = -1;
    socklen_t len = sizeof fd;
    char text[64], *pid;
    EXPECT_ERRNO(ENODATA, getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERPIDFD, &fd, &len));
    datagrams();
    EXPECT_OK(getsockopt(p[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &len));
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_OK(set(p[1], SO_PASSPIDFD, 1));
    send(p[0], "x", 1, 0);
    struct cmsghdr *c = receive(p[1], SCM_PIDFD_TYPE, 0);
    ASSERT_TRUE(c);
    memcpy(&fd, CMSG_DATA(c), 4);
    sprintf(text, "/proc/self/fdinfo/%d", fd);
    int info = open(text, O_RDONLY);
    ASSERT_OK(info);
    char all[512] = "";
    EXPECT_GT(read(info, all, sizeof all - 1), 0);
    ASSERT_TRUE((pid = strstr(all, "\nPid:\t")));
    EXPECT_EQ(atoi(pid + 6), getpid());
}
TEST(rights_may_be_refused) {
    int got[1], fds[1] = {0};
    streams();
    EXPECT_EQ(get(p[1], SO_PASSRIGHTS), 1);
    EXPECT_OK(set(p[1], SO_PASSRIGHTS, 0));
    EXPECT_ERRNO(EPERM, send_fds(p[0], fds, 1, "x", 1));
    EXPECT_OK(set(p[1], SO_PASSRIGHTS, 1));
    EXPECT_EQ(send_fds(p[0], fds, 1, "x", 1), 1);
    EXPECT_EQ(receive_fds(p[1], got, 1, 0, NULL), 1);
}
TEST(what_is_left_is_told) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_ERRNO(ENOPROTOOPT, set(fd, SO_INQ, 1));
    streams();
    EXPECT_ERRNO(EINVAL, set(p[1], SO_INQ, 2));
    EXPECT_OK(set(p[1], SO_INQ, 1));
    static char b[40];
    send(p[0], b, sizeof b, 0);
    struct cmsghdr *c = receive(p[1], SO_INQ, 0);
    ASSERT_TRUE(c);
    EXPECT_EQ(*(int *)CMSG_DATA(c), 24);
}
TEST(a_very_long_timeout_is_none) {
    struct timeval limit = {1L << 60, 5}, got = {7, 7};
    socklen_t len = sizeof got;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
    EXPECT_EQ(got.tv_sec, 0);
    EXPECT_EQ(got.tv_usec, 0);
}
TEST(what_a_message_checks_first) {
    static char control[131072];
    char b = 'x';
    int p[2];
    struct iovec iov = {&b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    // Headers of a level that nobody looks at.
    for (size_t at = 0; at < sizeof control; at += 16)
        *(struct cmsghdr *)(control + at) = (struct cmsghdr){.cmsg_len = 16, .cmsg_level = 12345};
    EXPECT_ERRNO(ENOBUFS, sendmsg(p[0], &m, 0));
    m.msg_controllen--;
    EXPECT_EQ(sendmsg(p[0], &m, 0), 1);
    m = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 5000, .msg_name = BAD_PTR, .msg_namelen = 9};
    EXPECT_ERRNO(EFAULT, sendmsg(p[0], &m, 0));
    EXPECT_ERRNO(EMSGSIZE, recvmsg(p[0], &m, MSG_DONTWAIT));
}
