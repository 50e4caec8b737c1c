/* Foreground and background: who may read, write and change the terminal, what
 * stops and goes on, and orphaned groups (setpgid(2), termios(3), wait(2)). */
#include "tty.h"
#include <pthread.h>

static struct pair tty_pair;
/* Waits for a change of a child: its status, or -1. */
static int change_of(pid_t pid) {
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED), pid);
    return status;
}
#define EXPECT_STOPPED(sig, status)                                             \
    do {                                                                        \
        int s_ = (status);                                                      \
        if (!WIFSTOPPED(s_) || WSTOPSIG(s_) != (sig)) FAIL("status 0x%x, expected a stop by %d", s_, sig); \
    } while (0)
static void make_front(pid_t pgrp) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    sigprocmask(SIG_BLOCK, &set, &old);
    ASSERT_OK(tcsetpgrp(tty_pair.s, pgrp));
    sigprocmask(SIG_SETMASK, &old, NULL);
}
static void end(pid_t pid) {
    kill(pid, SIGKILL);
    finish(pid);
}
/* Runs `body` as a session leader with the terminal `tty_pair`. */
static void with_terminal(void *body) {
    tty_pair = own_terminal();
    ((void (*)(void))body)();
}
#define SESSION_TEST(name)                                                      \
    static void session_##name(void);                                           \
    TEST(name) { EXPECT_EXITED(0, in_session(with_terminal, (void *)session_##name)); } \
    static void session_##name(void)

static void reads_x(void *unused) {
    (void)unused;
    EXPECT_READ(tty_pair.s, 100, "x\n");
}
SESSION_TEST(a_background_reader_stops) {
    pid_t pid = spawn_group(reads_x, NULL);
    EXPECT_STOPPED(SIGTTIN, change_of(pid));
    EXPECT_EQ(tcgetpgrp(tty_pair.s), getpgrp());
    /* Continued in the background, it stops again. */
    kill(pid, SIGCONT);
    int status = change_of(pid);
    if (WIFCONTINUED(status)) status = change_of(pid);
    EXPECT_STOPPED(SIGTTIN, status);
    /* In the foreground it reads. */
    make_front(pid);
    PUT(tty_pair.m, "x\n");
    kill(-pid, SIGCONT);
    EXPECT_EXITED(0, finish(pid));
}

static void reads_as_member(void *member) {
    *(volatile pid_t *)member = getpid();
    reads_x(NULL);
}
static void sets_off_group(void *member) {
    spawn(reads_as_member, member);
    for (;;) pause();
}
SESSION_TEST(the_whole_group_stops) {
    volatile pid_t *member = shared_page();
    pid_t pid = spawn_group(sets_off_group, (void *)member);
    EXPECT_STOPPED(SIGTTIN, change_of(pid));
    EXPECT_TRUE(EVENTUALLY(IS_STOPPED(*member)));
    end(pid);
}

static void reads_ignoring(void *how) {
    if (*(int *)how == 0) signal(SIGTTIN, SIG_IGN);
    else {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTTIN);
        sigprocmask(SIG_BLOCK, &set, NULL);
    }
    char c;
    EXPECT_ERRNO(EIO, read(tty_pair.s, &c, 1));
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGTTIN), 0);
}
SESSION_TEST(a_reader_that_cannot_stop_fails) {
    for (int how = 0; how < 2; how++) EXPECT_EXITED(0, change_of(spawn_group(reads_ignoring, &how)));
}

static volatile int caught;
static void on_signal(int sig) { caught = sig; }
static void reads_handling(void *unused) {
    (void)unused;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTTIN, &action, NULL);
    char c;
    EXPECT_ERRNO(EINTR, read(tty_pair.s, &c, 1));
    EXPECT_EQ(caught, SIGTTIN);
}
SESSION_TEST(a_readers_handler_runs) { EXPECT_EXITED(0, change_of(spawn_group(reads_handling, NULL))); }

