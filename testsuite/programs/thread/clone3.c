/* clone3(2): its structure, its own flags, and what it refuses. */
#include "tasks.h"

static struct clone3_args plain(void) { return (struct clone3_args){.exit_signal = SIGCHLD}; }

/* A child that ends with 7; its id or -1. */
static long child_of(struct clone3_args *args, size_t size) {
    long pid = raw_clone3(args, size);
    if (pid == 0) _exit(7);
    return pid;
}
static void expect_child(struct clone3_args *args, size_t size) {
    long pid = child_of(args, size);
    ASSERT_OK(pid);
    EXPECT_EXITED(7, status_of(pid));
}
#define EXPECT_REFUSED(want, args, size)                       \
    do {                                                       \
        EXPECT_ERRNO(want, child_of(args, size));              \
        EXPECT_ERRNO(ECHILD, waitpid(-1, NULL, __WALL));       \
    } while (0)

TEST(the_three_published_sizes) {
    struct clone3_args args = plain();
    expect_child(&args, 64);
    expect_child(&args, 80);
    expect_child(&args, 88);
}

TEST(sizes_between_and_beyond_are_read_as_zeros) {
    struct clone3_args args = plain();
    expect_child(&args, 72);
    expect_child(&args, 65);
    expect_child(&args, 96);
    expect_child(&args, sizeof args);
}

TEST(too_small_or_too_large) {
    struct clone3_args args = plain();
    EXPECT_REFUSED(EINVAL, &args, 0);
    EXPECT_REFUSED(EINVAL, &args, 63);
    EXPECT_REFUSED(E2BIG, &args, 4097);
    EXPECT_REFUSED(E2BIG, &args, (size_t)-1);
}

TEST(a_whole_page_of_zeros) {
    char *page = shared_page();
    struct clone3_args args = plain();
    memcpy(page, &args, sizeof args);
    expect_child((void *)page, 4096);
    page[4095] = 1;
    EXPECT_REFUSED(E2BIG, (void *)page, 4096);
}

TEST(a_later_version_with_something_in_it) {
    struct clone3_args args = plain();
    args.more[0] = 1;
    expect_child(&args, 88);
    EXPECT_REFUSED(E2BIG, &args, 96);
    args.more[0] = 0;
    args.more[3] = 1ULL << 63;
    EXPECT_REFUSED(E2BIG, &args, sizeof args);
}

TEST(bad_addresses) {
    EXPECT_REFUSED(EFAULT, BAD_PTR, 64);
    EXPECT_REFUSED(EFAULT, NULL, 88);
    EXPECT_REFUSED(EINVAL, BAD_PTR, 63);
    EXPECT_REFUSED(E2BIG, BAD_PTR, 5000);
    /* The structure begins on the last mapped page. */
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(munmap(pages + 4096, 4096));
    struct clone3_args args = plain();
    memcpy(pages + 4096 - 88, &args, 88);
    expect_child((void *)(pages + 4096 - 88), 88);
    EXPECT_REFUSED(EFAULT, (void *)(pages + 4096 - 88), 96);
    EXPECT_REFUSED(EFAULT, (void *)(pages + 4096 - 80), 88);
}

TEST(unknown_flags) {
    for (int bit = 34; bit < 64; bit++) {
        struct clone3_args args = plain();
        args.flags = 1ULL << bit;
        EXPECT_REFUSED(EINVAL, &args, 88);
    }
}

TEST(the_old_signal_byte_and_detached_are_refused) {
    for (int bit = 0; bit < 7; bit++) {
        struct clone3_args args = plain();
        args.flags = 1ULL << bit;
        EXPECT_REFUSED(EINVAL, &args, 88);
    }
    struct clone3_args args = plain();
    args.flags = CLONE_DETACHED;
    EXPECT_REFUSED(EINVAL, &args, 88);
}

TEST(flags_that_do_not_go_together) {
    static const uint64_t wrong[] = {
        CLONE_THREAD,
        CLONE_SIGHAND,
        CLONE_THREAD | CLONE_VM,
        CLONE_THREAD | CLONE_SIGHAND,
        CLONE_NEWNS | CLONE_FS,
        CLONE_NEWUSER | CLONE_FS,
        CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID,
        CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER,
        CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND,
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct clone3_args args = {.flags = wrong[i]};
        EXPECT_REFUSED(EINVAL, &args, 88);
    }
}

TEST(exit_signal_is_a_signal_or_nothing) {
    static const uint64_t wrong[] = {65, 127, 255, 0x100, 0x111, 1ULL << 32 | 17, 1ULL << 63};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct clone3_args args = {.exit_signal = wrong[i]};
        EXPECT_REFUSED(EINVAL, &args, 88);
    }
    struct clone3_args last = {.exit_signal = 64};
    signal(64, SIG_IGN);
    expect_child(&last, 88);
}

