/* Helpers of the terminal tests: pairs, sessions, and looking for a state. */
#ifndef TTY_H
#define TTY_H
#include "check.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

struct pair {
    int m, s;
    char name[64];
};

/* A master without slave, unlocked; its slave's name. */
__attribute__((unused)) static struct pair open_master(int flags) {
    struct pair p = {.s = -1};
    p.m = posix_openpt(O_RDWR | O_NOCTTY | flags);
    ASSERT_OK(p.m);
    ASSERT_OK(grantpt(p.m));
    ASSERT_OK(unlockpt(p.m));
    ASSERT_EQ(ptsname_r(p.m, p.name, sizeof p.name), 0);
    return p;
}

/* Both ends, as they are from the start: canonical, with echo. */
__attribute__((unused)) static struct pair open_pair(void) {
    struct pair p = open_master(0);
    p.s = open(p.name, O_RDWR | O_NOCTTY);
    ASSERT_OK(p.s);
    return p;
}

__attribute__((unused)) static struct termios get_attr(int fd) {
    struct termios t;
    memset(&t, 0, sizeof t);
    ASSERT_OK(tcgetattr(fd, &t));
    return t;
}
__attribute__((unused)) static void set_attr(int fd, struct termios t) { ASSERT_OK(tcsetattr(fd, TCSANOW, &t)); }
__attribute__((unused)) static void set_raw(int fd) {
    struct termios t = get_attr(fd);
    cfmakeraw(&t);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    set_attr(fd, t);
}
/* Local flags off and on. */
__attribute__((unused)) static void change_local(int fd, tcflag_t off, tcflag_t on) {
    struct termios t = get_attr(fd);
    t.c_lflag = (t.c_lflag & ~off) | on;
    set_attr(fd, t);
}
__attribute__((unused)) static void set_nonblock(int fd, int on) {
    int flags = fcntl(fd, F_GETFL);
    ASSERT_OK(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

__attribute__((unused)) static short events_of(int fd, short wanted, int wait_ms) {
    struct pollfd p = {.fd = fd, .events = wanted};
    int n = poll(&p, 1, wait_ms);
    return n > 0 ? p.revents : 0;
}

/* For people: what is not printable as \xNN. */
__attribute__((unused)) static const char *shown(const char *bytes, int len) {
    static char out[2][600];
    static int turn;
    char *to = out[turn ^= 1], *at = to;
    for (int i = 0; i < len && at < to + 560; i++) {
        unsigned char c = bytes[i];
        at += c >= 32 && c < 127 && c != '\\' ? sprintf(at, "%c", c) : sprintf(at, "\\x%02x", c);
    }
    *at = 0;
    return to;
}

__attribute__((unused)) static void put_bytes(int fd, const char *bytes, int len) {
    ASSERT_EQ(write(fd, bytes, len), len);
}
#define PUT(fd, literal) put_bytes(fd, literal, sizeof(literal) - 1)

/* Reads until `len` bytes are there, for at most five seconds; how many came. */
__attribute__((unused)) static int read_exactly(int fd, char *buf, int len) {
    int got = 0;
    long long end = now_ns() + 5000000000LL;
    while (got < len && now_ns() < end) {
        if (!events_of(fd, POLLIN, 100)) continue;
        int n = read(fd, buf + got, len - got);
        if (n <= 0) break;
        got += n;
    }
    return got;
}
__attribute__((unused)) static void expect_bytes(const char *file, int line, int fd, const char *want, int len) {
    char buf[600];
    int got = read_exactly(fd, buf, len);
    if (got != len || memcmp(buf, want, len) != 0)
        check_fail(file, line, "read \"%s\", expected \"%s\"", shown(buf, got), shown(want, len));
}
/* The next bytes are these, in as many reads as it takes. */
#define EXPECT_BYTES(fd, literal) expect_bytes(__FILE__, __LINE__, fd, literal, sizeof(literal) - 1)
/* One read gives this. */
__attribute__((unused)) static void expect_read(const char *file, int line, int fd, int size, const char *want, int len) {
    char buf[600];
    int got = read(fd, buf, size);
    if (got != len || memcmp(buf, want, len) != 0)
        check_fail(file, line, "one read gave %d \"%s\" (errno %d), expected \"%s\"", got, shown(buf, got < 0 ? 0 : got), errno, shown(want, len));
}
#define EXPECT_READ(fd, size, literal) expect_read(__FILE__, __LINE__, fd, size, literal, sizeof(literal) - 1)
/* Nothing more is there: what is asked for comes first, and alone. `other` is the
 * end that is written to, a byte that passes as it is. */
#define EXPECT_QUIET(fd) EXPECT_EQ(events_of(fd, POLLIN, 20) & POLLIN, 0)

/* Waits until the condition holds, for at most five seconds. */
#define EVENTUALLY(cond)                                                        \
    ({                                                                          \
        long long end_ = now_ns() + 5000000000LL;                               \
        while (!(cond) && now_ns() < end_) usleep(500);                         \
        (cond);                                                                 \
    })

/* A child that dies with its parent, and in any case. */
__attribute__((unused)) static pid_t spawn(void (*body)(void *), void *arg) {
    pid_t parent = getpid(), pid = fork();
    ASSERT_OK(pid);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        check_failures = 0;
        body(arg);
        _exit(check_failures ? 1 : 0);
    }
    return pid;
}
__attribute__((unused)) static int finish(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    return status;
}

struct session_body {
    void (*body)(void *);
    void *arg;
};
static void begin_session(void *arg) {
    struct session_body *s = arg;
    alarm(9);
    ASSERT_OK(setsid());
    s->body(s->arg);
}
/* Runs body(arg) as the leader of a new session. */
__attribute__((unused)) static pid_t spawn_session(void (*body)(void *), void *arg) {
    struct session_body s = {body, arg};
    return spawn(begin_session, &s);
}
/* As above; the status it ended with. */
__attribute__((unused)) static int in_session(void (*body)(void *), void *arg) {
    return finish(spawn_session(body, arg));
}

/* A slave that the calling session leader has as its terminal. */
__attribute__((unused)) static struct pair own_terminal(void) {
    struct pair p = open_pair();
    ASSERT_OK(ioctl(p.s, TIOCSCTTY, 0));
    return p;
}

/* Zeroed memory that children share. */
__attribute__((unused)) static void *shared_page(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_OK(page);
    return page;
}

/* A child in a process group of its own, which both sides know before it goes on. */
__attribute__((unused)) static pid_t spawn_group(void (*body)(void *), void *arg) {
    pid_t parent = getpid(), pid = fork();
    ASSERT_OK(pid);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        setpgid(0, 0);
        check_failures = 0;
        body(arg);
        _exit(check_failures ? 1 : 0);
    }
    setpgid(pid, pid);
    return pid;
}

/* Field `index` of /proc/PID/stat, counted from 1; fields after the name only. */
__attribute__((unused)) static long stat_field(pid_t pid, int index) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd == -1) return -1000;
    int n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return -1000;
    text[n] = 0;
    char *at = strrchr(text, ')');
    if (!at) return -1000;
    for (int i = 2; i < index && at; i++) at = strchr(at + 1, ' ');
    return at ? index == 3 ? at[1] : atol(at + 1) : -1000;
}
#define STATE(pid) stat_field(pid, 3)
#define IS_STOPPED(pid) (STATE(pid) == 'T')
#endif
