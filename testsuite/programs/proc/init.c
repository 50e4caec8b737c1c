// The first process, as one without privileges sees it: shown, and out of reach.
#include "check.h"
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

#define INIT 1

static void be_nobody(void) {
    if (getuid() == 0) ASSERT_OK(setresuid(65534, 65534, 65534));
}

// A line of /proc/1/status after its name and tab; NULL: there is none.
static const char *status_line(const char *name) {
    static char line[256];
    FILE *file = fopen("/proc/1/status", "r");
    if (file == NULL) return NULL;
    size_t len = strlen(name);
    const char *found = NULL;
    while (found == NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':') found = line + len + 2;
    fclose(file);
    return found;
}

TEST(it_has_a_group_and_a_session_that_are_its_own_or_none) {
    // Those of the machine's start until it calls setsid(2).
    int group = getpgid(INIT), session = getsid(INIT);
    EXPECT_TRUE(group == 0 || group == INIT);
    EXPECT_EQ(session, group);
    EXPECT_ERRNO(ESRCH, setpgid(INIT, 0));
    EXPECT_ERRNO(ESRCH, setpgid(INIT, INIT));
    EXPECT_ERRNO(EPERM, setpgid(0, INIT));
}

TEST(it_cannot_be_signalled) {
    be_nobody();
    EXPECT_ERRNO(EPERM, kill(INIT, 0));
    EXPECT_ERRNO(EPERM, kill(INIT, SIGKILL));
    EXPECT_ERRNO(EPERM, kill(INIT, SIGCONT));
    EXPECT_ERRNO(EINVAL, kill(INIT, 65));
    EXPECT_ERRNO(EPERM, syscall(SYS_tkill, INIT, 0));
    EXPECT_ERRNO(EPERM, syscall(SYS_tgkill, INIT, INIT, SIGTERM));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), INIT, SIGTERM));
    siginfo_t info = {.si_code = SI_QUEUE};
    EXPECT_ERRNO(EPERM, syscall(SYS_rt_sigqueueinfo, INIT, SIGUSR1, &info));
    EXPECT_ERRNO(EPERM, syscall(SYS_rt_tgsigqueueinfo, INIT, INIT, SIGUSR1, &info));
}

TEST(it_can_be_looked_at) {
    be_nobody();
    struct sched_param param = {.sched_priority = 99};
    EXPECT_EQ(sched_getscheduler(INIT), SCHED_OTHER);
    EXPECT_OK(sched_getparam(INIT, &param));
    EXPECT_EQ(param.sched_priority, 0);
    struct timespec slice;
    EXPECT_OK(sched_rr_get_interval(INIT, &slice));
    cpu_set_t cpus;
    EXPECT_TRUE(syscall(SYS_sched_getaffinity, INIT, sizeof cpus, &cpus) > 0);
    char attributes[48];
    EXPECT_OK(syscall(SYS_sched_getattr, INIT, attributes, sizeof attributes, 0));
    errno = 0;
    getpriority(PRIO_PROCESS, INIT);
    EXPECT_EQ(errno, 0);
    EXPECT_OK(syscall(SYS_ioprio_get, 1, INIT));
    struct timespec used;
    clockid_t clock;
    EXPECT_EQ(clock_getcpuclockid(INIT, &clock), 0);
    EXPECT_OK(clock_gettime(clock, &used));
}

TEST(it_cannot_be_changed) {
    be_nobody();
    struct sched_param param = {.sched_priority = 0};
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    EXPECT_ERRNO(EPERM, sched_setparam(INIT, &param));
    EXPECT_ERRNO(EPERM, sched_setscheduler(INIT, SCHED_BATCH, &param));
    EXPECT_ERRNO(EPERM, sched_setaffinity(INIT, sizeof cpus, &cpus));
    EXPECT_ERRNO(EPERM, setpriority(PRIO_PROCESS, INIT, 5));
    EXPECT_ERRNO(EPERM, syscall(SYS_ioprio_set, 1, INIT, 2 << 13 | 4));
    struct rlimit limit;
    EXPECT_ERRNO(EPERM, prlimit(INIT, RLIMIT_NOFILE, NULL, &limit));
    void *head;
    size_t len;
    EXPECT_ERRNO(EPERM, syscall(SYS_get_robust_list, INIT, &head, &len));
}

TEST(it_is_no_child_and_never_ends) {
    be_nobody();
    EXPECT_ERRNO(ECHILD, waitpid(INIT, NULL, 0));
    EXPECT_ERRNO(ECHILD, waitpid(INIT, NULL, __WALL | WNOHANG));
    int fd = syscall(SYS_pidfd_open, INIT, 0);
    ASSERT_TRUE(fd >= 0);
    struct pollfd alive = {.fd = fd, .events = POLLIN};
    EXPECT_EQ(poll(&alive, 1, 0), 0);
    EXPECT_ERRNO(EPERM, syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    EXPECT_ERRNO(EPERM, syscall(SYS_pidfd_getfd, fd, 0, 0));
    siginfo_t info;
    EXPECT_ERRNO(ECHILD, waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
}

TEST(its_directory_shows_what_everybody_may_see) {
    be_nobody();
    int pid, ppid, group, session;
    char state;
    FILE *stat = fopen("/proc/1/stat", "r");
    ASSERT_TRUE(stat != NULL);
    ASSERT_EQ(fscanf(stat, "%d (%*[^)]) %c %d %d %d", &pid, &state, &ppid, &group, &session), 5);
    fclose(stat);
    EXPECT_EQ(pid, INIT);
    EXPECT_EQ(ppid, 0);
    EXPECT_EQ(group, getpgid(INIT));
    EXPECT_EQ(session, getsid(INIT));
    const char *line = status_line("Uid");
    ASSERT_TRUE(line != NULL);
    EXPECT_STR(line, "0\t0\t0\t0\n");
    line = status_line("Tgid");
    ASSERT_TRUE(line != NULL);
    EXPECT_STR(line, "1\n");
    EXPECT_OK(access("/proc/1/task/1/stat", R_OK));
    DIR *proc = opendir("/proc");
    ASSERT_TRUE(proc != NULL);
    int found = 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) found += strcmp(entry->d_name, "1") == 0;
    EXPECT_EQ(found, 1);
    closedir(proc);
}

TEST(its_directory_keeps_the_rest_to_itself) {
    be_nobody();
    char text[64];
    EXPECT_ERRNO(EACCES, readlink("/proc/1/exe", text, sizeof text));
    EXPECT_ERRNO(EACCES, readlink("/proc/1/cwd", text, sizeof text));
    EXPECT_ERRNO(EACCES, readlink("/proc/1/root", text, sizeof text));
    EXPECT_ERRNO(EACCES, open("/proc/1/environ", O_RDONLY));
    EXPECT_ERRNO(EACCES, open("/proc/1/auxv", O_RDONLY));
    EXPECT_ERRNO(EACCES, open("/proc/1/maps", O_RDONLY));
    EXPECT_ERRNO(EACCES, open("/proc/1/comm", O_WRONLY));
    EXPECT_ERRNO(EACCES, open("/proc/1/fd", O_RDONLY));
}

TEST(orphans_are_its) {
    int fds[2];
    ASSERT_OK(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent) usleep(200);
            pid_t heir = getppid();
            _exit(write(fds[1], &heir, sizeof heir) != sizeof heir);
        }
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, NULL, 0), child);
    pid_t heir = 0;
    ASSERT_EQ(read(fds[0], &heir, sizeof heir), sizeof heir);
    if (heir == getpid()) SKIP("a subreaper is nearer than init here");
    EXPECT_EQ(heir, INIT);
}
