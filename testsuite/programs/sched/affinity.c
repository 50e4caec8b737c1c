/* sched_setaffinity(2), sched_getaffinity(2), getcpu(2), and who else tells of CPUs. */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "sched.h"
#include <ctype.h>

static long get(int pid, void *mask, unsigned len) { return syscall(SYS_sched_getaffinity, pid, len, mask); }
static long set(int pid, const void *mask, unsigned len) { return syscall(SYS_sched_setaffinity, pid, len, mask); }

static cpu_set_t all;
static int first, last;
static void look(void) {
    ASSERT_OK(sched_getaffinity(0, sizeof all, &all));
    first = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all)) {
            if (first < 0) first = cpu;
            last = cpu;
        }
    ASSERT_TRUE(first >= 0);
}

TEST(getaffinity_gives_the_bytes_it_wrote) {
    unsigned char mask[1024];
    memset(mask, 0xaa, sizeof mask);
    long got = get(0, mask, sizeof mask);
    ASSERT_TRUE(got >= 8 && got <= 1024);
    EXPECT_EQ(got % 8, 0);
    EXPECT_EQ(mask[got], 0xaa);
#ifdef __riscv
    /* CONFIG_NR_CPUS is 64 unless there are more. */
    if (sysconf(_SC_NPROCESSORS_CONF) <= 64) EXPECT_EQ(got, 8);
#endif
    memset(mask, 0xaa, sizeof mask);
    if (sysconf(_SC_NPROCESSORS_CONF) <= 64) {
        EXPECT_EQ(get(0, mask, 8), 8);
        EXPECT_EQ(mask[8], 0xaa);
    }
}

TEST(getaffinity_lengths) {
    unsigned char mask[1024];
    static const int bad[] = {0, 1, 4, 7, 9, 12, 127};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT_ERRNO(EINVAL, get(0, mask, bad[i]));
    EXPECT_OK(get(0, mask, 1024));
    EXPECT_ERRNO(EINVAL, get(NO_SUCH_TASK, mask, 3));
}

TEST(getaffinity_arguments) {
    unsigned char mask[1024];
    EXPECT_ERRNO(EFAULT, get(0, BAD_PTR, 128));
    EXPECT_ERRNO(EFAULT, get(0, NULL, 128));
    EXPECT_ERRNO(ESRCH, get(NO_SUCH_TASK, mask, 128));
    EXPECT_ERRNO(ESRCH, get(-1, mask, 128));
    EXPECT_OK(get(getpid(), mask, 128));
}

TEST(setaffinity_restricts) {
    look();
    for (int cpu = first; cpu <= last; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        cpu_set_t one, now;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_EQ(set(0, &one, sizeof one), 0);
        ASSERT_OK(sched_getaffinity(0, sizeof now, &now));
        EXPECT_TRUE(CPU_EQUAL(&one, &now));
        for (int i = 0; i < 20; i++) EXPECT_EQ(sched_getcpu(), cpu);
    }
    /* And back. */
    cpu_set_t now;
    ASSERT_OK(sched_setaffinity(0, sizeof all, &all));
    ASSERT_OK(sched_getaffinity(0, sizeof now, &now));
    EXPECT_TRUE(CPU_EQUAL(&all, &now));
}

TEST(setaffinity_wants_a_cpu_that_exists) {
    cpu_set_t none;
    look();
    CPU_ZERO(&none);
    EXPECT_ERRNO(EINVAL, set(0, &none, sizeof none));
    EXPECT_ERRNO(EINVAL, set(0, &none, 0));
    CPU_SET(CPU_SETSIZE - 1, &none);
    EXPECT_ERRNO(EINVAL, set(0, &none, sizeof none));
    cpu_set_t now;
    ASSERT_OK(sched_getaffinity(0, sizeof now, &now));
    EXPECT_TRUE(CPU_EQUAL(&all, &now));
}

