/* Interrupted system calls (signal(7), "Interruption of system calls and library
 * functions by signal handlers"): which go on after a handler, which after a stop. */
#include "signals.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <linux/futex.h>

/* A call that blocks, and what lets it succeed. */
struct blocking {
    long (*call)(void);
    void (*finish)(void);
};
enum { RESTARTS = -1000 };
static volatile int entered, returned, handled;
static pid_t main_tid;
static const struct blocking *trial;
static volatile int how_it_went;

static void handler(int sig) {
    (void)sig;
    __atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
}
/* Asleep in the call, not on the way to it: seen twice, with time for a step between. */
static int asleep(void) {
    for (int i = 0; i < 10000 && !returned; i++) {
        if (state_of(getpid(), main_tid) == 'S') {
            usleep(1000);
            if (state_of(getpid(), main_tid) == 'S' && !returned) return 1;
        }
        usleep(200);
    }
    return 0;
}
static void *interrupt(void *unused) {
    raw_mask(SIG_SETMASK, ~0ull, NULL);
    wait_value(&entered, 1);
    if (!asleep()) return unused;
    syscall(SYS_tgkill, getpid(), main_tid, SIGUSR1);
    if (!wait_value(&handled, 1)) return unused;
    if (asleep()) {
        how_it_went = RESTARTS;
        trial->finish();
    }
    return unused;
}
/* The errno that the handler made it fail with, RESTARTS when it went on, or 0. */
static int with_handler(const struct blocking *what, int flags) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
    main_tid = gettid();
    trial = what;
    entered = returned = handled = how_it_went = 0;
    pthread_create(&thread, NULL, interrupt, NULL);
    entered = 1;
    errno = 0;
    long result = what->call();
    int error = result == -1 ? errno : 0;
    returned = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(handled, 1);
    if (how_it_went == RESTARTS) {
        EXPECT_TRUE(result != -1);
        return RESTARTS;
    }
    return error;
}

/* The same with a stop and SIGCONT instead of a handler. */
static int after_stop(const struct blocking *what) {
    volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(shared != MAP_FAILED);
    shared[0] = shared[1] = 0;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        wait_value(&shared[0], 1);
        for (int i = 0; i < 10000; i++) {
            if (state_of(parent, parent) == 'S') {
                usleep(1000);
                if (state_of(parent, parent) == 'S') break;
            }
            usleep(200);
        }
        kill(parent, SIGSTOP);
        int stopped = wait_state(parent, parent, 'T');
        kill(parent, SIGCONT);
        if (!stopped) _exit(2);
        for (int i = 0; i < 10000 && !shared[1]; i++) {
            if (state_of(parent, parent) == 'S') {
                usleep(1000);
                if (state_of(parent, parent) == 'S' && !shared[1]) {
                    what->finish();
                    _exit(7);
                }
            }
            usleep(200);
        }
        _exit(0);
    }
    shared[0] = 1;
    errno = 0;
    long result = what->call();
    int error = result == -1 ? errno : 0;
    shared[1] = 1;
    int status = 0;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    EXPECT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 7) {
        EXPECT_TRUE(result != -1);
        return RESTARTS;
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return error;
}

/* ERESTARTSYS: SA_RESTART decides. */
#define RESTARTS_IF_ASKED(what)                                                 \
    do {                                                                        \
        EXPECT_EQ(with_handler(&what, 0), EINTR);                               \
        EXPECT_EQ(with_handler(&what, SA_RESTART), RESTARTS);                   \
        EXPECT_EQ(after_stop(&what), RESTARTS);                                 \
    } while (0)
/* ERESTARTNOHAND, restart blocks: a handler ends them, a stop does not. */
#define ENDED_BY_HANDLERS(what)                                                 \
    do {                                                                        \
        EXPECT_EQ(with_handler(&what, 0), EINTR);                               \
        EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);                      \
        EXPECT_EQ(after_stop(&what), RESTARTS);                                 \
    } while (0)
/* Ended by whatever interrupts. */
#define ALWAYS_ENDED(what)                                                      \
    do {                                                                        \
        EXPECT_EQ(with_handler(&what, 0), EINTR);                               \
        EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);                      \
        EXPECT_EQ(after_stop(&what), EINTR);                                    \
    } while (0)