struct report {
    volatile int done, result, error, other;
};
static struct report *report;
static void orphan_changes(void *unused) {
    (void)unused;
    pid_t parent = getpid();
    if (fork() == 0) {
        alarm(9);
        ASSERT_TRUE(EVENTUALLY(getppid() != parent));
        struct termios t;
        tcgetattr(tty_pair.s, &t);
        errno = 0;
        report->result = tcsetattr(tty_pair.s, TCSANOW, &t);
        report->error = errno;
        errno = 0;
        report->other = write(tty_pair.s, "x", 1) == -1 ? errno : 0;
        report->done = 1;
        _exit(0);
    }
    _exit(0);
}
SESSION_TEST(an_orphaned_group_fails_instead) {
    report = shared_page();
    change_local(tty_pair.s, 0, TOSTOP);
    finish(spawn_group(orphan_changes, NULL));
    EXPECT_TRUE(EVENTUALLY(report->done));
    EXPECT_EQ(report->result, -1);
    EXPECT_EQ(report->error, EIO);
    EXPECT_EQ(report->other, EIO);
}
static void orphan_reads(void *unused) {
    (void)unused;
    pid_t parent = getpid();
    if (fork() == 0) {
        alarm(9);
        ASSERT_TRUE(EVENTUALLY(getppid() != parent));
        char c;
        errno = 0;
        report->result = read(tty_pair.s, &c, 1);
        report->error = errno;
        report->other = tcsetpgrp(tty_pair.s, getpgrp()) == -1 ? errno : 0;
        report->done = 1;
        _exit(0);
    }
    _exit(0);
}
SESSION_TEST(an_orphaned_reader_fails) {
    report = shared_page();
    finish(spawn_group(orphan_reads, NULL));
    EXPECT_TRUE(EVENTUALLY(report->done));
    EXPECT_EQ(report->result, -1);
    EXPECT_EQ(report->error, EIO);
    EXPECT_EQ(report->other, ENOTTY);
}

static void writes_x(void *how) {
    if (*(int *)how == 1) signal(SIGTTOU, SIG_IGN);
    if (*(int *)how == 2) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTTOU);
        sigprocmask(SIG_BLOCK, &set, NULL);
    }
    PUT(tty_pair.s, "x");
}
SESSION_TEST(a_background_writer_may_write) {
    int how = 0;
    EXPECT_EXITED(0, change_of(spawn_group(writes_x, &how)));
    EXPECT_BYTES(tty_pair.m, "x");
}
SESSION_TEST(with_tostop_a_background_writer_stops) {
    change_local(tty_pair.s, 0, TOSTOP);
    int how = 0;
    pid_t pid = spawn_group(writes_x, &how);
    EXPECT_STOPPED(SIGTTOU, change_of(pid));
    EXPECT_QUIET(tty_pair.m);
    change_local(tty_pair.s, TOSTOP, 0);
    kill(pid, SIGCONT);
    EXPECT_EXITED(0, finish(pid));
    EXPECT_BYTES(tty_pair.m, "x");
    change_local(tty_pair.s, 0, TOSTOP);
    for (how = 1; how <= 2; how++) {
        EXPECT_EXITED(0, change_of(spawn_group(writes_x, &how)));
        EXPECT_BYTES(tty_pair.m, "x");
    }
}

static void changes(void *how) {
    struct termios t;
    EXPECT_OK(tcgetattr(tty_pair.s, &t));
    switch (*(int *)how) {
    case 0: tcsetattr(tty_pair.s, TCSANOW, &t); break;
    case 1: tcsetattr(tty_pair.s, TCSAFLUSH, &t); break;
    case 2: tcflush(tty_pair.s, TCIFLUSH); break;
    case 3: tcflow(tty_pair.s, TCOON); break;
    case 4: tcsendbreak(tty_pair.s, 0); break;
    case 5: tcdrain(tty_pair.s); break;
    case 6: tcsetpgrp(tty_pair.s, getpgrp()); break;
    case 7: tcsetattr(tty_pair.m, TCSANOW, &t); break;
    }
    _exit(3);
}
SESSION_TEST(changes_from_the_background_stop) {
    for (int how = 0; how < 8; how++) {
        pid_t pid = spawn_group(changes, &how);
        int status = change_of(pid);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTTOU) FAIL("change %d: status 0x%x", how, status);
        EXPECT_EQ(tcgetpgrp(tty_pair.s), getpgrp());
        make_front(pid);
        kill(pid, SIGCONT);
        EXPECT_EXITED(3, finish(pid));
        make_front(getpgrp());
    }
}
static void changes_ignoring(void *unused) {
    (void)unused;
    signal(SIGTTOU, SIG_IGN);
    change_local(tty_pair.s, ECHOK, 0);
    EXPECT_OK(tcflush(tty_pair.s, TCIFLUSH));
    EXPECT_OK(tcsetpgrp(tty_pair.s, getpgrp()));
}
SESSION_TEST(changes_go_through_when_ignored) {
    EXPECT_EXITED(0, change_of(spawn_group(changes_ignoring, NULL)));
    EXPECT_EQ(get_attr(tty_pair.m).c_lflag & ECHOK, 0);
}

