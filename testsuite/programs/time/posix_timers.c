/* timer_create(2) and relatives: notices, overruns, one pending signal, errnos. */
#include "../signal/signals.h"
#include <sys/time.h>

/* Raw calls: glibc's timer_t is not the kernel's. */
static int create(clockid_t clock, struct sigevent *event, int *id) { return (int)syscall(SYS_timer_create, clock, event, id); }
static int set(int id, int flags, struct itimerspec *value, struct itimerspec *old) {
    return (int)syscall(SYS_timer_settime, id, flags, value, old);
}
static struct itimerspec get(int id) {
    struct itimerspec now = {{-1, -1}, {-1, -1}};
    EXPECT_OK(syscall(SYS_timer_gettime, id, &now));
    return now;
}
static struct itimerspec in_us(long value, long interval) {
    return (struct itimerspec){.it_interval = {interval / 1000000, interval % 1000000 * 1000},
                               .it_value = {value / 1000000, value % 1000000 * 1000}};
}
static long long ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }
static int signal_timer(int sig, int value) {
    int id = -1;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig, .sigev_value.sival_int = value};
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    return id;
}

TEST(create_errnos) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    EXPECT_ERRNO(EINVAL, create(99, &event, &id));
    EXPECT_ERRNO(EINVAL, create(12, &event, &id));
    EXPECT_ERRNO(EFAULT, create(CLOCK_MONOTONIC, BAD_PTR, &id));
    EXPECT_ERRNO(EFAULT, create(CLOCK_MONOTONIC, &event, BAD_PTR));
    EXPECT_ERRNO(EOPNOTSUPP, create(CLOCK_MONOTONIC_RAW, &event, &id));
    EXPECT_ERRNO(EOPNOTSUPP, create(CLOCK_REALTIME_COARSE, &event, &id));
    EXPECT_ERRNO(EOPNOTSUPP, create(CLOCK_MONOTONIC_COARSE, &event, &id));
    int bad_signals[] = {0, -1, 65};
    for (int i = 0; i < 3; i++) {
        event.sigev_signo = bad_signals[i];
        EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    }
    event.sigev_signo = SIGUSR1;
    int bad_notices[] = {3, 5, 6, 7, 8, -1};
    for (int i = 0; i < 6; i++) {
        event.sigev_notify = bad_notices[i];
        EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    }
    event.sigev_notify = SIGEV_NONE, event.sigev_signo = 0;
    EXPECT_OK(create(CLOCK_MONOTONIC, &event, &id));
}

TEST(every_clock_that_has_timers) {
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 6; i++) {
        int id;
        struct sigevent event = {.sigev_notify = SIGEV_NONE};
        EXPECT_OK(create(clocks[i], &event, &id));
        EXPECT_EQ(ns(get(id).it_value), 0);
        EXPECT_OK(syscall(SYS_timer_delete, id));
    }
}

TEST(other_calls_errnos) {
    int id = signal_timer(SIGUSR1, 0);
    struct itimerspec value = in_us(1000000, 0);
    int unknown[] = {id + 1, -1, 1 << 30};
    for (int i = 0; i < 3; i++) {
        EXPECT_ERRNO(EINVAL, set(unknown[i], 0, &value, NULL));
        EXPECT_ERRNO(EINVAL, syscall(SYS_timer_gettime, unknown[i], &value));
        EXPECT_ERRNO(EINVAL, syscall(SYS_timer_getoverrun, unknown[i]));
        EXPECT_ERRNO(EINVAL, syscall(SYS_timer_delete, unknown[i]));
    }
    EXPECT_ERRNO(EINVAL, set(id, 0, NULL, NULL));
    EXPECT_ERRNO(EFAULT, set(id, 0, BAD_PTR, NULL));
    EXPECT_ERRNO(EFAULT, syscall(SYS_timer_gettime, id, BAD_PTR));
    struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    for (int i = 0; i < 3; i++) {
        struct itimerspec wrong = {.it_value = bad[i]};
        EXPECT_ERRNO(EINVAL, set(id, 0, &wrong, NULL));
        wrong = (struct itimerspec){.it_value = {1, 0}, .it_interval = bad[i]};
        EXPECT_ERRNO(EINVAL, set(id, 0, &wrong, NULL));
    }
    EXPECT_EQ(ns(get(id).it_value), 0);
    /* A bad old pointer: the timer runs all the same. */
    EXPECT_ERRNO(EFAULT, set(id, 0, &value, BAD_PTR));
    EXPECT_GT(ns(get(id).it_value), 0);
    /* Unknown flags are not looked at. */
    EXPECT_OK(set(id, 0x70, &value, NULL));
}

