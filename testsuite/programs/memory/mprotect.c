/* mprotect(2) */
#include "memory.h"

TEST(bad_arguments_in_order) {
    char *p = room(4);
    EXPECT_ERRNO(EINVAL, mprotect(p + 1, PAGE, PROT_READ));
    EXPECT_OK(mprotect(p, 0, PROT_READ));
    EXPECT_OK(mprotect(p, 0, 0x40));
    EXPECT_ERRNO(ENOMEM, mprotect(p, -1ul, PROT_READ));
    EXPECT_ERRNO(ENOMEM, mprotect(p, PAGE, PROT_READ));
    EXPECT_ERRNO(EINVAL, mprotect(p, PAGE, 0x40));
    EXPECT_ERRNO(EINVAL, mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
    place(p, 1, RW);
    EXPECT_ERRNO(EINVAL, mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN));
    EXPECT_ERRNO(EINVAL, mprotect(p, PAGE, PROT_READ | PROT_GROWSUP));
    EXPECT_OK(mprotect(p, PAGE, PROT_READ | 8));
}

TEST(what_comes_before_a_hole_is_changed) {
    char *p = room(4);
    place(p, 1, RW);
    place(p + 2 * PAGE, 1, RW);
    EXPECT_ERRNO(ENOMEM, mprotect(p, 3 * PAGE, PROT_READ));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, *(volatile char *)p = 1);
    p[2 * PAGE] = 1;
    EXPECT_ERRNO(ENOMEM, mprotect(p - PAGE, 2 * PAGE, RW));
    EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, *(volatile char *)p = 1);
}

TEST(neighbours_merge_again) {
    char *p = room(5);
    uintptr_t start, end;
    char perms[8];
    place(p, 5, RW);
    memset(p, 1, 5 * PAGE);
    EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_READ));
    ASSERT_TRUE(maps_line(p + PAGE, &start, &end, perms, NULL));
    EXPECT_EQ(start, (uintptr_t)p + PAGE);
    EXPECT_EQ(end, (uintptr_t)p + 2 * PAGE);
    EXPECT_STR(perms, "r--p");
    EXPECT_OK(mprotect(p + PAGE, PAGE, RW));
    ASSERT_TRUE(maps_line(p + PAGE, &start, &end, perms, NULL));
    EXPECT_EQ(start, (uintptr_t)p);
    EXPECT_EQ(end, (uintptr_t)p + 5 * PAGE);
}

TEST(bytes_survive_no_access) {
    char *p = page(RW);
    memset(p, 9, PAGE);
    for (int round = 0; round < 100; round++) {
        ASSERT_OK(mprotect(p, PAGE, PROT_NONE));
        EXPECT_FAULT(SIGSEGV, SEGV_ACCERR, p, (void)*(volatile char *)p);
        ASSERT_OK(mprotect(p, PAGE, RW));
        ASSERT_EQ(p[round], 9);
    }
}

TEST(data_limit) {
    char *p = mmap(NULL, 32ul << 20, PROT_READ, ANON, -1, 0);
    limit(RLIMIT_DATA, 16ul << 20);
    EXPECT_ERRNO(ENOMEM, mprotect(p, 32ul << 20, RW));
    EXPECT_OK(mprotect(p, PAGE, RW));
}
