/* Pending signals: two queues, their order, what collapses, what counts
 * (signal(7), sigqueue(3), setrlimit(2)). */
#include "signals.h"

static const uint64_t ALL = ~0ull;

TEST(every_ordinary_signal_collapses) {
    for (int sig = 1; sig < KERNEL_SIGRTMIN; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU || sig == SIGCONT)
            continue;
        block(sig);
        for (int i = 1; i <= 3; i++) EXPECT_OK(raw_queue(getpid(), sig, SI_QUEUE, i));
        siginfo_t info;
        EXPECT_EQ(timed_wait(BIT(sig), &info, 0), sig);
        EXPECT_EQ(info.si_value.sival_int, 1);
        EXPECT_ERRNO(EAGAIN, timed_wait(BIT(sig), &info, 0));
    }
}

TEST(every_real_time_signal_queues_in_order) {
    for (int sig = KERNEL_SIGRTMIN; sig <= KERNEL_SIGRTMAX; sig++) {
        block(sig);
        for (int i = 1; i <= 3; i++) EXPECT_OK(raw_queue(getpid(), sig, SI_QUEUE, 1000 * sig + i));
    }
    siginfo_t info;
    for (int sig = KERNEL_SIGRTMIN; sig <= KERNEL_SIGRTMAX; sig++)
        for (int i = 1; i <= 3; i++) {
            EXPECT_EQ(timed_wait(ALL, &info, 0), sig);
            EXPECT_EQ(info.si_value.sival_int, 1000 * sig + i);
            EXPECT_EQ(info.si_code, SI_QUEUE);
            EXPECT_EQ(info.si_pid, getpid());
            EXPECT_EQ(info.si_uid, getuid());
        }
    EXPECT_EQ(pending_now(), 0);
}

TEST(thirty_two_is_real_time_and_thirty_one_is_not) {
    raw_mask(SIG_SETMASK, ALL, NULL);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(kill(getpid(), 31));
        EXPECT_OK(kill(getpid(), 32));
    }
    EXPECT_EQ(timed_wait(ALL, NULL, 0), 31);
    EXPECT_EQ(timed_wait(ALL, NULL, 0), 32);
    EXPECT_EQ(timed_wait(ALL, NULL, 0), 32);
    EXPECT_ERRNO(EAGAIN, timed_wait(ALL, NULL, 0));
}

TEST(the_threads_queue_comes_before_the_processs) {
    raw_mask(SIG_SETMASK, ALL, NULL);
    /* Even a higher number, since the thread's queue is looked at first. */
    EXPECT_OK(kill(getpid(), SIGUSR1));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), gettid(), 40));
    EXPECT_OK(kill(getpid(), 39));
    EXPECT_EQ(timed_wait(ALL, NULL, 0), SIGUSR2);
    EXPECT_EQ(timed_wait(ALL, NULL, 0), 40);
    EXPECT_EQ(timed_wait(ALL, NULL, 0), SIGUSR1);
    EXPECT_EQ(timed_wait(ALL, NULL, 0), 39);
}

TEST(one_signal_may_pend_in_both_queues) {
    siginfo_t info;
    block(SIGUSR1);
    EXPECT_OK(kill(getpid(), SIGUSR1));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    EXPECT_OK(kill(getpid(), SIGUSR1));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 0), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_TKILL);
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 0), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_USER);
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(SIGUSR1), &info, 0));
}

TEST(faults_by_number_come_first) {
    raw_mask(SIG_SETMASK, ALL, NULL);
    int sent[] = {SIGHUP, SIGSEGV, SIGTRAP, SIGUSR1, SIGSYS, SIGBUS, SIGILL, SIGFPE, 50};
    int taken[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGHUP, SIGUSR1, 50};
    for (int i = 0; i < 9; i++) EXPECT_OK(kill(getpid(), sent[i]));
    for (int i = 0; i < 9; i++) EXPECT_EQ(timed_wait(ALL, NULL, 0), taken[i]);
}

