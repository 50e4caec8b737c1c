/* seccomp(2): strict mode, filters and their actions. */
#define CHECK_ARGS after_exec
static int after_exec(int argc, char **argv);
#include "check.h"
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>

#ifdef __riscv
#define ARCH 0xc00000f3u
#else
#define ARCH 0xc000003eu
#endif
#define FLAG_TSYNC 1
#define FLAG_LOG 2
#define FLAG_SPEC_ALLOW 4
#define FLAG_NEW_LISTENER 8
#define FLAG_TSYNC_ESRCH 16

static long seccomp(unsigned operation, unsigned flags, void *args) {
    return syscall(SYS_seccomp, operation, flags, args);
}

static void no_new_privs(void) { ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

static long install_flags(const struct sock_filter *code, unsigned short len, unsigned flags) {
    struct sock_fprog program = {len, (struct sock_filter *)code};
    return seccomp(SECCOMP_SET_MODE_FILTER, flags, &program);
}
#define LEN(a) (sizeof(a) / sizeof *(a))
#define INSTALL(...)                                                            \
    do {                                                                        \
        struct sock_filter code_[] = {__VA_ARGS__};                             \
        no_new_privs();                                                         \
        ASSERT_EQ(install_flags(code_, LEN(code_), 0), 0);                      \
    } while (0)
#define TRY(...)                                                                \
    ({                                                                          \
        struct sock_filter code_[] = {__VA_ARGS__};                             \
        install_flags(code_, LEN(code_), 0);                                    \
    })

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define LOAD_NR LOAD(offsetof(struct seccomp_data, nr))
#define ARG_LOW(n) LOAD(offsetof(struct seccomp_data, args) + 8 * (n))
#define ARG_HIGH(n) LOAD(offsetof(struct seccomp_data, args) + 8 * (n) + 4)
#define RET(value) BPF_STMT(BPF_RET | BPF_K, value)
#define RET_A BPF_STMT(BPF_RET | BPF_A, 0)
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
/* `action` for one call, all others are allowed. */
#define ONLY(number, action) LOAD_NR, IF_NOT(number, 1), RET(action), RET(SECCOMP_RET_ALLOW)

static int status_field(const char *name) {
    char text[8192], want[64];
    int fd = open("/proc/self/status", O_RDONLY);
    if (fd < 0) return -1;
    int n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return -1;
    text[n] = 0;
    snprintf(want, sizeof want, "\n%s:\t", name);
    char *at = strstr(text, want);
    return at ? atoi(at + strlen(want)) : -1;
}

/* ---- strict mode ---- */

static void enter_strict(void) { ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0), 0); }
static void leave(int code) { syscall(SYS_exit, code); }

static void strict_allows(void) {
    int ends[2];
    char byte;
    ASSERT_OK(pipe(ends));
    enter_strict();
    if (write(ends[1], "x", 1) != 1) leave(1);
    if (read(ends[0], &byte, 1) != 1 || byte != 'x') leave(2);
    leave(7);
}
TEST(strict_allows_read_write_exit) { EXPECT_EXITED(7, in_child(strict_allows)); }

static void strict_by_call(void) {
    ASSERT_EQ(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL), 0);
    leave(8);
}
TEST(strict_by_the_call_itself) { EXPECT_EXITED(8, in_child(strict_by_call)); }

static volatile long forbidden;
static void strict_then(void) {
    enter_strict();
    syscall(forbidden, 0, 0, 0, 0, 0, 0);
    leave(0);
}
TEST(strict_kills_for_anything_else) {
    static const long numbers[] = {SYS_getpid, SYS_exit_group, SYS_prctl, SYS_seccomp, SYS_openat, 100000, -1};
    for (unsigned i = 0; i < LEN(numbers); i++) {
        forbidden = numbers[i];
        EXPECT_SIGNALED(SIGKILL, in_child(strict_then));
    }
}

static volatile int handled;
static void count(int sig) { (void)sig, handled++; }
static void strict_with_handler(void) {
    signal(SIGILL, count);
    enter_strict();
    /* No call raises it. The handler's return is a call that is allowed. */
#ifdef __riscv
    register long skipped __asm__("t0") = 0;
    __asm__ volatile("" : "+r"(skipped));
#endif
    leave(handled);
}
TEST(strict_mode_can_be_left_with_exit_only) { EXPECT_EXITED(0, in_child(strict_with_handler)); }

