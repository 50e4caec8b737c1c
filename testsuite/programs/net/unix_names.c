// Names and options of local sockets (unix(7), socket(7)).
#include "unix.h"

static socklen_t abstract(struct sockaddr_un *name, const char *tag) {
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    int n = sprintf(name->sun_path + 1, "rivix-%d-%s", (int)getpid(), tag);
    return PATH_AT + 1 + n;
}
TEST(a_path_becomes_a_socket) {
    struct stat st;
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    umask(022);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(fd, "name", bind));
    EXPECT_OK(stat("name", &st));
    EXPECT_EQ(st.st_mode, S_IFSOCK | 0755);
    EXPECT_OK(getsockname(fd, (void *)&name, &len));
    EXPECT_EQ(len, PATH_AT + 5);
    EXPECT_STR(name.sun_path, "name");
    EXPECT_ERRNO(EINVAL, at_path(fd, "other", bind));
    EXPECT_ERRNO(EADDRINUSE, at_path(socket(AF_UNIX, SOCK_STREAM, 0), "name", bind));
    EXPECT_ERRNO(ENXIO, open("name", O_RDWR));
}
TEST(a_name_outlives_its_socket) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(fd, "name", bind));
    close(fd);
    EXPECT_ERRNO(EADDRINUSE, at_path(socket(AF_UNIX, SOCK_STREAM, 0), "name", bind));
    EXPECT_OK(unlink("name"));
    EXPECT_OK(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "name", bind));
}
TEST(a_renamed_name_is_found) {
    listener(SOCK_STREAM, "name", 1);
    EXPECT_OK(rename("name", "new"));
    EXPECT_ERRNO(ENOENT, at_path(socket(AF_UNIX, SOCK_STREAM, 0), "name", connect));
    EXPECT_OK(at_path(socket(AF_UNIX, SOCK_STREAM, 0), "new", connect));
}
TEST(abstract_names) {
    struct sockaddr_un name, got;
    socklen_t len = abstract(&name, "a"), size = sizeof got;
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(bind(l, (void *)&name, len));
    EXPECT_OK(getsockname(l, (void *)&got, &size));
    EXPECT_EQ(size, len);
    EXPECT_ERRNO(EADDRINUSE, bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
    EXPECT_ERRNO(ECONNREFUSED, connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
    EXPECT_OK(listen(l, 1));
    EXPECT_OK(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
    EXPECT_ERRNO(ECONNREFUSED, connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len - 1));
    close(l);
    EXPECT_OK(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
}
TEST(each_type_has_abstract_names_of_its_own) {
    struct sockaddr_un name;
    socklen_t len = abstract(&name, "t");
    EXPECT_OK(bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, len));
    EXPECT_ERRNO(ECONNREFUSED, connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
    EXPECT_OK(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, len));
    EXPECT_OK(connect(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, len));
}
TEST(a_path_is_of_one_type) {
    listener(SOCK_STREAM, "s", 1);
    EXPECT_ERRNO(EPROTOTYPE, at_path(socket(AF_UNIX, SOCK_DGRAM, 0), "s", connect));
    EXPECT_ERRNO(EPROTOTYPE, at_path(socket(AF_UNIX, SOCK_SEQPACKET, 0), "s", connect));
}
TEST(autobind) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof name;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_OK(bind(fd, (void *)&name, 2));
    EXPECT_OK(getsockname(fd, (void *)&name, &len));
    EXPECT_EQ(len, PATH_AT + 6);
    EXPECT_EQ(name.sun_path[0], 0);
}
TEST(bad_addresses) {
    struct sockaddr_un name = {.sun_family = AF_INET, .sun_path = "x"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERRNO(EINVAL, bind(fd, (void *)&name, sizeof name));
    name.sun_family = AF_UNIX;
    EXPECT_ERRNO(EINVAL, bind(fd, (void *)&name, sizeof name + 1));
    EXPECT_ERRNO(EINVAL, bind(fd, (void *)&name, 0));
    EXPECT_ERRNO(EFAULT, bind(fd, BAD_PTR, sizeof name));
    EXPECT_ERRNO(ENOENT, at_path(fd, "no/where", bind));
}
TEST(both_ends_have_names) {
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    int l = listener(SOCK_STREAM, "s", 1), c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(at_path(c, "s", connect));
    int a = accept(l, (void *)&name, &len);
    EXPECT_EQ(len, 2);
    len = sizeof name;
    EXPECT_OK(getsockname(a, (void *)&name, &len));
    EXPECT_STR(name.sun_path, "s");
    len = 4;
    EXPECT_OK(getpeername(c, (void *)&name, &len));
    EXPECT_EQ(len, PATH_AT + 2);
}
TEST(options) {
    int v, fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    socklen_t len = sizeof v;
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len));
    EXPECT_EQ(v, SOCK_SEQPACKET);
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &len));
    EXPECT_EQ(v, AF_UNIX);
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &v, &len));
    EXPECT_EQ(v, 0);
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len));
    EXPECT_EQ(v, 0);
    EXPECT_ERRNO(ENOPROTOOPT, getsockopt(fd, SOL_SOCKET, 9999, &v, &len));
    EXPECT_ERRNO(EOPNOTSUPP, getsockopt(fd, 77, 1, &v, &len));
}
TEST(acceptconn) {
    int v;
    socklen_t len = sizeof v;
    EXPECT_OK(getsockopt(listener(SOCK_STREAM, "s", 1), SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
    EXPECT_EQ(v, 1);
}
TEST(buffers_double) {
    int v = 20000, fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t len = sizeof v;
    EXPECT_OK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, &len));
    EXPECT_EQ(v, 40000);
    v = 0;
    EXPECT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, sizeof v));
    EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, &len));
    EXPECT_EQ(v, 2304);
}
