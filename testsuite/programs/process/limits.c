/* RLIMIT_NPROC, and the rules of prlimit(2). */
#include "tasks.h"

static int prlimit_raw(pid_t pid, unsigned resource, void *new, void *old) {
    return syscall(SYS_prlimit64, pid, resource, new, old);
}
static void set_soft(rlim_t soft) {
    struct rlimit limit;
    ASSERT_OK(getrlimit(RLIMIT_NPROC, &limit));
    limit.rlim_cur = soft;
    ASSERT_OK(setrlimit(RLIMIT_NPROC, &limit));
}
static int do_nothing(void *arg) { return arg != NULL; }

/* --- Numbers of tasks --- */

TEST(no_more_processes) {
    be_unprivileged();
    set_soft(0);
    EXPECT_ERRNO(EAGAIN, fork());
    EXPECT_ERRNO(EAGAIN, vfork());
    set_soft(1);
    EXPECT_ERRNO(EAGAIN, fork());
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL));
}

TEST(threads_count_as_well) {
    static int word = 123;
    be_unprivileged();
    set_soft(0);
    EXPECT_ERRNO(EAGAIN, clone_on_stack(do_nothing, NULL, THREAD_FLAGS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID, &word, &word));
    EXPECT_EQ(word, 123);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, (void *(*)(void *))(void *)do_nothing, NULL), EAGAIN);
}

TEST(a_refusal_leaves_nothing) {
    int pidfd = 55, parent_tid = 66, before = count_fds();
    be_unprivileged();
    set_soft(0);
    struct clone3_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .exit_signal = SIGCHLD};
    args.pidfd = (uintptr_t)&pidfd;
    args.parent_tid = (uintptr_t)&parent_tid;
    EXPECT_ERRNO(EAGAIN, raw_clone3(&args, CLONE3_SIZE));
    EXPECT_EQ(pidfd, 55);
    EXPECT_EQ(parent_tid, 66);
    EXPECT_EQ(count_fds(), before);
    EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL));
}

TEST(what_is_wrong_is_told_first) {
    be_unprivileged();
    set_soft(0);
    EXPECT_ERRNO(EINVAL, raw_clone(CLONE_THREAD | SIGCHLD, NULL, NULL, NULL, NULL));
    EXPECT_ERRNO(EAGAIN, raw_clone(CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL));
    EXPECT_ERRNO(EAGAIN, raw_clone(CLONE_PIDFD | SIGCHLD, NULL, BAD_PTR, NULL, NULL));
}

TEST(the_limit_is_looked_at_each_time) {
    be_unprivileged();
    struct rlimit before;
    getrlimit(RLIMIT_NPROC, &before);
    set_soft(0);
    EXPECT_ERRNO(EAGAIN, fork());
    set_soft(before.rlim_cur);
    EXPECT_EXITED(4, status_of(exiting_child(4)));
}

TEST(exec_is_not_bound_by_it) {
    be_unprivileged();
    pid_t pid = fork();
    if (pid == 0) {
        set_soft(0);
        execl("/none", "none", NULL);
        _exit(errno);
    }
    EXPECT_EXITED(ENOENT, status_of(pid));
}

TEST(exec_is_refused_to_who_became_a_user_with_too_many) {
    if (geteuid() != 0) SKIP("only root can become another user");
    /* Two of that user's: the limit is looked at before the newcomer counts. */
    int held[2];
    pid_t others[2];
    char byte;
    ASSERT_OK(pipe(held));
    for (int n = 0; n < 2; n++) {
        others[n] = fork();
        if (others[n] == 0) {
            be_unprivileged();
            ASSERT_EQ(write(held[1], "x", 1), 1);
            for (;;) pause();
        }
        ASSERT_EQ(read(held[0], &byte, 1), 1);
    }
    pid_t pid = fork();
    if (pid == 0) {
        set_soft(1);
        be_unprivileged();
        EXPECT_ERRNO(EAGAIN, execl("/none", "none", NULL));
        struct rlimit limit = {1000000, 1000000};
        getrlimit(RLIMIT_NPROC, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NPROC, &limit);
        EXPECT_ERRNO(ENOENT, execl("/none", "none", NULL));
        /* Once let through, it is not looked at again. */
        set_soft(0);
        EXPECT_ERRNO(ENOENT, execl("/none", "none", NULL));
        _exit(check_failures != 0);
    }
    EXPECT_EXITED(0, status_of(pid));
    for (int n = 0; n < 2; n++) {
        EXPECT_OK(kill(others[n], SIGKILL));
        EXPECT_SIGNALED(SIGKILL, status_of(others[n]));
    }
}

/* How many children there may be under a limit; they stay. Others of this user
 * come and go meanwhile, so the rest is judged with a distance. */
