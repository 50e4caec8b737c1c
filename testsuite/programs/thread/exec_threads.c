/* execve(2) in a process of several threads, and what a new program keeps. */
#define CHECK_ARGS exec_mode
static int exec_mode(int argc, char **argv);
#include "tasks.h"
#include <dirent.h>

static char self[4096];
static void find_self(void) {
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ASSERT_TRUE(n > 0);
}
extern char **environ;
static void become(const char *mode, const char *argument) {
    char *argv[] = {self, (char *)mode, (char *)argument, NULL};
    execve(self, argv, environ);
}

static int threads_now(void) {
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return -1;
    for (struct dirent *entry; (entry = readdir(tasks));) n += entry->d_name[0] != '.';
    closedir(tasks);
    return n;
}

static void ignore_it(int sig) { (void)sig; }

/* What the new program finds, as a number: 0 is good. */
static int exec_mode(int argc, char **argv) {
    const char *mode = argv[1], *text = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "@code") == 0) return atoi(text);
    if (strcmp(mode, "@alone") == 0)
        return (getpid() != atoi(text)) | (gettid_raw() != getpid()) << 1 | (threads_now() != 1) << 2;
    if (strcmp(mode, "@idle") == 0) {
        if (write(atoi(text), "x", 1) != 1) return 1;
        for (;;) pause();
    }
    if (strcmp(mode, "@reset") == 0) {
        struct sigaction handled, ignored;
        struct itimerspec spec;
        stack_t alt;
        char name[17] = {0};
        sigaction(SIGUSR1, NULL, &handled);
        sigaction(SIGUSR2, NULL, &ignored);
        sigaltstack(NULL, &alt);
        prctl(PR_GET_NAME, name);
        return (handled.sa_handler != SIG_DFL || handled.sa_flags & SA_RESTART) |
               (ignored.sa_handler != SIG_IGN) << 1 | !(alt.ss_flags & SS_DISABLE) << 2 |
               (syscall(SYS_timer_gettime, 0, &spec) != -1) << 3 | (prctl(PR_GET_DUMPABLE) != 1) << 4 |
               (strcmp(name, "before") == 0) << 5;
    }
    if (strcmp(mode, "@kept") == 0) {
        sigset_t mask, pending;
        struct itimerval timer;
        struct rlimit limit;
        int signal_of_death = 0, reaper = 0;
        sigprocmask(SIG_BLOCK, NULL, &mask);
        sigpending(&pending);
        getitimer(ITIMER_REAL, &timer);
        getrlimit(RLIMIT_NOFILE, &limit);
        prctl(PR_GET_PDEATHSIG, &signal_of_death);
        prctl(PR_GET_CHILD_SUBREAPER, &reaper);
        char path[4096];
        return (!sigismember(&mask, SIGUSR1) || sigismember(&mask, SIGUSR2)) |
               (!sigismember(&pending, SIGUSR1) || !sigismember(&pending, SIGHUP)) << 1 |
               (timer.it_value.tv_sec < 50) << 2 | (limit.rlim_cur != 222) << 3 | (signal_of_death != SIGTERM) << 4 |
               (reaper != 1) << 5 | (umask(0) != 0123 || getpriority(PRIO_PROCESS, 0) != 5) << 6 |
               (strcmp(getcwd(path, sizeof path), "/") != 0 || getsid(0) != atoi(text)) << 7;
    }
    if (strcmp(mode, "@reap") == 0) {
        int codes = 0, status;
        while (wait(&status) > 0) codes += WEXITSTATUS(status);
        return codes;
    }
    if (strcmp(mode, "@zombies") == 0) {
        /* The child outlives this program's first moments and tells it by a signal. */
        sigset_t set;
        siginfo_t info;
        struct timespec limit = {8, 0};
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGCHLD);
        kill(atoi(text), SIGTERM);
        return sigtimedwait(&set, &info, &limit);
    }
    if (strcmp(mode, "@descriptors") == 0)
        return (fcntl(50, F_GETFD) == -1) | (fcntl(51, F_GETFD) != -1) << 1;
    if (strcmp(mode, "@mask") == 0) {
        sigset_t mask, pending;
        sigprocmask(SIG_BLOCK, NULL, &mask);
        sigpending(&pending);
        /* The mask and the queue of the thread that called; the leader's are gone. */
        return (!sigismember(&mask, SIGUSR1)) | sigismember(&mask, SIGUSR2) << 1 |
               !sigismember(&pending, SIGUSR1) << 2 | sigismember(&pending, SIGHUP) << 3;
    }
    return 99;
}

