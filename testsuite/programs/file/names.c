/* Names: directories, links, renaming, permissions, times, stat. */
#include "check.h"
#include <dirent.h>
#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <sys/statfs.h>
#include <utime.h>

TEST(directories) {
    EXPECT_OK(mkdir("d", 0755));
    EXPECT_ERRNO(EEXIST, mkdir("d", 0755));
    EXPECT_ERRNO(ENOENT, mkdir("x/y", 0755));
    make_file("d/f", "");
    EXPECT_ERRNO(ENOTEMPTY, rmdir("d"));
    EXPECT_ERRNO(ENOTDIR, rmdir("d/f"));
    EXPECT_ERRNO(EISDIR, unlink("d"));
    EXPECT_OK(unlink("d/f"));
    EXPECT_ERRNO(ENOENT, unlink("d/f"));
    EXPECT_ERRNO(EINVAL, rmdir("d/."));
    EXPECT_OK(rmdir("d"));
    EXPECT_OK(mkdir("e", 0700));
    EXPECT_OK(unlinkat(AT_FDCWD, "e", AT_REMOVEDIR));
}

TEST(reading_a_directory) {
    char name[32];
    int seen[200] = {0}, dots = 0, total = 0;
    mkdir("d", 0755);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "d/file-with-a-name-%d", i);
        make_file(name, "");
    }
    mkdir("d/sub", 0700);
    DIR *dir = opendir("d");
    ASSERT_TRUE(dir != NULL);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        int number;
        total++;
        if (sscanf(entry->d_name, "file-with-a-name-%d", &number) == 1 && number >= 0 && number < 200) {
            seen[number]++;
            EXPECT_EQ(entry->d_type, DT_REG);
        } else if (strcmp(entry->d_name, "sub") == 0) {
            EXPECT_EQ(entry->d_type, DT_DIR);
        } else {
            dots++;
        }
    }
    EXPECT_EQ(total, 203);
    EXPECT_EQ(dots, 2);
    for (int i = 0; i < 200; i++) EXPECT_EQ(seen[i], 1);
    rewinddir(dir);
    EXPECT_TRUE(readdir(dir) != NULL);
    closedir(dir);
    char buf[8];
    int fd = open("d", O_RDONLY);
    EXPECT_ERRNO(EINVAL, syscall(SYS_getdents64, fd, buf, sizeof buf));
    EXPECT_ERRNO(EISDIR, read(fd, buf, sizeof buf));
    int file = open("d/file-with-a-name-1", O_RDONLY);
    EXPECT_ERRNO(ENOTDIR, syscall(SYS_getdents64, file, buf, sizeof buf));
}

TEST(working_directory) {
    char start[4096], now[4096];
    ASSERT_TRUE(getcwd(start, sizeof start) != NULL);
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    EXPECT_OK(chdir("d/e"));
    ASSERT_TRUE(getcwd(now, sizeof now) != NULL);
    EXPECT_EQ(strncmp(now, start, strlen(start)), 0);
    EXPECT_STR(now + strlen(start), "/d/e");
    EXPECT_OK(chdir(".."));
    int fd = open("e", O_RDONLY);
    EXPECT_OK(fchdir(fd));
    EXPECT_OK(chdir("../.."));
    ASSERT_TRUE(getcwd(now, sizeof now) != NULL);
    EXPECT_STR(now, start);
    EXPECT_ERRNO(ENOENT, chdir("missing"));
    make_file("f", "");
    EXPECT_ERRNO(ENOTDIR, chdir("f"));
    char small[2];
    EXPECT_ERRNO(ERANGE, syscall(SYS_getcwd, small, 2));
    EXPECT_OK(chdir("d/e"));
    EXPECT_OK(rmdir("../e"));
    EXPECT_ERRNO(ENOENT, syscall(SYS_getcwd, now, sizeof now));
}

