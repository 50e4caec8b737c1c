/* brk(2) */
#include "memory.h"

static char *brk_to(char *to) { return (char *)syscall(SYS_brk, to); }

TEST(the_break_moves_and_regrown_pages_are_zero) {
    char *old = brk_to(NULL);
    EXPECT_EQ((long)brk_to(old), (long)old);
    EXPECT_EQ((long)brk_to((char *)1), (long)old);
    char *end = (char *)(((uintptr_t)old + 3 * PAGE) & -PAGE);
    ASSERT_EQ((long)brk_to(end), (long)end);
    memset(end - PAGE, 1, PAGE);
    EXPECT_EQ((long)brk_to(end - PAGE), (long)end - PAGE);
    EXPECT_FAULT(SIGSEGV, SEGV_MAPERR, end - PAGE, (void)*(volatile char *)(end - PAGE));
    EXPECT_EQ((long)brk_to(end - 1), (long)end - 1);
    EXPECT_EQ(end[-PAGE], 0);
}

TEST(what_it_cannot_reach) {
    char *old = brk_to(NULL);
    EXPECT_EQ((long)brk_to((char *)-1), (long)old);
    EXPECT_EQ((long)brk_to((char *)(1ul << 62)), (long)old);
    char *next = (char *)(((uintptr_t)old + PAGE - 1) & -PAGE);
    place(next + 4 * PAGE, 1, PROT_READ);
    EXPECT_EQ((long)brk_to(next + 5 * PAGE), (long)old);
    EXPECT_EQ((long)brk_to(next + 4 * PAGE), (long)old);
    EXPECT_EQ((long)brk_to(next + 3 * PAGE), (long)next + 3 * PAGE);
}

TEST(data_limit) {
    char *old = brk_to(NULL);
    limit(RLIMIT_DATA, 1 << 20);
    EXPECT_EQ((long)brk_to(old + (2 << 20)), (long)old);
}

TEST(heap_in_maps) {
    char path[2048];
    char *old = brk_to(NULL);
    ASSERT_TRUE(brk_to(old + PAGE) == old + PAGE);
    ASSERT_TRUE(maps_line(old, NULL, NULL, NULL, path));
    EXPECT_STR(path, "[heap]");
}