TEST(what_the_signal_says) {
    siginfo_t info;
    block(SIGUSR1);
    int id = signal_timer(SIGUSR1, 4711);
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    memset(&info, 0xee, sizeof info);
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 5000), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_TIMER);
    EXPECT_EQ(info.si_timerid, id);
    EXPECT_EQ(info.si_overrun, 0);
    EXPECT_EQ(info.si_value.sival_int, 4711);
    EXPECT_EQ(info.si_errno, 0);
    for (int at = 32; at < 128; at++) EXPECT_EQ(((unsigned char *)&info)[at], 0);
    /* Once means once. */
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), &info, 10));
    EXPECT_EQ(ns(get(id).it_value), 0);
}

TEST(no_event_means_sigalrm_and_the_id) {
    int id = -1;
    siginfo_t info;
    block(SIGALRM);
    ASSERT_OK(create(CLOCK_MONOTONIC, NULL, &id));
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    EXPECT_EQ(timed_wait(BIT(SIGALRM), &info, 5000), SIGALRM);
    EXPECT_EQ(info.si_value.sival_int, id);
    EXPECT_TRUE(info.si_value.sival_ptr == (void *)(long)id);
}

/* SIGEV_THREAD is libc's business; to the kernel it is SIGEV_SIGNAL. */
TEST(sigev_thread_raw_is_a_signal) {
    int id;
    siginfo_t info;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = 50, .sigev_value.sival_ptr = (void *)0x1234567890};
    block(50);
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    EXPECT_EQ(timed_wait(BIT(50), &info, 5000), 50);
    EXPECT_TRUE(info.si_value.sival_ptr == (void *)0x1234567890);
}

TEST(sigev_none_counts_silently) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec value = in_us(100000000, 0);
    ASSERT_OK(set(id, 0, &value, NULL));
    EXPECT_TRUE(ns(get(id).it_value) > 90000000000ll && ns(get(id).it_value) <= 100000000000ll);
    value = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &value, NULL));
    sleep_ms(3);
    EXPECT_EQ(ns(get(id).it_value), 0);
    /* With an interval it goes on. */
    value = in_us(1000, 7000000);
    ASSERT_OK(set(id, 0, &value, NULL));
    sleep_ms(3);
    struct itimerspec now = get(id);
    EXPECT_EQ(ns(now.it_interval), 7000000000ll);
    EXPECT_TRUE(ns(now.it_value) > 0 && ns(now.it_value) <= 7000000000ll);
}

static volatile int there_tid, there_stop;
static void *there(void *unused) {
    there_tid = gettid();
    while (!there_stop) sleep_ms(1);
    return unused;
}
static volatile int handled_tid;
static void note_thread(int sig) {
    (void)sig;
    handled_tid = gettid();
}
TEST(thread_id_directs_it) {
    pthread_t thread;
    int id;
    signal(SIGUSR1, note_thread);
    pthread_create(&thread, NULL, there, NULL);
    ASSERT_TRUE(wait_value(&there_tid, 1));
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = there_tid;
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = in_us(1000, 0);
    for (int i = 0; i < 5; i++) {
        handled_tid = 0;
        ASSERT_OK(set(id, 0, &soon, NULL));
        ASSERT_TRUE(wait_value(&handled_tid, 1));
        EXPECT_EQ(handled_tid, there_tid);
    }
    /* The thread is gone: nobody hears of it. */
    there_stop = 1;
    pthread_join(thread, NULL);
    handled_tid = 0;
    soon = in_us(1000, 1000);
    EXPECT_OK(set(id, 0, &soon, NULL));
    sleep_ms(10);
    EXPECT_EQ(handled_tid, 0);
    EXPECT_OK(syscall(SYS_timer_delete, id));
}
TEST(thread_id_must_be_of_the_process) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    pid_t tids[] = {1, getppid(), 0x3ffffff0, 0, -1};
    for (int i = 0; i < 5; i++) {
        event._sigev_un._tid = tids[i];
        EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    }
    event._sigev_un._tid = gettid();
    EXPECT_OK(create(CLOCK_MONOTONIC, &event, &id));
    event.sigev_signo = 0;
    EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
}

