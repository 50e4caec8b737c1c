/* setitimer(2), getitimer(2), and RLIMIT_CPU (setrlimit(2)). */
#include "../signal/signals.h"
#include <sys/time.h>
#include <sys/times.h>

static struct itimerval in_us(long value, long interval) {
    return (struct itimerval){.it_interval = {interval / 1000000, interval % 1000000},
                              .it_value = {value / 1000000, value % 1000000}};
}
static long long us(struct timeval t) { return t.tv_sec * 1000000ll + t.tv_usec; }
static struct itimerval get(int which) {
    struct itimerval now = {{-1, -1}, {-1, -1}};
    EXPECT_OK(getitimer(which, &now));
    return now;
}
static long long cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}
/* Runs for that much CPU time, or until the signal was seen often enough. */
static void burn(long long ns, int until) {
    long long end = cpu_ns() + ns;
    volatile unsigned x = 1;
    while (seen < until && cpu_ns() < end)
        for (int i = 0; i < 20000; i++) x = x * 1664525 + 1013904223;
}

TEST(errnos) {
    struct itimerval value = in_us(0, 0), bad;
    EXPECT_ERRNO(EINVAL, syscall(SYS_setitimer, 3, &value, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_setitimer, -1, &value, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_getitimer, 3, &value));
    EXPECT_ERRNO(EFAULT, syscall(SYS_setitimer, ITIMER_REAL, BAD_PTR, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_getitimer, ITIMER_REAL, BAD_PTR));
    struct timeval wrong[] = {{0, 1000000}, {0, -1}, {-1, 0}};
    for (int i = 0; i < 3; i++) {
        bad = (struct itimerval){.it_value = wrong[i]};
        EXPECT_ERRNO(EINVAL, syscall(SYS_setitimer, ITIMER_REAL, &bad, NULL));
        bad = (struct itimerval){.it_value = {1, 0}, .it_interval = wrong[i]};
        EXPECT_ERRNO(EINVAL, syscall(SYS_setitimer, ITIMER_REAL, &bad, NULL));
    }
    /* A bad old pointer: the timer runs all the same. */
    value = in_us(100000000, 0);
    EXPECT_ERRNO(EFAULT, syscall(SYS_setitimer, ITIMER_REAL, &value, BAD_PTR));
    EXPECT_GT(us(get(ITIMER_REAL).it_value), 0);
}

TEST(a_null_setting_disarms) {
    struct itimerval value = in_us(100000000, 5), old;
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    EXPECT_OK(syscall(SYS_setitimer, ITIMER_REAL, NULL, &old));
    EXPECT_TRUE(us(old.it_value) > 90000000);
    EXPECT_EQ(us(get(ITIMER_REAL).it_value), 0);
}

TEST(each_has_its_own_setting) {
    struct itimerval value;
    for (int which = 0; which < 3; which++) {
        value = in_us((which + 1) * 100000000l, (which + 1) * 7);
        ASSERT_OK(setitimer(which, &value, NULL));
    }
    for (int which = 0; which < 3; which++) {
        struct itimerval now = get(which);
        EXPECT_TRUE(us(now.it_value) > (which + 1) * 100000000ll - 5000000 && us(now.it_value) <= (which + 1) * 100000000ll + 10000);
        EXPECT_EQ(us(now.it_interval), (which + 1) * 7);
    }
}

TEST(an_interval_alone_is_no_timer) {
    struct itimerval value = in_us(0, 5000000);
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    EXPECT_EQ(us(get(ITIMER_REAL).it_value), 0);
    EXPECT_EQ(us(get(ITIMER_REAL).it_interval), 0);
    for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
        ASSERT_OK(setitimer(which, &value, NULL));
        EXPECT_EQ(us(get(which).it_value), 0);
        EXPECT_EQ(us(get(which).it_interval), 5000000);
    }
}

