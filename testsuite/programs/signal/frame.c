/* What a handler finds on its stack, and what rt_sigreturn(2) takes back. Offsets
 * and words are those that unwinders, debuggers and garbage collectors compile in. */
#include "signals.h"
#include <ucontext.h>
#include <setjmp.h>
#include <stddef.h>

/* What both machines share. */
static volatile int ran;
static uint64_t context_mask;
static void change_mask(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    ran++;
    memcpy(&context_mask, &((ucontext_t *)context)->uc_sigmask, 8);
    uint64_t set = BIT(SIGHUP) | BIT(50);
    memcpy(&((ucontext_t *)context)->uc_sigmask, &set, 8);
}
TEST(the_contexts_mask_is_the_one_before_and_the_one_after) {
    struct sigaction action = {.sa_sigaction = change_mask, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    raw_mask(SIG_SETMASK, BIT(SIGALRM), NULL);
    raise(SIGUSR1);
    EXPECT_EQ(context_mask, BIT(SIGALRM));
    EXPECT_EQ(mask_now(), BIT(SIGHUP) | BIT(50));
}

static void mask_all(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    memset(&((ucontext_t *)context)->uc_sigmask, 0xff, 8);
}
TEST(a_return_cannot_block_kill_and_stop) {
    struct sigaction action = {.sa_sigaction = mask_all, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    EXPECT_EQ(mask_now(), ~(BIT(SIGKILL) | BIT(SIGSTOP)));
}

/* sigsuspend(2): the frame holds the mask to come back to, the handler runs under the other. */
static uint64_t handler_mask;
static void note_masks(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info;
    memcpy(&context_mask, &((ucontext_t *)context)->uc_sigmask, 8);
    handler_mask = mask_now();
}
TEST(sigsuspends_frame_holds_the_old_mask) {
    struct sigaction action = {.sa_sigaction = note_masks, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raw_mask(SIG_SETMASK, BIT(SIGUSR1) | BIT(SIGHUP), NULL);
    raise(SIGUSR1);
    uint64_t open = BIT(SIGALRM);
    EXPECT_ERRNO(EINTR, syscall(SYS_rt_sigsuspend, &open, 8));
    EXPECT_EQ(context_mask, BIT(SIGUSR1) | BIT(SIGHUP));
    EXPECT_EQ(handler_mask, BIT(SIGALRM) | BIT(SIGUSR1));
    EXPECT_EQ(mask_now(), BIT(SIGUSR1) | BIT(SIGHUP));
}

static void bad_return(void) {
    /* A stack pointer that holds no frame. */
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef __riscv
    __asm__ volatile("mv sp, %0\n li a7, 139\n ecall" ::"r"(none + 1024) : "memory");
#else
    __asm__ volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall" ::"r"(none + 1024) : "memory");
#endif
    _exit(3);
}
TEST(a_return_without_a_frame_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(bad_return)); }

static void wild_handler(void) {
    struct raw_action action = {.handler = (void *)0x10, .flags = SA_SIGINFO};
    raw_sigaction(SIGUSR1, &action, NULL, 8);
    raise(SIGUSR1);
}
TEST(a_handler_that_is_not_there_kills) { EXPECT_SIGNALED(SIGSEGV, in_child(wild_handler)); }

#ifdef __riscv
/* The handler is written down to the register: it leaves a copy of its frame and
 * of its registers, then goes back. */
static unsigned char frame[1088] __attribute__((aligned(16)));
static struct {
    uint64_t a0, a1, a2, ra, sp, pc;
} entry;
static void copy_frame(int sig, siginfo_t *info, void *context, uint64_t ra, uint64_t sp) __attribute__((used));
static void copy_frame(int sig, siginfo_t *info, void *context, uint64_t ra, uint64_t sp) {
    entry.a0 = sig, entry.a1 = (uint64_t)info, entry.a2 = (uint64_t)context, entry.ra = ra, entry.sp = sp;
    memcpy(frame, (void *)sp, sizeof frame);
}
__asm__(".globl raw_handler\n"
        "raw_handler:\n"
        "  mv a3, ra\n  mv a4, sp\n  addi sp, sp, -16\n  sd ra, 0(sp)\n"
        "  call copy_frame\n"
        "  ld ra, 0(sp)\n  addi sp, sp, 16\n  ret\n");
extern char raw_handler[];
static void use_raw(int sig, unsigned long flags) {
    struct raw_action action = {.handler = raw_handler, .flags = flags};
    ASSERT_OK(raw_sigaction(sig, &action, NULL, 8));
}
static uint64_t word(size_t at) {
    uint64_t value;
    memcpy(&value, frame + at, 8);
    return value;
}
static uint32_t half(size_t at) {
    uint32_t value;
    memcpy(&value, frame + at, 4);
    return value;
}

/* Gives every register a value, raises by ecall, and stores the registers after. */
uint64_t after_x[32], after_f[32];
uint64_t send_args[3];
static void send_with_known_registers(int sig) {
    send_args[0] = getpid(), send_args[1] = gettid(), send_args[2] = sig;
    __asm__ volatile(
        "addi sp, sp, -32\n sd s0, 0(sp)\n sd s1, 8(sp)\n sd gp, 16(sp)\n sd tp, 24(sp)\n"
        "la t0, send_args\n ld a0, 0(t0)\n ld a1, 8(t0)\n ld a2, 16(t0)\n li a7, 131\n"
        "li t0, 0x1005\n li t1, 0x1006\n li t2, 0x1007\n li s1, 0x1009\n"
        "li a3, 0x100d\n li a4, 0x100e\n li a5, 0x100f\n li a6, 0x1010\n"
        "li s2, 0x1012\n li s3, 0x1013\n li s4, 0x1014\n li s5, 0x1015\n li s6, 0x1016\n li s7, 0x1017\n"
        "li s8, 0x1018\n li s9, 0x1019\n li s10, 0x101a\n li s11, 0x101b\n"
        "li t3, 0x101c\n li t4, 0x101d\n li t5, 0x101e\n li t6, 0x101f\n"
        "fcvt.d.l f0, t0\n fcvt.d.l f1, t1\n fcvt.d.l f31, t6\n fcvt.d.l f17, s11\n"
        "fsflagsi 0x15\n"
        ".globl known_ecall\nknown_ecall:\n ecall\n"
        "la ra, after_x\n"
        "sd a0, 80(ra)\n sd a1, 88(ra)\n sd t0, 40(ra)\n sd t6, 248(ra)\n sd s11, 216(ra)\n sd a7, 136(ra)\n"
        "frflags t0\n sd t0, 0(ra)\n"
        "la ra, after_f\n fsd f0, 0(ra)\n fsd f31, 248(ra)\n fsd f17, 136(ra)\n"
        "fsflagsi 0\n"
        "ld s0, 0(sp)\n ld s1, 8(sp)\n ld gp, 16(sp)\n ld tp, 24(sp)\n addi sp, sp, 32\n" ::
        : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
          "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "f0", "f1", "f17", "f31");
}
extern char known_ecall[];

TEST(entry_registers) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(entry.a0, SIGUSR1);
    EXPECT_EQ(entry.a1, entry.sp);
    EXPECT_EQ(entry.a2, entry.sp + 128);
    EXPECT_EQ(entry.sp % 16, 0);
    EXPECT_NE(entry.ra, 0);
}

TEST(siginfo_is_at_0) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(half(0), SIGUSR1);
    EXPECT_EQ(half(4), 0);
    EXPECT_EQ((int)half(8), -6);
    EXPECT_EQ(half(12), 0);
    EXPECT_EQ(half(16), getpid());
    EXPECT_EQ(half(20), getuid());
    for (size_t at = 24; at < 128; at += 8) EXPECT_EQ(word(at), 0);
}

TEST(ucontext_is_at_128) {
    use_raw(SIGUSR1, 0);
    raw_mask(SIG_SETMASK, 0x8000000000001000ull, NULL);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(word(128), 0); /* uc_flags */
    EXPECT_EQ(word(136), 0); /* uc_link */
    EXPECT_EQ(word(144), 0); /* uc_stack */
    EXPECT_EQ(word(160), 0);
    EXPECT_EQ(word(168), 0x8000000000001000ull);
    EXPECT_EQ(offsetof(ucontext_t, uc_sigmask), 40);
    EXPECT_EQ(offsetof(ucontext_t, uc_mcontext), 176);
}

TEST(the_alternate_stack_is_at_144) {
    static char area[16384];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    ASSERT_OK(sigaltstack(&stack, NULL));
    use_raw(SIGUSR1, SA_ONSTACK);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(word(144), (uint64_t)area);
    EXPECT_EQ(half(152), 0);
    EXPECT_EQ(word(160), sizeof area);
    EXPECT_EQ(entry.sp, (((uint64_t)area + sizeof area) - 1088) & ~15ull);
}

TEST(general_registers_are_at_304) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(word(304), (uint64_t)known_ecall + 4);
    int known[] = {5, 6, 7, 9, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        EXPECT_EQ(word(304 + 8 * known[i]), 0x1000 + known[i]);
    EXPECT_EQ(word(304 + 8 * 10), 0); /* tgkill's result */
    EXPECT_EQ(word(304 + 8 * 11), gettid());
    EXPECT_EQ(word(304 + 8 * 12), SIGUSR1);
    EXPECT_EQ(word(304 + 8 * 17), 131);
    EXPECT_TRUE(word(304 + 8 * 2) - entry.sp < 4096);
}

TEST(floating_point_is_at_560) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    double value = 0x1005;
    uint64_t bits;
    memcpy(&bits, &value, 8);
    EXPECT_EQ(word(560), bits);
    value = 0x1006, memcpy(&bits, &value, 8);
    EXPECT_EQ(word(568), bits);
    value = 0x101b, memcpy(&bits, &value, 8);
    EXPECT_EQ(word(560 + 8 * 17), bits);
    value = 0x101f, memcpy(&bits, &value, 8);
    EXPECT_EQ(word(560 + 8 * 31), bits);
    EXPECT_EQ(half(816), 0x15); /* fcsr */
}

