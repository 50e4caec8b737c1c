/* Who is a child's parent when its own ends, and who is told of that. */
#define CHECK_ARGS exec_mode
static int exec_mode(int argc, char **argv);
#include "tasks.h"

static int exec_mode(int argc, char **argv) {
    (void)argc, (void)argv;
    int signal_of_death = 0;
    prctl(PR_GET_PDEATHSIG, &signal_of_death);
    return signal_of_death;
}

static int *page;
enum { GRANDCHILD, SEEN_PARENT, GO, READY, SIGNAL, SENDER, CODE, MORE };

/* In a grandchild: its parent's end, then the new parent's number. */
static void watch_parent(pid_t parent) {
    page[GRANDCHILD] = getpid();
    store(&page[READY], 1);
    while (getppid() == parent) usleep(200);
    store(&page[SEEN_PARENT], getppid());
    while (!load(&page[GO])) usleep(200);
    _exit(33);
}
/* A child that makes such a grandchild and ends. */
static pid_t child_that_leaves_one(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pid_t me = getpid();
        if (fork() == 0) watch_parent(me);
        while (!load(&page[READY])) usleep(200);
        _exit(0);
    }
    ASSERT_OK(pid);
    return pid;
}

TEST(orphans_come_to_the_subreaper) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    EXPECT_EXITED(0, status_of(child_that_leaves_one()));
    UNTIL(load(&page[SEEN_PARENT]) != 0);
    EXPECT_EQ(page[SEEN_PARENT], getpid());
    store(&page[GO], 1);
    EXPECT_EXITED(33, status_of(page[GRANDCHILD]));
}

TEST(orphans_pass_a_subreaper_s_child) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = fork();
    if (middle == 0) {
        /* Not inherited: what ends below this process does not come here. */
        int is_reaper = -1;
        prctl(PR_GET_CHILD_SUBREAPER, &is_reaper);
        page[MORE] = is_reaper;
        status_of(child_that_leaves_one());
        while (!load(&page[GO])) usleep(200);
        _exit(0);
    }
    UNTIL(load(&page[SEEN_PARENT]) != 0);
    EXPECT_EQ(page[MORE], 0);
    EXPECT_EQ(page[SEEN_PARENT], getpid());
    store(&page[GO], 1);
    EXPECT_EXITED(33, status_of(page[GRANDCHILD]));
    EXPECT_EXITED(0, status_of(middle));
}

TEST(the_nearest_subreaper_counts) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = fork();
    if (middle == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        status_of(child_that_leaves_one());
        UNTIL(load(&page[SEEN_PARENT]) != 0);
        store(&page[GO], 1);
        int mine = page[SEEN_PARENT] == getpid();
        _exit(mine && WEXITSTATUS(status_of(page[GRANDCHILD])) == 33 ? 0 : 1);
    }
    EXPECT_EXITED(0, status_of(middle));
}

TEST(no_subreaper_any_more) {
    page = shared_page();
    int is_reaper = -1;
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
    ASSERT_OK(prctl(PR_GET_CHILD_SUBREAPER, &is_reaper));
    EXPECT_EQ(is_reaper, 0);
    EXPECT_EXITED(0, status_of(child_that_leaves_one()));
    UNTIL(load(&page[SEEN_PARENT]) != 0);
    EXPECT_NE(page[SEEN_PARENT], getpid());
    store(&page[GO], 1);
    EXPECT_ERRNO(ECHILD, waitpid(page[GRANDCHILD], NULL, 0));
}

TEST(a_subreaper_is_told_of_zombies_that_come_to_it) {
    sigset_t set;
    siginfo_t info;
    struct timespec limit = {8, 0};
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t middle = fork();
    if (middle == 0) {
        page[GRANDCHILD] = zombie_child(44);
        while (!load(&page[GO])) usleep(200);
        _exit(0);
    }
    UNTIL(load(&page[GRANDCHILD]) != 0);
    store(&page[GO], 1);
    /* The grandchild's comes first; the one for the child is the same signal. */
    EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGCHLD);
    EXPECT_EXITED(0, status_of(middle));
    EXPECT_EXITED(44, status_of(page[GRANDCHILD]));
}

