/* FUTEX_WAIT and FUTEX_WAIT_BITSET: values, addresses, timeouts, signals (futex(2)). */
#include "futex.h"

static uint32_t word;

TEST(value_differs) {
    word = 1;
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT | PRIVATE, 2, NULL, NULL, 0));
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT, 2, NULL, NULL, 0));
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, NULL, NULL, 1));
}
TEST(value_is_32_bits) {
    struct timespec none = {0, 0};
    word = 5;
    errno = 0;
    EXPECT_ERRNO(ETIMEDOUT, syscall(SYS_futex, &word, (long)FUTEX_WAIT | PRIVATE, (7L << 32) + 5, &none, NULL, 0L));
}
TEST(misaligned_word) {
    for (int by = 1; by < 4; by++) {
        EXPECT_ERRNO(EINVAL, futex((char *)&word + by, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0));
        EXPECT_ERRNO(EINVAL, futex((char *)&word + by, FUTEX_WAIT, 0, NULL, NULL, 0));
    }
}
TEST(unmapped_word) {
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(BAD_PTR, FUTEX_WAIT, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((void *)9, FUTEX_WAIT, 0, NULL, NULL, 0));
}
TEST(address_of_the_kernel) {
    EXPECT_ERRNO(EFAULT, futex((void *)-4096L, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex((void *)-4096L, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex((void *)-1L, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0));
}
TEST(memory_without_access) {
    uint32_t *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EFAULT, futex(none, FUTEX_WAIT | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(none, FUTEX_WAIT, 0, NULL, NULL, 0));
}
TEST(readonly_word) {
    struct timespec none = {0, 0};
    uint32_t *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(EAGAIN, futex(page, FUTEX_WAIT | PRIVATE, 1, NULL, NULL, 0));
    EXPECT_ERRNO(ETIMEDOUT, futex(page, FUTEX_WAIT | PRIVATE, 0, &none, NULL, 0));
    /* Nobody can ever change it, so that a shared wait is of no use. */
    EXPECT_ERRNO(EFAULT, futex(page, FUTEX_WAIT, 0, &none, NULL, 0));
}
TEST(bad_times) {
    static const struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}, {-1, 999999999}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT | PRIVATE, 0, &bad[i], NULL, 0));
        EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, &bad[i], NULL, 1));
        EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_BITSET | REALTIME | PRIVATE, 0, &bad[i], NULL, 1));
    }
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT | PRIVATE, 0, BAD_PTR, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, BAD_PTR, NULL, 1));
}
TEST(the_time_is_read_first) {
    struct timespec bad = {0, 1000000000};
    EXPECT_ERRNO(EFAULT, futex((char *)&word + 1, FUTEX_WAIT | PRIVATE, 0, BAD_PTR, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT | REALTIME, 0, BAD_PTR, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT | REALTIME, 0, &bad, NULL, 0));
    EXPECT_ERRNO(EFAULT, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, BAD_PTR, NULL, 0));
}
TEST(bitset_of_none) {
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, NULL, NULL, 0));
    EXPECT_ERRNO(EINVAL, futex(&word, FUTEX_WAIT_BITSET, 7, NULL, NULL, 0));
}
TEST(relative_time_elapses) {
    struct timespec limit = {0, 20000000};
    long long start = now_ns();
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT | PRIVATE, 0, &limit, NULL, 0));
    EXPECT_GE(now_ns() - start, 20000000);
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT, 0, &limit, NULL, 0));
    EXPECT_GE(now_ns() - start, 40000000);
}
TEST(no_time_at_all) {
    struct timespec none = {0, 0};
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT | PRIVATE, 0, &none, NULL, 0));
    /* The value counts before the time. */
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT | PRIVATE, 1, &none, NULL, 0));
    EXPECT_EQ(waiters(&word, PRIVATE), 0);
}
TEST(absolute_monotonic_time) {
    struct timespec past = {0, 0}, soon = from_now(CLOCK_MONOTONIC, 20);
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, &past, NULL, 1));
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, &soon, NULL, 1));
    struct timespec now = from_now(CLOCK_MONOTONIC, 0);
    EXPECT_TRUE(now.tv_sec > soon.tv_sec || (now.tv_sec == soon.tv_sec && now.tv_nsec >= soon.tv_nsec));
}
TEST(absolute_real_time) {
    struct timespec past = from_now(CLOCK_REALTIME, -1000), soon = from_now(CLOCK_REALTIME, 20);
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET | REALTIME | PRIVATE, 0, &past, NULL, 1));
    long long start = now_ns();
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET | REALTIME | PRIVATE, 0, &soon, NULL, 1));
    EXPECT_GE(now_ns() - start, 10000000);
    /* A real time is far ahead on the other clock: what was meant decides. */
    start = now_ns();
    soon = from_now(CLOCK_REALTIME, 1);
    EXPECT_ERRNO(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET | REALTIME, 0, &soon, NULL, 1));
    EXPECT_LT(now_ns() - start, 5000000000);
}
TEST(far_times_are_taken) {
    struct timespec far = {LONG_MAX, 999999999};
    struct sleeper a = WAITER(&word, PRIVATE), b = {.op = FUTEX_WAIT_BITSET | PRIVATE, .word = &word, .value3 = 1};
    a.timeout = b.timeout = &far;
    start(&a);
    start(&b);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, INT_MAX, NULL, NULL, 0), 2);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(joined(&b), 0);
}
TEST(unknown_operations) {
    EXPECT_ERRNO(ENOSYS, futex(&word, 2 /* FUTEX_FD */, 0, NULL, NULL, 0));
    for (int op = 14; op < 128; op++) {
        EXPECT_ERRNO(ENOSYS, futex(&word, op, 0, NULL, NULL, 0));
        EXPECT_ERRNO(ENOSYS, futex(&word, op | PRIVATE, 0, NULL, NULL, 0));
    }
    EXPECT_ERRNO(ENOSYS, futex(&word, FUTEX_WAKE | 1 << 16, 1, NULL, NULL, 0));
    EXPECT_ERRNO(ENOSYS, futex(&word, INT_MIN, 1, NULL, NULL, 0));
    /* It does not look at the word. */
    EXPECT_ERRNO(ENOSYS, futex(BAD_PTR, 99, 0, BAD_PTR, BAD_PTR, 0));
}
TEST(which_operations_know_the_real_time_clock) {
    static const int without[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12};
    for (unsigned i = 0; i < sizeof without / sizeof *without; i++) {
        EXPECT_ERRNO(ENOSYS, futex(&word, without[i] | REALTIME, 1, NULL, &word, 1));
        EXPECT_ERRNO(ENOSYS, futex(&word, without[i] | REALTIME | PRIVATE, 1, NULL, &word, 1));
    }
    uint32_t other = 0;
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT_BITSET | REALTIME, 1, NULL, NULL, 1));
    EXPECT_ERRNO(EAGAIN, futex(&word, FUTEX_WAIT_REQUEUE_PI | REALTIME, 1, NULL, &other, 0));
    EXPECT_EQ(futex(&word, FUTEX_LOCK_PI2 | REALTIME, 0, NULL, NULL, 0), 0);
}
TEST(woken_is_0) {
    struct sleeper a = WAITER(&word, PRIVATE), b = WAITER(&word, 0);
    start(&a);
    start(&b);
    EXPECT_EQ(waiters(&word, PRIVATE), 1);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&b), 0);
}
TEST(a_store_without_a_wake_wakes_nobody) {
    struct timespec limit = {0, 30000000};
    struct sleeper a = WAITER(&word, PRIVATE);
    a.timeout = &limit;
    start(&a);
    store(&word, 1);
    EXPECT_EQ(joined(&a), -1);
    EXPECT_EQ(a.error, ETIMEDOUT);
}
TEST(a_wake_without_a_store_wakes) {
    struct sleeper a = WAITER(&word, PRIVATE);
    start(&a);
    EXPECT_EQ(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0), 1);
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(a.seen, 0);
}

