/* Open files: offsets, flags, vectors, duplicates, truncation. */
#include "check.h"
#include <sys/sendfile.h>
#include <sys/uio.h>

TEST(open_flags_and_errors) {
    EXPECT_ERRNO(ENOENT, open("missing", O_RDONLY));
    EXPECT_ERRNO(ENOENT, open("", O_RDONLY));
    EXPECT_ERRNO(ENOENT, open("missing/file", O_RDWR | O_CREAT, 0600));
    EXPECT_OK(mkdir("dir", 0700));
    EXPECT_ERRNO(EISDIR, open("dir", O_WRONLY));
    EXPECT_ERRNO(EISDIR, open("dir", O_RDWR | O_CREAT, 0600));
    make_file("f", "text");
    EXPECT_ERRNO(ENOTDIR, open("f/x", O_RDONLY));
    EXPECT_ERRNO(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
    EXPECT_ERRNO(EEXIST, open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    EXPECT_OK(symlink("f", "link"));
    EXPECT_OK(symlink("loop", "loop"));
    EXPECT_ERRNO(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
    EXPECT_ERRNO(ELOOP, open("loop", O_RDONLY));
    EXPECT_OK(open("link", O_RDONLY));
    EXPECT_ERRNO(EBADF, openat(77, "f", O_RDONLY));
    int fd = open("f", O_RDONLY);
    EXPECT_ERRNO(ENOTDIR, openat(fd, "x", O_RDONLY));
    EXPECT_ERRNO(EBADF, write(fd, "x", 1));
    char name[5000];
    memset(name, 'n', sizeof name);
    name[300] = 0;
    EXPECT_ERRNO(ENAMETOOLONG, open(name, O_RDONLY));
    name[300] = 'n', name[4999] = 0;
    EXPECT_ERRNO(ENAMETOOLONG, open(name, O_RDONLY));
}

TEST(lowest_free_descriptor) {
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);
    EXPECT_EQ(b, a + 1);
    close(a);
    EXPECT_EQ(open("/dev/null", O_RDONLY), a);
    EXPECT_EQ(fcntl(a, F_DUPFD, 50), 50);
    EXPECT_EQ(fcntl(a, F_DUPFD_CLOEXEC, 50), 51);
    EXPECT_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    EXPECT_ERRNO(EBADF, close(99));
    EXPECT_ERRNO(EBADF, dup(99));
    EXPECT_EQ(dup2(a, a), a);
    EXPECT_ERRNO(EINVAL, dup3(a, a, 0));
    EXPECT_ERRNO(EBADF, dup2(99, 98));
    EXPECT_EQ(dup3(a, 60, O_CLOEXEC), 60);
    EXPECT_EQ(fcntl(60, F_GETFD), FD_CLOEXEC);
    EXPECT_ERRNO(EINVAL, fcntl(a, F_DUPFD, -1));
}

TEST(offsets) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    char buf[16] = {0};
    EXPECT_EQ(write(fd, "0123456789", 10), 10);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 10);
    EXPECT_EQ(lseek(fd, -3, SEEK_END), 7);
    EXPECT_EQ(read(fd, buf, 16), 3);
    EXPECT_EQ(read(fd, buf, 16), 0);
    EXPECT_ERRNO(EINVAL, lseek(fd, -1, SEEK_SET));
    EXPECT_ERRNO(EINVAL, lseek(fd, 0, 99));
    EXPECT_EQ(pread(fd, buf, 4, 2), 4);
    EXPECT_EQ(memcmp(buf, "2345", 4), 0);
    EXPECT_EQ(pwrite(fd, "XY", 2, 4), 2);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 10);
    EXPECT_ERRNO(EINVAL, pread(fd, buf, 4, -1));
    /* A hole reads as zeros. */
    EXPECT_EQ(pwrite(fd, "z", 1, 100), 1);
    EXPECT_EQ(pread(fd, buf, 2, 50), 2);
    EXPECT_EQ(buf[0], 0);
    EXPECT_EQ(lseek(fd, 0, SEEK_END), 101);
    /* Duplicates share the offset; a second open does not. */
    int copy = dup(fd), again = open("f", O_RDONLY);
    lseek(fd, 5, SEEK_SET);
    EXPECT_EQ(lseek(copy, 0, SEEK_CUR), 5);
    EXPECT_EQ(lseek(again, 0, SEEK_CUR), 0);
    EXPECT_EQ(read(again, buf, 6), 6);
    EXPECT_EQ(memcmp(buf, "0123XY", 6), 0);
}