TEST(the_end_header_closes_the_frame) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(half(1076), 0); /* reserved */
    EXPECT_EQ(half(1080), 0); /* END_MAGIC */
    EXPECT_EQ(half(1084), 0); /* END_HDR_SIZE */
}

TEST(the_trampoline_is_two_known_words) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    const uint32_t *words = (const uint32_t *)entry.ra;
    EXPECT_EQ(words[0], 0x08b00893);
    EXPECT_EQ(words[1], 0x00000073);
}

TEST(everything_comes_back) {
    use_raw(SIGUSR1, 0);
    send_with_known_registers(SIGUSR1);
    EXPECT_EQ(after_x[10], 0);
    EXPECT_EQ(after_x[11], gettid());
    EXPECT_EQ(after_x[5], 0x1005);
    EXPECT_EQ(after_x[27], 0x101b);
    EXPECT_EQ(after_x[31], 0x101f);
    EXPECT_EQ(after_x[17], 131);
    EXPECT_EQ(after_x[0], 0x15);
    double value;
    memcpy(&value, &after_f[0], 8);
    EXPECT_EQ(value, 0x1005);
    memcpy(&value, &after_f[31], 8);
    EXPECT_EQ(value, 0x101f);
}

/* A queued value, a fault's address, a child's status: where siginfo has them. */
TEST(a_value_is_at_24) {
    use_raw(SIGUSR1, 0);
    raw_queue(getpid(), SIGUSR1, SI_QUEUE, 0x123456789abcdefl);
    EXPECT_EQ((int)half(8), SI_QUEUE);
    EXPECT_EQ(word(24), 0x123456789abcdefl);
}
TEST(a_childs_status_is_at_24) {
    use_raw(SIGCHLD, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) _exit(42);
    waitpid(pid, NULL, 0);
    EXPECT_EQ(half(0), SIGCHLD);
    EXPECT_EQ(half(8), CLD_EXITED);
    EXPECT_EQ(half(16), pid);
    EXPECT_EQ(half(20), getuid());
    EXPECT_EQ(half(24), 42);
}

