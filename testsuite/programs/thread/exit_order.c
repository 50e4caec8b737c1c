/* How threads and processes end: what is done, in which order, and who is told. */
#include "tasks.h"
#include <sys/file.h>

static int set_and_end(void *arg) {
    if (arg) store(arg, 1);
    raw_exit(0);
}
static int wait_for_go(void *arg) {
    while (!load(arg)) usleep(200);
    return 0;
}

/* --- The cleared thread id --- */

TEST(cleartid_of_a_thread) {
    static int word, ran;
    word = 123;
    ASSERT_OK(clone_on_stack(set_and_end, &ran, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &word));
    wait_cleared(&word);
    EXPECT_EQ(ran, 1);
}

TEST(cleartid_of_a_process_that_shares_memory) {
    static int word;
    word = 123;
    int pid = clone_on_stack(set_and_end, NULL, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &word);
    ASSERT_OK(pid);
    wait_cleared(&word);
    EXPECT_EXITED(0, status_of(pid));
}

/* Nobody else has that memory: nobody needs to be told. */
TEST(no_cleartid_for_the_last_user_of_memory) {
    int *word = shared_page();
    *word = 123;
    pid_t pid = fork();
    if (pid == 0) {
        syscall(SYS_set_tid_address, word);
        _exit(0);
    }
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_EQ(*word, 123);
}

TEST(cleartid_at_death_by_a_signal) {
    static int word, go;
    word = 123, go = 0;
    int pid = clone_on_stack(wait_for_go, &go, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &word);
    ASSERT_OK(pid);
    kill(pid, SIGKILL);
    wait_cleared(&word);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}

/* A process of two threads in this memory; exit_group ends both. */
static int second_word, first_word, group_go;
static int two_threads(void *arg) {
    (void)arg;
    static char stack[STACK_SIZE] __attribute__((aligned(16)));
    clone(wait_for_go, stack + sizeof stack, THREAD_FLAGS | CLONE_CHILD_CLEARTID, &group_go, NULL, NULL, &second_word);
    syscall(SYS_exit_group, 3);
    return 0;
}
TEST(cleartid_of_every_thread_of_a_group) {
    first_word = second_word = 123;
    int pid = clone_on_stack(two_threads, NULL, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &first_word);
    ASSERT_OK(pid);
    EXPECT_EXITED(3, status_of(pid));
    EXPECT_EQ(load(&first_word), 0);
    EXPECT_EQ(load(&second_word), 0);
}

TEST(set_tid_address_takes_anything) {
    static int word;
    EXPECT_EQ(syscall(SYS_set_tid_address, NULL), gettid_raw());
    EXPECT_EQ(syscall(SYS_set_tid_address, BAD_PTR), gettid_raw());
    EXPECT_EQ(syscall(SYS_set_tid_address, &word), gettid_raw());
}

static int moved_words[2];
static int move_word(void *arg) {
    syscall(SYS_set_tid_address, &moved_words[1]);
    return arg != NULL;
}
TEST(the_last_address_set_counts) {
    moved_words[0] = moved_words[1] = 9;
    int pid = clone_on_stack(move_word, NULL, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &moved_words[0]);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_EQ(moved_words[0], 9);
    EXPECT_EQ(moved_words[1], 0);
}

TEST(a_bad_address_is_no_trouble) {
    int pid = clone_on_stack(set_and_end, NULL, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, BAD_PTR);
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
}

/* --- Order: robust list, cleared id, vfork's parent --- */

static struct {
    struct { void *next; long offset; void *pending; } head;
    struct { void *next; int word; } lock;
    int tid_word;
} robust;
static int end_with_a_lock(void *arg) {
    (void)arg;
    robust.head.next = &robust.lock;
    robust.head.offset = (char *)&robust.lock.word - (char *)&robust.lock;
    robust.head.pending = NULL;
    robust.lock.next = &robust.head;
    syscall(SYS_set_robust_list, &robust.head, sizeof robust.head);
    store(&robust.lock.word, gettid_raw());
    return 0;
}
TEST(robust_list_before_cleartid) {
    for (int i = 0; i < 20; i++) {
        robust.tid_word = 1;
        ASSERT_OK(clone_on_stack(end_with_a_lock, NULL, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &robust.tid_word));
        wait_cleared(&robust.tid_word);
        EXPECT_EQ(load(&robust.lock.word), FUTEX_OWNER_DIED);
    }
}

TEST(all_is_done_before_vfork_returns) {
    robust.tid_word = 1;
    int pid = clone_on_stack(end_with_a_lock, NULL, CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, NULL,
                             &robust.tid_word);
    ASSERT_OK(pid);
    EXPECT_EQ(robust.tid_word, 0);
    EXPECT_EQ(robust.lock.word, FUTEX_OWNER_DIED);
    EXPECT_EXITED(0, status_of(pid));
}