TEST(links) {
    char buf[16] = {0};
    struct stat a, b;
    make_file("f", "text");
    EXPECT_OK(link("f", "hard"));
    EXPECT_OK(stat("f", &a));
    EXPECT_OK(stat("hard", &b));
    EXPECT_EQ(a.st_ino, b.st_ino);
    EXPECT_EQ(a.st_nlink, 2);
    EXPECT_ERRNO(EEXIST, link("f", "hard"));
    EXPECT_OK(symlink("target-name", "sym"));
    EXPECT_EQ(readlink("sym", buf, sizeof buf), 11);
    EXPECT_EQ(memcmp(buf, "target-name", 11), 0);
    EXPECT_EQ(readlink("sym", buf, 3), 3);
    EXPECT_ERRNO(EINVAL, readlink("f", buf, sizeof buf));
    EXPECT_ERRNO(ENOENT, stat("sym", &a));
    EXPECT_OK(lstat("sym", &a));
    EXPECT_TRUE(S_ISLNK(a.st_mode));
    EXPECT_EQ(a.st_size, 11);
    EXPECT_OK(unlink("f"));
    EXPECT_OK(stat("hard", &b));
    EXPECT_EQ(b.st_nlink, 1);
}

TEST(unlinked_files_live_on) {
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    write(fd, "abc", 3);
    EXPECT_OK(unlink("f"));
    char buf[4] = {0};
    EXPECT_EQ(pread(fd, buf, 3, 0), 3);
    EXPECT_STR(buf, "abc");
    struct stat st;
    EXPECT_OK(fstat(fd, &st));
    EXPECT_EQ(st.st_nlink, 0);
    EXPECT_ERRNO(ENOENT, open("f", O_RDONLY));
}

TEST(renaming) {
    struct stat st;
    make_file("a", "a");
    make_file("b", "bb");
    EXPECT_OK(rename("a", "b"));
    EXPECT_ERRNO(ENOENT, stat("a", &st));
    EXPECT_OK(stat("b", &st));
    EXPECT_EQ(st.st_size, 1);
    mkdir("d", 0755);
    mkdir("e", 0755);
    EXPECT_OK(rename("d", "e"));
    EXPECT_ERRNO(EISDIR, rename("b", "e"));
    EXPECT_ERRNO(ENOTDIR, rename("e", "b"));
    EXPECT_ERRNO(EINVAL, rename("e", "e/f"));
    EXPECT_ERRNO(ENOENT, rename("missing", "x"));
    make_file("c", "ccc");
    EXPECT_ERRNO(EEXIST, syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 1 /* NOREPLACE */));
    EXPECT_OK(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 2 /* EXCHANGE */));
    stat("b", &st);
    EXPECT_EQ(st.st_size, 3);
}

TEST(modes) {
    struct stat st;
    umask(0);
    int fd = open("f", O_RDWR | O_CREAT, 0666);
    fstat(fd, &st);
    EXPECT_EQ(st.st_mode, S_IFREG | 0666);
    EXPECT_OK(fchmod(fd, 0640));
    EXPECT_OK(chmod("f", 04755));
    fstat(fd, &st);
    EXPECT_EQ(st.st_mode & 07777, 04755);
    umask(022);
    EXPECT_EQ(umask(077), 022);
    mkdir("d", 0777);
    stat("d", &st);
    EXPECT_EQ(st.st_mode, S_IFDIR | 0700);
    EXPECT_OK(access("f", F_OK));
    EXPECT_OK(access("f", X_OK));
    chmod("f", 0644);
    EXPECT_ERRNO(EACCES, access("f", X_OK));
    EXPECT_ERRNO(ENOENT, access("missing", F_OK));
    EXPECT_ERRNO(EINVAL, access("f", 99));
    EXPECT_OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    EXPECT_OK(mknod("fifo", S_IFIFO | 0600, 0));
    stat("fifo", &st);
    EXPECT_TRUE(S_ISFIFO(st.st_mode));
}

TEST(times) {
    struct timespec both[2] = {{1000000000, 5}, {1100000000, 7}}, omit[2] = {{0, UTIME_OMIT}, {1200000000, 9}};
    struct stat st;
    make_file("f", "");
    EXPECT_OK(utimensat(AT_FDCWD, "f", both, 0));
    stat("f", &st);
    EXPECT_EQ(st.st_atim.tv_sec, 1000000000);
    EXPECT_EQ(st.st_mtim.tv_sec, 1100000000);
    EXPECT_EQ(st.st_mtim.tv_nsec, 7);
    EXPECT_OK(utimensat(AT_FDCWD, "f", omit, 0));
    stat("f", &st);
    EXPECT_EQ(st.st_atim.tv_sec, 1000000000);
    EXPECT_EQ(st.st_mtim.tv_sec, 1200000000);
    int fd = open("f", O_RDWR);
    EXPECT_OK(futimens(fd, NULL));
    fstat(fd, &st);
    EXPECT_GT(st.st_mtim.tv_sec, 1500000000);
    both[0].tv_nsec = 2000000000;
    EXPECT_ERRNO(EINVAL, utimensat(AT_FDCWD, "f", both, 0));
}

