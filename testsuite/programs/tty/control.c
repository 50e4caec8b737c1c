/* The controlling terminal: getting it, its groups, losing it (credentials(7),
 * tty_ioctl(4), tcsetpgrp(3)). */
#include "tty.h"
#include <sys/sysmacros.h>

#define NO_TERMINAL() EXPECT_ERRNO(ENXIO, open("/dev/tty", O_RDWR))
#define HAS_TERMINAL()                                                          \
    do {                                                                        \
        int t_ = open("/dev/tty", O_RDWR);                                      \
        EXPECT_OK(t_);                                                          \
        close(t_);                                                              \
    } while (0)

static void opens(void *unused) {
    (void)unused;
    NO_TERMINAL();
    struct pair p = open_master(0);
    EXPECT_EQ(tcgetpgrp(p.m), 0);
    EXPECT_ERRNO(ENOTTY, tcgetsid(p.m));
    int s = open(p.name, O_RDWR | O_NOCTTY);
    NO_TERMINAL();
    EXPECT_ERRNO(ENOTTY, tcgetpgrp(s));
    EXPECT_ERRNO(ENOTTY, tcgetsid(s));
    int w = open(p.name, O_WRONLY);
    EXPECT_OK(w);
    NO_TERMINAL();
    int r = open(p.name, O_RDONLY);
    EXPECT_OK(r);
    HAS_TERMINAL();
    EXPECT_EQ(tcgetpgrp(s), getpgrp());
    EXPECT_EQ(tcgetsid(s), getpid());
    EXPECT_EQ(tcgetpgrp(p.m), getpgrp());
    EXPECT_EQ(tcgetsid(p.m), getpid());
    EXPECT_EQ(stat_field(getpid(), 7), (int)(136 << 8 | atoi(p.name + 9)));
    EXPECT_EQ(stat_field(getpid(), 8), getpgrp());
    /* One is enough. */
    struct pair q = open_master(0);
    int other = open(q.name, O_RDWR);
    EXPECT_ERRNO(ENOTTY, tcgetpgrp(other));
    EXPECT_ERRNO(EPERM, ioctl(other, TIOCSCTTY, 0));
}
TEST(a_leader_gets_what_it_opens) { EXPECT_EXITED(0, in_session(opens, NULL)); }

