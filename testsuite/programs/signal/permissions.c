/* kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2): whom they
 * reach, who may, and what they refuse. */
#include "signals.h"

/* A number no process has. */
#define NOBODY 0x3ffffff0

static pid_t waiting_child(void) {
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) pause();
    }
    return pid;
}
static int end_of(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    return status;
}

TEST(kill_errnos) {
    EXPECT_ERRNO(EINVAL, kill(getpid(), 65));
    EXPECT_ERRNO(EINVAL, kill(getpid(), -1));
    EXPECT_ERRNO(ESRCH, kill(NOBODY, 0));
    EXPECT_ERRNO(ESRCH, kill(NOBODY, SIGTERM));
    /* Whether there is anybody is found out before the number is looked at. */
    EXPECT_ERRNO(ESRCH, kill(NOBODY, 65));
    EXPECT_ERRNO(ESRCH, kill(-NOBODY, 0));
    EXPECT_ERRNO(ESRCH, kill(-NOBODY, 65));
    EXPECT_ERRNO(ESRCH, kill((pid_t)0x80000000, 0));
    EXPECT_ERRNO(ESRCH, kill((pid_t)0x80000000, 65));
    EXPECT_OK(kill(getpid(), 0));
    EXPECT_ERRNO(EINVAL, kill(0, 65));
}

TEST(tkill_and_tgkill_errnos) {
    pid_t pid = getpid(), tid = gettid();
    EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, 0, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, -1, SIGUSR1));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tkill, tid, 65));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tkill, NOBODY, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tkill, NOBODY, 65));
    EXPECT_OK(syscall(SYS_tkill, tid, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, pid, 0, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, 0, tid, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, -1, tid, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, pid, -1, 0));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, pid, tid, 65));
    EXPECT_ERRNO(EINVAL, syscall(SYS_tgkill, pid, tid, -1));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, NOBODY, tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, pid, NOBODY, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getppid(), tid, 0));
    EXPECT_OK(syscall(SYS_tgkill, pid, tid, 0));
}

static volatile int thread_tid, thread_stop;
static void *linger(void *unused) {
    thread_tid = gettid();
    while (!thread_stop) sleep_ms(1);
    return unused;
}
TEST(threads_by_their_ids) {
    pthread_t thread;
    pthread_create(&thread, NULL, linger, NULL);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), thread_tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, thread_tid, thread_tid, 0));
    /* kill takes any thread's id for its process. */
    EXPECT_OK(kill(thread_tid, 0));
    EXPECT_ERRNO(ESRCH, kill(-thread_tid, 0));
    catch_with(SIGUSR1, 0);
    EXPECT_OK(kill(thread_tid, SIGUSR1));
    EXPECT_TRUE(wait_value(&seen, 1));
    EXPECT_EQ(seen_info[0].si_code, SI_USER);
    thread_stop = 1;
    pthread_join(thread, NULL);
    /* Joined is a moment before gone. */
    for (int i = 0; i < 5000 && syscall(SYS_tkill, thread_tid, 0) == 0; i++) usleep(1000);
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, getpid(), thread_tid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tkill, thread_tid, 0));
}

TEST(a_zombie_can_be_signalled) {
    pid_t pid = fork();
    if (pid == 0) _exit(4);
    ASSERT_TRUE(wait_state(pid, pid, 'Z'));
    EXPECT_OK(kill(pid, 0));
    EXPECT_OK(kill(pid, SIGKILL));
    EXPECT_ERRNO(EINVAL, kill(pid, 65));
    EXPECT_OK(syscall(SYS_tgkill, pid, pid, 0));
    EXPECT_EXITED(4, end_of(pid));
    EXPECT_ERRNO(ESRCH, kill(pid, 0));
}

