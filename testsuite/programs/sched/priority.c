/* getpriority(2), setpriority(2), ioprio_get(2), ioprio_set(2). */
#include "sched.h"

/* The kernel's own answer: 20 - nice. */
static long get(int which, int who) { return syscall(SYS_getpriority, which, who); }
static long set(int which, int who, int nice) { return syscall(SYS_setpriority, which, who, nice); }

TEST(the_call_answers_20_less_nice) {
    long before = get(PRIO_PROCESS, 0);
    EXPECT_TRUE(before >= 1 && before <= 20);
    ASSERT_OK(set(PRIO_PROCESS, 0, 10));
    EXPECT_EQ(get(PRIO_PROCESS, 0), 10);
    EXPECT_EQ(get(PRIO_PROCESS, getpid()), 10);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 10);
}

TEST(values_are_clamped) {
    be_ordinary();
    EXPECT_OK(set(PRIO_PROCESS, 0, 1000));
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
    EXPECT_OK(set(PRIO_PROCESS, 0, 0x7fffffff));
    EXPECT_EQ(get(PRIO_PROCESS, 0), 1);
    EXPECT_ERRNO(EACCES, set(PRIO_PROCESS, 0, -1000));
}

TEST(lowering_nice_needs_permission) {
    be_ordinary();
    ASSERT_OK(set(PRIO_PROCESS, 0, 5));
    EXPECT_ERRNO(EACCES, set(PRIO_PROCESS, 0, 4));
    EXPECT_OK(set(PRIO_PROCESS, 0, 5));
    EXPECT_OK(set(PRIO_PROCESS, 0, 6));
    errno = 0;
    EXPECT_EQ(nice(1), 7);
    EXPECT_ERRNO(EPERM, nice(-1));
}

TEST(rlimit_nice_says_how_low) {
    ASSERT_OK(set(PRIO_PROCESS, 0, 15));
    struct rlimit eight = {12, 12};
    if (setrlimit(RLIMIT_NICE, &eight) == -1 && errno == EPERM) SKIP("may not raise RLIMIT_NICE");
    if (geteuid() == 0) {
        ASSERT_OK(setresgid(65534, 65534, 65534));
        ASSERT_OK(setresuid(65534, 65534, 65534));
    }
    EXPECT_OK(set(PRIO_PROCESS, 0, 8));
    EXPECT_ERRNO(EACCES, set(PRIO_PROCESS, 0, 7));
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 8);
}

TEST(arguments) {
    EXPECT_ERRNO(EINVAL, get(3, 0));
    EXPECT_ERRNO(EINVAL, get(-1, 0));
    EXPECT_ERRNO(EINVAL, set(3, 0, 0));
    EXPECT_ERRNO(EINVAL, set(-1, 0, 0));
    EXPECT_ERRNO(ESRCH, get(PRIO_PROCESS, NO_SUCH_TASK));
    EXPECT_ERRNO(ESRCH, set(PRIO_PROCESS, NO_SUCH_TASK, 19));
    EXPECT_ERRNO(ESRCH, get(PRIO_PGRP, NO_SUCH_TASK));
    EXPECT_ERRNO(ESRCH, set(PRIO_PGRP, NO_SUCH_TASK, 19));
    EXPECT_ERRNO(ESRCH, get(PRIO_USER, 3999999));
    EXPECT_ERRNO(ESRCH, set(PRIO_USER, 3999999, 19));
    EXPECT_ERRNO(ESRCH, get(PRIO_PROCESS, -1));
}

static volatile int tid, leave;
static void *wait_here(void *unused) {
    tid = syscall(SYS_gettid);
    while (!leave) usleep(100);
    return unused;
}

TEST(nice_belongs_to_the_thread) {
    pthread_t thread;
    ASSERT_OK(set(PRIO_PROCESS, 0, 11));
    ASSERT_EQ(pthread_create(&thread, NULL, wait_here, NULL), 0);
    while (!tid) usleep(100);
    EXPECT_EQ(getpriority(PRIO_PROCESS, tid), 11);
    EXPECT_OK(set(PRIO_PROCESS, tid, 13));
    EXPECT_EQ(getpriority(PRIO_PROCESS, tid), 13);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 11);
    EXPECT_EQ(getpriority(PRIO_PROCESS, getpid()), 11);
    leave = 1;
    pthread_join(thread, NULL);
}

TEST(groups_are_set_together_and_told_by_the_best) {
    int go[2];
    char byte;
    ASSERT_OK(pipe(go));
    ASSERT_OK(set(PRIO_PROCESS, 0, 16));
    int pid = fork();
    if (pid == 0) {
        set(PRIO_PROCESS, 0, 18);
        write(go[1], "x", 1);
        pause();
    }
    ASSERT_EQ(read(go[0], &byte, 1), 1);
    EXPECT_EQ(getpriority(PRIO_PROCESS, pid), 18);
    /* The test leads a group of its own. */
    EXPECT_EQ(getpriority(PRIO_PGRP, 0), 16);
    EXPECT_EQ(getpriority(PRIO_PGRP, getpgrp()), 16);
    EXPECT_OK(set(PRIO_PGRP, 0, 19));
    EXPECT_EQ(getpriority(PRIO_PROCESS, pid), 19);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST(users) {
    /* Whatever else this user runs is at least as nice as the best says. */
    int best = getpriority(PRIO_USER, 0);
    EXPECT_LE(best, getpriority(PRIO_PROCESS, 0));
    EXPECT_EQ(getpriority(PRIO_USER, getuid()), best);
}

static void child_has_12(void) { EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 12); }
TEST(children_inherit) {
    ASSERT_OK(set(PRIO_PROCESS, 0, 12));
    EXPECT_EXITED(0, in_child(child_has_12));
}

