// What /proc shows of processes and leaders that have ended.
#include "tasks.h"
#include <dirent.h>

static char text[8192];

// The whole text; -1 with errno when it cannot be opened, -2 when not read.
static ssize_t slurp(pid_t pid, pid_t tid, const char *name) {
    char path[96];
    if (tid)
        snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0) return -2;
    text[n] = 0;
    return n;
}

// Of the process's directory when `tid` is 0.
static char state_in(pid_t pid, pid_t tid) {
    if (slurp(pid, tid, "stat") <= 0) return 0;
    return *(strrchr(text, ')') + 2);
}

static ssize_t link_of(pid_t pid, pid_t tid, const char *name) {
    char path[96];
    if (tid)
        snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return readlink(path, text, sizeof text - 1);
}

// Threads of /proc/PID/task; `other` is one that is not the leader, if there is any.
static int count_threads(pid_t pid, pid_t *other) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL) return -1;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        n++;
        if (atoi(entry->d_name) != pid && other) *other = atoi(entry->d_name);
    }
    closedir(dir);
    return n;
}

static void be_nobody(void) {
    if (getuid() == 0) {
        ASSERT_OK(setresgid(65534, 65534, 65534));
        ASSERT_OK(setresuid(65534, 65534, 65534));
        // Others may look into it all the same.
        ASSERT_OK(prctl(PR_SET_DUMPABLE, 1));
    }
}

static void expect_nothing_left(pid_t pid) {
    EXPECT_EQ(slurp(pid, 0, "cmdline"), 0);
    EXPECT_EQ(slurp(pid, 0, "maps"), 0);
    EXPECT_TRUE(slurp(pid, 0, "statm") > 0);
    EXPECT_STR(text, "0 0 0 0 0 0 0\n");
    EXPECT_TRUE(slurp(pid, 0, "status") > 0);
    EXPECT_TRUE(strstr(text, "State:\tZ (zombie)\n") != NULL);
    EXPECT_TRUE(strstr(text, "VmSize") == NULL);
    EXPECT_EQ(slurp(pid, 0, "coredump_filter"), 0);
    EXPECT_ERRNO(ENOENT, link_of(pid, 0, "exe"));
    EXPECT_ERRNO(ENOENT, link_of(pid, 0, "cwd"));
    EXPECT_ERRNO(ENOENT, link_of(pid, 0, "root"));
    // What has no memory lets nobody but root look into it.
    EXPECT_ERRNO(EACCES, slurp(pid, 0, "environ"));
    EXPECT_ERRNO(EACCES, slurp(pid, 0, "auxv"));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    EXPECT_ERRNO(EACCES, open(path, O_RDONLY));
    struct stat info;
    ASSERT_OK(stat(path, &info));
    EXPECT_EQ(info.st_uid, 0);
    snprintf(path, sizeof path, "/proc/%d", pid);
    ASSERT_OK(stat(path, &info));
    EXPECT_EQ(info.st_uid, geteuid());
}

TEST(a_zombie) {
    be_nobody();
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    siginfo_t end;
    ASSERT_OK(waitid(P_PID, pid, &end, WEXITED | WNOWAIT));
    EXPECT_EQ(state_in(pid, 0), 'Z');
    EXPECT_EQ(state_in(pid, pid), 'Z');
    EXPECT_EQ(count_threads(pid, NULL), 1);
    EXPECT_TRUE(slurp(pid, 0, "comm") > 0);
    EXPECT_TRUE(slurp(pid, pid, "status") > 0);
    EXPECT_TRUE(strstr(text, "State:\tZ (zombie)\n") != NULL);
    EXPECT_TRUE(strstr(text, "Threads:\t1\n") != NULL);
    expect_nothing_left(pid);
    ASSERT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_EQ(slurp(pid, 0, "stat"), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(count_threads(pid, NULL), -1);
}

TEST(an_open_file_of_a_process_that_is_gone) {
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    siginfo_t end;
    ASSERT_OK(waitid(P_PID, pid, &end, WEXITED | WNOWAIT));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    ASSERT_OK(fd);
    EXPECT_TRUE(read(fd, text, sizeof text) > 0);
    ASSERT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_ERRNO(ESRCH, pread(fd, text, sizeof text, 0));
}

static int ready[2];
static void *stay(void *unused) {
    char byte = 1;
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    for (;;) pause();
    return unused;
}

TEST(a_leader_that_ended_first) {
    be_nobody();
    ASSERT_OK(pipe(ready));
    pid_t pid = fork(), other = 0;
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, stay, NULL);
        syscall(SYS_exit, 0);
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    UNTIL(state_in(pid, 0) == 'Z');
    EXPECT_EQ(count_threads(pid, &other), 2);
    ASSERT_TRUE(other != 0);
    EXPECT_EQ(state_in(pid, pid), 'Z');
    UNTIL(state_in(pid, other) == 'S');
    EXPECT_TRUE(slurp(pid, 0, "status") > 0);
    EXPECT_TRUE(strstr(text, "Threads:\t2\n") != NULL);
    expect_nothing_left(pid);
    // The other thread has it all.
    EXPECT_TRUE(slurp(pid, other, "cmdline") > 0);
    EXPECT_TRUE(slurp(pid, other, "maps") > 0);
    EXPECT_TRUE(slurp(pid, other, "environ") >= 0);
    EXPECT_TRUE(slurp(pid, other, "auxv") > 0);
    EXPECT_TRUE(link_of(pid, other, "exe") > 0);
    EXPECT_TRUE(link_of(pid, other, "cwd") > 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/fd", pid, other);
    EXPECT_OK(open(path, O_RDONLY));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
