/* mmap and its kin. */
#include "check.h"

#define P 4096ul
static char *map(size_t pages, int prot) {
    char *p = mmap(NULL, pages * P, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    return p;
}
/* The mapping's line of /proc/self/maps that holds the address, or nothing. */
static int in_maps(void *at, char *permissions, unsigned long *from, unsigned long *to) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    int found = 0;
    ASSERT_TRUE(maps != NULL);
    while (!found && fgets(line, sizeof line, maps))
        found = sscanf(line, "%lx-%lx %4s", from, to, permissions) == 3 && *from <= (uintptr_t)at && (uintptr_t)at < *to;
    fclose(maps);
    return found;
}

TEST(errors) {
    EXPECT_ERRNO(EINVAL, (long)mmap(NULL, P, PROT_READ, MAP_ANONYMOUS, -1, 0));
    EXPECT_ERRNO(EBADF, (long)mmap(NULL, P, PROT_READ, MAP_PRIVATE, 99, 0));
    make_file("f", "text");
    int fd = open("f", O_RDONLY), writer = open("f", O_WRONLY);
    EXPECT_ERRNO(EINVAL, (long)mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 100));
    EXPECT_ERRNO(EACCES, (long)mmap(NULL, P, PROT_WRITE, MAP_SHARED, fd, 0));
    EXPECT_ERRNO(EACCES, (long)mmap(NULL, P, PROT_READ, MAP_PRIVATE, writer, 0));
    EXPECT_OK((long)mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    int ends[2];
    ASSERT_OK(pipe(ends));
    EXPECT_ERRNO(ENODEV, (long)mmap(NULL, P, PROT_READ, MAP_PRIVATE, ends[0], 0));
    EXPECT_ERRNO(EINVAL, (long)mmap((void *)123, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    EXPECT_ERRNO(EINVAL, munmap((void *)123, P));
    EXPECT_ERRNO(EINVAL, munmap((void *)P, 0));
    EXPECT_ERRNO(EINVAL, mprotect((void *)123, P, PROT_READ));
    char *p = map(3, PROT_READ | PROT_WRITE);
    munmap(p + P, P);
    EXPECT_ERRNO(ENOMEM, mprotect(p, 3 * P, PROT_READ));
    EXPECT_OK(munmap(p, 3 * P));
    EXPECT_OK(munmap(p, 3 * P));
}

TEST(fixed_and_hints) {
    char *p = map(8, PROT_READ | PROT_WRITE);
    memset(p, 1, 8 * P);
    EXPECT_TRUE(mmap(p + 2 * P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 2 * P);
    EXPECT_EQ(p[2 * P], 0);
    EXPECT_EQ(p[3 * P], 1);
    EXPECT_EQ(p[2 * P - 1], 1);
    EXPECT_ERRNO(EEXIST, (long)mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    munmap(p, 8 * P);
    EXPECT_TRUE(mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p);
    char *q = mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_TRUE(q != MAP_FAILED && q != p);
    EXPECT_TRUE(mmap(p + P + 100, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p + P ||
                mmap(p + P + 100, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

TEST(splitting_and_merging_in_maps) {
    unsigned long from, to;
    char permissions[8];
    char *p = map(10, PROT_READ | PROT_WRITE);
    EXPECT_OK(mprotect(p + 3 * P, 2 * P, PROT_READ));
    ASSERT_TRUE(in_maps(p + 3 * P, permissions, &from, &to));
    EXPECT_EQ(from, (uintptr_t)p + 3 * P);
    EXPECT_EQ(to, (uintptr_t)p + 5 * P);
    EXPECT_STR(permissions, "r--p");
    EXPECT_OK(munmap(p + 7 * P, P));
    EXPECT_TRUE(!in_maps(p + 7 * P, permissions, &from, &to));
    ASSERT_TRUE(in_maps(p + 8 * P, permissions, &from, &to));
    EXPECT_EQ(from, (uintptr_t)p + 8 * P);
    EXPECT_OK(mprotect(p + 3 * P, 2 * P, PROT_READ | PROT_WRITE));
    ASSERT_TRUE(in_maps(p + 3 * P, permissions, &from, &to));
    EXPECT_LE(from, (uintptr_t)p);
    EXPECT_EQ(to, (uintptr_t)p + 7 * P);
}

TEST(file_mappings) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    ASSERT_OK(ftruncate(fd, 3 * P));
    char *shared = mmap(NULL, 3 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, P);
    ASSERT_TRUE(shared != MAP_FAILED && private != MAP_FAILED);
    shared[P] = 'S';
    EXPECT_EQ(private[0], 'S');
    char c = 0;
    EXPECT_EQ(pread(fd, &c, 1, P), 1);
    EXPECT_EQ(c, 'S');
    private[0] = 'P';
    EXPECT_EQ(shared[P], 'S');
    EXPECT_EQ(pwrite(fd, "W", 1, 2 * P), 1);
    EXPECT_EQ(shared[2 * P], 'W');
    EXPECT_EQ(private[P], 'W');
    EXPECT_OK(msync(shared, 3 * P, MS_SYNC));
    EXPECT_ERRNO(EINVAL, msync(shared, P, 77));
    close(fd);
    EXPECT_EQ(shared[P], 'S');
    EXPECT_OK(unlink("f"));
    shared[0] = 1;
}

TEST(shared_anonymous_memory_across_fork) {
    int *shared = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *private = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(shared != MAP_FAILED && private != MAP_FAILED);
    *shared = *private = 1;
    pid_t pid = fork();
    if (pid == 0) {
        *shared = 2;
        *private = 2;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    EXPECT_EQ(*shared, 2);
    EXPECT_EQ(*private, 1);
}

TEST(dontneed_forgets) {
    char *p = map(4, PROT_READ | PROT_WRITE);
    memset(p, 7, 4 * P);
    EXPECT_OK(madvise(p + P, 2 * P, MADV_DONTNEED));
    EXPECT_EQ(p[0], 7);
    EXPECT_EQ(p[P], 0);
    EXPECT_EQ(p[3 * P - 1], 0);
    EXPECT_EQ(p[3 * P], 7);
    make_file("f", "content");
    int fd = open("f", O_RDONLY);
    char *q = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    q[0] = 'X';
    EXPECT_OK(madvise(q, P, MADV_DONTNEED));
    EXPECT_EQ(q[0], 'c');
    EXPECT_ERRNO(EINVAL, madvise(p, P, 9999));
    EXPECT_ERRNO(EINVAL, madvise(p + 1, P, MADV_DONTNEED));
    munmap(p + P, P);
    EXPECT_ERRNO(ENOMEM, madvise(p, 4 * P, MADV_DONTNEED));
}

TEST(remapping) {
    char *p = map(4, PROT_READ | PROT_WRITE);
    memset(p, 5, 4 * P);
    EXPECT_TRUE(mremap(p, 4 * P, 2 * P, 0) == p);
    char *wall = mmap(p + 2 * P, P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    EXPECT_TRUE(wall == p + 2 * P);
    EXPECT_ERRNO(ENOMEM, (long)mremap(p, 2 * P, 8 * P, 0));
    char *q = mremap(p, 2 * P, 8 * P, MREMAP_MAYMOVE);
    ASSERT_TRUE(q != MAP_FAILED && q != p);
    EXPECT_EQ(q[0], 5);
    EXPECT_EQ(q[2 * P - 1], 5);
    EXPECT_EQ(q[2 * P], 0);
    EXPECT_ERRNO(EFAULT, (long)mremap(p, P, 2 * P, MREMAP_MAYMOVE));
    char *target = map(8, PROT_NONE);
    EXPECT_TRUE(mremap(q, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    EXPECT_EQ(target[0], 5);
    EXPECT_ERRNO(EINVAL, (long)mremap(target, 8 * P, 0, 0));
    EXPECT_ERRNO(EINVAL, (long)mremap(target + 1, P, P, 0));
}

TEST(the_break) {
    char *start = sbrk(0);
    EXPECT_TRUE(sbrk(3 * (intptr_t)P) == start);
    start[0] = start[3 * P - 1] = 9;
    EXPECT_TRUE(sbrk(-2 * (intptr_t)P) == start + 3 * P);
    EXPECT_TRUE(sbrk(2 * (intptr_t)P) == start + P);
    EXPECT_EQ(start[3 * P - 1], 0);
    EXPECT_EQ(start[0], 9);
    EXPECT_EQ(syscall(SYS_brk, 1), (long)sbrk(0));
}

TEST(big_reservations_cost_nothing) {
    size_t size = 8ul << 30;
    char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    EXPECT_OK(mprotect(p + (4ul << 30), P, PROT_READ | PROT_WRITE));
    p[4ul << 30] = 1;
    EXPECT_OK(munmap(p, size));
}

TEST(mincore_and_locks) {
    unsigned char vector[4];
    char *p = map(4, PROT_READ | PROT_WRITE);
    p[P] = 1;
    EXPECT_OK(mincore(p, 4 * P, vector));
    EXPECT_EQ(vector[1] & 1, 1);
    EXPECT_EQ(vector[3] & 1, 0);
    EXPECT_ERRNO(EINVAL, mincore(p + 1, P, vector));
    munmap(p + 3 * P, P);
    EXPECT_ERRNO(ENOMEM, mincore(p, 4 * P, vector));
    EXPECT_OK(mlock(p, P));
    EXPECT_OK(munlock(p, P));
    EXPECT_ERRNO(ENOMEM, mlock(p + 3 * P, P));
}

TEST(memfd) {
    int fd = (int)syscall(SYS_memfd_create, "name", 1 /* CLOEXEC */);
    ASSERT_OK(fd);
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ASSERT_OK(ftruncate(fd, P));
    char *a = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *b = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);
    a[10] = 'm';
    EXPECT_EQ(b[10], 'm');
    EXPECT_ERRNO(EINVAL, syscall(SYS_memfd_create, "name", 0x8000));
    EXPECT_ERRNO(EFAULT, syscall(SYS_memfd_create, BAD_PTR, 0));
}

TEST(copies_in_the_kernel_see_protections) {
    char *p = map(2, PROT_READ | PROT_WRITE);
    memset(p, 'k', 2 * P);
    ASSERT_OK(mprotect(p + P, P, PROT_NONE));
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    EXPECT_EQ(write(fd, p + P - 10, 20), 10);
    EXPECT_ERRNO(EFAULT, write(fd, p + P, 1));
    ASSERT_OK(mprotect(p + P, P, PROT_READ));
    EXPECT_EQ(write(fd, p + P - 10, 20), 20);
}