TEST(threads_and_siblings_have_no_exit_signal) {
    struct clone3_args args = {.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD};
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.flags = CLONE_PARENT;
    EXPECT_REFUSED(EINVAL, &args, 88);
}

TEST(no_exit_signal_makes_a_clone_child) {
    struct clone3_args args = {0};
    long pid = child_of(&args, 88);
    ASSERT_OK(pid);
    EXPECT_ERRNO(ECHILD, waitpid(pid, NULL, 0));
    int status;
    EXPECT_EQ(waitpid(pid, &status, __WCLONE), pid);
    EXPECT_EXITED(7, status);
}

TEST(stack_and_its_size_go_together) {
    struct clone3_args args = plain();
    args.stack = (uintptr_t)new_stack();
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.stack = 0;
    args.stack_size = STACK_SIZE;
    EXPECT_REFUSED(EINVAL, &args, 88);
}

TEST(a_stack_outside_the_address_space) {
    struct clone3_args args = plain();
    args.stack = -4096ULL;
    args.stack_size = 4096;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.stack = 4096;
    args.stack_size = -4096ULL;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.stack = 1ULL << 63;
    args.stack_size = 1ULL << 63;
    EXPECT_REFUSED(EINVAL, &args, 88);
}

static void note_stack(void *arg) {
    volatile char local = 0;
    *(volatile uintptr_t *)arg = (uintptr_t)&local;
}
TEST(stack_is_its_lowest_byte) {
    uintptr_t at = 0;
    char *stack = new_stack();
    struct clone3_args args = plain();
    args.flags = CLONE_VM | CLONE_VFORK;
    args.stack = (uintptr_t)stack;
    args.stack_size = STACK_SIZE;
    long pid = clone3_call(&args, 88, note_stack, &at);
    ASSERT_TRUE(pid > 0);
    EXPECT_EXITED(0, status_of(pid));
    EXPECT_GT(at, (uintptr_t)stack + STACK_SIZE - 256);
    EXPECT_LT(at, (uintptr_t)stack + STACK_SIZE);
}

TEST(pidfd_and_tid_words_have_a_field_each) {
    int pidfd = -1, parent_tid = -1, *child_tid = shared_page();
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
    args.pidfd = (uintptr_t)&pidfd;
    args.parent_tid = (uintptr_t)&parent_tid;
    args.child_tid = (uintptr_t)child_tid;
    long pid = child_of(&args, 88);
    ASSERT_OK(pid);
    EXPECT_EQ(parent_tid, pid);
    EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    siginfo_t info;
    EXPECT_OK(waitid(P_PIDFD, pidfd, &info, WEXITED));
    EXPECT_EQ(info.si_pid, pid);
    EXPECT_EQ(info.si_status, 7);
    EXPECT_EQ(*child_tid, pid);
}

TEST(pidfd_and_parent_tid_at_one_place) {
    int word = 5;
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID;
    args.pidfd = args.parent_tid = (uintptr_t)&word;
    EXPECT_REFUSED(EINVAL, &args, 88);
    EXPECT_EQ(word, 5);
}

TEST(a_pidfd_that_cannot_be_stored) {
    int before = count_fds();
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD;
    args.pidfd = (uintptr_t)BAD_PTR;
    EXPECT_REFUSED(EFAULT, &args, 88);
    EXPECT_EQ(count_fds(), before);
}

TEST(no_descriptor_left_for_a_pidfd) {
    struct rlimit limit = {0, 0};
    int word = -7;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 0;
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD;
    args.pidfd = (uintptr_t)&word;
    EXPECT_REFUSED(EMFILE, &args, 88);
    EXPECT_EQ(word, -7);
}

