/* Signals at threads that are about to block, each kind of blocking call in turn.
 *
 *   kick KIND COUNT [SEED [LIMIT_S]]
 *
 * One thread enters the call again and again; another sends it a signal at some
 * point of its way in. A signal that comes before the call's instruction would
 * leave the thread asleep on any kernel, were it not for the window below: the
 * handler moves a program counter inside it to the window's end, where the call
 * counts as interrupted. What is left is the kernel's: a signal that comes once
 * the instruction has begun ends the call, or is lost. Each is answered before
 * the next is sent; one that has no answer in 20 s (LIMIT_S) is lost.
 *
 * Prints how many signals ended a call that slept (or was about to), and how
 * many came before it. */
#include "window.h"
#include "stress.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <ucontext.h>

/* Set by the window's first instruction, looked at by the sender. */
static uint32_t entered, answered;
static volatile long before, within;
static long count;
static uint32_t never;
static int pipe_ends[2], epoll_fd, listener, locked, tty;
static pid_t child;

static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    if (window_leave(context)) before++;
    else within++;
}

/* A file, removed already. */
static int private_file(char *name) {
    strcpy(name, "/tmp/rivix-kick-XXXXXX");
    return mkstemp(name);
}

/* Makes what the call of this kind needs, or makes the call, as the `turn`th. */
static long call(const char *kind, int prepare, uint32_t turn, unsigned long delay) {
    struct pollfd poll_fd = {.fd = pipe_ends[0], .events = POLLIN};
    struct timespec long_time = {.tv_sec = 100000};
    sigset_t none;
    static struct epoll_event event;
    static char byte;
    static int status;
#define NR(number, a, b, c, d, e)                                                     \
    do {                                                                              \
        const long arguments[6] = {(long)(a), (long)(b), (long)(c), (long)(d), (long)(e)}; \
        return prepare ? 0 : window_call(number, arguments, &entered, turn, delay);   \
    } while (0)
    if (strcmp(kind, "futex") == 0) NR(SYS_futex, &never, OP_WAIT | OP_PRIVATE, 0, 0, 0);
    if (strcmp(kind, "read") == 0) NR(SYS_read, pipe_ends[0], &byte, 1, 0, 0);
    if (strcmp(kind, "ppoll") == 0) NR(SYS_ppoll, &poll_fd, 1, 0, 0, 8);
    if (strcmp(kind, "nanosleep") == 0) NR(SYS_nanosleep, &long_time, 0, 0, 0, 0);
    if (strcmp(kind, "sigsuspend") == 0) {
        sigemptyset(&none);
        NR(SYS_rt_sigsuspend, &none, 8, 0, 0, 0);
    }
    if (strcmp(kind, "epoll") == 0) {
        if (prepare) {
            struct epoll_event wanted = {.events = EPOLLIN};
            MUST((epoll_fd = epoll_create1(0)) >= 0);
            MUST(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_ends[0], &wanted) == 0);
        }
        NR(SYS_epoll_pwait, epoll_fd, &event, 1, -1, 0);
    }
    if (strcmp(kind, "wait4") == 0) {
        if (prepare) {
            MUST((child = fork()) >= 0);
            if (child == 0)
                for (;;) pause();
        }
        NR(SYS_wait4, child, &status, 0, 0, 0);
    }
    if (strcmp(kind, "accept") == 0) {
        if (prepare) {
            struct sockaddr_un name = {.sun_family = AF_UNIX};
            int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "rivix-kick-%d", getpid());
            MUST((listener = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
            MUST(bind(listener, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 1 + n) == 0);
            MUST(listen(listener, 1) == 0);
        }
        NR(SYS_accept4, listener, 0, 0, 0, 0);
    }
    if (strcmp(kind, "flock") == 0) {
        if (prepare) {
            char name[40];
            int holder = private_file(name);
            MUST(holder >= 0 && flock(holder, LOCK_EX) == 0);
            MUST((locked = open(name, O_RDWR)) >= 0);
            unlink(name);
        }
        NR(SYS_flock, locked, LOCK_EX, 0, 0, 0);
    }
    if (strcmp(kind, "tty") == 0) {
        if (prepare) {
            struct termios raw;
            int master = posix_openpt(O_RDWR | O_NOCTTY);
            MUST(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
            MUST((tty = open(ptsname(master), O_RDWR | O_NOCTTY)) >= 0);
            MUST(tcgetattr(tty, &raw) == 0);
            raw.c_lflag &= ~(ICANON | ECHO);
            MUST(tcsetattr(tty, TCSANOW, &raw) == 0);
        }
        NR(SYS_read, tty, &byte, 1, 0, 0);
    }
    /* Standard input, which whoever runs this keeps open and silent. */
    if (strcmp(kind, "stdin") == 0) NR(SYS_read, 0, &byte, 1, 0, 0);
    lost("no kind is called %s", kind);
}

static const char *kind;
static pid_t blocker_tid;

static void *blocker(void *arg) {
    (void)arg;
    uint64_t random = dice_of(1);
    SET(blocker_tid, own_tid());
    for (uint32_t i = 1; i <= (uint32_t)count; i++) {
        long seen = before + within;
        uint64_t dice_now = dice(&random);
        long r = call(kind, 0, i, (dice_now >> 32) % (dice_now & 7 ? 256 : 40000));
        if (r != -EINTR) lost("the call gave %ld", r);
        if (before + within != seen + 1) lost("interrupted %ld times at once", before + within - seen);
        SET(answered, i);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) lost("kick KIND COUNT [SEED [LIMIT_S]]");
    kind = argv[1];
    count = atol(argv[2]);
    if (argc > 3) stress_seed = strtoull(argv[3], NULL, 0) * 0x9e3779b97f4a7c15u + 1;
    long limit_s = argc > 4 ? atol(argv[4]) : 20;
    uint64_t random = dice_of(0);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    MUST(pipe(pipe_ends) == 0);
    call(kind, 1, 0, 0);
    pthread_t thread = thread_of(blocker, NULL);
    for (uint32_t i = 1; i <= (uint32_t)count; i++) {
        for (int tries = 0; GET(entered) != i; tries++)
            if (tries > 2000) sched_yield();
        /* From at once to when it surely sleeps. */
        uint64_t r = dice(&random);
        if (r % 4 != 0) spin(r >> 32 & (r % 4 == 1 ? 15 : r % 4 == 2 ? 255 : 4095));
        MUST(syscall(SYS_tgkill, getpid(), blocker_tid, SIGUSR1) == 0);
        struct timespec now, since = {0, 0};
        for (int tries = 0; GET(answered) != i; tries++) {
            if (tries < 2000) {
                if (tries > 500) sched_yield();
                continue;
            }
            if (tries == 2000) clock_gettime(CLOCK_MONOTONIC, &since);
            clock_gettime(CLOCK_MONOTONIC, &now);
            if (now.tv_sec > since.tv_sec + limit_s) lost("signal %u of %ld is lost, %s", i, count, kind);
            usleep(20);
        }
    }
    pthread_join(thread, NULL);
    if (child > 0) {
        kill(child, SIGKILL);
        status_of(child);
    }
    printf("kick: %s: %ld signals, %ld ended a call, %ld came before it\n", kind, count, within, before);
    return 0;
}