TEST(real_sends_sigalrm_from_the_kernel) {
    siginfo_t info;
    block(SIGALRM);
    struct itimerval value = in_us(2000, 0);
    long long start = now_ns();
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    EXPECT_EQ(timed_wait(BIT(SIGALRM), &info, 5000), SIGALRM);
    EXPECT_GE(now_ns() - start, 2000000);
    EXPECT_EQ(info.si_code, SI_KERNEL);
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_EQ(us(get(ITIMER_REAL).it_value), 0);
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGALRM), &info, 5));
}

TEST(real_repeats) {
    catch_with(SIGALRM, 0);
    struct itimerval value = in_us(2000, 2000), off = {0};
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    ASSERT_TRUE(wait_value(&seen, 5));
    ASSERT_OK(setitimer(ITIMER_REAL, &off, &value));
    EXPECT_EQ(us(value.it_interval), 2000);
    int count = seen;
    sleep_ms(10);
    EXPECT_EQ(seen, count);
}

/* It is armed again when its signal is taken, so an ignored one ends it, until
 * another SIGALRM of the process is taken. */
TEST(an_ignored_alarm_stops_it) {
    signal(SIGALRM, SIG_IGN);
    struct itimerval value = in_us(2000, 2000), off = {0};
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    sleep_ms(10);
    EXPECT_EQ(us(get(ITIMER_REAL).it_value), 0);
    EXPECT_EQ(us(get(ITIMER_REAL).it_interval), 2000);
    catch_with(SIGALRM, 0);
    sleep_ms(10);
    EXPECT_EQ(seen, 0);
    kill(getpid(), SIGALRM);
    ASSERT_TRUE(wait_value(&seen, 3));
    ASSERT_OK(setitimer(ITIMER_REAL, &off, NULL));
}
TEST(a_blocked_alarm_waits_to_be_taken) {
    struct itimerval value = in_us(2000, 20000000);
    block(SIGALRM);
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    sleep_ms(10);
    EXPECT_EQ(is_pending(SIGALRM), 1);
    EXPECT_EQ(us(get(ITIMER_REAL).it_value), 0);
    EXPECT_EQ(timed_wait(BIT(SIGALRM), NULL, 0), SIGALRM);
    EXPECT_GT(us(get(ITIMER_REAL).it_value), 19000000);
}

TEST(alarm_shares_the_real_one) {
    EXPECT_EQ(alarm(100), 0);
    EXPECT_TRUE(us(get(ITIMER_REAL).it_value) > 99000000);
    struct itimerval value = in_us(50400000, 0);
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    EXPECT_EQ(alarm(0), 50);
}

TEST(threads_share_them) {
    struct itimerval value = in_us(100000000, 0);
    ASSERT_OK(setitimer(ITIMER_REAL, &value, NULL));
    pthread_t thread;
    struct itimerval theirs;
    pthread_create(&thread, NULL, (void *(*)(void *))(void *)getitimer, (void *)ITIMER_REAL);
    pthread_join(thread, NULL);
    theirs = get(ITIMER_REAL);
    EXPECT_GT(us(theirs.it_value), 0);
}

