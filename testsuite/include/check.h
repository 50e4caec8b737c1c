/* A small test harness for guest programs.
 *
 *   #include "check.h"
 *   TEST(pipe2_bad_pointer_leaves_no_fd) {
 *       int before = count_fds();
 *       EXPECT_ERRNO(EFAULT, pipe2(BAD_PTR, 0));
 *       EXPECT_EQ(count_fds(), before);
 *   }
 *
 * Each TEST runs in a forked child that leads its own process group, in an empty
 * folder of its own, with a time limit (TEST_LIMIT(name, seconds) sets another
 * than the default). main() lives here. One line a test goes to stdout:
 *
 *   PASS name
 *   FAIL name: file.c:12: what went wrong (only the first failure)
 *   SKIP name: why
 *
 * and every failed expectation is a line "# name: file.c:12: ..." before it.
 * `prog --list` prints the names, `prog NAME..` runs those only.
 * `prog --no-fork NAME` runs one test in the process itself, for debuggers.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct check_test {
    const char *name;
    void (*body)(void);
    int limit_s;
    struct check_test *next;
};

static struct check_test *check_first, **check_last = &check_first;
static const char *check_current = "?";
static volatile int check_failures;
/* Where reports go: a high copy of stdout, so that a test may close or
 * redirect 0..2 and still be heard. */
static int check_fd = 1;
/* The parent's view of the first failure; shared with the child. */
static char *check_first_message;
#define CHECK_MESSAGE_MAX 1024

#define TEST(name) TEST_LIMIT(name, 10)
#define TEST_LIMIT(test_name, seconds)                                          \
    static void check_body_##test_name(void);                                   \
    static struct check_test check_test_##test_name = {                         \
        #test_name, check_body_##test_name, seconds, NULL};                     \
    __attribute__((constructor)) static void check_add_##test_name(void) {      \
        *check_last = &check_test_##test_name;                                  \
        check_last = &check_test_##test_name.next;                              \
    }                                                                           \
    static void check_body_##test_name(void)

/* An address that is never mapped. */
#define BAD_PTR ((void *)8)

__attribute__((unused, format(printf, 3, 4)))
static void check_fail(const char *file, int line, const char *format, ...) {
    char text[700], full[900];
    va_list ap;
    int saved = errno;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    const char *base = strrchr(file, '/');
    snprintf(full, sizeof full, "%s:%d: %s", base ? base + 1 : file, line, text);
    for (char *c = full; *c; c++)
        if (*c == '\n') *c = ' ';
    if (__atomic_fetch_add(&check_failures, 1, __ATOMIC_SEQ_CST) == 0 && check_first_message)
        snprintf(check_first_message, CHECK_MESSAGE_MAX, "%s", full);
    char out[1100];
    int n = snprintf(out, sizeof out, "# %s: %s\n", check_current, full);
    if (write(check_fd, out, n) < 0) { /* nobody to tell */ }
    errno = saved;
}

#define CHECK_ON_FAIL_RETURN _exit(1)
#define CHECK_ON_FAIL_GO_ON (void)0

#define CHECK_TRUE_(cond, then)                                                 \
    do {                                                                        \
        if (!(cond)) {                                                          \
            check_fail(__FILE__, __LINE__, "%s is false (errno %d %s)", #cond,  \
                       errno, strerror(errno));                                 \
            then;                                                               \
        }                                                                       \
    } while (0)
