/* sched_setscheduler(2) and its family (sched(7)). */
#include "sched.h"

#define RESET_ON_FORK 0x40000000

static long set_policy(int pid, int policy, int priority) {
    return syscall(SYS_sched_setscheduler, pid, policy, &priority);
}
static long get_policy(int pid) { return syscall(SYS_sched_getscheduler, pid); }
static long set_param(int pid, int priority) { return syscall(SYS_sched_setparam, pid, &priority); }
static long set_attr(struct attr *attr) { return syscall(SYS_sched_setattr, 0, attr, 0); }
static long get_attr(struct attr *attr) { return syscall(SYS_sched_getattr, 0, attr, sizeof *attr, 0); }

TEST(priority_ranges) {
    static const struct { int policy, min, max; } ranges[] = {
        {SCHED_OTHER, 0, 0}, {SCHED_FIFO, 1, 99}, {SCHED_RR, 1, 99}, {SCHED_BATCH, 0, 0}, {SCHED_IDLE, 0, 0}, {6, 0, 0},
    };
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        EXPECT_EQ(syscall(SYS_sched_get_priority_min, ranges[i].policy), ranges[i].min);
        EXPECT_EQ(syscall(SYS_sched_get_priority_max, ranges[i].policy), ranges[i].max);
    }
    static const int unknown[] = {4, 8, 100, -1, 1 << 30};
    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        EXPECT_ERRNO(EINVAL, syscall(SYS_sched_get_priority_min, unknown[i]));
        EXPECT_ERRNO(EINVAL, syscall(SYS_sched_get_priority_max, unknown[i]));
    }
}

TEST(what_a_program_starts_with) {
    int priority = 7;
    EXPECT_EQ(get_policy(0), SCHED_OTHER);
    EXPECT_EQ(get_policy(getpid()), SCHED_OTHER);
    EXPECT_OK(syscall(SYS_sched_getparam, 0, &priority));
    EXPECT_EQ(priority, 0);
}

TEST(fair_policies) {
    be_ordinary();
    EXPECT_OK(set_policy(0, SCHED_BATCH, 0));
    EXPECT_EQ(get_policy(0), SCHED_BATCH);
    EXPECT_OK(set_policy(0, SCHED_OTHER, 0));
    EXPECT_EQ(get_policy(0), SCHED_OTHER);
    EXPECT_OK(set_policy(0, SCHED_IDLE, 0));
    EXPECT_EQ(get_policy(0), SCHED_IDLE);
    EXPECT_OK(set_policy(0, SCHED_IDLE, 0));
}

TEST(idle_is_left_with_permission_only) {
    be_ordinary();
    EXPECT_OK(set_policy(0, SCHED_IDLE, 0));
    EXPECT_ERRNO(EPERM, set_policy(0, SCHED_OTHER, 0));
    EXPECT_ERRNO(EPERM, set_policy(0, SCHED_BATCH, 0));
    EXPECT_EQ(get_policy(0), SCHED_IDLE);
}

TEST(fair_policies_have_no_priority) {
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_OTHER, 1));
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_BATCH, 5));
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_IDLE, -1));
    EXPECT_ERRNO(EINVAL, set_param(0, 1));
    EXPECT_OK(set_param(0, 0));
}

TEST(realtime_needs_permission) {
    be_ordinary();
    for (int priority = 1; priority <= 99; priority += 49) {
        EXPECT_ERRNO(EPERM, set_policy(0, SCHED_FIFO, priority));
        EXPECT_ERRNO(EPERM, set_policy(0, SCHED_RR, priority));
    }
    EXPECT_EQ(get_policy(0), SCHED_OTHER);
}

TEST(realtime_priorities_are_checked_first) {
    be_ordinary();
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_FIFO, 0));
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_FIFO, 100));
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_RR, -1));
}