TEST(setaffinity_leaves_out_cpus_that_do_not_exist) {
    cpu_set_t many, now;
    look();
    memset(&many, 0xff, sizeof many);
    ASSERT_EQ(set(0, &many, sizeof many), 0);
    ASSERT_OK(sched_getaffinity(0, sizeof now, &now));
    EXPECT_TRUE(CPU_EQUAL(&all, &now));
    /* A longer mask than any kernel's is cut off. */
    static unsigned char huge[65536];
    huge[first / 8] = 1 << first % 8;
    EXPECT_EQ(set(0, huge, sizeof huge), 0);
    ASSERT_OK(sched_getaffinity(0, sizeof now, &now));
    EXPECT_EQ(CPU_COUNT(&now), 1);
}

TEST(setaffinity_lengths_are_any) {
    unsigned char mask[3] = {0};
    look();
    if (first >= 8) SKIP("the first CPU is far away");
    mask[0] = 1 << first;
    EXPECT_EQ(set(0, mask, 1), 0);
    EXPECT_EQ(set(0, mask, 3), 0);
    EXPECT_EQ(set(0, mask, 2), 0);
}

TEST(setaffinity_arguments) {
    look();
    EXPECT_ERRNO(EFAULT, set(0, BAD_PTR, 8));
    EXPECT_ERRNO(EFAULT, set(0, NULL, 8));
    EXPECT_ERRNO(EFAULT, set(NO_SUCH_TASK, BAD_PTR, 8));
    EXPECT_ERRNO(ESRCH, set(NO_SUCH_TASK, &all, sizeof all));
    EXPECT_ERRNO(ESRCH, set(-1, &all, sizeof all));
    EXPECT_EQ(set(getpid(), &all, sizeof all), 0);
}

static int is_restricted(void) {
    cpu_set_t now;
    return sched_getaffinity(0, sizeof now, &now) == 0 && CPU_COUNT(&now) == 1 && CPU_ISSET(first, &now);
}

static int after_exec(int argc, char **argv) {
    (void)argc;
    first = atoi(argv[2]);
    return is_restricted() && sched_getcpu() == first ? 0 : 9;
}

static void in_fork(void) { EXPECT_TRUE(is_restricted()); }
static void in_exec(void) {
    char text[16];
    snprintf(text, sizeof text, "%d", first);
    execl("/proc/self/exe", "affinity", "@", text, NULL);
}
static void *in_thread(void *unused) {
    EXPECT_TRUE(is_restricted());
    EXPECT_OK(sched_setaffinity(0, sizeof all, &all));
    return unused;
}

TEST(children_threads_and_programs_inherit) {
    cpu_set_t one;
    look();
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_OK(sched_setaffinity(0, sizeof one, &one));
    EXPECT_EXITED(0, in_child(in_fork));
    EXPECT_EXITED(0, in_child(in_exec));
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, in_thread, NULL), 0);
    pthread_join(thread, NULL);
    /* A thread's is its own. */
    EXPECT_TRUE(is_restricted());
}

static volatile int tid, leave, on_cpu = -1;
static void *run_here(void *unused) {
    tid = syscall(SYS_gettid);
    while (!leave) on_cpu = sched_getcpu();
    return unused;
}

TEST(a_running_thread_moves) {
    pthread_t thread;
    cpu_set_t one, now;
    look();
    ASSERT_EQ(pthread_create(&thread, NULL, run_here, NULL), 0);
    while (!tid) usleep(100);
    for (int cpu = first; cpu <= last; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_OK(sched_setaffinity(tid, sizeof one, &one));
        ASSERT_OK(sched_getaffinity(tid, sizeof now, &now));
        EXPECT_TRUE(CPU_EQUAL(&one, &now));
        on_cpu = -1;
        while (on_cpu == -1) sched_yield();
        /* What was stored first may have been looked up before. */
        on_cpu = -1;
        while (on_cpu == -1) sched_yield();
        EXPECT_EQ(on_cpu, cpu);
    }
    leave = 1;
    pthread_join(thread, NULL);
}

TEST(others_cannot_be_moved) {
    int parent = getppid(), is_root = geteuid() == 0;
    if (!is_root) SKIP("needs two users");
    look();
    be_ordinary();
    EXPECT_ERRNO(EPERM, set(parent, &all, sizeof all));
    cpu_set_t now;
    EXPECT_OK(sched_getaffinity(parent, sizeof now, &now));
}

