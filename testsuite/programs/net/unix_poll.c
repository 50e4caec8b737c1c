// poll(2) and epoll(7) of local sockets.
#include "unix.h"
#define ALL (POLLIN | POLLOUT | POLLRDHUP)

static int p[2];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }

TEST(fresh) {
    EXPECT_EQ(ready(socket(AF_UNIX, SOCK_STREAM, 0), ALL), POLLOUT | POLLHUP);
    EXPECT_EQ(ready(socket(AF_UNIX, SOCK_DGRAM, 0), ALL), POLLOUT);
}
TEST(connected) {
    streams();
    EXPECT_EQ(ready(p[0], ALL), POLLOUT);
    write(p[1], "x", 1);
    EXPECT_EQ(ready(p[0], ALL), POLLIN | POLLOUT);
}
TEST(closed) {
    streams();
    close(p[1]);
    EXPECT_EQ(ready(p[0], ALL), ALL | POLLHUP);
}
TEST(reset) {
    streams();
    write(p[0], "x", 1);
    close(p[1]);
    EXPECT_EQ(ready(p[0], ALL), ALL | POLLHUP | POLLERR);
}
TEST(half_closed) {
    streams();
    shutdown(p[1], SHUT_WR);
    EXPECT_EQ(ready(p[0], ALL), ALL);
    EXPECT_EQ(ready(p[1], ALL), POLLOUT);
}
TEST(a_listener) {
    int l = listener(SOCK_STREAM, "s", 1);
    EXPECT_EQ(ready(l, ALL), 0);
    EXPECT_OK(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "s", connect));
    EXPECT_EQ(ready(l, ALL), POLLIN);
}
TEST(edges) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLET}, got;
    int ep = epoll_create1(0);
    streams();
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
    EXPECT_EQ(epoll_wait(ep, &got, 1, 0), 0);
    write(p[1], "x", 1);
    EXPECT_EQ(epoll_wait(ep, &got, 1, 1000), 1);
    EXPECT_EQ(epoll_wait(ep, &got, 1, 0), 0);
    write(p[1], "x", 1);
    EXPECT_EQ(epoll_wait(ep, &got, 1, 1000), 1);
}
TEST(connecting_is_no_edge) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET}, got;
    int ep = epoll_create1(0), c = socket(AF_UNIX, SOCK_STREAM, 0), l = listener(SOCK_STREAM, "s", 1);
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, c, &e));
    EXPECT_EQ(epoll_wait(ep, &got, 1, 0), 1);
    EXPECT_EQ(got.events, EPOLLOUT | EPOLLHUP);
    EXPECT_OK(at_path(c, "s", connect));
    EXPECT_OK(accept(l, NULL, NULL));
    EXPECT_EQ(epoll_wait(ep, &got, 1, 0), 0);
}
TEST(some_room_is_no_edge) {
    static char b[1000];
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET}, got;
    int ep = epoll_create1(0);
    streams();
    write(p[1], "x", 1);
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
    while (send(p[0], b, sizeof b, MSG_DONTWAIT) > 0) {}
    epoll_wait(ep, &got, 1, 0);
    EXPECT_EQ(recv(p[1], b, sizeof b, 0), sizeof b);
    EXPECT_EQ(epoll_wait(ep, &got, 1, 0), 0);
    while (recv(p[1], b, sizeof b, MSG_DONTWAIT) > 0) {}
    EXPECT_EQ(epoll_wait(ep, &got, 1, 1000), 1);
    EXPECT_EQ(got.events, EPOLLIN | EPOLLOUT);
}
TEST(a_new_peer_has_room) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "a"};
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0), fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int status;
    ASSERT_OK(at_path(a, "a", bind));
    ASSERT_OK(at_path(c, "c", bind));
    ASSERT_OK(connect(fd, (void *)&name, sizeof name));
    while (send(fd, "x", 1, MSG_DONTWAIT) == 1) {}
    EXPECT_EQ(ready(fd, POLLOUT), 0);
    pid_t child = fork();
    if (child == 0) {
        struct pollfd out = {.fd = fd, .events = POLLOUT};
        _exit(poll(&out, 1, 5000) == 1 && out.revents == POLLOUT ? 5 : 6);
    }
    sleep_ms(50);
    EXPECT_OK(at_path(fd, "c", connect));
    waitpid(child, &status, 0);
    EXPECT_EXITED(5, status);
}