TEST(handlers_run_lowest_first_when_they_block_the_rest) {
    int sent[] = {60, SIGUSR2, 34, SIGHUP, 35}, order[] = {SIGHUP, SIGUSR2, 34, 35, 60};
    for (int i = 0; i < 5; i++) catch_alone(sent[i]);
    raw_mask(SIG_SETMASK, ALL, NULL);
    for (int i = 0; i < 5; i++) kill(getpid(), sent[i]);
    raw_mask(SIG_SETMASK, 0, NULL);
    EXPECT_EQ(seen, 5);
    for (int i = 0; i < 5; i++) EXPECT_EQ(seen_signal[i], order[i]);
}

/* Handlers that block nothing stack up: the last frame built runs first. */
TEST(handlers_that_block_nothing_stack_up) {
    int sent[] = {SIGHUP, SIGUSR2, 34, 35};
    for (int i = 0; i < 4; i++) catch_with(sent[i], SA_NODEFER);
    raw_mask(SIG_SETMASK, ALL, NULL);
    for (int i = 0; i < 4; i++) kill(getpid(), sent[i]);
    raw_mask(SIG_SETMASK, 0, NULL);
    EXPECT_EQ(seen, 4);
    for (int i = 0; i < 4; i++) EXPECT_EQ(seen_signal[i], sent[3 - i]);
}

TEST(a_sender_of_zero_length_leaves_values_alone) {
    /* What kill(2) sends has no value. */
    siginfo_t info;
    memset(&info, 0x5a, sizeof info);
    block(45);
    EXPECT_OK(kill(getpid(), 45));
    EXPECT_EQ(timed_wait(BIT(45), &info, 0), 45);
    EXPECT_TRUE(info.si_value.sival_ptr == NULL);
    const unsigned char *bytes = (const unsigned char *)&info;
    for (size_t i = 24; i < 128; i++) EXPECT_EQ(bytes[i], 0);
    EXPECT_EQ(info.si_errno, 0);
}

static int queued_for_user(void) {
    char text[4096], *at;
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    at = strstr(text, "SigQ:");
    return at ? atoi(at + 5) : -1;
}
static void limit_pending(rlim_t soft) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(RLIMIT_SIGPENDING, &limit));
    limit.rlim_cur = soft;
    ASSERT_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
}

TEST(no_room_refuses_queued_forms) {
    limit_pending(0);
    block(40);
    EXPECT_ERRNO(EAGAIN, raw_queue(getpid(), 40, SI_QUEUE, 1));
    EXPECT_EQ(is_pending(40), 0);
    siginfo_t info = {.si_code = SI_QUEUE};
    EXPECT_ERRNO(EAGAIN, syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 40, &info));
    /* tgkill is no kill: its real-time signals must queue. */
    EXPECT_ERRNO(EAGAIN, syscall(SYS_tgkill, getpid(), gettid(), 40));
    EXPECT_ERRNO(EAGAIN, syscall(SYS_tkill, gettid(), 40));
    EXPECT_EQ(is_pending(40), 0);
}

TEST(no_room_makes_kill_lose_its_sender) {
    siginfo_t info;
    limit_pending(0);
    block(40);
    for (int i = 0; i < 3; i++) EXPECT_OK(kill(getpid(), 40));
    EXPECT_EQ(timed_wait(BIT(40), &info, 0), 40);
    EXPECT_EQ(info.si_signo, 40);
    EXPECT_EQ(info.si_code, SI_USER);
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_EQ(info.si_uid, 0);
    /* Three became one. */
    EXPECT_ERRNO(EAGAIN, timed_wait(BIT(40), &info, 0));
}

TEST(no_room_never_stops_ordinary_signals) {
    siginfo_t info;
    limit_pending(0);
    block(SIGUSR1);
    EXPECT_OK(kill(getpid(), SIGUSR1));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 0), SIGUSR1);
    EXPECT_EQ(info.si_pid, getpid());
    /* A queued ordinary one arrives, but says nothing. */
    EXPECT_OK(raw_queue(getpid(), SIGUSR1, SI_QUEUE, 77));
    EXPECT_EQ(timed_wait(BIT(SIGUSR1), &info, 0), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_USER);
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_EQ(info.si_value.sival_int, 0);
}