static int ends[2];
static char byte;
static long read_pipe(void) { return read(ends[0], &byte, 1); }
static void write_byte(void) { if (write(ends[1], "x", 1) != 1) _exit(9); }
TEST(read_of_a_pipe) {
    static const struct blocking what = {read_pipe, write_byte};
    ASSERT_OK(pipe(ends));
    RESTARTS_IF_ASKED(what);
}

static long readv_pipe(void) { struct { void *p; size_t n; } v = {&byte, 1}; return syscall(SYS_readv, ends[0], &v, 1); }
TEST(readv_of_a_pipe) {
    static const struct blocking what = {readv_pipe, write_byte};
    ASSERT_OK(pipe(ends));
    RESTARTS_IF_ASKED(what);
}

static char big[65536];
static long write_pipe(void) { return write(ends[1], big, 4096); }
static void drain(void) { if (read(ends[0], big, sizeof big) < 1) _exit(9); }
static void fill(void) {
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], big, 4096) > 0) {}
    fcntl(ends[1], F_SETFL, 0);
}
static long fill_and_write(void) { fill(); return write_pipe(); }
TEST(write_to_a_full_pipe) {
    static const struct blocking what = {fill_and_write, drain};
    ASSERT_OK(pipe(ends));
    RESTARTS_IF_ASKED(what);
}

/* Part of the work done: that much, no error. */
static long write_too_much(void) {
    static char more[200000];
    return write(ends[1], more, sizeof more);
}
TEST(a_write_that_moved_something_tells_how_much) {
    static const struct blocking what = {write_too_much, drain};
    ASSERT_OK(pipe(ends));
    EXPECT_EQ(with_handler(&what, SA_RESTART), 0);
}

static int event;
static long read_event(void) { uint64_t v; return read(event, &v, 8); }
static void add_event(void) { uint64_t one = 1; if (write(event, &one, 8) != 8) _exit(9); }
TEST(read_of_an_eventfd) {
    static const struct blocking what = {read_event, add_event};
    ASSERT_OK(event = eventfd(0, 0));
    RESTARTS_IF_ASKED(what);
}
static long write_event(void) { uint64_t v = 1; return write(event, &v, 8); }
static void take_event(void) { uint64_t v; if (read(event, &v, 8) != 8) _exit(9); }
static long fill_and_write_event(void) {
    uint64_t most = 0xfffffffffffffffeull, old;
    fcntl(event, F_SETFL, O_NONBLOCK);
    if (read(event, &old, 8) != 8 && errno != EAGAIN) return -2;
    if (write(event, &most, 8) != 8) return -2;
    fcntl(event, F_SETFL, 0);
    return write_event();
}
TEST(write_to_a_full_eventfd) {
    static const struct blocking what = {fill_and_write_event, take_event};
    ASSERT_OK(event = eventfd(1, 0));
    RESTARTS_IF_ASKED(what);
}

static int timer;
static long read_timer(void) { uint64_t v; return read(timer, &v, 8); }
static void let_timer_expire(void) {
    struct itimerspec soon = {.it_value = {0, 1000}};
    timerfd_settime(timer, 0, &soon, NULL);
}
TEST(read_of_a_timerfd) {
    static const struct blocking what = {read_timer, let_timer_expire};
    ASSERT_OK(timer = timerfd_create(CLOCK_MONOTONIC, 0));
    RESTARTS_IF_ASKED(what);
}

static int signals;
static long read_signals(void) { struct signalfd_siginfo v; return read(signals, &v, sizeof v); }
static void send_usr2(void) { syscall(SYS_tgkill, getppid() == main_tid ? getppid() : getpid(), main_tid, SIGUSR2); }
TEST(read_of_a_signalfd) {
    static const struct blocking what = {read_signals, send_usr2};
    uint64_t set = BIT(SIGUSR2);
    block(SIGUSR2);
    main_tid = gettid();
    ASSERT_OK(signals = syscall(SYS_signalfd4, -1, &set, 8, 0));
    RESTARTS_IF_ASKED(what);
}