/* One signal pends; what passes meanwhile is counted. */
static void overrun_trial(int sig) {
    siginfo_t info;
    block(sig);
    int id = signal_timer(sig, 1);
    struct itimerspec often = in_us(1000, 1000), off = {0};
    long long start = now_ns();
    ASSERT_OK(set(id, 0, &often, NULL));
    sleep_ms(40);
    EXPECT_EQ(timed_wait(BIT(sig), &info, 5000), sig);
    long long passed = (now_ns() - start) / 1000000;
    EXPECT_GE(info.si_overrun, 30);
    EXPECT_LE(info.si_overrun, passed);
    EXPECT_EQ(syscall(SYS_timer_getoverrun, id), info.si_overrun);
    ASSERT_OK(set(id, 0, &off, NULL));
    /* What was set anew has no overruns. */
    EXPECT_EQ(syscall(SYS_timer_getoverrun, id), 0);
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(sig), &info, 0));
}
TEST(overruns_of_an_ordinary_signal) { overrun_trial(SIGUSR1); }
TEST(overruns_of_a_real_time_signal) { overrun_trial(45); }

TEST(one_signal_pends_at_a_time) {
    siginfo_t info;
    block(45);
    int id = signal_timer(45, 1);
    struct itimerspec often = in_us(1000, 1000);
    ASSERT_OK(set(id, 0, &often, NULL));
    sleep_ms(20);
    ASSERT_OK(syscall(SYS_timer_delete, id));
    /* Deleted, it is not delivered either. */
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(45), &info, 0));
}

TEST(two_timers_of_one_ordinary_signal_both_arrive) {
    siginfo_t info;
    block(SIGUSR1);
    int first = signal_timer(SIGUSR1, 1), second = signal_timer(SIGUSR1, 2), sum = 0;
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(first, 0, &soon, NULL));
    ASSERT_OK(set(second, 0, &soon, NULL));
    sleep_ms(10);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 5000), SIGUSR1);
        sum += info.si_value.sival_int;
    }
    EXPECT_EQ(sum, 3);
}

TEST(setting_anew_takes_the_pending_signal_back) {
    block(SIGUSR1);
    int id = signal_timer(SIGUSR1, 1);
    struct itimerspec soon = in_us(1000, 0), later = in_us(100000000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    sleep_ms(5);
    ASSERT_OK(set(id, 0, &later, NULL));
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 0));
}

TEST(the_old_setting) {
    int id = signal_timer(SIGUSR1, 1);
    struct itimerspec first = in_us(100000000, 3000000), second = {0}, old;
    ASSERT_OK(set(id, 0, &first, &old));
    EXPECT_EQ(ns(old.it_value), 0);
    EXPECT_EQ(ns(old.it_interval), 0);
    ASSERT_OK(set(id, 0, &second, &old));
    EXPECT_EQ(ns(old.it_interval), 3000000000ll);
    EXPECT_TRUE(ns(old.it_value) > 99000000000ll);
    EXPECT_EQ(ns(get(id).it_interval), 0);
}

TEST(an_interval_alone_does_not_start_it) {
    block(SIGUSR1);
    int id = signal_timer(SIGUSR1, 1);
    struct itimerspec value = in_us(0, 1000);
    ASSERT_OK(set(id, 0, &value, NULL));
    EXPECT_EQ(ns(get(id).it_value), 0);
    EXPECT_EQ(ns(get(id).it_interval), 0);
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 10));
}

