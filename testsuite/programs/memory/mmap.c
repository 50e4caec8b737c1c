/* mmap(2) */
#include "memory.h"

TEST(bad_arguments_in_order) {
    char *p = room(4);
    EXPECT_ERRNO(EINVAL, map(p, 0, RW, ANON | MAP_FIXED, -1, 0));
    EXPECT_ERRNO(EINVAL, map(p, PAGE, RW, ANON, -1, 1));
    EXPECT_ERRNO(EINVAL, map(p, 0, RW, MAP_PRIVATE, -1, 1));
    EXPECT_ERRNO(EBADF, map(p, 0, RW, MAP_PRIVATE, -1, 0));
    EXPECT_ERRNO(EBADF, map(p, PAGE, RW, 0, 999, 0));
    EXPECT_ERRNO(EINVAL, map(p, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    EXPECT_ERRNO(EINVAL, map(p, PAGE, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, -1, 0));
    EXPECT_ERRNO(EINVAL, map(p, PAGE, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_GROWSDOWN, -1, 0));
    EXPECT_ERRNO(ENOMEM, map(p, -1ul, RW, ANON, -1, 0));
    EXPECT_ERRNO(ENOMEM, map(p, 1ul << 60, RW, ANON, -1, 0));
    EXPECT_ERRNO(EINVAL, map(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    EXPECT_ERRNO(ENOMEM, map((void *)-PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    EXPECT_ERRNO(ENOMEM, map((void *)(1ul << 62), PAGE, RW, ANON | MAP_FIXED, -1, 0));
}

TEST(file_modes) {
    int ro = letters("f", 2, O_RDONLY), wo = open("f", O_WRONLY), rw = open("f", O_RDWR);
    char *p;
    EXPECT_ERRNO(EACCES, map(NULL, PAGE, PROT_READ, MAP_SHARED, wo, 0));
    EXPECT_ERRNO(EACCES, map(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0));
    EXPECT_ERRNO(EACCES, map(NULL, PAGE, RW, MAP_SHARED, ro, 0));
    EXPECT_ERRNO(EINVAL, map(NULL, 0, RW, MAP_SHARED, ro, 0));
    EXPECT_ERRNO(EINVAL, map(NULL, PAGE, PROT_READ, 0, ro, 0));
    EXPECT_ERRNO(EINVAL, map(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, ro, 0));
    EXPECT_ERRNO(EOPNOTSUPP, map(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, ro, 0));
    EXPECT_ERRNO(EOVERFLOW, map(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, ro, -PAGE));
    EXPECT_ERRNO(EOPNOTSUPP, map(room(1), PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, ro, 0));
    EXPECT_OK(map(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | (31u << 26), ro, 0));
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, PAGE);
    ASSERT_TRUE(p != MAP_FAILED);
    EXPECT_EQ(p[0], 'b');
    EXPECT_ERRNO(EACCES, mprotect(p, PAGE, RW));
    p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0);
    EXPECT_OK(mprotect(p, PAGE, RW));
    p[0] = 'z';
    char c;
    EXPECT_EQ(pread(ro, &c, 1, 0), 1);
    EXPECT_EQ(c, 'a');
    p = mmap(NULL, PAGE, RW, MAP_SHARED, rw, 0);
    p[1] = 'y';
    EXPECT_EQ(pread(ro, &c, 1, 1), 1);
    EXPECT_EQ(c, 'y');
    EXPECT_EQ(pwrite(rw, "x", 1, 2), 1);
    EXPECT_EQ(p[2], 'x');
    close(rw);
    p[3] = 'w';
    EXPECT_EQ(pread(ro, &c, 1, 3), 1);
    EXPECT_EQ(c, 'w');
}

TEST(what_cannot_be_mapped) {
    int ends[2], dir = open(".", O_RDONLY);
    ASSERT_OK(pipe(ends));
    EXPECT_ERRNO(ENODEV, map(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0));
    EXPECT_ERRNO(EACCES, map(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[1], 0));
    EXPECT_ERRNO(ENODEV, map(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0));
}

TEST(fixed_replaces_and_noreplace_refuses) {
    char *p = room(4);
    place(p, 4, RW);
    memset(p, 1, 4 * PAGE);
    place(p + PAGE, 2, PROT_READ);
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(p[PAGE], 0);
    EXPECT_EQ(p[3 * PAGE], 1);
    EXPECT_ERRNO(EEXIST, map(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    EXPECT_ERRNO(EEXIST, map(p - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    EXPECT_EQ(map(p - PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), (long)p - PAGE);
}

TEST(hints) {
    char *p = room(8);
    EXPECT_EQ(map(p, PAGE, RW, ANON, -1, 0), (long)p);
    EXPECT_EQ(map(p + PAGE + 7, PAGE, RW, ANON, -1, 0), (long)p + PAGE);
    long other = map(p, PAGE, RW, ANON, -1, 0);
    ASSERT_OK(other);
    EXPECT_NE(other, (long)p);
    EXPECT_NE(other, (long)p + PAGE);
    EXPECT_OK(map((void *)-PAGE, PAGE, RW, ANON, -1, 0));
}

TEST(new_mappings_come_below_old_ones) {
    long a = map(NULL, 64 * PAGE, PROT_NONE, ANON, -1, 0);
    long b = map(NULL, 1024 * PAGE, PROT_READ, ANON, -1, 0);
    long c = map(NULL, 1024 * PAGE, PROT_READ, ANON, -1, 0);
    ASSERT_OK(a);
    EXPECT_LT(c, b);
}

TEST(shared_memory_crosses_fork) {
    volatile int *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int *private = mmap(NULL, PAGE, RW, ANON, -1, 0);
    ASSERT_TRUE(shared != MAP_FAILED);
    *shared = *private = 1;
    pid_t pid = fork();
    if (pid == 0) {
        *shared = 2;
        *private = 2;
        _exit(0);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(*shared, 2);
    EXPECT_EQ(*private, 1);
}

TEST(file_tail_reads_zero_and_past_the_end_is_sigbus) {
    int fd = letters("f", 1, O_RDWR);
    ASSERT_OK(ftruncate(fd, 100));
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT_EQ(p[99], 'a');
    EXPECT_EQ(p[100], 0);
    EXPECT_FAULT(SIGBUS, BUS_ADRERR, p + PAGE, (void)*(volatile char *)(p + PAGE));
    EXPECT_EQ(write(1, p + PAGE, 1) < 0 ? errno : 0, EFAULT);
    ASSERT_OK(ftruncate(fd, 2 * PAGE));
    EXPECT_EQ(p[PAGE], 0);
}

TEST(noreserve_and_huge_sparse_mappings) {
    size_t len = 1ul << 32;
    char *p = mmap(NULL, len, RW, ANON | MAP_NORESERVE, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    for (size_t at = 0; at < len; at += len / 16) p[at] = (char)(at >> 28) + 1;
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t at = 0; at < len; at += len / 16)
            if (p[at] != (char)(at >> 28) + 1) _exit(1);
        _exit(0);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_OK(munmap(p, len));
}

TEST(protections) {
    char *p = page(PROT_WRITE);
    p[0] = 5;
    EXPECT_EQ(*(volatile char *)p, 5);
    p = page(PROT_NONE);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 8, (void)*(volatile char *)(p + 8));
    p = page(PROT_READ);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 8, *(volatile char *)(p + 8) = 1);
}

TEST(limits) {
    limit(RLIMIT_AS, 1ul << 30);
    EXPECT_ERRNO(ENOMEM, map(NULL, 1ul << 30, PROT_NONE, ANON, -1, 0));
    limit(RLIMIT_AS, RLIM_INFINITY);
    limit(RLIMIT_DATA, 16ul << 20);
    EXPECT_ERRNO(ENOMEM, map(NULL, 32ul << 20, RW, ANON, -1, 0));
    EXPECT_OK(map(NULL, 32ul << 20, PROT_READ, ANON, -1, 0));
    EXPECT_OK(map(NULL, 32ul << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}