/* A child for each round: with_handler and after_stop call once. */
static volatile int *gate;
static pid_t gated;
static long wait_gated(void) {
    *gate = 0;
    gated = fork();
    if (gated == 0) {
        raw_mask(SIG_SETMASK, ~0ull, NULL);
        while (!*gate) usleep(500);
        _exit(0);
    }
    return waitpid(gated, NULL, 0);
}
static void open_gate(void) { *gate = 1; }
static long waitid_gated(void) {
    siginfo_t info;
    *gate = 0;
    gated = fork();
    if (gated == 0) {
        raw_mask(SIG_SETMASK, ~0ull, NULL);
        while (!*gate) usleep(500);
        _exit(0);
    }
    return waitid(P_PID, gated, &info, WEXITED);
}
static void reap(void) {
    *gate = 1;
    while (waitpid(gated, NULL, 0) == -1 && errno == EINTR) {}
}
static void wait_trial(const struct blocking *what) {
    gate = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(with_handler(what, 0), EINTR);
    reap();
    EXPECT_EQ(with_handler(what, SA_RESTART), RESTARTS);
    EXPECT_EQ(after_stop(what), RESTARTS);
}
TEST(wait4_for_a_child) {
    static const struct blocking what = {wait_gated, open_gate};
    wait_trial(&what);
}
TEST(waitid_for_a_child) {
    static const struct blocking what = {waitid_gated, open_gate};
    wait_trial(&what);
}

static volatile uint32_t *word;
static long futex(int op, uint32_t value, struct timespec *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long futex_wait(void) { return futex(FUTEX_WAIT, 0, NULL); }
static void futex_wake(void) { if (futex(FUTEX_WAKE, 1, NULL) != 1) _exit(9); }
static long futex_wait_timed(void) { struct timespec t = {30, 0}; return futex(FUTEX_WAIT, 0, &t); }
static void new_word(void) {
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_TRUE(word != MAP_FAILED);
}
TEST(futex_wait_without_timeout) {
    static const struct blocking what = {futex_wait, futex_wake};
    new_word();
    RESTARTS_IF_ASKED(what);
}
TEST(futex_wait_with_timeout) {
    static const struct blocking what = {futex_wait_timed, futex_wake};
    new_word();
    ENDED_BY_HANDLERS(what);
}

/* Sleeps that a handler cuts short are long; those that go on after a stop end by
 * themselves, late enough for the stop to fall into them. */
static struct timespec rest;
static long sleep_s;
#define SLEEP_ENDED_BY_HANDLERS(what)                                           \
    do {                                                                        \
        sleep_s = 30;                                                           \
        EXPECT_EQ(with_handler(&what, 0), EINTR);                               \
        EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);                      \
        sleep_s = 1;                                                            \
        EXPECT_EQ(after_stop(&what), RESTARTS);                                 \
    } while (0)
static void nothing(void) {}
static long sleep_some(void) { struct timespec t = {sleep_s, 0}; return nanosleep(&t, &rest); }
TEST(nanosleep_remains) {
    static const struct blocking what = {sleep_some, nothing};
    sleep_s = 30;
    EXPECT_EQ(with_handler(&what, 0), EINTR);
    EXPECT_TRUE(rest.tv_sec < 30 && rest.tv_sec >= 10 && rest.tv_nsec > 0);
    EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);
    sleep_s = 1;
    long long start = now_ns();
    EXPECT_EQ(after_stop(&what), RESTARTS);
    EXPECT_GE(now_ns() - start, 1000000000);
}
static long sleep_relative(void) {
    struct timespec t = {sleep_s, 0};
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}
TEST(clock_nanosleep_relative) {
    static const struct blocking what = {sleep_relative, nothing};
    SLEEP_ENDED_BY_HANDLERS(what);
}
static long sleep_absolute(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += sleep_s;
    rest = (struct timespec){77, 77};
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &rest);
}
TEST(clock_nanosleep_absolute) {
    static const struct blocking what = {sleep_absolute, nothing};
    SLEEP_ENDED_BY_HANDLERS(what);
    EXPECT_EQ(rest.tv_sec, 77);
}