TEST(a_clone_child_that_comes_is_an_ordinary_one) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = fork();
    if (middle == 0) {
        pid_t me = getpid();
        if (raw_clone(0, NULL, NULL, NULL, NULL) == 0) watch_parent(me);
        while (!load(&page[READY])) usleep(200);
        _exit(0);
    }
    EXPECT_EXITED(0, status_of(middle));
    UNTIL(load(&page[SEEN_PARENT]) == getpid());
    store(&page[GO], 1);
    int status;
    EXPECT_EQ(waitpid(page[GRANDCHILD], &status, 0), page[GRANDCHILD]);
    EXPECT_EXITED(33, status);
}

/* --- Threads as parents --- */

static void *fork_and_end(void *unused) {
    pid_t pid = fork();
    if (pid == 0) {
        page[GRANDCHILD] = getpid();
        page[SEEN_PARENT] = getppid();
        store(&page[READY], 1);
        while (!load(&page[GO])) usleep(200);
        _exit(getppid() == page[SEEN_PARENT] ? 33 : 34);
    }
    return unused;
}
TEST(a_thread_s_child_stays_in_the_process) {
    pthread_t thread;
    page = shared_page();
    ASSERT_EQ(pthread_create(&thread, NULL, fork_and_end, NULL), 0);
    pthread_join(thread, NULL);
    UNTIL(load(&page[READY]) == 1);
    EXPECT_EQ(page[SEEN_PARENT], getpid());
    store(&page[GO], 1);
    EXPECT_EXITED(33, status_of(page[GRANDCHILD]));
}

static void *reap_after_the_leader(void *unused) {
    while (state_of(getpid(), getpid()) != 'Z') usleep(200);
    store(&page[GO], 1);
    int status = status_of(page[GRANDCHILD]);
    syscall(SYS_exit_group, WIFEXITED(status) ? WEXITSTATUS(status) : 99);
    return unused;
}
TEST(a_dead_leader_s_children_stay_in_the_process) {
    page = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        fork_and_end(NULL);
        while (!load(&page[READY])) usleep(200);
        pthread_create(&thread, NULL, reap_after_the_leader, NULL);
        syscall(SYS_exit, 0);
    }
    EXPECT_EXITED(33, status_of(pid));
}

/* --- The signal of a parent's death --- */

/* A process that waits for `sig` as the signal of its parent's death. */
static void wait_for_death(int sig) {
    sigset_t set;
    siginfo_t info = {0};
    struct timespec limit = {8, 0};
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_PDEATHSIG, sig);
    page[GRANDCHILD] = getpid();
    store(&page[READY], 1);
    int got = sigtimedwait(&set, &info, &limit);
    page[SENDER] = info.si_pid;
    page[CODE] = info.si_code;
    page[MORE] = info.si_uid;
    store(&page[SIGNAL], got);
    while (!load(&page[GO])) usleep(200);
    _exit(0);
}

TEST(a_parent_s_death_is_told) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) wait_for_death(SIGUSR1);
        while (!load(&page[READY])) usleep(200);
        _exit(0);
    }
    EXPECT_EXITED(0, status_of(pid));
    UNTIL(load(&page[SIGNAL]) != 0);
    EXPECT_EQ(page[SIGNAL], SIGUSR1);
    EXPECT_EQ(page[SENDER], pid);
    EXPECT_EQ(page[CODE], SI_USER);
    EXPECT_EQ(page[MORE], getuid());
    store(&page[GO], 1);
    EXPECT_EXITED(0, status_of(page[GRANDCHILD]));
}

static void *fork_a_watcher(void *unused) {
    if (fork() == 0) wait_for_death(SIGUSR2);
    while (!load(&page[READY])) usleep(200);
    while (!load(&page[MORE + 1])) usleep(200);
    return unused;
}
TEST(a_thread_s_death_is_told) {
    pthread_t thread;
    page = shared_page();
    ASSERT_EQ(pthread_create(&thread, NULL, fork_a_watcher, NULL), 0);
    UNTIL(load(&page[READY]) == 1);
    EXPECT_EQ(load(&page[SIGNAL]), 0);
    store(&page[MORE + 1], 1);
    pthread_join(thread, NULL);
    UNTIL(load(&page[SIGNAL]) != 0);
    EXPECT_EQ(page[SIGNAL], SIGUSR2);
    EXPECT_EQ(page[SENDER], getpid());
    store(&page[GO], 1);
    EXPECT_EXITED(0, status_of(page[GRANDCHILD]));
}