/* Others of this user may queue meanwhile, so a miss is tried again. */
TEST(the_limit_counts_what_is_queued) {
    int accepted = 0;
    block(40), block(SIGUSR2);
    for (int attempt = 0; attempt < 50 && accepted != 5; attempt++) {
        int base = queued_for_user();
        ASSERT_TRUE(base >= 0);
        limit_pending(base + 6);
        accepted = 0;
        /* Ordinary signals take room as well. */
        kill(getpid(), SIGUSR2);
        while (raw_queue(getpid(), 40, SI_QUEUE, accepted) == 0) accepted++;
        EXPECT_EQ(errno, EAGAIN);
        while (timed_wait(BIT(40) | BIT(SIGUSR2), NULL, 0) > 0) {}
    }
    EXPECT_EQ(accepted, 5);
}

static void hold_three(void *go) {
    char c;
    int *ends = go;
    block(41);
    for (int i = 0; i < 3; i++) ASSERT_OK(raw_queue(getpid(), 41, SI_QUEUE, i));
    ASSERT_EQ(write(ends[1], "k", 1), 1);
    EXPECT_EQ(read(ends[2], &c, 1), 0);
}
TEST(the_limit_counts_all_processes_of_the_user) {
    int difference = 0;
    for (int attempt = 0; attempt < 20 && difference != 3; attempt++) {
        int told[2], hold[2];
        char c;
        ASSERT_OK(pipe(told));
        ASSERT_OK(pipe(hold));
        int before = queued_for_user();
        pid_t pid = fork();
        if (pid == 0) {
            int ends[3] = {0, told[1], hold[0]};
            close(hold[1]);
            hold_three(ends);
            _exit(0);
        }
        ASSERT_EQ(read(told[0], &c, 1), 1);
        difference = queued_for_user() - before;
        close(hold[1]);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
        for (int i = 0; i < 2; i++) close(told[i]), close(hold[0]);
    }
    EXPECT_EQ(difference, 3);
}

TEST(taking_a_signal_gives_its_room_back) {
    limit_pending(queued_for_user() + 20);
    block(40);
    for (int i = 0; i < 200; i++) {
        ASSERT_OK(raw_queue(getpid(), 40, SI_QUEUE, i));
        ASSERT_EQ(timed_wait(BIT(40), NULL, 0), 40);
    }
}

TEST(flushing_gives_room_back) {
    limit_pending(queued_for_user() + 20);
    block(40);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 10; k++) ASSERT_OK(raw_queue(getpid(), 40, SI_QUEUE, i));
        signal(40, SIG_IGN);
        EXPECT_EQ(is_pending(40), 0);
        signal(40, SIG_DFL);
    }
}

TEST(a_child_begins_with_nothing_pending) {
    block(SIGUSR1), block(40);
    kill(getpid(), SIGUSR1);
    raise(40);
    pid_t pid = fork();
    if (pid == 0) _exit(pending_now() != 0 || mask_now() != (BIT(SIGUSR1) | BIT(40)));
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
    EXPECT_EQ(pending_now() & (BIT(SIGUSR1) | BIT(40)), BIT(SIGUSR1) | BIT(40));
}