struct heard {
    volatile int is_ready, signal, code, pid, count;
};
static struct heard *heard;
static void on_info(int sig, siginfo_t *info, void *context) {
    (void)context;
    static struct heard *mine;
    mine = heard;
    mine->signal = sig;
    mine->code = info->si_code;
    mine->pid = info->si_pid;
    mine->count++;
}
static void listens(void *slot) {
    heard = slot;
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGQUIT, &action, NULL);
    sigaction(SIGTSTP, &action, NULL);
    heard->is_ready = 1;
    for (;;) pause();
}
static void listens_twice(void *slots) {
    struct heard *h = slots;
    spawn(listens, &h[1]);
    listens(&h[0]);
}
SESSION_TEST(keys_signal_the_foreground) {
    struct heard *h = shared_page();
    pid_t front = spawn_group(listens_twice, h), back = spawn_group(listens, &h[2]);
    make_front(front);
    signal(SIGINT, on_signal);
    signal(SIGQUIT, on_signal);
    signal(SIGTSTP, on_signal);
    EXPECT_TRUE(EVENTUALLY(h[0].is_ready && h[1].is_ready && h[2].is_ready));
    const char *keys[] = {"\003", "\034", "\032"};
    int signals[] = {SIGINT, SIGQUIT, SIGTSTP};
    for (int i = 0; i < 3; i++) {
        put_bytes(tty_pair.m, keys[i], 1);
        EXPECT_TRUE(EVENTUALLY(h[0].count == i + 1 && h[1].count == i + 1));
        for (int j = 0; j < 2; j++) {
            EXPECT_EQ(h[j].signal, signals[i]);
            EXPECT_EQ(h[j].code, SI_KERNEL);
            EXPECT_EQ(h[j].pid, 0);
        }
    }
    EXPECT_EQ(h[2].count, 0);
    EXPECT_EQ(caught, 0);
    signal(SIGTTOU, SIG_IGN);
    change_local(tty_pair.m, ISIG, 0);
    PUT(tty_pair.m, "\003");
    EXPECT_BYTES(tty_pair.m, "^C^\\^Z^C");
    EXPECT_EQ(h[0].count, 3);
    kill(-front, SIGKILL);
    finish(front);
    end(back);
}

static void counts_on(void *slot) {
    volatile long *n = slot;
    for (;;) ++*n;
}
static void *thread_counts(void *slot) {
    counts_on(slot);
    return NULL;
}
static void threads_count(void *slots) {
    pthread_t thread;
    for (int i = 1; i < 4; i++) pthread_create(&thread, NULL, i < 3 ? thread_counts : (void *(*)(void *))(void *)pause, (long *)slots + i);
    counts_on(slots);
}
static volatile siginfo_t child_info;
static volatile int child_changes;
static void on_child(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    memcpy((void *)&child_info, info, sizeof *info);
    child_changes++;
}
SESSION_TEST(the_suspend_key_stops_every_thread) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    volatile long *n = shared_page();
    pid_t pid = spawn_group(threads_count, (void *)n);
    make_front(pid);
    EXPECT_TRUE(EVENTUALLY(n[0] > 0 && n[1] > 0 && n[2] > 0));
    for (int round = 0; round < 3; round++) {
        child_changes = 0;
        PUT(tty_pair.m, "\032");
        EXPECT_STOPPED(SIGTSTP, change_of(pid));
        EXPECT_TRUE(EVENTUALLY(child_changes == 1));
        EXPECT_EQ(child_info.si_code, CLD_STOPPED);
        EXPECT_EQ(child_info.si_status, SIGTSTP);
        EXPECT_EQ(child_info.si_pid, pid);
        EXPECT_TRUE(IS_STOPPED(pid));
        long then[3] = {n[0], n[1], n[2]};
        sleep_ms(3);
        for (int i = 0; i < 3; i++) EXPECT_EQ(n[i], then[i]);
        kill(pid, SIGCONT);
        EXPECT_TRUE(WIFCONTINUED(change_of(pid)));
        EXPECT_TRUE(EVENTUALLY(child_changes == 2));
        EXPECT_EQ(child_info.si_code, CLD_CONTINUED);
        EXPECT_EQ(child_info.si_status, SIGCONT);
        EXPECT_TRUE(EVENTUALLY(n[0] > then[0] && n[1] > then[1] && n[2] > then[2]));
    }
    end(pid);
}