static int strict_thread_status;
static void *strict_thread(void *unused) {
    enter_strict();
    syscall(SYS_getpid);
    return unused;
}
static void strict_in_a_thread(void) {
    pthread_t thread;
    strict_thread_status = pthread_create(&thread, NULL, strict_thread, NULL);
    /* The kill is the thread's alone: its end is told like any other's. */
    pthread_join(thread, NULL);
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}
TEST(strict_kills_the_thread_alone) { EXPECT_EXITED(0, in_child(strict_in_a_thread)); }

TEST(strict_arguments) {
    int unused;
    EXPECT_ERRNO(EINVAL, seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL));
    EXPECT_ERRNO(EINVAL, seccomp(SECCOMP_SET_MODE_STRICT, 0, &unused));
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_SECCOMP, 3, 0, 0, 0));
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

static void strict_after_filter(void) {
    INSTALL(RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(EINVAL, prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
}
TEST(modes_do_not_change) { EXPECT_EXITED(0, in_child(strict_after_filter)); }

/* ---- installing ---- */

TEST(operations) {
    EXPECT_ERRNO(EINVAL, seccomp(4, 0, NULL));
    EXPECT_ERRNO(EINVAL, seccomp(-1, 0, NULL));
    static const unsigned known[] = {
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW,
    };
    for (unsigned i = 0; i < LEN(known); i++) {
        unsigned action = known[i];
        EXPECT_EQ(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), 0);
    }
    unsigned action = SECCOMP_RET_ERRNO | 1;
    EXPECT_ERRNO(EOPNOTSUPP, seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action));
    action = 0x12340000;
    EXPECT_ERRNO(EOPNOTSUPP, seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action));
    EXPECT_ERRNO(EINVAL, seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &action));
    EXPECT_ERRNO(EFAULT, seccomp(SECCOMP_GET_ACTION_AVAIL, 0, BAD_PTR));
}

TEST(notification_sizes) {
    uint16_t sizes[4] = {0};
    EXPECT_EQ(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, sizes), 0);
    EXPECT_EQ(sizes[0], 80);
    EXPECT_EQ(sizes[1], 24);
    EXPECT_EQ(sizes[2], 64);
    EXPECT_EQ(sizes[3], 0);
    EXPECT_ERRNO(EINVAL, seccomp(SECCOMP_GET_NOTIF_SIZES, 1, sizes));
    EXPECT_ERRNO(EFAULT, seccomp(SECCOMP_GET_NOTIF_SIZES, 0, BAD_PTR));
}

TEST(filters_need_no_new_privs) {
    if (geteuid() == 0) {
        ASSERT_OK(setgroups(0, NULL));
        ASSERT_OK(setresgid(65534, 65534, 65534));
        ASSERT_OK(setresuid(65534, 65534, 65534));
    }
    EXPECT_ERRNO(EACCES, TRY(RET(SECCOMP_RET_ALLOW)));
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
    no_new_privs();
    EXPECT_EQ(TRY(RET(SECCOMP_RET_ALLOW)), 0);
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
}

TEST(filter_by_prctl) {
    struct sock_filter code[] = {RET(SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, code};
    no_new_privs();
    EXPECT_ERRNO(EFAULT, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD_PTR, 0, 0));
    EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
}

TEST(status_shows_mode_and_count) {
    EXPECT_EQ(status_field("Seccomp"), 0);
    EXPECT_EQ(status_field("Seccomp_filters"), 0);
    INSTALL(RET(SECCOMP_RET_ALLOW));
    EXPECT_EQ(status_field("Seccomp"), 2);
    EXPECT_EQ(status_field("Seccomp_filters"), 1);
    INSTALL(RET(SECCOMP_RET_ALLOW));
    EXPECT_EQ(status_field("Seccomp_filters"), 2);
    EXPECT_EQ(status_field("NoNewPrivs"), 1);
}