static long poll_pipe(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    struct timespec t = {30, 0};
    return syscall(SYS_ppoll, &fd, 1, &t, NULL, 8);
}
static void write_byte_later(void) { write_byte(); }
static long poll_fresh(void) {
    /* What the round before left behind. */
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (read(ends[0], big, sizeof big) > 0) {}
    return poll_pipe();
}
TEST(ppoll_waits) {
    static const struct blocking what = {poll_fresh, write_byte_later};
    ASSERT_OK(pipe(ends));
    ENDED_BY_HANDLERS(what);
}
static long pause_by_ppoll(void) { return syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8); }
TEST(pause_is_ended_by_handlers) {
    static const struct blocking what = {pause_by_ppoll, nothing};
    EXPECT_EQ(with_handler(&what, 0), EINTR);
    EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);
}
static long select_fresh(void) {
    fd_set set;
    struct timespec t = {30, 0};
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (read(ends[0], big, sizeof big) > 0) {}
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return syscall(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &t, NULL);
}
TEST(pselect6_waits) {
    static const struct blocking what = {select_fresh, write_byte_later};
    ASSERT_OK(pipe(ends));
    ENDED_BY_HANDLERS(what);
}
static int poller;
static long epoll_fresh(void) {
    struct epoll_event got;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    while (read(ends[0], big, sizeof big) > 0) {}
    return syscall(SYS_epoll_pwait, poller, &got, 1, 30000, NULL, 8);
}
TEST(epoll_pwait_always_ends) {
    static const struct blocking what = {epoll_fresh, write_byte_later};
    ASSERT_OK(pipe(ends));
    ASSERT_OK(poller = epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    ASSERT_OK(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event));
    ALWAYS_ENDED(what);
}
static long wait_timed(void) {
    uint64_t set = BIT(SIGUSR2);
    struct timespec t = {30, 0};
    return syscall(SYS_rt_sigtimedwait, &set, NULL, &t, 8);
}
TEST(rt_sigtimedwait_always_ends) {
    static const struct blocking what = {wait_timed, nothing};
    block(SIGUSR2);
    ALWAYS_ENDED(what);
}
static long suspend(void) {
    uint64_t none = 0;
    return syscall(SYS_rt_sigsuspend, &none, 8);
}
TEST(rt_sigsuspend_is_ended_by_handlers) {
    static const struct blocking what = {suspend, nothing};
    EXPECT_EQ(with_handler(&what, 0), EINTR);
    EXPECT_EQ(with_handler(&what, SA_RESTART), EINTR);
}

/* Locks: held by a child that lets go when told. */
static int lock_fd;
static pid_t holder;
static void hold_lock(int kind) {
    int ready[2];
    char c;
    *gate = 0;
    ASSERT_OK(pipe(ready));
    holder = fork();
    if (holder == 0) {
        raw_mask(SIG_SETMASK, ~0ull, NULL);
        int fd = open("lock", O_RDWR | O_CREAT, 0600);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (kind ? fcntl(fd, F_SETLK, &whole) : flock(fd, LOCK_EX)) _exit(1);
        if (write(ready[1], "r", 1) != 1) _exit(1);
        while (!*gate) usleep(500);
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &c, 1) != 1) FAIL("the holder did not lock");
    close(ready[0]);
}
static long flock_held(void) { return flock(lock_fd, LOCK_EX); }
static long setlkw_held(void) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(lock_fd, F_SETLKW, &whole);
}
static void release_holder(void) {
    *gate = 1;
    while (waitpid(holder, NULL, 0) == -1 && errno == EINTR) {}
}
static void lock_trial(const struct blocking *what, int kind) {
    gate = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(lock_fd = open("lock", O_RDWR | O_CREAT, 0600));
    // Held before the trial: only the call itself is to sleep.
    hold_lock(kind);
    EXPECT_EQ(with_handler(what, 0), EINTR);
    release_holder();
    hold_lock(kind);
    EXPECT_EQ(with_handler(what, SA_RESTART), RESTARTS);
    release_holder();
}
TEST(flock_of_a_held_lock) {
    static const struct blocking what = {flock_held, open_gate};
    lock_trial(&what, 0);
}
TEST(f_setlkw_of_a_held_lock) {
    static const struct blocking what = {setlkw_held, open_gate};
    lock_trial(&what, 1);
}

static long open_fifo(void) {
    int fd = open("fifo", O_RDONLY);
    if (fd >= 0) close(fd);
    return fd;
}
static void open_other_end(void) { close(open("fifo", O_WRONLY)); }
static long ofd_setlkw_held(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(lock_fd, F_OFD_SETLKW, &lock);
}
TEST(f_ofd_setlkw_of_a_held_lock) {
    static const struct blocking what = {ofd_setlkw_held, open_gate};
    lock_trial(&what, 1);
}

