/* CPU time: clocks of processes and threads (clock_getcpuclockid(3)), getrusage(2), times(2). */
#include "../signal/signals.h"
#include <sys/time.h>
#include <sys/times.h>

/* The kernel's encoding: ~id << 3, 4 for a thread, which of three clocks. */
enum { PROF = 0, VIRT = 1, SCHED = 2 };
static clockid_t process_clock(pid_t pid, int which) { return (clockid_t)(~(unsigned)pid << 3 | (unsigned)which); }
static clockid_t thread_clock(pid_t tid, int which) { return (clockid_t)(~(unsigned)tid << 3 | 4 | (unsigned)which); }
/* Raw calls: libc answers some by itself. */
static long get(clockid_t clock, struct timespec *t) { return syscall(SYS_clock_gettime, clock, t); }
static long long read_ns(clockid_t clock) {
    struct timespec t = {-1, -1};
    EXPECT_OK(get(clock, &t));
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static void burn(long long ns) {
    long long end = read_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
    volatile unsigned x = 1;
    while (read_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 50000; i++) x = x * 1664525 + 1013904223;
}
static long long us(struct timeval t) { return t.tv_sec * 1000000ll + t.tv_usec; }

TEST(clocks_agree_with_their_encodings) {
    burn(5000000);
    for (int i = 0; i < 10; i++) {
        long long a = read_ns(CLOCK_PROCESS_CPUTIME_ID), b = read_ns(process_clock(0, SCHED)),
                  c = read_ns(process_clock(getpid(), SCHED)), d = read_ns(CLOCK_PROCESS_CPUTIME_ID);
        EXPECT_TRUE(a <= b && b <= c && c <= d);
        a = read_ns(CLOCK_THREAD_CPUTIME_ID), b = read_ns(thread_clock(0, SCHED)), c = read_ns(thread_clock(gettid(), SCHED)),
        d = read_ns(CLOCK_THREAD_CPUTIME_ID);
        EXPECT_TRUE(a <= b && b <= c && c <= d);
    }
}

TEST(they_advance_only_with_work) {
    long long before = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ms(50);
    EXPECT_LT(read_ns(CLOCK_PROCESS_CPUTIME_ID) - before, 40000000);
    before = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    burn(10000000);
    EXPECT_GE(read_ns(CLOCK_PROCESS_CPUTIME_ID) - before, 10000000);
}

static volatile int there_tid, there_done, there_stop;
static void *burner(void *unused) {
    there_tid = gettid();
    burn(30000000);
    there_done = 1;
    while (!there_stop) sleep_ms(1);
    return unused;
}
TEST(a_process_is_the_sum_of_its_threads) {
    pthread_t thread;
    pthread_create(&thread, NULL, burner, NULL);
    ASSERT_TRUE(wait_value(&there_done, 1));
    long long theirs = read_ns(thread_clock(there_tid, SCHED)), mine = read_ns(CLOCK_THREAD_CPUTIME_ID), all = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    EXPECT_GE(theirs, 30000000);
    EXPECT_GE(all, theirs + mine);
    there_stop = 1;
    pthread_join(thread, NULL);
    /* What an ended thread used stays the process's. */
    EXPECT_GE(read_ns(CLOCK_PROCESS_CPUTIME_ID), theirs + mine);
    struct timespec t;
    for (int i = 0; i < 5000 && get(thread_clock(there_tid, SCHED), &t) == 0; i++) usleep(1000);
    EXPECT_ERRNO(EINVAL, get(thread_clock(there_tid, SCHED), &t));
}

TEST(other_processes_have_clocks) {
    int ready[2];
    char c;
    ASSERT_OK(pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        burn(20000000);
        if (write(ready[1], "r", 1) != 1) _exit(1);
        for (;;) pause();
    }
    ASSERT_EQ(read(ready[0], &c, 1), 1);
    EXPECT_GE(read_ns(process_clock(pid, SCHED)), 20000000);
    struct timespec t;
    /* Their threads' are their own business. */
    EXPECT_ERRNO(EINVAL, get(thread_clock(pid, SCHED), &t));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    EXPECT_ERRNO(EINVAL, get(process_clock(pid, SCHED), &t));
}

TEST(which_of_three) {
    burn(50000000);
    struct timespec t;
    long long profile = read_ns(process_clock(0, PROF)), own = read_ns(process_clock(0, VIRT)), sched = read_ns(process_clock(0, SCHED));
    EXPECT_GT(profile, 0);
    EXPECT_GT(own, 0);
    EXPECT_LE(own, profile);
    EXPECT_GT(sched, 0);
    EXPECT_ERRNO(EINVAL, get(process_clock(0, 3), &t));
    EXPECT_ERRNO(EINVAL, get(thread_clock(0, 3), &t));
}

static void *check_ids(void *unused) {
    struct timespec t;
    /* A thread's id names no process, but as a clock of the caller's own it is taken. */
    EXPECT_ERRNO(EINVAL, get(process_clock(there_tid, SCHED), &t));
    return unused;
}
TEST(ids_that_name_nothing) {
    struct timespec t;
    EXPECT_ERRNO(EINVAL, get(process_clock(0x0ffffff0, SCHED), &t));
    EXPECT_ERRNO(EINVAL, get(thread_clock(0x0ffffff0, SCHED), &t));
    pthread_t thread, checker;
    pthread_create(&thread, NULL, burner, NULL);
    ASSERT_TRUE(wait_value(&there_tid, 1));
    pthread_create(&checker, NULL, check_ids, NULL);
    pthread_join(checker, NULL);
    there_stop = 1;
    pthread_join(thread, NULL);
}
static void *own_tid_as_process(void *unused) {
    long long all = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    EXPECT_GE(read_ns(process_clock(gettid(), SCHED)), all);
    return unused;
}
TEST(the_callers_own_thread_id_names_its_process) {
    pthread_t thread;
    burn(5000000);
    pthread_create(&thread, NULL, own_tid_as_process, NULL);
    pthread_join(thread, NULL);
}

TEST(resolutions) {
    struct timespec t;
    clockid_t fine[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, process_clock(0, SCHED), thread_clock(0, SCHED)};
    for (int i = 0; i < 4; i++) {
        EXPECT_OK(syscall(SYS_clock_getres, fine[i], &t));
        EXPECT_EQ(t.tv_sec, 0);
        EXPECT_EQ(t.tv_nsec, 1);
    }
    /* The sampled ones are a tick wide. */
    clockid_t coarse[] = {process_clock(0, PROF), process_clock(0, VIRT), thread_clock(0, PROF)};
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(syscall(SYS_clock_getres, coarse[i], &t));
        EXPECT_TRUE(t.tv_sec == 0 && t.tv_nsec >= 1000000 && t.tv_nsec <= 10000000);
    }
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_getres, process_clock(0x0ffffff0, SCHED), &t));
    EXPECT_OK(syscall(SYS_clock_getres, CLOCK_PROCESS_CPUTIME_ID, NULL));
}