TEST(append) {
    make_file("f", "start");
    int a = open("f", O_WRONLY | O_APPEND), b = open("f", O_WRONLY | O_APPEND);
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(write(a, "a", 1), 1);
        EXPECT_EQ(write(b, "b", 1), 1);
    }
    struct stat st;
    fstat(a, &st);
    EXPECT_EQ(st.st_size, 25);
    EXPECT_EQ(fcntl(a, F_GETFL) & (O_APPEND | O_ACCMODE), O_APPEND | O_WRONLY);
    EXPECT_OK(fcntl(a, F_SETFL, O_NONBLOCK));
    EXPECT_EQ(fcntl(a, F_GETFL) & (O_APPEND | O_NONBLOCK), O_NONBLOCK);
}

TEST(vectors) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    char a[4] = "abc", b[8] = "defghij", c[16];
    struct iovec out[3] = {{a, 3}, {NULL, 0}, {b, 7}}, in[2] = {{c, 4}, {c + 4, 12}};
    EXPECT_EQ(writev(fd, out, 3), 10);
    EXPECT_EQ(preadv(fd, in, 2, 0), 10);
    EXPECT_EQ(memcmp(c, "abcdefghij", 10), 0);
    EXPECT_ERRNO(EINVAL, writev(fd, out, -1));
    EXPECT_ERRNO(EINVAL, writev(fd, out, 1025));
    EXPECT_EQ(writev(fd, out, 0), 0);
    out[1].iov_len = SIZE_MAX / 2 + 2;
    EXPECT_ERRNO(EINVAL, writev(fd, out, 3));
    /* What was written before the bad part counts. */
    struct iovec bad[2] = {{a, 3}, {BAD_PTR, 4}};
    EXPECT_EQ(writev(fd, bad, 2), 3);
    EXPECT_ERRNO(EFAULT, writev(fd, bad + 1, 1));
    EXPECT_ERRNO(EFAULT, writev(fd, BAD_PTR, 1));
}

TEST(truncation) {
    struct stat st;
    char c = 'x';
    make_file("f", "0123456789");
    EXPECT_OK(truncate("f", 4));
    EXPECT_OK(stat("f", &st));
    EXPECT_EQ(st.st_size, 4);
    int fd = open("f", O_RDWR);
    EXPECT_OK(ftruncate(fd, 100));
    EXPECT_EQ(pread(fd, &c, 1, 50), 1);
    EXPECT_EQ(c, 0);
    EXPECT_ERRNO(EINVAL, ftruncate(fd, -1));
    int reader = open("f", O_RDONLY);
    EXPECT_ERRNO(EINVAL, ftruncate(reader, 1));
    EXPECT_OK(open("f", O_WRONLY | O_TRUNC));
    fstat(fd, &st);
    EXPECT_EQ(st.st_size, 0);
    EXPECT_OK(fallocate(fd, 0, 0, 5000));
    fstat(fd, &st);
    EXPECT_EQ(st.st_size, 5000);
}

TEST(bad_buffers_move_nothing) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    write(fd, "abc", 3);
    lseek(fd, 0, SEEK_SET);
    EXPECT_ERRNO(EFAULT, read(fd, BAD_PTR, 3));
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    EXPECT_ERRNO(EFAULT, write(fd, BAD_PTR, 3));
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    /* A buffer that ends in nothing is filled as far as it goes. */
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    memset(two, 'w', 4096);
    int ends[2];
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(write(ends[1], "12345678", 8), 8);
    ssize_t n = read(ends[0], two + 4092, 8);
    EXPECT_TRUE(n == 4 || (n == -1 && errno == EFAULT));
}

