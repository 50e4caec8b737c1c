/* madvise(2), mincore(2), msync(2) */
#include "memory.h"

TEST(bad_arguments_in_order) {
    char *p = room(4);
    place(p, 1, RW);
    EXPECT_ERRNO(EINVAL, madvise(p, PAGE, 77));
    EXPECT_ERRNO(EINVAL, madvise(p + 1, PAGE, MADV_NORMAL));
    EXPECT_ERRNO(EINVAL, madvise(p, -1ul, MADV_NORMAL));
    EXPECT_OK(madvise(p, 0, MADV_NORMAL));
    EXPECT_ERRNO(EINVAL, madvise(p, 0, 77));
    EXPECT_ERRNO(ENOMEM, madvise(p, 2 * PAGE, MADV_NORMAL));
    EXPECT_ERRNO(ENOMEM, madvise(p + PAGE, PAGE, MADV_DONTNEED));
}

TEST(dontneed_is_zero_at_once) {
    char *p = room(4);
    place(p, 3, RW);
    memset(p, 1, 3 * PAGE);
    EXPECT_OK(madvise(p + PAGE, 1, MADV_DONTNEED));
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(p[PAGE], 0);
    EXPECT_EQ(p[2 * PAGE], 1);
    ASSERT_OK(munmap(p + PAGE, PAGE));
    EXPECT_ERRNO(ENOMEM, madvise(p, 3 * PAGE, MADV_DONTNEED));
    EXPECT_EQ(p[0], 0);
    EXPECT_EQ(p[2 * PAGE], 0);
}

TEST(dontneed_of_a_file_reverts) {
    int fd = letters("f", 1, O_RDWR);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    p[0] = 'z';
    EXPECT_OK(madvise(p, PAGE, MADV_DONTNEED));
    EXPECT_EQ(p[0], 'a');
    p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    p[0] = 'z';
    EXPECT_OK(madvise(p, PAGE, MADV_DONTNEED));
    EXPECT_EQ(p[0], 'z');
}

TEST(what_suits_which_memory) {
    int fd = letters("f", 1, O_RDWR);
    char *anon = page(RW), *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *file = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    EXPECT_OK(madvise(anon, PAGE, MADV_FREE));
    EXPECT_ERRNO(EINVAL, madvise(shared, PAGE, MADV_FREE));
    EXPECT_ERRNO(EINVAL, madvise(file, PAGE, MADV_FREE));
    EXPECT_OK(madvise(anon, PAGE, MADV_WIPEONFORK));
    EXPECT_ERRNO(EINVAL, madvise(shared, PAGE, MADV_WIPEONFORK));
    EXPECT_ERRNO(EINVAL, madvise(file, PAGE, MADV_WIPEONFORK));
    EXPECT_ERRNO(EINVAL, madvise(anon, PAGE, MADV_REMOVE));
    EXPECT_ERRNO(EACCES, madvise(file, PAGE, MADV_REMOVE));
    shared[0] = 1;
    EXPECT_OK(madvise(shared, PAGE, MADV_REMOVE));
    EXPECT_EQ(shared[0], 0);
    EXPECT_OK(madvise(anon, PAGE, MADV_DONTFORK));
    EXPECT_OK(madvise(anon, PAGE, MADV_DOFORK));
    EXPECT_OK(madvise(anon, PAGE, MADV_RANDOM));
    EXPECT_OK(madvise(anon, PAGE, MADV_SEQUENTIAL));
    EXPECT_OK(madvise(file, PAGE, MADV_WILLNEED));
    EXPECT_OK(madvise(anon, PAGE, MADV_DONTDUMP));
    EXPECT_OK(madvise(anon, PAGE, MADV_DODUMP));
}

TEST(fork_advice) {
    char *gone = page(RW), *wiped = page(RW), *kept = page(RW);
    gone[0] = wiped[0] = kept[0] = 1;
    ASSERT_OK(madvise(gone, PAGE, MADV_DONTFORK));
    ASSERT_OK(madvise(wiped, PAGE, MADV_WIPEONFORK));
    pid_t pid = fork();
    if (pid == 0) _exit((kept[0] != 1) | (wiped[0] != 0) << 1 | (mprotect(gone, PAGE, RW) == 0) << 2);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(gone[0] + wiped[0], 2);
}

TEST(populate) {
    char *p = room(4);
    unsigned char vec[4];
    place(p, 2, RW);
    EXPECT_OK(madvise(p, 2 * PAGE, 23));
    EXPECT_OK(mincore(p, 2 * PAGE, vec));
    EXPECT_EQ(vec[0] & vec[1] & 1, 1);
    EXPECT_ERRNO(ENOMEM, madvise(p, 3 * PAGE, 22));
    ASSERT_OK(mprotect(p, PAGE, PROT_READ));
    EXPECT_ERRNO(EINVAL, madvise(p, PAGE, 23));
}

TEST(mincore_results) {
    char *p = room(4);
    unsigned char vec[8];
    memset(vec, 7, sizeof vec);
    place(p, 3, RW);
    p[PAGE] = 1;
    EXPECT_OK(mincore(p, 2 * PAGE + 1, vec));
    EXPECT_EQ(vec[0] & 1, 0);
    EXPECT_EQ(vec[1] & 1, 1);
    EXPECT_EQ(vec[2] & 1, 0);
    EXPECT_EQ(vec[3], 7);
    EXPECT_ERRNO(EINVAL, mincore(p + 1, PAGE, vec));
    EXPECT_ERRNO(ENOMEM, mincore(p, 4 * PAGE, vec));
    EXPECT_ERRNO(ENOMEM, mincore(p, -PAGE, vec));
    EXPECT_ERRNO(EFAULT, mincore(p, PAGE, BAD_PTR));
    EXPECT_OK(mincore(p, 0, vec));
}

TEST(msync_results) {
    char *p = room(4);
    place(p, 1, RW);
    EXPECT_OK(msync(p, PAGE, MS_SYNC));
    EXPECT_OK(msync(p, PAGE, 0));
    EXPECT_ERRNO(EINVAL, msync(p, PAGE, MS_SYNC | MS_ASYNC));
    EXPECT_ERRNO(EINVAL, msync(p, PAGE, 8));
    EXPECT_ERRNO(EINVAL, msync(p + 1, PAGE, MS_SYNC));
    EXPECT_ERRNO(ENOMEM, msync(p, 2 * PAGE, MS_SYNC));
    EXPECT_OK(msync(p, 0, MS_SYNC));
    int fd = letters("f", 1, O_RDWR);
    p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    p[0] = 'q';
    EXPECT_OK(msync(p, PAGE, MS_SYNC | MS_INVALIDATE));
}
