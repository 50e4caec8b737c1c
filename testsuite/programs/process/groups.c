/* setpgid(2), getpgid(2), setsid(2), getsid(2): process groups and sessions. */
#define CHECK_ARGS exec_mode
static int exec_mode(int argc, char **argv);
#include "tasks.h"

static int exec_mode(int argc, char **argv) {
    if (argc > 2 && write(atoi(argv[2]), "x", 1) != 1) return 1;
    if (strcmp(argv[1], "@idle") == 0)
        for (;;) pause();
    return 0;
}

static int waiting[2];
/* A child that has done `body` when this returns, and then waits. */
static pid_t child_after(void (*body)(void)) {
    char c;
    ASSERT_OK(pipe(waiting));
    pid_t pid = fork();
    if (pid == 0) {
        body();
        if (check_failures || write(waiting[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    ASSERT_OK(pid);
    close(waiting[1]);
    ASSERT_EQ(read(waiting[0], &c, 1), 1);
    close(waiting[0]);
    return pid;
}

TEST(negative_numbers) {
    EXPECT_ERRNO(EINVAL, setpgid(0, -1));
    EXPECT_ERRNO(EINVAL, setpgid(getpid(), -5));
    EXPECT_ERRNO(EINVAL, setpgid(-5, 0));
    EXPECT_ERRNO(ESRCH, setpgid(-5, 1));
    EXPECT_ERRNO(ESRCH, getpgid(-1));
    EXPECT_ERRNO(ESRCH, getsid(-1));
}

TEST(numbers_of_nobody) {
    EXPECT_ERRNO(ESRCH, setpgid(0x3ffffff, 0));
    EXPECT_ERRNO(ESRCH, getpgid(0x3ffffff));
    EXPECT_ERRNO(ESRCH, getsid(0x3ffffff));
}

TEST(a_child_inherits_both) {
    pid_t pid = idle_child();
    EXPECT_EQ(getpgid(pid), getpgrp());
    EXPECT_EQ(getsid(pid), getsid(0));
    EXPECT_EQ(getpgid(0), getpgrp());
    end_child(pid);
}

TEST(a_child_s_own_group) {
    pid_t a = idle_child(), b = idle_child();
    EXPECT_OK(setpgid(a, 0));
    EXPECT_EQ(getpgid(a), a);
    EXPECT_OK(setpgid(b, a));
    EXPECT_EQ(getpgid(b), a);
    EXPECT_OK(setpgid(b, b));
    EXPECT_EQ(getpgid(b), b);
    EXPECT_OK(setpgid(b, getpgrp()));
    EXPECT_EQ(getpgid(b), getpgrp());
    /* Again is no error. */
    EXPECT_OK(setpgid(b, getpgrp()));
    end_child(a), end_child(b);
}

static void leave(void) { EXPECT_OK(setpgid(0, 0)); }
TEST(a_process_s_own_group) {
    pid_t pid = child_after(leave);
    EXPECT_EQ(getpgid(pid), pid);
    EXPECT_EQ(getsid(pid), getsid(0));
    end_child(pid);
}

TEST(a_group_that_does_not_exist) {
    pid_t pid = idle_child();
    EXPECT_ERRNO(EPERM, setpgid(pid, 0x3ffffff));
    /* A process's number is not a group's. */
    pid_t other = idle_child();
    EXPECT_ERRNO(EPERM, setpgid(pid, other));
    end_child(pid), end_child(other);
}

static pid_t *shared;
static void make_grandchild(void) {
    shared[0] = idle_child();
}
TEST(neither_grandchildren_nor_parents) {
    shared = shared_page();
    pid_t pid = child_after(make_grandchild);
    EXPECT_ERRNO(ESRCH, setpgid(shared[0], 0));
    EXPECT_ERRNO(ESRCH, setpgid(getppid(), 0));
    EXPECT_ERRNO(ESRCH, setpgid(1, 0));
    kill(shared[0], SIGKILL);
    end_child(pid);
}

static void begin_session(void) { EXPECT_EQ(setsid(), getpid()); }
TEST(a_child_in_another_session) {
    pid_t pid = child_after(begin_session);
    EXPECT_EQ(getsid(pid), pid);
    EXPECT_EQ(getpgid(pid), pid);
    EXPECT_ERRNO(EPERM, setpgid(pid, 0));
    EXPECT_ERRNO(EPERM, setpgid(pid, getpgrp()));
    end_child(pid);
}

TEST(a_group_of_another_session) {
    pid_t far = child_after(begin_session), near = idle_child();
    EXPECT_ERRNO(EPERM, setpgid(near, far));
    end_child(far), end_child(near);
}

static void lead_a_session(void) {
    EXPECT_EQ(setsid(), getpid());
    EXPECT_ERRNO(EPERM, setpgid(0, 0));
    EXPECT_ERRNO(EPERM, setsid());
    pid_t pid = idle_child();
    EXPECT_OK(setpgid(pid, pid));
    EXPECT_ERRNO(EPERM, setpgid(0, pid));
    end_child(pid);
}
TEST(a_session_leader_stays_where_it_is) { EXPECT_EXITED(0, in_child(lead_a_session)); }

TEST(setsid_of_a_group_leader) {
    /* The runner made this process one. */
    EXPECT_EQ(getpgrp(), getpid());
    EXPECT_ERRNO(EPERM, setsid());
}

static void leave_a_group_behind(void) {
    EXPECT_OK(setpgid(0, 0));
    pid_t pid = idle_child();
    EXPECT_OK(setpgid(0, getppid()));
    EXPECT_EQ(getpgid(pid), getpid());
    /* A group has this process's number, though it is not in it. */
    EXPECT_ERRNO(EPERM, setsid());
    end_child(pid);
    EXPECT_EQ(setsid(), getpid());
}
TEST(setsid_while_a_group_has_the_number) { EXPECT_EXITED(0, in_child(leave_a_group_behind)); }

static void *session_from_a_thread(void *unused) {
    EXPECT_EQ(setsid(), getpid());
    EXPECT_EQ(getsid(0), getpid());
    return unused;
}
static void thread_begins_session(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, session_from_a_thread, NULL);
    pthread_join(thread, NULL);
    EXPECT_EQ(getsid(0), getpid());
    EXPECT_EQ(getpgrp(), getpid());
}
TEST(a_thread_acts_for_its_process) { EXPECT_EXITED(0, in_child(thread_begins_session)); }

static void *stay(void *tid) {
    store(tid, gettid_raw());
    for (;;) pause();
    return NULL;
}
static int thread_tid;
static void number_of_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, stay, &thread_tid);
    UNTIL(load(&thread_tid) != 0);
    EXPECT_ERRNO(EINVAL, setpgid(thread_tid, 0));
    EXPECT_ERRNO(EINVAL, setpgid(thread_tid, getpgrp()));
    EXPECT_EQ(getpgid(thread_tid), getpgrp());
    EXPECT_EQ(getsid(thread_tid), getsid(0));
    EXPECT_ERRNO(EPERM, setpgid(0, thread_tid));
}
TEST(a_thread_s_number_names_no_process) { EXPECT_EXITED(0, in_child(number_of_a_thread)); }

TEST(a_zombie_may_change_its_group) {
    pid_t pid = zombie_child(1);
    EXPECT_OK(setpgid(pid, pid));
    EXPECT_EQ(getpgid(pid), pid);
    EXPECT_EXITED(1, status_of(pid));
    EXPECT_ERRNO(ESRCH, getpgid(pid));
    EXPECT_ERRNO(ESRCH, setpgid(pid, 0));
}

static char self[4096];
static pid_t executed_child(void) {
    char c, number[16];
    int ends[2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ASSERT_TRUE(n > 0);
    ASSERT_OK(pipe(ends));
    snprintf(number, sizeof number, "%d", ends[1]);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "@idle", number, NULL);
        _exit(98);
    }
    ASSERT_EQ(read(ends[0], &c, 1), 1);
    return pid;
}
TEST(a_child_that_has_executed_a_program) {
    pid_t pid = executed_child(), other = idle_child();
    EXPECT_ERRNO(EACCES, setpgid(pid, 0));
    EXPECT_ERRNO(EACCES, setpgid(pid, getpgrp()));
    EXPECT_OK(setpgid(other, 0));
    end_child(pid), end_child(other);
}