TEST(unknown_policies) {
    EXPECT_ERRNO(EINVAL, set_policy(0, 4, 0));
    EXPECT_ERRNO(EINVAL, set_policy(0, 8, 0));
    EXPECT_ERRNO(EINVAL, set_policy(0, 99, 0));
    EXPECT_ERRNO(EINVAL, set_policy(0, -1, 0));
    EXPECT_ERRNO(EINVAL, set_policy(0, SCHED_OTHER | 1 << 29, 0));
}

TEST(deadline) {
    be_ordinary();
    /* This call has no way to give a runtime. */
    EXPECT_ERRNO(EINVAL, set_policy(0, 6, 0));
    struct attr attr = {.size = sizeof attr, .policy = 6};
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.runtime = 10000000, attr.deadline = attr.period = 100000000;
    EXPECT_ERRNO(EPERM, set_attr(&attr));
    attr.runtime = 200000000;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.runtime = 1023;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.runtime = 1024;
    EXPECT_ERRNO(EPERM, set_attr(&attr));
    attr.priority = 1;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
}

TEST(arguments) {
    int priority = 0;
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, BAD_PTR));
    EXPECT_ERRNO(EINVAL, set_policy(-1, SCHED_OTHER, 0));
    EXPECT_ERRNO(ESRCH, set_policy(NO_SUCH_TASK, SCHED_OTHER, 0));
    EXPECT_ERRNO(ESRCH, set_policy(NO_SUCH_TASK, 99, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setparam, 0, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_setparam, 0, BAD_PTR));
    EXPECT_ERRNO(EINVAL, set_param(-1, 0));
    EXPECT_ERRNO(ESRCH, set_param(NO_SUCH_TASK, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getparam, 0, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_getparam, 0, BAD_PTR));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getparam, -1, &priority));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_getparam, NO_SUCH_TASK, &priority));
    EXPECT_ERRNO(EINVAL, get_policy(-1));
    EXPECT_ERRNO(ESRCH, get_policy(NO_SUCH_TASK));
}

static void child_without_flag(void) {
    EXPECT_EQ(get_policy(0), SCHED_BATCH);
    EXPECT_OK(set_policy(0, SCHED_OTHER, 0));
}

TEST(reset_on_fork) {
    be_ordinary();
    EXPECT_OK(set_policy(0, SCHED_BATCH | RESET_ON_FORK, 0));
    EXPECT_EQ(get_policy(0), SCHED_BATCH | RESET_ON_FORK);
    /* A fair policy stays in the child; the flag does not. */
    EXPECT_EXITED(0, in_child(child_without_flag));
    EXPECT_ERRNO(EPERM, set_policy(0, SCHED_BATCH, 0));
    EXPECT_OK(set_policy(0, SCHED_OTHER | RESET_ON_FORK, 0));
    /* Keeps the flag, as it keeps the policy. */
    EXPECT_OK(set_param(0, 0));
    EXPECT_EQ(get_policy(0), SCHED_OTHER | RESET_ON_FORK);
}

static void child_is_batch(void) { EXPECT_EQ(get_policy(0), SCHED_BATCH); }
static void *thread_is_batch(void *unused) {
    EXPECT_EQ(get_policy(0), SCHED_BATCH);
    EXPECT_OK(set_policy(0, SCHED_OTHER, 0));
    return unused;
}

TEST(children_inherit_the_policy) {
    pthread_t thread;
    EXPECT_OK(set_policy(0, SCHED_BATCH, 0));
    EXPECT_EXITED(0, in_child(child_is_batch));
    ASSERT_EQ(pthread_create(&thread, NULL, thread_is_batch, NULL), 0);
    pthread_join(thread, NULL);
    /* It belongs to the thread. */
    EXPECT_EQ(get_policy(0), SCHED_BATCH);
}

TEST(getattr) {
    struct attr attr;
    memset(&attr, 0xff, sizeof attr);
    int nice_now = getpriority(PRIO_PROCESS, 0);
    ASSERT_OK(get_attr(&attr));
    EXPECT_EQ(attr.size, 56);
    EXPECT_EQ(attr.policy, SCHED_OTHER);
    EXPECT_EQ(attr.flags, 0);
    EXPECT_EQ(attr.nice, nice_now);
    EXPECT_EQ(attr.priority, 0);
    /* The slice of a fair task. */
    EXPECT_GE(attr.runtime, 100000);
    EXPECT_LE(attr.runtime, 100000000);
    EXPECT_EQ(attr.deadline, 0);
    EXPECT_EQ(attr.period, 0);
}

