// What the tests of local sockets share.
#ifndef UNIX_H
#define UNIX_H
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

__attribute__((unused)) static void nonblock(int fd) {
    ASSERT_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
}

__attribute__((unused)) static int ready(int fd, int events) {
    struct pollfd p = {.fd = fd, .events = events};
    EXPECT_OK(poll(&p, 1, 0));
    return p.revents;
}

// Binds to, or connects with, a path of the test's own folder.
__attribute__((unused)) static int at_path(int fd, const char *path, int (*call)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, path);
    return call(fd, (void *)&name, sizeof name);
}

__attribute__((unused)) static int listener(int type, const char *path, int backlog) {
    int fd = socket(AF_UNIX, type, 0);
    ASSERT_OK(fd);
    ASSERT_OK(at_path(fd, path, bind));
    ASSERT_OK(listen(fd, backlog));
    return fd;
}

__attribute__((unused)) static ssize_t send_fds(int to, const int *fds, int count, const char *text, size_t len) {
    char control[CMSG_SPACE(sizeof(int) * 256)];
    memset(control, 0, sizeof control);
    struct iovec iov = {(void *)text, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    return sendmsg(to, &m, MSG_NOSIGNAL);
}

// How many descriptors came; they are in fds.
__attribute__((unused)) static int receive_fds(int from, int *fds, int room, int flags, int *out_flags) {
    char control[CMSG_SPACE(sizeof(int) * 256)], text[64];
    struct iovec iov = {text, sizeof text};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room ? control : NULL,
                       .msg_controllen = room ? CMSG_LEN(sizeof(int) * room) : 0};
    if (recvmsg(from, &m, flags) < 0) return -1;
    if (out_flags) *out_flags = m.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS) return 0;
    int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return n;
}
#endif