TEST(filter_flags) {
    struct sock_filter code[] = {RET(SECCOMP_RET_ALLOW)};
    no_new_privs();
    EXPECT_ERRNO(EINVAL, install_flags(code, 1, 64));
    EXPECT_ERRNO(EINVAL, install_flags(code, 1, 1u << 31));
    EXPECT_EQ(install_flags(code, 1, FLAG_LOG), 0);
    EXPECT_EQ(install_flags(code, 1, FLAG_SPEC_ALLOW), 0);
    EXPECT_EQ(install_flags(code, 1, FLAG_TSYNC), 0);
    EXPECT_EQ(install_flags(code, 1, FLAG_TSYNC | FLAG_TSYNC_ESRCH), 0);
    /* A result cannot be a descriptor and a thread's id. */
    EXPECT_ERRNO(EINVAL, install_flags(code, 1, FLAG_TSYNC | FLAG_NEW_LISTENER));
    /* To wait killably is for listeners. */
    EXPECT_ERRNO(EINVAL, install_flags(code, 1, 32));
}

TEST(program_sizes) {
    static struct sock_filter code[5000];
    for (unsigned i = 0; i < LEN(code); i++) code[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    no_new_privs();
    EXPECT_ERRNO(EINVAL, install_flags(code, 0, 0));
    EXPECT_ERRNO(EINVAL, install_flags(code, 4097, 0));
    EXPECT_EQ(install_flags(code, 4096, 0), 0);
    EXPECT_ERRNO(EFAULT, install_flags((void *)BAD_PTR, 1, 0));
    EXPECT_ERRNO(EFAULT, seccomp(SECCOMP_SET_MODE_FILTER, 0, BAD_PTR));
    EXPECT_ERRNO(EFAULT, seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL));
}

TEST(all_filters_together_have_a_limit) {
    static struct sock_filter code[4096];
    for (unsigned i = 0; i < LEN(code); i++) code[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    no_new_privs();
    int installed = 0;
    while (installed < 20 && install_flags(code, 4096, 0) == 0) installed++;
    EXPECT_EQ(errno, ENOMEM);
    /* 32768 instructions, of which a result is two, and four more for each filter. */
    EXPECT_EQ(installed, 3);
}

TEST(broken_programs_are_refused) {
    no_new_privs();
    /* The end is reached without a result. */
    EXPECT_ERRNO(EINVAL, TRY(LOAD_NR));
    /* Jumps out of the program. */
    EXPECT_ERRNO(EINVAL, TRY(BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_JUMP(BPF_JMP | BPF_JA, 0xffffffff, 0, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET(0)));
    /* Data that is not there, or not aligned. */
    EXPECT_ERRNO(EINVAL, TRY(LOAD(64), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(LOAD(2), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(LOAD(-4), RET(0)));
    /* Packets' loads. */
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RET(0)));
    /* Arithmetic. */
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 1), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32), RET(0)));
    /* Scratch memory. */
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LD | BPF_MEM, 16), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_ST, 16), RET(0)));
    EXPECT_ERRNO(EINVAL, TRY(BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0)));
    /* One way leads past the store. */
    EXPECT_ERRNO(EINVAL, TRY(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0)));
    /* No such codes. */
    EXPECT_ERRNO(EINVAL, TRY({0xffff, 0, 0, 0}, RET(0)));
    EXPECT_ERRNO(EINVAL, TRY({BPF_RET | BPF_X, 0, 0, 0}));
    EXPECT_ERRNO(EINVAL, TRY({BPF_MISC | 0x10, 0, 0, 0}, RET(0)));
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

/* ---- what filters see and compute ---- */

