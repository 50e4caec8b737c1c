/* munmap(2) */
#include "memory.h"

TEST(bad_arguments) {
    char *p = room(2);
    EXPECT_ERRNO(EINVAL, munmap(p + 1, PAGE));
    EXPECT_ERRNO(EINVAL, munmap(p, 0));
    EXPECT_ERRNO(EINVAL, munmap(p, -1ul));
    EXPECT_ERRNO(EINVAL, munmap((void *)-PAGE, PAGE));
    EXPECT_OK(munmap(p, PAGE));
    EXPECT_OK(munmap(p, 1));
}

TEST(a_hole_in_the_middle) {
    char *p = room(5);
    uintptr_t start, end;
    place(p, 5, RW);
    memset(p, 7, 5 * PAGE);
    EXPECT_OK(munmap(p + 2 * PAGE, 1));
    EXPECT_EQ(p[2 * PAGE - 1], 7);
    EXPECT_EQ(p[3 * PAGE], 7);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p + 2 * PAGE, (void)*(volatile char *)(p + 2 * PAGE));
    ASSERT_TRUE(maps_line(p + 3 * PAGE, &start, &end, NULL, NULL));
    EXPECT_EQ(start, (uintptr_t)p + 3 * PAGE);
    EXPECT_TRUE(!maps_line(p + 2 * PAGE, NULL, NULL, NULL, NULL));
    EXPECT_OK(munmap(p, 5 * PAGE));
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, p, (void)*(volatile char *)p);
}

TEST(what_comes_back_is_zero) {
    char *p = room(1);
    for (int round = 0; round < 200; round++) {
        place(p, 1, RW);
        ASSERT_EQ(p[round], 0);
        memset(p, 1, PAGE);
        ASSERT_OK(munmap(p, PAGE));
    }
}