static void peer_opens(void *unused) {
    (void)unused;
    struct pair p = open_master(0);
    EXPECT_OK(ioctl(p.m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    NO_TERMINAL();
    int s = ioctl(p.m, TIOCGPTPEER, O_RDWR);
    EXPECT_OK(s);
    HAS_TERMINAL();
    EXPECT_EQ(tcgetsid(s), getpid());
}
TEST(a_leader_gets_the_peer_it_opens) { EXPECT_EXITED(0, in_session(peer_opens, NULL)); }

static void opens_as_member(void *unused) {
    (void)unused;
    struct pair p = open_master(0);
    int s = open(p.name, O_RDWR);
    EXPECT_OK(s);
    NO_TERMINAL();
    EXPECT_ERRNO(EPERM, ioctl(s, TIOCSCTTY, 0));
    EXPECT_EQ(stat_field(getpid(), 7), 0);
    EXPECT_EQ(stat_field(getpid(), 8), -1);
}
static void forks_member(void *unused) {
    (void)unused;
    EXPECT_EXITED(0, finish(spawn(opens_as_member, NULL)));
}
TEST(only_leaders_get_one) { EXPECT_EXITED(0, in_session(forks_member, NULL)); }

static void requests(void *unused) {
    (void)unused;
    struct pair p = open_pair();
    int w = open(p.name, O_WRONLY | O_NOCTTY);
    if (geteuid() != 0) EXPECT_ERRNO(EPERM, ioctl(w, TIOCSCTTY, 0));
    EXPECT_OK(ioctl(p.s, TIOCSCTTY, 0));
    EXPECT_OK(ioctl(p.s, TIOCSCTTY, 0));
    EXPECT_OK(ioctl(w, TIOCSCTTY, 1));
    EXPECT_EQ(tcgetsid(p.s), getpid());
}
TEST(a_leader_asks_for_it) { EXPECT_EXITED(0, in_session(requests, NULL)); }

static void requests_by_master(void *unused) {
    (void)unused;
    struct pair p = open_pair();
    EXPECT_OK(ioctl(p.m, TIOCSCTTY, 0));
    HAS_TERMINAL();
    EXPECT_EQ(tcgetsid(p.s), getpid());
    EXPECT_ERRNO(ENOTTY, ioctl(p.m, TIOCNOTTY));
    EXPECT_OK(tcsetpgrp(p.m, getpgrp()));
}
TEST(the_master_speaks_for_the_slave) { EXPECT_EXITED(0, in_session(requests_by_master, NULL)); }

static void wants_taken(void *arg) {
    struct pair *p = arg;
    int s = open(p->name, O_RDWR);
    EXPECT_OK(s);
    NO_TERMINAL();
    EXPECT_ERRNO(EPERM, ioctl(s, TIOCSCTTY, 0));
    if (geteuid() != 0) EXPECT_ERRNO(EPERM, ioctl(s, TIOCSCTTY, 1));
    EXPECT_ERRNO(ENOTTY, tcgetpgrp(s));
    EXPECT_ERRNO(ENOTTY, tcsetpgrp(s, getpgrp()));
}
static void two_sessions(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    EXPECT_EXITED(0, in_session(wants_taken, &p));
    EXPECT_EQ(tcgetsid(p.s), getpid());
}
TEST(another_sessions_terminal_is_refused) { EXPECT_EXITED(0, in_session(two_sessions, NULL)); }

static void just_pause(void *unused) {
    (void)unused;
    for (;;) pause();
}
static void sets_groups(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    pid_t child = spawn_group(just_pause, NULL), stranger = spawn_session(just_pause, NULL);
    ASSERT_TRUE(EVENTUALLY(getsid(stranger) == stranger));
    pid_t gone = fork();
    if (gone == 0) _exit(0);
    finish(gone);
    EXPECT_ERRNO(EINVAL, tcsetpgrp(p.s, -1));
    EXPECT_ERRNO(ESRCH, tcsetpgrp(p.s, gone));
    EXPECT_ERRNO(ESRCH, tcsetpgrp(p.s, 0));
    EXPECT_ERRNO(EPERM, tcsetpgrp(p.s, stranger));
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TIOCSPGRP, BAD_PTR));
    EXPECT_EQ(tcgetpgrp(p.s), getpgrp());
    EXPECT_OK(tcsetpgrp(p.s, child));
    EXPECT_EQ(tcgetpgrp(p.s), child);
    EXPECT_EQ(stat_field(getpid(), 8), child);
    signal(SIGTTOU, SIG_IGN);
    EXPECT_OK(tcsetpgrp(p.s, getpgrp()));
    /* A process that leads no group names one all the same. */
    pid_t member = spawn(just_pause, NULL);
    EXPECT_OK(tcsetpgrp(p.s, member));
    EXPECT_EQ(tcgetpgrp(p.s), member);
    EXPECT_OK(tcsetpgrp(p.s, child));
    /* The group may end; its number stays what it was. */
    kill(child, SIGKILL);
    finish(child);
    EXPECT_EQ(tcgetpgrp(p.s), child);
    EXPECT_OK(tcsetpgrp(p.s, getpgrp()));
    kill(member, SIGKILL);
    kill(stranger, SIGKILL);
}
TEST(choosing_the_foreground) { EXPECT_EXITED(0, in_session(sets_groups, NULL)); }