TEST(copying) {
    make_file("a", "some text to copy");
    int in = open("a", O_RDONLY), out = open("b", O_RDWR | O_CREAT, 0600);
    off_t at = 5;
    EXPECT_EQ(sendfile(out, in, &at, 4), 4);
    EXPECT_EQ(at, 9);
    EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
    char buf[8] = {0};
    EXPECT_EQ(pread(out, buf, 8, 0), 4);
    EXPECT_STR(buf, "text");
}

TEST(devices) {
    char buf[16] = "unchanged";
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR),
        random = open("/dev/urandom", O_RDONLY);
    EXPECT_EQ(read(null, buf, 16), 0);
    EXPECT_EQ(write(null, buf, 16), 16);
    EXPECT_EQ(read(zero, buf, 16), 16);
    EXPECT_EQ(buf[0] | buf[15], 0);
    EXPECT_EQ(read(full, buf, 4), 4);
    EXPECT_ERRNO(ENOSPC, write(full, buf, 1));
    EXPECT_EQ(read(random, buf, 16), 16);
    struct stat st;
    EXPECT_OK(fstat(null, &st));
    EXPECT_TRUE(S_ISCHR(st.st_mode));
    EXPECT_EQ(st.st_rdev, 0x103);
    EXPECT_ERRNO(ENOTTY, isatty(null) ? 0 : -1);
}

TEST(close_range_and_cloexec) {
    for (int i = 0; i < 5; i++) dup2(1, 20 + i);
    EXPECT_OK(syscall(SYS_close_range, 21, 22, 0));
    EXPECT_OK(fcntl(20, F_GETFD));
    EXPECT_ERRNO(EBADF, fcntl(21, F_GETFD));
    EXPECT_ERRNO(EBADF, fcntl(22, F_GETFD));
    EXPECT_OK(syscall(SYS_close_range, 23, 24, 4 /* CLOSE_RANGE_CLOEXEC */));
    EXPECT_EQ(fcntl(23, F_GETFD), FD_CLOEXEC);
    EXPECT_ERRNO(EINVAL, syscall(SYS_close_range, 5, 4, 0));
    EXPECT_OK(fcntl(20, F_SETFD, FD_CLOEXEC));
    EXPECT_EQ(fcntl(20, F_GETFD), FD_CLOEXEC);
}

TEST(locks_between_processes) {
    int fd = open("lock", O_RDWR | O_CREAT, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    ASSERT_OK(fcntl(fd, F_SETLK, &lock));
    pid_t pid = fork();
    if (pid == 0) {
        struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
        EXPECT_ERRNO(EAGAIN, fcntl(fd, F_SETLK, &other));
        EXPECT_OK(fcntl(fd, F_GETLK, &other));
        EXPECT_EQ(other.l_type, F_WRLCK);
        EXPECT_EQ(other.l_pid, getppid());
        other.l_start = 30, other.l_type = F_WRLCK, other.l_len = 1;
        EXPECT_OK(fcntl(fd, F_SETLK, &other));
        _exit(check_failures != 0);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}

static void file_too_large(void) {
    struct { uint64_t cur, max; } limit = {10, 10};
    signal(SIGXFSZ, SIG_IGN);
    EXPECT_OK(syscall(SYS_prlimit64, 0, 1 /* RLIMIT_FSIZE */, &limit, NULL));
    int fd = open("big", O_WRONLY | O_CREAT, 0600);
    EXPECT_EQ(write(fd, "0123456789abc", 13), 10);
    EXPECT_ERRNO(EFBIG, write(fd, "x", 1));
    signal(SIGXFSZ, SIG_DFL);
    write(fd, "x", 1);
}
static void too_many_files(void) {
    struct { uint64_t cur, max; } limit = {10, 10};
    EXPECT_OK(syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, &limit, NULL));
    int last = -1;
    for (;;) {
        int fd = dup(1);
        if (fd < 0) break;
        last = fd;
    }
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(last, 9);
    EXPECT_ERRNO(EINVAL, fcntl(1, F_DUPFD, 10));
    EXPECT_ERRNO(EBADF, dup2(1, 10));
}
TEST(limits) {
    EXPECT_SIGNALED(SIGXFSZ, in_child(file_too_large));
    EXPECT_EXITED(0, in_child(too_many_files));
}