/* Signals (signal(7), "Interruption of system calls"). */
static void signal_case(int flags, const struct timespec *limit, int op, int must_end) {
    handle(SIGUSR1, flags);
    word = 0;
    struct sleeper a = {.op = op, .word = &word, .timeout = limit, .value3 = FUTEX_BITSET_MATCH_ANY};
    start(&a);
    interrupt(&a);
    if (must_end) {
        EXPECT_EQ(joined(&a), -1);
        EXPECT_EQ(a.error, EINTR);
        EXPECT_EQ(waiters(&word, PRIVATE), 0);
        return;
    }
    until_waiters(&word, PRIVATE, 1);
    while (futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0) == 0) sched_yield();
    EXPECT_EQ(joined(&a), 0);
    EXPECT_EQ(handled, 1);
}
TEST(a_handler_ends_the_wait) {
    signal_case(0, NULL, FUTEX_WAIT | PRIVATE, 1);
    signal_case(0, NULL, FUTEX_WAIT_BITSET | PRIVATE, 1);
}
TEST(sa_restart_goes_on_without_a_time) {
    signal_case(SA_RESTART, NULL, FUTEX_WAIT | PRIVATE, 0);
    signal_case(SA_RESTART, NULL, FUTEX_WAIT_BITSET | PRIVATE, 0);
}
TEST(sa_restart_does_not_with_one) {
    struct timespec limit = {9, 0}, at = from_now(CLOCK_MONOTONIC, 9000), real = from_now(CLOCK_REALTIME, 9000);
    signal_case(SA_RESTART, &limit, FUTEX_WAIT | PRIVATE, 1);
    signal_case(SA_RESTART, &at, FUTEX_WAIT_BITSET | PRIVATE, 1);
    signal_case(SA_RESTART, &real, FUTEX_WAIT_BITSET | REALTIME | PRIVATE, 1);
}