static volatile int hups, conts, hup_code;
static void on_hup(int sig, siginfo_t *info, void *context) {
    (void)context;
    if (sig == SIGHUP) hups++;
    else conts++;
    hup_code = info->si_code;
}
static void count_hups(void) {
    struct sigaction action = {.sa_sigaction = on_hup, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
}

static void gives_up(void *unused) {
    (void)unused;
    count_hups();
    struct pair p = own_terminal();
    int t = open("/dev/tty", O_RDWR);
    EXPECT_OK(ioctl(t, TIOCNOTTY));
    EXPECT_EQ(hups, 1);
    EXPECT_EQ(conts, 1);
    EXPECT_EQ(hup_code, SI_USER);
    NO_TERMINAL();
    EXPECT_ERRNO(ENOTTY, tcgetpgrp(p.s));
    EXPECT_ERRNO(ENOTTY, ioctl(p.s, TIOCNOTTY));
    EXPECT_EQ(tcgetpgrp(p.m), 0);
    EXPECT_EQ(stat_field(getpid(), 7), 0);
    EXPECT_EQ(stat_field(getpid(), 8), -1);
    /* The terminal itself is as before. */
    PUT(p.s, "x");
    EXPECT_BYTES(p.m, "x");
    EXPECT_OK(ioctl(p.s, TIOCSCTTY, 0));
    HAS_TERMINAL();
}
TEST(a_leader_gives_it_up) { EXPECT_EXITED(0, in_session(gives_up, NULL)); }

static void leaves(void *fd) {
    int s = *(int *)fd;
    HAS_TERMINAL();
    EXPECT_OK(ioctl(s, TIOCNOTTY));
    NO_TERMINAL();
    EXPECT_ERRNO(ENOTTY, tcgetpgrp(s));
    EXPECT_EQ(stat_field(getpid(), 7), 0);
    EXPECT_NE(stat_field(getppid(), 7), 0);
    EXPECT_ERRNO(ENOTTY, ioctl(s, TIOCNOTTY));
}
static void member_leaves(void *unused) {
    (void)unused;
    count_hups();
    struct pair p = own_terminal();
    EXPECT_EXITED(0, finish(spawn(leaves, &p.s)));
    HAS_TERMINAL();
    EXPECT_EQ(hups, 0);
}
TEST(a_member_leaves_it_alone) { EXPECT_EXITED(0, in_session(member_leaves, NULL)); }

static int *flag;
static void waits_for_flag(void *unused) {
    (void)unused;
    EXPECT_TRUE(EVENTUALLY(*flag == 1));
    /* It was there before the leader had a terminal. */
    NO_TERMINAL();
    EXPECT_EQ(stat_field(getpid(), 7), 0);
}
static void inherits(void *unused) {
    (void)unused;
    HAS_TERMINAL();
    EXPECT_EQ(stat_field(getpid(), 7), stat_field(getppid(), 7));
    EXPECT_EQ(stat_field(getpid(), 8), getpgrp());
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        check_failures = 0;
        NO_TERMINAL();
        _exit(check_failures);
    }
    EXPECT_EXITED(0, finish(pid));
}
static void early_and_late(void *unused) {
    (void)unused;
    flag = shared_page();
    pid_t early = spawn(waits_for_flag, NULL);
    own_terminal();
    *flag = 1;
    EXPECT_EXITED(0, finish(early));
    EXPECT_EXITED(0, finish(spawn(inherits, NULL)));
}
TEST(children_inherit_it) { EXPECT_EXITED(0, in_session(early_and_late, NULL)); }