static void sees_number_and_arch(void) {
    INSTALL(LOAD_NR, IF_NOT(SYS_getppid, 3), LOAD(offsetof(struct seccomp_data, arch)), IF_NOT(ARCH, 1),
            RET(SECCOMP_RET_ERRNO | 42), RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(42, syscall(SYS_getppid));
    EXPECT_EQ(syscall(SYS_getpid), getpid());
}
TEST(number_and_arch) { EXPECT_EXITED(0, in_child(sees_number_and_arch)); }

static void sees_arguments(void) {
    INSTALL(LOAD_NR, IF_NOT(SYS_getppid, 13),
            ARG_LOW(0), IF_NOT(0x11111111, 11), ARG_HIGH(0), IF_NOT(0x22222222, 9),
            ARG_LOW(4), IF_NOT(0x33333333, 7), ARG_HIGH(4), IF_NOT(0xffffffff, 5),
            ARG_LOW(5), IF_NOT(0x44444444, 3), ARG_HIGH(5), IF_NOT(0x80000000, 1),
            RET(SECCOMP_RET_ERRNO | 43), RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(43, syscall(SYS_getppid, 0x2222222211111111, 2, 3, 4, 0xffffffff33333333, 0x8000000044444444));
    EXPECT_OK(syscall(SYS_getppid, 0x2222222311111111, 2, 3, 4, 0xffffffff33333333, 0x8000000044444444));
}
TEST(arguments_have_64_bits) { EXPECT_EXITED(0, in_child(sees_arguments)); }

/* The call's address lies behind the instruction. */
extern char call_from_here_end[];
long call_from_here(long number);
#ifdef __riscv
__asm__(".text\n.globl call_from_here\ncall_from_here:\nmv a7, a0\necall\n.globl call_from_here_end\ncall_from_here_end:\nret\n");
#else
__asm__(".text\n.globl call_from_here\ncall_from_here:\nmov %rdi, %rax\nsyscall\n.globl call_from_here_end\ncall_from_here_end:\nret\n");
#endif
static void sees_address(void) {
    INSTALL(LOAD(offsetof(struct seccomp_data, instruction_pointer)), IF_NOT((uint32_t)(uintptr_t)call_from_here_end, 1),
            RET(SECCOMP_RET_ERRNO | 44), RET(SECCOMP_RET_ALLOW));
    EXPECT_EQ(call_from_here(SYS_getpid), -44);
    EXPECT_EQ(syscall(SYS_getpid), getpid());
}
TEST(instruction_pointer) { EXPECT_EXITED(0, in_child(sees_address)); }

/* Each program computes from the first argument (in A) and the second (in X);
 * the low twelve bits of the result come back as the errno. */
static long compute(struct sock_filter step, unsigned a, unsigned x) {
    struct sock_filter code[] = {
        LOAD_NR, IF_NOT(SYS_getppid, 7),
        ARG_LOW(1), BPF_STMT(BPF_MISC | BPF_TAX, 0), ARG_LOW(0), step,
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), RET_A,
        RET(SECCOMP_RET_ALLOW),
    };
    int result[2], status;
    if (pipe(result)) return -1;
    int pid = fork();
    if (pid == 0) {
        no_new_privs();
        if (install_flags(code, LEN(code), 0)) _exit(1);
        errno = 0;
        syscall(SYS_getppid, (long)a, (long)x);
        _exit(write(result[1], &errno, 4) != 4);
    }
    int value = -1;
    close(result[1]);
    if (read(result[0], &value, 4) != 4) value = -2;
    close(result[0]);
    waitpid(pid, &status, 0);
    return value;
}
#define K(op, k) ((struct sock_filter)BPF_STMT(BPF_ALU | (op) | BPF_K, k))
#define X(op) ((struct sock_filter)BPF_STMT(BPF_ALU | (op) | BPF_X, 0))
TEST(arithmetic) {
    EXPECT_EQ(compute(K(BPF_ADD, 5), 10, 0), 15);
    EXPECT_EQ(compute(K(BPF_SUB, 11), 10, 0), 0xfff);
    EXPECT_EQ(compute(K(BPF_MUL, 7), 10, 0), 70);
    EXPECT_EQ(compute(K(BPF_DIV, 3), 0xfffffff0, 0), 0xfffffff0 / 3 & 0xfff);
    EXPECT_EQ(compute(K(BPF_AND, 6), 13, 0), 4);
    EXPECT_EQ(compute(K(BPF_OR, 6), 9, 0), 15);
    EXPECT_EQ(compute(K(BPF_XOR, 6), 10, 0), 12);
    EXPECT_EQ(compute(K(BPF_LSH, 3), 10, 0), 80);
    EXPECT_EQ(compute(K(BPF_RSH, 28), 0xf0000000, 0), 15);
    EXPECT_EQ(compute((struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, 0), 1, 0), 0xfff);
    EXPECT_EQ(compute(X(BPF_ADD), 10, 6), 16);
    EXPECT_EQ(compute(X(BPF_SUB), 10, 6), 4);
    EXPECT_EQ(compute(X(BPF_MUL), 10, 6), 60);
    EXPECT_EQ(compute(X(BPF_DIV), 60, 6), 10);
    EXPECT_EQ(compute(X(BPF_AND), 12, 6), 4);
    EXPECT_EQ(compute(X(BPF_OR), 12, 6), 14);
    EXPECT_EQ(compute(X(BPF_XOR), 12, 6), 10);
    EXPECT_EQ(compute(X(BPF_LSH), 1, 6), 64);
    EXPECT_EQ(compute(X(BPF_RSH), 128, 6), 2);
    EXPECT_EQ(compute((struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0), 1, 99), 99);
    EXPECT_EQ(compute((struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 77), 1, 1), 77);
    EXPECT_EQ(compute((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), 1, 1), 64);
}

static void divides_by_zero(void) {
    INSTALL(LOAD_NR, IF_NOT(SYS_getppid, 3), ARG_LOW(0), BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
            RET(SECCOMP_RET_ALLOW));
    syscall(SYS_getppid, 5);
}
TEST(division_by_zero_kills) { EXPECT_SIGNALED(SIGSYS, in_child(divides_by_zero)); }

static long jump(unsigned short op, unsigned a, unsigned k) {
    struct sock_filter code[] = {
        LOAD_NR, IF_NOT(SYS_getppid, 6),
        BPF_STMT(BPF_LDX | BPF_IMM, k), ARG_LOW(0), BPF_JUMP(BPF_JMP | op, k, 0, 1),
        RET(SECCOMP_RET_ERRNO | 1), RET(SECCOMP_RET_ERRNO | 2), RET(SECCOMP_RET_ALLOW), RET(SECCOMP_RET_ALLOW),
    };
    int status, pid = fork();
    if (pid == 0) {
        no_new_privs();
        if (install_flags(code, LEN(code), 0)) _exit(99);
        errno = 0;
        syscall(SYS_getppid, (long)a);
        _exit(errno);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) == 1 : -1;
}
TEST(jumps) {
    static const struct { unsigned short op; unsigned a, k; int taken; } cases[] = {
        {BPF_JEQ, 5, 5, 1}, {BPF_JEQ, 5, 6, 0}, {BPF_JGT, 6, 5, 1}, {BPF_JGT, 5, 5, 0}, {BPF_JGE, 5, 5, 1},
        {BPF_JGE, 4, 5, 0}, {BPF_JSET, 6, 4, 1}, {BPF_JSET, 3, 4, 0},
        {BPF_JGT, 0x80000000, 1, 1}, {BPF_JGE, 1, 0xffffffff, 0},
    };
    for (unsigned i = 0; i < LEN(cases); i++) {
        EXPECT_EQ(jump(cases[i].op | BPF_K, cases[i].a, cases[i].k), cases[i].taken);
        EXPECT_EQ(jump(cases[i].op | BPF_X, cases[i].a, cases[i].k), cases[i].taken);
    }
}

static void uses_scratch(void) {
    INSTALL(LOAD_NR, IF_NOT(SYS_getppid, 10),
            ARG_LOW(0), BPF_STMT(BPF_ST, 0), BPF_STMT(BPF_LDX | BPF_IMM, 30), BPF_STMT(BPF_STX, 15),
            BPF_STMT(BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_LD | BPF_MEM, 15), BPF_STMT(BPF_LDX | BPF_MEM, 0),
            BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), RET_A,
            RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(35, syscall(SYS_getppid, 5));
}
TEST(scratch_memory) { EXPECT_EXITED(0, in_child(uses_scratch)); }

/* ---- actions ---- */

static void errno_values(void) {
    INSTALL(LOAD_NR, IF_NOT(SYS_getppid, 3), ARG_LOW(0), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), RET_A,
            RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(1, syscall(SYS_getppid, 1));
    EXPECT_ERRNO(4095, syscall(SYS_getppid, 4095));
    /* Larger than any errno: cut to the largest. */
    EXPECT_ERRNO(4095, syscall(SYS_getppid, 4096));
    EXPECT_ERRNO(4095, syscall(SYS_getppid, 0xffff));
    /* An errno of 0 is success. */
    EXPECT_EQ(syscall(SYS_getppid, 0), 0);
}
TEST(errno_action) { EXPECT_EXITED(0, in_child(errno_values)); }

static volatile unsigned action_to_test;
static void meets_action(void) {
    INSTALL(ONLY(SYS_getppid, action_to_test));
    syscall(SYS_getppid);
}
TEST(kill_actions) {
    action_to_test = SECCOMP_RET_KILL_PROCESS;
    EXPECT_SIGNALED(SIGSYS, in_child(meets_action));
    action_to_test = SECCOMP_RET_KILL_THREAD;
    EXPECT_SIGNALED(SIGSYS, in_child(meets_action));
    /* What is no action is one that kills. */
    action_to_test = 0x7fe00000;
    EXPECT_SIGNALED(SIGSYS, in_child(meets_action));
    action_to_test = SECCOMP_RET_TRAP;
    EXPECT_SIGNALED(SIGSYS, in_child(meets_action));
}

static void *call_getppid(void *unused) {
    syscall(SYS_getppid);
    return unused;
}
static void thread_meets_action(void) {
    pthread_t thread;
    signal(SIGSYS, count);
    INSTALL(ONLY(SYS_getppid, action_to_test));
    ASSERT_EQ(pthread_create(&thread, NULL, call_getppid, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(handled, 0);
    _exit(5);
}
TEST(who_is_killed) {
    /* No handler gets a word in. */
    action_to_test = SECCOMP_RET_KILL_THREAD;
    EXPECT_EXITED(5, in_child(thread_meets_action));
    action_to_test = SECCOMP_RET_KILL_PROCESS;
    EXPECT_SIGNALED(SIGSYS, in_child(thread_meets_action));
}

static siginfo_t seen;
static volatile long seen_result;
static void on_sys(int sig, siginfo_t *info, void *context) {
    (void)sig;
    handled++;
    seen = *info;
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
#ifdef __riscv
    seen_result = m->__gregs[10];
    m->__gregs[10] = 4711;
#else
    seen_result = m->gregs[REG_RAX];
    m->gregs[REG_RAX] = 4711;
#endif
}
static void trap(void) {
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(SIGSYS, &action, NULL));
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_TRAP | 0x1234));
    EXPECT_EQ(syscall(SYS_getppid, 99), 4711);
    EXPECT_EQ(handled, 1);
    EXPECT_EQ(seen.si_signo, SIGSYS);
    EXPECT_EQ(seen.si_code, 1); /* SYS_SECCOMP */
    EXPECT_EQ(seen.si_errno, 0x1234);
    EXPECT_EQ(seen.si_syscall, SYS_getppid);
    EXPECT_EQ(seen.si_arch, ARCH);
    EXPECT_TRUE(seen.si_call_addr != NULL);
    /* The registers are those of the call. */
#ifdef __riscv
    EXPECT_EQ(seen_result, 99);
#else
    EXPECT_EQ(seen_result, SYS_getppid);
#endif
    EXPECT_EQ(call_from_here(SYS_getppid), 4711);
    EXPECT_TRUE((char *)seen.si_call_addr == call_from_here_end);
}
TEST(trap_action) { EXPECT_EXITED(0, in_child(trap)); }