TEST(a_periodic_one_that_pends_shows_the_rest_of_its_period) {
    block(SIGUSR1);
    int id = signal_timer(SIGUSR1, 1);
    struct itimerspec value = in_us(1000, 50000000);
    ASSERT_OK(set(id, 0, &value, NULL));
    sleep_ms(5);
    struct itimerspec now = get(id);
    EXPECT_TRUE(ns(now.it_value) > 49000000000ll && ns(now.it_value) < 50000000000ll);
    EXPECT_EQ(ns(now.it_interval), 50000000000ll);
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), NULL, 0), SIGUSR1);
}

TEST(absolute_times) {
    struct timespec t;
    block(SIGUSR1);
    int id = signal_timer(SIGUSR1, 1);
    clock_gettime(CLOCK_MONOTONIC, &t);
    long long at = ns(t) + 5000000;
    struct itimerspec value = {.it_value = {at / 1000000000, at % 1000000000}};
    ASSERT_OK(set(id, TIMER_ABSTIME, &value, NULL));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), NULL, 5000), SIGUSR1);
    EXPECT_GE(now_ns(), at);
    /* The past is at once; what it missed of its period are overruns. */
    siginfo_t info;
    at = now_ns() - 100000000;
    value = (struct itimerspec){.it_value = {at / 1000000000, at % 1000000000}, .it_interval = {0, 10000000}};
    ASSERT_OK(set(id, TIMER_ABSTIME, &value, NULL));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 5000), SIGUSR1);
    EXPECT_GE(info.si_overrun, 10);
}

/* Ignored: a periodic timer waits, and its signal comes when somebody listens again. */
TEST(an_ignored_periodic_signal_comes_back) {
    siginfo_t *info = &seen_info[0];
    signal(SIGUSR1, SIG_IGN);
    int id = signal_timer(SIGUSR1, 9);
    struct itimerspec often = in_us(2000, 2000), off = {0};
    ASSERT_OK(set(id, 0, &often, NULL));
    sleep_ms(30);
    catch_with(SIGUSR1, 0);
    ASSERT_TRUE(wait_value(&seen, 1));
    ASSERT_OK(set(id, 0, &off, NULL));
    EXPECT_EQ(info->si_value.sival_int, 9);
    EXPECT_GE(info->si_overrun, 5);
}
TEST(an_ignored_single_shot_is_lost) {
    signal(SIGUSR1, SIG_IGN);
    int id = signal_timer(SIGUSR1, 9);
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    sleep_ms(10);
    catch_with(SIGUSR1, 0);
    sleep_ms(5);
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(ns(get(id).it_value), 0);
}

TEST(a_handler_gets_every_period) {
    catch_with(SIGUSR1, 0);
    int id = signal_timer(SIGUSR1, 1);
    struct itimerspec often = in_us(2000, 2000), off = {0};
    long long start = now_ns();
    ASSERT_OK(set(id, 0, &often, NULL));
    ASSERT_TRUE(wait_value(&seen, 10));
    ASSERT_OK(set(id, 0, &off, NULL));
    int total = 0, n = seen;
    for (int i = 0; i < n && i < SEEN_MAX; i++) total += 1 + seen_info[i].si_overrun;
    EXPECT_LE(total, (now_ns() - start) / 2000000 + 1);
    EXPECT_GE(total, 10);
}

TEST(each_counts_for_the_limit_of_pending_signals) {
    struct rlimit limit;
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    getrlimit(RLIMIT_SIGPENDING, &limit);
    limit.rlim_cur = 0;
    ASSERT_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
    EXPECT_ERRNO(EAGAIN, create(CLOCK_MONOTONIC, &event, &id));
    event.sigev_notify = SIGEV_NONE;
    EXPECT_ERRNO(EAGAIN, create(CLOCK_MONOTONIC, &event, &id));
}

