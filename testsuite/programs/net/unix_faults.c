// Local sockets where the caller's memory ends: nothing is half sent or half received.
#include "unix.h"
#include <sys/mman.h>

static int p[2];
static char some[65536];
static void streams(void) { ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); }

// The address behind memory's end; `size` bytes before it are there.
static char *end_of(size_t size) {
    char *at = mmap(NULL, size + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(at != MAP_FAILED);
    ASSERT_OK(munmap(at + size, 65536));
    return at + size;
}
static int queued(int fd) {
    int n = -1;
    EXPECT_OK(ioctl(fd, FIONREAD, &n));
    return n;
}

TEST(a_part_is_sent_whole_or_not) {
    char *end = end_of(131072);
    streams();
    EXPECT_ERRNO(EFAULT, write(p[0], end - 4096, 8192));
    EXPECT_EQ(queued(p[1]), 0);
    struct iovec two[2] = {{end - 4096, 4096}, {BAD_PTR, 100}};
    EXPECT_ERRNO(EFAULT, writev(p[0], two, 2));
    EXPECT_EQ(queued(p[1]), 0);
    // Three parts of 36544 bytes; the fourth has no end.
    EXPECT_EQ(write(p[0], end - 131072, 131072 + 4096), 3 * 36544);
    EXPECT_EQ(queued(p[1]), 3 * 36544);
}
TEST(a_part_is_received_whole_or_not) {
    char *end = end_of(4096);
    streams();
    EXPECT_EQ(write(p[0], some, 8192), 8192);
    EXPECT_ERRNO(EFAULT, read(p[1], end - 4096, 8192));
    EXPECT_EQ(queued(p[1]), 8192);
    EXPECT_EQ(read(p[1], some, sizeof some), 8192);
    EXPECT_EQ(write(p[0], some, 100), 100);
    EXPECT_EQ(write(p[0], some, 100), 100);
    EXPECT_EQ(read(p[1], end - 150, 200), 100);
    EXPECT_ERRNO(EFAULT, recv(p[1], end, 100, MSG_PEEK));
    EXPECT_ERRNO(EFAULT, recv(p[1], end - 50, 100, MSG_WAITALL));
    EXPECT_EQ(read(p[1], some, sizeof some), 100);
}
TEST(a_descriptor_stays_with_its_bytes) {
    int fds[1] = {0}, got[4];
    char *end = end_of(4096), control[64];
    struct iovec iov = {end - 1, 2};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    streams();
    int before = count_fds();
    EXPECT_EQ(send_fds(p[0], fds, 1, "ab", 2), 2);
    EXPECT_ERRNO(EFAULT, recvmsg(p[1], &m, 0));
    EXPECT_EQ(count_fds(), before);
    EXPECT_EQ(receive_fds(p[1], got, 4, 0, NULL), 1);
    EXPECT_EQ(count_fds(), before + 1);
}
TEST(a_datagram_goes_with_its_fault) {
    char *end = end_of(4096);
    int fds[1] = {0};
    ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    int before = count_fds();
    EXPECT_EQ(send_fds(p[0], fds, 1, "abcd", 4), 4);
    EXPECT_ERRNO(EFAULT, recv(p[1], end - 2, 4, MSG_PEEK));
    EXPECT_EQ(queued(p[1]), 4);
    EXPECT_ERRNO(EFAULT, recv(p[1], end - 2, 4, 0));
    EXPECT_EQ(queued(p[1]), 0);
    EXPECT_EQ(count_fds(), before);
    EXPECT_ERRNO(EFAULT, write(p[0], end - 2, 4));
    EXPECT_EQ(queued(p[1]), 0);
}
