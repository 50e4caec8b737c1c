// Page faults and context switches of getrusage(2), wait4(2) and /proc.
#include "tasks.h"

static struct rusage usage(int who) {
    struct rusage now;
    EXPECT_OK(getrusage(who, &now));
    return now;
}

// Writes every page of fresh memory, too little for a huge page.
static void touch(int pages) {
    char *memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(memory != MAP_FAILED);
    for (int i = 0; i < pages; i++) ((volatile char *)memory)[i * 4096] = 1;
    munmap(memory, pages * 4096);
}

static void nap(int times) {
    struct timespec moment = {0, 200000};
    while (times-- > 0) nanosleep(&moment, NULL);
}

TEST(touching_memory_faults) {
    struct rusage before = usage(RUSAGE_SELF), thread = usage(RUSAGE_THREAD);
    touch(100);
    EXPECT_GE(usage(RUSAGE_SELF).ru_minflt, before.ru_minflt + 100);
    EXPECT_GE(usage(RUSAGE_THREAD).ru_minflt, thread.ru_minflt + 100);
    EXPECT_GE(usage(RUSAGE_SELF).ru_majflt, before.ru_majflt);
}

TEST(sleeping_gives_the_cpu_away) {
    struct rusage before = usage(RUSAGE_SELF), thread = usage(RUSAGE_THREAD);
    nap(20);
    EXPECT_GE(usage(RUSAGE_SELF).ru_nvcsw, before.ru_nvcsw + 20);
    EXPECT_GE(usage(RUSAGE_THREAD).ru_nvcsw, thread.ru_nvcsw + 20);
}

static void spin(void) {
    for (;;) __asm__ volatile("");
}

TEST(two_on_one_cpu_are_preempted) {
    cpu_set_t all, one;
    ASSERT_OK(sched_getaffinity(0, sizeof all, &all));
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_OK(sched_setaffinity(0, sizeof one, &one));
    pid_t other = fork();
    if (other == 0) spin();
    long before = usage(RUSAGE_SELF).ru_nivcsw;
    long long end = now_ns() + 8000000000LL;
    while (usage(RUSAGE_SELF).ru_nivcsw == before && now_ns() < end) {}
    EXPECT_GT(usage(RUSAGE_SELF).ru_nivcsw, before);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}

static struct rusage in_thread;
static void *work_in_thread(void *begin) {
    struct rusage born = usage(RUSAGE_THREAD);
    touch(100);
    nap(20);
    in_thread = usage(RUSAGE_THREAD);
    in_thread.ru_minflt -= born.ru_minflt;
    in_thread.ru_nvcsw -= born.ru_nvcsw;
    // No thread begins with what another has gone through.
    EXPECT_LT(born.ru_minflt, 100);
    EXPECT_LT(born.ru_nvcsw, 20);
    return begin;
}

TEST(a_process_counts_its_threads_and_those_that_have_ended) {
    touch(100);
    nap(20);
    struct rusage before = usage(RUSAGE_SELF), own = usage(RUSAGE_THREAD);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, work_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_GE(in_thread.ru_minflt, 100);
    EXPECT_GE(in_thread.ru_nvcsw, 20);
    EXPECT_GE(usage(RUSAGE_SELF).ru_minflt, before.ru_minflt + 100);
    EXPECT_GE(usage(RUSAGE_SELF).ru_nvcsw, before.ru_nvcsw + 20);
    // The joining thread has not faulted instead.
    EXPECT_LT(usage(RUSAGE_THREAD).ru_minflt, own.ru_minflt + 100);
}

static int go_on;
static void *work_and_stay(void *unused) {
    touch(100);
    nap(20);
    __atomic_store_n(&go_on, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&go_on, __ATOMIC_SEQ_CST) == 1) usleep(500);
    return unused;
}

TEST(a_process_counts_threads_that_live) {
    struct rusage before = usage(RUSAGE_SELF);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, work_and_stay, NULL), 0);
    UNTIL(__atomic_load_n(&go_on, __ATOMIC_SEQ_CST) == 1);
    EXPECT_GE(usage(RUSAGE_SELF).ru_minflt, before.ru_minflt + 100);
    EXPECT_GE(usage(RUSAGE_SELF).ru_nvcsw, before.ru_nvcsw + 20);
    __atomic_store_n(&go_on, 2, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}

TEST(children_count_once_they_are_waited_for) {
    struct rusage before = usage(RUSAGE_CHILDREN);
    EXPECT_EQ(before.ru_minflt, 0);
    EXPECT_EQ(before.ru_nvcsw, 0);
    pid_t child = fork();
    if (child == 0) {
        // A grandchild's are its parent's when it has waited.
        if (fork() == 0) {
            touch(100);
            nap(20);
            _exit(0);
        }
        wait(NULL);
        touch(100);
        _exit(0);
    }
    siginfo_t info;
    ASSERT_OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    EXPECT_EQ(usage(RUSAGE_CHILDREN).ru_minflt, 0);
    struct rusage told;
    ASSERT_EQ(wait4(child, NULL, 0, &told), child);
    EXPECT_GE(told.ru_minflt, 200);
    EXPECT_GE(told.ru_nvcsw, 20);
    EXPECT_EQ(usage(RUSAGE_CHILDREN).ru_minflt, told.ru_minflt);
    EXPECT_EQ(usage(RUSAGE_CHILDREN).ru_nvcsw, told.ru_nvcsw);
}

// Fields of /proc/self/stat from the tenth on: faults, those of children, again for major ones.
static void stat_faults(const char *path, long faults[4]) {
    FILE *file = fopen(path, "r");
    ASSERT_TRUE(file != NULL);
    int n = fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %ld %ld %ld %ld", faults, faults + 1, faults + 2,
                   faults + 3);
    fclose(file);
    ASSERT_EQ(n, 4);
}

static long switches(const char *name) {
    char line[128];
    long value = -1;
    FILE *file = fopen("/proc/thread-self/status", "r");
    ASSERT_TRUE(file != NULL);
    size_t len = strlen(name);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':') value = atol(line + len + 1);
    fclose(file);
    return value;
}

static void touch_and_exit(void) { touch(100); }

TEST(proc_tells_the_same) {
    touch(100);
    nap(20);
    EXPECT_EXITED(0, in_child(touch_and_exit));
    long before = usage(RUSAGE_SELF).ru_minflt, faults[4];
    stat_faults("/proc/self/stat", faults);
    EXPECT_GE(faults[0], before);
    EXPECT_LE(faults[0], usage(RUSAGE_SELF).ru_minflt);
    EXPECT_EQ(faults[1], usage(RUSAGE_CHILDREN).ru_minflt);
    EXPECT_GE(faults[1], 100);
    stat_faults("/proc/thread-self/stat", faults);
    EXPECT_GE(faults[0], 100);
    long sleeps = usage(RUSAGE_THREAD).ru_nvcsw;
    EXPECT_GE(sleeps, 20);
    EXPECT_GE(switches("voluntary_ctxt_switches"), sleeps);
    EXPECT_GE(switches("nonvoluntary_ctxt_switches"), 0);
}