TEST(they_cannot_be_set) {
    struct timespec t = {0, 0};
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_settime, CLOCK_THREAD_CPUTIME_ID, &t));
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &t));
    EXPECT_ERRNO(EPERM, syscall(SYS_clock_settime, process_clock(0, SCHED), &t));
}

TEST(sleeping_on_them) {
    struct timespec t = {0, 10000000};
    EXPECT_ERRNO(EOPNOTSUPP, syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_nanosleep, thread_clock(0, SCHED), 0, &t, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_nanosleep, thread_clock(gettid(), SCHED), 0, &t, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_clock_nanosleep, process_clock(0x0ffffff0, SCHED), 0, &t, NULL));
    /* Asleep, the process gets no older: somebody else must work. */
    pthread_t thread;
    pthread_create(&thread, NULL, burner, NULL);
    long long before = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    EXPECT_OK(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &t, NULL));
    EXPECT_GE(read_ns(CLOCK_PROCESS_CPUTIME_ID) - before, 10000000);
    there_stop = 1;
    pthread_join(thread, NULL);
}

TEST(glibc_finds_them) {
    clockid_t clock;
    EXPECT_EQ(clock_getcpuclockid(0, &clock), 0);
    EXPECT_EQ(clock_getcpuclockid(getpid(), &clock), 0);
    EXPECT_EQ(clock_getcpuclockid(0x0ffffff0, &clock), ESRCH);
    EXPECT_EQ(pthread_getcpuclockid(pthread_self(), &clock), 0);
    EXPECT_EQ(clock, thread_clock(gettid(), SCHED));
}

/* User and system time. */
static struct rusage usage(int who) {
    struct rusage now;
    EXPECT_OK(getrusage(who, &now));
    return now;
}
TEST(a_loop_is_user_time) {
    struct rusage before = usage(RUSAGE_SELF);
    burn(100000000);
    struct rusage after = usage(RUSAGE_SELF);
    long long user = us(after.ru_utime) - us(before.ru_utime), kernel = us(after.ru_stime) - us(before.ru_stime);
    EXPECT_GE(user + kernel, 60000);
    EXPECT_GT(user, kernel * 3);
}
static char buffer[1 << 20];
static void burn_in_kernel(int who, long long want_us) {
    int fd = open("/dev/zero", O_RDONLY);
    ASSERT_OK(fd);
    long long start = us(usage(who).ru_stime);
    for (int i = 0; i < 100000 && us(usage(who).ru_stime) - start < want_us; i++)
        ASSERT_EQ(read(fd, buffer, sizeof buffer), (ssize_t)sizeof buffer);
    close(fd);
}
TEST(system_calls_are_system_time) {
    struct rusage before = usage(RUSAGE_SELF);
    burn_in_kernel(RUSAGE_SELF, 100000);
    struct rusage after = usage(RUSAGE_SELF);
    long long user = us(after.ru_utime) - us(before.ru_utime), kernel = us(after.ru_stime) - us(before.ru_stime);
    EXPECT_GE(kernel, 100000);
    EXPECT_GT(kernel, user * 2);
}
TEST(sleeping_is_neither) {
    struct rusage before = usage(RUSAGE_SELF);
    sleep_ms(100);
    struct rusage after = usage(RUSAGE_SELF);
    EXPECT_LT(us(after.ru_utime) - us(before.ru_utime), 50000);
    EXPECT_LT(us(after.ru_stime) - us(before.ru_stime), 50000);
}
TEST(waiting_for_a_pipe_is_neither) {
    int ends[2];
    char c;
    ASSERT_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(100);
        _exit(write(ends[1], "x", 1) != 1);
    }
    struct rusage before = usage(RUSAGE_SELF);
    EXPECT_EQ(read(ends[0], &c, 1), 1);
    struct rusage after = usage(RUSAGE_SELF);
    EXPECT_LT(us(after.ru_utime) + us(after.ru_stime) - us(before.ru_utime) - us(before.ru_stime), 50000);
    waitpid(pid, NULL, 0);
}
static void *thread_usage(void *to) {
    burn(50000000);
    *(struct rusage *)to = usage(RUSAGE_THREAD);
    return NULL;
}
TEST(of_one_thread) {
    pthread_t thread;
    struct rusage theirs;
    pthread_create(&thread, NULL, thread_usage, &theirs);
    pthread_join(thread, NULL);
    EXPECT_GE(us(theirs.ru_utime) + us(theirs.ru_stime), 30000);
    struct rusage mine = usage(RUSAGE_THREAD);
    EXPECT_LT(us(mine.ru_utime), 40000);
    EXPECT_GE(us(usage(RUSAGE_SELF).ru_utime), 30000);
}