/* rt_sigreturn by hand. Each defect is a SIGSEGV from the kernel. */
static sigjmp_buf out;
static volatile int segv_code;
static volatile uint64_t segv_pc, segv_a0, segv_s1, segv_mask;
static void on_segv(int sig, siginfo_t *info, void *context) {
    (void)sig;
    ucontext_t *uc = context;
    segv_code = info->si_code;
    segv_pc = uc->uc_mcontext.__gregs[0];
    segv_s1 = uc->uc_mcontext.__gregs[9];
    segv_a0 = uc->uc_mcontext.__gregs[10];
    memcpy((void *)&segv_mask, &uc->uc_sigmask, 8);
    siglongjmp(out, 1);
}
static void *volatile damage_at;
static volatile uint32_t damage;
static volatile size_t damage_offset;
static void damaging(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    ucontext_t *uc = context;
    uc->uc_mcontext.__gregs[9] = 0x5151;
    uint64_t set = BIT(SIGHUP);
    memcpy(&uc->uc_sigmask, &set, 8);
    memcpy((char *)info + damage_offset, (void *)&damage, 4);
}
static int return_with(size_t offset, uint32_t value) {
    struct sigaction segv = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction action = {.sa_sigaction = damaging, .sa_flags = SA_SIGINFO};
    static char area[16384];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    ASSERT_OK(sigaltstack(&stack, NULL));
    sigaction(SIGSEGV, &segv, NULL), sigaction(SIGUSR1, &action, NULL);
    damage_offset = offset, damage = value;
    segv_code = 0;
    if (sigsetjmp(out, 1) == 0) {
        raise(SIGUSR1);
        return 0;
    }
    return segv_code;
}
TEST(a_return_with_reserved_bits_is_a_fault) {
    EXPECT_EQ(return_with(1076, 1), SI_KERNEL);
    /* The mask and the registers were taken back already. */
    EXPECT_EQ(segv_mask, BIT(SIGHUP));
    EXPECT_EQ(segv_s1, 0x5151);
    EXPECT_EQ(segv_a0, 0);
}
TEST(a_return_with_an_unknown_header_is_a_fault) { EXPECT_EQ(return_with(1080, 0x12345678), SI_KERNEL); }
TEST(a_return_with_a_sized_end_is_a_fault) { EXPECT_EQ(return_with(1084, 8), SI_KERNEL); }
TEST(a_return_with_a_vector_header_is_a_fault) { EXPECT_EQ(return_with(1080, 0x53465457), SI_KERNEL); }
TEST(flags_and_link_are_not_looked_at) {
    EXPECT_EQ(return_with(128, 0xffffffff), 0);
    EXPECT_EQ(return_with(136, 0xffffffff), 0);
}
TEST(undefined_bits_of_fcsr_are_dropped) {
    EXPECT_EQ(return_with(816, 0xffffff1f), 0);
    uint32_t fcsr;
    __asm__ volatile("frcsr %0\n fscsr x0" : "=r"(fcsr));
    EXPECT_EQ(fcsr & 0xffffff00, 0);
}

/* A frame whose place cannot be written: SIGSEGV, the first handler never runs. */
static void never(int sig) {
    (void)sig;
    _exit(4);
}
static void no_room(void) {
    struct sigaction segv = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static char area[16384];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    ASSERT_OK(sigaltstack(&stack, NULL));
    sigaction(SIGSEGV, &segv, NULL), signal(SIGUSR1, never);
    char *hole = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(out, 1) == 0) {
        register long a0 __asm__("a0") = getpid(), a1 __asm__("a1") = gettid(), a2 __asm__("a2") = SIGUSR1,
                      a7 __asm__("a7") = 131;
        __asm__ volatile("mv sp, %1\n ecall\n ebreak" : "+r"(a0) : "r"(hole + 4096), "r"(a1), "r"(a2), "r"(a7) : "memory");
        _exit(5);
    }
    EXPECT_EQ(segv_code, SI_KERNEL);
}
TEST(a_frame_that_does_not_fit_is_a_fault) { EXPECT_EXITED(0, in_child(no_room)); }
#endif