static void pauses(void *unused) {
    (void)unused;
    for (;;) pause();
}
SESSION_TEST(a_stopped_process_dies_at_once) {
    pid_t pid = spawn_group(pauses, NULL);
    make_front(pid);
    PUT(tty_pair.m, "\032");
    EXPECT_STOPPED(SIGTSTP, change_of(pid));
    /* Other signals wait for SIGCONT. */
    kill(pid, SIGTERM);
    sleep_ms(3);
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    EXPECT_TRUE(IS_STOPPED(pid));
    kill(pid, SIGCONT);
    EXPECT_SIGNALED(SIGTERM, finish(pid));
    pid = spawn_group(pauses, NULL);
    kill(pid, SIGSTOP);
    EXPECT_STOPPED(SIGSTOP, change_of(pid));
    kill(pid, SIGKILL);
    EXPECT_SIGNALED(SIGKILL, finish(pid));
}

static void on_stop_key(int sig) {
    /* As editors do: set things right, then stop for real. */
    signal(sig, SIG_DFL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &set, &old);
    sigprocmask(SIG_SETMASK, &old, NULL);
    caught++;
}
static void edits(void *ready) {
    signal(SIGTSTP, on_stop_key);
    *(volatile int *)ready = 1;
    while (!caught) pause();
    EXPECT_EQ(caught, 1);
}
SESSION_TEST(a_handler_stops_itself) {
    volatile int *ready = shared_page();
    pid_t pid = spawn_group(edits, (void *)ready);
    make_front(pid);
    EXPECT_TRUE(EVENTUALLY(*ready));
    PUT(tty_pair.m, "\032");
    EXPECT_STOPPED(SIGTSTP, change_of(pid));
    kill(-pid, SIGCONT);
    EXPECT_EXITED(0, finish(pid));
}

SESSION_TEST(a_reader_goes_on_after_a_stop) {
    pid_t pid = spawn_group(reads_x, NULL);
    make_front(pid);
    int status = -1;
    /* It may have tried before it was in front. */
    if (EVENTUALLY(STATE(pid) == 'S' || IS_STOPPED(pid)) && IS_STOPPED(pid)) {
        EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
        kill(pid, SIGCONT);
        EXPECT_TRUE(EVENTUALLY(STATE(pid) == 'S'));
    }
    PUT(tty_pair.m, "\032");
    while (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTSTP) status = change_of(pid);
    make_front(getpgrp());
    make_front(pid);
    kill(pid, SIGCONT);
    PUT(tty_pair.m, "x\n");
    EXPECT_EXITED(0, finish(pid));
}

static void blocks_and_looks(void *unused) {
    (void)unused;
    sigset_t all, pending;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    kill(getpid(), SIGTSTP);
    kill(getpid(), SIGTTIN);
    kill(getpid(), SIGTTOU);
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGTSTP) + sigismember(&pending, SIGTTIN) + sigismember(&pending, SIGTTOU), 3);
    kill(getpid(), SIGCONT);
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGTSTP) + sigismember(&pending, SIGTTIN) + sigismember(&pending, SIGTTOU), 0);
    EXPECT_EQ(sigismember(&pending, SIGCONT), 1);
    kill(getpid(), SIGTTOU);
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGCONT), 0);
    EXPECT_EQ(sigismember(&pending, SIGTTOU), 1);
}
SESSION_TEST(stopping_and_continuing_cancel_each_other) {
    EXPECT_EXITED(0, change_of(spawn_group(blocks_and_looks, NULL)));
}

/* A group whose only link to the session is its middle process. */
struct orphan {
    volatile pid_t pid;
    volatile int is_ready, hups, conts, first, stops, done;
};
static struct orphan *orphan;
static void on_orphaned(int sig) {
    if (!orphan->first) orphan->first = sig;
    if (sig == SIGHUP) orphan->hups++;
    else orphan->conts++;
}
static void is_orphaned_stopped(void *unused) {
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        alarm(9);
        setpgid(0, 0);
        signal(SIGHUP, on_orphaned);
        signal(SIGCONT, on_orphaned);
        orphan->pid = getpid();
        orphan->is_ready = 1;
        EXPECT_TRUE(EVENTUALLY(orphan->done));
        _exit(0);
    }
    EXPECT_TRUE(EVENTUALLY(orphan->is_ready));
    if (orphan->stops) {
        kill(child, SIGTSTP);
        int status;
        EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
        EXPECT_STOPPED(SIGTSTP, status);
    }
    _exit(0);
}
SESSION_TEST(a_stopped_group_that_is_orphaned_goes_on) {
    orphan = shared_page();
    orphan->stops = 1;
    EXPECT_EXITED(0, finish(spawn(is_orphaned_stopped, NULL)));
    EXPECT_TRUE(EVENTUALLY(orphan->hups == 1 && orphan->conts == 1));
    orphan->done = 1;
}
SESSION_TEST(a_running_group_that_is_orphaned_is_left_alone) {
    orphan = shared_page();
    EXPECT_EXITED(0, finish(spawn(is_orphaned_stopped, NULL)));
    ASSERT_TRUE(orphan->is_ready);
    sleep_ms(10);
    EXPECT_EQ(orphan->hups + orphan->conts, 0);
    /* From now on the terminal's stops do nothing to it, only SIGSTOP does. */
    for (int sig = SIGTSTP; sig <= SIGTTOU; sig++) kill(orphan->pid, sig);
    sleep_ms(5);
    EXPECT_EQ(IS_STOPPED(orphan->pid), 0);
    kill(orphan->pid, SIGSTOP);
    EXPECT_TRUE(EVENTUALLY(IS_STOPPED(orphan->pid)));
    kill(orphan->pid, SIGCONT);
    EXPECT_TRUE(EVENTUALLY(orphan->conts == 1));
    orphan->done = 1;
}

