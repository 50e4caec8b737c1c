/* The stack that grows, and shows itself in /proc/self/maps. */
#include "memory.h"

static int depth(int n) {
    volatile char frame[1024];
    frame[0] = n;
    return n == 0 ? 0 : depth(n - 1) + frame[0] * 0 + 1;
}

TEST(grows) { EXPECT_EQ(depth(2000), 2000); }

TEST(is_named) {
    char path[2048];
    int here;
    ASSERT_TRUE(maps_line(&here, NULL, NULL, NULL, path));
    EXPECT_STR(path, "[stack]");
}

static void overflow(void) {
    volatile char frame[4096];
    frame[0] = 1;
    overflow();
    frame[1] = 1;
}

TEST(ends_at_its_limit) {
    pid_t pid = fork();
    if (pid == 0) overflow();
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_SIGNALED(SIGSEGV, status);
}

TEST(growsdown_mappings_grow) {
    char *p = room(64);
    char *top = p + 64 * PAGE;
    ASSERT_EQ(map(top - PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), (long)top - PAGE);
    *(volatile char *)(top - PAGE - 8) = 1;
    *(volatile char *)(top - 2 * PAGE - 8) = 1;
    uintptr_t start;
    ASSERT_TRUE(maps_line(top - 1, &start, NULL, NULL, NULL));
    EXPECT_EQ(start, (uintptr_t)top - 3 * PAGE);
}