TEST(ignored_signals_are_dropped_unless_blocked) {
    signal(SIGUSR1, SIG_IGN);
    kill(getpid(), SIGUSR1);
    block(SIGUSR1);
    EXPECT_EQ(is_pending(SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(is_pending(SIGUSR1), 1);
    unblock(SIGUSR1);
    EXPECT_EQ(is_pending(SIGUSR1), 0);
}

TEST(ignored_by_default_is_ignored) {
    int quiet[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
    for (int i = 0; i < 4; i++) {
        block(quiet[i]);
        kill(getpid(), quiet[i]);
        EXPECT_EQ(is_pending(quiet[i]), 1);
        /* Setting the default again forgets it. */
        signal(quiet[i], SIG_DFL);
        EXPECT_EQ(is_pending(quiet[i]), 0);
    }
}

TEST(setting_a_handler_keeps_what_is_pending) {
    block(SIGUSR1), block(40);
    kill(getpid(), SIGUSR1);
    raw_queue(getpid(), 40, SI_QUEUE, 9);
    catch_with(SIGUSR1, 0), catch_with(40, 0);
    EXPECT_EQ(pending_now(), BIT(SIGUSR1) | BIT(40));
    signal(SIGUSR1, SIG_DFL), signal(40, SIG_DFL);
    EXPECT_EQ(pending_now(), BIT(SIGUSR1) | BIT(40));
    catch_with(SIGUSR1, 0), catch_with(40, 0);
    unblock(SIGUSR1), unblock(40);
    EXPECT_EQ(seen, 2);
    EXPECT_EQ(seen_info[1].si_value.sival_int, 9);
}

static volatile int thread_tid, thread_go;
static void *pending_thread(void *arg) {
    thread_tid = gettid();
    wait_value(&thread_go, 1);
    *(uint64_t *)arg = pending_now();
    thread_go = 2;
    wait_value(&thread_go, 3);
    *(uint64_t *)arg = pending_now();
    return NULL;
}
TEST(ignoring_flushes_all_threads_queues) {
    pthread_t thread;
    uint64_t got = 0;
    block(SIGUSR1), block(SIGUSR2);
    pthread_create(&thread, NULL, pending_thread, &got);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    EXPECT_OK(syscall(SYS_tgkill, getpid(), thread_tid, SIGUSR1));
    EXPECT_OK(kill(getpid(), SIGUSR2));
    thread_go = 1;
    ASSERT_TRUE(wait_value(&thread_go, 2));
    /* Its own and the process's; here only the process's shows. */
    EXPECT_EQ(got, BIT(SIGUSR1) | BIT(SIGUSR2));
    EXPECT_EQ(pending_now(), BIT(SIGUSR2));
    signal(SIGUSR1, SIG_IGN);
    thread_go = 3;
    pthread_join(thread, NULL);
    EXPECT_EQ(got, BIT(SIGUSR2));
}

/* SIGCONT and the stop signals cancel each other, whatever handles or blocks them. */
TEST(cont_flushes_stop_signals) {
    int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    raw_mask(SIG_SETMASK, ALL, NULL);
    for (int i = 0; i < 3; i++) kill(getpid(), stops[i]);
    EXPECT_EQ(pending_now(), BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU));
    kill(getpid(), SIGCONT);
    EXPECT_EQ(pending_now(), BIT(SIGCONT));
    syscall(SYS_tgkill, getpid(), gettid(), SIGTSTP);
    EXPECT_EQ(pending_now(), BIT(SIGTSTP));
    syscall(SYS_tgkill, getpid(), gettid(), SIGCONT);
    EXPECT_EQ(pending_now(), BIT(SIGCONT));
}

TEST(an_ignored_cont_still_flushes) {
    signal(SIGCONT, SIG_IGN);
    block(SIGTSTP);
    kill(getpid(), SIGTSTP);
    EXPECT_EQ(pending_now(), BIT(SIGTSTP));
    kill(getpid(), SIGCONT);
    EXPECT_EQ(pending_now(), 0);
}

TEST(an_ignored_stop_still_flushes_cont) {
    signal(SIGTTIN, SIG_IGN);
    block(SIGCONT);
    kill(getpid(), SIGCONT);
    EXPECT_EQ(pending_now(), BIT(SIGCONT));
    kill(getpid(), SIGTTIN);
    EXPECT_EQ(pending_now(), 0);
}

/* Process signals go to a thread that takes them; the main one when it does. */
static volatile int taken_by;
static void note_thread(int sig) {
    (void)sig;
    taken_by = gettid();
}
static volatile int idle_stop;
static void *idle(void *mask) {
    raw_mask(SIG_SETMASK, *(uint64_t *)mask, NULL);
    thread_tid = gettid();
    while (!idle_stop) sleep_ms(1);
    return NULL;
}
TEST(the_main_thread_is_preferred) {
    pthread_t thread;
    uint64_t open = 0;
    signal(SIGUSR1, note_thread);
    pthread_create(&thread, NULL, idle, &open);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    for (int i = 0; i < 20; i++) {
        taken_by = 0;
        kill(getpid(), SIGUSR1);
        for (int k = 0; k < 5000 && !taken_by; k++) usleep(100);
        EXPECT_EQ(taken_by, getpid());
    }
    idle_stop = 1;
    pthread_join(thread, NULL);
}

TEST(another_thread_takes_what_the_main_one_blocks) {
    pthread_t thread;
    uint64_t open = 0;
    signal(SIGUSR1, note_thread);
    block(SIGUSR1);
    pthread_create(&thread, NULL, idle, &open);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    for (int i = 0; i < 20; i++) {
        taken_by = 0;
        kill(getpid(), SIGUSR1);
        for (int k = 0; k < 5000 && !taken_by; k++) usleep(100);
        EXPECT_EQ(taken_by, thread_tid);
    }
    idle_stop = 1;
    pthread_join(thread, NULL);
}

/* What all block waits in the process's queue for whoever unblocks it first. */
static void *opens_later(void *unused) {
    (void)unused;
    thread_tid = gettid();
    wait_value(&thread_go, 1);
    raw_mask(SIG_UNBLOCK, BIT(SIGUSR1), NULL);
    return NULL;
}
TEST(a_process_signal_waits_for_who_unblocks_it) {
    pthread_t thread;
    signal(SIGUSR1, note_thread);
    block(SIGUSR1);
    pthread_create(&thread, NULL, opens_later, NULL);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(is_pending(SIGUSR1), 1);
    thread_go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(taken_by, thread_tid);
    EXPECT_EQ(is_pending(SIGUSR1), 0);
}

TEST(a_threads_own_signal_waits_for_it_alone) {
    pthread_t thread;
    signal(SIGUSR1, note_thread);
    block(SIGUSR1);
    pthread_create(&thread, NULL, opens_later, NULL);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    syscall(SYS_tgkill, getpid(), thread_tid, SIGUSR1);
    unblock(SIGUSR1);
    EXPECT_EQ(taken_by, 0);
    thread_go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(taken_by, thread_tid);
}

/* A thread's end drops its own queue. */
static void *ends_later(void *unused) {
    (void)unused;
    thread_tid = gettid();
    wait_value(&thread_go, 1);
    return NULL;
}
TEST(an_ended_threads_queue_is_gone) {
    pthread_t thread;
    block(SIGUSR1);
    pthread_create(&thread, NULL, ends_later, NULL);
    ASSERT_TRUE(wait_value(&thread_tid, 1));
    syscall(SYS_tgkill, getpid(), thread_tid, SIGUSR1);
    thread_go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(is_pending(SIGUSR1), 0);
}

/* Many senders, one receiver: of real-time signals none is lost. */
static void *send_many(void *arg) {
    for (int i = 0; i < 500; i++)
        while (raw_queue(getpid(), 44, SI_QUEUE, (long)arg * 1000 + i) == -1) sched_yield();
    return NULL;
}
TEST(real_time_signals_of_many_threads_all_arrive_in_each_ones_order) {
    pthread_t threads[4];
    int next[4] = {0};
    block(44);
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, send_many, (void *)i);
    for (int i = 0; i < 2000; i++) {
        siginfo_t info;
        ASSERT_EQ(timed_wait(BIT(44), &info, 5000), 44);
        int from = info.si_value.sival_int / 1000;
        ASSERT_TRUE(from >= 0 && from < 4);
        ASSERT_EQ(info.si_value.sival_int % 1000, next[from]++);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

TEST(exec_keeps_pending_signals_and_the_mask) {
    block(SIGUSR1);
    kill(getpid(), SIGUSR1);
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGUSR1);
        char self[256];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = 0;
        execl(self, self, "--no-fork", "exec_target_checks", NULL);
        _exit(9);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}
/* Run by the test above; by itself it has nothing to see. */
TEST(exec_target_checks) {
    if (!(mask_now() & BIT(SIGUSR1))) return;
    EXPECT_EQ(is_pending(SIGUSR1), 1);
}