TEST(fork_clears_and_exec_keeps) {
    for (int which = 0; which < 3; which++) {
        struct itimerval value = in_us(100000000, 7);
        ASSERT_OK(setitimer(which, &value, NULL));
    }
    pid_t pid = fork();
    if (pid == 0) {
        for (int which = 0; which < 3; which++) {
            struct itimerval now = get(which);
            if (us(now.it_value) || us(now.it_interval)) _exit(1);
        }
        for (int which = 0; which < 3; which++) {
            struct itimerval value = in_us(100000000, 7);
            setitimer(which, &value, NULL);
        }
        char self[256];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        setenv("AFTER_EXEC", "1", 1);
        execl(self, self, "--no-fork", "after_exec", NULL);
        _exit(9);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}
TEST(after_exec) {
    if (!getenv("AFTER_EXEC")) return;
    for (int which = 0; which < 3; which++) {
        struct itimerval now = get(which);
        EXPECT_TRUE(us(now.it_value) > 90000000 && us(now.it_interval) == 7);
    }
}

/* These two stand still while nothing runs. */
static void cpu_trial(int which, int sig) {
    catch_with(sig, 0);
    struct itimerval value = in_us(100000, 0);
    long long start = cpu_ns();
    ASSERT_OK(setitimer(which, &value, NULL));
    sleep_ms(60);
    EXPECT_EQ(seen, 0);
    struct itimerval now = get(which);
    EXPECT_TRUE(us(now.it_value) > 0 && us(now.it_value) <= 110000);
    burn(5000000000ll, 1);
    EXPECT_EQ(seen, 1);
    /* A kernel that samples is a few ticks off. */
    EXPECT_GE(cpu_ns() - start, 50000000);
    EXPECT_EQ(seen_info[0].si_code, SI_KERNEL);
    EXPECT_EQ(us(get(which).it_value), 0);
}
TEST(virtual_counts_the_programs_own_time) { cpu_trial(ITIMER_VIRTUAL, SIGVTALRM); }
TEST(prof_counts_all_its_time) { cpu_trial(ITIMER_PROF, SIGPROF); }

TEST(prof_repeats) {
    catch_with(SIGPROF, SA_RESTART);
    struct itimerval value = in_us(10000, 10000), off = {0};
    ASSERT_OK(setitimer(ITIMER_PROF, &value, NULL));
    burn(5000000000ll, 5);
    ASSERT_OK(setitimer(ITIMER_PROF, &off, NULL));
    EXPECT_GE(seen, 5);
}

/* Time in the kernel is the profiler's, not the virtual one's. */
static long kernel_ticks(void) {
    struct tms now;
    times(&now);
    return now.tms_stime;
}
TEST(virtual_does_not_count_system_calls) {
    catch_with(SIGVTALRM, 0);
    static char buffer[1 << 20];
    int fd = open("/dev/zero", O_RDONLY);
    ASSERT_OK(fd);
    struct itimerval value = in_us(100000000, 0);
    ASSERT_OK(setitimer(ITIMER_VIRTUAL, &value, NULL));
    ASSERT_OK(setitimer(ITIMER_PROF, &value, NULL));
    long start = kernel_ticks();
    for (int i = 0; i < 100000 && kernel_ticks() - start < 10; i++) ASSERT_EQ(read(fd, buffer, sizeof buffer), (ssize_t)sizeof buffer);
    long long own = 100000000 - us(get(ITIMER_VIRTUAL).it_value), all = 100000000 - us(get(ITIMER_PROF).it_value);
    EXPECT_GE(all, 60000);
    EXPECT_LT(own, all / 2);
}

/* RLIMIT_CPU: SIGXCPU at the soft limit and every second after, SIGKILL at the hard one. */
static void limit_cpu(rlim_t soft, rlim_t hard) {
    struct rlimit limit = {soft, hard};
    ASSERT_OK(setrlimit(RLIMIT_CPU, &limit));
}
static void use_a_second(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    limit_cpu(1, 30);
    burn(3000000000ll, 1);
}
TEST_LIMIT(xcpu_kills_at_the_soft_limit, 60) { EXPECT_SIGNALED(SIGXCPU, in_child(use_a_second)); }

static void catch_and_go_on(void) {
    catch_with(SIGXCPU, 0);
    limit_cpu(1, 2);
    burn(1900000000ll, 1);
    if (seen != 1 || seen_info[0].si_code != SI_KERNEL) _exit(5);
    /* The soft limit went up by a second. */
    struct rlimit now;
    getrlimit(RLIMIT_CPU, &now);
    if (now.rlim_cur != 2) _exit(6);
    burn(5000000000ll, 99);
}
TEST_LIMIT(kill_at_the_hard_limit, 60) { EXPECT_SIGNALED(SIGKILL, in_child(catch_and_go_on)); }

static void limit_in_child(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    limit_cpu(1, 1);
    pid_t pid = fork();
    if (pid == 0) {
        burn(3000000000ll, 1);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_SIGNALED(SIGKILL, status);
}
TEST_LIMIT(children_inherit_the_limit_not_the_time, 60) { EXPECT_EXITED(0, in_child(limit_in_child)); }