TEST(kill_0_reaches_the_own_group) {
    catch_with(SIGUSR1, 0);
    pid_t mine = waiting_child(), other = waiting_child();
    ASSERT_OK(setpgid(other, other));
    signal(SIGUSR2, SIG_IGN);
    ASSERT_TRUE(wait_state(mine, mine, 'S'));
    ASSERT_OK(kill(0, SIGUSR1));
    EXPECT_EQ(seen, 1);
    EXPECT_OK(kill(other, SIGTERM));
    EXPECT_SIGNALED(SIGTERM, end_of(other));
    EXPECT_OK(kill(mine, SIGKILL));
    /* It had the handler from before the fork, so it is still there. */
    EXPECT_SIGNALED(SIGKILL, end_of(mine));
}

TEST(a_negative_id_reaches_that_group) {
    pid_t first = waiting_child(), second = waiting_child(), outside = waiting_child();
    ASSERT_OK(setpgid(first, first));
    ASSERT_OK(setpgid(second, first));
    EXPECT_OK(kill(-first, 0));
    EXPECT_OK(kill(-first, SIGTERM));
    EXPECT_SIGNALED(SIGTERM, end_of(first));
    EXPECT_SIGNALED(SIGTERM, end_of(second));
    EXPECT_ERRNO(ESRCH, kill(-first, 0));
    EXPECT_OK(kill(outside, SIGKILL));
    EXPECT_SIGNALED(SIGKILL, end_of(outside));
}

TEST(a_group_of_zombies_is_still_there) {
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        _exit(0);
    }
    ASSERT_TRUE(wait_state(pid, pid, 'Z'));
    EXPECT_OK(kill(-pid, SIGTERM));
    EXPECT_EXITED(0, end_of(pid));
    EXPECT_ERRNO(ESRCH, kill(-pid, SIGTERM));
}

/* Only the probe: anything else would reach strangers. */
TEST(kill_minus_1_probes) {
    pid_t pid = waiting_child();
    EXPECT_OK(kill(-1, 0));
    EXPECT_ERRNO(EINVAL, kill(-1, 65));
    EXPECT_OK(kill(pid, SIGKILL));
    end_of(pid);
}

TEST(init_is_not_ours) {
    if (geteuid() == 0) SKIP("root may");
    EXPECT_ERRNO(EPERM, kill(1, 0));
    EXPECT_ERRNO(EPERM, kill(1, SIGTERM));
    EXPECT_ERRNO(EPERM, syscall(SYS_tkill, 1, 0));
    EXPECT_ERRNO(EPERM, syscall(SYS_tgkill, 1, 1, SIGTERM));
    EXPECT_ERRNO(EPERM, raw_queue(1, SIGTERM, SI_QUEUE, 0));
    EXPECT_ERRNO(EINVAL, kill(1, 65));
}