/* A stop is no handler: what was interrupted goes on by itself. */
static uint32_t *page;
static struct timespec stop_limit;
static void wait_in_child(void *arg) {
    long op = (long)arg;
    page[1] = 1;
    long result = futex(page, (int)op, 0, stop_limit.tv_sec | stop_limit.tv_nsec ? &stop_limit : NULL, NULL, 1);
    _exit(result == 0 ? 0 : errno);
}
static int stopped_and_continued(int op, int change) {
    page = shared_words();
    pid_t pid = fork();
    if (pid == 0) wait_in_child((void *)(long)op);
    while (!load(&page[1])) sched_yield();
    until_asleep(pid, pid);
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    EXPECT_TRUE(WIFSTOPPED(status));
    if (change) store(page, 1);
    kill(pid, SIGCONT);
    if (!change && !stop_limit.tv_sec && !stop_limit.tv_nsec)
        while (futex(page, FUTEX_WAKE, 1, NULL, NULL, 0) != 1) sched_yield();
    waitpid(pid, &status, 0);
    return status;
}
TEST(a_stop_does_not_end_a_wait) {
    stop_limit = (struct timespec){0, 0};
    EXPECT_EXITED(0, stopped_and_continued(FUTEX_WAIT, 0));
}
TEST(a_stop_does_not_lengthen_a_timed_wait) {
    stop_limit = (struct timespec){0, 50000000};
    long long start = now_ns();
    EXPECT_EXITED(ETIMEDOUT, stopped_and_continued(FUTEX_WAIT, 0));
    EXPECT_GE(now_ns() - start, 50000000);
    stop_limit = from_now(CLOCK_REALTIME, 50);
    EXPECT_EXITED(ETIMEDOUT, stopped_and_continued(FUTEX_WAIT_BITSET | REALTIME, 0));
}
TEST(what_goes_on_compares_again) {
    stop_limit = (struct timespec){0, 0};
    EXPECT_EXITED(EAGAIN, stopped_and_continued(FUTEX_WAIT, 1));
    stop_limit = (struct timespec){9, 0};
    EXPECT_EXITED(EAGAIN, stopped_and_continued(FUTEX_WAIT, 1));
}
TEST(a_killed_waiter_is_gone) {
    page = shared_words();
    pid_t pid = fork();
    if (pid == 0) wait_in_child((void *)(long)FUTEX_WAIT);
    until_waiters(page, 0, 1);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    EXPECT_SIGNALED(SIGKILL, status);
    EXPECT_EQ(waiters(page, 0), 0);
    EXPECT_EQ(futex(page, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

/* No wake-up is lost: each of two threads sleeps until the other moves on. */
static uint32_t turn;
static void *other_player(void *arg) {
    for (uint32_t i = 0; i < 5000; i++) {
        while (load(&turn) != 2 * i + 1) futex(&turn, FUTEX_WAIT | PRIVATE, 2 * i, NULL, NULL, 0);
        store(&turn, 2 * i + 2);
        futex(&turn, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
    }
    return arg;
}
TEST_LIMIT(no_lost_wake_up, 60) {
    pthread_t thread;
    turn = 0;
    pthread_create(&thread, NULL, other_player, NULL);
    for (uint32_t i = 0; i < 5000; i++) {
        store(&turn, 2 * i + 1);
        futex(&turn, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
        while (load(&turn) != 2 * i + 2) futex(&turn, FUTEX_WAIT | PRIVATE, 2 * i + 1, NULL, NULL, 0);
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(turn, 10000);
}