TEST(stat_fields) {
    struct stat st;
    struct statx stx;
    make_file("f", "0123456789");
    EXPECT_OK(stat("f", &st));
    EXPECT_EQ(st.st_size, 10);
    EXPECT_EQ(st.st_uid, geteuid());
    EXPECT_EQ(st.st_nlink, 1);
    EXPECT_GT(st.st_blksize, 0);
    EXPECT_OK(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS, &stx));
    EXPECT_EQ(stx.stx_size, 10);
    EXPECT_EQ(stx.stx_ino, st.st_ino);
    EXPECT_EQ(stx.stx_mode, st.st_mode);
    EXPECT_EQ(stx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
    EXPECT_EQ(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
    int fd = open("f", O_RDONLY | O_PATH);
    EXPECT_OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
    EXPECT_EQ(st.st_size, 10);
    EXPECT_ERRNO(ENOENT, fstatat(AT_FDCWD, "", &st, 0));
    EXPECT_ERRNO(EFAULT, syscall(SYS_newfstatat, AT_FDCWD, "f", BAD_PTR, 0));
    EXPECT_ERRNO(EBADF, read(fd, &st, 1));
    struct statfs fs;
    EXPECT_OK(statfs(".", &fs));
    EXPECT_GT(fs.f_bsize, 0);
}

TEST(proc_shows_the_guest) {
    char buf[4096], want[4096];
    ssize_t n = readlink("/proc/self/exe", buf, sizeof buf - 1);
    ASSERT_TRUE(n > 0);
    buf[n] = 0;
    EXPECT_TRUE(strstr(buf, "names") != NULL);
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    snprintf(want, sizeof want, "/proc/self/fd/%d", fd);
    n = readlink(want, buf, sizeof buf - 1);
    ASSERT_TRUE(n > 2);
    buf[n] = 0;
    EXPECT_STR(buf + n - 2, "/f");
    EXPECT_EQ(write(fd, "data", 4), 4);
    int again = open(want, O_RDONLY);
    ASSERT_OK(again);
    EXPECT_EQ(read(again, buf, 8), 4);
    FILE *status = fopen("/proc/self/status", "r");
    ASSERT_TRUE(status != NULL);
    int pid = 0, threads = 0;
    while (fgets(buf, sizeof buf, status)) {
        sscanf(buf, "Pid: %d", &pid);
        sscanf(buf, "Threads: %d", &threads);
    }
    EXPECT_EQ(pid, getpid());
    EXPECT_EQ(threads, 1);
    FILE *stat = fopen("/proc/self/stat", "r");
    ASSERT_TRUE(stat != NULL);
    int ppid = 0;
    EXPECT_EQ(fscanf(stat, "%d (%*[^)]) %*c %d", &pid, &ppid), 2);
    EXPECT_EQ(pid, getpid());
    EXPECT_EQ(ppid, getppid());
    FILE *maps = fopen("/proc/self/maps", "r");
    ASSERT_TRUE(maps != NULL);
    int stack = 0, own = 0;
    while (fgets(buf, sizeof buf, maps)) {
        unsigned long from, to;
        stack |= strstr(buf, "[stack]") != NULL;
        if (sscanf(buf, "%lx-%lx", &from, &to) == 2) own |= from <= (uintptr_t)check_run && (uintptr_t)check_run < to;
    }
    EXPECT_TRUE(stack);
    EXPECT_TRUE(own);
    EXPECT_OK(access("/proc/cpuinfo", R_OK));
    EXPECT_OK(access("/proc/meminfo", R_OK));
    DIR *fds = opendir("/proc/self/fd");
    ASSERT_TRUE(fds != NULL);
    int found = 0;
    for (struct dirent *e; (e = readdir(fds));) found |= atoi(e->d_name) == fd;
    EXPECT_TRUE(found);
}