static pid_t child_that(void (*body)(void)) {
    find_self();
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(98);
    }
    ASSERT_OK(pid);
    return pid;
}
static int run(void (*body)(void)) { return status_of(child_that(body)); }

static void *sleep_long(void *unused) {
    for (;;) pause();
    return unused;
}
static void *spin(void *unused) {
    for (;;) __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return unused;
}
static void *read_for_ever(void *unused) {
    int ends[2];
    char c;
    if (pipe(ends) == 0 && read(ends[0], &c, 1) == 0) return unused;
    return unused;
}
static void *wait_for_a_child(void *unused) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    waitpid(pid, NULL, __WNOTHREAD);
    return unused;
}
static void *futex_for_ever(void *unused) {
    static int word;
    syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return unused;
}
static void *poll_for_ever(void *unused) {
    poll(NULL, 0, -1);
    return unused;
}
static void *exec_alone(void *unused) {
    char number[16];
    snprintf(number, sizeof number, "%d", getpid());
    become("@alone", number);
    return unused;
}

static void from_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exec_alone, NULL);
    sleep_long(NULL);
}
TEST(a_thread_becomes_the_process) { EXPECT_EXITED(0, run(from_a_thread)); }

static void from_the_leader(void) {
    pthread_t thread;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, sleep_long, NULL);
    exec_alone(NULL);
}
TEST(the_leader_ends_the_others) { EXPECT_EXITED(0, run(from_the_leader)); }

static void over_all_kinds(void) {
    pthread_t thread;
    void *(*kinds[])(void *) = {sleep_long, spin, read_for_ever, wait_for_a_child, futex_for_ever, poll_for_ever};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) pthread_create(&thread, NULL, kinds[i], NULL);
    usleep(3000);
    pthread_create(&thread, NULL, exec_alone, NULL);
    spin(NULL);
}
TEST(threads_that_run_and_threads_that_sleep_end) { EXPECT_EXITED(0, run(over_all_kinds)); }

static void after_the_leader(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exec_alone, NULL);
    syscall(SYS_exit, 5);
}
TEST(the_leader_may_be_dead_already) {
    for (int i = 0; i < 10; i++) EXPECT_EXITED(0, run(after_the_leader));
}

static pthread_barrier_t start;
static void *race_to_exec(void *code) {
    char number[16];
    snprintf(number, sizeof number, "%d", (int)(long)code);
    pthread_barrier_wait(&start);
    become("@code", number);
    return NULL;
}
static void four_execs(void) {
    pthread_t thread;
    pthread_barrier_init(&start, NULL, 4);
    for (long i = 1; i < 4; i++) pthread_create(&thread, NULL, race_to_exec, (void *)(40 + i));
    race_to_exec((void *)40L);
}
TEST(one_of_several_wins) {
    for (int i = 0; i < 10; i++) {
        int status = run(four_execs);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) >= 40 && WEXITSTATUS(status) < 44);
    }
}

static void *race_to_exit(void *code) {
    pthread_barrier_wait(&start);
    syscall(SYS_exit_group, (long)code);
    return NULL;
}
static void exec_against_exit(void) {
    pthread_t thread;
    pthread_barrier_init(&start, NULL, 2);
    pthread_create(&thread, NULL, race_to_exit, (void *)60L);
    race_to_exec((void *)40L);
}
TEST(exec_against_exit_group) {
    for (int i = 0; i < 15; i++) {
        int status = run(exec_against_exit);
        EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 40 || WEXITSTATUS(status) == 60));
    }
}

static int end_at_once(void *unused) {
    (void)unused;
    raw_exit(0);
}
static void *make_threads(void *unused) {
    static char stacks[16][4096] __attribute__((aligned(16)));
    for (unsigned i = 0;; i++) clone(end_at_once, stacks[i & 15] + 4096, THREAD_FLAGS, unused, NULL, NULL, NULL);
    return unused;
}
static void exec_against_clone(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, make_threads, NULL);
    usleep(1000);
    exec_alone(NULL);
}
TEST(exec_against_clone_of_threads) {
    for (int i = 0; i < 10; i++) EXPECT_EXITED(0, run(exec_against_clone));
}