/* Who may signal whom, by ids. Needs root to become several users. */
static int try_as(uid_t real, uid_t effective, uid_t saved, pid_t target, int sig) {
    pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(real, effective, saved)) _exit(99);
        _exit(kill(target, sig) ? errno : 0);
    }
    int status = end_of(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
static pid_t child_as(uid_t real, uid_t effective, uid_t saved, int new_session) {
    int ready[2];
    char c;
    ASSERT_OK(pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        if (new_session) setsid();
        if (setresuid(real, effective, saved) || write(ready[1], "r", 1) != 1) _exit(99);
        for (;;) pause();
    }
    ASSERT_EQ(read(ready[0], &c, 1), 1);
    close(ready[0]), close(ready[1]);
    return pid;
}
TEST(ids_decide) {
    if (geteuid() != 0) SKIP("needs several users");
    pid_t target = child_as(1001, 1002, 1003, 0);
    EXPECT_EQ(try_as(1001, 5, 5, target, 0), 0);  /* real = real */
    EXPECT_EQ(try_as(1003, 5, 5, target, 0), 0);  /* real = saved */
    EXPECT_EQ(try_as(5, 1001, 5, target, 0), 0);  /* effective = real */
    EXPECT_EQ(try_as(5, 1003, 5, target, 0), 0);  /* effective = saved */
    EXPECT_EQ(try_as(1002, 1002, 5, target, 0), EPERM); /* the target's effective id does not count */
    EXPECT_EQ(try_as(5, 5, 1001, target, 0), EPERM); /* nor the sender's saved one */
    EXPECT_EQ(try_as(5, 5, 5, target, SIGTERM), EPERM);
    EXPECT_EQ(try_as(5, 5, 5, target, 65), EINVAL);
    EXPECT_EQ(try_as(5, 5, 5, target, SIGCONT), 0); /* of the same session */
    EXPECT_EQ(try_as(5, 5, 5, target, 0), EPERM);
    EXPECT_OK(kill(target, SIGKILL));
    end_of(target);
    target = child_as(1001, 1001, 1001, 1);
    EXPECT_EQ(try_as(5, 5, 5, target, SIGCONT), EPERM); /* of another */
    EXPECT_OK(kill(target, SIGKILL));
    end_of(target);
}
TEST(a_group_of_strangers_is_eperm) {
    if (geteuid() != 0) SKIP("needs several users");
    pid_t stranger = child_as(1001, 1001, 1001, 1), friend;
    EXPECT_EQ(try_as(5, 5, 5, -stranger, SIGTERM), EPERM);
    EXPECT_OK(kill(stranger, SIGKILL));
    end_of(stranger);
    /* One that may be signalled is enough. */
    stranger = child_as(1001, 1001, 1001, 0), friend = child_as(5, 5, 5, 0);
    ASSERT_OK(setpgid(stranger, stranger));
    ASSERT_OK(setpgid(friend, stranger));
    EXPECT_EQ(try_as(5, 5, 5, -stranger, SIGTERM), 0);
    EXPECT_SIGNALED(SIGTERM, end_of(friend));
    EXPECT_OK(kill(stranger, SIGKILL));
    EXPECT_SIGNALED(SIGKILL, end_of(stranger));
}

/* Forging: to itself a process may say anything. */
static long forge(pid_t pid, int code) {
    siginfo_t info = {.si_code = code};
    info.si_pid = 4711;
    return syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info);
}
TEST(forging_to_oneself) {
    int codes[] = {SI_USER, SI_KERNEL, SI_TKILL, SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, 1};
    block(SIGUSR1);
    for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        siginfo_t info;
        EXPECT_OK(forge(getpid(), codes[i]));
        EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 0), SIGUSR1);
        EXPECT_EQ(info.si_code, codes[i]);
        EXPECT_EQ(info.si_pid, 4711);
        EXPECT_EQ(info.si_signo, SIGUSR1);
    }
}
TEST(forging_to_others) {
    int refused[] = {SI_USER, SI_KERNEL, SI_TKILL, 1, 100}, taken[] = {SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, -60};
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGUSR1, SIG_IGN);
        for (;;) pause();
    }
    ASSERT_TRUE(wait_state(pid, pid, 'S'));
    siginfo_t info = {0};
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_ERRNO(EPERM, forge(pid, refused[i]));
        info.si_code = refused[i];
        EXPECT_ERRNO(EPERM, syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR1, &info));
    }
    for (unsigned i = 0; i < 6; i++) EXPECT_OK(forge(pid, taken[i]));
    kill(pid, SIGKILL);
    end_of(pid);
}
/* "Oneself" is the thread, not the process. */
static void *forge_from_thread(void *unused) {
    EXPECT_ERRNO(EPERM, forge(getpid(), SI_USER));
    EXPECT_OK(forge(getpid(), SI_QUEUE));
    EXPECT_OK(forge(gettid(), SI_USER));
    siginfo_t info = {.si_code = SI_USER};
    EXPECT_ERRNO(EPERM, syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &info));
    EXPECT_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
    return unused;
}
TEST(forging_from_a_thread) {
    pthread_t thread;
    signal(SIGUSR1, SIG_IGN);
    pthread_create(&thread, NULL, forge_from_thread, NULL);
    pthread_join(thread, NULL);
}

