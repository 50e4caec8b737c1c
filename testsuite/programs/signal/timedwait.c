/* rt_sigtimedwait(2), rt_sigsuspend(2), pause(2) by ppoll(2). */
#include "signals.h"
#include <poll.h>

TEST(errors) {
    uint64_t set = BIT(SIGUSR1);
    struct timespec bad[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    block(SIGUSR1);
    raise(SIGUSR1);
    for (int i = 0; i < 3; i++) EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigtimedwait, &set, NULL, &bad[i], 8));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigtimedwait, BAD_PTR, NULL, NULL, 8));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigtimedwait, &set, NULL, BAD_PTR, 8));
    EXPECT_EQ(is_pending(SIGUSR1), 1);
    /* The signal is taken before its information cannot be written. */
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigtimedwait, &set, BAD_PTR, NULL, 8));
    EXPECT_EQ(is_pending(SIGUSR1), 0);
}

TEST(a_timeout_is_eagain) {
    block(SIGUSR1);
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 0));
    long long start = now_ns();
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 20));
    EXPECT_GE(now_ns() - start, 20000000);
}

TEST(an_empty_set_waits_for_the_timeout) { EXPECT_ERRNO(EAGAIN, timed_wait(0, NULL, 10)); }

TEST(kill_and_stop_cannot_be_awaited) { EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGKILL) | BIT(SIGSTOP), NULL, 1)); }

TEST(the_whole_siginfo_is_written) {
    siginfo_t info;
    block(40);
    raw_queue(getpid(), 40, SI_QUEUE, -5);
    memset(&info, 0xaa, sizeof info);
    EXPECT_EQ(timed_wait(BIT(40), &info, 0), 40);
    EXPECT_EQ(info.si_value.sival_ptr == (void *)-5l, 1);
    const unsigned char *bytes = (const unsigned char *)&info;
    for (size_t at = 32; at < 128; at++) EXPECT_EQ(bytes[at], 0);
}

TEST(others_stay_pending) {
    block(SIGUSR1), block(SIGUSR2);
    raise(SIGUSR1), raise(SIGUSR2);
    EXPECT_EQ(timed_wait(BIT(SIGUSR2), NULL, 0), SIGUSR2);
    EXPECT_EQ(pending_now(), BIT(SIGUSR1));
}

/* An awaited signal with a handler that is not blocked: whoever looks first; here the waiter. */
static volatile int at_ease;
static void *send_when_asleep(void *sig) {
    raw_mask(SIG_SETMASK, ~0ull, NULL);
    wait_value(&at_ease, 1);
    wait_state(getpid(), getpid(), 'S');
    usleep(1000);
    syscall(SYS_tgkill, getpid(), getpid(), (int)(long)sig);
    return NULL;
}
TEST(an_awaited_open_signal_is_taken_not_handled) {
    pthread_t thread;
    catch_with(SIGUSR1, 0);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGUSR1);
    at_ease = 1;
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), NULL, 10000), SIGUSR1);
    EXPECT_EQ(seen, 0);
    pthread_join(thread, NULL);
}

TEST(an_awaited_blocked_signal_wakes) {
    pthread_t thread;
    block(SIGUSR1);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGUSR1);
    at_ease = 1;
    siginfo_t info;
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, -1), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_TKILL);
    pthread_join(thread, NULL);
}

/* Blocked counts as wanted, even with SIG_IGN. */
TEST(an_ignored_blocked_signal_can_be_awaited) {
    pthread_t thread;
    signal(SIGUSR1, SIG_IGN);
    block(SIGUSR1);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGUSR1);
    at_ease = 1;
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), NULL, 10000), SIGUSR1);
    pthread_join(thread, NULL);
}

/* Not blocked and ignored: dropped, awaited or not. */
TEST(an_ignored_open_signal_cannot_be_awaited) {
    pthread_t thread;
    signal(SIGUSR1, SIG_IGN);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGUSR1);
    at_ease = 1;
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), NULL, 100));
    pthread_join(thread, NULL);
}

TEST(another_signals_handler_ends_it) {
    pthread_t thread;
    catch_with(SIGUSR2, SA_RESTART);
    block(SIGUSR1);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGUSR2);
    at_ease = 1;
    EXPECT_ERRNO(EINTR, timed_wait(BIT(SIGUSR1), NULL, 10000));
    EXPECT_EQ(seen, 1);
    pthread_join(thread, NULL);
}

/* A signal that kills the process goes to the waiter when it waits for it. */
TEST(an_awaited_fatal_signal_does_not_kill) {
    pthread_t thread;
    block(SIGTERM);
    pthread_create(&thread, NULL, send_when_asleep, (void *)SIGTERM);
    at_ease = 1;
    EXPECT_EQ(timed_wait(BIT(SIGTERM), NULL, 10000), SIGTERM);
    pthread_join(thread, NULL);
}

/* One that is not blocked has killed it when it is sent; but for one with a core file,
 * which the thread must take itself, and the waiter is first. */