/* The CPU a thread ran on last, as /proc tells it. */
static int cpu_in_proc(const char *path) {
    char text[1024];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    ASSERT_TRUE(n > 0);
    text[n] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; field < 39 && at; field++) at = strchr(at + 1, ' ');
    ASSERT_TRUE(at != NULL);
    return atoi(at + 1);
}
static int asleep_on;
static char other_path[64];
static void *sleep_there(void *cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(*(int *)cpu, &one);
    EXPECT_OK(sched_setaffinity(0, sizeof one, &one));
    snprintf(other_path, sizeof other_path, "/proc/self/task/%d/stat", gettid());
    __atomic_store_n(&asleep_on, 1, __ATOMIC_SEQ_CST);
    for (;;) pause();
    return NULL;
}
TEST(all_that_tell_the_cpu_agree) {
    look();
    int last = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_OK(sched_setaffinity(0, sizeof one, &one));
        unsigned told = -1;
        EXPECT_OK(syscall(SYS_getcpu, &told, NULL, NULL));
        EXPECT_EQ(told, cpu);
        EXPECT_EQ(sched_getcpu(), cpu);
        EXPECT_EQ(cpu_in_proc("/proc/self/stat"), cpu);
        EXPECT_EQ(cpu_in_proc("/proc/thread-self/stat"), cpu);
        last = cpu;
    }
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, sleep_there, &last), 0);
    while (!__atomic_load_n(&asleep_on, __ATOMIC_SEQ_CST)) usleep(200);
    EXPECT_EQ(cpu_in_proc(other_path), last);
}

TEST(getcpu_arguments) {
    unsigned cpu = -1, node = -1;
    look();
    EXPECT_EQ(syscall(SYS_getcpu, NULL, NULL, NULL), 0);
    EXPECT_EQ(syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
    EXPECT_TRUE(CPU_ISSET(cpu, &all));
    EXPECT_EQ(syscall(SYS_getcpu, NULL, &node, BAD_PTR), 0);
    EXPECT_EQ(node, 0);
    EXPECT_ERRNO(EFAULT, syscall(SYS_getcpu, BAD_PTR, NULL, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_getcpu, NULL, BAD_PTR, NULL));
}

/* The text behind "name:" in a file of lines. */
static int field(const char *path, const char *name, char *out, unsigned size) {
    char line[4096];
    int found = 0;
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        char *end = colon;
        while (end > line && isspace((unsigned char)end[-1])) end--;
        if ((size_t)(end - line) != strlen(name) || memcmp(line, name, end - line)) continue;
        if (!found++) {
            char *text = colon + 1;
            while (*text == ' ' || *text == '\t') text++;
            text[strcspn(text, "\n")] = 0;
            snprintf(out, size, "%s", text);
        }
    }
    fclose(file);
    return found;
}

TEST(proc_status_shows_the_set) {
    char text[4096], want[32];
    cpu_set_t one;
    look();
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_OK(sched_setaffinity(0, sizeof one, &one));
    ASSERT_EQ(field("/proc/self/status", "Cpus_allowed_list", text, sizeof text), 1);
    snprintf(want, sizeof want, "%d", first);
    EXPECT_STR(text, want);
    ASSERT_EQ(field("/proc/self/status", "Cpus_allowed", text, sizeof text), 1);
    unsigned long mask = strtoul(strrchr(text, ',') ? strrchr(text, ',') + 1 : text, NULL, 16);
    if (first < 32) EXPECT_EQ(mask, 1ul << first);
}

TEST(cpuinfo_has_as_many) {
    char text[256];
    look();
    int processors = field("/proc/cpuinfo", "processor", text, sizeof text);
    EXPECT_EQ(processors, sysconf(_SC_NPROCESSORS_ONLN));
    EXPECT_GE(processors, CPU_COUNT(&all));
    EXPECT_GE(sysconf(_SC_NPROCESSORS_CONF), processors);
    EXPECT_LT(last, sysconf(_SC_NPROCESSORS_CONF));
#ifdef __riscv
    ASSERT_EQ(field("/proc/cpuinfo", "isa", text, sizeof text), processors);
    EXPECT_EQ(strncmp(text, "rv64imafdc", 10), 0);
    ASSERT_EQ(field("/proc/cpuinfo", "mmu", text, sizeof text), processors);
#endif
}