TEST(a_group_outlives_its_leader) {
    pid_t leader = idle_child(), member = idle_child(), late = idle_child();
    EXPECT_OK(setpgid(leader, 0));
    EXPECT_OK(setpgid(member, leader));
    end_child(leader);
    EXPECT_ERRNO(ESRCH, kill(leader, 0));
    EXPECT_ERRNO(ESRCH, getpgid(leader));
    EXPECT_OK(kill(-leader, 0));
    EXPECT_OK(setpgid(late, leader));
    EXPECT_EQ(getpgid(late), leader);
    EXPECT_OK(kill(-leader, SIGTERM));
    EXPECT_SIGNALED(SIGTERM, status_of(member));
    EXPECT_SIGNALED(SIGTERM, status_of(late));
    EXPECT_ERRNO(ESRCH, kill(-leader, 0));
    pid_t another = idle_child();
    EXPECT_ERRNO(EPERM, setpgid(another, leader));
    end_child(another);
}

TEST(a_zombie_keeps_its_group) {
    pid_t pid = idle_child();
    EXPECT_OK(setpgid(pid, 0));
    kill(pid, SIGKILL);
    siginfo_t info;
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    EXPECT_OK(kill(-pid, 0));
    pid_t other = idle_child();
    EXPECT_OK(setpgid(other, pid));
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
    EXPECT_OK(kill(-pid, 0));
    end_child(other);
    EXPECT_ERRNO(ESRCH, kill(-pid, 0));
}

static void session_then_child(void) {
    EXPECT_EQ(setsid(), getpid());
    shared[0] = idle_child();
}
TEST(a_session_outlives_its_leader) {
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    shared = shared_page();
    pid_t leader = child_after(session_then_child), member = shared[0];
    EXPECT_EQ(getsid(member), leader);
    end_child(leader);
    EXPECT_EQ(getsid(member), leader);
    EXPECT_EQ(getpgid(member), leader);
    EXPECT_ERRNO(ESRCH, getsid(leader));
    end_child(member);
}

/* What a signal to a group finds while its members fork is no luck: a child is
 * in the group before the signal or is not made. */
TEST(no_child_escapes_a_signal_to_the_group) {
    int *stop = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    for (int round = 0; round < 8; round++) {
        pid_t group = fork();
        if (group == 0) {
            setpgid(0, 0);
            while (!load(stop))
                if (fork() != 0) _exit(0);
            _exit(1);
        }
        setpgid(group, group);
        usleep(500 * (round & 3));
        /* Before the chain was in its group there was nothing to kill. */
        UNTIL(kill(-group, SIGKILL) == 0);
        long long end = now_ns() + 3000000000LL;
        while (waitpid(-1, NULL, __WALL) > 0)
            if (now_ns() > end) {
                FAIL("the chain goes on");
                store(stop, 1);
            }
        EXPECT_ERRNO(ESRCH, kill(-group, 0));
    }
}