#define CHECK_CMP_(a, op, b, then)                                              \
    do {                                                                        \
        long long check_a_ = (long long)(a), check_b_ = (long long)(b);         \
        if (!(check_a_ op check_b_)) {                                          \
            check_fail(__FILE__, __LINE__, "%s " #op " %s: %lld (0x%llx) against %lld (0x%llx), errno %d", \
                       #a, #b, check_a_, check_a_, check_b_, check_b_, errno);  \
            then;                                                               \
        }                                                                       \
    } while (0)
#define CHECK_ERRNO_(want, expr, then)                                          \
    do {                                                                        \
        errno = 0;                                                              \
        long long check_r_ = (long long)(expr);                                 \
        int check_e_ = errno;                                                   \
        if (check_r_ != -1 || check_e_ != (want)) {                             \
            check_fail(__FILE__, __LINE__, "%s: result %lld, errno %d (%s); expected " #want, \
                       #expr, check_r_, check_e_, strerror(check_e_));          \
            then;                                                               \
        }                                                                       \
    } while (0)
#define CHECK_OK_(expr, then)                                                   \
    do {                                                                        \
        errno = 0;                                                              \
        long long check_r_ = (long long)(expr);                                 \
        int check_e_ = errno;                                                   \
        if (check_r_ == -1) {                                                   \
            check_fail(__FILE__, __LINE__, "%s failed: errno %d (%s)", #expr,   \
                       check_e_, strerror(check_e_));                           \
            then;                                                               \
        }                                                                       \
    } while (0)
#define CHECK_STR_(a, b, then)                                                  \
    do {                                                                        \
        const char *check_a_ = (a), *check_b_ = (b);                            \
        if (strcmp(check_a_, check_b_) != 0) {                                  \
            check_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #a, \
                       check_a_, check_b_);                                     \
            then;                                                               \
        }                                                                       \
    } while (0)
#define CHECK_STATUS_(status, good, what, value, then)                          \
    do {                                                                        \
        int check_s_ = (status);                                                \
        if (!(good)) {                                                          \
            check_fail(__FILE__, __LINE__, "%s: wait status 0x%x, expected " what " %d", \
                       #status, check_s_, (int)(value));                        \
            then;                                                               \
        }                                                                       \
    } while (0)

/* EXPECT_ goes on after a failure, ASSERT_ ends the test. */
#define EXPECT_TRUE(cond) CHECK_TRUE_(cond, CHECK_ON_FAIL_GO_ON)
#define EXPECT_EQ(a, b) CHECK_CMP_(a, ==, b, CHECK_ON_FAIL_GO_ON)
#define EXPECT_NE(a, b) CHECK_CMP_(a, !=, b, CHECK_ON_FAIL_GO_ON)
#define EXPECT_LT(a, b) CHECK_CMP_(a, <, b, CHECK_ON_FAIL_GO_ON)
#define EXPECT_LE(a, b) CHECK_CMP_(a, <=, b, CHECK_ON_FAIL_GO_ON)
#define EXPECT_GT(a, b) CHECK_CMP_(a, >, b, CHECK_ON_FAIL_GO_ON)
#define EXPECT_GE(a, b) CHECK_CMP_(a, >=, b, CHECK_ON_FAIL_GO_ON)
/* The call returns -1 with this errno. */
#define EXPECT_ERRNO(want, expr) CHECK_ERRNO_(want, expr, CHECK_ON_FAIL_GO_ON)
/* The call does not return -1 (MAP_FAILED included). */
#define EXPECT_OK(expr) CHECK_OK_(expr, CHECK_ON_FAIL_GO_ON)
#define EXPECT_STR(a, b) CHECK_STR_(a, b, CHECK_ON_FAIL_GO_ON)
/* What a wait status says. */
#define EXPECT_EXITED(code, status)                                             \
    CHECK_STATUS_(status, WIFEXITED(check_s_) && WEXITSTATUS(check_s_) == (code), "exit", code, CHECK_ON_FAIL_GO_ON)
#define EXPECT_SIGNALED(sig, status)                                            \
    CHECK_STATUS_(status, WIFSIGNALED(check_s_) && WTERMSIG(check_s_) == (sig), "signal", sig, CHECK_ON_FAIL_GO_ON)
#define ASSERT_TRUE(cond) CHECK_TRUE_(cond, CHECK_ON_FAIL_RETURN)
#define ASSERT_EQ(a, b) CHECK_CMP_(a, ==, b, CHECK_ON_FAIL_RETURN)
#define ASSERT_ERRNO(want, expr) CHECK_ERRNO_(want, expr, CHECK_ON_FAIL_RETURN)
#define ASSERT_OK(expr) CHECK_OK_(expr, CHECK_ON_FAIL_RETURN)
#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Not for this machine: say why. */
#define SKIP(why)                                                               \
    do {                                                                        \
        if (check_first_message)                                                \
            snprintf(check_first_message, CHECK_MESSAGE_MAX, "%s", why);        \
        _exit(77);                                                              \
    } while (0)

/* Open descriptors below 1024, without help from /proc. */
__attribute__((unused)) static int count_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1) n++;
    return n;
}