TEST(others_cannot_be_changed) {
    int parent = getppid(), is_root = geteuid() == 0;
    if (!is_root) SKIP("needs two users");
    be_ordinary();
    EXPECT_ERRNO(EPERM, set(PRIO_PROCESS, parent, 19));
}

TEST(proc_stat_shows_nice) {
    char line[1024];
    ASSERT_OK(set(PRIO_PROCESS, 0, 9));
    int fd = open("/proc/self/stat", O_RDONLY);
    ASSERT_OK(fd);
    int n = read(fd, line, sizeof line - 1);
    ASSERT_TRUE(n > 0);
    line[n] = 0;
    char *at = strrchr(line, ')') + 2;
    /* Fields 18 and 19; the text starts with the third. */
    for (int i = 3; i < 18; i++) at = strchr(at, ' ') + 1;
    long priority, shown;
    EXPECT_EQ(sscanf(at, "%ld %ld", &priority, &shown), 2);
    EXPECT_EQ(priority, 29);
    EXPECT_EQ(shown, 9);
}

enum { WHO_PROCESS = 1, WHO_PGRP, WHO_USER };
#define IOPRIO(class, level) ((class) << 13 | (level))
static long io_get(int which, int who) { return syscall(SYS_ioprio_get, which, who); }
static long io_set(int which, int who, int value) { return syscall(SYS_ioprio_set, which, who, value); }

TEST(io_priorities_are_kept) {
    EXPECT_EQ(io_get(WHO_PROCESS, 0), 0);
    for (int level = 0; level < 8; level++) {
        EXPECT_EQ(io_set(WHO_PROCESS, 0, IOPRIO(2, level)), 0);
        EXPECT_EQ(io_get(WHO_PROCESS, 0), IOPRIO(2, level));
    }
    EXPECT_EQ(io_set(WHO_PROCESS, getpid(), IOPRIO(3, 0)), 0);
    EXPECT_EQ(io_get(WHO_PROCESS, getpid()), IOPRIO(3, 0));
    EXPECT_EQ(io_set(WHO_PROCESS, 0, 0), 0);
    EXPECT_EQ(io_get(WHO_PROCESS, 0), 0);
}

TEST(io_priority_values) {
    be_ordinary();
    EXPECT_ERRNO(EPERM, io_set(WHO_PROCESS, 0, IOPRIO(1, 0)));
    EXPECT_ERRNO(EPERM, io_set(WHO_PROCESS, 0, IOPRIO(1, 7)));
    EXPECT_ERRNO(EINVAL, io_set(WHO_PROCESS, 0, IOPRIO(0, 1)));
    for (int class = 4; class < 8; class++) EXPECT_ERRNO(EINVAL, io_set(WHO_PROCESS, 0, IOPRIO(class, 0)));
    EXPECT_ERRNO(EINVAL, io_set(WHO_PROCESS, 0, -1));
    /* The class counts before what it is for. */
    EXPECT_ERRNO(EPERM, io_set(9, 0, IOPRIO(1, 0)));
}

TEST(io_priority_arguments) {
    EXPECT_ERRNO(EINVAL, io_get(0, 0));
    EXPECT_ERRNO(EINVAL, io_get(4, 0));
    EXPECT_ERRNO(EINVAL, io_set(0, 0, IOPRIO(2, 0)));
    EXPECT_ERRNO(EINVAL, io_set(4, 0, IOPRIO(2, 0)));
    EXPECT_ERRNO(ESRCH, io_get(WHO_PROCESS, NO_SUCH_TASK));
    EXPECT_ERRNO(ESRCH, io_set(WHO_PROCESS, NO_SUCH_TASK, IOPRIO(2, 0)));
    EXPECT_ERRNO(ESRCH, io_get(WHO_PGRP, NO_SUCH_TASK));
    EXPECT_ERRNO(ESRCH, io_set(WHO_PGRP, NO_SUCH_TASK, IOPRIO(2, 0)));
    EXPECT_ERRNO(ESRCH, io_get(WHO_USER, 3999999));
}

TEST(io_priority_of_a_group_follows_nice) {
    ASSERT_OK(set(PRIO_PROCESS, 0, 10));
    /* Unset, it is best effort at (nice + 20) / 5. */
    EXPECT_EQ(io_get(WHO_PROCESS, 0), 0);
    EXPECT_EQ(io_get(WHO_PGRP, 0), IOPRIO(2, 6));
    EXPECT_EQ(io_set(WHO_PGRP, 0, IOPRIO(2, 3)), 0);
    EXPECT_EQ(io_get(WHO_PGRP, 0), IOPRIO(2, 3));
    EXPECT_EQ(io_get(WHO_PROCESS, 0), IOPRIO(2, 3));
}

static void child_has_io_5(void) { EXPECT_EQ(io_get(WHO_PROCESS, 0), IOPRIO(2, 5)); }
TEST(children_inherit_io_priority) {
    ASSERT_OK(io_set(WHO_PROCESS, 0, IOPRIO(2, 5)));
    EXPECT_EXITED(0, in_child(child_has_io_5));
}