TEST(the_child_does_not_inherit_its_pidfd) {
    int *pidfd = shared_page(), go[2];
    ASSERT_OK(pipe(go));
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD;
    args.pidfd = (uintptr_t)pidfd;
    long pid = raw_clone3(&args, 88);
    if (pid == 0) {
        char c;
        if (read(go[0], &c, 1) != 1) _exit(1);
        _exit(fcntl(*pidfd, F_GETFD) == -1 && errno == EBADF ? 0 : 2);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(write(go[1], "x", 1), 1);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(a_pidfd_in_a_shared_table) {
    int *pidfd = shared_page();
    struct clone3_args args = plain();
    args.flags = CLONE_PIDFD | CLONE_FILES;
    args.pidfd = (uintptr_t)pidfd;
    long pid = raw_clone3(&args, 88);
    if (pid == 0) {
        siginfo_t info;
        int open = fcntl(*pidfd, F_GETFD) == FD_CLOEXEC;
        int own = waitid(P_PIDFD, *pidfd, &info, WEXITED) == -1 && errno == ECHILD;
        _exit(open && own ? 0 : 1);
    }
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
}

TEST(bad_tid_words_are_no_error) {
    struct clone3_args args = plain();
    args.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    args.parent_tid = args.child_tid = (uintptr_t)BAD_PTR;
    expect_child(&args, 88);
}

static void nothing(void *arg) { (void)arg; }

/* A thread made by clone3, with a word that its end clears. */
static long thread_of(struct clone3_args *args, void (*body)(void *), void *arg, int *word) {
    args->flags |= THREAD_FLAGS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    args->child_tid = args->parent_tid = (uintptr_t)word;
    args->stack = (uintptr_t)new_stack();
    args->stack_size = STACK_SIZE;
    return clone3_call(args, 88, body, arg);
}

TEST(a_thread) {
    static int word;
    struct clone3_args args = {0};
    long tid = thread_of(&args, nothing, NULL, &word);
    ASSERT_TRUE(tid > 0);
    wait_cleared(&word);
    EXPECT_NE(tid, getpid());
    EXPECT_ERRNO(ECHILD, waitpid(tid, NULL, __WALL));
}

TEST(a_thread_with_a_pidfd) {
    static int word, pidfd = -1;
    struct clone3_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd};
    long tid = thread_of(&args, nothing, NULL, &word);
    ASSERT_TRUE(tid > 0);
    EXPECT_TRUE(poll_wait(pidfd) & POLLIN);
    wait_cleared(&word);
    siginfo_t info;
    EXPECT_ERRNO(ECHILD, waitid(P_PIDFD, pidfd, &info, WEXITED));
    EXPECT_TRUE(fcntl(pidfd, F_GETFL) & PIDFD_THREAD);
}

static void read_tls(void *arg) {
    uintptr_t value;
#ifdef __riscv
    __asm__ volatile("mv %0, tp" : "=r"(value));
#else
    __asm__ volatile("mov %%fs:0, %0" : "=r"(value));
#endif
    *(volatile uintptr_t *)arg = value;
}
TEST(tls_only_when_asked_for) {
    static int word;
    static uintptr_t block[64], seen;
    block[0] = (uintptr_t)block;
    uintptr_t own;
    read_tls(&own);
    struct clone3_args args = {.flags = CLONE_SETTLS, .tls = (uintptr_t)block};
    ASSERT_TRUE(thread_of(&args, read_tls, &seen, &word) > 0);
    wait_cleared(&word);
    EXPECT_EQ(seen, (uintptr_t)block);
    args = (struct clone3_args){.tls = (uintptr_t)block};
    ASSERT_TRUE(thread_of(&args, read_tls, &seen, &word) > 0);
    wait_cleared(&word);
    EXPECT_EQ(seen, own);
}

static void on_signal(int sig) { (void)sig; }
TEST(clear_sighand_drops_handlers_and_keeps_ignored) {
    struct sigaction handled = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaddset(&handled.sa_mask, SIGHUP);
    sigaction(SIGUSR1, &handled, NULL);
    signal(SIGUSR2, SIG_IGN);
    struct clone3_args args = plain();
    args.flags = CLONE_CLEAR_SIGHAND;
    long pid = raw_clone3(&args, 88);
    if (pid == 0) {
        struct sigaction one, two;
        sigaction(SIGUSR1, NULL, &one);
        sigaction(SIGUSR2, NULL, &two);
        EXPECT_TRUE(one.sa_handler == SIG_DFL);
        EXPECT_EQ(one.sa_flags & SA_RESTART, 0);
        EXPECT_EQ(sigismember(&one.sa_mask, SIGHUP), 0);
        EXPECT_TRUE(two.sa_handler == SIG_IGN);
        _exit(check_failures != 0);
    }
    ASSERT_OK(pid);
    EXPECT_EXITED(0, status_of(pid));
    struct sigaction mine;
    sigaction(SIGUSR1, NULL, &mine);
    EXPECT_TRUE(mine.sa_handler == on_signal);
}

TEST(clear_sighand_with_shared_memory) {
    struct clone3_args args = plain();
    args.flags = CLONE_CLEAR_SIGHAND | CLONE_VM | CLONE_VFORK;
    args.stack = (uintptr_t)new_stack();
    args.stack_size = STACK_SIZE;
    signal(SIGUSR1, on_signal);
    long pid = clone3_call(&args, 88, nothing, NULL);
    ASSERT_TRUE(pid > 0);
    EXPECT_EXITED(0, status_of(pid));
    struct sigaction mine;
    sigaction(SIGUSR1, NULL, &mine);
    EXPECT_TRUE(mine.sa_handler == on_signal);
}

TEST(set_tid_needs_an_array_that_fits) {
    int wanted = 4711;
    struct clone3_args args = plain();
    args.set_tid = (uintptr_t)&wanted;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.set_tid = 0;
    args.set_tid_size = 1;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.set_tid = (uintptr_t)&wanted;
    args.set_tid_size = 33;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.set_tid = (uintptr_t)BAD_PTR;
    args.set_tid_size = 1;
    EXPECT_REFUSED(EFAULT, &args, 88);
    /* The first version does not have it. */
    expect_child(&args, 64);
}

TEST(set_tid_needs_privilege) {
    be_unprivileged();
    int wanted[] = {4711, 1 << 30, 0, -1};
    struct clone3_args args = plain();
    args.set_tid_size = 1;
    args.set_tid = (uintptr_t)&wanted[0];
    EXPECT_REFUSED(EPERM, &args, 88);
    for (int i = 1; i < 4; i++) {
        args.set_tid = (uintptr_t)&wanted[i];
        EXPECT_REFUSED(EINVAL, &args, 88);
    }
}

TEST(into_cgroup_needs_a_cgroup) {
    int file = open("/dev/null", O_RDONLY), directory = open("/", O_RDONLY | O_DIRECTORY);
    struct clone3_args args = plain();
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = 999;
    EXPECT_REFUSED(EBADF, &args, 88);
    args.cgroup = file;
    EXPECT_REFUSED(EBADF, &args, 88);
    args.cgroup = directory;
    EXPECT_REFUSED(EBADF, &args, 88);
    args.cgroup = 1ULL << 31;
    EXPECT_REFUSED(EINVAL, &args, 88);
    args.cgroup = file;
    EXPECT_REFUSED(EINVAL, &args, 80);
    EXPECT_REFUSED(EINVAL, &args, 64);
    /* Without the flag nobody looks. */
    args.flags = 0;
    args.cgroup = -1ULL;
    expect_child(&args, 88);
}

TEST(a_failure_closes_the_pidfd) {
    int before = count_fds(), pidfd = -1, parent_tid = 77;
    struct clone3_args args = plain();
    args.flags = CLONE_INTO_CGROUP | CLONE_PIDFD | CLONE_PARENT_SETTID;
    args.pidfd = (uintptr_t)&pidfd;
    args.parent_tid = (uintptr_t)&parent_tid;
    args.cgroup = 999;
    EXPECT_REFUSED(EBADF, &args, 88);
    EXPECT_EQ(count_fds(), before);
    EXPECT_EQ(parent_tid, 77);
}

TEST(namespaces_need_privilege) {
    static const uint64_t spaces[] = {CLONE_NEWNS,  CLONE_NEWUTS,    CLONE_NEWIPC, CLONE_NEWPID,
                                      CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWTIME};
    be_unprivileged();
    for (unsigned i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        struct clone3_args args = plain();
        args.flags = spaces[i];
        EXPECT_REFUSED(EPERM, &args, 88);
    }
}

TEST(vfork_waits) {
    int *word = shared_page();
    struct clone3_args args = plain();
    args.flags = CLONE_VFORK;
    long pid = raw_clone3(&args, 88);
    if (pid == 0) {
        sleep_ms(20);
        *word = 9;
        _exit(7);
    }
    ASSERT_OK(pid);
    EXPECT_EQ(*word, 9);
    EXPECT_EXITED(7, status_of(pid));
}

TEST(a_sibling) {
    int *word = shared_page(), status;
    pid_t middle = fork();
    if (middle == 0) {
        struct clone3_args args = {.flags = CLONE_PARENT};
        long pid = raw_clone3(&args, 88);
        if (pid == 0) _exit(getppid() == word[1] ? 21 : 22);
        word[0] = pid;
        /* It is not this process's to wait for. */
        _exit(pid > 0 && waitpid(pid, NULL, __WALL) == -1 && errno == ECHILD ? 0 : 1);
    }
    word[1] = getpid();
    EXPECT_EXITED(0, status_of(middle));
    EXPECT_EQ(waitpid(word[0], &status, 0), word[0]);
    EXPECT_EXITED(21, status);
}

TEST(signals_do_not_make_it_fail) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 60; i++) {
        struct clone3_args args = plain();
        long pid = child_of(&args, 88);
        ASSERT_OK(pid);
        int status;
        while (waitpid(pid, &status, 0) == -1) ASSERT_EQ(errno, EINTR);
        EXPECT_EXITED(7, status);
    }
}
