// socket(2), connect(2), getpeername(2) as programs meet them that use no sockets.
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

TEST(other_files_are_no_sockets) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    int ends[2];
    EXPECT_OK(pipe(ends));
    EXPECT_ERRNO(ENOTSOCK, getpeername(ends[0], (void *)&name, &len));
    EXPECT_ERRNO(ENOTSOCK, getsockname(ends[0], (void *)&name, &len));
    EXPECT_ERRNO(ENOTSOCK, connect(ends[0], (void *)&name, sizeof name));
    EXPECT_ERRNO(EBADF, getpeername(999, (void *)&name, &len));
}

TEST(what_can_be_made) {
    EXPECT_ERRNO(EINVAL, socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
    EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_UNIX, 7, 0));
    EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_UNIX, SOCK_STREAM, 5));
    EXPECT_ERRNO(EAFNOSUPPORT, socket(45, SOCK_STREAM, 0));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_OK(fd);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST(nobody_is_there) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/no/such/socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERRNO(ENOENT, connect(fd, (void *)&name, sizeof name));
    strcpy(name.sun_path, ".");
    EXPECT_ERRNO(ECONNREFUSED, connect(fd, (void *)&name, sizeof name));
    memcpy(name.sun_path, "\0nobody has this", 16);
    EXPECT_ERRNO(ECONNREFUSED, connect(fd, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 16));
    EXPECT_ERRNO(EINVAL, connect(fd, (void *)&name, 2));
    name.sun_family = AF_UNSPEC;
    EXPECT_ERRNO(EINVAL, connect(fd, (void *)&name, sizeof name));
    EXPECT_OK(connect(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, sizeof name));
    socklen_t len = sizeof name;
    EXPECT_ERRNO(ENOTCONN, getpeername(fd, (void *)&name, &len));
    EXPECT_OK(getsockname(fd, (void *)&name, &len));
    EXPECT_EQ(len, 2);
    EXPECT_EQ(name.sun_family, AF_UNIX);
}

TEST(unconnected_io) {
    char c;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERRNO(EINVAL, read(fd, &c, 1));
    EXPECT_ERRNO(ENOTCONN, write(fd, &c, 1));
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    EXPECT_EQ(poll(&p, 1, 0), 1);
    EXPECT_EQ(p.revents, POLLOUT | POLLHUP);
    EXPECT_ERRNO(ENOTCONN, read(socket(AF_UNIX, SOCK_SEQPACKET, 0), &c, 1));
    EXPECT_ERRNO(EAGAIN, read(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), &c, 1));
}