static volatile int *raised;
static void raises_in_orphan(void *unused) {
    (void)unused;
    /* The leader of a session is in an orphaned group. */
    ASSERT_OK(setsid());
    raise(SIGTSTP);
    raised[0] = 1;
    raise(SIGTTIN);
    raise(SIGTTOU);
    raised[0] = 2;
    raise(SIGSTOP);
    raised[0] = 3;
}
TEST(only_sigstop_stops_an_orphaned_group) {
    raised = shared_page();
    pid_t pid = spawn(raises_in_orphan, NULL);
    EXPECT_STOPPED(SIGSTOP, change_of(pid));
    EXPECT_EQ(raised[0], 2);
    kill(pid, SIGCONT);
    EXPECT_EXITED(0, finish(pid));
    EXPECT_EQ(raised[0], 3);
}

/* In a group that is orphaned already, the end of a member is no news. */
static volatile int *news;
static void on_news(int sig) { news[sig == SIGHUP ? 1 : 2]++; }
static void long_orphaned(void *unused) {
    (void)unused;
    ASSERT_OK(setsid());
    pid_t stopped = fork();
    if (stopped == 0) {
        alarm(9);
        signal(SIGHUP, on_news);
        signal(SIGCONT, on_news);
        raise(SIGSTOP);
        news[3] = 1;
        _exit(0);
    }
    int status;
    EXPECT_EQ(waitpid(stopped, &status, WUNTRACED), stopped);
    pid_t other = fork();
    if (other == 0) _exit(0);
    finish(other);
    sleep_ms(5);
    EXPECT_EQ(news[1] + news[2], 0);
    EXPECT_TRUE(IS_STOPPED(stopped));
    end(stopped);
}
TEST(an_end_within_an_orphaned_group_is_no_news) {
    news = shared_page();
    EXPECT_EXITED(0, finish(spawn(long_orphaned, NULL)));
    EXPECT_EQ(news[1] + news[2] + news[3], 0);
}

static void waits_stopped(void *unused) {
    (void)unused;
    raise(SIGSTOP);
    for (;;) pause();
}
TEST(each_change_is_reported_once) {
    pid_t pid = spawn(waits_stopped, NULL);
    siginfo_t info = {0};
    EXPECT_OK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
    EXPECT_EQ(info.si_code, CLD_STOPPED);
    EXPECT_EQ(info.si_status, SIGSTOP);
    EXPECT_OK(waitid(P_PID, pid, &info, WSTOPPED));
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
    /* A stopped process that is told to stop has nothing to report. */
    kill(pid, SIGSTOP);
    sleep_ms(3);
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
    kill(pid, SIGCONT);
    EXPECT_OK(waitid(P_PID, pid, &info, WCONTINUED | WEXITED));
    EXPECT_EQ(info.si_code, CLD_CONTINUED);
    EXPECT_EQ(info.si_status, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
    kill(pid, SIGTERM);
    EXPECT_SIGNALED(SIGTERM, finish(pid));
}

static int no_stop_changes(int flags) {
    child_changes = 0;
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART | flags};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = spawn(waits_stopped, NULL);
    int status;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
    kill(pid, SIGTERM);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return child_changes;
}
TEST(a_parent_need_not_hear_of_stops) {
    EXPECT_EQ(no_stop_changes(SA_NOCLDSTOP), 1);
    EXPECT_GE(no_stop_changes(0), 2);
}
