/* POSIX timers and interval timers. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/time.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct itimerspec after_ms(long value, long interval) {
    return (struct itimerspec){
        .it_value = {value / 1000, value % 1000 * 1000000},
        .it_interval = {interval / 1000, interval % 1000 * 1000000}};
}

static volatile int caught, caught_code, caught_value, caught_overrun;
static volatile pid_t caught_tid;
static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    caught_code = info->si_code;
    caught_value = info->si_value.sival_int;
    caught_overrun = info->si_overrun;
    caught_tid = gettid();
    caught++;
}

static void catch(int sig) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    EXPECT_OK(sigaction(sig, &action, NULL));
}

static void wait_for(int count) {
    for (int i = 0; i < 5000 && caught < count; i++) usleep(1000);
    EXPECT_EQ(caught >= count, 1);
}

/* Raw calls: glibc's timer_t is not the kernel's. */
static int create(clockid_t clock, struct sigevent *event, int *id) {
    return syscall(SYS_timer_create, clock, event, id);
}
static int set(int id, int flags, struct itimerspec *value, struct itimerspec *old) {
    return syscall(SYS_timer_settime, id, flags, value, old);
}

TEST(default_event_is_sigalrm_with_the_id) {
    int id = -1;
    catch(SIGALRM);
    ASSERT_OK(create(CLOCK_MONOTONIC, NULL, &id));
    struct itimerspec soon = after_ms(5, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    wait_for(1);
    EXPECT_EQ(caught_code, SI_TIMER);
    EXPECT_EQ(caught_value, id);
    struct itimerspec left;
    ASSERT_OK(syscall(SYS_timer_gettime, id, &left));
    EXPECT_EQ(left.it_value.tv_sec, 0);
    EXPECT_EQ(left.it_value.tv_nsec, 0);
    ASSERT_OK(syscall(SYS_timer_delete, id));
    EXPECT_ERRNO(EINVAL, syscall(SYS_timer_delete, id));
}

TEST(periodic_and_value) {
    int id;
    catch(SIGUSR1);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_int = 77;
    ASSERT_OK(create(CLOCK_REALTIME, &event, &id));
    struct itimerspec often = after_ms(2, 2), old;
    ASSERT_OK(set(id, 0, &often, NULL));
    wait_for(3);
    EXPECT_EQ(caught_value, 77);
    struct itimerspec off = {0};
    ASSERT_OK(set(id, 0, &off, &old));
    EXPECT_EQ(old.it_interval.tv_nsec, 2000000);
    int count = caught;
    usleep(20000);
    EXPECT_EQ(caught, count);
}

TEST(a_blocked_signal_counts_overruns) {
    int id;
    sigset_t set_of;
    sigemptyset(&set_of);
    sigaddset(&set_of, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set_of, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec often = after_ms(1, 1);
    ASSERT_OK(set(id, 0, &often, NULL));
    usleep(50000);
    siginfo_t info;
    struct timespec zero = {0};
    EXPECT_EQ(sigtimedwait(&set_of, &info, &zero), SIGRTMIN);
    EXPECT_EQ(info.si_overrun >= 20, 1);
    EXPECT_EQ(syscall(SYS_timer_getoverrun, id), info.si_overrun);
    ASSERT_OK(syscall(SYS_timer_delete, id));
    EXPECT_ERRNO(EAGAIN, sigtimedwait(&set_of, &info, &zero));
}

TEST(setting_anew_drops_the_pending_signal) {
    int id;
    sigset_t set_of;
    sigemptyset(&set_of);
    sigaddset(&set_of, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set_of, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = after_ms(1, 0), off = {0};
    ASSERT_OK(set(id, 0, &soon, NULL));
    usleep(20000);
    ASSERT_OK(set(id, 0, &off, NULL));
    struct timespec zero = {0};
    EXPECT_ERRNO(EAGAIN, sigtimedwait(&set_of, NULL, &zero));
}

TEST(silent_timers_still_count_down) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = after_ms(1000, 0), left;
    ASSERT_OK(set(id, 0, &soon, NULL));
    ASSERT_OK(syscall(SYS_timer_gettime, id, &left));
    EXPECT_EQ(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 500000000, 1);
    soon = after_ms(1, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    usleep(10000);
    ASSERT_OK(syscall(SYS_timer_gettime, id, &left));
    EXPECT_EQ(left.it_value.tv_sec, 0);
    EXPECT_EQ(left.it_value.tv_nsec, 0);
}

TEST(absolute_times) {
    int id;
    catch(SIGALRM);
    ASSERT_OK(create(CLOCK_MONOTONIC, NULL, &id));
    int64_t at = clock_ns(CLOCK_MONOTONIC) + 20000000;
    struct itimerspec when = {.it_value = {at / 1000000000, at % 1000000000}};
    ASSERT_OK(set(id, TIMER_ABSTIME, &when, NULL));
    wait_for(1);
    EXPECT_EQ(clock_ns(CLOCK_MONOTONIC) >= at, 1);
    /* In the past: at once. */
    when.it_value = (struct timespec){0, 1};
    ASSERT_OK(set(id, TIMER_ABSTIME, &when, NULL));
    wait_for(2);
}

TEST(timer_errors) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    event.sigev_signo = SIGALRM;
    event.sigev_notify = 9;
    EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = 1;
    EXPECT_ERRNO(EINVAL, create(CLOCK_MONOTONIC, &event, &id));
    EXPECT_ERRNO(EINVAL, create(99, NULL, &id));
    EXPECT_ERRNO(EFAULT, create(CLOCK_MONOTONIC, NULL, BAD_PTR));
    ASSERT_OK(create(CLOCK_MONOTONIC, NULL, &id));
    struct itimerspec bad = {.it_value = {0, 1000000000}};
    EXPECT_ERRNO(EINVAL, set(id, 0, &bad, NULL));
    EXPECT_ERRNO(EINVAL, set(id, 0, NULL, NULL));
    EXPECT_ERRNO(EINVAL, set(id + 1000, 0, &(struct itimerspec){0}, NULL));
    EXPECT_ERRNO(EINVAL, syscall(SYS_timer_getoverrun, id + 1000));
}

static pid_t other_tid;
static sem_t other_ready, other_done;
static void *other(void *unused) {
    (void)unused;
    other_tid = gettid();
    sem_post(&other_ready);
    while (sem_wait(&other_done)) {}
    return NULL;
}

TEST(thread_directed) {
    int id;
    pthread_t thread;
    catch(SIGUSR1);
    sem_init(&other_ready, 0, 0);
    sem_init(&other_done, 0, 0);
    pthread_create(&thread, NULL, other, NULL);
    sem_wait(&other_ready);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = other_tid;
    ASSERT_OK(create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec soon = after_ms(5, 0);
    ASSERT_OK(set(id, 0, &soon, NULL));
    wait_for(1);
    EXPECT_EQ(caught_tid, other_tid);
    sem_post(&other_done);
    pthread_join(thread, NULL);
}

TEST(cpu_timers_follow_cpu_time) {
    int id;
    catch(SIGUSR1);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    ASSERT_OK(create(CLOCK_PROCESS_CPUTIME_ID, &event, &id));
    struct itimerspec soon = after_ms(50, 0);
    int64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    ASSERT_OK(set(id, 0, &soon, NULL));
    usleep(100000);
    EXPECT_EQ(caught, 0);
    while (!caught) {}
    EXPECT_EQ(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start >= 50000000, 1);
}

TEST(interval_timers) {
    struct itimerval often = {{0, 3000}, {0, 3000}}, got;
    catch(SIGALRM);
    ASSERT_OK(setitimer(ITIMER_REAL, &often, NULL));
    wait_for(3);
    EXPECT_EQ(caught_code, SI_KERNEL);
    ASSERT_OK(getitimer(ITIMER_REAL, &got));
    EXPECT_EQ(got.it_interval.tv_usec, 3000);
    struct itimerval off = {0};
    ASSERT_OK(setitimer(ITIMER_REAL, &off, &got));
    EXPECT_EQ(got.it_interval.tv_usec, 3000);
    int count = caught;
    usleep(20000);
    EXPECT_EQ(caught, count);
    ASSERT_OK(getitimer(ITIMER_REAL, &got));
    EXPECT_EQ(got.it_value.tv_usec, 0);
    EXPECT_ERRNO(EINVAL, setitimer(7, &off, NULL));
    struct itimerval bad = {{0, 0}, {0, 1000000}};
    EXPECT_ERRNO(EINVAL, setitimer(ITIMER_REAL, &bad, NULL));
}

TEST(profiling_timer_fires_only_while_running) {
    struct itimerval often = {{0, 10000}, {0, 10000}};
    catch(SIGPROF);
    ASSERT_OK(setitimer(ITIMER_PROF, &often, NULL));
    int64_t end = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + 150000000;
    while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < end) {}
    EXPECT_EQ(caught >= 5, 1);
    int count = caught;
    usleep(100000);
    EXPECT_EQ(caught <= count + 2, 1);
}

TEST(children_inherit_no_timers_and_exec_keeps_the_alarm) {
    int id;
    ASSERT_OK(create(CLOCK_MONOTONIC, NULL, &id));
    struct itimerval later = {{0, 0}, {100, 0}}, got;
    ASSERT_OK(setitimer(ITIMER_REAL, &later, NULL));
    pid_t child = fork();
    if (child == 0) {
        getitimer(ITIMER_REAL, &got);
        int status = got.it_value.tv_sec != 0;
        if (syscall(SYS_timer_delete, id) == 0) status |= 2;
        _exit(status);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    alarm(0);
}

TEST(sleeps_and_their_remains) {
    struct timespec wait = {0, 30000000}, rest = {9, 9};
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    ASSERT_OK(nanosleep(&wait, &rest));
    EXPECT_EQ(clock_ns(CLOCK_MONOTONIC) - start >= 30000000, 1);
    EXPECT_EQ(rest.tv_sec, 9);
    catch(SIGALRM);
    struct itimerval soon = {{0, 0}, {0, 20000}};
    ASSERT_OK(setitimer(ITIMER_REAL, &soon, NULL));
    wait = (struct timespec){5, 0};
    EXPECT_ERRNO(EINTR, nanosleep(&wait, &rest));
    EXPECT_EQ(rest.tv_sec, 4);
    /* Absolute: the remaining time is not written. */
    rest = (struct timespec){7, 7};
    ASSERT_OK(setitimer(ITIMER_REAL, &soon, NULL));
    int64_t at = clock_ns(CLOCK_MONOTONIC) + 5000000000ll;
    struct timespec until = {at / 1000000000, at % 1000000000};
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &rest), EINTR);
    EXPECT_EQ(rest.tv_sec, 7);
    wait = (struct timespec){0, 1000000000};
    EXPECT_ERRNO(EINVAL, nanosleep(&wait, NULL));
    wait = (struct timespec){-1, 0};
    EXPECT_ERRNO(EINVAL, nanosleep(&wait, NULL));
    EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &wait, NULL), EINVAL);
    EXPECT_EQ(clock_nanosleep(99, 0, &wait, NULL), EINVAL);
}
