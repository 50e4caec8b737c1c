// Kernel threads, as a process sees them: shown in /proc, out of reach.
#include "check.h"
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define KTHREADD 2

static char text[65536];

// The whole text; its length, or -1 with errno.
static ssize_t slurp(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", KTHREADD, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t n = 0, got;
    while ((got = read(fd, text + n, sizeof text - 1 - n)) > 0) n += got;
    int error = errno;
    close(fd);
    errno = error;
    text[n] = 0;
    return got < 0 ? -1 : n;
}

static void need_kthreadd(void) {
    // A container has a pid namespace without kernel threads.
    if (slurp("comm") < 0 || strcmp(text, "kthreadd\n") != 0) SKIP("no kthreadd here");
}

TEST(stat_and_status) {
    need_kthreadd();
    ASSERT_TRUE(slurp("stat") > 0);
    const char *head = "2 (kthreadd) S 0 0 0 0 -1 2129984 ";
    EXPECT_EQ(strncmp(text, head, strlen(head)), 0);
    unsigned long long vsize, rss, exit_signal;
    EXPECT_EQ(sscanf(text + strlen(head),
                     "%*u %*u %*u %*u %*u %*u %*d %*d %*d %*d 1 %*d %*u %llu %llu %*u %*u %*u %*u "
                     "%*u %*u %*u %*u %*u %*u %*u %*u %*u %llu",
                     &vsize, &rss, &exit_signal),
              3);
    EXPECT_EQ(vsize, 0);
    EXPECT_EQ(rss, 0);
    EXPECT_EQ(exit_signal, 0);
    ASSERT_TRUE(slurp("status") > 0);
    EXPECT_TRUE(strstr(text, "Name:\tkthreadd\n") != NULL);
    EXPECT_TRUE(strstr(text, "State:\tS (sleeping)\n") != NULL);
    EXPECT_TRUE(strstr(text, "PPid:\t0\n") != NULL);
    EXPECT_TRUE(strstr(text, "Uid:\t0\t0\t0\t0\n") != NULL);
    EXPECT_TRUE(strstr(text, "Threads:\t1\n") != NULL);
    EXPECT_TRUE(strstr(text, "SigIgn:\tffffffffffffffff\n") != NULL);
    EXPECT_TRUE(strstr(text, "CapEff:\t000001ffffffffff\n") != NULL);
    EXPECT_TRUE(strstr(text, "Vm") == NULL);
}

TEST(no_memory_no_program_no_files) {
    need_kthreadd();
    EXPECT_EQ(slurp("cmdline"), 0);
    EXPECT_EQ(slurp("maps"), 0);
    EXPECT_EQ(slurp("smaps"), 0);
    EXPECT_TRUE(slurp("statm") > 0);
    EXPECT_STR(text, "0 0 0 0 0 0 0\n");
    if (getuid() != 0) return;
    // ESRCH since Linux 6.17, empty before.
    EXPECT_TRUE(slurp("environ") <= 0);
    EXPECT_TRUE(slurp("auxv") <= 0);
    EXPECT_ERRNO(ENOENT, readlink("/proc/2/exe", text, sizeof text));
    EXPECT_EQ(readlink("/proc/2/cwd", text, sizeof text), 1);
    EXPECT_EQ(text[0], '/');
    EXPECT_EQ(readlink("/proc/2/root", text, sizeof text), 1);
    DIR *fds = opendir("/proc/2/fd");
    ASSERT_TRUE(fds != NULL);
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;) EXPECT_EQ(entry->d_name[0], '.');
    closedir(fds);
    // Only a process itself names its threads.
    int fd = open("/proc/2/comm", O_WRONLY);
    ASSERT_TRUE(fd >= 0);
    EXPECT_ERRNO(EINVAL, write(fd, "mine", 4));
}

TEST(it_is_listed) {
    need_kthreadd();
    DIR *proc = opendir("/proc");
    ASSERT_TRUE(proc != NULL);
    int found = 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) found += strcmp(entry->d_name, "2") == 0;
    EXPECT_EQ(found, 1);
    closedir(proc);
}

TEST(calls_that_take_a_pid) {
    need_kthreadd();
    struct sched_param param = {.sched_priority = 99};
    EXPECT_EQ(getpgid(KTHREADD), 0);
    EXPECT_EQ(getsid(KTHREADD), 0);
    EXPECT_EQ(sched_getscheduler(KTHREADD), SCHED_OTHER);
    EXPECT_OK(sched_getparam(KTHREADD, &param));
    EXPECT_EQ(param.sched_priority, 0);
    errno = 0;
    EXPECT_EQ(getpriority(PRIO_PROCESS, KTHREADD), 0);
    EXPECT_EQ(errno, 0);
    EXPECT_ERRNO(ESRCH, setpgid(KTHREADD, 0));
    EXPECT_ERRNO(EPERM, setpgid(0, KTHREADD));
    EXPECT_ERRNO(ECHILD, waitpid(KTHREADD, NULL, 0));
    EXPECT_ERRNO(ECHILD, waitpid(KTHREADD, NULL, __WALL));
    int fd = syscall(SYS_pidfd_open, KTHREADD, 0);
    ASSERT_TRUE(fd >= 0);
    struct pollfd alive = {.fd = fd, .events = POLLIN};
    EXPECT_EQ(poll(&alive, 1, 0), 0);
}

TEST(roots_signals_do_nothing) {
    need_kthreadd();
    if (getuid() != 0) SKIP("needs root");
    EXPECT_OK(kill(KTHREADD, 0));
    EXPECT_OK(kill(KTHREADD, SIGTERM));
    EXPECT_OK(syscall(SYS_tgkill, KTHREADD, KTHREADD, SIGSTOP));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), KTHREADD, 0));
    EXPECT_TRUE(slurp("stat") > 0);
    EXPECT_EQ(strncmp(text, "2 (kthreadd) S ", 15), 0);
}

TEST(others_may_not_signal) {
    need_kthreadd();
    if (getuid() == 0) ASSERT_OK(setresuid(65534, 65534, 65534));
    EXPECT_ERRNO(EPERM, kill(KTHREADD, 0));
    EXPECT_ERRNO(EPERM, kill(KTHREADD, SIGCONT));
    EXPECT_ERRNO(EPERM, syscall(SYS_tgkill, KTHREADD, KTHREADD, SIGTERM));
    EXPECT_ERRNO(EPERM, setpriority(PRIO_PROCESS, KTHREADD, 5));
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    EXPECT_ERRNO(EPERM, sched_setaffinity(KTHREADD, sizeof cpus, &cpus));
}
