// Bytes moved inside the kernel: sendfile, splice, tee, copy_file_range.
#include "check.h"
#include <sys/sendfile.h>

static int file_with(const char *name, const char *text) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

TEST(sendfile_moves_one_offset) {
    int in = file_with("in", "0123456789"), out = open("out", O_RDWR | O_CREAT, 0600);
    off_t at = 2;
    char buf[16];
    EXPECT_EQ(sendfile(out, in, &at, 3), 3);
    EXPECT_EQ(at, 5);
    EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
    EXPECT_EQ(sendfile(out, in, NULL, 100), 10);
    EXPECT_EQ(lseek(in, 0, SEEK_CUR), 10);
    EXPECT_EQ(sendfile(out, in, NULL, 1), 0);
    EXPECT_EQ(pread(out, buf, sizeof buf, 0), 13);
    EXPECT_TRUE(memcmp(buf, "2340123456789", 13) == 0);
    at = -1;
    EXPECT_ERRNO(EINVAL, sendfile(out, in, &at, 1));
    EXPECT_ERRNO(EBADF, sendfile(open("out", O_RDONLY), in, NULL, 1));
    EXPECT_ERRNO(EINVAL, sendfile(open("out", O_WRONLY | O_APPEND), in, NULL, 1));
}

TEST(splice_needs_a_pipe) {
    int in = file_with("in", "0123456789"), out = open("out", O_RDWR | O_CREAT, 0600);
    int p[2];
    ASSERT_OK(pipe(p));
    off_t at = 4;
    char buf[16];
    EXPECT_ERRNO(EINVAL, splice(in, NULL, out, NULL, 1, 0));
    EXPECT_ERRNO(EINVAL, splice(p[0], NULL, p[1], NULL, 1, 0));
    EXPECT_ERRNO(ESPIPE, splice(p[0], &at, out, NULL, 1, 0));
    EXPECT_EQ(splice(in, &at, p[1], NULL, 3, 0), 3);
    EXPECT_EQ(at, 7);
    EXPECT_EQ(splice(p[0], NULL, out, NULL, 10, 0), 3);
    EXPECT_EQ(pread(out, buf, sizeof buf, 0), 3);
    EXPECT_TRUE(memcmp(buf, "456", 3) == 0);
    EXPECT_ERRNO(EAGAIN, splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK));
    EXPECT_ERRNO(EBADF, splice(p[1], NULL, out, NULL, 1, 0));
    close(p[1]);
    EXPECT_EQ(splice(p[0], NULL, out, NULL, 1, 0), 0);
}

TEST(tee_leaves_the_bytes) {
    int a[2], b[2];
    char buf[8];
    ASSERT_OK(pipe(a));
    ASSERT_OK(pipe(b));
    ASSERT_EQ(write(a[1], "abc", 3), 3);
    EXPECT_EQ(tee(a[0], b[1], 2, 0), 2);
    EXPECT_EQ(read(b[0], buf, 8), 2);
    EXPECT_EQ(read(a[0], buf, 8), 3);
    EXPECT_ERRNO(EINVAL, tee(a[0], a[1], 1, 0));
    EXPECT_ERRNO(EAGAIN, tee(a[0], b[1], 1, SPLICE_F_NONBLOCK));
}

TEST(copy_file_range_copies_between_files) {
    int in = file_with("in", "0123456789"), out = file_with("out", "");
    off_t from = 1, to = 2;
    char buf[16];
    EXPECT_EQ(copy_file_range(in, &from, out, &to, 4, 0), 4);
    EXPECT_EQ(from, 5);
    EXPECT_EQ(to, 6);
    EXPECT_EQ(pread(out, buf, sizeof buf, 0), 6);
    EXPECT_TRUE(memcmp(buf, "\0\0" "1234", 6) == 0);
    from = 0, to = 2;
    EXPECT_ERRNO(EINVAL, copy_file_range(in, &from, in, &to, 4, 0));
    EXPECT_ERRNO(EINVAL, copy_file_range(in, NULL, out, NULL, 4, 1));
    EXPECT_ERRNO(EBADF, copy_file_range(in, NULL, open("out", O_WRONLY | O_APPEND), NULL, 4, 0));
}

TEST(fifos_on_disk) {
    ASSERT_OK(mkfifo("p", 0600));
    EXPECT_ERRNO(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
    int r = open("p", O_RDONLY | O_NONBLOCK);
    ASSERT_TRUE(r >= 0);
    char c;
    EXPECT_EQ(read(r, &c, 1), 0);
    int w = open("p", O_WRONLY | O_NONBLOCK);
    ASSERT_TRUE(w >= 0);
    EXPECT_ERRNO(EAGAIN, read(r, &c, 1));
    EXPECT_EQ(write(w, "x", 1), 1);
    EXPECT_EQ(read(r, &c, 1), 1);
    close(r);
    close(w);
    // Blocking opens meet each other.
    pid_t child = fork();
    if (child == 0) {
        int end = open("p", O_WRONLY);
        _exit(write(end, "y", 1) == 1 ? 0 : 1);
    }
    r = open("p", O_RDONLY);
    EXPECT_EQ(read(r, &c, 1), 1);
    EXPECT_EQ(c, 'y');
    int status;
    ASSERT_OK(waitpid(child, &status, 0));
    EXPECT_EXITED(0, status);
}
