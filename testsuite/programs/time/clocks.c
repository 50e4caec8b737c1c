/* Clocks, sleeping, interval timers, POSIX timers. */
#include "check.h"
#include <sys/time.h>
#include <sys/times.h>

TEST(clocks_move_forward) {
    static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                                    CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
    for (unsigned i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct timespec a, b, resolution;
        EXPECT_OK(clock_gettime(ids[i], &a));
        sleep_ms(12);
        EXPECT_OK(clock_gettime(ids[i], &b));
        EXPECT_GT((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec, 4000000);
        EXPECT_OK(clock_getres(ids[i], &resolution));
        EXPECT_GT(resolution.tv_nsec, 0);
    }
    struct timespec t;
    EXPECT_ERRNO(EINVAL, clock_gettime(99, &t));
    EXPECT_ERRNO(EFAULT, syscall(SYS_clock_gettime, CLOCK_REALTIME, BAD_PTR));
    struct timeval tv;
    EXPECT_OK(gettimeofday(&tv, NULL));
    clock_gettime(CLOCK_REALTIME, &t);
    EXPECT_LE(t.tv_sec - tv.tv_sec, 1);
}

TEST(cpu_clocks) {
    struct timespec a, b, slept;
    EXPECT_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    for (volatile int i = 0; i < 5000000; i++) {}
    EXPECT_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
    EXPECT_GT((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec, 100000);
    sleep_ms(50);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &slept);
    EXPECT_LT((slept.tv_sec - b.tv_sec) * 1000000000LL + slept.tv_nsec - b.tv_nsec, 40000000);
    EXPECT_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a));
    struct tms t;
    EXPECT_OK(times(&t));
}

TEST(sleeping) {
    struct timespec t = {0, 25000000}, bad = {0, 1000000000}, negative = {-1, 0}, past = {1, 0}, at;
    long long start = now_ns();
    EXPECT_OK(nanosleep(&t, NULL));
    EXPECT_GE(now_ns() - start, 25000000);
    EXPECT_ERRNO(EINVAL, nanosleep(&bad, NULL));
    EXPECT_ERRNO(EINVAL, nanosleep(&negative, NULL));
    EXPECT_ERRNO(EFAULT, nanosleep(BAD_PTR, NULL));
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += 20000000;
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0);
    EXPECT_GE(now_ns(), at.tv_sec * 1000000000LL + at.tv_nsec);
    EXPECT_EQ(clock_nanosleep(99, 0, &t, NULL), EINVAL);
}

static volatile int ticks;
static volatile siginfo_t last;
static void tick(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    memcpy((void *)&last, info, sizeof last);
    ticks++;
}
static void on(int sig) {
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(sig, &action, NULL);
}

TEST(interval_timer) {
    struct itimerval timer = {{0, 10000}, {0, 10000}}, left, off = {{0, 0}, {0, 0}};
    on(SIGALRM);
    EXPECT_OK(setitimer(ITIMER_REAL, &timer, NULL));
    EXPECT_OK(getitimer(ITIMER_REAL, &left));
    EXPECT_EQ(left.it_interval.tv_usec, 10000);
    /* A loop without system calls is interrupted too. */
    while (ticks < 3) {}
    EXPECT_OK(setitimer(ITIMER_REAL, &off, &left));
    int seen = ticks;
    sleep_ms(30);
    EXPECT_EQ(ticks, seen);
    EXPECT_ERRNO(EINVAL, setitimer(99, &timer, NULL));
}

TEST(posix_timer) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 31};
    struct itimerspec spec = {.it_value = {0, 10000000}}, left;
    timer_t timer;
    on(SIGRTMIN);
    ASSERT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    EXPECT_OK(timer_settime(timer, 0, &spec, NULL));
    for (int i = 0; i < 500 && !ticks; i++) sleep_ms(2);
    EXPECT_EQ(ticks, 1);
    EXPECT_EQ(last.si_code, SI_TIMER);
    EXPECT_EQ(last.si_value.sival_int, 31);
    EXPECT_OK(timer_gettime(timer, &left));
    EXPECT_EQ(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
    EXPECT_EQ(timer_getoverrun(timer), 0);
    EXPECT_OK(timer_delete(timer));
    EXPECT_ERRNO(EINVAL, timer_gettime(timer, &left));
}

TEST(overruns_are_counted) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec spec = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}};
    timer_t timer;
    sigset_t set;
    on(SIGRTMIN);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    ASSERT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    EXPECT_OK(timer_settime(timer, 0, &spec, NULL));
    sleep_ms(60);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    timer_delete(timer);
    EXPECT_GE(ticks, 1);
    EXPECT_GE(last.si_overrun, 5);
}
