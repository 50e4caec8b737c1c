// /proc/self: descriptors, links and texts that programs read.
#include "check.h"
#include <dirent.h>
#include <sys/mman.h>

static char *slurp(const char *path) {
    static char buf[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n = 0, got;
    while (fd >= 0 && n < (ssize_t)sizeof buf - 1 && (got = read(fd, buf + n, sizeof buf - 1 - n)) > 0)
        n += got;
    close(fd);
    buf[n] = 0;
    return buf;
}

TEST(descriptors_are_links) {
    char path[64], target[256];
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    ASSERT_TRUE(n > 2);
    target[n] = 0;
    EXPECT_STR(target + n - 2, "/f");
    ASSERT_OK(rename("f", "g"));
    n = readlink(path, target, sizeof target - 1);
    target[n] = 0;
    EXPECT_STR(target + n - 2, "/g");
    ASSERT_OK(unlink("g"));
    n = readlink(path, target, sizeof target - 1);
    target[n] = 0;
    EXPECT_STR(target + n - 12, "/g (deleted)");
    // The link still opens what it stands for, with an offset of its own.
    ASSERT_EQ(write(fd, "abc", 3), 3);
    int again = open(path, O_RDONLY);
    ASSERT_TRUE(again >= 0);
    EXPECT_EQ(read(again, target, 8), 3);
    close(fd);
    EXPECT_ERRNO(ENOENT, readlink(path, target, sizeof target));
}

TEST(pipes_open_again) {
    int p[2];
    char path[64], buf[8];
    ASSERT_OK(pipe(p));
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    ssize_t n = readlink(path, buf, 6);
    EXPECT_EQ(n, 6);
    EXPECT_TRUE(memcmp(buf, "pipe:[", 6) == 0);
    int w = open(path, O_WRONLY);
    ASSERT_TRUE(w >= 0);
    EXPECT_EQ(write(w, "hi", 2), 2);
    EXPECT_EQ(read(p[0], buf, 8), 2);
}

TEST(fdinfo_tells_offset_and_flags) {
    char path[64];
    int fd = open("f", O_RDWR | O_CREAT | O_APPEND, 0600);
    ASSERT_EQ(write(fd, "12345", 5), 5);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    char *text = slurp(path);
    EXPECT_TRUE(strncmp(text, "pos:\t5\nflags:\t0102002\nmnt_id:\t", 30) == 0);
}

TEST(the_current_directory_follows_a_rename) {
    char before[512], after[512];
    ASSERT_OK(mkdir("a", 0700));
    ASSERT_OK(mkdir("a/b", 0700));
    ASSERT_OK(chdir("a/b"));
    ASSERT_TRUE(getcwd(before, sizeof before) != NULL);
    ASSERT_OK(rename("../../a", "../../c"));
    ASSERT_TRUE(getcwd(after, sizeof after) != NULL);
    size_t n = strlen(after);
    EXPECT_STR(after + n - 4, "/c/b");
    ASSERT_OK(rmdir("../b"));
    EXPECT_ERRNO(ENOENT, syscall(SYS_getcwd, after, sizeof after));
    EXPECT_ERRNO(ENOENT, open("x", O_CREAT | O_WRONLY, 0600));
}

TEST(status_and_stat_agree) {
    char *text = slurp("/proc/self/status"), want[64];
    snprintf(want, sizeof want, "\nPid:\t%d\n", getpid());
    EXPECT_TRUE(strstr(text, want) != NULL);
    snprintf(want, sizeof want, "\nPPid:\t%d\n", getppid());
    EXPECT_TRUE(strstr(text, want) != NULL);
    EXPECT_TRUE(strstr(text, "\nThreads:\t1\n") != NULL);
    EXPECT_TRUE(strstr(text, "\nVmRSS:\t") != NULL);
    text = slurp("/proc/self/stat");
    char *end = strrchr(text, ')');
    ASSERT_TRUE(end != NULL);
    int fields = 2;
    for (char *at = end + 1; *at; at++) fields += *at == ' ';
    EXPECT_EQ(fields, 52);
    EXPECT_EQ(atoi(text), getpid());
}

TEST(maps_show_mappings) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(page != MAP_FAILED);
    ASSERT_OK(mprotect(page, 4096, PROT_READ));
    char want[64];
    snprintf(want, sizeof want, "%08lx-", (unsigned long)page);
    char *line = strstr(slurp("/proc/self/maps"), want);
    if (line == NULL) {
        // A neighbour may have joined it from below.
        snprintf(want, sizeof want, "-%08lx ", (unsigned long)page + 4096);
        line = strstr(slurp("/proc/self/maps"), want);
    }
    ASSERT_TRUE(line != NULL);
    EXPECT_TRUE(strstr(slurp("/proc/self/maps"), "[stack]\n") != NULL);
}

TEST(links_of_a_process) {
    char exe[512], byid[64], again[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
    ASSERT_TRUE(n > 0);
    snprintf(byid, sizeof byid, "/proc/%d/exe", getpid());
    EXPECT_EQ(readlink(byid, again, sizeof again), n);
    EXPECT_TRUE(memcmp(exe, again, n) == 0);
    int fd = open("/proc/self/exe", O_RDONLY);
    ASSERT_TRUE(fd >= 0);
    char magic[4];
    EXPECT_EQ(read(fd, magic, 4), 4);
    EXPECT_TRUE(memcmp(magic, "\177ELF", 4) == 0);
    ASSERT_OK(mkdir("here", 0700));
    ASSERT_OK(chdir("here"));
    EXPECT_OK(access("/proc/self/cwd/../here", F_OK));
    EXPECT_ERRNO(ENOENT, open("/proc/self/none", O_RDONLY));
    EXPECT_ERRNO(ENOENT, open("/proc/999999999/stat", O_RDONLY));
    EXPECT_ERRNO(ENOTDIR, open("/proc/version/x", O_RDONLY));
}

TEST(device_files) {
    char buf[8];
    EXPECT_OK(access("/dev/fd/0", F_OK));
    int fd = open("/dev/full", O_WRONLY);
    EXPECT_ERRNO(ENOSPC, write(fd, "x", 1));
    fd = open("/dev/zero", O_RDONLY);
    EXPECT_EQ(read(fd, buf, 8), 8);
    EXPECT_EQ(buf[7], 0);
    fd = open("/dev/shm/rivix-check", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(fd >= 0);
    ASSERT_OK(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_TRUE(map != MAP_FAILED);
    map[9] = 'z';
    EXPECT_EQ(pread(fd, buf, 1, 9), 1);
    EXPECT_EQ(buf[0], 'z');
    EXPECT_OK(unlink("/dev/shm/rivix-check"));
}