static int awaited;
static void await_open(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, send_when_asleep, (void *)(long)awaited);
    at_ease = 1;
    _exit(timed_wait(BIT(awaited), NULL, 10000));
}
TEST(an_awaited_fatal_signal_that_is_open_kills) {
    const int fatal[] = {SIGUSR1, SIGTERM, SIGALRM, SIGRTMIN + 5};
    for (int i = 0; i < 4; i++) {
        awaited = fatal[i];
        EXPECT_SIGNALED(awaited, in_child(await_open));
    }
    awaited = SIGQUIT;
    EXPECT_EXITED(SIGQUIT, in_child(await_open));
}

/* One signal, several waiters: one of them gets it. */
static volatile int winners, timeouts, waiting;
static void *compete(void *unused) {
    __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
    long got = timed_wait(BIT(SIGUSR1), NULL, 100);
    __atomic_fetch_add(got == SIGUSR1 ? &winners : &timeouts, 1, __ATOMIC_SEQ_CST);
    return unused;
}
TEST(one_of_many_waiters_wins) {
    pthread_t threads[4];
    block(SIGUSR1);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, compete, NULL);
    wait_value(&waiting, 4);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(timeouts, 3);
}

TEST(sigsuspend_runs_the_handler_under_its_mask) {
    catch_with(SIGUSR1, 0), catch_with(SIGUSR2, 0);
    raw_mask(SIG_SETMASK, BIT(SIGUSR1) | BIT(SIGUSR2), NULL);
    raise(SIGUSR1), raise(SIGUSR2);
    uint64_t only_second = BIT(SIGUSR1);
    EXPECT_ERRNO(EINTR, syscall(SYS_rt_sigsuspend, &only_second, 8));
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(seen_signal[0], SIGUSR2);
    EXPECT_EQ(pending_now(), BIT(SIGUSR1));
    EXPECT_EQ(mask_now(), BIT(SIGUSR1) | BIT(SIGUSR2));
}

TEST(sigsuspend_delivers_all_it_opens) {
    catch_with(SIGUSR1, 0), catch_with(SIGUSR2, 0);
    raw_mask(SIG_SETMASK, BIT(SIGUSR1) | BIT(SIGUSR2), NULL);
    raise(SIGUSR1), raise(SIGUSR2);
    uint64_t none = 0;
    EXPECT_ERRNO(EINTR, syscall(SYS_rt_sigsuspend, &none, 8));
    EXPECT_EQ(seen, 2);
    EXPECT_EQ(mask_now(), BIT(SIGUSR1) | BIT(SIGUSR2));
}

TEST(sigsuspend_errors) {
    uint64_t none = 0;
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigsuspend, BAD_PTR, 8));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigsuspend, &none, 4));
    EXPECT_EQ(mask_now(), 0);
}

TEST(sigsuspend_cannot_block_kill) {
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t all = ~0ull;
        syscall(SYS_rt_sigsuspend, &all, 8);
        _exit(0);
    }
    ASSERT_TRUE(wait_state(pid, pid, 'S'));
    kill(pid, SIGKILL);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_SIGNALED(SIGKILL, status);
}

/* ppoll with a mask: pending signals that it opens end it at once. */
TEST(ppoll_opens_signals) {
    catch_with(SIGUSR1, SA_RESTART);
    block(SIGUSR1);
    raise(SIGUSR1);
    uint64_t none = 0;
    EXPECT_ERRNO(EINTR, syscall(SYS_ppoll, NULL, 0, NULL, &none, 8));
    EXPECT_EQ(seen, 1);
    EXPECT_EQ(mask_now(), BIT(SIGUSR1));
    EXPECT_ERRNO(EINVAL, syscall(SYS_ppoll, NULL, 0, NULL, &none, 4));
    EXPECT_ERRNO(EFAULT, syscall(SYS_ppoll, NULL, 0, NULL, BAD_PTR, 8));
}

/* Ready descriptors win over signals, and the mask comes back before a handler could run. */
TEST(a_ready_ppoll_does_not_look_at_signals) {
    int ends[2];
    ASSERT_OK(pipe(ends));
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    catch_with(SIGUSR1, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    uint64_t none = 0;
    EXPECT_EQ(syscall(SYS_ppoll, &fd, 1, NULL, &none, 8), 1);
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(pending_now(), BIT(SIGUSR1));
}

TEST(ppoll_writes_the_rest_of_its_timeout) {
    struct timespec t = {100, 0};
    uint64_t none = 0;
    catch_with(SIGUSR1, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    EXPECT_ERRNO(EINTR, syscall(SYS_ppoll, NULL, 0, &t, &none, 8));
    EXPECT_TRUE(t.tv_sec == 99 && t.tv_nsec > 0);
}

/* A timeout in read-only memory cannot be updated, so the call is not restarted. */
TEST(ppoll_with_a_constant_timeout_is_not_restarted) {
    struct timespec *t = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *t = (struct timespec){30, 0};
    ASSERT_OK(mprotect(t, 4096, PROT_READ));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        usleep(1000);
        wait_state(parent, parent, 'S');
        usleep(2000);
        kill(parent, SIGSTOP);
        wait_state(parent, parent, 'T');
        kill(parent, SIGCONT);
        _exit(0);
    }
    EXPECT_ERRNO(EINTR, syscall(SYS_ppoll, NULL, 0, t, NULL, 8));
    while (waitpid(pid, NULL, 0) == -1 && errno == EINTR) {}
}