/* --- Failure leaves everything as it was --- */

static void *count_up(void *counter) {
    for (;;) __atomic_add_fetch((long *)counter, 1, __ATOMIC_RELAXED);
    return NULL;
}
static void fail_in_many_ways(void) {
    static long counter;
    pthread_t thread;
    char *argv[] = {"x", NULL}, *bad[] = {BAD_PTR, NULL};
    pthread_create(&thread, NULL, count_up, &counter);
    signal(SIGUSR1, ignore_it);
    make_file("no-program", "hello");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_ERRNO(ENOENT, execve("/none", argv, environ));
    EXPECT_ERRNO(EACCES, execve("no-program", argv, environ));
    ASSERT_OK(chmod("no-program", 0755));
    EXPECT_ERRNO(ENOEXEC, execve("no-program", argv, environ));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, self, bad, environ));
    EXPECT_ERRNO(EFAULT, syscall(SYS_execve, self, argv, BAD_PTR));
    EXPECT_ERRNO(EACCES, execve("/", argv, environ));
    EXPECT_OK(fcntl(fd, F_GETFD));
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    EXPECT_TRUE(action.sa_handler == ignore_it);
    EXPECT_EQ(threads_now(), 2);
    long before = __atomic_load_n(&counter, __ATOMIC_RELAXED);
    UNTIL(__atomic_load_n(&counter, __ATOMIC_RELAXED) > before);
    _exit(check_failures ? 1 : 0);
}
TEST(a_failure_ends_no_thread) { EXPECT_EXITED(0, run(fail_in_many_ways)); }

/* --- What the killed threads leave --- */

static struct {
    struct { void *next; long offset; void *pending; } head;
    struct { void *next; int word; } *lock;
} robust;
static void *hold_a_lock(void *unused) {
    robust.head.next = robust.lock;
    robust.head.offset = (char *)&robust.lock->word - (char *)robust.lock;
    robust.lock->next = &robust.head;
    syscall(SYS_set_robust_list, &robust.head, sizeof robust.head);
    store(&robust.lock->word, gettid_raw());
    return sleep_long(unused);
}
static void exec_over_a_lock(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, hold_a_lock, NULL);
    while (!load(&robust.lock->word)) usleep(100);
    become("@code", "6");
}
TEST(robust_lists_of_the_killed) {
    robust.lock = shared_page();
    EXPECT_EXITED(6, run(exec_over_a_lock));
    EXPECT_EQ(robust.lock->word, FUTEX_OWNER_DIED);
}
static void exec_with_a_lock(void) {
    robust.head.next = robust.lock;
    robust.head.offset = (char *)&robust.lock->word - (char *)robust.lock;
    robust.lock->next = &robust.head;
    syscall(SYS_set_robust_list, &robust.head, sizeof robust.head);
    store(&robust.lock->word, gettid_raw());
    become("@code", "6");
}
TEST(robust_list_of_the_caller) {
    robust.lock = shared_page();
    EXPECT_EXITED(6, run(exec_with_a_lock));
    EXPECT_EQ(robust.lock->word, FUTEX_OWNER_DIED);
}

/* A process in this memory, so that its tid words can be seen from here. */
static int thread_word, leader_word;
static int two_threads_then_exec(void *unused) {
    static char stack[STACK_SIZE] __attribute__((aligned(16)));
    clone((int (*)(void *))(void *)sleep_long, stack + sizeof stack, THREAD_FLAGS | CLONE_CHILD_CLEARTID, unused, NULL,
          NULL, &thread_word);
    become("@code", "8");
    return 9;
}
TEST(tid_words_of_all_are_cleared) {
    find_self();
    thread_word = leader_word = 123;
    int pid = clone_on_stack(two_threads_then_exec, NULL, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &leader_word);
    ASSERT_OK(pid);
    EXPECT_EXITED(8, status_of(pid));
    EXPECT_EQ(load(&thread_word), 0);
    EXPECT_EQ(load(&leader_word), 0);
}