static void trap_blocked(void) {
    sigset_t set;
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    ASSERT_OK(sigaction(SIGSYS, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    ASSERT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    meets_action();
}
TEST(a_trap_is_forced) {
    action_to_test = SECCOMP_RET_TRAP;
    EXPECT_SIGNALED(SIGSYS, in_child(trap_blocked));
}

static void lets_pass(void) {
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_LOG));
    EXPECT_EQ(syscall(SYS_getppid), getppid());
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ALLOW | 0xffff));
    EXPECT_EQ(syscall(SYS_getppid), getppid());
}
TEST(actions_that_let_pass) { EXPECT_EXITED(0, in_child(lets_pass)); }

static void nobody_decides(void) {
    INSTALL(ONLY(SYS_getppid, action_to_test));
    EXPECT_ERRNO(ENOSYS, syscall(SYS_getppid));
}
TEST(without_a_tracer_or_a_listener) {
    action_to_test = SECCOMP_RET_TRACE | 7;
    EXPECT_EXITED(0, in_child(nobody_decides));
    action_to_test = SECCOMP_RET_USER_NOTIF;
    EXPECT_EXITED(0, in_child(nobody_decides));
}

static void most_severe_wins(void) {
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 10));
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(10, syscall(SYS_getppid));
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_TRACE));
    EXPECT_ERRNO(10, syscall(SYS_getppid));
    /* Of two alike the younger counts. */
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 20));
    EXPECT_ERRNO(20, syscall(SYS_getppid));
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_LOG));
    EXPECT_ERRNO(20, syscall(SYS_getppid));
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_KILL_THREAD));
    syscall(SYS_getppid);
}
TEST(severity) { EXPECT_SIGNALED(SIGSYS, in_child(most_severe_wins)); }

