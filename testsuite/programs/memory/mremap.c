/* mremap(2) */
#include "memory.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)

TEST(bad_arguments_in_order) {
    char *p = room(8);
    place(p, 2, RW);
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, PAGE, 8, NULL));
    EXPECT_ERRNO(EINVAL, remap(p + 1, PAGE, PAGE, 0, NULL));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, 0, MREMAP_MAYMOVE, NULL));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, PAGE, MREMAP_FIXED, p + 4 * PAGE));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, PAGE, MOVE, p + 4 * PAGE + 1));
    EXPECT_ERRNO(EINVAL, remap(p, 2 * PAGE, 2 * PAGE, MOVE, p + PAGE));
    EXPECT_ERRNO(EINVAL, remap(p, 2 * PAGE, 2 * PAGE, MOVE, p - PAGE));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, PAGE, MREMAP_DONTUNMAP, NULL));
    EXPECT_ERRNO(EINVAL, remap(p, 0, PAGE, MREMAP_MAYMOVE, NULL));
    EXPECT_ERRNO(EINVAL, remap(p, PAGE, PAGE, MOVE, (void *)-PAGE));
    EXPECT_ERRNO(EFAULT, remap(p + 4 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, NULL));
    EXPECT_ERRNO(EFAULT, remap(p, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, NULL));
    EXPECT_EQ(remap(p, 2 * PAGE, 2 * PAGE, 0, NULL), (long)p);
}

TEST(grow_and_shrink_in_place) {
    char *p = room(8);
    place(p, 2, RW);
    memset(p, 1, 2 * PAGE);
    EXPECT_EQ(remap(p, 2 * PAGE, 4 * PAGE, 0, NULL), (long)p);
    EXPECT_EQ(p[2 * PAGE - 1], 1);
    EXPECT_EQ(p[4 * PAGE - 1], 0);
    p[4 * PAGE - 1] = 2;
    EXPECT_EQ(remap(p, 4 * PAGE, PAGE, 0, NULL), (long)p);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + PAGE, (void)*(volatile char *)(p + PAGE));
    place(p + 2 * PAGE, 1, PROT_READ);
    EXPECT_ERRNO(ENOMEM, remap(p, PAGE, 3 * PAGE, 0, NULL));
}

TEST(move) {
    char *p = room(16);
    place(p, 2, RW);
    memset(p, 1, 2 * PAGE);
    place(p + 8 * PAGE, 4, PROT_READ);
    EXPECT_EQ(remap(p, 2 * PAGE, 2 * PAGE, MOVE, p + 9 * PAGE), (long)p + 9 * PAGE);
    EXPECT_EQ(p[11 * PAGE - 1], 1);
    p[9 * PAGE] = 3;
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p, (void)*(volatile char *)p);
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p + 11 * PAGE, *(volatile char *)(p + 11 * PAGE) = 1);
}

TEST(move_and_shrink_or_grow) {
    char *p = room(32);
    place(p, 4, RW);
    for (int i = 0; i < 4; i++) p[i * PAGE] = i + 1;
    ASSERT_EQ(remap(p, 4 * PAGE, 2 * PAGE, MOVE, p + 8 * PAGE), (long)p + 8 * PAGE);
    EXPECT_EQ(p[9 * PAGE], 2);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 2 * PAGE, (void)*(volatile char *)(p + 2 * PAGE));
    p += 8 * PAGE;
    ASSERT_EQ(remap(p, 2 * PAGE, 6 * PAGE, MOVE, p + 8 * PAGE), (long)p + 8 * PAGE);
    p += 8 * PAGE;
    EXPECT_EQ(p[PAGE], 2);
    EXPECT_EQ(p[5 * PAGE], 0);
    ASSERT_EQ(remap(p, 6 * PAGE, 7 * PAGE, 0, NULL), (long)p);
    EXPECT_EQ(p[PAGE], 2);
    EXPECT_EQ(p[6 * PAGE], 0);
}

TEST(dontunmap_leaves_zeroes) {
    char *p = page(RW);
    p[0] = 5;
    char *q = (char *)remap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    ASSERT_TRUE(q != MAP_FAILED);
    EXPECT_EQ(q[0], 5);
    EXPECT_EQ(p[0], 0);
    p[0] = 6;
    EXPECT_EQ(q[0], 5);
}

TEST(old_size_zero_makes_a_second_view) {
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *q = (char *)remap(p, 0, 2 * PAGE, MREMAP_MAYMOVE, NULL);
    ASSERT_TRUE(q != MAP_FAILED);
    p[PAGE] = 4;
    EXPECT_EQ(q[PAGE], 4);
    q[0] = 3;
    EXPECT_EQ(p[0], 3);
}

TEST(shared_memory_does_not_grow_beneath) {
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *q = (char *)remap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE, NULL);
    ASSERT_TRUE(q != MAP_FAILED);
    q[0] = 1;
    EXPECT_FAULT(SIGBUS, BUS_ADRERR, q + PAGE, (void)*(volatile char *)(q + PAGE));
}

TEST(file_mappings_grow_and_move) {
    int fd = letters("f", 8, O_RDWR);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, PAGE);
    p[0] = 'Z';
    char *q = (char *)remap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE, NULL);
    ASSERT_TRUE(q != MAP_FAILED);
    EXPECT_EQ(q[0], 'Z');
    EXPECT_EQ(q[1], 'b');
    EXPECT_EQ(q[3 * PAGE], 'e');
    p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 4 * PAGE);
    q = (char *)remap(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE, NULL);
    EXPECT_EQ(q[0], 'e');
    EXPECT_EQ(q[2 * PAGE], 'g');
}

TEST(a_heap_that_grows_step_by_step) {
    size_t len = PAGE;
    char *p = mmap(NULL, len, RW, ANON, -1, 0);
    for (int i = 0; i < 60; i++) {
        memset(p + len - PAGE, i, PAGE);
        /* Now and then something is in the way. */
        if (i % 7 == 0) mmap(p + len, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0);
        char *q = mremap(p, len, len + PAGE, MREMAP_MAYMOVE);
        ASSERT_TRUE(q != MAP_FAILED);
        p = q;
        len += PAGE;
        for (int j = 0; j <= i; j++) ASSERT_EQ(p[j * PAGE + j], j);
        ASSERT_EQ(p[len - 1], 0);
    }
}