TEST(getattr_sizes) {
    static char page[8192] __attribute__((aligned(8)));
    static const int bad[] = {0, 1, 47, 4097, 8192, -1};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getattr, 0, page, bad[i], 0));
    memset(page, 0xff, sizeof page);
    ASSERT_OK(syscall(SYS_sched_getattr, 0, page, 48, 0));
    EXPECT_EQ(((struct attr *)page)->size, 48);
    EXPECT_EQ(page[48], (char)0xff);
    memset(page, 0xff, sizeof page);
    ASSERT_OK(syscall(SYS_sched_getattr, 0, page, 4096, 0));
    EXPECT_EQ(((struct attr *)page)->size, 56);
    /* What this kernel does not know is zero. */
    EXPECT_EQ(page[56], 0);
    EXPECT_EQ(page[4095], 0);
    EXPECT_EQ(page[4096], (char)0xff);
}

TEST(getattr_arguments) {
    struct attr attr;
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getattr, 0, NULL, 56, 0));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_getattr, 0, BAD_PTR, 56, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getattr, 0, &attr, 56, 1));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_getattr, -1, &attr, 56, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_getattr, NO_SUCH_TASK, &attr, 56, 0));
}

TEST(setattr_sizes) {
    struct { struct attr attr; uint64_t tail[4]; } big = {.attr = {.nice = 19}};
    big.attr.size = 47;
    EXPECT_ERRNO(E2BIG, set_attr(&big.attr));
    EXPECT_EQ(big.attr.size, 56);
    big.attr.size = 4097;
    EXPECT_ERRNO(E2BIG, set_attr(&big.attr));
    EXPECT_EQ(big.attr.size, 56);
    big.attr.size = sizeof big;
    big.tail[3] = 1;
    EXPECT_ERRNO(E2BIG, set_attr(&big.attr));
    EXPECT_EQ(big.attr.size, 56);
    big.attr.size = sizeof big;
    big.tail[3] = 0;
    EXPECT_OK(set_attr(&big.attr));
    /* The first form of the structure, by its size and by none. */
    big.attr.size = 48;
    EXPECT_OK(set_attr(&big.attr));
    big.attr.size = 0;
    EXPECT_OK(set_attr(&big.attr));
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
}

TEST(setattr_arguments) {
    struct attr attr = {.size = sizeof attr};
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setattr, 0, NULL, 0));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_setattr, 0, BAD_PTR, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setattr, 0, &attr, 1));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_setattr, -1, &attr, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_setattr, NO_SUCH_TASK, &attr, 0));
    attr.policy = 0x80000000;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.policy = 99;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.policy = SCHED_OTHER;
    attr.flags = 0x80;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.flags = 1ull << 40;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
    attr.flags = 0;
    attr.priority = 1;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
}

TEST(setattr_sets_policy_and_nice) {
    be_ordinary();
    struct attr attr = {.size = sizeof attr, .policy = SCHED_BATCH, .nice = 15}, got;
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.policy, SCHED_BATCH);
    EXPECT_EQ(got.nice, 15);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 15);
    /* Not downwards again; not an EACCES here. */
    attr.nice = 14;
    EXPECT_ERRNO(EPERM, set_attr(&attr));
    attr.nice = -100;
    EXPECT_ERRNO(EPERM, set_attr(&attr));
    attr.nice = 1000;
    EXPECT_OK(set_attr(&attr));
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
}

