/* pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), and polling what they name. */
#include "tasks.h"

#ifndef PIDFD_SIGNAL_THREAD
#define PIDFD_SIGNAL_THREAD 1
#define PIDFD_SIGNAL_THREAD_GROUP 2
#define PIDFD_SIGNAL_PROCESS_GROUP 4
#endif
#ifndef PIDFD_SELF_THREAD
#define PIDFD_SELF_THREAD -10000
#define PIDFD_SELF_THREAD_GROUP -10001
#endif

/* --- Opening --- */

TEST(open_refuses) {
    EXPECT_ERRNO(EINVAL, pidfd_open_raw(0, 0));
    EXPECT_ERRNO(EINVAL, pidfd_open_raw(-1, 0));
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(0x3fffff, 0));
    EXPECT_ERRNO(EINVAL, pidfd_open_raw(0x3fffff, 1));
    for (int bit = 0; bit < 32; bit++)
        if (1u << bit != PIDFD_NONBLOCK && 1u << bit != PIDFD_THREAD)
            EXPECT_ERRNO(EINVAL, pidfd_open_raw(getpid(), 1u << bit));
}

TEST(what_is_opened) {
    int plain = pidfd_open_raw(getpid(), 0), nonblocking = pidfd_open_raw(getpid(), PIDFD_NONBLOCK);
    int thread = pidfd_open_raw(getpid(), PIDFD_THREAD);
    ASSERT_TRUE(plain >= 0 && nonblocking >= 0 && thread >= 0);
    EXPECT_EQ(fcntl(plain, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(plain, F_GETFL) & (O_ACCMODE | O_NONBLOCK | PIDFD_THREAD), O_RDWR);
    EXPECT_EQ(fcntl(nonblocking, F_GETFL) & (O_ACCMODE | O_NONBLOCK | PIDFD_THREAD), O_RDWR | O_NONBLOCK);
    EXPECT_EQ(fcntl(thread, F_GETFL) & (O_ACCMODE | O_NONBLOCK | PIDFD_THREAD), O_RDWR | PIDFD_THREAD);
}

TEST(neither_read_nor_written) {
    char c = 0;
    int fd = pidfd_open_raw(getpid(), 0);
    EXPECT_ERRNO(EINVAL, read(fd, &c, 1));
    EXPECT_ERRNO(EINVAL, write(fd, &c, 1));
}

TEST(a_descriptor_number_must_be_left) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 0;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    EXPECT_ERRNO(EMFILE, pidfd_open_raw(getpid(), 0));
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(0x3fffff, 0));
}

static int *page;
static int stay_until(void *go) {
    while (!load(go)) usleep(200);
    raw_exit(0);
}
static int the_word, the_go;
static int make_thread(void) {
    the_word = -1, the_go = 0;
    int tid = clone_on_stack(stay_until, &the_go, THREAD_FLAGS | CLONE_CHILD_CLEARTID, NULL, &the_word);
    ASSERT_OK(tid);
    return tid;
}
static void end_thread(void) {
    store(&the_go, 1);
    wait_cleared(&the_word);
}

TEST(a_thread_needs_the_flag) {
    int tid = make_thread();
    EXPECT_ERRNO(ENOENT, pidfd_open_raw(tid, 0));
    EXPECT_ERRNO(ENOENT, pidfd_open_raw(tid, PIDFD_NONBLOCK));
    int fd = pidfd_open_raw(tid, PIDFD_THREAD);
    ASSERT_OK(fd);
    EXPECT_EQ(poll_now(fd), 0);
    end_thread();
    UNTIL(poll_now(fd) != 0);
    EXPECT_EQ(poll_now(fd), POLLIN | POLLHUP);
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(tid, PIDFD_THREAD));
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(tid, 0));
}

TEST(a_zombie_can_be_opened) {
    pid_t pid = zombie_child(3);
    int fd = pidfd_open_raw(pid, 0), thread = pidfd_open_raw(pid, PIDFD_THREAD);
    ASSERT_TRUE(fd >= 0 && thread >= 0);
    EXPECT_EQ(poll_now(fd), POLLIN);
    EXPECT_EQ(poll_now(thread), POLLIN);
    EXPECT_OK(pidfd_signal(fd, SIGTERM, NULL, 0));
    EXPECT_EXITED(3, status_of(pid));
    EXPECT_EQ(poll_now(fd), POLLIN | POLLHUP);
    EXPECT_EQ(poll_now(thread), POLLIN | POLLHUP);
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(pid, 0));
}