TEST(rt_sigqueueinfo_errnos) {
    siginfo_t info = {.si_code = SI_QUEUE};
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD_PTR));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_sigqueueinfo, NOBODY, SIGUSR1, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_sigqueueinfo, NOBODY, 65, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_sigqueueinfo, -1, SIGUSR1, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_sigqueueinfo, 0, SIGUSR1, &info));
    EXPECT_OK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, BAD_PTR));
    EXPECT_ERRNO(EFAULT, syscall(SYS_rt_tgsigqueueinfo, -1, -1, SIGUSR1, BAD_PTR));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_tgsigqueueinfo, -1, gettid(), SIGUSR1, &info));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, SIGUSR1, &info));
    EXPECT_ERRNO(EINVAL, syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 65, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_tgsigqueueinfo, getpid(), NOBODY, SIGUSR1, &info));
    EXPECT_ERRNO(ESRCH, syscall(SYS_rt_tgsigqueueinfo, NOBODY, gettid(), SIGUSR1, &info));
}

/* The kernel keeps 48 bytes; more must be zero where it does not know the code. */
TEST(what_a_siginfo_may_hold) {
    union {
        siginfo_t info;
        unsigned char bytes[128];
    } sent, got;
    block(SIGUSR1);
    memset(&sent, 0x77, sizeof sent);
    sent.info.si_code = SI_QUEUE;
    EXPECT_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &sent));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &got.info, 0), SIGUSR1);
    EXPECT_EQ(got.info.si_signo, SIGUSR1);
    EXPECT_EQ(got.info.si_errno, 0x77777777);
    EXPECT_EQ(memcmp(got.bytes + 12, sent.bytes + 12, 36), 0);
    for (int at = 48; at < 128; at++) EXPECT_EQ(got.bytes[at], 0);
    sent.info.si_code = -100;
    EXPECT_ERRNO(E2BIG, syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &sent));
    sent.info.si_code = 99;
    EXPECT_ERRNO(E2BIG, syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &sent));
    memset(sent.bytes + 48, 0, 80);
    EXPECT_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &sent));
}

/* A forged SI_TIMER is no timer's. */
TEST(a_forged_timer_signal_leaves_timers_alone) {
    int id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    block(SIGUSR1);
    ASSERT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    struct itimerspec later = {.it_value = {100, 0}}, now;
    ASSERT_OK(syscall(SYS_timer_settime, id, 0, &later, NULL));
    siginfo_t info = {.si_code = SI_TIMER}, got;
    info.si_timerid = id, info.si_overrun = 33, info.si_value.sival_int = 5;
    ASSERT_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &got, 0), SIGUSR1);
    EXPECT_EQ(got.si_overrun, 33);
    EXPECT_EQ(got.si_timerid, id);
    ASSERT_OK(syscall(SYS_timer_gettime, id, &now));
    EXPECT_TRUE(now.it_value.tv_sec >= 99);
    /* Nor does deleting the timer take it back. */
    ASSERT_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
    ASSERT_OK(syscall(SYS_timer_delete, id));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &got, 0), SIGUSR1);
}

TEST(a_signal_to_a_stopped_process_waits) {
    pid_t pid = waiting_child();
    kill(pid, SIGSTOP);
    ASSERT_TRUE(wait_state(pid, pid, 'T'));
    kill(pid, SIGTERM);
    sleep_ms(10);
    EXPECT_EQ(state_of(pid, pid), 'T');
    kill(pid, SIGCONT);
    EXPECT_SIGNALED(SIGTERM, end_of(pid));
}
TEST(kill_ends_a_stopped_process) {
    pid_t pid = waiting_child();
    kill(pid, SIGSTOP);
    ASSERT_TRUE(wait_state(pid, pid, 'T'));
    kill(pid, SIGKILL);
    EXPECT_SIGNALED(SIGKILL, end_of(pid));
}