static int *told;
static void *fork_a_child(void *go) {
    pid_t pid = fork();
    if (pid == 0) {
        pid_t parent = getppid();
        while (!load(go)) usleep(200);
        _exit(getppid() == parent ? 11 : 12);
    }
    return sleep_long(NULL);
}
static void *fork_a_watcher(void *unused) {
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        siginfo_t info;
        struct timespec limit = {8, 0};
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, NULL);
        prctl(PR_SET_PDEATHSIG, SIGUSR2);
        store(&told[1], 1);
        int sig = sigtimedwait(&set, &info, &limit);
        store(&told[2], info.si_pid == getppid() ? 1 : 2);
        store(&told[0], 1);
        _exit(sig == SIGUSR2 ? 20 : 21);
    }
    return sleep_long(unused);
}
static void exec_with_children(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, fork_a_child, told);
    pthread_create(&thread, NULL, fork_a_watcher, NULL);
    while (!load(&told[1])) usleep(100);
    become("@reap", NULL);
}
TEST(children_of_the_killed_stay_children) {
    told = shared_page();
    /* 11 from the child whose parent is the same, 20 from the one that was told of a thread's death. */
    EXPECT_EXITED(31, run(exec_with_children));
    EXPECT_EQ(told[2], 1);
}

/* --- Descriptors of the process and of its threads --- */

static int *ids;
static int *go_page;
static void *tell_and_exec(void *pipe_end) {
    char number[16];
    snprintf(number, sizeof number, "%d", (int)(long)pipe_end);
    store(&ids[0], gettid_raw());
    while (!load(go_page)) usleep(200);
    become("@idle", number);
    return NULL;
}
static int watch_pipe[2];
static void exec_when_told(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, tell_and_exec, (void *)(long)watch_pipe[1]);
    sleep_long(NULL);
}
TEST(pidfds_over_an_exec) {
    char c;
    ids = shared_page(), go_page = shared_page();
    ASSERT_OK(pipe(watch_pipe));
    pid_t pid = child_that(exec_when_told);
    UNTIL(load(&ids[0]) != 0);
    int process = pidfd_open_raw(pid, 0), leader = pidfd_open_raw(pid, PIDFD_THREAD);
    int thread = pidfd_open_raw(ids[0], PIDFD_THREAD);
    ASSERT_TRUE(process >= 0 && leader >= 0 && thread >= 0);
    store(go_page, 1);
    EXPECT_EQ(read(watch_pipe[0], &c, 1), 1);
    /* The caller's number is gone, the leader's is the caller's now. */
    EXPECT_EQ(poll_now(thread), POLLIN | POLLHUP);
    EXPECT_ERRNO(ESRCH, pidfd_signal(thread, 0, NULL, 0));
    EXPECT_EQ(poll_now(process), 0);
    EXPECT_EQ(poll_now(leader), 0);
    EXPECT_OK(pidfd_signal(leader, SIGKILL, NULL, 0));
    EXPECT_TRUE(poll_wait(process) & POLLIN);
    EXPECT_SIGNALED(SIGKILL, status_of(pid));
    EXPECT_EQ(poll_now(leader), POLLIN | POLLHUP);
}

static void unshare_by_exec(void) {
    dup2(0, 50);
    int null = open("/dev/null", O_RDONLY);
    dup3(null, 51, O_CLOEXEC);
    long pid = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        become("@descriptors", NULL);
        _exit(97);
    }
    int status = status_of(pid);
    /* The other's close-on-exec descriptor is not closed. */
    if (fcntl(51, F_GETFD) == -1) _exit(96);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 95);
}
TEST(the_descriptor_table_is_not_shared_any_more) { EXPECT_EXITED(0, run(unshare_by_exec)); }

/* --- Kept and reset --- */

static char alt_stack[32768];
static void *set_then_exec(void *unused) {
    struct sigaction action = {.sa_handler = ignore_it, .sa_flags = SA_RESTART};
    stack_t alt = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int timer;
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    sigaltstack(&alt, NULL);
    syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
    prctl(PR_SET_NAME, "before");
    prctl(PR_SET_DUMPABLE, 0);
    become("@reset", NULL);
    return unused;
}
static void reset_in_the_leader(void) { set_then_exec(NULL); }
static void reset_in_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, set_then_exec, NULL);
    sleep_long(NULL);
}
TEST(reset_by_the_leader) { EXPECT_EXITED(0, run(reset_in_the_leader)); }
TEST(reset_by_a_thread) { EXPECT_EXITED(0, run(reset_in_a_thread)); }