static void burn_both(void) {
    burn(100000000);
    burn_in_kernel(RUSAGE_SELF, 60000);
}
TEST(of_children_once_they_are_waited_for) {
    struct rusage theirs, before = usage(RUSAGE_CHILDREN);
    pid_t pid = fork();
    if (pid == 0) {
        burn_both();
        _exit(0);
    }
    ASSERT_TRUE(wait_state(pid, pid, 'Z'));
    EXPECT_EQ(us(usage(RUSAGE_CHILDREN).ru_utime), us(before.ru_utime));
    ASSERT_EQ(wait4(pid, NULL, 0, &theirs), pid);
    EXPECT_GE(us(theirs.ru_utime), 50000);
    EXPECT_GE(us(theirs.ru_stime), 40000);
    struct rusage after = usage(RUSAGE_CHILDREN);
    EXPECT_GE(us(after.ru_utime) - us(before.ru_utime), 50000);
    EXPECT_GE(us(after.ru_stime) - us(before.ru_stime), 40000);
}
TEST(ignored_children_are_not_counted) {
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        burn(50000000);
        _exit(0);
    }
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    EXPECT_EQ(us(usage(RUSAGE_CHILDREN).ru_utime), 0);
}
TEST(sigchld_tells_of_their_time) {
    siginfo_t info;
    block(SIGCHLD);
    pid_t pid = fork();
    if (pid == 0) {
        burn_both();
        _exit(0);
    }
    EXPECT_EQ(timed_wait(BIT(SIGCHLD), &info, 8000), SIGCHLD);
    EXPECT_EQ(info.si_pid, pid);
    EXPECT_GE(info.si_utime, 5);
    EXPECT_GE(info.si_stime, 4);
    waitpid(pid, NULL, 0);
}
TEST(getrusage_errnos) {
    struct rusage now;
    EXPECT_ERRNO(EINVAL, syscall(SYS_getrusage, 2, &now));
    EXPECT_ERRNO(EINVAL, syscall(SYS_getrusage, -2, &now));
    EXPECT_ERRNO(EFAULT, syscall(SYS_getrusage, RUSAGE_SELF, BAD_PTR));
}

TEST(times_counts_in_hundredths) {
    struct tms before, after;
    ASSERT_TRUE(times(&before) != -1);
    burn(100000000);
    burn_in_kernel(RUSAGE_SELF, 60000);
    ASSERT_TRUE(times(&after) != -1);
    EXPECT_GE(after.tms_utime - before.tms_utime, 5);
    EXPECT_GE(after.tms_stime - before.tms_stime, 4);
    EXPECT_EQ(after.tms_cutime, 0);
    EXPECT_EQ(sysconf(_SC_CLK_TCK), 100);
    EXPECT_ERRNO(EFAULT, syscall(SYS_times, BAD_PTR));
    EXPECT_TRUE(syscall(SYS_times, NULL) > 0);
}
TEST(times_of_children) {
    struct tms after;
    EXPECT_EXITED(0, in_child(burn_both));
    ASSERT_TRUE(times(&after) != -1);
    EXPECT_GE(after.tms_cutime, 5);
    EXPECT_GE(after.tms_cstime, 4);
}
TEST(proc_stat_agrees) {
    burn(100000000);
    burn_in_kernel(RUSAGE_SELF, 60000);
    char text[1024], *at;
    int fd = open("/proc/self/stat", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = 0;
    at = strrchr(text, ')');
    ASSERT_TRUE(at != NULL);
    unsigned long user = 0, kernel = 0;
    ASSERT_EQ(sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel), 2);
    EXPECT_GE(user, 5);
    EXPECT_GE(kernel, 4);
}
