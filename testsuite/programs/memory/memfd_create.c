/* memfd_create(2) */
#include "memory.h"

TEST(bad_arguments) {
    char name[300];
    memset(name, 'n', sizeof name);
    name[299] = 0;
    EXPECT_ERRNO(EINVAL, syscall(SYS_memfd_create, "x", 0x40));
    EXPECT_ERRNO(EINVAL, syscall(SYS_memfd_create, name, 0));
    EXPECT_ERRNO(EFAULT, syscall(SYS_memfd_create, BAD_PTR, 0));
    name[249] = 0;
    EXPECT_OK(syscall(SYS_memfd_create, name, 0));
    name[249] = 'n';
    name[250] = 0;
    EXPECT_ERRNO(EINVAL, syscall(SYS_memfd_create, name, 0));
}

TEST(is_a_file_in_memory) {
    int fd = syscall(SYS_memfd_create, "thing", MFD_CLOEXEC);
    char link[100] = "", path[64];
    ASSERT_OK(fd);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_OK(ftruncate(fd, 2 * PAGE));
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    EXPECT_EQ(pwrite(fd, "hello", 5, PAGE), 5);
    EXPECT_EQ(memcmp(p + PAGE, "hello", 5), 0);
    sprintf(path, "/proc/self/fd/%d", fd);
    EXPECT_GT(readlink(path, link, sizeof link - 1), 0);
    EXPECT_STR(link, "/memfd:thing (deleted)");
    EXPECT_OK(ftruncate(fd, PAGE));
    EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + PAGE, (void)*(volatile char *)(p + PAGE));
}