static void unknown_number(void) {
    INSTALL(LOAD_NR, IF_NOT(5000, 1), RET(SECCOMP_RET_ERRNO | 33), IF_NOT(-1, 1), RET(SECCOMP_RET_ERRNO | 34), RET(SECCOMP_RET_ALLOW));
    EXPECT_ERRNO(33, syscall(5000));
    EXPECT_ERRNO(ENOSYS, syscall(5001));
}
TEST(unknown_numbers_are_filtered_too) { EXPECT_EXITED(0, in_child(unknown_number)); }

/* ---- who is filtered ---- */

static void child_is_filtered(void) {
    EXPECT_ERRNO(50, syscall(SYS_getppid));
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
}
static void *thread_is_filtered(void *unused) {
    child_is_filtered();
    return unused;
}
static int after_exec(int argc, char **argv) {
    (void)argc, (void)argv;
    return syscall(SYS_getppid) == -1 && errno == 50 && prctl(PR_GET_SECCOMP) == 2 ? 0 : 9;
}
static void exec_self(void) { execl("/proc/self/exe", "seccomp", "@", NULL); }
TEST(filters_are_inherited) {
    pthread_t thread;
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 50));
    EXPECT_EXITED(0, in_child(child_is_filtered));
    ASSERT_EQ(pthread_create(&thread, NULL, thread_is_filtered, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_EXITED(0, in_child(exec_self));
}

static volatile int go, bystander_tid, bystander_result, bystander_mode, bystander_privs;
static void *bystander(void *own_filter) {
    if (own_filter) INSTALL(RET(SECCOMP_RET_ALLOW));
    bystander_tid = syscall(SYS_gettid);
    while (!go) usleep(100);
    errno = 0;
    syscall(SYS_getppid);
    bystander_result = errno;
    bystander_mode = prctl(PR_GET_SECCOMP);
    bystander_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    return NULL;
}
static pthread_t start_bystander(int own_filter) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, NULL, bystander, own_filter ? "x" : NULL), 0);
    while (!bystander_tid) usleep(100);
    return thread;
}

TEST(a_filter_is_the_threads) {
    pthread_t thread = start_bystander(0);
    INSTALL(ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 60));
    go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(bystander_result, 0);
    EXPECT_EQ(bystander_mode, 0);
    EXPECT_EQ(bystander_privs, 0);
}

TEST(tsync_filters_every_thread) {
    struct sock_filter code[] = {ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 61)};
    pthread_t thread = start_bystander(0);
    no_new_privs();
    ASSERT_EQ(install_flags(code, LEN(code), FLAG_TSYNC), 0);
    go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(bystander_result, 61);
    EXPECT_EQ(bystander_mode, 2);
    EXPECT_EQ(bystander_privs, 1);
}

TEST(tsync_names_a_thread_with_other_filters) {
    struct sock_filter code[] = {ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 62)};
    pthread_t thread = start_bystander(1);
    no_new_privs();
    EXPECT_EQ(install_flags(code, LEN(code), FLAG_TSYNC), bystander_tid);
    EXPECT_ERRNO(ESRCH, install_flags(code, LEN(code), FLAG_TSYNC | FLAG_TSYNC_ESRCH));
    /* Nothing was installed. */
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
    go = 1;
    pthread_join(thread, NULL);
    EXPECT_EQ(bystander_result, 0);
}