TEST(each_adoption_can_be_told) {
    /* The signal is sent for every parent that dies, the subreaper's own too. */
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = fork();
    if (middle == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (fork() == 0) {
            if (fork() == 0) wait_for_death(SIGUSR1);
            while (!load(&page[READY])) usleep(200);
            _exit(0);
        }
        while (load(&page[SIGNAL]) != SIGUSR1) usleep(200);
        while (!load(&page[MORE + 1])) usleep(200);
        _exit(0);
    }
    UNTIL(load(&page[SIGNAL]) == SIGUSR1);
    pid_t grandchild = page[GRANDCHILD];
    store(&page[MORE + 1], 1);
    EXPECT_EXITED(0, status_of(middle));
    /* Blocked in the watcher: pending now, which only it could take. */
    char path[64], text[4096] = {0};
    snprintf(path, sizeof path, "/proc/%d/status", grandchild);
    int fd = open(path, O_RDONLY);
    EXPECT_GT(read(fd, text, sizeof text - 1), 0);
    char *line = strstr(text, "ShdPnd:");
    EXPECT_TRUE(line && strtoull(line + 7, NULL, 16) & 1ULL << (SIGUSR1 - 1));
    store(&page[GO], 1);
    EXPECT_EXITED(0, status_of(grandchild));
}

TEST(the_setting_is_not_inherited) {
    int value = -1;
    ASSERT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    ASSERT_OK(prctl(PR_GET_PDEATHSIG, &value));
    EXPECT_EQ(value, SIGUSR1);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_GET_PDEATHSIG, &value);
        _exit(value);
    }
    EXPECT_EXITED(0, status_of(pid));
}

static void *own_setting(void *unused) {
    int value = -1;
    prctl(PR_GET_PDEATHSIG, &value);
    EXPECT_EQ(value, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    return unused;
}
TEST(each_thread_has_its_own_setting) {
    int value = -1;
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    pthread_create(&thread, NULL, own_setting, NULL);
    pthread_join(thread, NULL);
    prctl(PR_GET_PDEATHSIG, &value);
    EXPECT_EQ(value, SIGUSR1);
}

static void *set_and_stay(void *ready) {
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    store(ready, 1);
    for (;;) pause();
    return NULL;
}
TEST(a_thread_s_setting_counts_too) {
    page = shared_page();
    ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            static int ready;
            sigset_t set;
            siginfo_t info;
            struct timespec limit = {8, 0};
            pthread_t thread;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigaddset(&set, SIGUSR2);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR2);
            pthread_create(&thread, NULL, set_and_stay, &ready);
            while (!load(&ready)) usleep(200);
            page[GRANDCHILD] = getpid();
            store(&page[READY], 1);
            int sum = sigtimedwait(&set, &info, &limit);
            sum += sigtimedwait(&set, &info, &limit);
            _exit(sum);
        }
        while (!load(&page[READY])) usleep(200);
        _exit(0);
    }
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_EXITED(SIGUSR1 + SIGUSR2, status_of(page[GRANDCHILD]));
}

TEST(the_setting_outlives_an_exec) {
    char self[4096] = {0};
    ASSERT_TRUE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGHUP);
        execl(self, self, "@setting", NULL);
        _exit(98);
    }
    EXPECT_EXITED(SIGHUP, status_of(pid));
}

TEST(new_credentials_end_the_setting) {
    if (geteuid() != 0) SKIP("only root can change who it is");
    int value = -1;
    ASSERT_OK(prctl(PR_SET_PDEATHSIG, SIGHUP));
    ASSERT_OK(setresuid(-1, 65534, -1));
    ASSERT_OK(prctl(PR_GET_PDEATHSIG, &value));
    EXPECT_EQ(value, 0);
}
TEST(the_same_credentials_do_not) {
    int value = -1;
    ASSERT_OK(prctl(PR_SET_PDEATHSIG, SIGHUP));
    ASSERT_OK(setresuid(getuid(), geteuid(), -1));
    ASSERT_OK(prctl(PR_GET_PDEATHSIG, &value));
    EXPECT_EQ(value, SIGHUP);
}

TEST(death_signals_that_are_none) {
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_PDEATHSIG, 65));
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_PDEATHSIG, -1L));
    EXPECT_ERRNO(EFAULT, prctl(PR_GET_PDEATHSIG, BAD_PTR));
    EXPECT_ERRNO(EFAULT, prctl(PR_GET_CHILD_SUBREAPER, BAD_PTR));
    EXPECT_OK(prctl(PR_SET_PDEATHSIG, 64));
    EXPECT_OK(prctl(PR_SET_PDEATHSIG, 0));
}