/* --- What a parent finds when it is told --- */

TEST(files_are_closed_before_the_parent_is_told) {
    for (int i = 0; i < 30; i++) {
        int ends[2];
        char c;
        ASSERT_OK(pipe2(ends, O_NONBLOCK));
        pid_t pid = exiting_child(0);
        close(ends[1]);
        EXPECT_EXITED(0, status_of(pid));
        EXPECT_EQ(read(ends[0], &c, 1), 0);
        close(ends[0]);
    }
}

TEST(locks_are_gone_when_the_parent_is_told) {
    make_file("lock", "x");
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int fd = open("lock", O_RDWR);
            struct flock whole = {.l_type = F_WRLCK};
            _exit(flock(fd, LOCK_EX) == 0 && fcntl(fd, F_SETLK, &whole) == 0 ? 0 : 1);
        }
        EXPECT_EXITED(0, status_of(pid));
        int fd = open("lock", O_RDWR);
        struct flock whole = {.l_type = F_WRLCK};
        EXPECT_OK(flock(fd, LOCK_EX | LOCK_NB));
        EXPECT_OK(fcntl(fd, F_SETLK, &whole));
        close(fd);
    }
}

TEST(a_zombie_still_has_a_number) {
    pid_t pid = zombie_child(4);
    EXPECT_OK(kill(pid, 0));
    EXPECT_OK(kill(pid, SIGTERM));
    EXPECT_OK(syscall(SYS_tgkill, pid, pid, 0));
    EXPECT_EQ(getpgid(pid), getpgrp());
    EXPECT_EQ(getsid(pid), getsid(0));
    EXPECT_EQ(state_of(pid, pid), 'Z');
    EXPECT_EXITED(4, status_of(pid));
    EXPECT_ERRNO(ESRCH, kill(pid, 0));
    EXPECT_ERRNO(ESRCH, syscall(SYS_tgkill, pid, pid, 0));
    EXPECT_ERRNO(ESRCH, getpgid(pid));
    EXPECT_EQ(state_of(pid, pid), 0);
}

TEST(a_zombie_s_limits_and_priority_can_be_asked) {
    struct rlimit limit;
    pid_t pid = zombie_child(4);
    EXPECT_OK(syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, NULL, &limit));
    EXPECT_OK(getpriority(PRIO_PROCESS, pid));
    EXPECT_EQ(sched_getscheduler(pid), SCHED_OTHER);
    EXPECT_EXITED(4, status_of(pid));
    EXPECT_ERRNO(ESRCH, syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, NULL, &limit));
    EXPECT_ERRNO(ESRCH, getpriority(PRIO_PROCESS, pid));
    EXPECT_ERRNO(ESRCH, sched_getscheduler(pid));
}

/* --- Statuses --- */

TEST(only_eight_bits_of_a_code) {
    pid_t pid = fork();
    if (pid == 0) syscall(SYS_exit_group, 0x1234);
    EXPECT_EQ(status_of(pid), 0x34 << 8);
    pid = fork();
    if (pid == 0) syscall(SYS_exit, -1);
    EXPECT_EQ(status_of(pid), 0xff << 8);
}

static int *go_page;
static void *end_after_go(void *code) {
    while (!load(go_page)) usleep(200);
    syscall(SYS_exit, (long)code);
    return NULL;
}
/* A process whose leader ends with `first`, another thread with `last` when go_page says so. */
static pid_t leader_ends_first(int first, long last) {
    go_page = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, end_after_go, (void *)last);
        syscall(SYS_exit, first);
    }
    ASSERT_OK(pid);
    return pid;
}

TEST(the_last_thread_s_code_is_the_process_s) {
    pid_t pid = leader_ends_first(17, 23);
    UNTIL(state_of(pid, pid) == 'Z');
    store(go_page, 1);
    EXPECT_EXITED(23, status_of(pid));
}

static volatile siginfo_t child_info;
static volatile int children_told;
static void on_child(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    memcpy((void *)&child_info, info, sizeof child_info);
    children_told++;
}
TEST(a_dead_leader_is_not_reported_before_the_last_thread_ends) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = leader_ends_first(17, 23);
    UNTIL(state_of(pid, pid) == 'Z');
    siginfo_t info;
    info.si_pid = 1;
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT));
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_EQ(children_told, 0);
    EXPECT_OK(kill(pid, 0));
    int fd = pidfd_open_raw(pid, 0);
    ASSERT_OK(fd);
    EXPECT_EQ(poll_now(fd), 0);
    store(go_page, 1);
    EXPECT_TRUE(poll_wait(fd) & POLLIN);
    UNTIL(children_told == 1);
    EXPECT_EQ(child_info.si_pid, pid);
    EXPECT_EQ(child_info.si_code, CLD_EXITED);
    EXPECT_EQ(child_info.si_status, 23);
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED));
    EXPECT_EQ(info.si_status, 23);
}