static void looks_at_dev_tty(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    int t = open("/dev/tty", O_RDWR);
    ASSERT_OK(t);
    struct stat st;
    EXPECT_OK(fstat(t, &st));
    EXPECT_EQ(st.st_rdev, makedev(5, 0));
    char path[64], link[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", t);
    EXPECT_OK(readlink(path, link, sizeof link - 1));
    EXPECT_STR(link, "/dev/tty");
    EXPECT_EQ(tcgetpgrp(t), getpgrp());
    EXPECT_EQ(tcgetsid(t), getpid());
    EXPECT_OK(tcsetpgrp(t, getpgrp()));
    PUT(t, "hello\n");
    EXPECT_BYTES(p.m, "hello\r\n");
    PUT(p.m, "typed\n");
    EXPECT_READ(t, 100, "typed\n");
    change_local(t, ECHO, 0);
    EXPECT_EQ(get_attr(p.s).c_lflag & ECHO, 0);
    EXPECT_EQ(isatty(t), 1);
    /* It keeps the terminal open for the master. */
    close(p.s);
    EXPECT_EQ(events_of(p.m, POLLIN, 0) & POLLHUP, 0);
    close(t);
    EXPECT_EQ(events_of(p.m, POLLIN, 0) & POLLHUP, POLLHUP);
    /* The session has it still. */
    HAS_TERMINAL();
}
TEST(dev_tty_is_the_terminal) { EXPECT_EXITED(0, in_session(looks_at_dev_tty, NULL)); }

struct hang_up {
    volatile int is_ready, member_hups, leader_hups, leader_conts, code, exits;
};
static struct hang_up *seen;
static void member_counts(void *unused) {
    (void)unused;
    count_hups();
    seen->is_ready++;
    EXPECT_TRUE(EVENTUALLY(seen->exits));
    seen->member_hups = hups;
    NO_TERMINAL();
    _exit(0);
}
static void leader_loses(void *arg) {
    struct pair *p = arg;
    count_hups();
    int s = open(p->name, O_RDWR);
    ASSERT_OK(s);
    close(p->m);
    pid_t member = spawn(member_counts, NULL);
    EXPECT_TRUE(EVENTUALLY(seen->is_ready == 1));
    seen->is_ready = 2;
    EXPECT_TRUE(EVENTUALLY(hups == 1 && conts == 1));
    seen->leader_hups = hups;
    seen->leader_conts = conts;
    seen->code = hup_code;
    NO_TERMINAL();
    EXPECT_EQ(stat_field(getpid(), 7), 0);
    seen->exits = 1;
    finish(member);
    char c;
    EXPECT_EQ(read(s, &c, 1), 0);
    EXPECT_ERRNO(EIO, write(s, "x", 1));
}
TEST(the_masters_close_tells_the_leader) {
    seen = shared_page();
    struct pair p = open_master(0);
    pid_t pid = spawn_session(leader_loses, &p);
    EXPECT_TRUE(EVENTUALLY(seen->is_ready == 2));
    close(p.m);
    EXPECT_EXITED(0, finish(pid));
    EXPECT_EQ(seen->leader_hups, 1);
    EXPECT_EQ(seen->leader_conts, 1);
    EXPECT_EQ(seen->code, SI_KERNEL);
    /* Not everyone: the leader tells its jobs. */
    EXPECT_EQ(seen->member_hups, 0);
}

static void front_waits(void *slot) {
    count_hups();
    volatile int *mine = slot;
    *mine = 1;
    while (!hups) usleep(1000);
    NO_TERMINAL();
    *mine = 2 + conts;
    _exit(0);
}
static void back_waits(void *slot) {
    count_hups();
    volatile int *mine = slot;
    *mine = 1;
    EXPECT_TRUE(EVENTUALLY(mine[-1] >= 2));
    sleep_ms(5);
    NO_TERMINAL();
    *mine = hups ? 99 : 2;
    _exit(0);
}
static volatile int *slots;
/* As spawn_group, for children that outlive their parent. */
static void exits_with_survivors(void *arg) {
    struct pair *p = arg;
    int s = open(p->name, O_RDWR);
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            alarm(9);
            setpgid(0, 0);
            close(p->m);
            if (i == 0) front_waits((void *)&slots[0]);
            else back_waits((void *)&slots[1]);
        }
        setpgid(pids[i], pids[i]);
    }
    slots[2] = pids[0];
    ASSERT_OK(tcsetpgrp(s, pids[0]));
    EXPECT_TRUE(EVENTUALLY(slots[0] == 1 && slots[1] == 1));
}
TEST(the_leaders_end_hangs_the_foreground_up) {
    slots = shared_page();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct pair p = open_master(0);
    EXPECT_EXITED(0, in_session(exits_with_survivors, &p));
    EXPECT_TRUE(EVENTUALLY(slots[1] >= 2));
    EXPECT_EQ(slots[0], 2);
    EXPECT_EQ(slots[1], 2);
    while (waitpid(-1, NULL, 0) > 0) {}
    /* The pair lives on and is free for another session. */
    EXPECT_EQ(tcgetpgrp(p.m), 0);
    EXPECT_ERRNO(ENOTTY, tcgetsid(p.m));
    int s = open(p.name, O_RDWR | O_NOCTTY);
    EXPECT_OK(s);
    PUT(s, "x");
    EXPECT_BYTES(p.m, "x");
    close(s);
    slots[0] = slots[1] = 0;
    EXPECT_EXITED(0, in_session(exits_with_survivors, &p));
    while (waitpid(-1, NULL, 0) > 0) {}
}

