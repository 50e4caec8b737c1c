/* The window's size, and who hears of its changes (ioctl_tty(2)). */
#include "tty.h"

static struct winsize size_of(int fd) {
    struct winsize w = {9, 9, 9, 9};
    ASSERT_OK(ioctl(fd, TIOCGWINSZ, &w));
    return w;
}
#define EXPECT_SIZE(fd, rows, cols)                                             \
    do {                                                                        \
        struct winsize w_ = size_of(fd);                                        \
        EXPECT_EQ(w_.ws_row, rows);                                             \
        EXPECT_EQ(w_.ws_col, cols);                                             \
    } while (0)
static void set_size(int fd, int rows, int cols) {
    struct winsize w = {rows, cols, 0, 0};
    ASSERT_OK(ioctl(fd, TIOCSWINSZ, &w));
}

TEST(both_ends_have_one_size) {
    struct pair p = open_pair();
    EXPECT_SIZE(p.s, 0, 0);
    set_size(p.m, 25, 81);
    EXPECT_SIZE(p.s, 25, 81);
    EXPECT_SIZE(p.m, 25, 81);
    set_size(p.s, 50, 132);
    EXPECT_SIZE(p.m, 50, 132);
    struct winsize all = {1, 2, 3, 4};
    ASSERT_OK(ioctl(p.m, TIOCSWINSZ, &all));
    EXPECT_EQ(size_of(p.s).ws_xpixel, 3);
    EXPECT_EQ(size_of(p.s).ws_ypixel, 4);
    struct pair q = open_pair();
    EXPECT_SIZE(q.s, 0, 0);
}

TEST(the_size_outlives_the_slaves) {
    struct pair p = open_pair();
    set_size(p.s, 25, 80);
    close(p.s);
    EXPECT_SIZE(p.m, 25, 80);
    p.s = open(p.name, O_RDWR | O_NOCTTY);
    EXPECT_SIZE(p.s, 25, 80);
}

static volatile int changes, code;
static void on_change(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    changes++;
    code = info->si_code;
}
static void count_changes(int flags) {
    struct sigaction action = {.sa_sigaction = on_change, .sa_flags = SA_SIGINFO | flags};
    sigaction(SIGWINCH, &action, NULL);
}

static void leader_counts(void *unused) {
    (void)unused;
    count_changes(0);
    struct pair p = own_terminal();
    set_size(p.m, 10, 20);
    EXPECT_TRUE(EVENTUALLY(changes == 1));
    EXPECT_EQ(code, SI_KERNEL);
    /* The same again is no change. */
    set_size(p.m, 10, 20);
    set_size(p.s, 11, 20);
    EXPECT_TRUE(EVENTUALLY(changes == 2));
    struct winsize pixels = {11, 20, 5, 5};
    ioctl(p.s, TIOCSWINSZ, &pixels);
    EXPECT_TRUE(EVENTUALLY(changes == 3));
    int t = open("/dev/tty", O_RDWR);
    set_size(t, 12, 20);
    EXPECT_TRUE(EVENTUALLY(changes == 4));
    EXPECT_SIZE(t, 12, 20);
    sleep_ms(5);
    EXPECT_EQ(changes, 4);
}
TEST(changes_are_told) { EXPECT_EXITED(0, in_session(leader_counts, NULL)); }

static int *told;
static void wait_for_change(void *slot) {
    count_changes(0);
    told[*(int *)slot] = -1;
    while (!changes) pause();
    told[*(int *)slot] = 1;
    pause();
}
static void groups_differ(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    count_changes(SA_RESTART);
    told = shared_page();
    int slots[] = {0, 1};
    pid_t front = spawn_group(wait_for_change, &slots[0]), back = spawn_group(wait_for_change, &slots[1]);
    signal(SIGTTOU, SIG_IGN);
    ASSERT_OK(tcsetpgrp(p.s, front));
    EXPECT_TRUE(EVENTUALLY(told[0] == -1 && told[1] == -1));
    set_size(p.m, 3, 4);
    EXPECT_TRUE(EVENTUALLY(told[0] == 1));
    EXPECT_EQ(told[1], -1);
    EXPECT_EQ(changes, 0);
    kill(front, SIGKILL);
    kill(back, SIGKILL);
    finish(front);
    finish(back);
}
TEST(only_the_foreground_hears) { EXPECT_EXITED(0, in_session(groups_differ, NULL)); }

static void sets_from_behind(void *fd) {
    set_size(*(int *)fd, 30, 40);
    _exit(0);
}
static void background_sets(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    change_local(p.s, 0, TOSTOP);
    pid_t pid = spawn_group(sets_from_behind, &p.s);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    EXPECT_EXITED(0, status);
    EXPECT_SIZE(p.m, 30, 40);
}
TEST(the_background_may_change_it) { EXPECT_EXITED(0, in_session(background_sets, NULL)); }

static void waits_in_read(void *unused) {
    (void)unused;
    struct pair p = own_terminal();
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 1; i < 20; i++) {
            sleep_ms(5);
            set_size(p.m, i, i);
        }
        put_bytes(p.m, "x\n", 2);
        _exit(0);
    }
    /* Ignored by default: nothing is interrupted. */
    EXPECT_READ(p.s, 100, "x\n");
    finish(pid);
    count_changes(0);
    pid = fork();
    if (pid == 0) {
        sleep_ms(20);
        set_size(p.m, 100, 100);
        _exit(0);
    }
    char c;
    EXPECT_ERRNO(EINTR, read(p.s, &c, 1));
    EXPECT_EQ(changes, 1);
    finish(pid);
}
TEST(a_change_interrupts_only_handlers) { EXPECT_EXITED(0, in_session(waits_in_read, NULL)); }