TEST(a_dead_leader_s_process_takes_signals) {
    pid_t pid = leader_ends_first(1, 2);
    UNTIL(state_of(pid, pid) == 'Z');
    EXPECT_OK(kill(pid, SIGTERM));
    EXPECT_SIGNALED(SIGTERM, status_of(pid));
}

TEST(a_dead_leader_s_process_is_stopped_and_continued) {
    int status;
    pid_t pid = leader_ends_first(1, 2);
    UNTIL(state_of(pid, pid) == 'Z');
    EXPECT_OK(kill(pid, SIGSTOP));
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_EQ(status, SIGSTOP << 8 | 0x7f);
    EXPECT_OK(kill(pid, SIGCONT));
    EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
    EXPECT_EQ(status, 0xffff);
    EXPECT_OK(kill(pid, SIGKILL));
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}

static void *exit_group_now(void *code) {
    syscall(SYS_exit_group, (long)code);
    return NULL;
}
TEST(exit_group_after_the_leader_has_gone) {
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, exit_group_now, (void *)77L);
        syscall(SYS_exit, 1);
    }
    EXPECT_EXITED(77, status_of(pid));
}

static pthread_barrier_t start;
static void *race_to_exit(void *code) {
    pthread_barrier_wait(&start);
    syscall(SYS_exit_group, (long)code);
    return NULL;
}
TEST(the_first_exit_group_wins) {
    for (int round = 0; round < 15; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            pthread_barrier_init(&start, NULL, 6);
            for (long i = 1; i < 6; i++) pthread_create(&thread, NULL, race_to_exit, (void *)(100 + i));
            race_to_exit((void *)100L);
        }
        int status = status_of(pid);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) >= 100 && WEXITSTATUS(status) < 106);
    }
}

static void *count_up(void *counter) {
    for (;;) __atomic_add_fetch((long *)counter, 1, __ATOMIC_RELAXED);
    return NULL;
}
TEST(no_thread_runs_on_after_exit_group) {
    long *counter = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, count_up, counter + 8 * i);
        while (!__atomic_load_n(counter, __ATOMIC_RELAXED)) usleep(100);
        syscall(SYS_exit_group, 5);
    }
    EXPECT_EXITED(5, status_of(pid));
    long before[4], sum = 0;
    for (int i = 0; i < 4; i++) before[i] = __atomic_load_n(counter + 8 * i, __ATOMIC_RELAXED);
    sleep_ms(5);
    for (int i = 0; i < 4; i++) sum += __atomic_load_n(counter + 8 * i, __ATOMIC_RELAXED) - before[i];
    EXPECT_EQ(sum, 0);
}

static void *die_by_signal(void *unused) {
    signal(SIGUSR1, SIG_DFL);
    raise(SIGUSR1);
    return unused;
}
TEST(a_fatal_signal_in_a_thread_is_the_process_s_status) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, die_by_signal, NULL);
        for (;;) pause();
    }
    UNTIL(children_told == 1);
    EXPECT_EQ(child_info.si_code, CLD_KILLED);
    EXPECT_EQ(child_info.si_status, SIGUSR1);
    EXPECT_EQ(status_of(pid), SIGUSR1);
}

/* --- Clone against the end of its group --- */

static int spawn_more(void *arg);
static void *spawner(void *unused) {
    for (;;) {
        static char stacks[64][4096] __attribute__((aligned(16)));
        static int at;
        int n = __atomic_fetch_add(&at, 1, __ATOMIC_RELAXED) & 63;
        clone(spawn_more, stacks[n] + 4096, THREAD_FLAGS, unused, NULL, NULL, NULL);
    }
    return unused;
}
static int spawn_more(void *arg) {
    (void)arg;
    raw_exit(0);
}
TEST(threads_made_while_the_group_ends) {
    for (int round = 0; round < 15; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            pthread_create(&thread, NULL, spawner, NULL);
            usleep(500 * (round % 4));
            syscall(SYS_exit_group, 9);
        }
        EXPECT_EXITED(9, status_of(pid));
        EXPECT_ERRNO(ESRCH, kill(pid, 0));
    }
}

TEST(threads_made_while_the_group_is_killed_or_stopped) {
    for (int round = 0; round < 10; round++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            spawner(NULL);
        }
        usleep(500 * (round % 4));
        kill(pid, SIGSTOP);
        ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
        EXPECT_TRUE(WIFSTOPPED(status));
        if (round & 1) {
            kill(pid, SIGCONT);
            ASSERT_EQ(waitpid(pid, &status, WCONTINUED), pid);
        }
        kill(pid, SIGKILL);
        EXPECT_SIGNALED(SIGKILL, status_of(pid));
    }
}