static void hangs_up_then_ends(void *arg) {
    struct pair *p = arg;
    count_hups();
    exits_with_survivors(p);
    close(p->m);
    slots[3] = 1;
    EXPECT_TRUE(EVENTUALLY(hups == 1));
    sleep_ms(5);
    EXPECT_EQ(slots[0], 1);
}
TEST(after_a_hang_up_the_leaders_end_tells_the_foreground) {
    slots = shared_page();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct pair p = open_master(0);
    pid_t pid = spawn_session(hangs_up_then_ends, &p);
    EXPECT_TRUE(EVENTUALLY(slots[3] == 1));
    close(p.m);
    EXPECT_EXITED(0, finish(pid));
    /* SIGHUP and SIGCONT this time; the second may come after the look. */
    EXPECT_TRUE(EVENTUALLY(slots[0] >= 2));
    EXPECT_TRUE(EVENTUALLY(slots[1] == 2));
    while (waitpid(-1, NULL, 0) > 0) {}
}

static volatile int keys;
static void on_key(int sig) { keys = sig; }
static void gets_signals(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    signal(SIGINT, on_key);
    signal(SIGQUIT, on_key);
    signal(SIGTSTP, on_key);
    EXPECT_OK(ioctl(p.m, TIOCSIG, SIGINT));
    EXPECT_EQ(keys, SIGINT);
    EXPECT_OK(ioctl(p.m, TIOCSIG, SIGQUIT));
    EXPECT_EQ(keys, SIGQUIT);
    EXPECT_OK(ioctl(p.m, TIOCSIG, SIGTSTP));
    EXPECT_EQ(keys, SIGTSTP);
    EXPECT_ERRNO(EINVAL, ioctl(p.m, TIOCSIG, SIGTERM));
    EXPECT_ERRNO(EINVAL, ioctl(p.m, TIOCSIG, 0));
}
TEST(the_master_signals_the_foreground) { EXPECT_EXITED(0, in_session(gets_signals, NULL)); }

static void types(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    FILE *f = fopen("/proc/sys/dev/tty/legacy_tiocsti", "r");
    int allowed = 1;
    if (f) {
        if (fscanf(f, "%d", &allowed) != 1) allowed = 1;
        fclose(f);
    }
    if (!allowed && geteuid() != 0) {
        EXPECT_ERRNO(EIO, ioctl(p.s, TIOCSTI, "x"));
        return;
    }
    EXPECT_ERRNO(EFAULT, ioctl(p.s, TIOCSTI, BAD_PTR));
    EXPECT_OK(ioctl(p.s, TIOCSTI, "h"));
    EXPECT_OK(ioctl(p.s, TIOCSTI, "i"));
    EXPECT_OK(ioctl(p.s, TIOCSTI, "\n"));
    EXPECT_READ(p.s, 100, "hi\n");
    EXPECT_BYTES(p.m, "hi\r\n");
}
TEST(typing_on_ones_own_terminal) { EXPECT_EXITED(0, in_session(types, NULL)); }
