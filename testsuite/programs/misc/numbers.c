/* System-call numbers, and the registers around a call. */
#include "check.h"

TEST(numbers_that_are_no_calls) {
    static const long none[] = {-1, -2, 1000, 10000, 1l << 20, 1l << 31, 0x7fffffff};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) EXPECT_ERRNO(ENOSYS, syscall(none[i]));
}

TEST(unused_arguments_do_not_matter) {
    EXPECT_EQ(syscall(SYS_getpid, -1l, BAD_PTR, 1l << 63, -4096l, 7, 8), getpid());
    EXPECT_EQ(syscall(SYS_getuid, -1l, -1l, -1l, -1l, -1l, -1l), getuid());
}

TEST(arguments_are_as_wide_as_their_types) {
    /* An int is the lower half. */
    EXPECT_EQ(syscall(SYS_close, 1l << 32 | 9999), -1);
    EXPECT_EQ(errno, EBADF);
    int fd = open("/dev/null", O_WRONLY);
    ASSERT_OK(fd);
    EXPECT_EQ(syscall(SYS_write, 5l << 32 | fd, "x", 1), 1);
    EXPECT_EQ(syscall(SYS_close, 77l << 32 | fd), 0);
    /* A size is the whole of it. */
    EXPECT_ERRNO(EFAULT, syscall(SYS_getrandom, BAD_PTR, 1l << 32, 0));
}

#ifdef __riscv
static long raw(long number, long a0) {
    register long a7 __asm__("a7") = number;
    register long r __asm__("a0") = a0;
    register long a1 __asm__("a1") = 0, a2 __asm__("a2") = 0, a3 __asm__("a3") = 0, a4 __asm__("a4") = 0, a5 __asm__("a5") = 0;
    __asm__ volatile("ecall" : "+r"(r) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return r;
}

TEST(the_whole_register_counts) {
    long pid = getpid();
    EXPECT_EQ(raw(172, 0), pid);
    for (int bit = 32; bit < 64; bit++) EXPECT_EQ(raw(1l << bit | 172, 0), -ENOSYS);
    EXPECT_EQ(raw(-1, 5), -ENOSYS);
    EXPECT_EQ(raw(1l << 63, 5), -ENOSYS);
}

TEST(holes_of_the_table) {
    EXPECT_EQ(raw(38, 0), -ENOSYS);
    for (int number = 244; number <= 257; number++) EXPECT_EQ(raw(number, 0), -ENOSYS);
    for (int number = 295; number <= 423; number++) EXPECT_EQ(raw(number, 0), -ENOSYS);
    for (int number = 472; number < 1024; number++) EXPECT_EQ(raw(number, 0), -ENOSYS);
}

/* All registers get values of their own, a call is made, all are looked at. */
struct file { uint64_t x[32], f[32], fcsr; };
static struct file before, after;
void call_with(struct file *before, struct file *after);
#define EACH_X(M) M(5) M(6) M(7) M(8) M(9) M(11) M(12) M(13) M(14) M(15) M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) M(24) M(25) M(26) M(27) M(28) M(29) M(30)
#define EACH_F(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15) M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) M(24) M(25) M(26) M(27) M(28) M(29) M(30) M(31)
#define SAVE_X(n) "sd x" #n ", 8*" #n "(sp)\n"
#define REST_X(n) "ld x" #n ", 8*" #n "(sp)\n"
#define LOAD_X(n) "ld x" #n ", 8*" #n "(x31)\n"
#define PUT_X(n) "sd x" #n ", 8*" #n "(x31)\n"
#define LOAD_F(n) "fld f" #n ", 256+8*" #n "(x31)\n"
#define PUT_F(n) "fsd f" #n ", 256+8*" #n "(x31)\n"
#define SAVE_F(n) "fsd f" #n ", 256+8*" #n "(sp)\n"
#define REST_F(n) "fld f" #n ", 256+8*" #n "(sp)\n"
/* x31 holds the place during the call, so it is checked as such: it must still
 * point there. sp, gp and tp stay what they are. */
__asm__(".text\n.globl call_with\ncall_with:\n"
        "addi sp, sp, -640\n" EACH_X(SAVE_X) EACH_F(SAVE_F)
        "sd ra, 8(sp)\nsd a0, 80(sp)\nsd x31, 248(sp)\nfrcsr t0\nsd t0, 512(sp)\n"
        "sd a1, 520(sp)\n"
        "mv x31, a0\n"
        "ld t0, 512(x31)\nfscsr t0\n" EACH_F(LOAD_F)
        "ld x10, 80(x31)\nld x1, 8(x31)\n" EACH_X(LOAD_X)
        "ecall\n"
        "ld x31, 520(sp)\n"
        EACH_X(PUT_X) "sd x10, 80(x31)\nsd x1, 8(x31)\nsd sp, 16(x31)\nsd gp, 24(x31)\nsd tp, 32(x31)\n"
        EACH_F(PUT_F) "frcsr t0\nsd t0, 512(x31)\n"
        "ld t0, 512(sp)\nfscsr t0\n" EACH_X(REST_X) EACH_F(REST_F)
        "ld ra, 8(sp)\nld x31, 248(sp)\naddi sp, sp, 640\nret\n");

static void fill(long number) {
    for (int i = 0; i < 32; i++) {
        before.x[i] = 0x1111111111111111ull * (i % 15 + 1) + i;
        before.f[i] = 0x4000000000000000ull + 0x123456789abull * i;
    }
    before.fcsr = 0x61; /* round up, inexact */
    before.x[17] = number;
}
static void check_kept(void) {
    for (int i = 1; i < 31; i++) {
        if (i == 2 || i == 3 || i == 4 || i == 10) continue;
        if (before.x[i] != after.x[i]) FAIL("x%d is %llx, was %llx", i, (long long)after.x[i], (long long)before.x[i]);
    }
    for (int i = 0; i < 32; i++)
        if (before.f[i] != after.f[i]) FAIL("f%d is %llx, was %llx", i, (long long)after.f[i], (long long)before.f[i]);
    EXPECT_EQ(after.fcsr, before.fcsr);
}
TEST(registers_survive_calls) {
    fill(172);
    call_with(&before, &after);
    EXPECT_EQ(after.x[10], (uint64_t)getpid());
    check_kept();
}
TEST(registers_survive_calls_that_fail) {
    fill(57);
    before.x[10] = -1;
    call_with(&before, &after);
    EXPECT_EQ(after.x[10], -EBADF);
    check_kept();
}
TEST(registers_survive_calls_that_do_not_exist) {
    fill(999);
    call_with(&before, &after);
    EXPECT_EQ(after.x[10], -ENOSYS);
    check_kept();
}
TEST(registers_survive_calls_that_sleep) {
    static struct timespec pause = {0, 2000000};
    fill(101);
    before.x[10] = (uintptr_t)&pause;
    before.x[11] = 0;
    call_with(&before, &after);
    EXPECT_EQ(after.x[10], 0);
    check_kept();
}
TEST(x0_is_not_a_result) {
    register long zero_after __asm__("t0");
    register long a7 __asm__("a7") = 172, a0 __asm__("a0") = 0;
    __asm__ volatile("ecall\nmv %0, zero" : "=r"(zero_after), "+r"(a0) : "r"(a7) : "memory");
    EXPECT_EQ(zero_after, 0);
}
#endif