__attribute__((unused)) static void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {}
}

__attribute__((unused)) static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Runs body(arg) in a forked child and gives its wait status; an expectation
 * that fails in there makes it exit 1. */
__attribute__((unused)) static int in_child_arg(void (*body)(void *), void *arg) {
    pid_t pid = fork();
    if (pid == -1) {
        FAIL("fork: errno %d", errno);
        return -1;
    }
    if (pid == 0) {
        check_failures = 0;
        body(arg);
        _exit(check_failures ? 1 : 0);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {}
    return status;
}
__attribute__((unused)) static void check_call_plain(void *body) { ((void (*)(void))body)(); }
__attribute__((unused)) static int in_child(void (*body)(void)) {
    return in_child_arg(check_call_plain, (void *)body);
}

/* A file of this content in the current (private) folder. */
__attribute__((unused)) static void make_file(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ASSERT_OK(fd);
    ASSERT_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void check_run(struct check_test *test) {
    fflush(NULL);
    check_first_message[0] = 0;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        check_current = test->name;
        /* A folder for each, so that none sees another's files. */
        if (mkdir(test->name, 0755) == 0 && chdir(test->name) != 0) _exit(1);
        test->body();
        fflush(NULL);
        _exit(check_failures ? 1 : 0);
    }
    if (pid == -1) {
        printf("FAIL %s: fork: errno %d\n", test->name, errno);
        fflush(stdout);
        return;
    }
    /* Polling needs nothing of the kernel under test but waitpid and sleep. */
    int status = 0, timed_out = 0;
    long long end = now_ns() + test->limit_s * 1000000000LL, pause_us = 100;
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid || (got == -1 && errno != EINTR)) break;
        if (now_ns() > end) {
            timed_out = 1;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        usleep(pause_us);
        if (pause_us < 5000) pause_us += pause_us / 2;
    }
    kill(-pid, SIGKILL); /* what it left behind */
    check_first_message[CHECK_MESSAGE_MAX - 1] = 0;
    if (timed_out)
        printf("FAIL %s: no end after %d s%s%s\n", test->name, test->limit_s,
               check_first_message[0] ? "; " : "", check_first_message);
    else if (WIFSIGNALED(status))
        printf("FAIL %s: ended by signal %d%s%s\n", test->name, WTERMSIG(status),
               check_first_message[0] ? "; " : "", check_first_message);
    else if (WEXITSTATUS(status) == 77)
        printf("SKIP %s: %s\n", test->name, check_first_message);
    else if (WEXITSTATUS(status) != 0)
        printf("FAIL %s: %s\n", test->name, check_first_message[0] ? check_first_message : "exit status is not 0");
    else
        printf("PASS %s\n", test->name);
    fflush(stdout);
}

#ifndef CHECK_NO_MAIN
int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct check_test *t = check_first; t; t = t->next) puts(t->name);
        return 0;
    }
#ifdef CHECK_ARGS
    /* A program that runs itself again takes its own arguments first. */
    if (argc > 1 && strncmp(argv[1], "@", 1) == 0) return CHECK_ARGS(argc, argv);
#endif
    if (argc == 3 && strcmp(argv[1], "--no-fork") == 0) {
        for (struct check_test *t = check_first; t; t = t->next)
            if (strcmp(t->name, argv[2]) == 0) {
                check_current = t->name;
                t->body();
            }
        return check_failures != 0;
    }
    int high = fcntl(1, F_DUPFD_CLOEXEC, 100);
    if (high >= 0) check_fd = high;
    static char fallback[CHECK_MESSAGE_MAX];
    check_first_message = mmap(NULL, CHECK_MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check_first_message == MAP_FAILED) check_first_message = fallback;
    for (struct check_test *t = check_first; t; t = t->next) {
        int wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], t->name) == 0;
        if (wanted) check_run(t);
    }
    return 0;
}
#endif
#endif