TEST(ids_begin_anew_and_go_up) {
    pid_t pid = fork();
    if (pid == 0) {
        int ids[3];
        for (int i = 0; i < 3; i++) ids[i] = signal_timer(SIGUSR1, 0);
        syscall(SYS_timer_delete, ids[1]);
        int next = signal_timer(SIGUSR1, 0);
        _exit(ids[1] != ids[0] + 1 || ids[2] != ids[1] + 1 || next != ids[2] + 1);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}

TEST(neither_fork_nor_exec_keeps_them) {
    int id = signal_timer(SIGUSR1, 0);
    pid_t pid = fork();
    if (pid == 0) _exit(syscall(SYS_timer_getoverrun, id) != -1 || errno != EINVAL);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
    pid = fork();
    if (pid == 0) {
        char self[256], number[16];
        id = signal_timer(SIGUSR1, 0);
        block(SIGUSR1);
        struct itimerspec soon = in_us(100, 0);
        set(id, 0, &soon, NULL);
        sleep_ms(2);
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        snprintf(number, sizeof number, "%d", id);
        setenv("OLD_TIMER", number, 1);
        execl(self, self, "--no-fork", "after_exec", NULL);
        _exit(9);
    }
    waitpid(pid, &status, 0);
    EXPECT_EXITED(0, status);
}
TEST(after_exec) {
    const char *old = getenv("OLD_TIMER");
    if (!old) return;
    EXPECT_ERRNO(EINVAL, syscall(SYS_timer_getoverrun, atoi(old)));
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 0));
}

TEST(threads_share_them) {
    int id = signal_timer(SIGUSR1, 0);
    pthread_t thread;
    signal(SIGUSR1, note_thread);
    there_stop = 1;
    pthread_create(&thread, NULL, there, NULL);
    pthread_join(thread, NULL);
    struct itimerspec soon = in_us(1000, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    ASSERT_TRUE(wait_value(&handled_tid, 1));
    EXPECT_EQ(handled_tid, getpid());
}

/* CPU clocks stand still while nothing runs. */
static long long cpu_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return ns(t);
}
static void cpu_trial(clockid_t clock) {
    int id;
    block(SIGUSR1);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    ASSERT_OK(create(clock, &event, &id));
    struct itimerspec value = in_us(30000, 0);
    long long start = cpu_ns(clock);
    ASSERT_OK(set(id, 0, &value, NULL));
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 60));
    struct itimerspec left = get(id);
    EXPECT_TRUE(ns(left.it_value) > 0 && ns(left.it_value) <= 30000000);
    while (!is_pending(SIGUSR1) && cpu_ns(clock) - start < 5000000000ll) {}
    EXPECT_GE(cpu_ns(clock) - start, 30000000);
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), NULL, 0), SIGUSR1);
    EXPECT_EQ(ns(get(id).it_value), 0);
}
TEST(on_the_process_clock) { cpu_trial(CLOCK_PROCESS_CPUTIME_ID); }
TEST(on_the_thread_clock) { cpu_trial(CLOCK_THREAD_CPUTIME_ID); }

TEST(an_interval_alone_does_not_start_a_cpu_timer) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    ASSERT_OK(create(CLOCK_PROCESS_CPUTIME_ID, &event, &id));
    struct itimerspec value = in_us(0, 5000000);
    ASSERT_OK(set(id, 0, &value, NULL));
    EXPECT_EQ(ns(get(id).it_interval), 0);
    EXPECT_EQ(ns(get(id).it_value), 0);
}

TEST(on_the_clock_of_a_thread_that_ends) {
    pthread_t thread;
    clockid_t clock;
    int id;
    struct itimerspec later = {{5, 0}, {10, 0}}, off = {0};
    struct timespec t;
    there_tid = there_stop = 0;
    pthread_create(&thread, NULL, there, NULL);
    ASSERT_TRUE(wait_value(&there_tid, 1));
    ASSERT_EQ(pthread_getcpuclockid(thread, &clock), 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    ASSERT_OK(create(clock, &event, &id));
    EXPECT_OK(set(id, 0, &later, NULL));
    EXPECT_EQ(get(id).it_interval.tv_sec, 5);
    there_stop = 1;
    pthread_join(thread, NULL);
    for (int i = 0; i < 2000 && clock_gettime(clock, &t) == 0; i++) sleep_ms(1);
    EXPECT_EQ(ns(get(id).it_value), 0);
    EXPECT_EQ(ns(get(id).it_interval), 0);
    EXPECT_ERRNO(ESRCH, set(id, 0, &later, NULL));
    EXPECT_ERRNO(ESRCH, set(id, 0, &off, NULL));
    EXPECT_OK(syscall(SYS_timer_delete, id));
}