TEST(open_of_a_fifo) {
    static const struct blocking what = {open_fifo, open_other_end};
    ASSERT_OK(mkfifo("fifo", 0600));
    RESTARTS_IF_ASKED(what);
}

static long splice_pipe(void) {
    static int other[2] = {-1, -1};
    if (other[0] < 0 && pipe(other)) return -2;
    return syscall(SYS_splice, ends[0], NULL, other[1], NULL, 1, 0);
}
TEST(splice_between_pipes) {
    static const struct blocking what = {splice_pipe, write_byte};
    ASSERT_OK(pipe(ends));
    RESTARTS_IF_ASKED(what);
}

/* restart_syscall(2) by itself has nothing to go on with. */
TEST(restart_syscall_of_nothing) {
#ifdef SYS_restart_syscall
    EXPECT_ERRNO(EINTR, syscall(SYS_restart_syscall));
#endif
}

/* A handler that returns ends a restart block: no call is found to go on with. */
/* Until the handler returns, what it interrupted can be gone on with by number; a
 * child that it makes can do so, too. */
static long long sleep_ends;
static void go_on_in_child(int sig) {
    (void)sig;
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT_EQ(syscall(SYS_restart_syscall), 0);
        EXPECT_GE(now_ns(), sleep_ends);
        _exit(check_failures ? 1 : 0);
    }
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EXITED(0, status);
}
static void go_on_in_handler(int sig) {
    (void)sig;
    EXPECT_EQ(syscall(SYS_restart_syscall), 0);
    EXPECT_GE(now_ns(), sleep_ends);
    // Its time is over.
    EXPECT_EQ(syscall(SYS_restart_syscall), 0);
}
static void sleep_under(void (*handler)(int)) {
    struct itimerval soon = {{0, 0}, {0, 5000}};
    struct timespec whole = {0, 60000000};
    signal(SIGALRM, handler);
    sleep_ends = now_ns() + 60000000;
    setitimer(ITIMER_REAL, &soon, NULL);
    EXPECT_ERRNO(EINTR, nanosleep(&whole, NULL));
}
TEST(a_handler_may_go_on_with_what_it_interrupted) { sleep_under(go_on_in_handler); }
TEST(a_child_may_go_on_with_what_its_parent_began) { sleep_under(go_on_in_child); }

TEST(a_handlers_return_forgets_what_was_to_be_restarted) {
    static const struct blocking what = {sleep_some, nothing};
    sleep_s = 30;
    EXPECT_EQ(with_handler(&what, 0), EINTR);
#ifdef SYS_restart_syscall
    EXPECT_ERRNO(EINTR, syscall(SYS_restart_syscall));
#endif
}

/* An ignored signal interrupts nothing. */
static void *ignored_sender(void *unused) {
    wait_value(&entered, 1);
    if (!asleep()) return unused;
    for (int i = 0; i < 5; i++) kill(getpid(), SIGURG), kill(getpid(), SIGUSR2), usleep(1000);
    if (asleep()) write_byte();
    return unused;
}
TEST(ignored_signals_do_not_interrupt) {
    pthread_t thread;
    struct epoll_event event = {.events = EPOLLIN}, got;
    ASSERT_OK(pipe(ends));
    ASSERT_OK(poller = epoll_create1(0));
    ASSERT_OK(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event));
    signal(SIGUSR2, SIG_IGN);
    main_tid = gettid();
    pthread_create(&thread, NULL, ignored_sender, NULL);
    entered = 1;
    EXPECT_EQ(epoll_wait(poller, &got, 1, 30000), 1);
    returned = 1;
    pthread_join(thread, NULL);
}

/* Arguments are those of the call, though a0 holds its result meanwhile. */
TEST(a_restarted_call_has_its_arguments) {
    static const struct blocking what = {read_pipe, write_byte};
    ASSERT_OK(pipe(ends));
    for (int i = 0; i < 5; i++) {
        byte = 0;
        EXPECT_EQ(with_handler(&what, SA_RESTART), RESTARTS);
        EXPECT_EQ(byte, 'x');
    }
}
