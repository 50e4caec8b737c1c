/* pipe2(2) */
#include "check.h"

TEST(pipe2_bad_pointer_leaves_no_fd) {
    int before = count_fds();
    EXPECT_ERRNO(EFAULT, syscall(SYS_pipe2, BAD_PTR, 0));
    EXPECT_EQ(count_fds(), before);
}

TEST(pipe2_flags) {
    int ends[2];
    EXPECT_ERRNO(EINVAL, pipe2(ends, O_APPEND));
    ASSERT_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    EXPECT_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(ends[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EXPECT_EQ(fcntl(ends[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(fcntl(ends[1], F_GETFL) & O_ACCMODE, O_WRONLY);
    char c;
    EXPECT_ERRNO(EAGAIN, read(ends[0], &c, 1));
    EXPECT_ERRNO(EBADF, write(ends[0], "x", 1));
    EXPECT_ERRNO(EBADF, read(ends[1], &c, 1));
}

TEST(pipe_data_and_end) {
    int ends[2];
    char buf[8] = {0};
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(write(ends[1], "hello", 5), 5);
    EXPECT_EQ(read(ends[0], buf, 3), 3);
    EXPECT_EQ(read(ends[0], buf + 3, 5), 2);
    EXPECT_STR(buf, "hello");
    close(ends[1]);
    EXPECT_EQ(read(ends[0], buf, 8), 0);
    EXPECT_ERRNO(ESPIPE, lseek(ends[0], 0, SEEK_CUR));
}

TEST(pipe_write_without_reader) {
    int ends[2];
    ASSERT_OK(pipe(ends));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    EXPECT_ERRNO(EPIPE, write(ends[1], "x", 1));
}

static void write_to_closed(void) {
    int ends[2];
    signal(SIGPIPE, SIG_DFL);
    ASSERT_OK(pipe(ends));
    close(ends[0]);
    write(ends[1], "x", 1);
}
TEST(pipe_sigpipe_kills) { EXPECT_SIGNALED(SIGPIPE, in_child(write_to_closed)); }