TEST(a_number_that_names_a_group_only) {
    pid_t leader = idle_child(), member = idle_child();
    EXPECT_OK(setpgid(leader, 0));
    EXPECT_OK(setpgid(member, leader));
    end_child(leader);
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(leader, 0));
    EXPECT_ERRNO(ESRCH, pidfd_open_raw(leader, PIDFD_THREAD));
    end_child(member);
}

/* --- Polling --- */

TEST(events_in_order) {
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    struct pollfd one = {.fd = fd, .events = POLLIN | POLLRDNORM | POLLOUT | POLLPRI};
    EXPECT_EQ(poll(&one, 1, 0), 0);
    kill(pid, SIGKILL);
    EXPECT_EQ(poll(&one, 1, 8000), 1);
    EXPECT_EQ(one.revents, POLLIN | POLLRDNORM);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
    EXPECT_EQ(poll(&one, 1, 0), 1);
    EXPECT_EQ(one.revents, POLLIN | POLLRDNORM | POLLHUP);
    /* The hang-up comes unasked. */
    one.events = 0;
    EXPECT_EQ(poll(&one, 1, 0), 1);
    EXPECT_EQ(one.revents, POLLHUP);
}

static void *kill_when_asleep(void *pid) {
    while (state_of(getpid(), getpid()) != 'S') usleep(200);
    kill((pid_t)(long)pid, SIGKILL);
    return NULL;
}
TEST(a_sleeping_poll_wakes) {
    pthread_t thread;
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    pthread_create(&thread, NULL, kill_when_asleep, (void *)(long)pid);
    EXPECT_EQ(poll_wait(fd), POLLIN);
    pthread_join(thread, NULL);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
}

static void *reap_when_asleep(void *pid) {
    while (state_of(getpid(), getpid()) != 'S') usleep(200);
    status_of((pid_t)(long)pid);
    return NULL;
}
TEST(a_sleeping_poll_hears_of_the_reaping) {
    pthread_t thread;
    pid_t pid = zombie_child(1);
    struct pollfd one = {.fd = pidfd_open_raw(pid, 0), .events = 0};
    pthread_create(&thread, NULL, reap_when_asleep, (void *)(long)pid);
    EXPECT_EQ(poll(&one, 1, 8000), 1);
    EXPECT_EQ(one.revents, POLLHUP);
    pthread_join(thread, NULL);
}

TEST(nobody_waits_for_it) {
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    kill(pid, SIGKILL);
    EXPECT_TRUE(poll_wait(fd) & POLLIN);
    UNTIL(poll_now(fd) == (POLLIN | POLLHUP));
}

static void *leader_gone(void *go) {
    while (!load(go)) usleep(200);
    syscall(SYS_exit, 4);
    return NULL;
}
TEST(a_dead_leader_is_no_dead_process) {
    page = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, leader_gone, page);
        syscall(SYS_exit, 0);
    }
    UNTIL(state_of(pid, pid) == 'Z');
    int process = pidfd_open_raw(pid, 0), leader = pidfd_open_raw(pid, PIDFD_THREAD);
    ASSERT_TRUE(process >= 0 && leader >= 0);
    EXPECT_EQ(poll_now(process), 0);
    EXPECT_EQ(poll_now(leader), 0);
    EXPECT_OK(pidfd_signal(process, 0, NULL, 0));
    EXPECT_OK(pidfd_signal(leader, 0, NULL, 0));
    EXPECT_ERRNO(ESRCH, pidfd_getfd_raw(process, 0, 0));
    store(page, 1);
    EXPECT_EQ(poll_wait(process), POLLIN);
    EXPECT_EQ(poll_now(leader), POLLIN);
    EXPECT_EXITED(4, status_of(pid));
    EXPECT_EQ(poll_now(leader), POLLIN | POLLHUP);
}

/* --- Signals --- */

