/* personality(2) where it changes what memory is, and the lowest address. */
#include "memory.h"
#include <sys/personality.h>

static void perms_of(const void *address, char perms[8]) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    ASSERT_TRUE(maps != NULL);
    perms[0] = 0;
    unsigned long from, to;
    char found[8];
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx-%lx %7s", &from, &to, found) == 3 && (uintptr_t)address - from < to - from)
            strcpy(perms, found);
    fclose(maps);
}

TEST(it_is_told_and_inherited) {
    EXPECT_EQ(personality(0xffffffff), 0);
    EXPECT_EQ(personality(ADDR_NO_RANDOMIZE), 0);
    EXPECT_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
    pid_t pid = fork();
    if (pid == 0) _exit(personality(0xffffffff) == ADDR_NO_RANDOMIZE ? 0 : 1);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}

TEST(reading_implies_execution) {
    char perms[8];
    ASSERT_OK(personality(READ_IMPLIES_EXEC));
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(p != MAP_FAILED);
    perms_of(p, perms);
    EXPECT_STR(perms, "r-xp");
    char *q = mmap(NULL, 4096, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(q != MAP_FAILED);
    perms_of(q, perms);
    EXPECT_STR(perms, "-w-s");
    EXPECT_OK(mprotect(q, 4096, PROT_READ));
    perms_of(q, perms);
    EXPECT_STR(perms, "r-xs");
    ASSERT_OK(personality(0));
    EXPECT_OK(mprotect(p, 4096, PROT_READ));
    perms_of(p, perms);
    EXPECT_STR(perms, "r--p");
}

TEST(nothing_is_mapped_at_0) {
    if (geteuid() == 0) ASSERT_OK(setresuid(65534, 65534, 65534));
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    EXPECT_ERRNO(EPERM, (long)mmap(NULL, 4096, PROT_READ, flags, -1, 0));
    EXPECT_ERRNO(EPERM, (long)mmap(NULL, 1 << 20, PROT_READ, flags, -1, 0));
    EXPECT_ERRNO(EPERM, (long)mmap(NULL, 4096, PROT_READ, flags | MAP_FIXED_NOREPLACE, -1, 0));
    void *there = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(there != MAP_FAILED && there != NULL);
    EXPECT_ERRNO(EPERM, (long)mremap(there, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, NULL));
    /* A hint of 0 is none. */
    EXPECT_TRUE((uintptr_t)mmap((void *)8, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) > 4095);
}