static int fill(rlim_t *limit, pid_t *pids, int wanted) {
    int made = 0;
    for (*limit = 64;; *limit += 64) {
        set_soft(*limit);
        while (made < wanted) {
            pid_t pid = fork();
            if (pid == 0)
                for (;;) pause();
            if (pid == -1) break;
            pids[made++] = pid;
        }
        if (made == wanted || *limit > 30000) return made;
    }
}
TEST(zombies_count_until_they_are_reaped) {
    enum { MANY = 60 };
    pid_t pids[MANY];
    rlim_t limit;
    siginfo_t info;
    be_unprivileged();
    struct rlimit whole;
    getrlimit(RLIMIT_NPROC, &whole);
    if (whole.rlim_max < 1000) SKIP("the hard limit is too low");
    ASSERT_EQ(fill(&limit, pids, MANY), MANY);
    /* The lowest limit that lets one more process in, less half of the children. */
    for (;;) {
        set_soft(limit);
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        if (pid == -1) break;
        status_of(pid);
        limit -= 1;
    }
    limit -= MANY / 2;
    set_soft(limit);
    EXPECT_ERRNO(EAGAIN, fork());
    for (int i = 0; i < MANY; i++) {
        kill(pids[i], SIGKILL);
        EXPECT_OK(waitid(P_PID, pids[i], &info, WEXITED | WNOWAIT));
    }
    EXPECT_ERRNO(EAGAIN, fork());
    for (int i = 0; i < MANY; i++) EXPECT_SIGNALED(SIGKILL, status_of(pids[i]));
    EXPECT_EXITED(1, status_of(exiting_child(1)));
}
/* --- prlimit(2) --- */

TEST(resources_that_do_not_exist) {
    struct rlimit limit = {1, 2};
    EXPECT_ERRNO(EINVAL, prlimit_raw(0, 16, NULL, &limit));
    EXPECT_ERRNO(EINVAL, prlimit_raw(0, 16, &limit, NULL));
    EXPECT_ERRNO(EINVAL, prlimit_raw(0, -1, NULL, NULL));
    EXPECT_ERRNO(EINVAL, getrlimit(16, &limit));
    EXPECT_ERRNO(EINVAL, setrlimit(16, &limit));
    EXPECT_OK(prlimit_raw(0, 15, NULL, NULL));
}

TEST(order_of_errors) {
    struct rlimit wrong = {2, 1};
    EXPECT_ERRNO(EFAULT, prlimit_raw(0x3ffffff, 99, BAD_PTR, NULL));
    EXPECT_ERRNO(ESRCH, prlimit_raw(0x3ffffff, 99, &wrong, NULL));
    EXPECT_ERRNO(ESRCH, prlimit_raw(-1, RLIMIT_NOFILE, NULL, NULL));
    EXPECT_ERRNO(EINVAL, prlimit_raw(0, RLIMIT_NOFILE, &wrong, BAD_PTR));
    EXPECT_ERRNO(EFAULT, prlimit_raw(0, RLIMIT_NOFILE, NULL, BAD_PTR));
}

TEST(a_bad_place_for_the_old_limit_comes_too_late) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 77;
    EXPECT_ERRNO(EFAULT, prlimit_raw(0, RLIMIT_NOFILE, &limit, BAD_PTR));
    getrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_EQ(limit.rlim_cur, 77);
}

TEST(soft_above_hard) {
    struct rlimit limit = {10, 9};
    EXPECT_ERRNO(EINVAL, setrlimit(RLIMIT_NPROC, &limit));
    limit.rlim_cur = RLIM_INFINITY;
    EXPECT_ERRNO(EINVAL, setrlimit(RLIMIT_NOFILE, &limit));
}

TEST(the_hard_limit_goes_down_only) {
    be_unprivileged();
    struct rlimit limit = {100, 200}, seen;
    ASSERT_OK(setrlimit(RLIMIT_NPROC, &limit));
    limit.rlim_max = 201;
    EXPECT_ERRNO(EPERM, setrlimit(RLIMIT_NPROC, &limit));
    limit = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    EXPECT_ERRNO(EPERM, setrlimit(RLIMIT_NPROC, &limit));
    limit = (struct rlimit){200, 200};
    EXPECT_OK(prlimit_raw(0, RLIMIT_NPROC, &limit, &seen));
    EXPECT_EQ(seen.rlim_cur, 100);
    EXPECT_EQ(seen.rlim_max, 200);
    limit = (struct rlimit){150, 150};
    EXPECT_OK(setrlimit(RLIMIT_NPROC, &limit));
    getrlimit(RLIMIT_NPROC, &seen);
    EXPECT_EQ(seen.rlim_max, 150);
}

TEST(limits_of_a_child) {
    struct rlimit limit = {40, 50}, seen;
    pid_t pid = idle_child();
    EXPECT_OK(prlimit_raw(pid, RLIMIT_NOFILE, &limit, NULL));
    EXPECT_OK(prlimit_raw(pid, RLIMIT_NOFILE, NULL, &seen));
    EXPECT_EQ(seen.rlim_cur, 40);
    EXPECT_EQ(seen.rlim_max, 50);
    getrlimit(RLIMIT_NOFILE, &seen);
    EXPECT_NE(seen.rlim_cur, 40);
    end_child(pid);
    EXPECT_ERRNO(ESRCH, prlimit_raw(pid, RLIMIT_NOFILE, NULL, &seen));
}

TEST(limits_of_another_user) {
    if (geteuid() == 0) SKIP("root may change anybody's");
    if (kill(1, 0) == -1 && errno == ESRCH) SKIP("there is no process of another user");
    struct rlimit seen;
    EXPECT_ERRNO(EPERM, prlimit_raw(1, RLIMIT_NOFILE, NULL, &seen));
}