TEST(signal_arguments) {
    int fd = pidfd_open_raw(getpid(), 0);
    EXPECT_ERRNO(EBADF, pidfd_signal(999, 0, NULL, 0));
    EXPECT_ERRNO(EBADF, pidfd_signal(open("/dev/null", O_RDONLY), 0, NULL, 0));
    EXPECT_ERRNO(EINVAL, pidfd_signal(fd, 65, NULL, 0));
    EXPECT_ERRNO(EINVAL, pidfd_signal(fd, -1, NULL, 0));
    EXPECT_ERRNO(EFAULT, pidfd_signal(fd, 0, BAD_PTR, 0));
    for (int bit = 3; bit < 32; bit++) EXPECT_ERRNO(EINVAL, pidfd_signal(fd, 0, NULL, 1u << bit));
    EXPECT_ERRNO(EINVAL, pidfd_signal(fd, 0, NULL, 3));
    EXPECT_ERRNO(EINVAL, pidfd_signal(fd, 0, NULL, 5));
    EXPECT_ERRNO(EINVAL, pidfd_signal(fd, 0, NULL, 6));
    EXPECT_ERRNO(EINVAL, pidfd_signal(999, 0, NULL, 8));
    EXPECT_OK(pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_THREAD));
    EXPECT_OK(pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_THREAD_GROUP));
    EXPECT_OK(pidfd_signal(fd, 0, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
}

static sigset_t one_signal(int sig) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}
static void expect_pending(sigset_t *set, int sig, int code) {
    siginfo_t info = {0};
    struct timespec none = {0, 0};
    EXPECT_EQ(sigtimedwait(set, &info, &none), sig);
    EXPECT_EQ(info.si_code, code);
    EXPECT_EQ(info.si_pid, getpid());
    EXPECT_EQ(info.si_uid, getuid());
}
/* Is it in the queue of this thread ("SigPnd:") or of the process ("ShdPnd:")? */
static int queued(const char *which, int sig) {
    char text[4096] = {0};
    int fd = open("/proc/thread-self/status", O_RDONLY);
    if (fd == -1) fd = open("/proc/self/status", O_RDONLY);
    EXPECT_GT(read(fd, text, sizeof text - 1), 0);
    close(fd);
    char *line = strstr(text, which);
    return line && strtoull(line + strlen(which), NULL, 16) >> (sig - 1) & 1;
}
static void expect_queued(sigset_t *set, int sig, int for_thread) {
    EXPECT_EQ(queued("SigPnd:", sig), for_thread);
    EXPECT_EQ(queued("ShdPnd:", sig), !for_thread);
    expect_pending(set, sig, SI_USER);
}
TEST(scope_by_descriptor_and_by_flag) {
    sigset_t set = one_signal(SIGUSR1);
    int process = pidfd_open_raw(getpid(), 0), thread = pidfd_open_raw(getpid(), PIDFD_THREAD);
    EXPECT_OK(pidfd_signal(process, SIGUSR1, NULL, 0));
    expect_queued(&set, SIGUSR1, 0);
    EXPECT_OK(pidfd_signal(thread, SIGUSR1, NULL, 0));
    expect_queued(&set, SIGUSR1, 1);
    EXPECT_OK(pidfd_signal(process, SIGUSR1, NULL, PIDFD_SIGNAL_THREAD));
    expect_queued(&set, SIGUSR1, 1);
    EXPECT_OK(pidfd_signal(thread, SIGUSR1, NULL, PIDFD_SIGNAL_THREAD_GROUP));
    expect_queued(&set, SIGUSR1, 0);
    EXPECT_OK(pidfd_signal(process, SIGUSR1, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
    expect_queued(&set, SIGUSR1, 0);
}

TEST(the_calling_thread_and_process_without_a_descriptor) {
    sigset_t set = one_signal(SIGUSR1);
    EXPECT_OK(pidfd_signal(PIDFD_SELF_THREAD, SIGUSR1, NULL, 0));
    expect_queued(&set, SIGUSR1, 1);
    EXPECT_OK(pidfd_signal(PIDFD_SELF_THREAD_GROUP, SIGUSR1, NULL, 0));
    expect_queued(&set, SIGUSR1, 0);
    EXPECT_ERRNO(EBADF, pidfd_signal(-1, SIGUSR1, NULL, 0));
}

static int taken_by;
static void *take_own(void *unused) {
    sigset_t set = one_signal(SIGUSR1);
    struct timespec limit = {8, 0};
    store(&the_go, gettid_raw());
    store(&taken_by, sigtimedwait(&set, NULL, &limit) == SIGUSR1 ? gettid_raw() : -1);
    return unused;
}
TEST(a_signal_for_one_thread) {
    pthread_t thread;
    one_signal(SIGUSR1);
    ASSERT_EQ(pthread_create(&thread, NULL, take_own, NULL), 0);
    UNTIL(load(&the_go) != 0);
    int fd = pidfd_open_raw(the_go, PIDFD_THREAD);
    ASSERT_OK(fd);
    EXPECT_OK(pidfd_signal(fd, SIGUSR1, NULL, 0));
    pthread_join(thread, NULL);
    EXPECT_EQ(taken_by, the_go);
    UNTIL(poll_now(fd) & POLLHUP);
    EXPECT_ERRNO(ESRCH, pidfd_signal(fd, SIGUSR1, NULL, 0));
    EXPECT_ERRNO(ESRCH, pidfd_signal(fd, SIGUSR1, NULL, PIDFD_SIGNAL_THREAD_GROUP));
}

TEST(a_whole_group) {
    pid_t a = idle_child(), b = idle_child();
    EXPECT_OK(setpgid(a, 0));
    EXPECT_OK(setpgid(b, a));
    int leader = pidfd_open_raw(a, 0), member = pidfd_open_raw(b, 0);
    /* The descriptor must name the group's leader. */
    EXPECT_ERRNO(ESRCH, pidfd_signal(member, SIGTERM, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
    EXPECT_OK(pidfd_signal(leader, SIGTERM, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
    EXPECT_SIGNALED(SIGTERM, status_of(a));
    EXPECT_SIGNALED(SIGTERM, status_of(b));
    EXPECT_ERRNO(ESRCH, pidfd_signal(leader, SIGTERM, NULL, PIDFD_SIGNAL_PROCESS_GROUP));
}

TEST(information_of_one_s_own) {
    siginfo_t info = {0};
    sigset_t set = one_signal(SIGUSR1);
    struct timespec none = {0, 0};
    int own = pidfd_open_raw(getpid(), 0);
    pid_t pid = idle_child();
    int other = pidfd_open_raw(pid, 0);
    info.si_signo = SIGUSR1;
    info.si_code = SI_USER;
    EXPECT_ERRNO(EINVAL, pidfd_signal(own, SIGUSR2, &info, 0));
    EXPECT_ERRNO(EPERM, pidfd_signal(other, SIGUSR1, &info, 0));
    info.si_code = SI_TKILL;
    EXPECT_ERRNO(EPERM, pidfd_signal(other, SIGUSR1, &info, 0));
    info.si_code = 5;
    EXPECT_ERRNO(EPERM, pidfd_signal(other, SIGUSR1, &info, 0));
    EXPECT_ERRNO(EPERM, pidfd_signal(own, SIGUSR1, &info, PIDFD_SIGNAL_PROCESS_GROUP));
    info.si_value.sival_int = 77;
    EXPECT_OK(pidfd_signal(own, SIGUSR1, &info, 0));
    siginfo_t got = {0};
    EXPECT_EQ(sigtimedwait(&set, &got, &none), SIGUSR1);
    EXPECT_EQ(got.si_code, 5);
    EXPECT_EQ(got.si_value.sival_int, 77);
    info.si_code = SI_QUEUE;
    info.si_signo = SIGTERM;
    EXPECT_OK(pidfd_signal(other, SIGTERM, &info, 0));
    EXPECT_SIGNALED(SIGTERM, status_of(pid));
}

TEST(forged_information_from_another_thread) {
    /* Another thread of the process is not oneself. */
    siginfo_t info = {0};
    one_signal(SIGUSR1);
    info.si_signo = SIGUSR1;
    info.si_code = SI_USER;
    int tid = make_thread(), fd = pidfd_open_raw(tid, PIDFD_THREAD);
    ASSERT_OK(fd);
    EXPECT_ERRNO(EPERM, pidfd_signal(fd, SIGUSR1, &info, 0));
    end_thread();
}

TEST(the_dead_take_no_signals) {
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    end_child(pid);
    EXPECT_ERRNO(ESRCH, pidfd_signal(fd, 0, NULL, 0));
    EXPECT_ERRNO(ESRCH, pidfd_signal(fd, SIGKILL, NULL, 0));
}

/* --- Descriptors of others --- */

static pid_t holder(int *number) {
    page = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("/dev/zero", O_RDONLY);
        store(&page[0], fd);
        for (;;) pause();
    }
    UNTIL(load(&page[0]) != 0);
    *number = page[0];
    return pid;
}
TEST(getfd_takes_a_copy) {
    int number;
    char c = 1;
    pid_t pid = holder(&number);
    int fd = pidfd_open_raw(pid, 0);
    int copy = pidfd_getfd_raw(fd, number, 0);
    ASSERT_OK(copy);
    EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(read(copy, &c, 1), 1);
    EXPECT_EQ(c, 0);
    end_child(pid);
    EXPECT_EQ(read(copy, &c, 1), 1);
}

TEST(getfd_arguments) {
    int number;
    pid_t pid = holder(&number);
    int fd = pidfd_open_raw(pid, 0);
    EXPECT_ERRNO(EINVAL, pidfd_getfd_raw(fd, number, 1));
    EXPECT_ERRNO(EBADF, pidfd_getfd_raw(fd, 999, 0));
    EXPECT_ERRNO(EBADF, pidfd_getfd_raw(fd, -1, 0));
    EXPECT_ERRNO(EBADF, pidfd_getfd_raw(999, number, 0));
    EXPECT_ERRNO(EBADF, pidfd_getfd_raw(0, number, 0));
    kill(pid, SIGKILL);
    EXPECT_TRUE(poll_wait(fd) & POLLIN);
    EXPECT_ERRNO(ESRCH, pidfd_getfd_raw(fd, number, 0));
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
    EXPECT_ERRNO(ESRCH, pidfd_getfd_raw(fd, number, 0));
}

TEST(getfd_needs_a_free_number) {
    int number;
    pid_t pid = holder(&number);
    int fd = pidfd_open_raw(pid, 0);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 0;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    EXPECT_ERRNO(EMFILE, pidfd_getfd_raw(fd, number, 0));
    end_child(pid);
}

TEST(getfd_from_who_does_not_let_others_look) {
    be_unprivileged();
    page = shared_page();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        store(page, 1);
        for (;;) pause();
    }
    UNTIL(load(page) == 1);
    int fd = pidfd_open_raw(pid, 0);
    EXPECT_ERRNO(EPERM, pidfd_getfd_raw(fd, 0, 0));
    end_child(pid);
}

TEST(getfd_of_oneself) {
    int own = pidfd_open_raw(getpid(), 0);
    prctl(PR_SET_DUMPABLE, 0);
    int copy = pidfd_getfd_raw(own, 0, 0);
    EXPECT_OK(copy);
}

TEST(fdinfo_tells_the_number) {
    char path[64], text[1024] = {0}, want[64];
    pid_t pid = idle_child();
    int fd = pidfd_open_raw(pid, 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    EXPECT_GT(read(info, text, sizeof text - 1), 0);
    snprintf(want, sizeof want, "\nPid:\t%d\n", pid);
    EXPECT_TRUE(strstr(text, want) != NULL);
    end_child(pid);
    memset(text, 0, sizeof text);
    EXPECT_GT(pread(info, text, sizeof text - 1, 0), 0);
    EXPECT_TRUE(strstr(text, "\nPid:\t-1\n") != NULL);
}

TEST(a_descriptor_outlives_the_number) {
    pid_t pid = exiting_child(1);
    int fd = pidfd_open_raw(pid, 0);
    ASSERT_OK(fd);
    EXPECT_EXITED(1, status_of(pid));
    for (int i = 0; i < 50; i++) EXPECT_EXITED(0, status_of(exiting_child(0)));
    siginfo_t info;
    EXPECT_EQ(poll_now(fd), POLLIN | POLLHUP);
    EXPECT_ERRNO(ECHILD, waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
}