TEST(setattr_keeps_what_it_is_told_to_keep) {
    be_ordinary();
    struct attr attr = {.size = sizeof attr, .policy = SCHED_BATCH, .nice = 12}, got;
    ASSERT_OK(set_attr(&attr));
    /* SCHED_FLAG_KEEP_POLICY. */
    attr = (struct attr){.size = sizeof attr, .policy = SCHED_OTHER, .flags = 8, .nice = 13};
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.policy, SCHED_BATCH);
    EXPECT_EQ(got.nice, 13);
    /* SCHED_FLAG_KEEP_PARAMS. */
    attr = (struct attr){.size = sizeof attr, .policy = SCHED_OTHER, .flags = 16, .nice = 5};
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    /* The policy is one of them. */
    EXPECT_EQ(got.policy, SCHED_BATCH);
    EXPECT_EQ(got.nice, 13);
}

TEST(setattr_reset_on_fork) {
    be_ordinary();
    struct attr attr = {.size = sizeof attr, .flags = 1, .nice = getpriority(PRIO_PROCESS, 0)}, got;
    ASSERT_OK(set_attr(&attr));
    EXPECT_EQ(get_policy(0), RESET_ON_FORK);
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.flags, 1);
    attr.flags = 0;
    EXPECT_ERRNO(EPERM, set_attr(&attr));
}

TEST(a_slice_can_be_asked_for) {
    struct attr attr = {.size = sizeof attr, .nice = getpriority(PRIO_PROCESS, 0), .runtime = 5000000}, got;
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.runtime, 5000000);
    attr.runtime = 1;
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.runtime, 100000);
    attr.runtime = 1ull << 40;
    ASSERT_OK(set_attr(&attr));
    ASSERT_OK(get_attr(&got));
    EXPECT_EQ(got.runtime, 100000000);
}

TEST(utilisation_clamps_are_not_built_in) {
    struct attr attr = {.size = sizeof attr, .flags = 0x20, .util_min = 10, .nice = getpriority(PRIO_PROCESS, 0)}, got;
    ASSERT_OK(get_attr(&got));
    if (got.util_max != 0) SKIP("this kernel has them");
    EXPECT_ERRNO(EOPNOTSUPP, set_attr(&attr));
    attr.size = 48;
    EXPECT_ERRNO(EINVAL, set_attr(&attr));
}

TEST(interval) {
    struct timespec slice = {-1, -1};
    EXPECT_OK(syscall(SYS_sched_rr_get_interval, 0, &slice));
    EXPECT_EQ(slice.tv_sec, 0);
    EXPECT_TRUE(slice.tv_nsec >= 0 && slice.tv_nsec <= 100000000);
    EXPECT_OK(syscall(SYS_sched_rr_get_interval, getpid(), &slice));
    EXPECT_ERRNO(EINVAL, syscall(SYS_sched_rr_get_interval, -1, &slice));
    EXPECT_ERRNO(ESRCH, syscall(SYS_sched_rr_get_interval, NO_SUCH_TASK, &slice));
    EXPECT_ERRNO(EFAULT, syscall(SYS_sched_rr_get_interval, 0, BAD_PTR));
}

TEST(yield) {
    for (int i = 0; i < 100; i++) EXPECT_EQ(sched_yield(), 0);
}

static volatile int tid, leave;
static void *wait_here(void *unused) {
    tid = syscall(SYS_gettid);
    while (!leave) usleep(100);
    return unused;
}

TEST(ids_are_those_of_threads) {
    pthread_t thread;
    be_ordinary();
    ASSERT_EQ(pthread_create(&thread, NULL, wait_here, NULL), 0);
    while (!tid) usleep(100);
    EXPECT_OK(set_policy(tid, SCHED_BATCH, 0));
    EXPECT_EQ(get_policy(tid), SCHED_BATCH);
    EXPECT_EQ(get_policy(0), SCHED_OTHER);
    leave = 1;
    pthread_join(thread, NULL);
}

TEST(others_cannot_be_changed) {
    int parent = getppid(), is_root = geteuid() == 0;
    if (!is_root) SKIP("needs two users");
    be_ordinary();
    EXPECT_EQ(get_policy(parent), SCHED_OTHER);
    EXPECT_ERRNO(EPERM, set_policy(parent, SCHED_OTHER, 0));
    EXPECT_ERRNO(EPERM, set_param(parent, 0));
}
