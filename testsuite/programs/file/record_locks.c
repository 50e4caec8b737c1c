// Record locks of processes and of open files, and flock.
#include "check.h"
#include <sys/file.h>

static struct flock range(short type, off_t start, off_t len) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int set(int fd, short type, off_t start, off_t len) {
    struct flock lock = range(type, start, len);
    return fcntl(fd, F_SETLK, &lock);
}

static int set_ofd(int fd, short type, off_t start, off_t len) {
    struct flock lock = range(type, start, len);
    return fcntl(fd, F_OFD_SETLK, &lock);
}

TEST(another_process_sees_split_ranges) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(set(fd, F_WRLCK, 0, 100));
    ASSERT_OK(set(fd, F_UNLCK, 40, 20));
    ASSERT_OK(set(fd, F_RDLCK, 10, 10));
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        struct flock lock = range(F_WRLCK, 0, 0);
        EXPECT_OK(fcntl(fd, F_GETLK, &lock));
        EXPECT_EQ(lock.l_type, F_WRLCK);
        EXPECT_EQ(lock.l_start, 0);
        EXPECT_EQ(lock.l_len, 10);
        EXPECT_EQ(lock.l_pid, parent);
        lock = range(F_RDLCK, 10, 10);
        EXPECT_OK(fcntl(fd, F_GETLK, &lock));
        EXPECT_EQ(lock.l_type, F_UNLCK);
        EXPECT_ERRNO(EAGAIN, set(fd, F_WRLCK, 10, 10));
        EXPECT_OK(set(fd, F_WRLCK, 40, 20));
        EXPECT_ERRNO(EAGAIN, set(fd, F_RDLCK, 99, 1));
        EXPECT_OK(set(fd, F_RDLCK, 100, 0));
        _exit(0);
    }
    int status;
    ASSERT_OK(waitpid(child, &status, 0));
    EXPECT_EXITED(0, status);
}

TEST(closing_any_descriptor_drops_a_processs_locks) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(set(fd, F_WRLCK, 0, 0));
    close(open("f", O_RDONLY));
    pid_t child = fork();
    if (child == 0) _exit(set(fd, F_WRLCK, 0, 0) == 0 ? 0 : 1);
    int status;
    ASSERT_OK(waitpid(child, &status, 0));
    EXPECT_EXITED(0, status);
}

TEST(open_file_locks_belong_to_the_description) {
    int a = open("f", O_RDWR | O_CREAT, 0600), b = open("f", O_RDWR), c = dup(a);
    ASSERT_OK(set_ofd(a, F_WRLCK, 0, 10));
    EXPECT_OK(set_ofd(c, F_WRLCK, 0, 20));
    EXPECT_ERRNO(EAGAIN, set_ofd(b, F_RDLCK, 15, 1));
    EXPECT_ERRNO(EAGAIN, set(b, F_RDLCK, 15, 1));
    struct flock lock = range(F_RDLCK, 0, 0);
    EXPECT_OK(fcntl(b, F_OFD_GETLK, &lock));
    EXPECT_EQ(lock.l_pid, -1);
    lock = range(F_WRLCK, 0, 1);
    lock.l_pid = 1;
    EXPECT_ERRNO(EINVAL, fcntl(b, F_OFD_SETLK, &lock));
    close(a);
    EXPECT_ERRNO(EAGAIN, set_ofd(b, F_RDLCK, 15, 1));
    close(c);
    EXPECT_OK(set_ofd(b, F_RDLCK, 15, 1));
}

TEST(locks_need_the_matching_access) {
    int r = open("f", O_RDONLY | O_CREAT, 0600), w = open("f", O_WRONLY);
    EXPECT_ERRNO(EBADF, set(r, F_WRLCK, 0, 0));
    EXPECT_ERRNO(EBADF, set(w, F_RDLCK, 0, 0));
    struct flock lock = range(F_RDLCK, -1, 1);
    EXPECT_ERRNO(EINVAL, fcntl(r, F_SETLK, &lock));
    lock = range(7, 0, 1);
    EXPECT_ERRNO(EINVAL, fcntl(r, F_SETLK, &lock));
}

TEST(a_cycle_of_waiters_is_a_deadlock) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(set(fd, F_WRLCK, 0, 1));
    pid_t child = fork();
    if (child == 0) {
        set(fd, F_WRLCK, 1, 1);
        struct flock lock = range(F_WRLCK, 0, 1);
        _exit(fcntl(fd, F_SETLKW, &lock) == 0 ? 0 : 1);
    }
    usleep(200000);
    struct flock lock = range(F_WRLCK, 1, 1);
    EXPECT_ERRNO(EDEADLK, fcntl(fd, F_SETLKW, &lock));
    ASSERT_OK(set(fd, F_UNLCK, 0, 0));
    int status;
    ASSERT_OK(waitpid(child, &status, 0));
    EXPECT_EXITED(0, status);
}

TEST(flock_is_per_open_file) {
    int a = open("f", O_RDWR | O_CREAT, 0600), b = open("f", O_RDWR);
    ASSERT_OK(flock(a, LOCK_SH));
    EXPECT_OK(flock(b, LOCK_SH | LOCK_NB));
    EXPECT_ERRNO(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
    EXPECT_OK(flock(b, LOCK_UN));
    EXPECT_OK(flock(a, LOCK_EX | LOCK_NB));
    EXPECT_ERRNO(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
    EXPECT_ERRNO(EINVAL, flock(b, 0));
    close(a);
    EXPECT_OK(flock(b, LOCK_EX | LOCK_NB));
}