static void *keep_then_exec(void *unused) {
    sigset_t set;
    struct itimerval timer = {{0, 0}, {100, 0}};
    struct rlimit limit = {222, 333};
    char number[16];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    syscall(SYS_tgkill, getpid(), gettid_raw(), SIGUSR1);
    kill(getpid(), SIGHUP);
    setitimer(ITIMER_REAL, &timer, NULL);
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    umask(0123);
    setpriority(PRIO_PROCESS, 0, 5);
    if (chdir("/") != 0) return unused;
    snprintf(number, sizeof number, "%d", getsid(0));
    become("@kept", number);
    return unused;
}
static void keep_in_the_leader(void) { keep_then_exec(NULL); }
static void keep_in_a_thread(void) {
    sigset_t set;
    pthread_t thread;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    pthread_create(&thread, NULL, keep_then_exec, NULL);
    sleep_long(NULL);
}
TEST(kept_by_the_leader) { EXPECT_EXITED(0, run(keep_in_the_leader)); }
TEST(kept_by_a_thread) { EXPECT_EXITED(0, run(keep_in_a_thread)); }

static void *mask_then_exec(void *unused) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    syscall(SYS_tgkill, getpid(), gettid_raw(), SIGUSR1);
    become("@mask", NULL);
    return unused;
}
static void two_masks(void) {
    sigset_t set;
    pthread_t thread;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    syscall(SYS_tgkill, getpid(), getpid(), SIGHUP);
    pthread_create(&thread, NULL, mask_then_exec, NULL);
    sleep_long(NULL);
}
TEST(mask_and_queue_are_the_caller_s) { EXPECT_EXITED(0, run(two_masks)); }

/* --- Exit signals --- */

TEST(a_new_program_s_end_sends_sigchld) {
    find_self();
    long pid = raw_clone(0, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        become("@code", "3");
        _exit(97);
    }
    ASSERT_OK(pid);
    int status;
    siginfo_t info;
    /* Before the exec only __WALL sees it; after it, it is an ordinary child. */
    EXPECT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT | __WALL));
    EXPECT_ERRNO(ECHILD, waitpid(pid, &status, __WCLONE));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(3, status);
}

static void usr1_child_then_exec(void) {
    char number[16];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    long pid = raw_clone(SIGUSR1, NULL, NULL, NULL, NULL);
    if (pid == 0)
        for (;;) pause();
    snprintf(number, sizeof number, "%ld", pid);
    become("@zombies", number);
}
/* A program that did not make the child is sent no signal of its choice. */
TEST(a_new_program_is_sent_sigchld) { EXPECT_EXITED(SIGCHLD, run(usr1_child_then_exec)); }

static void *vfork_and_wait(void *unused) {
    pid_t pid = vfork();
    if (pid == 0) {
        execve(self, (char *[]){self, "@code", "31", NULL}, environ);
        _exit(97);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    syscall(SYS_exit_group, WIFEXITED(status) ? WEXITSTATUS(status) : 96);
    return unused;
}
static void vfork_in_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_long, NULL);
    pthread_create(&thread, NULL, vfork_and_wait, NULL);
    sleep_long(NULL);
}
TEST(vfork_and_exec_among_threads) { EXPECT_EXITED(31, run(vfork_in_a_thread)); }

static void *exec_in_vforked_thread(void *unused) {
    become("@code", "32");
    return unused;
}
static void kill_during_exec(void) {
    pthread_t thread;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, spin, NULL);
    pthread_create(&thread, NULL, exec_in_vforked_thread, NULL);
    usleep(200);
    kill(getpid(), SIGKILL);
}
TEST(killed_during_exec) {
    for (int i = 0; i < 10; i++) {
        int status = run(kill_during_exec);
        EXPECT_TRUE(status == SIGKILL || (WIFEXITED(status) && WEXITSTATUS(status) == 32));
    }
}
